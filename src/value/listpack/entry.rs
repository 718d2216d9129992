//! One entry of a listpack: its encoding, its data, and its length once more for who comes from behind.
//!
//! ```text
//! entry    = encoding data backlen
//! encoding = 0b0iiiiiii                      integer 0..=127
//!          | 0b10llllll                      string below 64 bytes
//!          | 0b110iiiii i:u8                 integer of 13 bits, signed
//!          | 0b1110llll l:u8                 string below 4,096 bytes
//!          | 0xf0 l:u32le                    string
//!          | 0xf1 | 0xf2 | 0xf3 | 0xf4       integer of 16, 24, 32, 64 bits, little-endian
//! backlen  = length of encoding and data, 7 bits a byte, the highest first; all but the first have 0x80
//! ```

use super::Item;

/// The byte after the last entry.
pub const END: u8 = 0xff;

const STRING_6_BITS: u8 = 0x80;
const INT_13_BITS: u8 = 0xc0;
const STRING_12_BITS: u8 = 0xe0;
const STRING_32_BITS: u8 = 0xf0;
const INT_16_BITS: u8 = 0xf1;
const INT_24_BITS: u8 = 0xf2;
const INT_32_BITS: u8 = 0xf3;
const INT_64_BITS: u8 = 0xf4;

/// An encoding byte and an integer of 64 bits.
const HEAD_LEN_MAX: usize = 9;
const BACKLEN_LEN_MAX: usize = 5;

/// An item on its way into a listpack.
pub struct Encoded<'a> {
    head: [u8; HEAD_LEN_MAX],
    head_len: usize,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub fn new(item: Item<'a>) -> Self {
        match item {
            Item::Int(number) => Self::int(number),
            Item::Bytes(bytes) => Self::string(bytes),
        }
    }

    #[inline]
    fn int(number: i64) -> Self {
        let le = number.to_le_bytes();
        match number {
            0..=127 => Self::head([le[0]], &[]),
            -4096..=4095 => Self::head([INT_13_BITS | (le[1] & 0x1f), le[0]], &[]),
            -0x8000..=0x7fff => Self::head([INT_16_BITS, le[0], le[1]], &[]),
            -0x80_0000..=0x7f_ffff => Self::head([INT_24_BITS, le[0], le[1], le[2]], &[]),
            -0x8000_0000..=0x7fff_ffff => {
                Self::head([INT_32_BITS, le[0], le[1], le[2], le[3]], &[])
            }
            _ => {
                let mut head = [INT_64_BITS; HEAD_LEN_MAX];
                head[1..].copy_from_slice(&le);
                Self::head(head, &[])
            }
        }
    }

    #[inline]
    fn string(data: &'a [u8]) -> Self {
        let len = data.len();
        if len < 1 << 6 {
            return Self::head([STRING_6_BITS | len as u8], data);
        }
        if len < 1 << 12 {
            return Self::head([STRING_12_BITS | (len >> 8) as u8, len as u8], data);
        }
        assert!(u32::try_from(len).is_ok(), "the caller bounds its strings");
        let [a, b, c, d] = (len as u32).to_le_bytes();
        Self::head([STRING_32_BITS, a, b, c, d], data)
    }

    #[inline]
    fn head<const N: usize>(bytes: [u8; N], data: &'a [u8]) -> Self {
        let mut head = [0; HEAD_LEN_MAX];
        head[..N].copy_from_slice(&bytes);
        Self {
            head,
            head_len: N,
            data,
        }
    }

    /// The length of the whole entry.
    #[inline]
    pub fn len(&self) -> usize {
        let len = self.head_len + self.data.len();
        len + backlen_len(len)
    }

    /// Writes the entry into its place, which has the entry's length.
    #[inline]
    pub fn write(&self, place: &mut [u8]) {
        let (head, rest) = place.split_at_mut(self.head_len);
        head.copy_from_slice(&self.head[..self.head_len]);
        let (data, backlen) = rest.split_at_mut(self.data.len());
        data.copy_from_slice(self.data);
        put_backlen(backlen, self.head_len + self.data.len());
    }
}

