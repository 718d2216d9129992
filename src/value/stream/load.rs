//! A stream that is read from the store, whose entries may come in any order, and more than once.

use super::node::{Fields, Node};
use super::{Consumer, ConsumerKey, Group, GroupKey, Stream, StreamId};
use crate::value::Limits;
use crate::value::listpack::Item;
use std::collections::BTreeMap;

/// Entries that came after others with higher ids, each in a node of its own.
#[derive(Clone, Debug, Default)]
pub struct Loading {
    late: BTreeMap<StreamId, Node>,
}

impl Stream {
    /// Takes an entry in.
    pub fn load_entry<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (Item<'f>, Item<'f>)> + Clone,
        bytes: usize,
        limits: &Limits,
    ) {
        let log = &mut self.body.log;
        if log.last_ever().is_none_or(|last| id > last) {
            log.push(id, fields, bytes, limits);
        } else {
            let loading = self.body.loading.get_or_insert_default();
            loading.late.insert(id, Node::new(id, fields));
        }
    }

    pub fn load_delete(&mut self, id: StreamId) {
        if let Some(loading) = &mut self.body.loading {
            loading.late.remove(&id);
        }
        self.body.log.delete(id);
    }

    /// Puts the late entries where they belong.
    pub fn load_finish(&mut self, limits: &Limits) {
        let Some(loading) = self.body.loading.take() else {
            return;
        };
        let early = std::mem::take(&mut self.body.log);
        let mut late = loading.late.into_iter().peekable();
        let log = &mut self.body.log;
        let mut push = |id, fields: Fields<'_>| {
            let bytes = fields.clone().map(|(name, value)| name.len() + value.len());
            let bytes = bytes.sum();
            log.push(id, fields, bytes, limits);
        };
        for entry in early.range(StreamId::MIN, StreamId::MAX) {
            while let Some((id, node)) = late.next_if(|(id, _)| *id < entry.id) {
                node.entries().for_each(|late| push(id, late.fields));
            }
            // What came later counts.
            match late.next_if(|(id, _)| *id == entry.id) {
                Some((id, node)) => node.entries().for_each(|late| push(id, late.fields)),
                None => push(entry.id, entry.fields),
            }
        }
        for (id, node) in late {
            node.entries().for_each(|late| push(id, late.fields));
        }
    }

    /// Removes a consumer; what is pending for it has been removed before, or is removed with it.
    pub fn load_remove_consumer(&mut self, name: &[u8], consumer: &[u8]) {
        let Some(group) = self.find_group(name) else {
            return;
        };
        let group = self.group_mut(group);
        let Some(key) = group.find_consumer(consumer) else {
            return;
        };
        while let Some(id) = group.consumer(key).pending().first().copied() {
            group.remove_pending(id);
        }
        group.remove_consumer(key);
    }

    /// The group with this name, which its own record may not have told of yet.
    pub fn load_group(&mut self, name: &[u8]) -> GroupKey {
        match self.find_group(name) {
            Some(key) => key,
            None => self.add_group(name, Group::default()),
        }
    }
}

impl Group {
    /// The same for a consumer.
    pub fn load_consumer(&mut self, name: &[u8]) -> ConsumerKey {
        match self.find_consumer(name) {
            Some(key) => key,
            None => self.add_consumer(Consumer::new(name, 0)),
        }
    }
}
