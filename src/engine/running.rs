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
    pub callee: RunningCallee,
    pub started_us: u64,
    /// Raised by SCRIPT KILL; seen at the next slice.
    pub killed: AtomicBool,
}

/// What is run.
#[derive(Debug)]
pub struct RunningCallee {
    /// The SHA1 of a script, the name of a function.
    pub name: String,
    pub is_function: bool,
    /// The client's request, shortened.
    pub command: Vec<Vec<u8>>,
}

/// How an attempt to kill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Done,
    /// Nothing is running.
    Nothing,
    /// Nothing of this kind is running, but something of the other.
    OtherKind,
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
    /// How many of these are functions.
    busy_functions: AtomicUsize,
    next_id: AtomicUsize,
}

impl Running {
    pub fn enter(
        &self,
        shard: u32,
        client: u64,
        callee: RunningCallee,
        started_us: u64,
    ) -> Arc<RunningScript> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) as u64;
        let killed = AtomicBool::new(false);
        let script = Arc::new(RunningScript {
            id,
            shard,
            client,
            callee,
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

    /// SCRIPT KILL and FUNCTION KILL: of scripts, or of functions, ends those past the busy threshold, or else the one that
    /// has run longest.
    pub fn kill(&self, functions: bool, now_us: u64, busy_us: u64) -> Kill {
        let mut all = self.all();
        let others = all.len();
        all.retain(|script| script.callee.is_function == functions);
        if all.is_empty() {
            return if others > 0 {
                Kill::OtherKind
            } else {
                Kill::Nothing
            };
        }
        let is_busy = |s: &&Arc<RunningScript>| busy_us > 0 && now_us - s.started_us >= busy_us;
        let busy = all.iter().filter(is_busy).count().max(1);
        for script in all.iter().take(busy) {
            script.killed.store(true, Ordering::Release);
        }
        Kill::Done
    }

    /// The function that has run longest.
    pub fn oldest_function(&self) -> Option<Arc<RunningScript>> {
        let mut all = self.all().into_iter();
        all.find(|script| script.callee.is_function)
    }

    /// Marks what a slow script holds; `None` for the whole keyspace.
    pub fn mark_busy(&self, held: Option<&[u64]>, is_function: bool) {
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
        self.busy_functions
            .fetch_add(usize::from(is_function), Ordering::SeqCst);
        self.busy_count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn unmark_busy(&self, held: Option<&[u64]>, is_function: bool) {
        self.busy_count.fetch_sub(1, Ordering::SeqCst);
        self.busy_functions
            .fetch_sub(usize::from(is_function), Ordering::SeqCst);
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

    /// Whether all that is busy are functions.
    pub fn only_functions_are_busy(&self) -> bool {
        let functions = self.busy_functions.load(Ordering::SeqCst);
        functions > 0 && functions >= self.busy_count.load(Ordering::SeqCst)
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
