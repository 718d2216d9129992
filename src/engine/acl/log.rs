//! ACL LOG: what was denied lately.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Entries that a new one may turn out to repeat.
const COMPARED_MAX: usize = 10;
/// Further apart than this the same thing is told twice.
const GROUPED_MS_MAX: i64 = 60_000;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub count: u64,
    pub reason: &'static str,
    pub context: Context,
    pub object: Vec<u8>,
    pub username: Vec<u8>,
    pub at_ms: i64,
    /// The client, as CLIENT LIST shows it.
    pub client: String,
}

impl LogEntry {
    fn repeats(&self, earlier: &Self) -> bool {
        self.reason == earlier.reason
            && self.context == earlier.context
            && self.object == earlier.object
            && self.username == earlier.username
            && (self.at_ms - earlier.at_ms).abs() <= GROUPED_MS_MAX
    }
}

/// The latest entries, the newest first.
#[derive(Debug, Default)]
pub struct Log(Mutex<VecDeque<LogEntry>>);

impl Log {
    pub fn add(&self, entry: LogEntry, len_max: usize) {
        let mut entries = self.0.lock();
        let mut latest = entries.iter().take(COMPARED_MAX);
        let same = latest.position(|earlier| entry.repeats(earlier));
        let count = same
            .and_then(|at| entries.remove(at))
            .map_or(0, |earlier| earlier.count);
        entries.push_front(LogEntry {
            count: count + entry.count,
            ..entry
        });
        entries.truncate(len_max);
    }

    pub fn latest(&self, count: usize) -> Vec<LogEntry> {
        self.0.lock().iter().take(count).cloned().collect()
    }

    pub fn reset(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(object: &str, at_ms: i64) -> LogEntry {
        LogEntry {
            count: 1,
            reason: "key",
            context: Context::TopLevel,
            object: object.into(),
            username: b"u".to_vec(),
            at_ms,
            client: format!("at {at_ms}"),
        }
    }

    fn shown(log: &Log) -> Vec<(String, u64, i64)> {
        let all = log.latest(usize::MAX).into_iter();
        all.map(|e| {
            (
                String::from_utf8_lossy(&e.object).into_owned(),
                e.count,
                e.at_ms,
            )
        })
        .collect()
    }

    #[test]
    fn what_repeats_within_a_minute_is_counted() {
        let log = Log::default();
        for (object, at_ms) in [("a", 0), ("b", 10), ("a", 60_000), ("b", 60_011)] {
            log.add(entry(object, at_ms), 3);
        }
        let b = |at| ("b".to_owned(), 1, at);
        assert_eq!(shown(&log), [b(60_011), ("a".to_owned(), 2, 60_000), b(10)]);
        log.add(entry("c", 60_012), 2);
        assert_eq!(shown(&log).len(), 2);
        log.add(entry("c", 60_013), 0);
        assert_eq!(shown(&log), []);
    }

    #[test]
    fn only_the_latest_ten_are_compared() {
        let log = Log::default();
        log.add(entry("first", 0), 100);
        (0..10).for_each(|n| log.add(entry(&n.to_string(), n), 100));
        log.add(entry("first", 11), 100);
        assert_eq!(shown(&log).len(), 12);
        log.reset();
        assert_eq!(shown(&log), []);
    }
}
