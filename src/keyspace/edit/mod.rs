//! The transaction's way into collections: element by element.
//!
//! An [`Edit`] is open on one collection while a closure works on it. Each type has a file here with what can be done to
//! it. Every such method does three things in one place: it changes the value, appends the element's record to the batch
//! ([`Edit::put_record`], [`Edit::delete_record`]), and says what undoes the change ([`Edit::changed`]).
//!
//! Invariants:
//! - A record is about one element, never the collection.
//! - Undone in reverse, the changes leave the collection byte for byte as it was, its order and encoding included.
//! - A key whose collection is over ([`Collection::is_over`]) is removed when the edit closes.

mod hash;
mod list;
mod set;
mod stream;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
mod zset;

use super::access::Access;
use super::effects::Notify;
use super::log::log_header;
use super::record;
use super::stored::Stored;
use super::table::{Entry, TableHash};
use super::txn::{Txn, TxnBuffers};
use super::undo::{Left, Place, Undo};
use crate::value::{Hash, Limits, List, Set, Stream, Value, ZSet};
use std::ops::Deref;

pub use hash::HashChange;
pub use list::ListChange;
pub use set::SetChange;
pub use stream::StreamChange;
pub use zset::ZSetChange;

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// What becomes of a key that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It gets an empty collection to edit.
    Create,
    /// Nothing is edited.
    Leave,
}

/// A type of value that is changed element by element.
pub trait Collection: Stored + Default {
    /// What undoes one change.
    type Change: Into<Change>;

    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;

    /// Whether the key is to be removed: for most types, once no element is left.
    fn is_over(&self) -> bool;

    /// Whether parts of it end before the key does.
    fn has_times(&self) -> bool {
        false
    }

    fn undo(&mut self, change: Self::Change);
}

/// What undoes one change to a collection of some type.
#[derive(Debug)]
pub enum Change {
    List(ListChange),
    Hash(HashChange),
    Set(SetChange),
    ZSet(ZSetChange),
    Stream(StreamChange),
}

impl Change {
    /// Takes the change back. The value is the collection that was changed.
    pub fn undo(self, value: &mut Value) {
        match (self, value) {
            (Change::List(change), Value::List(list)) => list.undo(change),
            (Change::Hash(change), Value::Hash(hash)) => hash.undo(change),
            (Change::Set(change), Value::Set(set)) => set.undo(change),
            (Change::ZSet(change), Value::ZSet(zset)) => zset.undo(change),
            (Change::Stream(change), Value::Stream(stream)) => stream.undo(change),
            _ => unreachable!("later changes to the key were taken back first"),
        }
    }
}

macro_rules! changes {
    ($($kind:ident $change:ident;)*) => {$(
        impl From<$change> for Change {
            fn from(change: $change) -> Self {
                Change::$kind(change)
            }
        }
    )*};
}

changes! {
    List ListChange;
    Hash HashChange;
    Set SetChange;
    ZSet ZSetChange;
    Stream StreamChange;
}

/// The members of [`Collection`] that only name the type's variant.
macro_rules! variant {
    ($kind:ident, $change:ty) => {
        type Change = $change;

        fn of(value: &$crate::value::Value) -> Option<&Self> {
            match value {
                $crate::value::Value::$kind(value) => Some(value),
                _ => None,
            }
        }

        fn of_mut(value: &mut $crate::value::Value) -> Option<&mut Self> {
            match value {
                $crate::value::Value::$kind(value) => Some(value),
                _ => None,
            }
        }

        fn into_value(self) -> $crate::value::Value {
            $crate::value::Value::$kind(self)
        }
    };
}
use variant;

/// A collection that is being changed.
pub struct Edit<'t, T: Collection> {
    value: &'t mut T,
    buffers: &'t mut TxnBuffers,
    place: Place,
    /// Unix time in milliseconds at which the key is gone; 0: never.
    expire_ms: i64,
    now_ms: i64,
    /// Made by this edit: taking that back takes back all.
    is_new: bool,
    /// The bytes of `record_key` before an element's name.
    prefix_len: usize,
    /// The changes that were kept before this edit.
    changes_before: usize,
}

impl<T: Collection> Deref for Edit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: Collection> Edit<'_, T> {
    pub fn limits(&self) -> Limits {
        self.buffers.limits
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Keeps what undoes a change that was just made.
    #[inline]
    fn changed(&mut self, change: T::Change) {
        if !self.is_new {
            self.buffers.changes.push(change.into());
        }
    }

    /// Logs an element.
    #[inline]
    fn put_record(&mut self, element: &[u8], value: &[u8]) {
        let key = self.element_key(element);
        self.buffers
            .batch
            .put(&self.buffers.record_key[..key], value);
    }

    /// Logs that an element is gone.
    #[inline]
    fn delete_record(&mut self, element: &[u8]) {
        let key = self.element_key(element);
        self.buffers.batch.delete(&self.buffers.record_key[..key]);
    }

    /// Logs the header again, for a type whose header says more than its type.
    fn put_header(&mut self) {
        let record_key = &mut self.buffers.record_key;
        record_key.truncate(self.prefix_len - 1);
        record_key.push(record::TAG_HEADER);
        let value = &mut self.buffers.record_value;
        value.clear();
        record::put_collection_header(value, self.value, self.expire_ms);
        self.buffers.batch.put(record_key, value);
        record_key.pop();
        record_key.push(record::TAG_ELEMENT);
    }

    /// Puts the element's name behind the prefix; the length of both.
    #[inline]
    fn element_key(&mut self, element: &[u8]) -> usize {
        let key = &mut self.buffers.record_key;
        key.truncate(self.prefix_len);
        key.extend_from_slice(element);
        key.len()
    }
}

