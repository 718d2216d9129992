//! The slow log: the latest commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Arguments of a command that an entry keeps, the one that tells how many more there were included.
const ARGS_MAX: usize = 32;
/// Bytes of an argument that an entry keeps.
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowLogEntry {
    pub id: u64,
    pub unix_time_s: u64,
    pub duration_us: u64,
    pub args: Vec<Vec<u8>>,
    pub client_addr: String,
    pub client_name: String,
}

/// The entries of all shards, newest first. Slow commands are rare, so one lock serves.
#[derive(Debug, Default)]
pub struct SlowLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<SlowLogEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Whether a command of this duration belongs here; a negative threshold turns the log off.
    #[inline]
    pub fn wants(duration_us: u64, threshold_us: i64) -> bool {
        u64::try_from(threshold_us).is_ok_and(|threshold| duration_us >= threshold)
    }

    /// Adds an entry; the oldest beyond `len_max` are dropped. The entry's id is given here.
    pub fn record(&self, mut entry: SlowLogEntry, len_max: usize) {
        entry.args = shortened(entry.args.iter().map(Vec::as_slice));
        let mut state = self.state.lock();
        entry.id = state.next_id;
        state.next_id += 1;
        state.entries.push_front(entry);
        state.entries.truncate(len_max);
    }

    /// The newest entries, all of them if `count` is `None`.
    pub fn newest(&self, count: Option<usize>) -> Vec<SlowLogEntry> {
        self.state
            .lock()
            .entries
            .iter()
            .take(count.unwrap_or(usize::MAX))
            .cloned()
            .collect()
    }

    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the entries; ids go on.
    pub fn reset(&self) {
        self.state.lock().entries.clear();
    }
}

/// A request as the slow log keeps it: so many arguments, and so many bytes of each.
pub fn shortened<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let len = args.len();
    let kept = if len > ARGS_MAX { ARGS_MAX - 1 } else { len };
    let mut short: Vec<Vec<u8>> = args.take(kept).map(truncated_arg).collect();
    if kept < len {
        short.push(format!("... ({} more arguments)", len - kept).into_bytes());
    }
    short
}

fn truncated_arg(arg: &[u8]) -> Vec<u8> {
    match arg.split_at_checked(ARG_BYTES_MAX) {
        Some((head, rest)) if !rest.is_empty() => {
            [head, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => arg.to_vec(),
    }
}
