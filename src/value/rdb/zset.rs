//! The serialized forms of a zset.

use super::Reader;
use crate::value::{Limits, ZSet};

pub fn put(_out: &mut Vec<u8>, _zset: &ZSet) {}

/// Reads a zset. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(_tag: u8, _reader: &mut Reader<'_>, _limits: &Limits) -> Option<ZSet> {
    None
}
