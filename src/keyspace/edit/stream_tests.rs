//! Streams are taken back exactly, and read back from their records in whatever order these come.

use super::super::{Absent, Keyspace, Loader, Txn, TxnBuffers};
use super::Edit;
use crate::value::stream::{Counters, Pending, StreamId, Trim, Until};
use crate::value::{Limits, Stream, Value, rdb};
use aidb::Op;
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: &[u8] = b"key";
const GROUPS: [&[u8]; 2] = [b"", b"group"];
const CONSUMERS: [&[u8]; 2] = [b"alice", b"bob"];

#[derive(Clone, Debug)]
enum Step {
    Add(u64, u8),
    Delete(u64),
    TrimTo(u64),
    SetLast(u64, u64),
    AddGroup(usize),
    RemoveGroup(usize),
    /// A consumer of a group reads so many.
    Read(usize, usize, usize),
    Acknowledge(usize, u64),
    RemoveConsumer(usize, usize),
    Remove,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let id = || 1..30_u64;
    let (group, consumer) = (|| 0..GROUPS.len(), || 0..CONSUMERS.len());
    let step = prop_oneof![
        12 => (1..3_u64, any::<u8>()).prop_map(|(more, value)| Step::Add(more, value)),
        4 => id().prop_map(Step::Delete),
        1 => (0..12_u64).prop_map(Step::TrimTo),
        1 => (id(), 0..50_u64).prop_map(|(id, added)| Step::SetLast(id, added)),
        3 => group().prop_map(Step::AddGroup),
        1 => group().prop_map(Step::RemoveGroup),
        6 => (group(), consumer(), 0..5_usize).prop_map(|(g, c, n)| Step::Read(g, c, n)),
        3 => (group(), id()).prop_map(|(group, id)| Step::Acknowledge(group, id)),
        1 => (group(), consumer()).prop_map(|(g, c)| Step::RemoveConsumer(g, c)),
        1 => Just(Step::Remove),
    ];
    prop::collection::vec(step, 0..most)
}

fn run(txn: &mut Txn<'_>, steps: &[Step]) {
    for step in steps {
        if let Step::Remove = step {
            txn.remove(KEY);
            continue;
        }
        let edited = txn.edit::<Stream, _>(KEY, Absent::Create, |stream| apply(stream, step));
        assert!(matches!(edited, Ok(Some(()))));
    }
}

fn apply(stream: &mut Edit<'_, Stream>, step: &Step) {
    match step {
        Step::Add(more, value) => {
            let id = StreamId::new(stream.last_id().ms + more, 0);
            stream.add(id, [(&b"field"[..], &[*value][..])].into_iter());
        }
        Step::Delete(ms) => {
            stream.delete(&[StreamId::new(*ms, 0), StreamId::new(*ms + 1, 0)]);
        }
        Step::TrimTo(len) => {
            stream.trim(&Trim {
                until: Until::MaxLen(*len),
                is_rough: false,
                limit: 0,
            });
        }
        Step::SetLast(ms, added) => {
            let top = stream.last().map_or(StreamId::MIN, |entry| entry.id);
            let counters = Counters {
                last_id: top.max(StreamId::new(*ms, 0)),
                added: (*added).max(stream.len() as u64),
                ..stream.counters()
            };
            stream.set_counters(counters);
        }
        Step::AddGroup(at) if stream.find_group(GROUPS[*at]).is_none() => {
            // The highest count that XGROUP takes, for one of them.
            let read = [0, i64::MAX as u64][*at];
            stream.add_group(GROUPS[*at], StreamId::MIN, Some(read));
        }
        Step::RemoveGroup(at) => {
            stream.remove_group(GROUPS[*at]);
        }
        Step::Read(at, who, most) => read(stream, GROUPS[*at], CONSUMERS[*who], *most),
        Step::Acknowledge(at, ms) => {
            if let Some(group) = stream.find_group(GROUPS[*at]) {
                stream.acknowledge(GROUPS[*at], group, StreamId::new(*ms, 0));
            }
        }
        Step::RemoveConsumer(at, who) => {
            let group = stream.find_group(GROUPS[*at]);
            let found = group.and_then(|group| {
                let consumer = stream.group(group).find_consumer(CONSUMERS[*who])?;
                Some((group, consumer))
            });
            if let Some((group, consumer)) = found {
                stream.remove_consumer(GROUPS[*at], group, consumer);
            }
        }
        Step::AddGroup(_) | Step::Remove => {}
    }
}

