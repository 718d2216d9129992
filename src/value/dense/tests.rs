//! A table is a map whose scans miss nothing, and smaller than Redis's.

use super::*;
use crate::value::Member;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbered(Member, u32);

impl Keyed for Numbered {
    fn key(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

fn numbered(key: u16, number: u32) -> (KeyHash, Numbered) {
    let key = key.to_string();
    let hash = KeyHash::of(key.as_bytes());
    (hash, Numbered(Member::from_slice(key.as_bytes()), number))
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u32),
    Remove(u16),
    /// Removes one, puts it back, and looks that nothing has moved.
    Undo(usize),
    Scan(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = |keys: u16| {
        prop_oneof![
            4 => (0..keys, any::<u32>()).prop_map(|(key, number)| Step::Put(key, number)),
            3 => (0..keys).prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::Undo),
            1 => (1..20_usize).prop_map(Step::Scan),
        ]
    };
    prop_oneof![
        prop::collection::vec(step(20), 0..300),
        prop::collection::vec(step(1000), 0..3000),
    ]
}

fn snapshot(table: &Dense<Numbered>) -> Vec<Numbered> {
    table.iter().cloned().collect()
}

fn remove(table: &mut Dense<Numbered>, key: &[u8]) -> Option<Numbered> {
    table
        .find(KeyHash::of(key), key)
        .map(|position| table.take(position))
}

fn undo_and_redo(table: &mut Dense<Numbered>, at: usize) {
    if table.is_empty() {
        return;
    }
    let before = snapshot(table);
    let position = at % table.len();
    let taken = table.take(position);
    assert_eq!(taken, before[position]);
    table.put_back(position, taken);
    assert_eq!(snapshot(table), before);
}

proptest! {
    #[test]
    fn it_is_a_map_whose_scans_miss_nothing(steps in steps()) {
        let mut table = Dense::<Numbered>::default();
        let mut model = HashMap::new();
        let (mut cursor, mut seen, mut stayed) = (0, BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Put(key, number) => {
                    let (hash, entry) = numbered(key, number);
                    match table.find(hash, entry.key()) {
                        Some(at) => table.at_mut(at).1 = number,
                        None => table.push(hash, entry),
                    }
                    model.insert(key, number);
                }
                Step::Remove(key) => {
                    let removed = remove(&mut table, key.to_string().as_bytes());
                    prop_assert_eq!(removed.map(|e| e.1), model.remove(&key));
                    stayed.remove(key.to_string().as_bytes());
                }
                Step::Undo(at) => undo_and_redo(&mut table, at),
                Step::Scan(count) => {
                    if cursor == 0 {
                        seen = BTreeSet::new();
                        stayed = table.iter().map(|e| e.key().to_vec()).collect();
                    }
                    let mut visited = 0;
                    cursor = table.scan(cursor, count, |entry| {
                        seen.insert(entry.key().to_vec());
                        visited += 1;
                    });
                    prop_assert!(visited <= count);
                    prop_assert!(cursor != 0 || stayed.is_subset(&seen));
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        for (key, number) in &model {
            let entry = table.get(key.to_string().as_bytes());
            prop_assert_eq!(entry.map(|e| e.1), Some(*number));
        }
        prop_assert_eq!(table.iter().len(), table.iter().count());
        prop_assert_eq!(table.clone(), table);
    }
}

#[test]
fn equal_tables_may_differ_in_order() {
    let fill = |keys: &[u16]| {
        let mut table = Dense::default();
        for key in keys {
            let (hash, entry) = numbered(*key, 0);
            table.push(hash, entry);
        }
        table
    };
    assert_eq!(fill(&[1, 2, 3]), fill(&[3, 1, 2]));
    assert_ne!(fill(&[1, 2, 3]), fill(&[1, 2]));
    assert_ne!(fill(&[1, 2, 3]), fill(&[1, 2, 4]));
}

#[test]
fn memory_is_below_that_of_redis_and_is_given_back() {
    /// redis-server's dict: an entry of 24 bytes, the string with its header, a bucket of 8 bytes at most half used.
    const REDIS_BYTES: usize = 24 + 24 + 8;
    const LEN: usize = 200_000;
    let mut table = Dense::default();
    for n in 0..LEN {
        let key = format!("{n:016}");
        table.push(
            KeyHash::of(key.as_bytes()),
            Member::from_slice(key.as_bytes()),
        );
        if n >= 1000 && n % 997 == 0 {
            let each = table.heap_bytes() / table.len();
            assert!(each <= REDIS_BYTES - 8, "{each} bytes for each of {n}");
        }
    }
    let full = table.heap_bytes();
    while table.len() > 100 {
        table.take(table.len() / 2);
    }
    assert!(table.heap_bytes() < full / 100, "{}", table.heap_bytes());
    while !table.is_empty() {
        table.take(0);
    }
    assert!(table.heap_bytes() < 20_000, "{}", table.heap_bytes());
}
