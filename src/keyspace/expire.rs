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
                for entry in table.entries.iter() {
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
        let before = self.expired() + self.expired_fields();
        let db = self.db();
        for (key_db, key) in due {
            self.use_db(key_db);
            // Entering again tells whether the stripe got a lock meanwhile; looking at the key is what removes it.
            if self.enter(self.keyspace().fingerprint(key_db, &key)) == 0 {
                self.exists(&key);
            }
        }
        self.use_db(db);
        (self.expired() + self.expired_fields() - before) as usize
    }
}
