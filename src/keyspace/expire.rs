//! Active expiry: keys whose time has come are removed also when nobody asks for them.

use super::table::{Key, Keyspace};
use super::txn::Txn;

impl Keyspace {
    /// How many stripes there are to give to [`Txn::expire_stripe`].
    pub fn expire_stripes(&self) -> usize {
        Self::stripes()
    }
}

impl Txn<'_> {
    /// Removes up to `limit` expired keys of a stripe, of all databases. A stripe in which keys are locked is left for
    /// another time: a running script's clock stands still, and so must its keys.
    ///
    /// Returns how many keys were removed.
    pub fn expire_stripe(&mut self, index: usize, limit: usize) -> usize {
        self.leave();
        let mut due: Vec<(u8, Key)> = Vec::new();
        {
            let stripe = self.keyspace().lock_stripe(index);
            if stripe.locks > 0 || !stripe.is_volatile() {
                return 0;
            }
            let now_ms = self.now_ms();
            for db in 0..self.keyspace().databases() {
                let Some(table) = stripe.table(db as u8).filter(|t| t.volatile > 0) else {
                    continue;
                };
                let expired = table.entries.iter().filter(|e| e.expired(now_ms));
                due.extend(
                    expired
                        .take(limit - due.len())
                        .map(|e| (db as u8, e.key.clone())),
                );
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