/// Also when a handler panics in the middle of its edit, what it did can be undone.
impl<T: Collection> Drop for Edit<'_, T> {
    fn drop(&mut self) {
        let changes = self.buffers.changes.len() - self.changes_before;
        if changes > 0 {
            self.buffers.undo.push(Undo::Edited {
                place: std::mem::take(&mut self.place),
                changes,
            });
        }
    }
}

impl Txn<'_> {
    /// The collection at a key, as a command reads it: counts as a hit or a miss, and as an access.
    #[inline]
    pub fn read<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&T>, WrongType> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => T::of(value).map(Some).ok_or(WrongType),
        }
    }

    /// The collection at a key without the marks that reading leaves.
    #[inline]
    pub fn inspect<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&T>, WrongType> {
        match self.peek(key) {
            None => Ok(None),
            Some(value) => T::of(value).map(Some).ok_or(WrongType),
        }
    }

    /// Changes the collection at a key. `None`: the key is not there, and was to be left so.
    pub fn edit<T: Collection, R>(
        &mut self,
        key: &[u8],
        absent: Absent,
        work: impl FnOnce(&mut Edit<'_, T>) -> R,
    ) -> Result<Option<R>, WrongType> {
        let place = self.place(key);
        let found = self.find_hashed(place.hash, key);
        let effects_before = self.effects().mark();
        let (slot, is_new) = match (found, absent) {
            (Some(slot), _) => (slot, false),
            (None, Absent::Leave) => return Ok(None),
            (None, Absent::Create) => (self.insert_empty::<T>(&place), true),
        };
        let (result, is_over) = self.edit_at(key, place, slot, is_new, work)?;
        if is_over && is_new {
            self.effects_mut().truncate(effects_before);
        }
        Ok(Some(result))
    }

    /// Changes the collection in a slot that was found under the held stripe. Tells whether the key was removed, because
    /// the collection was over.
    #[inline]
    fn edit_at<T: Collection, R>(
        &mut self,
        key: &[u8],
        place: Place,
        slot: usize,
        is_new: bool,
        work: impl FnOnce(&mut Edit<'_, T>) -> R,
    ) -> Result<(R, bool), WrongType> {
        let now_ms = self.now_ms();
        let (db, hash) = (place.db, place.hash);
        let (entry, buffers) = self.entry_and_buffers(db, slot);
        if !is_new {
            buffers.touch(&mut entry.access, now_ms);
        }
        let expire_ms = entry.expire_ms;
        let value = T::of_mut(&mut entry.value).ok_or(WrongType)?;
        buffers.record_key.clear();
        record::put_element_prefix(&mut buffers.record_key, db, key);
        let mut edit = Edit {
            value,
            prefix_len: buffers.record_key.len(),
            changes_before: buffers.changes.len(),
            buffers,
            place,
            expire_ms,
            now_ms,
            is_new,
        };
        let result = work(&mut edit);
        let (is_over, has_times) = (edit.value.is_over(), edit.value.has_times());
        drop(edit);
        if has_times {
            self.table_of(db, hash).has_times = true;
        }
        if is_over {
            self.remove_found(key);
        }
        Ok((result, is_over))
    }

    /// Gives a key that is not there an empty collection; returns its slot.
    fn insert_empty<T: Collection>(&mut self, place: &Place) -> usize {
        let entry = Entry {
            hash: TableHash::of(place.hash),
            key: place.key.clone(),
            value: T::default().into_value(),
            expire_ms: 0,
            access: Access::new(self.now_ms()),
        };
        let slot = self.table_of(place.db, place.hash).insert(entry);
        let (entry, buffers) = self.entry_and_buffers(place.db, slot);
        log_header(buffers, place.db, &place.key, &entry.value, 0);
        self.undo(Undo::Restore {
            place: place.clone(),
            old: None,
            left: Left::Lasting,
        });
        self.notify(Notify::NEW, "new", &place.key);
        slot
    }
}

// The types are named here so that one list of them is enough for a reader.
const _: fn() = || {
    fn is_collection<T: Collection>() {}
    is_collection::<List>();
    is_collection::<Hash>();
    is_collection::<Set>();
    is_collection::<ZSet>();
    is_collection::<Stream>();
};
