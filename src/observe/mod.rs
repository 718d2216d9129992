//! What the server knows about itself: counters, the slow log, latencies, INFO, the log.
//!
//! Invariants:
//! - A counter of a shard has one writer, the shard's thread; anybody may read it. So counting is a load and a store in
//!   a cache line that no other core writes, and totals are summed when somebody asks.
//! - Everything is bounded: the slow log, the latency history and the kinds of errors each have a maximum.
//! - Nothing here may fail a command; what cannot be recorded is dropped.
//!
//! Depends on `base` only: the names of commands and the options come from the caller.

pub mod allocator;
pub mod counters;
pub mod errors;
pub mod info;
pub mod latency;
pub mod log;
pub mod process;
pub mod rate;
mod report;
pub mod slowlog;

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

pub use counters::{
    CommandStats, CommandTotals, Counter, Gauge, ShardStats, Times, TimesTotals, Totals,
};
pub use errors::ErrorStats;
pub use info::{InfoBuilder, Section, Selection};
pub use latency::Latency;
pub use rate::Rates;
pub use slowlog::{SlowLog, SlowLogEntry, shortened};

/// Everything that is observed of one server, shared by its shards.
pub struct Observer {
    shards: Box<[CachePadded<ShardStats>]>,
    pub slow_log: SlowLog,
    pub latency: Latency,
    pub errors: ErrorStats,
    rates: Mutex<Rates>,
}

impl Observer {
    /// `commands` is how many commands are counted one by one; a command's index in that table names its counters.
    pub fn new(shards: usize, commands: usize) -> Self {
        Self {
            shards: (0..shards)
                .map(|_| CachePadded::new(ShardStats::new(commands)))
                .collect(),
            slow_log: SlowLog::default(),
            latency: Latency::default(),
            errors: ErrorStats::default(),
            rates: Mutex::new(Rates::default()),
        }
    }

    /// The counters of one shard. Only that shard's thread may add to them.
    #[inline]
    pub fn shard(&self, shard: usize) -> &ShardStats {
        &self.shards[shard]
    }

    pub fn shards(&self) -> impl ExactSizeIterator<Item = &ShardStats> {
        self.shards.iter().map(|padded| &**padded)
    }

    /// The sum over all shards.
    pub fn totals(&self) -> Totals {
        self.shards().fold(Totals::default(), Totals::plus)
    }

    /// One command's counters, summed over all shards.
    pub fn command(&self, command: usize) -> CommandTotals {
        self.shards().fold(CommandTotals::default(), |sum, shard| {
            sum.plus(shard.command(command))
        })
    }

    /// Takes a sample for the figures per second. To be called by one shard, [`rate::SAMPLES_PER_SECOND`] times a
    /// second.
    pub fn sample(&self, now_ms: u64) {
        let totals = self.totals();
        self.rates.lock().sample(now_ms, &totals);
    }

    /// CONFIG RESETSTAT. What shards count while this runs may be lost or stay: each writes its own counters.
    pub fn reset(&self) {
        for shard in self.shards() {
            shard.reset();
        }
        self.errors.reset();
        *self.rates.lock() = Rates::default();
    }
}

#[cfg(test)]
mod tests;
