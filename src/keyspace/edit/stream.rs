//! Changes to a stream.
//!
//! ```text
//! header  = generation:u32le added:u64le last-id max-deleted-id
//! element = 0 id                        value = varint(generation) varint(added) (name value)*    an entry
//!         | 1 group                     value = last-id entries-read:i64le
//!         | 2 string(group) consumer    value = seen-ms:i64le active-ms:i64le
//!         | 3 string(group) id          value = delivered-ms:i64le deliveries:u64le consumer     a pending entry
//! id      = ms:u64be seq:u64be
//! name, value, string = varint(length) bytes
//! ```
//!
//! So that adding an entry logs that entry alone, it carries how many had been added once it was: the stream's counters are
//! those of the entry or the header with the highest pair of generation and count. What sets the counters back begins a new
//! generation. Zeros say that an entry knows nothing of the counters.

use super::super::record::TYPE_STREAM;
use super::super::stored::Stored;
use super::{Collection, Edit, variant};
use crate::value::listpack::Item;
use crate::value::stream::{
    Consumer, ConsumerKey, Counters, Deleted, Entry, Group, GroupKey, Node, Pending, StreamId,
    Trim, TrimStep,
};
use crate::value::{Limits, Stream};
use smallvec::SmallVec;

const TAG_ENTRY: u8 = 0;
const TAG_GROUP: u8 = 1;
const TAG_CONSUMER: u8 = 2;
const TAG_PENDING: u8 = 3;

/// What undoes a change to a stream.
#[derive(Debug)]
pub enum StreamChange {
    /// An entry was added; the last id before it.
    Added(StreamId),
    /// An entry was marked as deleted.
    Marked(StreamId),
    Dropped {
        at: usize,
        node: Node,
    },
    Counters(Counters),
    GroupAdded(Box<[u8]>),
    GroupRemoved(Box<(Box<[u8]>, Group)>),
    GroupMoved {
        group: GroupKey,
        last_id: StreamId,
        entries_read: Option<u64>,
    },
    ConsumerAdded {
        group: GroupKey,
        consumer: ConsumerKey,
    },
    ConsumerRemoved {
        group: GroupKey,
        consumer: Box<Consumer>,
    },
    ConsumerSeen {
        group: GroupKey,
        consumer: ConsumerKey,
        seen_ms: i64,
        active_ms: i64,
    },
    Pending {
        group: GroupKey,
        id: StreamId,
        old: Option<Pending>,
    },
}

