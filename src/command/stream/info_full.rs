//! XINFO STREAM FULL: the entries, groups, consumers and pending entries of a stream, some of each.

use super::info::{put, put_common};
use super::{reply_entry, reply_id, reply_known};
use crate::resp::Reply;
use crate::value::Stream;
use crate::value::stream::{Consumer, Group, StreamId};

/// Answers with up to `most` of each.
pub fn reply(reply: &mut dyn Reply, stream: &Stream, most: usize) {
    const FIELDS: usize = 9;
    reply.map(FIELDS);
    put_common(reply, stream);
    reply.bulk(b"entries");
    reply.array(stream.len().min(most));
    let entries = stream.range(StreamId::MIN, StreamId::MAX).take(most);
    entries.for_each(|entry| reply_entry(reply, entry));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, _, group) in stream.groups() {
        put_group(reply, stream, (name, group), most);
    }
}

fn put_group(reply: &mut dyn Reply, stream: &Stream, (name, group): (&[u8], &Group), most: usize) {
    const FIELDS: usize = 7;
    reply.map(FIELDS);
    reply.bulk(b"name");
    reply.bulk(name);
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    reply.bulk(b"entries-read");
    reply_known(reply, group.entries_read.map(|read| read as i64));
    reply.bulk(b"lag");
    reply_known(reply, stream.lag(group));
    put(reply, "pel-count", group.pending().len() as i64);
    reply.bulk(b"pending");
    reply.array(group.pending().len().min(most));
    for (id, pending) in group.pending().iter().take(most) {
        reply.array(4);
        reply_id(reply, *id);
        reply.bulk(&group.consumer(pending.consumer).name);
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for (_, consumer) in group.consumers() {
        put_consumer(reply, group, consumer, most);
    }
}

fn put_consumer(reply: &mut dyn Reply, group: &Group, consumer: &Consumer, most: usize) {
    const FIELDS: usize = 5;
    reply.map(FIELDS);
    reply.bulk(b"name");
    reply.bulk(&consumer.name);
    put(reply, "seen-time", consumer.seen_ms);
    put(reply, "active-time", consumer.active_ms);
    put(reply, "pel-count", consumer.pending().len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending().len().min(most));
    for id in consumer.pending().iter().take(most) {
        let Some(pending) = group.pending().get(id) else {
            unreachable!("what is pending for a consumer is pending in its group");
        };
        reply.array(3);
        reply_id(reply, *id);
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries as i64);
    }
}
