//! How much memory is in use, for `maxmemory` and INFO: what the allocator has given out.
//!
//! The allocator's own total is exact but takes microseconds to read. So it is read some times a second, and in between each
//! shard adds what its own thread has allocated since, which costs it two loads, and those who free large values aside what
//! they have freed.
//!
//! Not counted is what the journal needs for itself: what it has not written yet, as Redis leaves out its append-only
//! buffer, and the memory in which tables are made, which in Redis is that of another process. Evicting keys makes the journal
//! grow, so it would feed itself. As that memory cannot be told apart, the total is not read while tables are made.

use super::shared::Shared;
use super::worker::Worker;
use crate::base::clock;
use crate::config::Opt;
use crate::observe::allocator::{self, AllocatorStats};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Memory in use, as all shards see it.
#[derive(Debug)]
pub struct MemoryUse {
    /// The balance of each shard's thread when it was last published.
    shards: Box<[CachePadded<AtomicI64>]>,
    /// What is in use besides the sum of these.
    rest: AtomicI64,
    is_measured: AtomicBool,
    /// Since when more than `maxmemory` has been in use, on the monotonic clock; 0: it is not.
    exceeded_since_us: AtomicU64,
    /// For how long it was in the past.
    exceeded_us: AtomicU64,
}

impl MemoryUse {
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            rest: AtomicI64::new(0),
            is_measured: AtomicBool::new(false),
            exceeded_since_us: AtomicU64::new(0),
            exceeded_us: AtomicU64::new(0),
        }
    }

    /// Bytes that count for `maxmemory`.
    fn used(&self, shared: &Shared) -> i64 {
        self.rest.load(Ordering::Relaxed) + self.balances(shared)
    }

    fn balances(&self, shared: &Shared) -> i64 {
        let all = self.shards.iter();
        let balances = all.map(|balance| balance.load(Ordering::Relaxed));
        balances.sum::<i64>() + shared.keyspace.freed_aside().balance()
    }

    /// Reads the allocator's total. Tells as well how much of it does not count for `maxmemory`.
    pub fn measure(&self, shared: &Shared) -> (AllocatorStats, u64) {
        let mut is_mixed = shared.journal.upkeep_in_progress();
        let balances = self.balances(shared);
        let stats = allocator::stats();
        let allocated = stats.allocated.cast_signed();
        is_mixed |= shared.journal.upkeep_in_progress();
        if !(self.is_measured.swap(true, Ordering::Relaxed) && is_mixed) {
            let counted = allocated - shared.journal.stats().buffered_bytes as i64;
            self.rest.store(counted - balances, Ordering::Relaxed);
        }
        let uncounted = allocated - self.used(shared);
        (stats, uncounted.max(0).cast_unsigned())
    }

    /// Notes whether more than allowed is in use, for INFO.
    #[inline]
    fn note_exceeded(&self, exceeded: bool) {
        let since_us = self.exceeded_since_us.load(Ordering::Relaxed);
        if exceeded != (since_us != 0) {
            self.note_change(exceeded, since_us);
        }
    }

    #[cold]
    fn note_change(&self, exceeded: bool, since_us: u64) {
        let now_us = clock::monotonic_us();
        let next_us = if exceeded { now_us.max(1) } else { 0 };
        let changed = self.exceeded_since_us.compare_exchange(
            since_us,
            next_us,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if changed.is_ok() && !exceeded {
            let took_us = now_us.saturating_sub(since_us);
            self.exceeded_us.fetch_add(took_us, Ordering::Relaxed);
        }
    }

    /// For how long more than allowed has been in use: in all, and now without a break. In milliseconds.
    pub fn exceeded_ms(&self) -> (u64, u64) {
        let now_us = clock::monotonic_us();
        let current_us = match self.exceeded_since_us.load(Ordering::Relaxed) {
            0 => 0,
            since_us => now_us.saturating_sub(since_us),
        };
        let total_us = self.exceeded_us.load(Ordering::Relaxed) + current_us;
        (total_us / 1000, current_us / 1000)
    }
}

/// A shard's view of the memory in use.
#[derive(Debug, Default)]
pub struct MemoryWatch {
    /// `maxmemory`, or 0.
    max: i64,
    /// What the others had in use when this shard last looked.
    others: i64,
}

impl MemoryWatch {
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.max > 0
    }
}

impl Worker {
    /// Takes over `maxmemory`.
    pub(super) fn read_memory_limit(&mut self) {
        let max = self.shared.config.settings().number(Opt::Maxmemory);
        let is_new = max != self.memory.max;
        self.memory.max = max;
        if is_new {
            self.measure_memory();
        }
    }

    /// Reads the allocator's total.
    pub(super) fn measure_memory(&mut self) {
        self.publish_memory();
        self.shared.memory.measure(self.shared);
        self.look_at_memory();
    }

    /// Tells the other shards what this one has in use. Returns that.
    #[inline]
    pub(super) fn publish_memory(&self) -> i64 {
        let balance = allocator::thread_balance();
        self.shared.memory.shards[self.shard as usize].store(balance, Ordering::Relaxed);
        balance
    }

    /// Sees what the other shards have in use.
    pub(super) fn look_at_memory(&mut self) {
        let balance = self.publish_memory();
        self.memory.others = self.shared.memory.used(self.shared) - balance;
    }

    /// Whether more than `maxmemory` is in use.
    #[inline]
    pub(super) fn is_over_memory(&self) -> bool {
        self.memory.is_limited() && self.memory.others + self.publish_memory() > self.memory.max
    }

    /// Notes for INFO whether more than `maxmemory` stays in use.
    #[inline]
    pub(super) fn note_exceeded(&self, exceeded: bool) {
        self.shared.memory.note_exceeded(exceeded);
    }

    /// Whether large values are being freed aside, so that it is too early to evict more. Far above the limit it is not:
    /// somebody may make and remove large values all the time.
    pub(super) fn is_about_to_shrink(&self) -> bool {
        const FAR_PART: i64 = 8;
        let over = self.memory.others + self.publish_memory() - self.memory.max;
        self.shared.keyspace.freed_aside().is_running() && over < self.memory.max / FAR_PART
    }
}
