//! How often each kind of error was answered. Errors are rare, so one lock serves all shards.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Kinds that are counted one by one. A script can invent kinds, so their number needs a bound.
const KINDS_MAX: usize = 128;
const OTHER: &str = "OTHER";

#[derive(Debug, Default)]
pub struct ErrorStats {
    kinds: Mutex<BTreeMap<String, u64>>,
}

impl ErrorStats {
    /// Counts an error by the first word of its text, `ERR` or `WRONGTYPE`, without the leading `-`.
    pub fn count(&self, text: &[u8]) {
        let word = text
            .split(u8::is_ascii_whitespace)
            .next()
            .unwrap_or_default();
        let kind = String::from_utf8_lossy(word);
        let mut kinds = self.kinds.lock();
        if let Some(count) = kinds.get_mut(kind.as_ref()) {
            *count += 1;
        } else {
            let kind = if kinds.len() < KINDS_MAX {
                kind.into_owned()
            } else {
                OTHER.to_owned()
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }

    pub fn all(&self) -> Vec<(String, u64)> {
        self.kinds
            .lock()
            .iter()
            .map(|(kind, count)| (kind.clone(), *count))
            .collect()
    }

    pub fn total(&self) -> u64 {
        self.kinds.lock().values().sum()
    }

    pub fn reset(&self) {
        self.kinds.lock().clear();
    }
}
