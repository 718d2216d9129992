//! Redis's serialized form of one value, which DUMP answers with and RESTORE takes.
//!
//! ```text
//! value = type:u8 content version:u16le crc64:u64le      (the checksum is of everything before it)
//! ```
//!
//! [`code`] has what the contents are made of, and each type a file here. All forms that Redis 7.0 reads are read, and
//! those that later versions added where a file here names them; what is written is the form that Redis 7.0 writes, as far as
//! it has one.

mod code;
pub mod file;
mod functions;
mod hash;
mod list;
mod set;
mod stream;
mod string;
mod ziplist;
mod zset;

use super::{Limits, Value};
use crate::base::crc64::crc64;
pub use code::Reader;
pub use functions::{FunctionsError, dump_functions, restore_functions};

/// The version that Redis 7.0 writes.
const VERSION: u16 = 10;
/// The version that Redis 7.4 writes, which is needed for fields of hashes that end; the highest that is read.
const VERSION_7_4: u16 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbError {
    /// The version is too new, or the checksum wrong.
    Footer,
    Content,
}

/// Serializes a value.
pub fn dump(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_value(&mut out, value);
    let version = if value.has_times() {
        VERSION_7_4
    } else {
        VERSION
    };
    seal(out, version)
}

/// Writes a value's type and content.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(string) => string::put(out, string),
        Value::List(list) => list::put(out, list),
        Value::Hash(hash) => hash::put(out, hash),
        Value::Set(set) => set::put(out, set),
        Value::ZSet(zset) => zset::put(out, zset),
        Value::Stream(stream) => stream::put(out, stream),
    }
}

/// Adds version and checksum.
fn seal(mut content: Vec<u8>, version: u16) -> Vec<u8> {
    content.extend_from_slice(&version.to_le_bytes());
    let checksum = crc64(&content);
    content.extend_from_slice(&checksum.to_le_bytes());
    content
}

/// Checks version and checksum; what is before them.
fn open(dump: &[u8]) -> Result<&[u8], RdbError> {
    let (checked, checksum) = dump.split_last_chunk().ok_or(RdbError::Footer)?;
    let (content, version) = checked.split_last_chunk().ok_or(RdbError::Footer)?;
    if u16::from_le_bytes(*version) > VERSION_7_4 || crc64(checked) != u64::from_le_bytes(*checksum)
    {
        return Err(RdbError::Footer);
    }
    Ok(content)
}

/// Reads a serialized value whose strings have at most `len_max` bytes.
pub fn restore(dump: &[u8], len_max: usize, limits: &Limits) -> Result<Value, RdbError> {
    let (&tag, content) = open(dump)?.split_first().ok_or(RdbError::Content)?;
    let mut reader = Reader::new(content, len_max);
    // What follows the value is ignored, as Redis does.
    read(tag, &mut reader, limits).ok_or(RdbError::Content)
}

/// Reads a value of the type `tag`. `None`: it is not as it should be.
fn read(tag: u8, reader: &mut Reader<'_>, limits: &Limits) -> Option<Value> {
    if tag == string::TAG {
        return reader.string().map(Value::Str);
    }
    list::read(tag, reader, limits)
        .map(Value::List)
        .or_else(|| hash::read(tag, reader, limits).map(Value::Hash))
        .or_else(|| set::read(tag, reader, limits).map(Value::Set))
        .or_else(|| zset::read(tag, reader, limits).map(Value::ZSet))
        .or_else(|| stream::read(tag, reader, limits).map(Value::Stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Str;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    fn dump(string: &Str) -> Vec<u8> {
        super::dump(&Value::Str(string.clone()))
    }

    fn restore(dump: &[u8], len_max: usize) -> Result<Str, RdbError> {
        match super::restore(dump, len_max, &Limits::default())? {
            Value::Str(string) => Ok(string),
            other => panic!("{other:?}"),
        }
    }

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
            let mut dump = vec![string::TAG];
            dump.extend_from_slice(&content);
            dump.extend_from_slice(&VERSION.to_le_bytes());
            dump.extend_from_slice(&crc64(&dump).to_le_bytes());
            if let Ok(string) = restore(&dump, LEN_MAX) {
                prop_assert!(string.len() <= LEN_MAX);
            }
        }
    }
}
