//! The string value: an integer when it reads as one, bytes otherwise.

use crate::base::number::parse_i64;
use smallvec::SmallVec;

/// Bytes of which the first sixteen need no allocation.
pub type StrBuf = SmallVec<[u8; 16]>;

/// The longest string that Redis stores as `embstr`.
const EMBSTR_LEN_MAX: usize = 44;
/// The longest text of an `i64`.
const INT_TEXT_LEN_MAX: usize = 20;

/// A string. Two strings with the same bytes may differ in encoding: `APPEND` and its like leave `raw` behind.
#[derive(Clone, Debug)]
pub enum Str {
    Int(i64),
    Bytes(StrBuf),
    /// Bytes that were changed in place.
    Raw(StrBuf),
}

impl Str {
    /// The string as `SET` stores it.
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() <= INT_TEXT_LEN_MAX
            && let Some(n) = parse_i64(bytes)
        {
            return Str::Int(n);
        }
        Str::Bytes(StrBuf::from_slice(bytes))
    }

    /// Bytes that stay bytes, also if they read as a number.
    pub fn raw(bytes: StrBuf) -> Self {
        Str::Raw(bytes)
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Str::Int(n) => itoa::Buffer::new().format(*n).len(),
            Str::Bytes(b) | Str::Raw(b) => b.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; an integer's text is written into `text`.
    #[inline]
    pub fn bytes<'a>(&'a self, text: &'a mut itoa::Buffer) -> &'a [u8] {
        match self {
            Str::Int(n) => text.format(*n).as_bytes(),
            Str::Bytes(b) | Str::Raw(b) => b,
        }
    }

    pub fn to_buf(&self) -> StrBuf {
        StrBuf::from_slice(self.bytes(&mut itoa::Buffer::new()))
    }

    /// The integer that the string reads as, if it does.
    #[inline]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Str::Int(n) => Some(*n),
            Str::Bytes(b) | Str::Raw(b) => parse_i64(b),
        }
    }

    /// The bytes for a change in place; the encoding becomes `raw`.
    pub fn make_raw(&mut self) -> &mut StrBuf {
        if !matches!(self, Str::Raw(_)) {
            let buf = match std::mem::replace(self, Str::Int(0)) {
                Str::Int(n) => StrBuf::from_slice(itoa::Buffer::new().format(n).as_bytes()),
                Str::Bytes(b) | Str::Raw(b) => b,
            };
            *self = Str::Raw(buf);
        }
        match self {
            Str::Raw(b) => b,
            Str::Int(_) | Str::Bytes(_) => unreachable!("made raw above"),
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            Str::Int(_) => "int",
            Str::Bytes(b) if b.len() <= EMBSTR_LEN_MAX => "embstr",
            Str::Bytes(_) | Str::Raw(_) => "raw",
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Str::Bytes(b) | Str::Raw(b) if b.spilled() => b.capacity(),
            Str::Int(_) | Str::Bytes(_) | Str::Raw(_) => 0,
        }
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.bytes(&mut itoa::Buffer::new()) == other.bytes(&mut itoa::Buffer::new())
    }
}

impl Eq for Str {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_follow_redis() {
        for (bytes, encoding) in [
            (&b"12"[..], "int"),
            (b"-9223372036854775808", "int"),
            (b"9223372036854775808", "embstr"),
            (b"012", "embstr"),
            (b"", "embstr"),
            (&[b'x'; 44], "embstr"),
            (&[b'x'; 45], "raw"),
        ] {
            assert_eq!(Str::new(bytes).encoding(), encoding, "{bytes:?}");
        }
    }

    #[test]
    fn a_change_in_place_leaves_raw_bytes() {
        let mut s = Str::new(b"12");
        s.make_raw().push(b'3');
        assert_eq!(s.encoding(), "raw");
        assert_eq!(s.as_int(), Some(123));
        assert_eq!(s, Str::new(b"123"));
    }
}
