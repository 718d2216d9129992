//! Scripts that have used up their first time slice: who they are, how to end them, and which keys they keep from others.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A script that runs for longer than a slice.
#[derive(Debug)]
pub struct RunningScript {
    pub id: u64,
    pub shard: u32,
    pub client: u64,
    pub sha: String,
    pub started_us: u64,
    /// Raised by SCRIPT KILL; seen at the next slice.
    pub killed: AtomicBool,
}

/// The running scripts of all shards. Short scripts never come here.
#[derive(Debug, Default)]
pub struct Running {
    scripts: Mutex<HashMap<u64, Arc<RunningScript>>>,
    /// Fingerprints that scripts past the busy threshold hold, with how many hold each.
    busy: Mutex<HashMap<u64, usize>>,
    /// Slow scripts that hold the whole keyspace.
    busy_alone: AtomicUsize,
    busy_count: AtomicUsize,
    next_id: AtomicUsize,
}

impl Running {
    pub fn enter(
        &self,
        shard: u32,
        client: u64,
        sha: String,
        started_us: u64,
    ) -> Arc<RunningScript> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) as u64;
        let killed = AtomicBool::new(false);
        let script = Arc::new(RunningScript {
            id,
            shard,
            client,
            sha,
            started_us,
            killed,
        });
        self.scripts.lock().insert(id, script.clone());
        script
    }

    pub fn leave(&self, id: u64) {
        self.scripts.lock().remove(&id);
    }

    pub fn all(&self) -> Vec<Arc<RunningScript>> {
        let mut all: Vec<_> = self.scripts.lock().values().cloned().collect();
        all.sort_unstable_by_key(|script| script.started_us);
        all
    }

    /// SCRIPT KILL: ends the scripts past the busy threshold, or else the one that has run longest. Returns how many.
    pub fn kill(&self, now_us: u64, busy_us: u64) -> usize {
        let all = self.all();
        let is_busy = |s: &&Arc<RunningScript>| busy_us > 0 && now_us - s.started_us >= busy_us;
        let busy = all.iter().filter(is_busy).count().max(1);
        let chosen = all.iter().take(busy);
        chosen
            .map(|script| script.killed.store(true, Ordering::Release))
            .count()
    }

    /// Marks what a slow script holds; `None` for the whole keyspace.
    pub fn mark_busy(&self, held: Option<&[u64]>) {
        match held {
            None => {
                self.busy_alone.fetch_add(1, Ordering::SeqCst);
            }
            Some(fingerprints) => {
                let mut busy = self.busy.lock();
                for fingerprint in fingerprints {
                    *busy.entry(*fingerprint).or_default() += 1;
                }
            }
        }
        self.busy_count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn unmark_busy(&self, held: Option<&[u64]>) {
        self.busy_count.fetch_sub(1, Ordering::SeqCst);
        let Some(fingerprints) = held else {
            self.busy_alone.fetch_sub(1, Ordering::SeqCst);
            return;
        };
        let mut busy = self.busy.lock();
        for fingerprint in fingerprints {
            if let Some(count) = busy.get_mut(fingerprint) {
                *count -= 1;
                if *count == 0 {
                    busy.remove(fingerprint);
                }
            }
        }
    }

    pub fn any_busy(&self) -> bool {
        self.busy_count.load(Ordering::Relaxed) > 0
    }

    pub fn is_busy_alone(&self) -> bool {
        self.busy_alone.load(Ordering::SeqCst) > 0
    }

    /// Whether a slow script holds one of these, or everything.
    pub fn is_busy(&self, mut fingerprints: impl Iterator<Item = u64>) -> bool {
        if self.is_busy_alone() {
            return true;
        }
        let busy = self.busy.lock();
        !busy.is_empty() && fingerprints.any(|f| busy.contains_key(&f))
    }
}
