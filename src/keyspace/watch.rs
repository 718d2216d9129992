//! Keys that clients watch (`WATCH`): a change to one marks its watchers.

use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Raised once one of a client's watched keys was changed.
pub type WatchFlag = Arc<AtomicBool>;

/// Watched fingerprints and who watches them.
#[derive(Debug, Default)]
pub struct WatchTable {
    watchers: DashMap<u64, Vec<WatchFlag>>,
    /// Entries in `watchers`; lets a writer pass by with one load where nobody watches.
    count: AtomicUsize,
}

impl WatchTable {
    pub fn add(&self, fingerprint: u64, flag: &WatchFlag) {
        let mut flags = self.watchers.entry(fingerprint).or_default();
        flags.push(flag.clone());
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn remove(&self, fingerprint: u64, flag: &WatchFlag) {
        let mut removed = 0;
        self.watchers.remove_if_mut(&fingerprint, |_, flags| {
            let before = flags.len();
            flags.retain(|f| !Arc::ptr_eq(f, flag));
            removed = before - flags.len();
            flags.is_empty()
        });
        self.count.fetch_sub(removed, Ordering::SeqCst);
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub fn mark(&self, fingerprint: u64) {
        if let Some(flags) = self.watchers.get(&fingerprint) {
            for flag in flags.iter() {
                flag.store(true, Ordering::SeqCst);
            }
        }
    }

    pub fn mark_all(&self) {
        for flags in &self.watchers {
            for flag in flags.iter() {
                flag.store(true, Ordering::SeqCst);
            }
        }
    }
}

impl super::Keyspace {
    /// Has `flag` raised at the next change of the key.
    pub fn watch(&self, fingerprint: u64, flag: &WatchFlag) {
        self.watched.add(fingerprint, flag);
    }

    pub fn unwatch(&self, fingerprint: u64, flag: &WatchFlag) {
        self.watched.remove(fingerprint, flag);
    }
}
