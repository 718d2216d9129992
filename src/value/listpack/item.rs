//! What stands in a listpack.

use crate::base::number::parse_i64;

/// The longest text of an `i64`.
const INT_TEXT_LEN_MAX: usize = 20;

/// An integer, or bytes. The same text may be either (a stranger's listpack need not hold integers as such), and both are
/// equal.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// The bytes; an integer's text is written into `text`.
    #[inline]
    pub fn bytes<'t>(self, text: &'t mut itoa::Buffer) -> &'t [u8]
    where
        'a: 't,
    {
        match self {
            Item::Int(number) => text.format(number).as_bytes(),
            Item::Bytes(bytes) => bytes,
        }
    }

    /// How many bytes it has.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks an item")]
    pub fn len(self) -> usize {
        self.bytes(&mut itoa::Buffer::new()).len()
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.bytes(&mut itoa::Buffer::new()).to_vec()
    }

    /// The integer that it is or reads as.
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        match self {
            Item::Int(number) => Some(number),
            Item::Bytes(bytes) => int_of(bytes),
        }
    }
}

/// The integer that the bytes read as.
#[inline]
pub(super) fn int_of(bytes: &[u8]) -> Option<i64> {
    // Most strings are told from integers by their length or their last byte.
    match bytes {
        [.., b'0'..=b'9'] if bytes.len() <= INT_TEXT_LEN_MAX => parse_i64(bytes),
        _ => None,
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        int_of(bytes).map_or(Item::Bytes(bytes), Item::Int)
    }
}

impl From<i64> for Item<'_> {
    #[inline]
    fn from(number: i64) -> Self {
        Item::Int(number)
    }
}

impl PartialEq for Item<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Item::Bytes(a), Item::Bytes(b)) => a == b,
            (Item::Int(a), Item::Int(b)) => a == b,
            (Item::Int(number), Item::Bytes(bytes)) | (Item::Bytes(bytes), Item::Int(number)) => {
                int_of(bytes) == Some(*number)
            }
        }
    }
}

impl Eq for Item<'_> {}

impl std::fmt::Debug for Item<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::Int(number) => write!(formatter, "{number}"),
            Item::Bytes(bytes) => write!(formatter, "\"{}\"", bytes.escape_ascii()),
        }
    }
}