/// The item of the entry at `at`, and where the next one is.
#[inline]
pub fn read(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let (head_len, data_len) = lengths(bytes, at);
    let data_at = at + head_len;
    let len = head_len + data_len;
    let next = at + len + backlen_len(len);
    let item = match bytes[at] {
        small @ 0..STRING_6_BITS => Item::Int(i64::from(small)),
        INT_13_BITS..STRING_12_BITS => Item::Int(int_13(bytes[at], bytes[at + 1])),
        INT_16_BITS..=INT_64_BITS => Item::Int(int_le(&bytes[at + 1..at + len])),
        _ => Item::Bytes(&bytes[data_at..data_at + data_len]),
    };
    (item, next)
}

/// Where the entry after the one at `at` is.
#[inline]
pub fn next(bytes: &[u8], at: usize) -> usize {
    let (head_len, data_len) = lengths(bytes, at);
    let len = head_len + data_len;
    at + len + backlen_len(len)
}

/// Where the entry that ends before `end` begins.
#[inline]
pub fn previous(bytes: &[u8], end: usize) -> usize {
    let (mut len, mut shift, mut at) = (0, 0, end);
    loop {
        at -= 1;
        len |= usize::from(bytes[at] & 0x7f) << shift;
        if bytes[at] & 0x80 == 0 {
            return at - len;
        }
        shift += 7;
    }
}

/// Where the entry after the one at `at` is, if that one is whole and lies within the bytes. For bytes of strangers.
pub fn check(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..)?;
    let head_is_whole = match head.first()? {
        0..INT_13_BITS | INT_16_BITS..=INT_64_BITS => true,
        INT_13_BITS..STRING_32_BITS => head.len() >= 2,
        &STRING_32_BITS => head.len() >= 5,
        _ => false,
    };
    if !head_is_whole {
        return None;
    }
    let (head_len, data_len) = lengths(bytes, at);
    let len = head_len + data_len;
    let mut expected = [0; BACKLEN_LEN_MAX];
    let expected = &mut expected[..backlen_len(len)];
    put_backlen(expected, len);
    let end = at.checked_add(len)?;
    let next = end.checked_add(expected.len())?;
    (bytes.get(end..next)? == expected).then_some(next)
}

/// The lengths of the encoding (a short integer is all encoding) and of the data behind it.
#[inline]
fn lengths(bytes: &[u8], at: usize) -> (usize, usize) {
    match bytes[at] {
        0..STRING_6_BITS => (1, 0),
        head @ STRING_6_BITS..INT_13_BITS => (1, usize::from(head & 0x3f)),
        INT_13_BITS..STRING_12_BITS => (2, 0),
        head @ STRING_12_BITS..STRING_32_BITS => (
            2,
            usize::from(head & 0x0f) << 8 | usize::from(bytes[at + 1]),
        ),
        STRING_32_BITS => {
            let len = &bytes[at + 1..at + 5];
            let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
            (5, len as usize)
        }
        INT_16_BITS => (1, 2),
        INT_24_BITS => (1, 3),
        INT_32_BITS => (1, 4),
        INT_64_BITS => (1, 8),
        _ => unreachable!("no such encoding is written, nor passes the check"),
    }
}

#[inline]
fn int_13(high: u8, low: u8) -> i64 {
    // The sign is the highest of 13 bits: shifted to the top and back it fills what is above.
    let bits = u16::from_be_bytes([high << 3, 0]) | u16::from(low) << 3;
    i64::from(bits as i16 >> 3)
}

#[inline]
fn int_le(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unused_bits = 64 - 8 * bytes.len();
    i64::from_le_bytes(wide) << unused_bits >> unused_bits
}

/// How many bytes the length of an entry takes. Redis keeps the highest number of each width for the next one.
#[inline]
fn backlen_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

#[inline]
fn put_backlen(place: &mut [u8], len: usize) {
    if let [only] = place {
        *only = len as u8;
        return;
    }
    let mut rest = len;
    for byte in place[1..].iter_mut().rev() {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    place[0] = rest as u8;
}
