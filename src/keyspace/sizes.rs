//! How many keys the databases hold, as far as that is committed.
//!
//! A transaction does not count while it goes on: what its changes come to is summed up at its commit, from the list that
//! would undo them. The sums reach the keyspace at the end of a shard's pass, before any reply of it leaves.

use super::table::{DbSize, Keyspace};
use smallvec::SmallVec;
use std::ops::Sub;
use std::sync::atomic::{AtomicI64, Ordering};

/// By how much the size of a database changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeChange {
    pub keys: i64,
    pub volatile: i64,
}

impl Sub for SizeChange {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            keys: self.keys - other.keys,
            volatile: self.volatile - other.volatile,
        }
    }
}

/// What commits have changed since it was last handed over, by physical database.
#[derive(Debug, Default)]
pub struct Resized {
    changes: SmallVec<[(u8, SizeChange); 1]>,
}

impl Resized {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    #[inline]
    pub(super) fn note(&mut self, db: u8, change: SizeChange) {
        if change != SizeChange::default() {
            self.add(db, change);
        }
    }

    fn add(&mut self, db: u8, change: SizeChange) {
        match self.changes.iter_mut().find(|(of, _)| *of == db) {
            Some((_, sum)) => {
                sum.keys += change.keys;
                sum.volatile += change.volatile;
            }
            None => self.changes.push((db, change)),
        }
    }
}

/// The committed sizes of all physical databases.
#[derive(Debug)]
pub struct Sizes(Box<[Size]>);

#[derive(Debug, Default)]
struct Size {
    keys: AtomicI64,
    volatile: AtomicI64,
}

impl Sizes {
    pub fn new(databases: usize) -> Self {
        Self((0..databases).map(|_| Size::default()).collect())
    }
}

impl Keyspace {
    /// Takes over what commits have changed.
    pub fn resize(&self, resized: &mut Resized) {
        for (db, change) in resized.changes.drain(..) {
            let Size { keys, volatile } = &self.sizes.0[usize::from(db)];
            keys.fetch_add(change.keys, Ordering::Relaxed);
            volatile.fetch_add(change.volatile, Ordering::Relaxed);
        }
    }

    /// The sizes of a physical database without what is not committed.
    pub fn committed_size(&self, db: u8) -> DbSize {
        let Size { keys, volatile } = &self.sizes.0[usize::from(db)];
        // A key that one shard added and another removed may be taken off before it is counted.
        let number = |size: &AtomicI64| size.load(Ordering::Relaxed).max(0) as usize;
        DbSize {
            keys: number(keys),
            volatile: number(volatile),
        }
    }

    /// Counts what was loaded, all of which is committed.
    pub(super) fn count_all(&self) {
        for (db, size) in (0..=u8::MAX).zip(&self.sizes.0) {
            let counted = self.size(db);
            size.keys.store(counted.keys as i64, Ordering::Relaxed);
            size.volatile
                .store(counted.volatile as i64, Ordering::Relaxed);
        }
    }

    /// For how long the keys of a physical database with an expiry have on average still to live, in milliseconds: a guess
    /// from some of them.
    pub fn average_ttl_ms(&self, db: u8, now_ms: i64) -> i64 {
        let (mut seen, mut sum_ms) = (0, 0_i128);
        for index in 0..Self::stripes() {
            let stripe = self.lock_stripe(index);
            let Some(table) = stripe
                .table(db)
                .filter(|table| table.entries.volatile() > 0)
            else {
                continue;
            };
            let looked = table.entries.iter().take(TTL_LOOKS_PER_STRIPE);
            for entry in looked.filter(|entry| entry.expire_ms > now_ms) {
                seen += 1;
                sum_ms += i128::from(entry.expire_ms) - i128::from(now_ms);
            }
            if seen >= TTL_SAMPLES {
                break;
            }
        }
        (sum_ms / seen.max(1)) as i64
    }
}

