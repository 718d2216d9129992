//! [`Txn`]: the one funnel for every change.

use super::access::{Access, AccessRule};
use super::awaited::Readied;
use super::edit::Change;
use super::effects::{Effects, EffectsMark, Notify};
use super::log::{log_chunks, log_header, log_removed, log_value};
use super::record::{self, CHUNK_LEN};
use super::sizes::Resized;
use super::table::{Entry, Key, Keyspace, Stripe, Table, TableHash};
use super::undo::{Left, Old, Place, Undo};
use crate::value::{Limits, Str, StrBuf, Value};
use aidb::{DB, SavePoint, Sequence, WriteBatch};
use parking_lot::MutexGuard;

/// From this many elements on, what a committed transaction has thrown away is freed by a thread of its own.
const FREE_ASIDE_ELEMENTS_MIN: usize = 10_000;

/// What a transaction gathers until it commits. Kept by the shard, and by a script while it is suspended, and used again.
#[derive(Debug, Default)]
pub struct TxnBuffers {
    pub(super) batch: WriteBatch,
    pub(super) undo: Vec<Undo>,
    /// What undoes the changes to elements of collections; `undo` says how many belong to each edit.
    pub(super) changes: Vec<Change>,
    pub(super) record_key: Vec<u8>,
    pub(super) record_value: Vec<u8>,
    pub(super) effects: Effects,
    /// The sizes at which values change their form.
    pub limits: Limits,
    /// How accesses are noted.
    pub access: AccessRule,
    pub(super) access_rng: fastrand::Rng,
    /// A use is not noted as an access.
    pub no_touch: bool,
    /// What commits have changed that clients may wait for; the layer above takes it.
    pub readied: Readied,
    /// Keys that a walk has found locked; the layer above takes it.
    pub met: Vec<u64>,
    /// How commits have changed the sizes of databases; the layer above hands it to [`Keyspace::resize`].
    pub resized: Resized,
    /// What was counted since the layer above took it.
    pub counts: TxnCounts,
}

/// What transactions count, also those that are taken back.
#[derive(Clone, Copy, Debug, Default)]
pub struct TxnCounts {
    /// Reads that found their key.
    pub hits: u64,
    pub misses: u64,
    /// Keys that were found expired and removed.
    pub expired: u64,
    /// Fields of hashes likewise.
    pub expired_fields: u64,
    /// Keys that were removed for want of memory.
    pub evicted: u64,
}

impl TxnBuffers {
    /// Takes the transaction out, and leaves empty buffers with the same settings.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self {
            limits: self.limits,
            access: self.access,
            effects: Effects::new(self.effects.notify_classes()),
            // What is committed is no part of the transaction.
            resized: std::mem::take(&mut self.resized),
            ..Self::default()
        };
        std::mem::replace(self, empty)
    }

    /// Notes an access, unless the client asked that none be noted.
    #[inline]
    pub(super) fn touch(&mut self, access: &mut Access, now_ms: i64) {
        if !self.no_touch {
            access.touch(now_ms, self.access, &mut self.access_rng);
        }
    }
}

/// What becomes of a key's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    Keep,
    /// Unix time in milliseconds.
    At(i64),
}

/// A point to which [`Txn::rollback_to`] goes back.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    undo: usize,
    batch: SavePoint,
    effects: EffectsMark,
}

