//! The serialized forms of a hash.

use super::Reader;
use crate::value::{Hash, Limits};

pub fn put(_out: &mut Vec<u8>, _hash: &Hash) {}

/// Reads a hash. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(_tag: u8, _reader: &mut Reader<'_>, _limits: &Limits) -> Option<Hash> {
    None
}
