//! What serialized values are made of.
//!
//! ```text
//! length = 0b00llllll | 0b01llllll l:u8 | 0x80 u32be | 0x81 u64be
//! string = length bytes
//!        | 0xc0 i8 | 0xc1 i16le | 0xc2 i32le
//!        | 0xc3 packed-length length packed        (both lengths as above; the bytes by LZF)
//! ```

use super::super::lzf;
use super::super::string::Str;
use crate::base::number::parse_i64;

/// The longest text of an `i32`.
const INT_TEXT_LEN_MAX: usize = 11;

/// Strings up to this length are not packed.
const UNPACKED_LEN_MAX: usize = 20;
/// What packing has to save.
const PACKED_GAIN_MIN: usize = 4;

const LEN_14_BITS: u8 = 0x40;
const LEN_32_BITS: u8 = 0x80;
const LEN_64_BITS: u8 = 0x81;
const INT_8_BITS: u8 = 0xc0;
const INT_16_BITS: u8 = 0xc1;
const INT_32_BITS: u8 = 0xc2;
const PACKED: u8 = 0xc3;

/// Writes a string, in the form of an integer where it reads as a small one.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let number = if bytes.len() <= INT_TEXT_LEN_MAX {
        parse_i64(bytes).and_then(|number| i32::try_from(number).ok())
    } else {
        None
    };
    if let Some(number) = number {
        put_int(out, number);
    } else {
        put_bytes(out, bytes);
    }
}

/// Writes bytes as a string that is not taken for an integer: packed where that makes it shorter, as Redis does.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let packed = if bytes.len() > UNPACKED_LEN_MAX {
        lzf::compress(bytes, bytes.len() - PACKED_GAIN_MIN)
    } else {
        None
    };
    if let Some(packed) = packed {
        out.push(PACKED);
        put_len(out, packed.len());
        put_len(out, bytes.len());
        out.extend_from_slice(&packed);
    } else {
        put_len(out, bytes.len());
        out.extend_from_slice(bytes);
    }
}

pub fn put_len(out: &mut Vec<u8>, len: usize) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&[LEN_14_BITS | (len >> 8) as u8, len as u8]);
    } else if let Ok(len) = u32::try_from(len) {
        out.push(LEN_32_BITS);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(LEN_64_BITS);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

fn put_int(out: &mut Vec<u8>, number: i32) {
    if let Ok(number) = i8::try_from(number) {
        out.push(INT_8_BITS);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(INT_16_BITS);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        out.push(INT_32_BITS);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads content from its start on. Whatever the bytes are, nothing is read or allocated beyond them, but for packed
/// strings, which are at most `len_max` long.
pub struct Reader<'a> {
    rest: &'a [u8],
    len_max: usize,
}

impl<'a> Reader<'a> {
    pub fn new(content: &'a [u8], len_max: usize) -> Self {
        Self {
            rest: content,
            len_max,
        }
    }

    /// The bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    pub fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*chunk)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    /// A length. As a count of elements it may be any number: nothing is to be allocated by it.
    pub fn length(&mut self) -> Option<usize> {
        let head = self.byte()?;
        match head {
            ..LEN_14_BITS => Some(usize::from(head)),
            LEN_14_BITS..LEN_32_BITS => {
                let low = self.byte()?;
                Some(usize::from(head - LEN_14_BITS) << 8 | usize::from(low))
            }
            LEN_32_BITS => Some(u32::from_be_bytes(self.chunk()?) as usize),
            LEN_64_BITS => usize::try_from(u64::from_be_bytes(self.chunk()?)).ok(),
            _ => None,
        }
    }

    pub fn string(&mut self) -> Option<Str> {
        let integer = match *self.rest.first()? {
            INT_8_BITS => {
                self.byte()?;
                i64::from(i8::from_le_bytes(self.chunk()?))
            }
            INT_16_BITS => {
                self.byte()?;
                i64::from(i16::from_le_bytes(self.chunk()?))
            }
            INT_32_BITS => {
                self.byte()?;
                i64::from(i32::from_le_bytes(self.chunk()?))
            }
            PACKED => {
                self.byte()?;
                let packed_len = self.length()?;
                let len = self.length().filter(|len| *len <= self.len_max)?;
                let bytes = lzf::decompress(self.bytes(packed_len)?, len)?;
                return Some(Str::new(&bytes));
            }
            _ => {
                let len = self.length().filter(|len| *len <= self.len_max)?;
                return Some(Str::new(self.bytes(len)?));
            }
        };
        Some(Str::Int(integer))
    }
}
