//! The list against a plain deque, with every change taken back node for node.

use super::node::PLAIN_LEN_MIN;
use super::{End, List, Node, Side, Undo};
use crate::value::listpack::Item;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Change {
    Push(End, Vec<u8>),
    Pop(End),
    Set(prop::sample::Index, Vec<u8>),
    Insert(prop::sample::Index, Side, Vec<u8>),
    Cut(End, usize),
    RemoveEqual(prop::sample::Index, End, usize),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0..4_u8).prop_map(|n| n.to_string().into_bytes()),
        10 => vec(any::<u8>(), 0..20),
        4 => vec(any::<u8>(), 100..400),
        2 => (1000..9000_usize).prop_map(|len| vec![b'x'; len]),
        1 => Just(vec![b'p'; PLAIN_LEN_MIN]),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Front), Just(End::Back)]
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    let side = prop_oneof![Just(Side::Before), Just(Side::After)];
    prop_oneof![
        20 => (end(), text()).prop_map(|(end, text)| Change::Push(end, text)),
        5 => end().prop_map(Change::Pop),
        4 => (index(), text()).prop_map(|(at, text)| Change::Set(at, text)),
        10 => (index(), side, text()).prop_map(|(at, side, text)| Change::Insert(at, side, text)),
        2 => (end(), 0..12_usize).prop_map(|(end, count)| Change::Cut(end, count)),
        2 => (index(), end(), 0..5_usize)
            .prop_map(|(at, end, count)| Change::RemoveEqual(at, end, count)),
    ]
}

type Model = VecDeque<Vec<u8>>;

fn apply(list: &mut List, model: &mut Model, change: Change, size: i64) -> Vec<Undo> {
    match change {
        Change::Push(end, text) => {
            let undo = list.push(end, &text, size);
            match end {
                End::Front => model.push_front(text),
                End::Back => model.push_back(text),
            }
            vec![undo]
        }
        _ if model.is_empty() => Vec::new(),
        Change::Pop(end) => {
            let expected = match end {
                End::Front => model.pop_front(),
                End::Back => model.pop_back(),
            };
            assert_eq!(list.end(end).map(Item::to_vec), expected);
            vec![list.pop(end)]
        }
        Change::Set(at, text) => {
            let at = at.index(model.len());
            model[at].clone_from(&text);
            vec![list.set(at, &text, size)]
        }
        Change::Insert(at, side, text) => {
            let at = at.index(model.len());
            let undo = list.insert(at, side, &text, size);
            model.insert(at + usize::from(side == Side::After), text);
            vec![undo]
        }
        Change::Cut(end, count) => {
            let kept = model.len() - count.min(model.len());
            match end {
                End::Front => drop(model.drain(..model.len() - kept)),
                End::Back => model.truncate(kept),
            }
            vec![list.cut(end, count)]
        }
        Change::RemoveEqual(at, end, count) => {
            let wanted = model[at.index(model.len())].clone();
            let mut found: Vec<usize> = (0..model.len()).filter(|i| model[*i] == wanted).collect();
            match end {
                End::Front => found.truncate(count),
                End::Back => drop(found.drain(..found.len().saturating_sub(count))),
            }
            let mut undos = Vec::new();
            let removal = list.remove_equal(&wanted, end, count, |undo| undos.push(undo));
            assert_eq!(removal.count, found.len());
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                assert_eq!((removal.first, removal.last), (*first, *last));
            }
            found.iter().rev().for_each(|at| drop(model.remove(*at)));
            undos
        }
    }
}

/// Every way to read the list gives what the model holds.
fn check(list: &List, model: &Model) {
    let texts = |items: Vec<Item<'_>>| items.into_iter().map(Item::to_vec).collect::<Vec<_>>();
    assert_eq!(list.len(), model.len());
    assert!(texts(list.iter().collect()).iter().eq(model));
    for index in 0..=model.len() {
        let expected = model.get(index).cloned();
        assert_eq!(list.get(index).map(Item::to_vec), expected);
        let from: Vec<_> = list.iter_from(index).take(3).collect();
        assert!(texts(from).iter().eq(model.iter().skip(index).take(3)));
        let back: Vec<_> = list.iter_back_from(index).take(3).collect();
        assert!(texts(back).iter().eq(model.range(..index).rev().take(3)));
    }
    assert_eq!(
        list.end(End::Front).map(Item::to_vec),
        model.front().cloned()
    );
    assert_eq!(list.end(End::Back).map(Item::to_vec), model.back().cloned());
    assert!(list.nodes().all(|node| node.count() > 0));
}

