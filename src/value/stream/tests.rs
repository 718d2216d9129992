//! The stream against a plain map.

use super::*;
use crate::value::Listpack;
use proptest::collection::vec;
use proptest::prelude::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<StreamId, Fields>,
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64, u64, Fields),
    /// A push that is taken back.
    PushAndPop(Fields),
    Delete(prop::sample::Index),
    /// A deletion that is taken back.
    DeleteAndRestore(prop::sample::Index),
    TrimToLen(prop::sample::Index, bool, usize),
    TrimToId(prop::sample::Index, bool),
    Range(prop::sample::Index, prop::sample::Index, usize),
}

fn limits() -> Limits {
    Limits {
        stream_node_max_bytes: 200,
        stream_node_max_entries: 7,
        ..Limits::default()
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    let text = || {
        prop_oneof![
            3 => "[ab]".prop_map(String::into_bytes),
            1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            1 => vec(any::<u8>(), 0..80),
        ]
    };
    prop_oneof![
        vec((Just(b"a".to_vec()), text()), 1..2),
        vec((text(), text()), 1..4),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        10 => (0..3_u64, 0..3_u64, fields()).prop_map(|(ms, seq, fields)| Step::Push(ms, seq, fields)),
        1 => fields().prop_map(Step::PushAndPop),
        3 => index().prop_map(Step::Delete),
        1 => index().prop_map(Step::DeleteAndRestore),
        1 => (index(), any::<bool>(), 0..20_usize).prop_map(|(to, rough, limit)| Step::TrimToLen(to, rough, limit)),
        1 => (index(), any::<bool>()).prop_map(|(to, rough)| Step::TrimToId(to, rough)),
        2 => (index(), index(), 0..12_usize).prop_map(|(from, to, most)| Step::Range(from, to, most)),
    ];
    vec(step, 0..80)
}

fn push(stream: &mut Stream, id: StreamId, fields: &Fields) {
    push_with(stream, id, fields, &limits());
}

fn push_with(stream: &mut Stream, id: StreamId, fields: &Fields, limits: &Limits) {
    let bytes = fields.iter().map(|(name, value)| name.len() + value.len());
    let items = fields.iter();
    let items = items.map(|(name, value)| (Item::from(&**name), Item::from(&**value)));
    stream.push(id, items, bytes.sum(), limits);
}

fn read(entry: Entry<'_>) -> (StreamId, Fields) {
    let fields = entry
        .fields
        .map(|(name, value)| (name.to_vec(), value.to_vec()));
    (entry.id, fields.collect())
}

/// Every byte of the nodes.
fn layout(stream: &Stream) -> Vec<(StreamId, Vec<u8>)> {
    let nodes = stream.nodes();
    nodes
        .map(|node| (node.first(), node.pack().bytes().to_vec()))
        .collect()
}

impl Model {
    fn id(&self, at: prop::sample::Index) -> StreamId {
        match self.entries.len() {
            0 => StreamId::new(1, 1),
            len => *self
                .entries
                .keys()
                .nth(at.index(len))
                .expect("below the length"),
        }
    }

    /// The model follows the stream where it is rough: what went went from the front.
    fn trimmed(&mut self, trim: &Trim, gone: usize) {
        let wanted = match trim.until {
            Until::MaxLen(most) => self.entries.len().saturating_sub(most as usize),
            Until::MinId(least) => self.entries.range(..least).count(),
        };
        assert!(gone <= wanted, "{gone} of {wanted}");
        if !trim.is_rough {
            assert_eq!(gone, wanted);
        }
        assert!(trim.limit == 0 || gone <= trim.limit);
        for _ in 0..gone {
            self.entries.pop_first();
        }
    }
}

/// Trims, takes that back and trims again.
fn trim(stream: &mut Stream, trim: &Trim) -> usize {
    let mut gone = 0;
    for again in [true, false] {
        gone = 0;
        let before = (layout(stream), stream.len());
        let mut undo = Vec::new();
        loop {
            match stream.trim_step(trim, gone) {
                TrimStep::Dropped(node) => {
                    gone += node.live();
                    undo.push(node);
                }
                TrimStep::Marked(ids) => {
                    gone += ids.len();
                    if again {
                        for id in ids {
                            stream.unmark(id);
                        }
                    }
                    break;
                }
                TrimStep::Over => break,
            }
        }
        if again {
            while let Some(node) = undo.pop() {
                stream.insert_node(0, node);
            }
            assert_eq!((layout(stream), stream.len()), before);
        }
    }
    gone
}

fn apply(stream: &mut Stream, model: &mut Model, step: Step) {
    match step {
        Step::Push(ms, seq, fields) => {
            let last = stream.last_id();
            let id = match ms {
                0 => StreamId::new(last.ms, last.seq + 1 + seq),
                _ => StreamId::new(last.ms + ms, seq),
            };
            push(stream, id, &fields);
            model.entries.insert(id, fields);
        }
        Step::PushAndPop(fields) => {
            let before = (layout(stream), stream.counters());
            let id = stream.last_id().next().expect("far from the end");
            push(stream, id, &fields);
            stream.pop(before.1.last_id);
            assert_eq!((layout(stream), stream.counters()), before);
        }
        Step::Delete(at) => {
            let id = model.id(at);
            let deleted = stream.delete(id).is_some();
            assert_eq!(deleted, model.entries.remove(&id).is_some());
            assert!(stream.delete(id).is_none());
        }
        Step::DeleteAndRestore(at) => {
            let (id, before) = (model.id(at), layout(stream));
            match stream.delete(id) {
                Some(Deleted::Marked) => stream.unmark(id),
                Some(Deleted::Dropped { at, node }) => stream.insert_node(at, node),
                None => assert!(model.entries.is_empty()),
            }
            assert_eq!(layout(stream), before);
        }
        Step::TrimToLen(to, is_rough, limit) => {
            let most = to.index(model.entries.len() + 1) as u64;
            let how = Trim {
                until: Until::MaxLen(most),
                is_rough,
                limit: if is_rough { limit } else { 0 },
            };
            let gone = trim(stream, &how);
            model.trimmed(&how, gone);
        }
        Step::TrimToId(to, is_rough) => {
            let how = Trim {
                until: Until::MinId(model.id(to)),
                is_rough,
                limit: 0,
            };
            let gone = trim(stream, &how);
            model.trimmed(&how, gone);
        }
        Step::Range(from, to, most) => compare_range(stream, model, (from, to), most),
    }
}

fn compare_range(
    stream: &Stream,
    model: &Model,
    (from, to): (prop::sample::Index, prop::sample::Index),
    most: usize,
) {
    let (start, end) = (model.id(from), model.id(to));
    let expected: Vec<_> = if start <= end {
        let range = model.entries.range(start..=end);
        range.map(|(id, fields)| (*id, fields.clone())).collect()
    } else {
        Vec::new()
    };
    let forward: Vec<_> = stream.range(start, end).map(read).collect();
    assert_eq!(forward, expected);
    let mut back: Vec<_> = stream.range_back(start, end).map(read).collect();
    back.reverse();
    assert_eq!(back, expected);
    assert_eq!(stream.count(start, end, most), expected.len().min(most));
    assert_eq!(stream.contains(start), model.entries.contains_key(&start));
}

proptest! {
    #[test]
    fn it_is_a_map_by_id(steps in steps()) {
        let (mut stream, mut model) = (Stream::default(), Model::default());
        for step in steps {
            apply(&mut stream, &mut model, step);
            prop_assert_eq!(stream.len(), model.entries.len());
            let all = stream.range(StreamId::MIN, StreamId::MAX).map(read);
            prop_assert!(all.eq(model.entries.iter().map(|(id, fields)| (*id, fields.clone()))));
            prop_assert_eq!(stream.first().map(read), model.entries.iter().next().map(|(id, fields)| (*id, fields.clone())));
            prop_assert_eq!(stream.last().map(|entry| entry.id), model.entries.keys().next_back().copied());
            for node in stream.nodes() {
                let again = Listpack::from_bytes(node.pack().bytes().to_vec()).expect("well formed");
                prop_assert!(Node::from_pack(node.first(), again).is_some(), "{:?}", node);
            }
        }
        prop_assert_eq!(&stream.clone(), &stream);
    }

    /// However a stranger's node is damaged, it is refused or can be read.
    #[test]
    fn a_damaged_node_is_refused_or_whole(
        entries in vec(fields(), 1..6),
        deleted in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), -3..200_i64), 0..3),
    ) {
        let mut stream = Stream::default();
        for (seq, fields) in entries.iter().enumerate() {
            push(&mut stream, StreamId::new(5, seq as u64 + 1), fields);
        }
        if entries.len() > 1 {
            stream.delete(StreamId::new(5, 1 + deleted.index(entries.len()) as u64));
        }
        for node in stream.nodes() {
            let mut pack = node.pack().clone();
            for (at, number) in &changes {
                pack.replace(at.index(pack.len()), *number);
            }
            if let Some(node) = Node::from_pack(node.first(), pack) {
                let mut ids: Vec<_> = node.entries().map(read).collect();
                ids.reverse();
                prop_assert!(node.entries_back().map(read).eq(ids));
                prop_assert_eq!(node.entries().filter(Entry::is_live).count(), node.live());
            }
        }
    }

    /// Entries that come in any order, some of them twice, are those that come in theirs.
    #[test]
    fn loading_in_any_order_is_loading(
        order in Just((0..40_u64).collect::<Vec<_>>()).prop_shuffle(),
        again in vec(0..40_u64, 0..10),
        deleted in vec(0..40_u64, 0..10),
    ) {
        let (mut loaded, mut pushed) = (Stream::default(), Stream::default());
        for seq in order.iter().chain(&again) {
            let value = seq.to_string();
            let fields = [(Item::from(&b"field"[..]), Item::from(value.as_bytes()))];
            loaded.load_entry(StreamId::new(1, *seq), fields.into_iter(), 8, &limits());
        }
        for seq in &deleted {
            loaded.load_delete(StreamId::new(1, *seq));
        }
        loaded.load_finish(&limits());
        for seq in (0..40).filter(|seq| !deleted.contains(seq)) {
            push(&mut pushed, StreamId::new(1, seq), &vec![(b"field".to_vec(), seq.to_string().into_bytes())]);
        }
        loaded.set_counters(pushed.counters());
        prop_assert_eq!(loaded, pushed);
    }
}

