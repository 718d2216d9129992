//! Changes to sets.
//!
//! ```text
//! element = the member    value = nothing
//! ```

use super::super::stored::Stored;
use super::{Collection, Edit, variant};
use crate::value::{Limits, Set, SetMember, StrBuf};

pub use crate::value::SetChange;

impl Edit<'_, Set> {
    /// Adds a member. Tells whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let limits = self.limits();
        let Some(change) = self.value.insert(member, &limits) else {
            return false;
        };
        self.put_record(member, b"");
        self.changed(change);
        true
    }

    /// Removes a member. Tells whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(change) = self.value.remove(member) else {
            return false;
        };
        self.delete_record(member);
        self.changed(change);
        true
    }

    /// Removes the member at a position below the set's length, and returns it.
    pub fn take(&mut self, position: usize) -> StrBuf {
        let member = match self.value.at(position) {
            SetMember::Int(value) => {
                StrBuf::from_slice(itoa::Buffer::new().format(value).as_bytes())
            }
            SetMember::Bytes(bytes) => StrBuf::from_slice(bytes),
        };
        let change = self.value.take(position);
        self.delete_record(&member);
        self.changed(change);
        member
    }
}

impl Collection for Set {
    variant!(Set, SetChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: SetChange) {
        self.undo(change);
    }
}

impl Stored for Set {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_SET
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut text = itoa::Buffer::new();
        self.for_each(|member| put(member.bytes(&mut text), b""));
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        self.insert(element, limits);
        value.is_empty().then_some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        self.remove(element);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Absent, Keyspace, Txn, TxnBuffers};
    use super::*;
    use crate::value::{Value, rdb};
    use proptest::prelude::*;

    const KEY: &[u8] = b"key";

    #[derive(Clone, Debug)]
    enum Step {
        Add(String),
        Remove(String),
        Take(usize),
        Delete,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let member = || "[0-9]|1000000|[ab]{1,2}";
        let step = prop_oneof![
            8 => member().prop_map(Step::Add),
            4 => member().prop_map(Step::Remove),
            3 => any::<usize>().prop_map(Step::Take),
            1 => Just(Step::Delete),
        ];
        prop::collection::vec(step, 0..20)
    }

    fn run(txn: &mut Txn<'_>, steps: &[Step]) {
        for step in steps {
            let edited = match step {
                Step::Add(member) => txn.edit::<Set, _>(KEY, Absent::Create, |set| {
                    set.add(member.as_bytes());
                }),
                Step::Remove(member) => txn.edit::<Set, _>(KEY, Absent::Leave, |set| {
                    set.remove(member.as_bytes());
                }),
                Step::Take(at) => txn.edit::<Set, _>(KEY, Absent::Leave, |set| {
                    let before = set.len();
                    let member = set.take(at % before);
                    assert!(!set.contains(&member) && set.len() == before - 1);
                }),
                Step::Delete => {
                    txn.remove(KEY);
                    Ok(None)
                }
            };
            assert!(edited.is_ok());
        }
    }

    /// The set, and its bytes, which show order and form.
    fn value(txn: &mut Txn<'_>) -> Option<(Value, Vec<u8>)> {
        let value = txn.peek(KEY)?.clone();
        let bytes = rdb::dump(&value);
        Some((value, bytes))
    }

    proptest! {
        #[test]
        fn what_is_taken_back_was_never_there(before in steps(), kept in steps(), undone in steps()) {
            let (keyspace, mirror) = (Keyspace::new(1), Keyspace::new(1));
            let mut buffers = TxnBuffers::default();
            buffers.limits.set_max_intset_entries = 6;
            let mut txn = Txn::new(&keyspace, &mut buffers, 0, 0);
            run(&mut txn, &before);
            txn.commit_to_mirror(&mirror);
            let committed = value(&mut txn);
            run(&mut txn, &kept);
            let halfway = value(&mut txn);
            let savepoint = txn.savepoint();
            run(&mut txn, &undone);
            txn.rollback_to(savepoint);
            prop_assert_eq!(&value(&mut txn), &halfway);
            txn.rollback();
            prop_assert_eq!(&value(&mut txn), &committed);
            run(&mut txn, &kept);
            txn.commit_to_mirror(&mirror);
            drop(txn);
            let mut read = TxnBuffers::default();
            let mut mirrored = Txn::new(&mirror, &mut read, 0, 0);
            let read_back = value(&mut mirrored).map(|(value, _)| value);
            prop_assert_eq!(read_back, halfway.map(|(value, _)| value));
        }
    }
}
