//! A consumer group: what was delivered to whom, and is not acknowledged yet.

use super::StreamId;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};

/// The number of a consumer in its group.
pub type ConsumerKey = u32;

#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The id up to which entries were delivered.
    pub last_id: StreamId,
    /// How many entries the stream had got with that id; unknown after a jump to an arbitrary one.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Slab<Consumer>,
    names: BTreeMap<Box<[u8]>, ConsumerKey>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: ConsumerKey,
    pub delivered_ms: i64,
    pub deliveries: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub name: Box<[u8]>,
    /// When it last asked for anything.
    pub seen_ms: i64,
    /// When it last got anything; -1: never.
    pub active_ms: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn new(name: &[u8], seen_ms: i64) -> Self {
        Self {
            name: name.into(),
            seen_ms,
            active_ms: -1,
            pending: BTreeSet::new(),
        }
    }

    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self {
            last_id,
            entries_read,
            ..Self::default()
        }
    }

    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerKey, &Consumer)> {
        let keys = self.names.values();
        keys.map(|key| (*key, self.consumer(*key)))
    }

    #[inline]
    pub fn consumer(&self, key: ConsumerKey) -> &Consumer {
        &self.consumers[key as usize]
    }

    pub fn consumer_mut(&mut self, key: ConsumerKey) -> &mut Consumer {
        &mut self.consumers[key as usize]
    }

    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerKey> {
        self.names.get(name).copied()
    }

    /// Adds a consumer whose name is not there. Adding the one that was removed last gives it its key again.
    pub fn add_consumer(&mut self, consumer: Consumer) -> ConsumerKey {
        debug_assert!(consumer.pending.is_empty(), "its entries follow");
        let name = consumer.name.clone();
        let key = self.consumers.insert(consumer) as ConsumerKey;
        let before = self.names.insert(name, key);
        debug_assert!(before.is_none(), "a name is there once");
        key
    }

    /// Removes a consumer that has no pending entries.
    pub fn remove_consumer(&mut self, key: ConsumerKey) -> Consumer {
        let consumer = self.consumers.remove(key as usize);
        debug_assert!(consumer.pending.is_empty(), "its entries went before");
        self.names.remove(&consumer.name);
        consumer
    }

    /// Notes an entry as delivered. Returns what was noted of it before.
    pub fn set_pending(&mut self, id: StreamId, pending: Pending) -> Option<Pending> {
        let before = self.pending.insert(id, pending);
        match before {
            Some(before) if before.consumer == pending.consumer => return Some(before),
            Some(before) => {
                self.consumer_mut(before.consumer).pending.remove(&id);
            }
            None => {}
        }
        self.consumer_mut(pending.consumer).pending.insert(id);
        before
    }

    pub fn remove_pending(&mut self, id: StreamId) -> Option<Pending> {
        let before = self.pending.remove(&id)?;
        self.consumer_mut(before.consumer).pending.remove(&id);
        Some(before)
    }

    pub fn heap_bytes(&self) -> usize {
        /// A map's nodes are filled to about two thirds.
        const MAP_SPARE: (usize, usize) = (3, 2);
        let map = |len: usize, element: usize| len * element * MAP_SPARE.0 / MAP_SPARE.1;
        let names = self.names.keys().map(|name| 2 * name.len()).sum::<usize>();
        // Each pending entry is in the group's map and in its consumer's set.
        map(self.pending.len(), size_of::<(StreamId, Pending)>())
            + map(self.pending.len(), size_of::<StreamId>())
            + map(self.names.len(), size_of::<(Box<[u8]>, ConsumerKey)>())
            + self.consumers.capacity() * size_of::<Consumer>()
            + names
    }
}

/// By content: the keys of consumers do not matter.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        let pending = |group: &Self| {
            let named = group.pending.iter().map(|(id, pending)| {
                let name = group.consumer(pending.consumer).name.clone();
                (*id, pending.delivered_ms, pending.deliveries, name)
            });
            named.collect::<Vec<_>>()
        };
        let consumers = |group: &Self| {
            let all = group.consumers().map(|(_, consumer)| consumer.clone());
            all.collect::<Vec<_>>()
        };
        self.last_id == other.last_id
            && self.entries_read == other.entries_read
            && self.pending.len() == other.pending.len()
            && consumers(self) == consumers(other)
            && pending(self) == pending(other)
    }
}
