//! Changes to hashes.
//!
//! ```text
//! element = 0 field    value = the field's value
//! element = 1 field    value = at_ms:i64le         (when the field ends, if it does)
//! ```

use super::super::effects::Notify;
use super::super::stored::Stored;
use super::super::txn::Txn;
use super::{Collection, Edit, variant};
use crate::value::{Hash, HashRemoved, HashSet, HashTimes, Limits, Listpack, Member};

/// What an element's record is about.
const VALUE: u8 = 0;
const EXPIRY: u8 = 1;

/// What undoes a change to a hash.
#[derive(Debug)]
pub enum HashChange {
    Grown(Listpack),
    Set(HashSet),
    Removed(HashRemoved),
    Expiry { field: Member, old: Option<i64> },
}

impl Edit<'_, Hash> {
    /// Sets a field, which from then on has no expiry. Tells whether it is new.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if self.value.times().is_some() {
            self.set_expiry(field, None);
        }
        self.set_value(field, value)
    }

    /// Sets a field's value; its expiry stays. Tells whether it is new.
    #[inline]
    pub fn set_value(&mut self, field: &[u8], value: &[u8]) -> bool {
        let limits = self.limits();
        if let Some(small) = self.value.make_room(field, value, &limits) {
            self.changed(HashChange::Grown(small));
        }
        let done = self.value.set(field, value);
        let is_new = matches!(done, HashSet::Added);
        self.element_of(VALUE, field);
        self.buffers.batch.put(&self.buffers.record_key, value);
        self.changed(HashChange::Set(done));
        is_new
    }

    /// Removes a field. Tells whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(removed) = self.value.remove(field) else {
            return false;
        };
        self.element_of(VALUE, field);
        self.buffers.batch.delete(&self.buffers.record_key);
        if removed.had_expiry() {
            self.element_of(EXPIRY, field);
            self.buffers.batch.delete(&self.buffers.record_key);
        }
        self.changed(HashChange::Removed(removed));
        true
    }

    /// Sets when a field that is there ends (`None`: never). Tells whether it had an expiry.
    pub fn set_expiry(&mut self, field: &[u8], at_ms: Option<i64>) -> bool {
        let old = self.value.set_expiry(field, at_ms);
        if old == at_ms {
            return old.is_some();
        }
        self.element_of(EXPIRY, field);
        let key = &self.buffers.record_key;
        match at_ms {
            Some(at_ms) => self.buffers.batch.put(key, &at_ms.to_le_bytes()),
            None => self.buffers.batch.delete(key),
        }
        let field = Member::from_slice(field);
        self.changed(HashChange::Expiry { field, old });
        old.is_some()
    }

    /// Makes `record_key` that of a field's value or expiry.
    #[inline]
    fn element_of(&mut self, part: u8, field: &[u8]) {
        let key = &mut self.buffers.record_key;
        key.truncate(self.prefix_len);
        key.push(part);
        key.extend_from_slice(field);
    }
}

impl Txn<'_> {
    /// Removes the fields of a hash that have ended, and the hash if it had no others. Tells whether the key is gone.
    #[cold]
    pub(in super::super) fn end_fields(&mut self, key: &[u8], slot: usize) -> bool {
        let place = self.place(key);
        let (entry, _) = self.entry_and_buffers(place.db, slot);
        let access = entry.access;
        let edited = self.edit_at::<Hash, _>(key, place, slot, false, |hash| {
            let (now_ms, mut removed) = (hash.now_ms(), 0);
            while let Some(field) = hash.times().and_then(|times| times.due(now_ms)) {
                let field = Member::from_slice(field);
                hash.remove(field.as_slice());
                removed += 1;
            }
            removed
        });
        let Ok((removed, is_over)) = edited else {
            unreachable!("only hashes have fields that end");
        };
        self.note_expired_fields(removed);
        self.notify(Notify::HASH, "hexpired", key);
        if is_over {
            self.notify(Notify::GENERIC, "del", key);
        } else {
            // That time has passed is no access.
            let (entry, _) = self.entry_and_buffers(self.db(), slot);
            entry.access = access;
        }
        is_over
    }
}

impl Collection for Hash {
    variant!(Hash, HashChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn has_times(&self) -> bool {
        self.times().is_some()
    }

    fn undo(&mut self, change: HashChange) {
        match change {
            HashChange::Grown(small) => self.undo_grown(small),
            HashChange::Set(HashSet::Added) => self.undo_added(),
            HashChange::Set(HashSet::Replaced { place, old }) => self.undo_replaced(place, &old),
            HashChange::Removed(removed) => self.undo_removed(removed),
            HashChange::Expiry { field, old } => {
                self.set_expiry(field.as_slice(), old);
            }
        }
    }
}

impl Stored for Hash {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_HASH
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut element = Vec::new();
        let mut named = |part: u8, field: &[u8], value: &[u8]| {
            element.clear();
            element.push(part);
            element.extend_from_slice(field);
            put(&element, value);
        };
        for (field, value) in self {
            let mut texts = [itoa::Buffer::new(), itoa::Buffer::new()];
            let [field_text, value_text] = &mut texts;
            named(VALUE, field.bytes(field_text), value.bytes(value_text));
        }
        for (field, at_ms) in self.times().into_iter().flat_map(HashTimes::iter) {
            named(EXPIRY, field, &at_ms.to_le_bytes());
        }
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        match element.split_first()? {
            (&VALUE, field) => {
                // Nobody will undo this.
                drop(self.make_room(field, value, limits));
                self.set(field, value);
            }
            (&EXPIRY, field) => {
                self.set_expiry(field, Some(i64::from_le_bytes(value.try_into().ok()?)));
            }
            _ => return None,
        }
        Some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        match element.split_first()? {
            (&VALUE, field) => drop(self.remove(field)),
            (&EXPIRY, field) => {
                self.set_expiry(field, None);
            }
            _ => return None,
        }
        Some(())
    }
}