fn read(stream: &mut Edit<'_, Stream>, name: &[u8], consumer: &[u8], most: usize) {
    let Some(group) = stream.find_group(name) else {
        return;
    };
    let known = stream.group(group).find_consumer(consumer);
    let consumer = known.unwrap_or_else(|| stream.add_consumer(name, group, consumer));
    let after = stream.group(group).last_id.next().unwrap_or_default();
    let ids = stream.range(after, StreamId::MAX).take(most);
    let ids: Vec<StreamId> = ids.map(|entry| entry.id).collect();
    for id in ids {
        let pending = Pending {
            consumer,
            delivered_ms: 5,
            deliveries: 1,
        };
        stream.deliver(name, group, id, pending);
        let read = stream.group(group).entries_read;
        let read = read
            .filter(|_| id.ms % 7 > 0)
            .map(|read| read.wrapping_add(1));
        stream.move_group(name, group, id, read);
        stream.see_consumer(name, group, consumer, true);
    }
}

fn limits() -> Limits {
    Limits {
        stream_node_max_entries: 4,
        ..Limits::default()
    }
}

fn value(txn: &mut Txn<'_>) -> Option<(Value, Vec<u8>)> {
    txn.peek(KEY).map(|value| (value.clone(), rdb::dump(value)))
}

/// A record that was put, or (`None`) deleted; the key's records all at once have no name.
type Record = (Vec<u8>, Option<Vec<u8>>);

fn records(buffers: &TxnBuffers) -> Vec<Record> {
    let all = buffers.batch.iter().map(|op| match op {
        Op::Put { key, value } => (key.to_vec(), Some(value.to_vec())),
        Op::Delete { key } => (key.to_vec(), None),
        Op::DeletePrefix { .. } => (Vec::new(), None),
    });
    all.collect()
}

fn load<'r>(records: impl Iterator<Item = &'r Record>, prefix: &[u8]) -> Option<Value> {
    let keyspace = Keyspace::new(1);
    let mut loader = Loader::new(&keyspace, limits());
    for (key, value) in records {
        let op = match value {
            Some(value) => Op::Put { key, value },
            None if key.is_empty() => Op::DeletePrefix { prefix },
            None => Op::Delete { key },
        };
        loader.apply(op).expect("what is written can be read");
    }
    loader.finish(0).expect("each part comes with its header");
    let mut buffers = TxnBuffers::default();
    let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
    txn.peek(KEY).cloned()
}

proptest! {
    #[test]
    fn what_is_taken_back_was_never_there(before in steps(40), undone in steps(40)) {
        let (keyspace, mirror) = (Keyspace::new(1), Keyspace::new(1));
        let mut buffers = TxnBuffers { limits: limits(), ..TxnBuffers::default() };
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1000);
        run(&mut txn, &before);
        txn.commit_to_mirror(&mirror);
        let committed = value(&mut txn);
        drop(txn);
        // Later, so that consumers are seen anew.
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 2000);
        run(&mut txn, &undone);
        txn.rollback();
        prop_assert_eq!(value(&mut txn), committed);
    }

    /// A rewritten journal has the last record of each key in no order; after it, records may come that it has already.
    #[test]
    fn records_in_any_order_are_the_stream(steps in steps(80), seed: u64, from in any::<prop::sample::Index>()) {
        let keyspace = Keyspace::new(1);
        let mut buffers = TxnBuffers { limits: limits(), ..TxnBuffers::default() };
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1000);
        run(&mut txn, &steps);
        let written = txn.peek(KEY).cloned();
        drop(txn);
        let journal = records(&buffers);
        let mut prefix = Vec::new();
        super::super::record::put_key_prefix(&mut prefix, 0, KEY);
        prop_assert_eq!(&load(journal.iter(), &prefix), &written);
        let mut last = BTreeMap::new();
        for (key, value) in &journal {
            if key.is_empty() {
                last.clear();
            } else {
                last.insert(key.clone(), value.clone());
            }
        }
        let mut base: Vec<Record> = last.into_iter().filter(|(_, value)| value.is_some()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut base);
        prop_assert_eq!(&load(base.iter(), &prefix), &written);
        // From where the stream was made last.
        let made = journal.iter().rposition(|(key, _)| key.is_empty()).map_or(0, |at| at + 1);
        let again = &journal[made..];
        let again = &again[from.index(again.len() + 1)..];
        prop_assert_eq!(&load(base.iter().chain(again), &prefix), &written);
    }
}
