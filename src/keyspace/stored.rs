//! How a collection is kept in the store: a header, and a record for each element.
//!
//! A record of a collection may come back in any order within a rewritten journal, and more than once in time; so loading
//! an element must not depend on the others, and [`Stored::load_finish`] is told when all are there.

use super::record;
use crate::value::{Hash, Limits, List, Set, Stream, Value, ZSet};

/// The records of a collection.
pub trait Stored {
    /// The type's number in the header record.
    fn tag(&self) -> u8;

    /// Appends what the header says of the collection besides its type and expiry.
    fn put_header(&self, _out: &mut Vec<u8>) {}

    /// Takes that in again. `None`: no version of this server writes it.
    fn load_header(&mut self, payload: &[u8]) -> Option<()> {
        payload.is_empty().then_some(())
    }

    /// Tells of every element: its name within the collection, and its record's value.
    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8]));

    /// An element as the store has it; it may be there already. `None`: no version of this server writes it.
    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()>;

    /// An element was removed; it may be missing.
    fn load_delete(&mut self, element: &[u8]) -> Option<()>;

    /// All records are in.
    fn load_finish(&mut self, _limits: &Limits) {}
}

/// The records' side of a value; a string has none besides its header and its chunks.
pub fn stored(value: &Value) -> Option<&dyn Stored> {
    match value {
        Value::Str(_) => None,
        Value::List(list) => Some(list),
        Value::Hash(hash) => Some(hash),
        Value::Set(set) => Some(set),
        Value::ZSet(zset) => Some(zset),
        Value::Stream(stream) => Some(stream),
    }
}

pub fn stored_mut(value: &mut Value) -> Option<&mut dyn Stored> {
    match value {
        Value::Str(_) => None,
        Value::List(list) => Some(list),
        Value::Hash(hash) => Some(hash),
        Value::Set(set) => Some(set),
        Value::ZSet(zset) => Some(zset),
        Value::Stream(stream) => Some(stream),
    }
}

/// An empty collection of the type that a header names.
pub fn empty(tag: u8) -> Option<Value> {
    Some(match tag {
        record::TYPE_LIST => Value::List(List::default()),
        record::TYPE_HASH => Value::Hash(Hash::default()),
        record::TYPE_SET => Value::Set(Set::default()),
        record::TYPE_ZSET => Value::ZSet(ZSet::default()),
        record::TYPE_STREAM => Value::Stream(Stream::default()),
        _ => return None,
    })
}