/// Changes that become one write batch, or nothing.
///
/// The caller has admitted the keys that it touches: it holds their stripe through this `Txn`, or their key locks.
pub struct Txn<'a> {
    keyspace: &'a Keyspace,
    pub(super) buffers: &'a mut TxnBuffers,
    stripe: Option<(usize, MutexGuard<'a, Stripe>)>,
    /// What is held beside it, if all stripes were taken together.
    others: Vec<(usize, MutexGuard<'a, Stripe>)>,
    /// The physical database that keys without another word are in.
    db: u8,
    now_ms: i64,
}

impl<'a> Txn<'a> {
    /// Goes on with what `buffers` hold: nothing, or the work of a suspended script.
    #[inline]
    pub fn new(keyspace: &'a Keyspace, buffers: &'a mut TxnBuffers, db: u8, now_ms: i64) -> Self {
        Self {
            keyspace,
            buffers,
            stripe: None,
            others: Vec::new(),
            db,
            now_ms,
        }
    }

    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn db(&self) -> u8 {
        self.db
    }

    /// The sizes at which values change their form.
    pub fn limits(&self) -> Limits {
        self.buffers.limits
    }

    /// Works on another physical database from here on.
    pub fn use_db(&mut self, db: u8) {
        self.db = db;
    }

    /// Takes the stripe of a fingerprint and tells how many key locks are held in it.
    #[inline]
    pub fn enter(&mut self, fingerprint: u64) -> u32 {
        self.stripe(fingerprint).locks
    }

    /// Takes the stripes of all these fingerprints together, for a command that looks at no other keys, and tells how many
    /// key locks are held in them. They are taken in ascending order, so nobody waits in a circle.
    pub fn enter_all(&mut self, fingerprints: &[u64]) -> u32 {
        self.leave();
        self.others = self.keyspace.lock_warmed(self.db, fingerprints);
        self.stripe = self.others.pop();
        let held = self.stripe.iter().chain(&self.others);
        held.map(|(_, stripe)| stripe.locks).sum()
    }

    /// Lets go of what is held, so that others may have it.
    pub fn leave(&mut self) {
        self.stripe = None;
        self.others.clear();
    }

    /// The value of a key, as a command reads it: counts as a hit or a miss, and as an access.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<&Value> {
        let Some(slot) = self.find(key) else {
            self.buffers.counts.misses += 1;
            self.notify(Notify::KEY_MISS, "keymiss", key);
            return None;
        };
        self.buffers.counts.hits += 1;
        Some(&self.touched(slot).value)
    }

    /// The value of a key for a command that does not use it as a value: counts as a hit or a miss, but not as an access.
    pub fn look(&mut self, key: &[u8]) -> Option<&Value> {
        let Some(bucket) = self.find(key) else {
            self.buffers.counts.misses += 1;
            self.notify(Notify::KEY_MISS, "keymiss", key);
            return None;
        };
        self.buffers.counts.hits += 1;
        Some(&self.entry_at(key, bucket).value)
    }

    /// The value of a key without the marks that reading leaves.
    pub fn peek(&mut self, key: &[u8]) -> Option<&Value> {
        let slot = self.find(key)?;
        Some(&self.entry_at(key, slot).value)
    }

    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The expiry of a key that is there: Unix time in milliseconds, `None` for never.
    pub fn expiry(&mut self, key: &[u8]) -> Option<Option<i64>> {
        let slot = self.find(key)?;
        let expire_ms = self.entry_at(key, slot).expire_ms;
        Some((expire_ms != 0).then_some(expire_ms))
    }

    /// How accesses are noted.
    pub fn access_rule(&self) -> AccessRule {
        self.buffers.access
    }

    /// A key's last access.
    pub fn access(&mut self, key: &[u8]) -> Option<Access> {
        let slot = self.find(key)?;
        Some(self.entry_at(key, slot).access)
    }

    /// Sets a key's last access. It is no data: it is neither stored nor taken back.
    pub fn set_access(&mut self, key: &[u8], access: Access) {
        if let Some(slot) = self.find(key) {
            self.entry_at(key, slot).access = access;
        }
    }

    /// Heap and table bytes of a key.
    pub fn memory_bytes(&mut self, key: &[u8]) -> Option<usize> {
        let slot = self.find(key)?;
        let entry = self.entry_at(key, slot);
        Some(size_of::<Entry>() + super::table::entry_heap_bytes(entry))
    }

    /// Sets a key to a value, replacing what was there. Tells whether the key was there.
    #[inline]
    pub fn put(&mut self, key: &[u8], value: Value, expiry: Expiry) -> bool {
        let place = self.place(key);
        let Some(slot) = self.find_hashed(place.hash, key) else {
            let expire_ms = match expiry {
                Expiry::At(at) => at,
                Expiry::Never | Expiry::Keep => 0,
            };
            log_value(self.buffers, self.db, key, &value, expire_ms);
            let entry = Entry {
                hash: TableHash::of(place.hash),
                key: place.key.clone(),
                value,
                expire_ms,
                access: Access::new(self.now_ms),
            };
            self.table(place.hash).insert(entry);
            self.buffers.undo.push(Undo::Restore {
                place,
                old: None,
                left: Left::value(expire_ms),
            });
            self.notify(Notify::NEW, "new", key);
            return false;
        };
        let entry = self.touched(slot);
        let (old_expire, access) = (entry.expire_ms, entry.access);
        let expire_ms = match expiry {
            Expiry::At(at) => at,
            Expiry::Never => 0,
            Expiry::Keep => old_expire,
        };
        let has_times = value.has_times();
        let old = Old {
            value: std::mem::replace(&mut entry.value, value),
            expire_ms: old_expire,
            access,
        };
        let table = self.table(place.hash);
        let (_, slot) = table.entries.set_expire(slot, expire_ms);
        table.has_times |= has_times;
        self.log_replaced(&place, slot, &old.value);
        self.buffers.undo.push(Undo::Restore {
            place,
            old: Some(old),
            left: Left::value(expire_ms),
        });
        true
    }

    /// Removes a key. Tells whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if self.find(key).is_none() {
            return false;
        }
        self.remove_found(key);
        true
    }

    /// Changes the expiry of a key that is there (`None`: never). Tells whether it is.
    pub fn set_expiry(&mut self, key: &[u8], at_ms: Option<i64>) -> bool {
        let Some(slot) = self.find(key) else {
            return false;
        };
        let place = self.place(key);
        let expire_ms = at_ms.unwrap_or(0);
        self.touched(slot);
        let entries = &mut self.table(place.hash).entries;
        let (old, slot) = entries.set_expire(slot, expire_ms);
        self.log_header(&place, slot);
        self.buffers.undo.push(Undo::Expire {
            place,
            expire_ms: old,
            left: Left::value(expire_ms),
        });
        true
    }

    /// Writes bytes into a string at an offset, with zeros before it where the string is shorter; a key that is not there
    /// starts empty. Returns the new length. The caller knows that the key holds a string or nothing.
    pub fn splice(&mut self, key: &[u8], offset: usize, bytes: &[u8]) -> usize {
        let Some(slot) = self.find(key) else {
            let mut buf = StrBuf::from_elem(0, offset);
            buf.extend_from_slice(bytes);
            let len = buf.len();
            self.put(key, Value::Str(Str::raw(buf)), Expiry::Never);
            return len;
        };
        let place = self.place(key);
        let Value::Str(string) = &mut self.touched(slot).value else {
            unreachable!("the caller knows that the key holds a string");
        };
        let before = string.len();
        let end = offset + bytes.len();
        if before < record::CHUNKED_LEN_MIN {
            return self.splice_short(place, slot, offset, bytes);
        }
        let buf = string.make_raw();
        let overlap = offset.min(before)..end.min(before);
        let undo_offset = overlap.start;
        let old = buf[overlap].into();
        buf.resize(before.max(end), 0);
        buf[offset..end].copy_from_slice(bytes);
        let after = buf.len();
        if after != before {
            self.log_header(&place, slot);
        }
        let first = offset.min(before) / CHUNK_LEN;
        self.log_chunks(&place, slot, first..end.div_ceil(CHUNK_LEN));
        self.buffers.undo.push(Undo::Bytes {
            place,
            offset: undo_offset,
            old,
            len: before,
        });
        after
    }

    /// Moves a value with its expiry to another key, also of another database, replacing what is there. The caller knows
    /// that `from` is there and that the two differ.
    pub fn rename(&mut self, from: &[u8], to_db: u8, to: &[u8]) {
        let from_place = self.place(from);
        let Some(slot) = self.find(from) else {
            unreachable!("the caller saw the key in this transaction");
        };
        self.touched(slot);
        let Some(entry) = self.table(from_place.hash).remove(from_place.hash, from) else {
            unreachable!("found under the same mutex");
        };
        log_removed(self.buffers, self.db, from, &entry.value);

        let from_db = std::mem::replace(&mut self.db, to_db);
        let to_place = self.place(to);
        let replaced = self.find(to).is_some();
        let table = self.table(to_place.hash);
        let replaced = if replaced {
            table.remove(to_place.hash, to)
        } else {
            None
        };
        if let Some(old) = &replaced {
            log_removed(self.buffers, to_db, to, &old.value);
        }
        log_value(self.buffers, to_db, to, &entry.value, entry.expire_ms);
        let hash = to_place.hash;
        let left = Left::value(entry.expire_ms);
        self.table(hash).insert(Entry {
            hash: TableHash::of(hash),
            key: Key::from_slice(to),
            ..entry
        });
        let replaced = replaced.map(Old::from);
        self.buffers.undo.push(Undo::Moved {
            from: from_place,
            to: to_place,
            replaced,
            left,
        });
        self.notify(Notify::NEW, "new", to);
        self.db = from_db;
    }

    /// Empties a physical database. The caller holds the keyspace gate.
    pub fn flush_db(&mut self, db: u8) {
        self.leave();
        let databases = self.keyspace.databases();
        let take = |index| {
            let mut stripe = self.keyspace.lock_stripe(index);
            // Asking for a table of a database that was never used would make it.
            match stripe.table(db) {
                Some(table) if !table.entries.is_empty() => {
                    std::mem::take(stripe.table_mut(db, databases))
                }
                _ => Table::default(),
            }
        };
        let tables = (0..Keyspace::stripes()).map(take).collect();
        self.buffers.batch.delete_prefix(&record::db_prefix(db));
        self.buffers.undo.push(Undo::Flushed { db, tables });
    }

    /// Lets two logical databases change places. The caller holds the keyspace gate.
    pub fn swap_db(&mut self, a: usize, b: usize) {
        self.keyspace.swap_physical(a, b);
        let map: Vec<u8> = (0..self.keyspace.databases())
            .map(|db| self.keyspace.physical(db))
            .collect();
        self.buffers.batch.put(record::DB_MAP_KEY, &map);
        self.buffers.undo.push(Undo::Swapped { a, b });
    }

    /// Keys, and fields of hashes, that were found expired and removed since the counts were last taken.
    pub(super) fn expired(&self) -> u64 {
        self.buffers.counts.expired + self.buffers.counts.expired_fields
    }

    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            undo: self.buffers.undo.len(),
            batch: self.buffers.batch.save_point(),
            effects: self.buffers.effects.mark(),
        }
    }

    /// Takes back what was done since the savepoint.
    pub fn rollback_to(&mut self, to: Savepoint) {
        while self.buffers.undo.len() > to.undo {
            if let Some(undo) = self.buffers.undo.pop() {
                undo.play(self);
            }
        }
        self.buffers.batch.truncate(to.batch);
        self.buffers.effects.truncate(to.effects);
    }

    /// Takes everything back.
    pub fn rollback(&mut self) {
        while let Some(undo) = self.buffers.undo.pop() {
            undo.play(self);
        }
        self.buffers.batch.clear();
        self.buffers.effects.clear();
    }

    /// Hands the batch to the journal. Where the journal refuses it, everything is taken back. Where it takes it, the
    /// caller hands over the [`Effects`] before it gives up the keys.
    #[inline]
    pub fn commit(&mut self, journal: &DB) -> Result<Option<Sequence>, aidb::Error> {
        if self.buffers.undo.is_empty() {
            debug_assert!(self.buffers.batch.is_empty(), "each record has its undo");
            return Ok(None);
        }
        if self.buffers.batch.is_empty() {
            // What was read has another form now.
            self.forget_undo();
            return Ok(None);
        }
        match journal.append(&self.buffers.batch) {
            Ok(sequence) => {
                self.forget_undo();
                self.buffers.batch.clear();
                Ok(Some(sequence))
            }
            Err(refused) => {
                self.rollback();
                Err(refused)
            }
        }
    }

    /// Commits without a journal: the records go to `mirror`, as a recovery would read them.
    #[cfg(test)]
    pub fn commit_to_mirror(&mut self, mirror: &Keyspace) {
        let mut loader = super::Loader::new(mirror, self.buffers.limits);
        for op in self.buffers.batch.iter() {
            loader.apply(op).expect("what is written can be read");
        }
        loader
            .finish(i64::MIN)
            .expect("each part comes with its header");
        self.forget_undo();
        self.buffers.batch.clear();
    }

    /// After the commit: marks who watches the keys, notes what may be waited for, and frees what was replaced.
    fn forget_undo(&mut self) {
        if !self.keyspace.awaited.is_empty() {
            self.note_readied();
        }
        if !self.keyspace.watched.is_empty() {
            for undo in &self.buffers.undo {
                undo.touched(|place| match place {
                    Some(place) => self.keyspace.watched.mark(place.hash),
                    None => self.keyspace.watched.mark_all(),
                });
            }
        }
        if self.keyspace.is_tracked() {
            let TxnBuffers { undo, effects, .. } = &mut *self.buffers;
            for undo in undo {
                undo.touched(|place| {
                    if let Some(place) = place {
                        effects.push_changed(&place.key);
                    }
                });
            }
        }
        let TxnBuffers { undo, resized, .. } = &mut *self.buffers;
        let mut garbage = 0;
        for undo in undo {
            undo.resize(resized);
            garbage += undo.garbage();
        }
        if garbage >= FREE_ASIDE_ELEMENTS_MIN {
            let garbage = std::mem::take(&mut self.buffers.undo);
            self.keyspace.freed_aside().free(garbage);
        }
        self.buffers.undo.clear();
        self.buffers.changes.clear();
    }

    /// Notes keys in the order in which Redis serves those who wait: that in which they got a value. Those that had one all
    /// along, or have none, come after them.
    #[cold]
    fn note_readied(&mut self) {
        let TxnBuffers { readied, undo, .. } = &mut *self.buffers;
        let bringing = undo.iter().filter(|undo| undo.brings_value());
        for undo in bringing.chain(undo.iter().filter(|undo| !undo.brings_value())) {
            undo.touched(|place| match place {
                Some(place) if self.keyspace.awaited.may_contain(place.hash) => {
                    readied.note(place.hash);
                }
                Some(_) => {}
                None => readied.everything = true,
            });
        }
    }

    #[inline]
    fn stripe(&mut self, hash: u64) -> &mut Stripe {
        let index = Keyspace::stripe_of(hash);
        if !matches!(&self.stripe, Some((held, _)) if *held == index) {
            self.turn_to(index);
        }
        match &mut self.stripe {
            Some((_, guard)) => guard,
            None => unreachable!("set above"),
        }
    }

    fn turn_to(&mut self, index: usize) {
        if self.others.is_empty() {
            // The old stripe goes first: who holds one waits for none.
            self.stripe = None;
            self.stripe = Some((index, self.keyspace.lock_stripe(index)));
            return;
        }
        let mut others = self.others.iter_mut();
        match (&mut self.stripe, others.find(|(held, _)| *held == index)) {
            (Some(current), Some(wanted)) => std::mem::swap(current, wanted),
            _ => unreachable!("the stripes of all keys were taken together"),
        }
    }

    #[inline]
    fn table(&mut self, hash: u64) -> &mut Table {
        self.table_of(self.db, hash)
    }

    #[inline]
    pub(super) fn table_of(&mut self, db: u8, hash: u64) -> &mut Table {
        let databases = self.keyspace.databases();
        self.stripe(hash).table_mut(db, databases)
    }

    #[inline]
    pub(super) fn place(&self, key: &[u8]) -> Place {
        let hash = self.keyspace.fingerprint(self.db, key);
        Place {
            db: self.db,
            hash,
            key: Key::from_slice(key),
        }
    }

    /// The slot of a key that is there. One that has expired is removed on the way.
    #[inline]
    fn find(&mut self, key: &[u8]) -> Option<usize> {
        self.find_hashed(self.keyspace.fingerprint(self.db, key), key)
    }

    #[inline]
    pub(super) fn find_hashed(&mut self, hash: u64, key: &[u8]) -> Option<usize> {
        let now_ms = self.now_ms;
        let table = self.table(hash);
        let slot = table.entries.slot_of(TableHash::of(hash), key)?;
        let entry = table.entries.get(slot)?;
        if entry.expired(now_ms) {
            self.buffers.counts.expired += 1;
            self.remove_found(key);
            self.notify(Notify::EXPIRED, "expired", key);
            return None;
        }
        if table.has_times && entry.value.is_due(now_ms) && self.end_fields(key, slot) {
            return None;
        }
        Some(slot)
    }

    #[inline]
    fn entry_at(&mut self, key: &[u8], slot: usize) -> &mut Entry {
        debug_assert!(
            self.stripe.is_some(),
            "the slot was found under the held stripe"
        );
        let db = self.db;
        let databases = self.keyspace.databases();
        let entry = match &mut self.stripe {
            Some((_, stripe)) => stripe.table_mut(db, databases).entries.get_mut(slot),
            None => None,
        };
        match entry {
            Some(entry) => {
                debug_assert_eq!(entry.key.as_slice(), key);
                entry
            }
            None => unreachable!("found under the same mutex"),
        }
    }

    /// The entry of a slot that was found under the held stripe, with this access noted.
    #[inline]
    fn touched(&mut self, slot: usize) -> &mut Entry {
        let now_ms = self.now_ms;
        let (entry, buffers) = self.entry_and_buffers(self.db, slot);
        buffers.touch(&mut entry.access, now_ms);
        entry
    }

    /// The entry of a slot that was found under the held stripe, and the buffers beside it.
    #[inline]
    pub(super) fn entry_and_buffers(
        &mut self,
        db: u8,
        slot: usize,
    ) -> (&mut Entry, &mut TxnBuffers) {
        let databases = self.keyspace.databases();
        let entry = self.stripe.as_mut().and_then(|(_, stripe)| {
            let table = stripe.table_mut(db, databases);
            table.entries.get_mut(slot)
        });
        match entry {
            Some(entry) => (entry, self.buffers),
            None => unreachable!("found under the same mutex"),
        }
    }

    #[inline]
    pub(super) fn effects(&self) -> &Effects {
        &self.buffers.effects
    }

    /// The side effects so far; after the commit, those to be handed over.
    #[inline]
    pub fn effects_mut(&mut self) -> &mut Effects {
        &mut self.buffers.effects
    }

    pub(super) fn count_evicted(&mut self) {
        self.buffers.counts.evicted += 1;
    }

    pub(super) fn note_expired_fields(&mut self, fields: u64) {
        self.buffers.counts.expired_fields += fields;
    }

    /// Keeps what undoes a change.
    pub(super) fn undo(&mut self, undo: Undo) {
        self.buffers.undo.push(undo);
    }

    /// The newest change to an element, to be undone.
    pub(super) fn pop_change(&mut self) -> Option<Change> {
        self.buffers.changes.pop()
    }

    pub(super) fn remove_found(&mut self, key: &[u8]) {
        let place = self.place(key);
        let Some(entry) = self.table(place.hash).remove(place.hash, key) else {
            unreachable!("found under the same mutex");
        };
        log_removed(self.buffers, place.db, key, &entry.value);
        let undo = Undo::Restore {
            place,
            old: Some(Old::from(entry)),
            left: Left::Nothing,
        };
        self.buffers.undo.push(undo);
    }

    fn splice_short(&mut self, place: Place, slot: usize, offset: usize, bytes: &[u8]) -> usize {
        let entry = self.entry_at(&place.key, slot);
        let old = Old {
            value: entry.value.clone(),
            expire_ms: entry.expire_ms,
            access: entry.access,
        };
        let Value::Str(string) = &mut entry.value else {
            unreachable!("the caller knows that the key holds a string");
        };
        let buf = string.make_raw();
        let end = offset + bytes.len();
        if buf.len() < end {
            buf.resize(end, 0);
        }
        buf[offset..end].copy_from_slice(bytes);
        let len = buf.len();
        self.log_replaced(&place, slot, &old.value);
        let left = Left::value(old.expire_ms);
        self.buffers.undo.push(Undo::Restore {
            place,
            old: Some(old),
            left,
        });
        len
    }

    /// Logs the value that now stands where `old` stood.
    #[inline]
    fn log_replaced(&mut self, place: &Place, slot: usize, old: &Value) {
        if record::is_composite(old) {
            log_removed(self.buffers, place.db, &place.key, old);
        }
        let Some(entry) = Self::peek_slot(self.stripe.as_ref(), place.db, slot) else {
            return;
        };
        log_value(
            self.buffers,
            place.db,
            &place.key,
            &entry.value,
            entry.expire_ms,
        );
    }

    fn log_header(&mut self, place: &Place, slot: usize) {
        let Some(entry) = Self::peek_slot(self.stripe.as_ref(), place.db, slot) else {
            return;
        };
        log_header(
            self.buffers,
            place.db,
            &place.key,
            &entry.value,
            entry.expire_ms,
        );
    }

    fn log_chunks(&mut self, place: &Place, slot: usize, chunks: std::ops::Range<usize>) {
        let Some(entry) = Self::peek_slot(self.stripe.as_ref(), place.db, slot) else {
            return;
        };
        log_chunks(self.buffers, place.db, &place.key, &entry.value, chunks);
    }

    /// The entry of a slot, borrowed from the stripe alone so that the buffers stay free.
    #[inline]
    fn peek_slot<'s>(
        stripe: Option<&'s (usize, MutexGuard<'a, Stripe>)>,
        db: u8,
        slot: usize,
    ) -> Option<&'s Entry> {
        let entry = stripe
            .and_then(|(_, s)| s.table(db))
            .and_then(|t| t.entries.get(slot));
        debug_assert!(entry.is_some(), "found under the same mutex");
        entry
    }
}
