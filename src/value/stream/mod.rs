//! The stream: entries by id, and groups of consumers that read them.
//!
//! Invariants:
//! - Ids only grow: an entry's id is above the stream's last id, so entries are added at the end alone.
//! - Nodes are byte for byte those of Redis, and filled as it fills them: what `~` trims, and DUMP, agree.
//! - Each pending entry of a group belongs to one of its consumers, which lists it too.
//! - A stream without entries is still one.
//!
//! Depends on `listpack`, `base`.

mod group;
mod id;
mod load;
mod log;
mod node;
mod rax;
#[cfg(test)]
mod tests;

pub use group::{Consumer, ConsumerKey, Group, Pending};
pub use id::{IdBuffer, IdText, StreamId};
pub use log::{Deleted, TrimStep, Until};
pub use node::{Entry, Fields, Node};

use super::Limits;
use super::listpack::Item;
use load::Loading;
use log::Log;
use slab::Slab;
use std::collections::BTreeMap;

/// The number of a group in its stream.
pub type GroupKey = u32;

#[derive(Clone, Debug, Default)]
pub struct Stream {
    body: Box<Body>,
}

#[derive(Clone, Debug, Default)]
struct Body {
    log: Log,
    counters: Counters,
    groups: Slab<Group>,
    names: BTreeMap<Box<[u8]>, GroupKey>,
    /// While the stream is read from the store.
    loading: Option<Box<Loading>>,
}

/// What a stream knows of the entries that it has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often the other counters were set to something else than adding an entry makes of them.
    pub generation: u32,
    /// Entries ever added.
    pub added: u64,
    pub last_id: StreamId,
    /// The highest id that was deleted by name.
    pub max_deleted: StreamId,
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub until: Until,
    /// Only whole nodes go.
    pub is_rough: bool,
    /// Entries that may go at most; 0: any number.
    pub limit: usize,
}

impl Trim {
    #[inline]
    fn is_met(&self, len: usize) -> bool {
        match self.until {
            Until::MaxLen(most) => len as u64 <= most,
            Until::MinId(_) => false,
        }
    }
}

impl Stream {
    /// A stream as it was serialized; the groups follow.
    pub fn from_nodes(nodes: impl IntoIterator<Item = Node>, counters: Counters) -> Self {
        let mut stream = Self::default();
        for node in nodes {
            stream.body.log.push_node(node);
        }
        stream.set_counters(counters);
        stream
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.body.log.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    pub fn heap_bytes(&self) -> usize {
        let names = self.body.names.keys().map(|name| name.len());
        let groups = self.groups().map(|(_, _, group)| group.heap_bytes());
        size_of::<Body>()
            + self.body.log.heap_bytes()
            + self.body.groups.capacity() * size_of::<Group>()
            + names.sum::<usize>()
            + groups.sum::<usize>()
    }

    #[inline]
    pub fn counters(&self) -> Counters {
        self.body.counters
    }

    pub fn set_counters(&mut self, counters: Counters) {
        self.body.counters = counters;
    }

    #[inline]
    pub fn last_id(&self) -> StreamId {
        self.body.counters.last_id
    }

    /// Adds an entry, whose fields and values have so many bytes; its id is above [`Stream::last_id`].
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (Item<'f>, Item<'f>)> + Clone,
        bytes: usize,
        limits: &Limits,
    ) {
        debug_assert!(id > self.last_id(), "ids only grow");
        self.body.log.push(id, fields, bytes, limits);
        self.body.counters.last_id = id;
        self.body.counters.added = self.body.counters.added.wrapping_add(1);
    }

    /// Takes back the adding of the last entry, before which the last id was `last_id`.
    pub fn pop(&mut self, last_id: StreamId) {
        self.body.log.pop(self.body.counters.last_id);
        self.body.counters.last_id = last_id;
        self.body.counters.added = self.body.counters.added.wrapping_sub(1);
    }

    /// Deletes an entry. `None`: it is not there.
    pub fn delete(&mut self, id: StreamId) -> Option<Deleted> {
        self.body.log.delete(id)
    }

    /// Takes back the deletion of an entry whose node stayed.
    pub fn unmark(&mut self, id: StreamId) {
        self.body.log.unmark(id);
    }

    /// Puts a node back where it was.
    pub fn insert_node(&mut self, at: usize, node: Node) {
        self.body.log.insert_node(at, node);
    }

