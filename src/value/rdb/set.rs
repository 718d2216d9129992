//! The serialized forms of a set.

use super::Reader;
use crate::value::{Limits, Set};

pub fn put(_out: &mut Vec<u8>, _set: &Set) {}

/// Reads a set. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(_tag: u8, _reader: &mut Reader<'_>, _limits: &Limits) -> Option<Set> {
    None
}
