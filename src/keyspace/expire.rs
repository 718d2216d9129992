//! Active expiry: keys, and fields of hashes, whose time has come are removed also when nobody asks for
//! them.

use super::table::{Key, Keyspace, Table};
use super::txn::Txn;

impl Keyspace {
    /// How many stripes there are to give to [`Txn::expire_stripe`].
    pub fn expire_stripes(&self) -> usize {
        Self::stripes()
    }
}

impl Txn<'_> {
    /// Removes up to `limit` expired keys of a stripe, of all databases; a hash of which only fields have ended counts as
    /// one. A stripe in which keys are locked is left for another time: a running script's clock stands still, and so
    /// must its keys.
    ///
    /// Returns how many keys and fields were removed.
    pub fn expire_stripe(&mut self, index: usize, limit: usize) -> usize {
        self.leave();
        let mut due: Vec<(u8, Key)> = Vec::new();
        {
            let keyspace = self.keyspace();
            let mut stripe = keyspace.lock_stripe(index);
            if stripe.locks > 0 || !stripe.is_volatile() {
                return 0;
            }
            let now_ms = self.now_ms();
            for db in 0..keyspace.databases() {
                if !stripe.table(db as u8).is_some_and(Table::is_volatile) {
                    continue;
                }
                let table = stripe.table_mut(db as u8, keyspace.databases());
                let mut has_times = false;
                let looked_at = if table.has_times {
                    table.entries.len()
                } else {
                    table.entries.volatile()
                };
                for entry in table.entries.iter().take(looked_at) {
                    if due.len() == limit && !table.has_times {
                        break;
                    }
                    has_times |= entry.value.has_times();
                    if due.len() < limit && (entry.expired(now_ms) || entry.value.is_due(now_ms)) {
                        due.push((db as u8, entry.key.clone()));
                    }
                }
                table.has_times = has_times;
            }
        }
        let before = self.expired();
        let db = self.db();
        for (key_db, key) in due {
            self.use_db(key_db);
            // Entering again tells whether the stripe got a lock meanwhile; looking at the key is what removes it.
            if self.enter(self.keyspace().fingerprint(key_db, &key)) == 0 {
                self.exists(&key);
            }
        }
        self.use_db(db);
        (self.expired() - before) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Absent, Expiry, TxnBuffers};
    use super::*;
    use crate::value::{Hash, Str, Value};

    const NOW_MS: i64 = 1_000_000;

    fn expire_all(keyspace: &Keyspace, now_ms: i64) -> usize {
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(keyspace, &mut buffers, 0, now_ms);
        let stripes = 0..keyspace.expire_stripes();
        let removed = stripes.map(|index| txn.expire_stripe(index, 10)).sum();
        txn.commit_to_mirror(&Keyspace::new(1));
        removed
    }

    #[test]
    fn what_has_ended_goes_without_being_asked_for() {
        let keyspace = Keyspace::new(1);
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
        let value = Value::Str(Str::new(b"v"));
        txn.put(b"string", value.clone(), Expiry::At(NOW_MS + 1));
        txn.put(b"stays", value, Expiry::Never);
        for (key, ends_whole) in [(b"whole", true), (b"parts", false)] {
            let set = txn.edit::<Hash, _>(key, Absent::Create, |hash| {
                for field in [b"a", b"b"] {
                    hash.set(field, b"v");
                }
                hash.set_expiry(b"a", Some(NOW_MS + 2));
                if ends_whole {
                    hash.set_expiry(b"b", Some(NOW_MS + 3));
                }
            });
            assert!(matches!(set, Ok(Some(()))));
        }
        txn.commit_to_mirror(&Keyspace::new(1));
        drop(txn);
        let keys = || keyspace.size(0).keys;
        assert_eq!((expire_all(&keyspace, NOW_MS), keys()), (0, 4));
        assert_eq!((expire_all(&keyspace, NOW_MS + 1), keys()), (1, 3));
        assert_eq!((expire_all(&keyspace, NOW_MS + 2), keys()), (2, 3));
        assert_eq!((expire_all(&keyspace, NOW_MS + 3), keys()), (1, 2));
        // Once nothing can end any more, a walk finds that out, and the next one need not look.
        assert_eq!(expire_all(&keyspace, NOW_MS + 3), 0);
        let is_volatile = |index| keyspace.lock_stripe(index).is_volatile();
        assert!(!(0..keyspace.expire_stripes()).any(is_volatile));
    }
}
