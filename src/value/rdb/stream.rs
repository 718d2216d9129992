//! The serialized forms of a stream.

use super::Reader;
use crate::value::{Limits, Stream};

pub fn put(_out: &mut Vec<u8>, _stream: &Stream) {}

/// Reads a stream. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(_tag: u8, _reader: &mut Reader<'_>, _limits: &Limits) -> Option<Stream> {
    None
}
