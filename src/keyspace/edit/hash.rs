//! Changes to hashes.
//!
//! ```text
//! element = the field    value = the field's value
//! ```

use super::super::stored::Stored;
use super::{Collection, Edit, variant};
use crate::value::{Hash, HashSet, Limits, StrBuf};

/// What undoes a change to a hash.
#[derive(Debug)]
pub enum HashChange {
    Added {
        field: StrBuf,
    },
    Replaced {
        field: StrBuf,
        old: StrBuf,
    },
    Removed {
        at: usize,
        field: StrBuf,
        old: StrBuf,
    },
}

impl Edit<'_, Hash> {
    /// Sets a field. Tells whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let limits = self.limits();
        let done = self.value.set(field, value, &limits);
        self.put_record(field, value);
        let field = StrBuf::from_slice(field);
        match done {
            HashSet::Added => {
                self.changed(HashChange::Added { field });
                true
            }
            HashSet::Replaced(old) => {
                self.changed(HashChange::Replaced { field, old });
                false
            }
        }
    }

    /// Removes a field. Tells whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some((at, old)) = self.value.remove(field) else {
            return false;
        };
        self.delete_record(field);
        let field = StrBuf::from_slice(field);
        self.changed(HashChange::Removed { at, field, old });
        true
    }
}

impl Collection for Hash {
    variant!(Hash, HashChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: HashChange) {
        match change {
            HashChange::Added { field } => {
                self.remove(&field);
            }
            HashChange::Replaced { field, old } => {
                self.set(&field, &old, &Limits::default());
            }
            HashChange::Removed { at, field, old } => self.insert_at(at, field, old),
        }
    }
}

impl Stored for Hash {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_HASH
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        self.iter().for_each(|(field, value)| put(field, value));
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        self.set(element, value, limits);
        Some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        self.remove(element);
        Some(())
    }
}