    /// One step of trimming, of which `done` entries are already gone.
    pub fn trim_step(&mut self, trim: &Trim, done: usize) -> TrimStep {
        self.body.log.trim_step(trim, done)
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.body.log.range(start, end)
    }

    /// The same from the last one on.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        self.body.log.range_back(start, end)
    }

    /// How many entries a range has, counted up to `most`.
    pub fn count(&self, start: StreamId, end: StreamId, most: usize) -> usize {
        self.body.log.count(start, end, most)
    }

    pub fn contains(&self, id: StreamId) -> bool {
        self.body.log.contains(id)
    }

    pub fn first(&self) -> Option<Entry<'_>> {
        self.body.log.first()
    }

    pub fn last(&self) -> Option<Entry<'_>> {
        self.body.log.last()
    }

    /// The id of the first entry; 0-0 where there is none.
    pub fn first_id(&self) -> StreamId {
        self.first().map_or(StreamId::MIN, |entry| entry.id)
    }

    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.body.log.nodes()
    }

    /// Nodes that a radix tree of the nodes' ids would have, which XINFO tells.
    pub fn radix_nodes(&self) -> usize {
        rax::nodes(self.nodes().map(|node| node.first().to_bytes()))
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], GroupKey, &Group)> {
        let named = self.body.names.iter();
        named.map(|(name, key)| (&**name, *key, self.group(*key)))
    }

    pub fn find_group(&self, name: &[u8]) -> Option<GroupKey> {
        self.body.names.get(name).copied()
    }

    #[inline]
    pub fn group(&self, key: GroupKey) -> &Group {
        &self.body.groups[key as usize]
    }

    #[inline]
    pub fn group_mut(&mut self, key: GroupKey) -> &mut Group {
        &mut self.body.groups[key as usize]
    }

    /// Adds a group whose name is not there. Adding the one that was removed last gives it its key again.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> GroupKey {
        let key = self.body.groups.insert(group) as GroupKey;
        let before = self.body.names.insert(name.into(), key);
        debug_assert!(before.is_none(), "a name is there once");
        key
    }

    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        let key = self.body.names.remove(name)?;
        Some(self.body.groups.remove(key as usize))
    }

    /// How many entries had been added once the one with this id was, as far as that can be told.
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        let Counters {
            added,
            last_id,
            max_deleted,
            ..
        } = self.counters();
        if added == 0 {
            return Some(0);
        }
        let len = self.len() as u64;
        if (len == 0 && id <= last_id) || id == last_id {
            return Some(added);
        }
        if id > last_id {
            return None;
        }
        let first = self.first_id();
        // With an entry deleted in between, the place of an id is not known.
        let is_whole = max_deleted == StreamId::MIN || max_deleted < first;
        match id.cmp(&first) {
            _ if !is_whole => None,
            std::cmp::Ordering::Less => Some(added.wrapping_sub(len)),
            std::cmp::Ordering::Equal => Some(added.wrapping_sub(len).wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// Whether an entry with this id or a higher one may have been deleted by name, among those that there are.
    pub fn has_gap_from(&self, id: StreamId) -> bool {
        let max_deleted = self.counters().max_deleted;
        max_deleted != StreamId::MIN
            && id <= max_deleted
            && self.first().is_some_and(|first| first.id <= max_deleted)
    }

    /// How many entries a group has yet to be given, as far as that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.counters().added;
        if added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gap_from(group.last_id) => Some(read),
            _ => self.added_up_to(group.last_id),
        };
        read.map(|read| added.wrapping_sub(read) as i64)
    }
}

/// By content: how entries are packed does not matter, nor do the keys of groups.
impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        let all = |stream: &Self| -> Vec<_> {
            let entries = stream.range(StreamId::MIN, StreamId::MAX);
            let owned = entries.map(|entry| {
                let fields = entry
                    .fields
                    .map(|(name, value)| (name.to_vec(), value.to_vec()));
                (entry.id, fields.collect::<Vec<_>>())
            });
            owned.collect()
        };
        let groups = |stream: &Self| -> Vec<_> {
            let named = stream.groups();
            named
                .map(|(name, _, group)| (name.to_vec(), group.clone()))
                .collect()
        };
        self.len() == other.len()
            && self.counters() == other.counters()
            && groups(self) == groups(other)
            && all(self) == all(other)
    }
}
