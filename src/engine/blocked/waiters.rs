//! Who waits for data in which key, in the order in which they began to wait.

use crate::command::Awaited;
use crate::engine::registry::Entry;
use crate::engine::tracking::Tracker;
use crate::keyspace::Keyspace;
use crate::locks::{Mode, WaiterId};
use crate::resp::{OwnedArgs, Protocol};
use dashmap::DashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A command that waits for data, with all that is needed to run it again on any shard.
pub struct Waiter {
    pub id: WaiterId,
    /// Its place in every queue: waiters are served in ascending order.
    pub number: u64,
    pub entry: &'static Entry,
    pub args: OwnedArgs,
    /// The logical database.
    pub db: usize,
    pub protocol: Protocol,
    pub no_touch: bool,
    pub client: u64,
    /// The client, where it keeps copies of what it reads.
    pub tracker: Option<Tracker>,
    pub awaited: Awaited,
    /// How the key that has got data is locked for a retry.
    pub mode: Mode,
    /// Keys that a retry needs besides that one: arguments, and how they are locked.
    pub others: SmallVec<[(usize, Mode); 1]>,
    pub state: Mutex<WaitState>,
}

/// What changes of a waiter. Whoever runs the waiter's command on its behalf keeps the mutex while it runs.
pub struct WaitState {
    pub stage: Stage,
    /// The keys that it waits on, as fingerprints, each with its argument.
    pub keys: SmallVec<[(u64, usize); 2]>,
}

/// How far a waiter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    /// Its own shard is to run it again, because this argument's key has got data and nobody else could. Until that has
    /// happened, those behind it wait.
    Called(usize),
    /// It has its answer, or has given up.
    Over,
}

impl WaitState {
    /// The argument whose key has this fingerprint.
    pub fn argument_of(&self, fingerprint: u64) -> Option<usize> {
        let found = self.keys.iter().find(|(f, _)| *f == fingerprint);
        found.map(|(_, argument)| *argument)
    }
}

impl Waiter {
    /// The fingerprints of the keys that it waits on, in the physical database that its logical one is now.
    pub fn fingerprints(
        &self,
        keyspace: &Keyspace,
        arguments: &[usize],
    ) -> SmallVec<[(u64, usize); 2]> {
        let db = keyspace.physical(self.db);
        let args = self.args.as_args();
        let mut keys: SmallVec<[(u64, usize); 2]> = SmallVec::new();
        for argument in arguments {
            let fingerprint = keyspace.fingerprint(db, args.get(*argument));
            if keys.iter().all(|(f, _)| *f != fingerprint) {
                keys.push((fingerprint, *argument));
            }
        }
        keys
    }
}

type Queue = BTreeMap<u64, Arc<Waiter>>;

/// All waiters of the server.
///
/// A waiter is in the queue of each of its keys from when it begins to wait until its stage is [`Stage::Over`]; both change
/// under its mutex. The queues' own locks are taken inside of that, and never the other way round.
pub struct Waiters {
    keyspace: &'static Keyspace,
    queues: DashMap<(u64, Awaited), Queue, ahash::RandomState>,
    next_number: AtomicU64,
}

impl Waiters {
    pub fn new(keyspace: &'static Keyspace) -> Self {
        Self {
            keyspace,
            queues: DashMap::default(),
            next_number: AtomicU64::new(1),
        }
    }

    pub fn take_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters a waiter into the queues of its keys. The caller has these keys locked, or the whole keyspace.
    pub fn enter(&self, waiter: &Arc<Waiter>, state: &WaitState) {
        for (fingerprint, _) in &state.keys {
            let mut queue = self
                .queues
                .entry((*fingerprint, waiter.awaited))
                .or_default();
            queue.insert(waiter.number, waiter.clone());
            self.keyspace.awaited.add(*fingerprint);
        }
    }

    /// Takes a waiter out of its queues.
    pub fn leave(&self, waiter: &Waiter, state: &WaitState) {
        for (fingerprint, _) in &state.keys {
            let queue = (*fingerprint, waiter.awaited);
            self.queues.remove_if_mut(&queue, |_, queue| {
                if queue.remove(&waiter.number).is_some() {
                    self.keyspace.awaited.remove(*fingerprint);
                }
                queue.is_empty()
            });
        }
    }

    /// The first waiter of a key whose number is above `after`.
    pub fn next(&self, fingerprint: u64, awaited: Awaited, after: u64) -> Option<Arc<Waiter>> {
        let queue = self.queues.get(&(fingerprint, awaited))?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        queue.range(behind).next().map(|(_, waiter)| waiter.clone())
    }

    /// Brings every waiter to the physical database that its logical one is now; returns the fingerprints that are waited
    /// on. The caller has the whole keyspace.
    pub fn settle(&self) -> Vec<u64> {
        let mut all = BTreeMap::new();
        for queue in &self.queues {
            all.extend(
                queue
                    .iter()
                    .map(|(number, waiter)| (*number, waiter.clone())),
            );
        }
        let mut fingerprints = Vec::new();
        for waiter in all.into_values() {
            let mut state = waiter.state.lock();
            if state.stage == Stage::Over {
                continue;
            }
            let arguments: SmallVec<[usize; 2]> = state.keys.iter().map(|(_, a)| *a).collect();
            let keys = waiter.fingerprints(self.keyspace, &arguments);
            if keys != state.keys {
                self.leave(&waiter, &state);
                state.keys = keys;
                self.enter(&waiter, &state);
            }
            fingerprints.extend(state.keys.iter().map(|(fingerprint, _)| *fingerprint));
        }
        fingerprints.sort_unstable();
        fingerprints.dedup();
        fingerprints
    }
}
