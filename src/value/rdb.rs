//! Redis's serialized form of one value, which DUMP answers with and RESTORE takes.
//!
//! ```text
//! value  = type:u8 content version:u16le crc64:u64le      (the checksum is of everything before it)
//! type 0 = string; content = 0b00llllll bytes             (length below 64)
//!                          | 0b01llllll l:u8 bytes        (below 16,384)
//!                          | 0x80 length:u32be bytes
//!                          | 0x81 length:u64be bytes
//!                          | 0xc0 i8 | 0xc1 i16le | 0xc2 i32le
//!                          | 0xc3 packed-length length packed    (both as above; the bytes by LZF)
//! ```

use super::lzf;
use super::string::Str;
use crate::base::crc64::crc64;
use crate::base::number::parse_i64;

/// The version that Redis 7.0 writes, and the highest that it reads.
const VERSION: u16 = 10;
const TYPE_STRING: u8 = 0;
/// The longest text of an `i32`.
const INT_TEXT_LEN_MAX: usize = 11;

const LEN_14_BITS: u8 = 0x40;
const LEN_32_BITS: u8 = 0x80;
const LEN_64_BITS: u8 = 0x81;
const INT_8_BITS: u8 = 0xc0;
const INT_16_BITS: u8 = 0xc1;
const INT_32_BITS: u8 = 0xc2;
const PACKED: u8 = 0xc3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbError {
    /// The version is too new, or the checksum wrong.
    Footer,
    Content,
}

/// Serializes a string.
pub fn dump(string: &Str) -> Vec<u8> {
    let mut text = itoa::Buffer::new();
    let bytes = string.bytes(&mut text);
    let mut out = vec![TYPE_STRING];
    let number = if bytes.len() <= INT_TEXT_LEN_MAX {
        parse_i64(bytes).and_then(|number| i32::try_from(number).ok())
    } else {
        None
    };
    if let Some(number) = number {
        put_int(&mut out, number);
    } else {
        put_len(&mut out, bytes.len());
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads a serialized string of at most `len_max` bytes.
pub fn restore(dump: &[u8], len_max: usize) -> Result<Str, RdbError> {
    let (checked, checksum) = dump.split_last_chunk().ok_or(RdbError::Footer)?;
    let (value, version) = checked.split_last_chunk().ok_or(RdbError::Footer)?;
    if u16::from_le_bytes(*version) > VERSION || crc64(checked) != u64::from_le_bytes(*checksum) {
        return Err(RdbError::Footer);
    }
    match value.split_first() {
        Some((&TYPE_STRING, content)) => read_string(content, len_max).ok_or(RdbError::Content),
        _ => Err(RdbError::Content),
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

fn put_len(out: &mut Vec<u8>, len: usize) {
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

/// Reads the string at the start of `content`; what follows is ignored, as Redis does.
fn read_string(content: &[u8], len_max: usize) -> Option<Str> {
    let (&head, rest) = content.split_first()?;
    let integer = match head {
        INT_8_BITS => i64::from(i8::from_le_bytes(*rest.first_chunk()?)),
        INT_16_BITS => i64::from(i16::from_le_bytes(*rest.first_chunk()?)),
        INT_32_BITS => i64::from(i32::from_le_bytes(*rest.first_chunk()?)),
        PACKED => {
            let (packed_len, rest) = read_len(rest)?;
            let (len, rest) = read_len(rest)?;
            let len = Some(len).filter(|len| *len <= len_max)?;
            let bytes = lzf::decompress(rest.get(..packed_len)?, len)?;
            return Some(Str::new(&bytes));
        }
        _ => {
            let (len, rest) = read_len(content)?;
            let len = Some(len).filter(|len| *len <= len_max)?;
            return Some(Str::new(rest.get(..len)?));
        }
    };
    Some(Str::Int(integer))
}

fn read_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&head, rest) = bytes.split_first()?;
    match head {
        ..LEN_14_BITS => Some((usize::from(head), rest)),
        LEN_14_BITS..LEN_32_BITS => {
            let (&low, rest) = rest.split_first()?;
            Some((
                usize::from(head - LEN_14_BITS) << 8 | usize::from(low),
                rest,
            ))
        }
        LEN_32_BITS => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((u32::from_be_bytes(*len) as usize, rest))
        }
        LEN_64_BITS => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((usize::try_from(u64::from_be_bytes(*len)).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    /// What redis-server 7.0.15 answered to DUMP.
    #[test]
    fn dumps_are_those_of_redis() {
        assert_eq!(dump(&Str::new(b"5")), DUMP_OF_5);
        assert_eq!(dump(&Str::new(b"text")), DUMP_OF_TEXT);
        assert_eq!(restore(DUMP_OF_100_A, LEN_MAX), Ok(Str::new(&[b'a'; 100])));
    }

    const DUMP_OF_5: &[u8] = b"\x00\xc0\x05\x0a\x00c/_f\x83/\xb3Q";
    const DUMP_OF_TEXT: &[u8] = b"\x00\x04text\x0a\x00|\xf3&m\xca\xb5\xa51";
    const DUMP_OF_100_A: &[u8] =
        b"\x00\xc3\x09@d\x01aa\xe0W\x00\x01aa\x0a\x00\xe8\xa3\xb5\x07\xb0m\xf2q";

    #[test]
    fn whole_ranges_read_back() {
        for len in [0, 1, 63, 64, 16_383, 16_384, 70_000] {
            let string = Str::new(&vec![b'x'; len]);
            assert_eq!(restore(&dump(&string), LEN_MAX), Ok(string), "{len} bytes");
        }
        for number in [0, -1, 127, 128, -129, 32_768, -32_769, 1 << 31, i64::MIN] {
            let string = Str::Int(number);
            let read = restore(&dump(&string), LEN_MAX);
            assert_eq!(read, Ok(string));
            assert!(matches!(read, Ok(Str::Int(_))), "{number} stays an integer");
        }
    }

    #[test]
    fn a_longer_string_than_allowed_is_refused() {
        let long = dump(&Str::new(&[b'x'; 100]));
        assert_eq!(restore(&long, 99), Err(RdbError::Content));
        assert_eq!(restore(DUMP_OF_100_A, 99), Err(RdbError::Content));
    }

    proptest! {
        #[test]
        fn damage_is_seen(bytes: Vec<u8>, at: usize, flip in 1..=255_u8) {
            let mut dump = dump(&Str::new(&bytes));
            let at = at % dump.len();
            dump[at] ^= flip;
            prop_assert_eq!(restore(&dump, LEN_MAX), Err(RdbError::Footer));
        }

        /// Also with a right checksum, nonsense ends in an error or a string, never in a panic.
        #[test]
        fn nonsense_is_survived(content: Vec<u8>) {
            let mut dump = vec![TYPE_STRING];
            dump.extend_from_slice(&content);
            dump.extend_from_slice(&VERSION.to_le_bytes());
            dump.extend_from_slice(&crc64(&dump).to_le_bytes());
            if let Ok(string) = restore(&dump, LEN_MAX) {
                prop_assert!(string.len() <= LEN_MAX);
            }
        }
    }
}
