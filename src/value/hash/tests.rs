//! A hash is a map from fields to values and times, whatever its form, and every change to it can be undone.

use super::*;
use proptest::prelude::*;

fn limits() -> Limits {
    Limits {
        hash_max_listpack_entries: 4,
        hash_max_listpack_value: 8,
        ..Limits::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Expire(Vec<u8>, Option<i64>),
}

fn steps(len: usize) -> impl Strategy<Value = Vec<Step>> {
    let field = || {
        prop_oneof![
            (0..9_u8).prop_map(|n| vec![b'0' + n]),
            (0..3_u8).prop_map(|n| vec![n; 9])
        ]
    };
    let value = prop_oneof![
        4 => any::<i16>().prop_map(|n| n.to_string().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    let step = prop_oneof![
        5 => (field(), value).prop_map(|(field, value)| Step::Set(field, value)),
        3 => field().prop_map(Step::Remove),
        2 => (field(), prop::option::of(0..5_i64)).prop_map(|(field, at)| Step::Expire(field, at)),
    ];
    prop::collection::vec(step, 0..len)
}

enum Undo {
    Grown(Listpack),
    Set(HashSet),
    Removed(Removed),
    Expiry(Vec<u8>, Option<i64>),
}

fn run(hash: &mut Hash, step: &Step, undo: &mut Vec<Undo>) {
    match step {
        Step::Set(field, value) => {
            undo.extend(hash.make_room(field, value, &limits()).map(Undo::Grown));
            undo.push(Undo::Set(hash.set(field, value)));
        }
        Step::Remove(field) => undo.extend(hash.remove(field).map(Undo::Removed)),
        Step::Expire(field, at_ms) => {
            if hash.get(field).is_some() {
                undo.push(Undo::Expiry(field.clone(), hash.set_expiry(field, *at_ms)));
            }
        }
    }
}

fn take_back(hash: &mut Hash, undo: Undo) {
    match undo {
        Undo::Grown(small) => hash.undo_grown(small),
        Undo::Set(HashSet::Added) => hash.undo_added(),
        Undo::Set(HashSet::Replaced { place, old }) => hash.undo_replaced(place, &old),
        Undo::Removed(removed) => hash.undo_removed(removed),
        Undo::Expiry(field, at_ms) => drop(hash.set_expiry(&field, at_ms)),
    }
}

/// Everything that can be seen, in order.
type Seen = (&'static str, Vec<(Vec<u8>, Vec<u8>, Option<i64>)>);

fn seen(hash: &Hash) -> Seen {
    let fields = hash.iter().map(|(field, value)| {
        let field = field.to_vec();
        let at_ms = hash.expiry(&field);
        (field, value.to_vec(), at_ms)
    });
    (hash.encoding(), fields.collect())
}

proptest! {
    #[test]
    fn it_is_a_map(steps in steps(60)) {
        let (mut hash, mut model) = (Hash::default(), std::collections::BTreeMap::new());
        for step in &steps {
            run(&mut hash, step, &mut Vec::new());
            match step {
                Step::Set(field, value) => {
                    model.entry(field.clone()).or_insert((Vec::new(), None)).0.clone_from(value);
                }
                Step::Remove(field) => drop(model.remove(field)),
                Step::Expire(field, at_ms) => {
                    if let Some(entry) = model.get_mut(field) {
                        entry.1 = *at_ms;
                    }
                }
            }
            let (_, mut fields) = seen(&hash);
            for (index, (field, value, _)) in fields.iter().enumerate() {
                let (at_field, at_value) = hash.at(index);
                prop_assert_eq!((at_field.to_vec(), at_value.to_vec()), (field.clone(), value.clone()));
                prop_assert_eq!(hash.get(field).map(Item::to_vec), Some(value.clone()));
            }
            fields.sort();
            let expected: Vec<_> = model.iter().map(|(f, (v, at))| (f.clone(), v.clone(), *at)).collect();
            prop_assert_eq!(&fields, &expected);
            prop_assert_eq!(hash.len(), model.len());
            prop_assert_eq!(hash.iter().len(), model.len());
            prop_assert_eq!(hash.is_empty(), model.is_empty());
            let times = model.values().filter_map(|(_, at)| *at);
            prop_assert_eq!(hash.is_due(2), times.clone().any(|at| at <= 2));
            let all_end = !model.is_empty() && model.values().all(|(_, at)| at.is_some_and(|at| at <= 2));
            prop_assert_eq!(hash.is_over(2), all_end);
            prop_assert_eq!(hash.times().is_some(), times.count() > 0);
        }
    }

    #[test]
    fn what_is_undone_was_never_there(before in steps(20), undone in steps(20)) {
        let mut hash = Hash::default();
        for step in &before {
            run(&mut hash, step, &mut Vec::new());
        }
        let (kept, bytes) = (seen(&hash), hash.listpack().map(|pack| pack.bytes().to_vec()));
        let mut undo = Vec::new();
        for step in &undone {
            run(&mut hash, step, &mut undo);
        }
        while let Some(change) = undo.pop() {
            take_back(&mut hash, change);
        }
        prop_assert_eq!(seen(&hash), kept);
        prop_assert_eq!(hash.listpack().map(|pack| pack.bytes().to_vec()), bytes);
    }
}

#[test]
fn a_hash_grows_by_its_limits() {
    let set = |hash: &mut Hash, field: &[u8], value: &[u8]| {
        drop(hash.make_room(field, value, &limits()));
        hash.set(field, value);
    };
    let mut hash = Hash::default();
    for field in [b"1", b"2", b"3", b"4"] {
        set(&mut hash, field, b"12345678");
    }
    set(&mut hash, b"4", b"");
    assert_eq!(hash.encoding(), "listpack");
    let mut long = hash.clone();
    set(&mut long, b"4", b"123456789");
    assert_eq!(long.encoding(), "hashtable");
    set(&mut hash, b"5", b"");
    assert_eq!(hash.encoding(), "hashtable");
    hash.remove(b"5");
    assert_eq!(hash.encoding(), "hashtable", "it never shrinks back");
    hash.set_expiry(b"1", Some(1));
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn a_large_hash_takes_less_memory_than_in_redis() {
    /// Of redis-server's dict: an entry, a bucket of 8 bytes at most half used, two strings of 16 bytes with their headers.
    const REDIS_BYTES: usize = 24 + 8 + 24 + 24;
    let mut hash = Hash::default();
    for n in 0..10_000 {
        let (field, value) = (format!("{n:016}"), format!("{n:016}"));
        drop(hash.make_room(field.as_bytes(), value.as_bytes(), &limits()));
        hash.set(field.as_bytes(), value.as_bytes());
    }
    let each = hash.heap_bytes() / hash.len();
    assert!(each <= REDIS_BYTES - 16, "{each} bytes for a field");
}
