//! What is counted of one script: how often it ran, how it ended, where its time went.
//!
//! Each shard counts for itself, in memory of its own that it gets with its first call.

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use std::sync::OnceLock;

use crate::observe::{Counter, Gauge, Times, TimesTotals};

/// The counts of one script on all shards.
#[derive(Debug, Default)]
pub struct ScriptStats {
    shards: OnceLock<Box<[OfShard]>>,
    last_error: Mutex<Option<LastError>>,
}

/// Nothing, until the shard calls the script.
type OfShard = OnceLock<Box<CachePadded<RunStats>>>;

/// The error with which a script has last ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The line, without `-`.
    pub line: String,
    /// Unix time in milliseconds.
    pub at_ms: i64,
}

/// Bytes of an error that are kept.
const LINE_LEN_MAX: usize = 512;

macro_rules! run_stats {
    (counters { $($counter:ident: $counter_doc:literal),* $(,)? } times { $($times:ident: $times_doc:literal),* $(,)? }) => {
        /// What one shard counts of one script.
        #[derive(Debug, Default)]
        pub struct RunStats {
            /// When it was last called: Unix time in microseconds.
            pub used_at_us: Gauge,
            /// Bytes that one run had in Lua at most.
            pub memory_peak: Gauge,
            $(#[doc = $counter_doc] pub $counter: Counter,)*
            $(#[doc = $times_doc] pub $times: Times,)*
        }

        /// The same over all shards.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct RunTotals {
            pub used_at_us: u64,
            pub memory_peak: u64,
            $(#[doc = $counter_doc] pub $counter: u64,)*
            $(#[doc = $times_doc] pub $times: TimesTotals,)*
        }

        impl RunStats {
            fn reset(&self) {
                self.memory_peak.set(0);
                $(self.$counter.reset();)*
                $(self.$times.reset();)*
            }
        }

        impl RunTotals {
            fn plus(mut self, stats: &RunStats) -> Self {
                self.used_at_us = self.used_at_us.max(stats.used_at_us.get());
                self.memory_peak = self.memory_peak.max(stats.memory_peak.get());
                $(self.$counter += stats.$counter.get();)*
                $(self.$times = self.$times.plus(&stats.$times);)*
                self
            }
        }
    };
}

run_stats! {
    counters {
        calls: "Calls that have ended.",
        errors: "Those that ended with an error.",
        rollbacks: "Those that ended with `redis.rollback`.",
        savepoint_rollbacks: "Times that it went back to a savepoint.",
        reruns: "Times that it began anew, because of keys that it did not declare.",
        gates: "Calls that had the whole keyspace.",
    }
    times {
        total: "From the call to its end.",
        waiting: "Waiting for locks, of calls that had to.",
        lua: "In Lua, of calls that were timed.",
        commands: "In commands, likewise.",
        commit: "In the commit, likewise.",
    }
}

impl ScriptStats {
    /// The counts of a shard. Only its thread may add to them.
    #[inline]
    pub fn of(&self, shard: usize, shards: usize) -> &RunStats {
        let all = self
            .shards
            .get_or_init(|| (0..shards).map(|_| OnceLock::new()).collect());
        all[shard].get_or_init(Box::default)
    }

    pub fn totals(&self) -> RunTotals {
        let sum = |sum: RunTotals, stats: &RunStats| sum.plus(stats);
        self.all().fold(RunTotals::default(), sum)
    }

    /// When it was last called, on any shard: Unix time in microseconds.
    pub fn used_at_us(&self) -> i64 {
        let latest = self.all().map(|stats| stats.used_at_us.get()).max();
        latest.unwrap_or(0) as i64
    }

    pub fn note_error(&self, line: &str, at_ms: i64) {
        let end = line.floor_char_boundary(LINE_LEN_MAX.min(line.len()));
        *self.last_error.lock() = Some(LastError {
            line: line[..end].to_owned(),
            at_ms,
        });
    }

    pub fn last_error(&self) -> Option<LastError> {
        self.last_error.lock().clone()
    }

    /// What shards count while this runs may be lost or stay.
    pub fn reset(&self) {
        self.all().for_each(RunStats::reset);
        *self.last_error.lock() = None;
    }

    fn all(&self) -> impl Iterator<Item = &RunStats> {
        let shards = self.shards.get().into_iter().flatten();
        shards.filter_map(|stats| stats.get().map(|stats| &***stats))
    }
}
