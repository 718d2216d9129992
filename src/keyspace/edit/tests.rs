//! Edits end in the same place whichever way they are taken back, and are read back as they were.

use super::super::{Absent, Keyspace, Txn, TxnBuffers};
use super::WrongType;
use crate::value::{Hash, Str, Value, rdb};
use proptest::prelude::*;

const KEY: &[u8] = b"key";

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Remove(u8),
    /// Ends a field at a time, or never.
    End(u8, Option<i64>),
    Expire,
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..6_u8, any::<u8>()).prop_map(|(field, value)| Step::Set(field, value)),
        4 => (0..6_u8).prop_map(Step::Remove),
        2 => (0..6_u8, prop::option::of(1..20_i64)).prop_map(|(field, at_ms)| Step::End(field, at_ms)),
        1 => Just(Step::Expire),
        1 => Just(Step::Delete),
    ];
    prop::collection::vec(step, 0..12)
}

fn run(txn: &mut Txn<'_>, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Set(field, value) => {
                let set =
                    txn.edit::<Hash, _>(KEY, Absent::Create, |hash| hash.set(&[*field], &[*value]));
                assert!(matches!(set, Ok(Some(_))));
            }
            Step::Remove(field) => {
                let removed =
                    txn.edit::<Hash, _>(KEY, Absent::Leave, |hash| hash.remove(&[*field]));
                assert!(removed.is_ok());
            }
            Step::End(field, at_ms) => {
                let set = txn.edit::<Hash, _>(KEY, Absent::Leave, |hash| {
                    if hash.get(&[*field]).is_some() {
                        hash.set_expiry(&[*field], *at_ms);
                    }
                });
                assert!(set.is_ok());
            }
            Step::Expire => {
                txn.set_expiry(KEY, Some(i64::MAX));
            }
            Step::Delete => {
                txn.remove(KEY);
            }
        }
    }
}

fn value(txn: &mut Txn<'_>) -> Option<(Value, Option<i64>)> {
    let expiry = txn.expiry(KEY)?;
    txn.peek(KEY).cloned().map(|value| (value, expiry))
}

/// The value's bytes, which tell its order and encoding.
fn layout(txn: &mut Txn<'_>) -> Option<Vec<u8>> {
    txn.peek(KEY).map(rdb::dump)
}

proptest! {
    #[test]
    fn what_is_taken_back_was_never_there(before in steps(), kept in steps(), undone in steps()) {
        let (keyspace, mirror) = (Keyspace::new(1), Keyspace::new(1));
        let mut buffers = TxnBuffers::default();
        buffers.limits.hash_max_listpack_entries = 4;
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
        run(&mut txn, &before);
        txn.commit_to_mirror(&mirror);
        let committed = value(&mut txn);
        let committed_layout = layout(&mut txn);
        run(&mut txn, &kept);
        let halfway = value(&mut txn);
        let halfway_layout = layout(&mut txn);
        let savepoint = txn.savepoint();
        drop(txn);
        // Later, when fields have ended; what that removes comes back, too.
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 10);
        run(&mut txn, &undone);
        txn.rollback_to(savepoint);
        drop(txn);
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
        prop_assert_eq!(&value(&mut txn), &halfway);
        prop_assert_eq!(layout(&mut txn), halfway_layout);
        txn.rollback();
        prop_assert_eq!(&value(&mut txn), &committed);
        prop_assert_eq!(layout(&mut txn), committed_layout);
        run(&mut txn, &kept);
        prop_assert_eq!(&value(&mut txn), &halfway);
        txn.commit_to_mirror(&mirror);
        drop(txn);
        let mut read = TxnBuffers::default();
        let mut mirrored = Txn::new(&mirror, &mut read, 0, 0);
        let sorted = |value: Option<(Value, Option<i64>)>| value.map(|(value, expiry)| match value {
            Value::Hash(hash) => {
                let mut fields: Vec<_> = hash
                    .iter()
                    .map(|(f, v)| (f.to_vec(), v.to_vec(), hash.expiry(&f.to_vec())))
                    .collect();
                fields.sort();
                (fields, expiry)
            }
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(sorted(value(&mut mirrored)), sorted(halfway));
    }
}

#[test]
fn a_panic_in_the_middle_can_be_taken_back() {
    let keyspace = Keyspace::new(1);
    let mut buffers = TxnBuffers::default();
    let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
    run(&mut txn, &[Step::Set(1, 1)]);
    let before = value(&mut txn);
    let savepoint = txn.savepoint();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = txn.edit::<Hash, _>(KEY, Absent::Create, |hash| {
            hash.set(b"2", b"2");
            panic!("on purpose");
        });
    }));
    assert!(panicked.is_err());
    txn.rollback_to(savepoint);
    assert_eq!(value(&mut txn), before);
}

#[test]
fn another_type_is_not_edited() {
    let keyspace = Keyspace::new(1);
    let mut buffers = TxnBuffers::default();
    let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
    txn.put(
        KEY,
        Value::Str(Str::new(b"text")),
        super::super::Expiry::Never,
    );
    let edited = txn.edit::<Hash, _>(KEY, Absent::Create, |hash| hash.set(b"f", b"v"));
    assert_eq!(edited, Err(WrongType));
    assert_eq!(txn.read::<Hash>(KEY), Err(WrongType));
}
