//! The serialized forms of a stream.
//!
//! ```text
//! stream   = length (string(id) string(node))*                    (the nodes as they are: listpacks)
//!            length id                                            (entries, last id)
//!            id id added                                          (first id, highest deleted id; not in type 15)
//!            length group*
//! group    = string id read length pending* length consumer*      (`read`: not in type 15)
//! pending  = ms:u64be seq:u64be delivered-ms:i64le deliveries
//! consumer = string seen-ms:i64le active-ms:i64le length (ms:u64be seq:u64be)*      (`active-ms`: in type 21 alone)
//! id       = ms seq                                               (as lengths; inside a string 16 bytes, big-endian)
//! ```
//!
//! Type 15 is of Redis 5, 19 of 7.0, 21 of 7.2. Type 19 is written.

use super::Reader;
use super::code::{put_bytes, put_len, put_string};
use crate::value::stream::{Consumer, Counters, Group, Node, Pending, StreamId};
use crate::value::{Limits, Listpack, Stream};

const TAG_5_0: u8 = 15;
const TAG_7_0: u8 = 19;
const TAG_7_2: u8 = 21;

pub fn put(out: &mut Vec<u8>, stream: &Stream) {
    out.push(TAG_7_0);
    put_len(out, stream.nodes().len());
    for node in stream.nodes() {
        put_bytes(out, &node.first().to_bytes());
        put_bytes(out, node.pack().bytes());
    }
    let counters = stream.counters();
    put_len(out, stream.len());
    put_id(out, counters.last_id);
    put_id(out, stream.first_id());
    put_id(out, counters.max_deleted);
    put_len(out, counters.added as usize);
    put_len(out, stream.groups().len());
    for (name, _, group) in stream.groups() {
        put_group(out, name, group);
    }
}

fn put_group(out: &mut Vec<u8>, name: &[u8], group: &Group) {
    put_string(out, name);
    put_id(out, group.last_id);
    put_len(
        out,
        group.entries_read.map_or(usize::MAX, |read| read as usize),
    );
    put_len(out, group.pending().len());
    for (id, pending) in group.pending() {
        out.extend_from_slice(&id.to_bytes());
        out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
        put_len(out, pending.deliveries as usize);
    }
    put_len(out, group.consumers().len());
    for (_, consumer) in group.consumers() {
        put_string(out, &consumer.name);
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        put_len(out, consumer.pending().len());
        for id in consumer.pending() {
            out.extend_from_slice(&id.to_bytes());
        }
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_len(out, id.ms as usize);
    put_len(out, id.seq as usize);
}

/// Reads a stream. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(tag: u8, reader: &mut Reader<'_>, _limits: &Limits) -> Option<Stream> {
    if !matches!(tag, TAG_5_0 | TAG_7_0 | TAG_7_2) {
        return None;
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut top = None;
    for _ in 0..reader.length()? {
        let node = read_node(reader)?;
        // Ids only grow, within a node and from one to the next; those of deleted entries may come again.
        let before = nodes.last().map(Node::first).max(top);
        before
            .is_none_or(|before| node.first() > before)
            .then_some(())?;
        top = node.last_live().or(top);
        nodes.push(node);
    }
    let len = reader.length()?;
    let mut counters = Counters {
        generation: 0,
        added: len as u64,
        last_id: read_id(reader)?,
        max_deleted: StreamId::MIN,
    };
    if tag != TAG_5_0 {
        // The first id is that of the first entry.
        read_id(reader)?;
        counters.max_deleted = read_id(reader)?;
        counters.added = reader.length()? as u64;
    }
    let mut stream = Stream::from_nodes(nodes, counters);
    if top.is_some_and(|top| top > counters.last_id) || stream.len() != len {
        return None;
    }
    for _ in 0..reader.length()? {
        read_group(tag, reader, &mut stream)?;
    }
    Some(stream)
}

fn read_node(reader: &mut Reader<'_>) -> Option<Node> {
    let first = reader.string()?.to_buf();
    let first = StreamId::from_bytes(first.as_slice().try_into().ok()?);
    let pack = reader.string()?.to_buf().into_vec();
    Node::from_pack(first, Listpack::from_bytes(pack)?)
}

fn read_group(tag: u8, reader: &mut Reader<'_>, stream: &mut Stream) -> Option<()> {
    let name = reader.string()?.to_buf();
    let last_id = read_id(reader)?;
    let entries_read = match tag {
        TAG_5_0 => stream.added_up_to(last_id),
        _ => match reader.length()? as u64 {
            u64::MAX => None,
            read => Some(read),
        },
    };
    if stream.find_group(&name).is_some() {
        return None;
    }
    let mut group = Group::new(last_id, entries_read);
    // Delivered when and how often; to whom is told later.
    let mut unclaimed = std::collections::BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = StreamId::from_bytes(reader.chunk()?);
        let delivered_ms = i64::from_le_bytes(reader.chunk()?);
        let deliveries = reader.length()? as u64;
        if unclaimed.insert(id, (delivered_ms, deliveries)).is_some() {
            return None;
        }
    }
    for _ in 0..reader.length()? {
        let consumer_name = reader.string()?.to_buf();
        let seen_ms = i64::from_le_bytes(reader.chunk()?);
        if group.find_consumer(&consumer_name).is_some() {
            return None;
        }
        let mut consumer = Consumer::new(&consumer_name, seen_ms);
        consumer.active_ms = match tag {
            TAG_7_2 => i64::from_le_bytes(reader.chunk()?),
            _ => seen_ms,
        };
        let consumer = group.add_consumer(consumer);
        for _ in 0..reader.length()? {
            let id = StreamId::from_bytes(reader.chunk()?);
            let (delivered_ms, deliveries) = unclaimed.remove(&id)?;
            let pending = Pending {
                consumer,
                delivered_ms,
                deliveries,
            };
            group.set_pending(id, pending);
        }
    }
    // What is pending is pending for somebody.
    unclaimed.is_empty().then_some(())?;
    stream.add_group(&name, group);
    Some(())
}

fn read_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    let ms = reader.length()? as u64;
    Some(StreamId::new(ms, reader.length()? as u64))
}
