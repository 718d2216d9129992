//! The scripts and functions that wait or are suspended, for SCRIPT PS. Those that end within their first slice, without
//! waiting, never come here.

use crate::keyspace::Key;
use crate::locks::{Footprint, Queued};
use crate::script::Callee;
use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use std::sync::Arc;

/// Names of keys that are kept of a call.
pub const NAMES_MAX: usize = 128;

/// What a call is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Suspended,
    Waiting,
    Committing,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Suspended => "suspended",
            State::Waiting => "waiting for locks",
            State::Committing => "committing",
        }
    }
}

/// How a call stands to the keyspace as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whole {
    #[default]
    No,
    Held,
    WaitedFor,
}

impl Whole {
    pub fn name(self) -> &'static str {
        match self {
            Whole::No => "no",
            Whole::Held => "held",
            Whole::WaitedFor => "waited for",
        }
    }
}

/// A call that others can see.
#[derive(Debug)]
pub struct Unfinished {
    pub callee: Callee,
    pub client: u64,
    pub shard: u32,
    /// On the monotonic clock.
    pub started_us: u64,
    /// The names of keys by their fingerprints.
    names: Mutex<Vec<(u64, Key)>>,
    status: Mutex<Status>,
}

#[derive(Debug)]
pub struct Status {
    pub state: State,
    pub whole: Whole,
    pub held: Footprint,
    /// Its place in the queues.
    pub queued: Option<Queued>,
    /// Keys that it will ask for, where it has no place in a queue yet.
    pub wanted: Footprint,
}

/// What SCRIPT PS shows of a call.
#[derive(Debug)]
pub struct Seen {
    pub state: State,
    pub whole: Whole,
    pub held: Vec<Key>,
    pub waited_for: Vec<Key>,
}

impl Unfinished {
    pub fn new(callee: Callee, client: u64, shard: u32, started_us: u64, status: Status) -> Self {
        Self {
            callee,
            client,
            shard,
            started_us,
            names: Mutex::default(),
            status: Mutex::new(status),
        }
    }

    /// Keeps the name of a key.
    pub fn add_name(&self, fingerprint: u64, key: &[u8]) {
        let mut names = self.names.lock();
        if names.len() < NAMES_MAX && names.iter().all(|(of, _)| *of != fingerprint) {
            names.push((fingerprint, Key::from_slice(key)));
        }
    }

    pub fn set_status(&self, status: Status) {
        *self.status.lock() = status;
    }

    pub fn set_state(&self, state: State) {
        let mut status = self.status.lock();
        status.state = state;
        if state == State::Running {
            status.queued = None;
            status.wanted = Footprint::default();
        }
    }

    pub fn seen(&self) -> Seen {
        let status = self.status.lock();
        let (mut held, mut waited_for) = (status.held.clone(), status.wanted.clone());
        if let Some(queued) = &status.queued {
            (held, waited_for) = queued.held_and_wanted();
        }
        let seen = |footprint: Footprint| self.named(&footprint);
        Seen {
            state: status.state,
            whole: status.whole,
            held: seen(held),
            waited_for: seen(waited_for),
        }
    }

    /// The names of keys, in their order; those without one are left out.
    fn named(&self, footprint: &Footprint) -> Vec<Key> {
        let names = self.names.lock();
        let mut named: Vec<Key> = names
            .iter()
            .filter(|(fingerprint, _)| footprint.contains(*fingerprint).is_some())
            .map(|(_, key)| key.clone())
            .collect();
        named.sort_unstable();
        named
    }
}

/// The calls of all shards that are unfinished.
#[derive(Debug)]
pub struct UnfinishedCalls {
    shards: Box<[CachePadded<OfShard>]>,
}

type OfShard = Mutex<Vec<Arc<Unfinished>>>;

impl UnfinishedCalls {
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
        }
    }

    pub fn enter(&self, call: Arc<Unfinished>) {
        self.shards[call.shard as usize].lock().push(call);
    }

    pub fn leave(&self, call: &Arc<Unfinished>) {
        let mut calls = self.shards[call.shard as usize].lock();
        calls.retain(|present| !Arc::ptr_eq(present, call));
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Unfinished>> {
        let mut all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|calls| calls.lock().clone())
            .collect();
        all.sort_by_key(|call| call.started_us);
        all
    }
}