impl Edit<'_, Stream> {
    /// Adds an entry of fields and values, with an id above all that the stream has had.
    pub fn add<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) {
        let limits = self.limits();
        let Counters {
            generation, added, ..
        } = self.counters();
        let mut record = self.take_record();
        put_number(&mut record, u64::from(generation));
        put_number(&mut record, added.wrapping_add(1));
        let mut bytes = 0;
        for (name, value) in fields.clone() {
            put_string(&mut record, name);
            put_string(&mut record, value);
            bytes += name.len() + value.len();
        }
        let before = self.last_id();
        let items = fields.map(|(name, value)| (Item::from(name), Item::from(value)));
        self.value.push(id, items, bytes, &limits);
        self.put_record(&entry_key(id), &record);
        self.buffers.record_value = record;
        self.changed(StreamChange::Added(before));
    }

    /// Deletes entries, and notes the highest of them. Returns how many were there.
    pub fn delete(&mut self, ids: &[StreamId]) -> usize {
        let mut counters = self.counters();
        let mut count = 0;
        for id in ids {
            let change = match self.value.delete(*id) {
                None => continue,
                Some(Deleted::Marked) => StreamChange::Marked(*id),
                Some(Deleted::Dropped { at, node }) => StreamChange::Dropped { at, node },
            };
            self.delete_record(&entry_key(*id));
            self.changed(change);
            counters.max_deleted = counters.max_deleted.max(*id);
            count += 1;
        }
        if count > 0 {
            self.replace_counters(counters);
        }
        count
    }

    /// Removes the oldest entries. Returns how many.
    pub fn trim(&mut self, trim: &Trim) -> usize {
        let mut done = 0;
        loop {
            match self.value.trim_step(trim, done) {
                TrimStep::Dropped(node) => {
                    for entry in node.entries().filter(Entry::is_live) {
                        self.delete_record(&entry_key(entry.id));
                        done += 1;
                    }
                    self.changed(StreamChange::Dropped { at: 0, node });
                }
                TrimStep::Marked(ids) => {
                    done += ids.len();
                    for id in ids {
                        self.delete_record(&entry_key(id));
                        self.changed(StreamChange::Marked(id));
                    }
                    break;
                }
                TrimStep::Over => break,
            }
        }
        if done > 0 {
            // The entries that are gone told of the counters.
            self.put_header();
        }
        done
    }

    /// Sets the counters; the generation is the stream's own.
    pub fn set_counters(&mut self, counters: Counters) {
        let generation = self.counters().generation.wrapping_add(1);
        self.replace_counters(Counters {
            generation,
            ..counters
        });
    }

    /// Adds a group whose name is not there.
    pub fn add_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<u64>) {
        let key = self
            .value
            .add_group(name, Group::new(last_id, entries_read));
        self.log_group(name, key);
        self.changed(StreamChange::GroupAdded(name.into()));
    }

    /// Removes a group. Tells whether it was there.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.value.remove_group(name) else {
            return false;
        };
        for id in group.pending().keys() {
            self.delete_record(&pending_key(name, *id));
        }
        for (_, consumer) in group.consumers() {
            self.delete_record(&consumer_key(name, &consumer.name));
        }
        self.delete_record(&group_key(name));
        self.changed(StreamChange::GroupRemoved(Box::new((name.into(), group))));
        true
    }

    /// Sets up to where a group has read.
    pub fn move_group(
        &mut self,
        name: &[u8],
        key: GroupKey,
        last_id: StreamId,
        entries_read: Option<u64>,
    ) {
        let group = self.value.group_mut(key);
        let old = StreamChange::GroupMoved {
            group: key,
            last_id: std::mem::replace(&mut group.last_id, last_id),
            entries_read: std::mem::replace(&mut group.entries_read, entries_read),
        };
        self.log_group(name, key);
        self.changed(old);
    }

    /// Adds a consumer whose name is not there.
    pub fn add_consumer(&mut self, name: &[u8], group: GroupKey, consumer: &[u8]) -> ConsumerKey {
        let new = Consumer::new(consumer, self.now_ms());
        let key = self.value.group_mut(group).add_consumer(new);
        self.log_consumer(name, group, key);
        self.changed(StreamChange::ConsumerAdded {
            group,
            consumer: key,
        });
        key
    }

    /// Removes a consumer and forgets what is pending for it. Returns how many entries these were.
    pub fn remove_consumer(&mut self, name: &[u8], group: GroupKey, key: ConsumerKey) -> usize {
        let pending = self.group(group).consumer(key).pending();
        let pending: Vec<StreamId> = pending.iter().copied().collect();
        for id in &pending {
            self.acknowledge(name, group, *id);
        }
        let consumer = self.value.group_mut(group).remove_consumer(key);
        self.delete_record(&consumer_key(name, &consumer.name));
        self.changed(StreamChange::ConsumerRemoved {
            group,
            consumer: Box::new(consumer),
        });
        pending.len()
    }

    /// Notes that a consumer was seen now, and whether it got anything.
    pub fn see_consumer(&mut self, name: &[u8], group: GroupKey, key: ConsumerKey, active: bool) {
        let now_ms = self.now_ms();
        let consumer = self.value.group_mut(group).consumer_mut(key);
        let old = StreamChange::ConsumerSeen {
            group,
            consumer: key,
            seen_ms: consumer.seen_ms,
            active_ms: consumer.active_ms,
        };
        let active_ms = if active { now_ms } else { consumer.active_ms };
        if consumer.seen_ms == now_ms && consumer.active_ms == active_ms {
            return;
        }
        consumer.seen_ms = now_ms;
        consumer.active_ms = active_ms;
        self.log_consumer(name, group, key);
        self.changed(old);
    }

    /// Notes an entry as delivered to a consumer.
    pub fn deliver(&mut self, name: &[u8], group: GroupKey, id: StreamId, pending: Pending) {
        let mut record = self.take_record();
        let owner = self.value.group_mut(group);
        let old = owner.set_pending(id, pending);
        put_pending(&mut record, owner, &pending);
        self.put_record(&pending_key(name, id), &record);
        self.buffers.record_value = record;
        self.changed(StreamChange::Pending { group, id, old });
    }

    /// Forgets that an entry is pending. Tells whether it was.
    pub fn acknowledge(&mut self, name: &[u8], group: GroupKey, id: StreamId) -> bool {
        let old = self.value.group_mut(group).remove_pending(id);
        if old.is_none() {
            return false;
        }
        self.delete_record(&pending_key(name, id));
        self.changed(StreamChange::Pending { group, id, old });
        true
    }

    /// Room for a record's value, used again for each.
    fn take_record(&mut self) -> Vec<u8> {
        let mut record = std::mem::take(&mut self.buffers.record_value);
        record.clear();
        record
    }

    fn replace_counters(&mut self, counters: Counters) {
        let old = self.counters();
        self.value.set_counters(counters);
        self.put_header();
        self.changed(StreamChange::Counters(old));
    }

    fn log_group(&mut self, name: &[u8], key: GroupKey) {
        let record = group_record(self.group(key));
        self.put_record(&group_key(name), &record);
    }

    fn log_consumer(&mut self, name: &[u8], group: GroupKey, key: ConsumerKey) {
        let consumer = self.group(group).consumer(key);
        let (element, record) = (
            consumer_key(name, &consumer.name),
            consumer_record(consumer),
        );
        self.put_record(&element, &record);
    }
}