/// What is to be the same after a change was taken back: the nodes, and the position of the first element.
fn layout(list: &List) -> (i64, Vec<Vec<u8>>) {
    let bytes = |node: &Node| match node {
        Node::Packed(pack) => {
            let mut out = Vec::new();
            pack.put_listpack(&mut out);
            out
        }
        Node::Plain(bytes) => bytes.to_vec(),
    };
    (list.head(), list.nodes().map(bytes).collect())
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![Just(-2_i64), Just(-1), Just(0), Just(1), Just(3), Just(128)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_is_a_deque_whose_changes_can_be_taken_back(
        changes in vec(change(), 1..120),
        size in size(),
    ) {
        let (mut list, mut model) = (List::default(), Model::new());
        let mut done = Vec::new();
        for change in changes {
            let before = (layout(&list), model.clone());
            let undos = apply(&mut list, &mut model, change, size);
            check(&list, &model);
            done.push((before, undos));
        }
        while let Some((before, undos)) = done.pop() {
            undos.into_iter().rev().for_each(|undo| list.take_back(undo));
            prop_assert!(layout(&list) == before.0);
            prop_assert_eq!(list.len(), before.1.len());
        }
    }

    #[test]
    fn it_is_made_of_its_positions_in_any_order(
        texts in vec(vec(any::<u8>(), 0..3), 1..40),
        head in -50..50_i64,
        order in any::<prop::sample::Index>(),
        removed in vec(any::<prop::sample::Index>(), 0..5),
        seed: u64,
    ) {
        let mut model: Vec<(i64, Vec<u8>)> = (head..).zip(texts).collect();
        let mut steps: Vec<(i64, Option<Vec<u8>>)> =
            model.iter().map(|(at, text)| (*at, Some(text.clone()))).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut steps);
        // Some are written twice, and some that do not last are deleted again.
        let twice = order.index(steps.len());
        steps.push(steps[twice].clone());
        for index in removed {
            let at = index.index(model.len());
            let (position, text) = model[at].clone();
            let step = index.index(steps.len());
            steps.insert(step, (position, None));
            steps.push((position, Some(text)));
        }
        let mut list = List::default();
        for (position, text) in &steps {
            match text {
                Some(text) => list.put_at(*position, text, -2),
                None => list.delete_at(*position),
            }
        }
        // A replay after the others: the ends come and go.
        list.put_at(head + model.len() as i64, b"new", -2);
        model.push((head + model.len() as i64, b"new".to_vec()));
        list.delete_at(head);
        model.remove(0);
        list.settle(-2);
        prop_assert_eq!(list.head(), head + 1);
        prop_assert!(list.iter().map(Item::to_vec).eq(model.into_iter().map(|(_, text)| text)));
    }
}

#[test]
fn a_queue_does_not_grow() {
    for (input, output) in [(End::Front, End::Back), (End::Back, End::Front)] {
        let mut list = List::default();
        for number in 0..10 {
            list.push(input, format!("job:{number}").as_bytes(), -2);
        }
        let bytes = list.heap_bytes();
        for number in 0..10_000 {
            list.push(input, format!("job:{number}").as_bytes(), -2);
            list.pop(output);
        }
        assert!(list.heap_bytes() <= 2 * bytes, "{}", list.heap_bytes());
    }
}

#[test]
fn a_million_small_elements_need_less_than_in_redis() {
    // What used_memory of redis-server 7.0.15 grows by, with a million of these RPUSHes.
    const USED_BY_REDIS: usize = 11_003_624;
    for end in [End::Front, End::Back] {
        let mut list = List::default();
        for number in 0..1_000_000 {
            list.push(end, format!("el:{number}").as_bytes(), -2);
        }
        assert!(list.heap_bytes() < USED_BY_REDIS, "{}", list.heap_bytes());
    }
}

#[test]
fn a_node_does_not_grow_without_bound() {
    let mut list = List::default();
    for number in 0..100 {
        list.push(End::Back, format!("{number}").as_bytes(), -2);
    }
    for index in 0..100 {
        list.set(index, &[b'x'; 5000], -2);
    }
    assert!(list.nodes().all(|node| node.heap_bytes() <= 16_384));
}
