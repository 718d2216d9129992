//! The latency monitor: what took longer than `latency-monitor-threshold`, by event.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use parking_lot::Mutex;

/// Samples that are kept of an event.
pub const HISTORY_MAX: usize = 160;

/// What can be slow. The names are what clients see.
pub mod event {
    pub const COMMAND: &str = "command";
    pub const FAST_COMMAND: &str = "fast-command";
    pub const SCRIPT: &str = "script";
    pub const LOCK_WAIT: &str = "lock-wait";
    pub const JOURNAL_WRITE: &str = "journal-write";
    pub const JOURNAL_SYNC: &str = "journal-sync";
    pub const EXPIRE_CYCLE: &str = "expire-cycle";
    pub const EVICTION_CYCLE: &str = "eviction-cycle";
    pub const EVICTION_DEL: &str = "eviction-del";
}

/// What to look at when an event is slow.
const ADVICE: [(&str, &str); 9] = [
    (
        event::COMMAND,
        "Look at SLOWLOG GET for commands that walk large values, and use their SCAN forms.",
    ),
    (
        event::FAST_COMMAND,
        "Cheap commands were slow: the machine may be short of CPU, or be swapping.",
    ),
    (
        event::SCRIPT,
        "Long scripts keep their own keys locked: do less in each, or set script-timeout.",
    ),
    (
        event::LOCK_WAIT,
        "Clients wait for the same keys: spread hot keys, or shorten the scripts that hold them.",
    ),
    (
        event::JOURNAL_WRITE,
        "Writing the journal was slow: the disk may be shared or full.",
    ),
    (
        event::JOURNAL_SYNC,
        "Syncing the journal was slow: use a faster disk, or durability everysec.",
    ),
    (
        event::EXPIRE_CYCLE,
        "Many keys expire at the same time: spread their times, or lower active-expire-effort.",
    ),
    (
        event::EVICTION_CYCLE,
        "Commands wait for room: raise maxmemory, or lower maxmemory-eviction-tenacity.",
    ),
    (
        event::EVICTION_DEL,
        "Large values are evicted: split them into smaller ones.",
    ),
];

/// One sample: when, in seconds of the wall clock, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub unix_time_s: u64,
    pub latency_ms: u64,
}

/// LATENCY LATEST's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    pub event: &'static str,
    pub last: Sample,
    pub max_ms: u64,
}

#[derive(Debug, Default)]
pub struct Latency {
    events: Mutex<BTreeMap<&'static str, History>>,
}

#[derive(Debug, Default)]
struct History {
    samples: VecDeque<Sample>,
    max_ms: u64,
}

impl Latency {
    /// Notes that `event` took `latency_ms`, if that reaches the threshold; zero turns the monitor off.
    #[inline]
    pub fn note(&self, event: &'static str, sample: Sample, threshold_ms: i64) {
        if threshold_ms > 0 && sample.latency_ms >= threshold_ms as u64 {
            self.events.lock().entry(event).or_default().push(sample);
        }
    }

    pub fn latest(&self) -> Vec<Latest> {
        let events = self.events.lock();
        let row = |(event, history): (&&'static str, &History)| {
            history.samples.back().map(|last| Latest {
                event,
                last: *last,
                max_ms: history.max_ms,
            })
        };
        events.iter().filter_map(row).collect()
    }

    /// The samples of an event, oldest first.
    pub fn history(&self, event: &str) -> Vec<Sample> {
        self.events
            .lock()
            .get(event)
            .map_or_else(Vec::new, |history| {
                history.samples.iter().copied().collect()
            })
    }

    /// Forgets the named events, or all if none is named, and answers how many there were.
    pub fn reset(&self, events: &[&str]) -> usize {
        let mut known = self.events.lock();
        let before = known.len();
        known.retain(|event, _| !events.is_empty() && !events.contains(event));
        before - known.len()
    }

    /// LATENCY DOCTOR: what was slow, and what to do about it.
    pub fn doctor(&self, threshold_ms: i64) -> String {
        if threshold_ms <= 0 {
            return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n"
                .to_owned();
        }
        let events = self.events.lock();
        if events.is_empty() {
            return format!("No event took {threshold_ms} ms or longer so far.\n");
        }
        let mut text = format!("Events of {threshold_ms} ms or longer:\n\n");
        for (index, (event, history)) in events.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{}. {event}: {}", index + 1, history.summary());
        }
        text.push('\n');
        for (_, advice) in ADVICE
            .iter()
            .filter(|(event, _)| events.contains_key(event))
        {
            let _ = writeln!(text, "- {advice}");
        }
        text
    }
}

impl History {
    /// Within one second only the worst sample counts, as in Redis, so that a burst does not push out the past.
    fn push(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.latency_ms);
        if let Some(last) = self.samples.back_mut()
            && last.unix_time_s == sample.unix_time_s
        {
            last.latency_ms = last.latency_ms.max(sample.latency_ms);
            return;
        }
        if self.samples.len() == HISTORY_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn summary(&self) -> String {
        let count = self.samples.len() as u64;
        let sum: u64 = self.samples.iter().map(|sample| sample.latency_ms).sum();
        let mean = sum / count.max(1);
        let deviation = self
            .samples
            .iter()
            .map(|sample| sample.latency_ms.abs_diff(mean))
            .sum::<u64>()
            / count.max(1);
        let first = self.samples.front().map_or(0, |sample| sample.unix_time_s);
        let last = self.samples.back().map_or(0, |sample| sample.unix_time_s);
        let period = last.saturating_sub(first) as f64 / count.max(1) as f64;
        format!(
            "{count} spikes (average {mean} ms, mean deviation {deviation} ms, period {period:.1} s, worst {} ms)",
            self.max_ms
        )
    }
}
