//! The serialized forms of a list.

use super::Reader;
use crate::value::{Limits, List};

pub fn put(_out: &mut Vec<u8>, _list: &List) {}

/// Reads a list. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(_tag: u8, _reader: &mut Reader<'_>, _limits: &Limits) -> Option<List> {
    None
}
