//! Who keeps copies of which keys.

use super::invalidation::{Broadcast, Invalidation, Void};
use crate::engine::client::Client;
use crate::engine::outbox::Outbox;
use crate::keyspace::Keyspace;
use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A client, and where it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracker {
    pub client: u64,
    conn: u32,
    pub shard: u32,
}

impl Tracker {
    pub fn new(client: u64, shard: u32, conn: u64) -> Self {
        Self {
            client,
            conn: conn as u32,
            shard,
        }
    }

    pub fn of(client: &Client) -> Self {
        Self::new(client.id(), client.info.shard, client.conn)
    }

    pub fn conn(&self) -> u64 {
        u64::from(self.conn)
    }

    /// Whether this is the client; its connection's number may have gone to another one.
    pub fn is(&self, client: &Client) -> bool {
        self.client == client.id()
    }
}

/// The trackers of one key: nearly always a few.
#[derive(Debug)]
enum Trackers {
    Few(SmallVec<[Tracker; 2]>),
    Many(Box<HashSet<Tracker, RandomState>>),
}

/// From so many on a key's trackers are looked up by hash.
const MANY_TRACKERS: usize = 16;

impl Trackers {
    /// Tells whether the tracker was not there.
    fn insert(&mut self, tracker: Tracker) -> bool {
        match self {
            Trackers::Few(few) if few.contains(&tracker) => false,
            Trackers::Few(few) if few.len() < MANY_TRACKERS => {
                few.push(tracker);
                true
            }
            Trackers::Few(few) => {
                let all = few.drain(..).chain([tracker]).collect();
                *self = Trackers::Many(Box::new(all));
                true
            }
            Trackers::Many(many) => many.insert(tracker),
        }
    }

    fn into_vec(self) -> Vec<Tracker> {
        match self {
            Trackers::Few(few) => few.into_vec(),
            Trackers::Many(many) => many.into_iter().collect(),
        }
    }
}

type Stripe = HashMap<Box<[u8]>, Trackers, RandomState>;

/// Enough that shards seldom meet.
const STRIPES: usize = 64;
/// Keys that one read takes out of a table that is too large: more than it brings in.
const EVICTED_AT_ONCE: usize = 2;

/// The tracked keys and the trackers of all shards.
#[derive(Debug)]
pub struct Tracking {
    /// Everybody who tracks.
    clients: Mutex<HashMap<u64, Tracker, RandomState>>,
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    /// The prefixes of BCAST.
    prefixes: RwLock<BTreeMap<Box<[u8]>, Vec<Tracker>>>,
    prefix_count: AtomicUsize,
}

impl Default for Tracking {
    fn default() -> Self {
        let hasher = RandomState::new();
        let stripe = || Mutex::new(Stripe::with_hasher(hasher.clone()));
        Self {
            clients: Mutex::default(),
            stripes: (0..STRIPES).map(|_| stripe()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            prefixes: RwLock::default(),
            prefix_count: AtomicUsize::new(0),
        }
    }
}

impl Tracking {
    /// A client begins to track. From here on commits tell which keys they changed.
    pub fn enter(&self, tracker: Tracker, keyspace: &Keyspace) {
        let mut clients = self.clients.lock();
        clients.insert(tracker.client, tracker);
        keyspace.set_tracked(true);
    }

    /// A client tracks no more. What it read stays in the table until it changes, or until nobody tracks.
    pub fn leave(&self, client: u64, prefixes: &[Box<[u8]>], keyspace: &Keyspace) {
        self.remove_prefixes(client, prefixes);
        // Held until the table is empty, so that nobody begins to track in between.
        let mut clients = self.clients.lock();
        clients.remove(&client);
        if clients.is_empty() {
            keyspace.set_tracked(false);
            self.clear();
        }
    }

    pub fn add_prefixes(&self, tracker: Tracker, added: &[Box<[u8]>]) {
        let mut prefixes = self.prefixes.write();
        for prefix in added {
            prefixes.entry(prefix.clone()).or_default().push(tracker);
        }
        self.prefix_count.store(prefixes.len(), Ordering::SeqCst);
    }

    fn remove_prefixes(&self, client: u64, removed: &[Box<[u8]>]) {
        if removed.is_empty() {
            return;
        }
        let mut prefixes = self.prefixes.write();
        for prefix in removed {
            if let Some(trackers) = prefixes.get_mut(prefix) {
                trackers.retain(|tracker| tracker.client != client);
                if trackers.is_empty() {
                    prefixes.remove(prefix);
                }
            }
        }
        self.prefix_count.store(prefixes.len(), Ordering::SeqCst);
    }

