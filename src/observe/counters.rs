//! Counters of one shard, written by its thread and read by all.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with a single writer: a load and a store, without the bus lock of `fetch_add`.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A level that its single writer raises and lowers; a reset leaves it.
#[derive(Debug, Default)]
pub struct Gauge(Counter);

impl Gauge {
    #[inline]
    pub fn raise(&self) {
        self.0.add(1);
    }

    #[inline]
    pub fn lower(&self) {
        debug_assert!(
            self.get() > 0,
            "a gauge is lowered only after it was raised"
        );
        self.0.add(u64::MAX);
    }

    /// Raises the level to this, if it is lower.
    #[inline]
    pub fn raise_to(&self, level: u64) {
        if level > self.get() {
            self.set(level);
        }
    }

    #[inline]
    pub fn set(&self, level: u64) {
        self.0.0.store(level, Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Buckets of a latency histogram: each holds up to twice the duration of the one before it; the first up to 1,024 ns.
pub const BUCKETS: usize = 32;
const FIRST_BUCKET_NS_LOG2: u32 = 10;

/// The longest duration that bucket `index` holds, in nanoseconds.
pub fn bucket_limit_ns(index: usize) -> u64 {
    1 << (index as u32 + FIRST_BUCKET_NS_LOG2)
}

fn bucket_of(duration_ns: u64) -> usize {
    let above_first = (duration_ns.saturating_sub(1)) >> FIRST_BUCKET_NS_LOG2;
    ((u64::BITS - above_first.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// What one shard counts of one command.
#[derive(Debug, Default)]
pub struct CommandStats {
    calls: Counter,
    duration_ns: Counter,
    rejected: Counter,
    failed: Counter,
    buckets: [Counter; BUCKETS],
}

impl CommandStats {
    /// A command ran; `failed` if it answered with an error.
    #[inline]
    pub fn ran(&self, duration_ns: u64, failed: bool) {
        self.calls.add(1);
        self.duration_ns.add(duration_ns);
        if failed {
            self.failed.add(1);
        }
    }

    /// A command that was counted went on for so long, after it had waited.
    pub fn went_on(&self, duration_ns: u64, failed: bool) {
        self.duration_ns.add(duration_ns);
        if failed {
            self.failed.add(1);
        }
    }

    /// A command ran for a script. It was timed, and stands for `weight` of its kind, or it was not: 0.
    #[inline]
    pub fn ran_in_script(&self, duration_ns: u64, weight: u64, failed: bool) {
        self.ran(duration_ns * weight, failed);
    }

    /// The same duration for the histogram, which `latency-tracking` turns off.
    #[inline]
    pub fn track_latency(&self, duration_ns: u64) {
        self.track_latency_of(duration_ns, 1);
    }

    /// The same for a duration that stands for `weight` of its kind.
    #[inline]
    pub fn track_latency_of(&self, duration_ns: u64, weight: u64) {
        self.buckets[bucket_of(duration_ns)].add(weight);
    }

    /// A command was refused before it ran.
    #[inline]
    pub fn rejected(&self) {
        self.rejected.add(1);
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.duration_ns, &self.rejected, &self.failed]
            .into_iter()
            .chain(&self.buckets)
        {
            counter.reset();
        }
    }
}

/// One command's counters over all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTotals {
    pub calls: u64,
    pub duration_ns: u64,
    pub rejected: u64,
    pub failed: u64,
    pub buckets: [u64; BUCKETS],
}

impl CommandTotals {
    pub(super) fn plus(mut self, stats: &CommandStats) -> Self {
        self.calls += stats.calls.get();
        self.duration_ns += stats.duration_ns.get();
        self.rejected += stats.rejected.get();
        self.failed += stats.failed.get();
        for (sum, counter) in self.buckets.iter_mut().zip(&stats.buckets) {
            *sum += counter.get();
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.calls == 0 && self.rejected == 0 && self.failed == 0
    }

    pub fn duration_us(&self) -> u64 {
        self.duration_ns / 1_000
    }

    /// LATENCY HISTOGRAM's pairs: a duration in microseconds, and how many calls took up to it. Ends at the slowest call.
    pub fn cumulative_us(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let mut pairs = Vec::new();
        for (index, count) in self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            sum += count;
            pairs.push((bucket_limit_ns(index) / 1_000, sum));
        }
        pairs
    }

    /// The duration in nanoseconds that `percent` of the calls did not exceed, rounded up to its bucket.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        percentile_ns(&self.buckets, 0, percent)
    }
}

/// The duration that `percent` of those in the buckets, and of so many that were zero, did not exceed.
fn percentile_ns(buckets: &[u64; BUCKETS], zeros: u64, percent: f64) -> u64 {
    let count = zeros + buckets.iter().sum::<u64>();
    let wanted = (count as f64 * percent / 100.0).ceil() as u64;
    let mut sum = zeros;
    if wanted <= zeros && zeros > 0 {
        return 0;
    }
    let reached = buckets.iter().position(|count| {
        sum += count;
        sum >= wanted
    });
    bucket_limit_ns(reached.unwrap_or(BUCKETS - 1))
}

/// How durations of one kind are spread, as one shard counts them.
#[derive(Debug, Default)]
pub struct Times {
    max_ns: Gauge,
    buckets: [Counter; BUCKETS],
}

impl Times {
    /// Counts a duration, which stands for `weight` of its kind.
    #[inline]
    pub fn record(&self, duration_ns: u64, weight: u64) {
        self.max_ns.raise_to(duration_ns);
        self.buckets[bucket_of(duration_ns)].add(weight);
    }

    pub fn reset(&self) {
        self.max_ns.set(0);
        self.buckets.iter().for_each(Counter::reset);
    }
}

/// The same over all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimesTotals {
    pub max_ns: u64,
    buckets: [u64; BUCKETS],
}

impl TimesTotals {
    #[must_use]
    pub fn plus(mut self, times: &Times) -> Self {
        self.max_ns = self.max_ns.max(times.max_ns.get());
        for (sum, counter) in self.buckets.iter_mut().zip(&times.buckets) {
            *sum += counter.get();
        }
        self
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration that `percent` of these and of `zeros` that took no time did not exceed, rounded up to its bucket.
    pub fn percentile_ns(&self, zeros: u64, percent: f64) -> u64 {
        percentile_ns(&self.buckets, zeros, percent).min(self.max_ns)
    }
}

macro_rules! shard_stats {
    (counters { $($counter:ident: $counter_doc:literal),* $(,)? } maxima { $($maximum:ident: $maximum_doc:literal),* $(,)? } gauges { $($gauge:ident: $gauge_doc:literal),* $(,)? }) => {
        /// What one shard counts.
        #[derive(Debug)]
        pub struct ShardStats {
            $(#[doc = $counter_doc] pub $counter: Counter,)*
            $(#[doc = $maximum_doc] pub $maximum: Gauge,)*
            $(#[doc = $gauge_doc] pub $gauge: Gauge,)*
            commands: Box<[CommandStats]>,
        }

        /// The same, summed over all shards.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $(#[doc = $counter_doc] pub $counter: u64,)*
            $(#[doc = $maximum_doc] pub $maximum: u64,)*
            $(#[doc = $gauge_doc] pub $gauge: u64,)*
        }

        impl ShardStats {
            pub(super) fn new(commands: usize) -> Self {
                Self {
                    $($counter: Counter::default(),)*
                    $($maximum: Gauge::default(),)*
                    $($gauge: Gauge::default(),)*
                    commands: (0..commands).map(|_| CommandStats::default()).collect(),
                }
            }

            pub(super) fn reset(&self) {
                $(self.$counter.reset();)*
                $(self.$maximum.set(0);)*
                self.commands.iter().for_each(CommandStats::reset);
            }
        }

        impl Totals {
            pub(super) fn plus(mut self, shard: &ShardStats) -> Self {
                $(self.$counter += shard.$counter.get();)*
                $(self.$maximum = self.$maximum.max(shard.$maximum.get());)*
                $(self.$gauge += shard.$gauge.get();)*
                self
            }
        }
    };
}

shard_stats! {
    counters {
        connections_received: "Connections accepted.",
        connections_rejected: "Connections closed because `maxclients` were there.",
        commands_processed: "Commands run, also by scripts and EXEC.",
        net_input_bytes: "Bytes read from clients.",
        net_output_bytes: "Bytes written to clients.",
        reads_processed: "Receives from sockets.",
        writes_processed: "Sends to sockets.",
        keyspace_hits: "Reads that found their key.",
        keyspace_misses: "Reads that did not.",
        expired_keys: "Keys removed because their time was over.",
        expired_fields: "Fields of hashes removed because their time was over.",
        evicted_keys: "Keys removed for want of memory.",
        query_buffer_disconnections: "Clients cut off by `client-query-buffer-limit`.",
        output_buffer_disconnections: "Clients cut off by `client-output-buffer-limit`.",
        scripts_run: "Scripts that came to an end, well or not.",
        scripts_rolled_back: "Scripts that failed and were undone.",
        scripts_killed: "Scripts ended by SCRIPT KILL or a limit.",
        scripts_timed_out: "Scripts ended by a time limit.",
        scripts_out_of_instructions: "Scripts ended by the budget of their first line.",
        script_rollbacks: "Scripts that ended with `redis.rollback`.",
        script_gates: "Scripts that had the whole keyspace.",
        script_savepoint_rollbacks: "Times that a script went back to a savepoint.",
        script_reruns: "Runs begun anew in the order of locks.",
        lock_waits: "Requests that had to wait for a key lock.",
        lock_wait_ns: "Time spent waiting for key locks.",
    }
    maxima {
        lock_wait_us_max: "The longest wait for key locks.",
    }
    gauges {
        connected_clients: "Clients connected now.",
        blocked_clients: "Clients waiting in a blocking command now.",
        pubsub_clients: "Clients with a subscription now.",
        running_scripts: "Scripts that are suspended or wait now.",
        script_vm_bytes: "Memory of the Lua machines, measured some times a second.",
    }
}

impl ShardStats {
    #[inline]
    pub fn command(&self, command: usize) -> &CommandStats {
        &self.commands[command]
    }
}