impl Collection for Stream {
    variant!(Stream, StreamChange);

    /// A stream without entries has its counters and groups still.
    fn is_over(&self) -> bool {
        false
    }

    fn undo(&mut self, change: StreamChange) {
        match change {
            StreamChange::Added(last_id) => self.pop(last_id),
            StreamChange::Marked(id) => self.unmark(id),
            StreamChange::Dropped { at, node } => self.insert_node(at, node),
            StreamChange::Counters(old) => self.set_counters(old),
            StreamChange::GroupAdded(name) => {
                self.remove_group(&name);
            }
            StreamChange::GroupRemoved(removed) => {
                let (name, group) = *removed;
                self.add_group(&name, group);
            }
            StreamChange::GroupMoved {
                group,
                last_id,
                entries_read,
            } => {
                let group = self.group_mut(group);
                group.last_id = last_id;
                group.entries_read = entries_read;
            }
            StreamChange::ConsumerAdded { group, consumer } => {
                self.group_mut(group).remove_consumer(consumer);
            }
            StreamChange::ConsumerRemoved { group, consumer } => {
                self.group_mut(group).add_consumer(*consumer);
            }
            StreamChange::ConsumerSeen {
                group,
                consumer,
                seen_ms,
                active_ms,
            } => {
                let consumer = self.group_mut(group).consumer_mut(consumer);
                consumer.seen_ms = seen_ms;
                consumer.active_ms = active_ms;
            }
            StreamChange::Pending { group, id, old } => {
                let group = self.group_mut(group);
                match old {
                    Some(old) => group.set_pending(id, old),
                    None => group.remove_pending(id),
                };
            }
        }
    }
}

impl Stored for Stream {
    fn tag(&self) -> u8 {
        TYPE_STREAM
    }

    fn put_header(&self, out: &mut Vec<u8>) {
        let counters = self.counters();
        out.extend_from_slice(&counters.generation.to_le_bytes());
        out.extend_from_slice(&counters.added.to_le_bytes());
        out.extend_from_slice(&counters.last_id.to_bytes());
        out.extend_from_slice(&counters.max_deleted.to_bytes());
    }