/// Keys with an expiry that are enough for a guess.
const TTL_SAMPLES: i128 = 1000;
/// Keys of a stripe that are looked at for that.
const TTL_LOOKS_PER_STRIPE: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::{Absent, Expiry, Txn, TxnBuffers};
    use super::*;
    use crate::value::{Set, Str, Value};
    use proptest::prelude::*;

    const NOW_MS: i64 = 1_000_000;
    const DATABASES: usize = 3;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, u8, bool),
        Remove(u8, u8),
        Expire(u8, u8, bool),
        Move(u8, u8, u8, u8),
        Add(u8, u8),
        Empty(u8, u8),
        Flush(u8),
        Later,
        Back,
        Commit,
        Rollback,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (db, key) = (0..DATABASES as u8, 0..6_u8);
        prop_oneof![
            8 => (db.clone(), key.clone(), any::<bool>()).prop_map(|(d, k, v)| Step::Put(d, k, v)),
            3 => (db.clone(), key.clone()).prop_map(|(d, k)| Step::Remove(d, k)),
            3 => (db.clone(), key.clone(), any::<bool>()).prop_map(|(d, k, v)| Step::Expire(d, k, v)),
            3 => (db.clone(), key.clone(), db.clone(), key.clone()).prop_map(|(d, k, e, l)| Step::Move(d, k, e, l)),
            3 => (db.clone(), key.clone()).prop_map(|(d, k)| Step::Add(d, k)),
            2 => (db.clone(), key).prop_map(|(d, k)| Step::Empty(d, k)),
            1 => db.prop_map(Step::Flush),
            1 => Just(Step::Later),
            2 => Just(Step::Back),
            3 => Just(Step::Commit),
            1 => Just(Step::Rollback),
        ]
    }

    /// One step inside a transaction.
    fn play(txn: &mut Txn<'_>, step: &Step) {
        let at = |volatile| {
            if volatile {
                Expiry::At(NOW_MS + 5)
            } else {
                Expiry::Never
            }
        };
        match *step {
            Step::Put(db, key, volatile) => {
                txn.use_db(db);
                txn.put(&[key], Value::Str(Str::new(b"v")), at(volatile));
            }
            Step::Remove(db, key) => {
                txn.use_db(db);
                txn.remove(&[key]);
            }
            Step::Expire(db, key, volatile) => {
                txn.use_db(db);
                txn.set_expiry(&[key], volatile.then_some(NOW_MS + 9));
            }
            Step::Move(db, key, to_db, to) => {
                txn.use_db(db);
                if (db, key) != (to_db, to) && txn.exists(&[key]) {
                    txn.rename(&[key], to_db, &[to]);
                }
            }
            Step::Add(db, key) => {
                txn.use_db(db);
                let _ = txn.edit::<Set, _>(&[key], Absent::Create, |set| set.add(b"member"));
            }
            Step::Empty(db, key) => {
                txn.use_db(db);
                let _ = txn.edit::<Set, _>(&[key], Absent::Leave, |set| set.remove(b"member"));
            }
            Step::Flush(db) => txn.flush_db(db),
            Step::Later | Step::Back | Step::Commit | Step::Rollback => {}
        }
    }

    proptest! {
        #[test]
        fn committed_keys_are_counted_and_no_others(steps in prop::collection::vec(step(), 1..120)) {
            let (keyspace, mirror) = (Keyspace::new(DATABASES), Keyspace::new(DATABASES));
            let mut buffers = TxnBuffers::default();
            let mut now_ms = NOW_MS;
            let sizes = |of: &dyn Fn(u8) -> DbSize| (0..DATABASES as u8).map(of).collect::<Vec<_>>();
            let mut committed = sizes(&|db| keyspace.size(db));
            let mut savepoint = Txn::new(&keyspace, &mut buffers, 0, now_ms).savepoint();
            for step in steps {
                let mut txn = Txn::new(&keyspace, &mut buffers, 0, now_ms);
                play(&mut txn, &step);
                match step {
                    Step::Later => now_ms += 3,
                    Step::Back => txn.rollback_to(savepoint),
                    Step::Commit => txn.commit_to_mirror(&mirror),
                    Step::Rollback => txn.rollback(),
                    _ => {}
                }
                if matches!(step, Step::Commit | Step::Rollback) {
                    savepoint = txn.savepoint();
                }
                drop(txn);
                keyspace.resize(&mut buffers.resized);
                if matches!(step, Step::Commit | Step::Rollback) {
                    let walked = sizes(&|db| keyspace.size(db));
                    prop_assert!(matches!(step, Step::Commit) || walked == committed);
                    committed = walked;
                }
                prop_assert_eq!(&sizes(&|db| keyspace.committed_size(db)), &committed);
            }
        }
    }

    #[test]
    fn the_average_is_that_of_keys_with_an_expiry() {
        let keyspace = Keyspace::new(1);
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
        let value = || Value::Str(Str::new(b"v"));
        assert_eq!(keyspace.average_ttl_ms(0, NOW_MS), 0);
        txn.put(b"lasting", value(), Expiry::Never);
        txn.put(b"short", value(), Expiry::At(NOW_MS + 100));
        txn.put(b"long", value(), Expiry::At(NOW_MS + 300));
        txn.leave();
        assert_eq!(keyspace.average_ttl_ms(0, NOW_MS), 200);
        for key in [b"a", b"b"] {
            txn.put(key, value(), Expiry::At(i64::MAX));
        }
        txn.leave();
        assert!(keyspace.average_ttl_ms(0, -NOW_MS) > i64::MAX / 3);
        txn.rollback();
    }
}