    /// A client is about to read a key. Where the table would hold more than `keys_max` keys (0: any number), others go.
    pub fn remember(&self, tracker: Tracker, key: &[u8], keys_max: usize, outbox: &mut Outbox) {
        let mut stripe = self.stripe(key).lock();
        let (is_new_key, is_new) = if let Some(trackers) = stripe.get_mut(key) {
            (false, trackers.insert(tracker))
        } else {
            let trackers = Trackers::Few(SmallVec::from_slice(&[tracker]));
            stripe.insert(key.into(), trackers);
            (true, true)
        };
        drop(stripe);
        self.items.fetch_add(usize::from(is_new), Ordering::Relaxed);
        if is_new_key {
            self.keys.fetch_add(1, Ordering::Relaxed);
            self.shrink(keys_max, EVICTED_AT_ONCE, outbox);
        }
    }

    /// Takes keys out of a table that is too large, so many at most.
    pub fn shrink(&self, keys_max: usize, at_once: usize, outbox: &mut Outbox) {
        for _ in 0..at_once {
            if keys_max == 0 || self.key_count() <= keys_max {
                return;
            }
            let first = fastrand::usize(..STRIPES);
            let mut stripes = (0..STRIPES).map(|n| &self.stripes[(first + n) % STRIPES]);
            let victim = stripes.find_map(|stripe| {
                let mut stripe = stripe.lock();
                let key = stripe.keys().next()?.clone();
                stripe.remove_entry(&key)
            });
            let Some((key, trackers)) = victim else {
                return;
            };
            self.post_void(&key, trackers, outbox);
        }
    }

    /// A key has changed: its trackers hear of it, and are forgotten.
    pub fn changed(&self, key: &[u8], outbox: &mut Outbox) {
        let removed = self.stripe(key).lock().remove(key);
        if let Some(trackers) = removed {
            self.post_void(key, trackers, outbox);
        }
    }

    fn post_void(&self, key: &[u8], trackers: Trackers, outbox: &mut Outbox) {
        let trackers = trackers.into_vec();
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(trackers.len(), Ordering::Relaxed);
        let what = Void::key(key, outbox.writer);
        post(trackers, &what, outbox);
    }

    /// All keys of a database are gone: everybody hears that all copies are void.
    pub fn flushed(&self, outbox: &mut Outbox) {
        self.clear();
        let everybody = self.clients.lock().values().copied().collect();
        post(everybody, &Void::All, outbox);
    }

    /// Whether somebody tracks a prefix of the key.
    #[inline]
    pub fn is_broadcast(&self, key: &[u8]) -> bool {
        self.prefix_count.load(Ordering::Relaxed) > 0
            && self.prefixes.read().keys().any(|p| key.starts_with(p))
    }

    /// Tells those who track prefixes of the keys that were changed.
    pub fn post_broadcast(&self, broadcast: &Broadcast, outbox: &mut Outbox) {
        for (prefix, trackers) in &*self.prefixes.read() {
            if let Some(what) = broadcast.with_prefix(prefix) {
                post(trackers.clone(), &what, outbox);
            }
        }
    }

    pub fn client_count(&self) -> usize {
        self.clients.lock().len()
    }

    pub fn key_count(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Pairs of a key and a client.
    pub fn item_count(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    pub fn prefix_count(&self) -> usize {
        self.prefix_count.load(Ordering::Relaxed)
    }

    fn stripe(&self, key: &[u8]) -> &Mutex<Stripe> {
        &self.stripes[self.hasher.hash_one(key) as usize % STRIPES]
    }

    fn clear(&self) {
        for stripe in &self.stripes {
            let table = std::mem::take(&mut *stripe.lock());
            self.keys.fetch_sub(table.len(), Ordering::Relaxed);
            for trackers in table.into_values() {
                let count = trackers.into_vec().len();
                self.items.fetch_sub(count, Ordering::Relaxed);
            }
        }
    }
}

/// Posts to each shard what concerns its clients.
fn post(mut trackers: Vec<Tracker>, what: &Void, outbox: &mut Outbox) {
    trackers.sort_unstable_by_key(|tracker| (tracker.shard, tracker.client));
    for of_shard in trackers.chunk_by(|a, b| a.shard == b.shard) {
        let invalidation = Invalidation {
            to: of_shard.to_vec(),
            what: what.clone(),
        };
        outbox.invalidate(of_shard[0].shard, invalidation);
    }
}