    fn load_header(&mut self, payload: &[u8]) -> Option<()> {
        let mut rest = payload;
        let generation = u32::from_le_bytes(*take(&mut rest)?);
        let added = u64::from_le_bytes(*take(&mut rest)?);
        let last_id = StreamId::from_bytes(*take(&mut rest)?);
        let max_deleted = StreamId::from_bytes(*take(&mut rest)?);
        let mut counters = self.counters();
        if (generation, added) >= (counters.generation, counters.added) {
            counters = Counters {
                generation,
                added,
                last_id,
                max_deleted,
            };
        }
        counters.max_deleted = max_deleted;
        self.set_counters(counters);
        rest.is_empty().then_some(())
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut record = Vec::new();
        for entry in self.range(StreamId::MIN, StreamId::MAX) {
            record.clear();
            record.extend_from_slice(&[0, 0]);
            for (name, value) in entry.fields {
                put_string(&mut record, name.bytes(&mut itoa::Buffer::new()));
                put_string(&mut record, value.bytes(&mut itoa::Buffer::new()));
            }
            put(&entry_key(entry.id), &record);
        }
        for (name, _, group) in self.groups() {
            put(&group_key(name), &group_record(group));
            for (_, consumer) in group.consumers() {
                put(
                    &consumer_key(name, &consumer.name),
                    &consumer_record(consumer),
                );
            }
            for (id, pending) in group.pending() {
                record.clear();
                put_pending(&mut record, group, pending);
                put(&pending_key(name, *id), &record);
            }
        }
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        match element.split_first()? {
            (&TAG_ENTRY, id) => load_entry(self, parse_id(id)?, value, limits),
            (&TAG_GROUP, name) => {
                let key = self.load_group(name);
                let group = self.group_mut(key);
                let mut rest = value;
                group.last_id = StreamId::from_bytes(*take(&mut rest)?);
                let read = i64::from_le_bytes(*take(&mut rest)?);
                // Counting goes on beyond what is positive, as in Redis.
                group.entries_read = (read != -1).then_some(read as u64);
                rest.is_empty().then_some(())
            }
            (&TAG_CONSUMER, names) => {
                let (name, consumer) = split_string(names)?;
                let group = self.load_group(name);
                let group = self.group_mut(group);
                let key = group.load_consumer(consumer);
                let consumer = group.consumer_mut(key);
                let mut rest = value;
                consumer.seen_ms = i64::from_le_bytes(*take(&mut rest)?);
                consumer.active_ms = i64::from_le_bytes(*take(&mut rest)?);
                rest.is_empty().then_some(())
            }
            (&TAG_PENDING, names) => {
                let (name, id) = split_string(names)?;
                let id = parse_id(id)?;
                let group = self.load_group(name);
                let group = self.group_mut(group);
                let mut rest = value;
                let delivered_ms = i64::from_le_bytes(*take(&mut rest)?);
                let deliveries = u64::from_le_bytes(*take(&mut rest)?);
                let consumer = group.load_consumer(rest);
                group.set_pending(
                    id,
                    Pending {
                        consumer,
                        delivered_ms,
                        deliveries,
                    },
                );
                Some(())
            }
            _ => None,
        }
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        match element.split_first()? {
            (&TAG_ENTRY, id) => Stream::load_delete(self, parse_id(id)?),
            (&TAG_GROUP, name) => {
                self.remove_group(name);
            }
            (&TAG_CONSUMER, names) => {
                let (name, consumer) = split_string(names)?;
                self.load_remove_consumer(name, consumer);
            }
            (&TAG_PENDING, names) => {
                let (name, id) = split_string(names)?;
                let id = parse_id(id)?;
                if let Some(group) = self.find_group(name) {
                    self.group_mut(group).remove_pending(id);
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn load_finish(&mut self, limits: &Limits) {
        Stream::load_finish(self, limits);
    }
}

fn load_entry(stream: &mut Stream, id: StreamId, record: &[u8], limits: &Limits) -> Option<()> {
    let mut rest = record;
    let generation = u32::try_from(take_number(&mut rest)?).ok()?;
    let added = take_number(&mut rest)?;
    let mut strings = Vec::new();
    let mut bytes = 0;
    while !rest.is_empty() {
        let (name, after) = split_string(rest)?;
        let (value, after) = split_string(after)?;
        rest = after;
        bytes += name.len() + value.len();
        strings.push((Item::from(name), Item::from(value)));
    }
    stream.load_entry(id, strings.iter().copied(), bytes, limits);
    let counters = stream.counters();
    if (generation, added) > (counters.generation, counters.added) {
        stream.set_counters(Counters {
            generation,
            added,
            last_id: id,
            ..counters
        });
    }
    Some(())
}

fn entry_key(id: StreamId) -> [u8; 1 + StreamId::BYTES] {
    let mut key = [TAG_ENTRY; 1 + StreamId::BYTES];
    key[1..].copy_from_slice(&id.to_bytes());
    key
}

fn group_key(name: &[u8]) -> Vec<u8> {
    [&[TAG_GROUP], name].concat()
}

fn consumer_key(name: &[u8], consumer: &[u8]) -> ElementKey {
    key_in_group(TAG_CONSUMER, name, consumer)
}

fn pending_key(name: &[u8], id: StreamId) -> ElementKey {
    key_in_group(TAG_PENDING, name, &id.to_bytes())
}

/// With names of the usual length it needs no allocation.
type ElementKey = SmallVec<[u8; 48]>;

fn key_in_group(tag: u8, name: &[u8], rest: &[u8]) -> ElementKey {
    let mut key = ElementKey::new();
    key.push(tag);
    put_number_to(name.len() as u64, |byte| key.push(byte));
    key.extend_from_slice(name);
    key.extend_from_slice(rest);
    key
}

fn group_record(group: &Group) -> Vec<u8> {
    let read = group.entries_read.map_or(-1, |read| read as i64);
    [&group.last_id.to_bytes()[..], &read.to_le_bytes()].concat()
}

fn consumer_record(consumer: &Consumer) -> Vec<u8> {
    [
        consumer.seen_ms.to_le_bytes(),
        consumer.active_ms.to_le_bytes(),
    ]
    .concat()
}

fn put_pending(out: &mut Vec<u8>, group: &Group, pending: &Pending) {
    out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
    out.extend_from_slice(&pending.deliveries.to_le_bytes());
    out.extend_from_slice(&group.consumer(pending.consumer).name);
}

const VARINT_BYTES_MAX: usize = 10;

fn put_number(out: &mut Vec<u8>, number: u64) {
    put_number_to(number, |byte| out.push(byte));
}

fn put_number_to(mut number: u64, mut put: impl FnMut(u8)) {
    while number >= 0x80 {
        put(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u8);
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for index in 0..VARINT_BYTES_MAX {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Splits off a string with its length before it.
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    let len = usize::try_from(take_number(&mut rest)?).ok()?;
    rest.split_at_checked(len)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

fn parse_id(bytes: &[u8]) -> Option<StreamId> {
    bytes.try_into().ok().map(StreamId::from_bytes)
}
