//! The id of an entry: a time in milliseconds, and a number among the entries of that millisecond.

use crate::base::number::parse_i64;
use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// An id as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdText {
    Whole(StreamId),
    /// `ms` alone.
    Ms(u64),
    /// `ms-*`
    AnySeq(u64),
}

/// The longest text of an id that Redis reads.
const TEXT_LEN_MAX: usize = 127;

impl StreamId {
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };
    pub const BYTES: usize = 16;

    pub fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    #[inline]
    pub fn next(self) -> Option<Self> {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Some(Self::new(self.ms, seq)),
            (None, Some(ms)) => Some(Self::new(ms, 0)),
            (None, None) => None,
        }
    }

    pub fn previous(self) -> Option<Self> {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Some(Self::new(self.ms, seq)),
            (None, Some(ms)) => Some(Self::new(ms, u64::MAX)),
            (None, None) => None,
        }
    }

    /// In the order of ids, which is that of the bytes.
    #[inline]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    #[inline]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self::new((both >> 64) as u64, both as u64)
    }

    /// Writes the text of the id.
    #[inline]
    pub fn text(self, text: &mut IdBuffer) -> &[u8] {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (
            ms.format(self.ms).as_bytes(),
            seq.format(self.seq).as_bytes(),
        );
        let len = ms.len() + 1 + seq.len();
        text.0[..ms.len()].copy_from_slice(ms);
        text.0[ms.len()] = b'-';
        text.0[ms.len() + 1..len].copy_from_slice(seq);
        &text.0[..len]
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.ms, self.seq)
    }
}

/// Room for the text of any id.
pub struct IdBuffer([u8; ID_TEXT_LEN_MAX]);

/// Two numbers of 64 bits, and a dash.
const ID_TEXT_LEN_MAX: usize = 41;

impl Default for IdBuffer {
    fn default() -> Self {
        Self([0; ID_TEXT_LEN_MAX])
    }
}

impl IdText {
    /// Reads an id as Redis does: what follows a zero byte does not count. `-` and `+` are not ids here.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_LEN_MAX {
            return None;
        }
        let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
        let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
            return parse_u64(text).map(IdText::Ms);
        };
        let ms = parse_u64(&text[..dash])?;
        match &text[dash + 1..] {
            b"*" => Some(IdText::AnySeq(ms)),
            seq => Some(IdText::Whole(StreamId::new(ms, parse_u64(seq)?))),
        }
    }

    /// The id, where `seq` stands for a missing number. `ms-*` is none.
    pub fn or_seq(self, seq: u64) -> Option<StreamId> {
        match self {
            IdText::Whole(id) => Some(id),
            IdText::Ms(ms) => Some(StreamId::new(ms, seq)),
            IdText::AnySeq(_) => None,
        }
    }
}

/// A number as C's `strtoull` reads it, where it is not a plain one: blanks and a sign before it, zeros, and a negative
/// one counts down from the top.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let blanks = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !blanks(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let whole = |ms, seq| Some(IdText::Whole(StreamId::new(ms, seq)));
        for (text, id) in [
            ("5-3", whole(5, 3)),
            ("5", Some(IdText::Ms(5))),
            ("5-*", Some(IdText::AnySeq(5))),
            (
                "18446744073709551615-18446744073709551615",
                whole(u64::MAX, u64::MAX),
            ),
            ("5-3\0x", whole(5, 3)),
            (" +05-007", whole(5, 7)),
            ("5--3", None),
            ("5--03", whole(5, 0_u64.wrapping_sub(3))),
            ("5-", None),
            ("-5", None),
            ("", None),
            ("*", None),
            ("5-3-1", None),
            ("5-18446744073709551616", None),
            ("0x5-1", None),
        ] {
            assert_eq!(IdText::parse(text.as_bytes()), id, "{text:?}");
        }
        assert_eq!(IdText::parse(&[b'1'; 128]), None);
    }

    #[test]
    fn neighbours_and_bytes_keep_the_order() {
        let ids = [
            StreamId::MIN,
            StreamId::new(0, 1),
            StreamId::new(0, u64::MAX),
            StreamId::new(1, 0),
            StreamId::MAX,
        ];
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
        }
        for id in ids {
            assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
            assert_eq!(id.next().and_then(StreamId::previous).unwrap_or(id), id);
            assert_eq!(id.text(&mut IdBuffer::default()), id.to_string().as_bytes());
        }
        assert_eq!(ids[2].next(), Some(ids[3]));
        assert_eq!(
            (StreamId::MIN.previous(), StreamId::MAX.next()),
            (None, None)
        );
    }
}
