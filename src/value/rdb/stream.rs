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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::listpack::Item;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    /// Five entries, the second deleted, and a group with a consumer who has the first two that are left.
    fn sample() -> Stream {
        let mut stream = Stream::default();
        let limits = Limits {
            stream_node_max_entries: 3,
            ..Limits::default()
        };
        for ms in 1..=5 {
            let fields = [(Item::from(&b"field"[..]), Item::Int(ms as i64))];
            stream.push(StreamId::new(ms, 0), fields.into_iter(), 6, &limits);
        }
        stream.delete(StreamId::new(2, 0));
        let max_deleted = StreamId::new(2, 0);
        stream.set_counters(Counters {
            max_deleted,
            ..stream.counters()
        });
        let mut group = Group::new(StreamId::new(3, 0), Some(3));
        let consumer = group.add_consumer(Consumer::new(b"alice", 77));
        for ms in [1, 3] {
            let pending = Pending {
                consumer,
                delivered_ms: 70,
                deliveries: 2,
            };
            group.set_pending(StreamId::new(ms, 0), pending);
        }
        stream.add_group(b"group", group);
        stream
    }

    fn read_back(bytes: &[u8]) -> Option<Stream> {
        let (&tag, content) = bytes.split_first()?;
        read(tag, &mut Reader::new(content, LEN_MAX), &Limits::default())
    }

    /// The content in the form of another version: `counters` says whether its counters are in it, `active_ms` of the one
    /// consumer comes after the time at which he was seen.
    fn in_form(tag: u8, counters: bool, active_ms: Option<i64>) -> Vec<u8> {
        let stream = sample();
        let mut out = vec![tag];
        put_len(&mut out, stream.nodes().len());
        for node in stream.nodes() {
            put_bytes(&mut out, &node.first().to_bytes());
            put_bytes(&mut out, node.pack().bytes());
        }
        put_len(&mut out, stream.len());
        put_id(&mut out, stream.last_id());
        if counters {
            put_id(&mut out, stream.first_id());
            put_id(&mut out, stream.counters().max_deleted);
            put_len(&mut out, 5);
        }
        put_len(&mut out, 1);
        put_string(&mut out, b"group");
        put_id(&mut out, StreamId::new(3, 0));
        if counters {
            put_len(&mut out, 3);
        }
        put_len(&mut out, 2);
        for ms in [1, 3] {
            out.extend_from_slice(&StreamId::new(ms, 0).to_bytes());
            out.extend_from_slice(&70_i64.to_le_bytes());
            put_len(&mut out, 2);
        }
        put_len(&mut out, 1);
        put_string(&mut out, b"alice");
        out.extend_from_slice(&77_i64.to_le_bytes());
        if let Some(active_ms) = active_ms {
            out.extend_from_slice(&active_ms.to_le_bytes());
        }
        put_len(&mut out, 2);
        for ms in [1, 3] {
            out.extend_from_slice(&StreamId::new(ms, 0).to_bytes());
        }
        out
    }

    fn active_ms(stream: &Stream) -> i64 {
        let group = stream.find_group(b"group").expect("it was written");
        let group = stream.group(group);
        let consumer = group.find_consumer(b"alice").expect("it was written");
        group.consumer(consumer).active_ms
    }

    #[test]
    fn every_form_is_read() {
        let mut written = Vec::new();
        put(&mut written, &sample());
        assert_eq!(written, in_form(TAG_7_0, true, None));
        let seven = read_back(&written).expect("whole");
        assert_eq!(active_ms(&seven), 77);
        assert_eq!(seven.counters(), sample().counters());

        let later = read_back(&in_form(TAG_7_2, true, Some(50))).expect("whole");
        assert_eq!(active_ms(&later), 50);
        assert_eq!(later.counters(), sample().counters());

        let old = read_back(&in_form(TAG_5_0, false, None)).expect("whole");
        let counters = old.counters();
        assert_eq!((counters.added, counters.max_deleted), (4, StreamId::MIN));
        assert_eq!(old.len(), 4);
        // Where its group stands, nobody knows: the id is neither that of the first entry nor of the last.
        let group = old.find_group(b"group").expect("it was written");
        assert_eq!(old.group(group).entries_read, None);
        assert_eq!(old.group(group).pending().len(), 2);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let whole = in_form(TAG_7_0, true, None);
        for cut in 0..whole.len() {
            assert!(read_back(&whole[..cut]).is_none(), "{cut} bytes");
        }
        // An entry that is pending for nobody.
        let mut unclaimed = whole.clone();
        let claims = unclaimed.len() - 2 * StreamId::BYTES;
        unclaimed.truncate(claims - 1);
        unclaimed.push(0);
        assert!(read_back(&unclaimed).is_none());
        // An entry that is claimed twice.
        let mut twice = whole.clone();
        let first: [u8; StreamId::BYTES] = StreamId::new(1, 0).to_bytes();
        let at = twice.len() - StreamId::BYTES;
        twice[at..].copy_from_slice(&first);
        assert!(read_back(&twice).is_none());
    }

    proptest! {
        /// However it is damaged, it is refused, or can be read and written again.
        #[test]
        fn damage_does_no_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            tag in prop_oneof![Just(TAG_5_0), Just(TAG_7_0), Just(TAG_7_2)],
        ) {
            let active_ms = (tag == TAG_7_2).then_some(50);
            let mut bytes = in_form(tag, tag != TAG_5_0, active_ms);
            for (at, byte) in changes {
                let at = 1 + at.index(bytes.len() - 1);
                bytes[at] = byte;
            }
            if let Some(stream) = read_back(&bytes) {
                let count = stream.range(StreamId::MIN, StreamId::MAX).count();
                prop_assert_eq!(count, stream.len());
                prop_assert_eq!(stream.range_back(StreamId::MIN, StreamId::MAX).count(), count);
                let (mut once, mut twice) = (Vec::new(), Vec::new());
                put(&mut once, &stream);
                put(&mut twice, &read_back(&once).expect("whole"));
                prop_assert_eq!(once, twice);
            }
        }
    }
}