#[test]
fn an_id_that_comes_again_is_deleted_and_restored() {
    let mut stream = Stream::default();
    let fields = vec![(b"a".to_vec(), b"b".to_vec())];
    let ids = [1, 2, 3].map(|ms| StreamId::new(ms, 0));
    for id in ids {
        push(&mut stream, id, &fields);
    }
    assert!(matches!(stream.delete(ids[1]), Some(Deleted::Marked)));
    assert!(matches!(stream.delete(ids[2]), Some(Deleted::Marked)));
    stream.set_counters(Counters {
        last_id: ids[0],
        ..stream.counters()
    });
    push(&mut stream, ids[1], &fields);
    let before = layout(&stream);
    let read: Vec<_> = stream.range(ids[0], ids[1]).map(|entry| entry.id).collect();
    assert_eq!(read, ids[..2]);
    assert!(matches!(stream.delete(ids[1]), Some(Deleted::Marked)));
    assert_eq!(stream.len(), 1);
    stream.unmark(ids[1]);
    assert_eq!(layout(&stream), before);
}

#[test]
fn what_a_group_has_read_is_told_as_redis_tells_it() {
    let mut stream = Stream::default();
    let mut group = Group::new(StreamId::MIN, None);
    assert_eq!(stream.lag(&group), Some(0));
    for seq in 1..=4 {
        push(
            &mut stream,
            StreamId::new(1, seq),
            &vec![(b"a".to_vec(), b"b".to_vec())],
        );
    }
    assert_eq!(stream.lag(&group), Some(4));
    assert_eq!(stream.added_up_to(StreamId::new(1, 1)), Some(1));
    assert_eq!(stream.added_up_to(StreamId::new(1, 2)), None);
    assert_eq!(stream.added_up_to(StreamId::new(1, 4)), Some(4));
    assert_eq!(stream.added_up_to(StreamId::new(1, 5)), None);
    stream.delete(StreamId::new(1, 2));
    let max_deleted = StreamId::new(1, 2);
    stream.set_counters(Counters {
        max_deleted,
        ..stream.counters()
    });
    assert_eq!(stream.lag(&group), None);
    group.last_id = StreamId::new(1, 3);
    group.entries_read = Some(3);
    assert_eq!(stream.lag(&group), Some(1));
}

#[test]
fn an_entry_takes_no_more_memory_than_in_redis() {
    const ENTRIES: u64 = 10_000;
    let mut stream = Stream::default();
    for seq in 0..ENTRIES {
        let fields = vec![(b"field".to_vec(), format!("value:{seq:06}").into_bytes())];
        push_with(
            &mut stream,
            StreamId::new(1_700_000_000_000 + seq, 0),
            &fields,
            &Limits::default(),
        );
    }
    let bytes = stream.heap_bytes() as u64 / ENTRIES;
    // Flags, two differences, the value, the way back, and the share of the node.
    assert!(bytes <= 26, "{bytes} bytes");
    assert_eq!(size_of::<Stream>(), 8);
}
