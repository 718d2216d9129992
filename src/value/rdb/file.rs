//! A whole RDB file: what stands between its values.
//!
//! ```text
//! file = "REDIS" version:4 digits item* 0xff crc64:u64le            (the checksum is of everything before it; 0: none)
//! item = 0xfa string string               a note on the file, such as who wrote it
//!      | 0xfe length                      the database of the keys that follow
//!      | 0xfb length length               how many keys it has, and how many of them end
//!      | 0xf5 string                      the source of a library of functions
//!      | expiry? use? type:u8 string content                        a key with its value
//! expiry = 0xfd seconds:u32le | 0xfc milliseconds:u64le
//! use    = 0xf8 length                    seconds since the last use
//!        | 0xf9 u8                        how often it is used
//! ```
//!
//! The format is Redis's own; <https://rdb.fnordig.de/file_format.html> describes it up to version 7.

use super::code::{Reader, put_bytes, put_len, put_string};
use super::{VERSION, VERSION_7_4, Value, put_value, read};
use crate::value::{Limits, Str};

const MAGIC: &[u8; 5] = b"REDIS";
/// The magic and four digits.
pub const HEAD_LEN: usize = MAGIC.len() + 4;
/// From this version on a file ends with a checksum.
const VERSION_WITH_CHECKSUM: u16 = 5;
pub const CHECKSUM_LEN: usize = 8;

const SLOT_INFO: u8 = 0xf4;
pub(super) const FUNCTION: u8 = 0xf5;
const FUNCTION_BEFORE_RELEASE: u8 = 0xf6;
const MODULE_AUX: u8 = 0xf7;
const IDLE: u8 = 0xf8;
const FREQUENCY: u8 = 0xf9;
const AUX: u8 = 0xfa;
const SIZES: u8 = 0xfb;
const EXPIRE_MS: u8 = 0xfc;
const EXPIRE_S: u8 = 0xfd;
const SELECT: u8 = 0xfe;
const END: u8 = 0xff;
const TYPE_MODULE: [u8; 2] = [6, 7];

#[derive(Debug, PartialEq)]
pub enum Item {
    Aux {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    Select(usize),
    /// How many keys the database has, as its writer said.
    Sizes {
        keys: usize,
    },
    Function(Vec<u8>),
    Key(Box<KeyItem>),
    /// Only the checksum follows.
    End,
}

#[derive(Debug, PartialEq)]
pub struct KeyItem {
    pub key: Vec<u8>,
    pub value: Value,
    /// Unix time in milliseconds at which the key ends.
    pub expire_ms: Option<i64>,
    pub idle_s: Option<u32>,
}

/// Why the bytes at hand give no item.
#[derive(Debug, PartialEq, Eq)]
pub enum ItemError {
    /// They end within it, or it is not as it should be: more bytes may tell.
    Incomplete,
    /// It is known, and this server has nothing like it.
    Unsupported(String),
}

/// The version that a file's head names. `None`: it is no RDB file.
pub fn version(head: &[u8; HEAD_LEN]) -> Option<u16> {
    let digits = head.strip_prefix(MAGIC)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub fn is_readable(version: u16) -> bool {
    (1..=VERSION_7_4).contains(&version)
}

pub fn has_checksum(version: u16) -> bool {
    version >= VERSION_WITH_CHECKSUM
}

/// Reads the item at the start of `bytes`, and says how many bytes it has.
pub fn read_item(
    bytes: &[u8],
    len_max: usize,
    limits: &Limits,
) -> Result<(Item, usize), ItemError> {
    let mut reader = Reader::new(bytes, len_max);
    let item = item(&mut reader, limits)?;
    Ok((item, bytes.len() - reader.rest().len()))
}

fn item(reader: &mut Reader<'_>, limits: &Limits) -> Result<Item, ItemError> {
    let unsupported = |what: &str| Err(ItemError::Unsupported(what.to_owned()));
    let mut expire_ms = None;
    let mut idle_s = None;
    loop {
        let code = want(reader.byte())?;
        let item = match code {
            AUX => Item::Aux {
                name: text(reader)?,
                value: text(reader)?,
            },
            SELECT => Item::Select(want(reader.length())?),
            SIZES => {
                let keys = want(reader.length())?;
                want(reader.length())?;
                Item::Sizes { keys }
            }
            FUNCTION => Item::Function(text(reader)?),
            END => Item::End,
            SLOT_INFO => {
                for _ in 0..3 {
                    want(reader.length())?;
                }
                continue;
            }
            EXPIRE_S => {
                let seconds = i32::from_le_bytes(want(reader.chunk())?);
                expire_ms = Some(i64::from(seconds) * 1000);
                continue;
            }
            EXPIRE_MS => {
                expire_ms = Some(i64::from_le_bytes(want(reader.chunk())?));
                continue;
            }
            IDLE => {
                idle_s = Some(u32::try_from(want(reader.length())?).unwrap_or(u32::MAX));
                continue;
            }
            FREQUENCY => {
                want(reader.byte())?;
                continue;
            }
            FUNCTION_BEFORE_RELEASE => {
                return unsupported("functions as a release candidate of Redis 7.0 wrote them");
            }
            MODULE_AUX => return unsupported("data of a module"),
            tag => {
                let key = text(reader)?;
                if TYPE_MODULE.contains(&tag) {
                    let key = key.escape_ascii();
                    return unsupported(&format!("the key '{key}', whose type is a module's"));
                }
                let value = want(read(tag, reader, limits))?;
                Item::Key(Box::new(KeyItem {
                    key,
                    value,
                    expire_ms,
                    idle_s,
                }))
            }
        };
        return Ok(item);
    }
}

fn want<T>(part: Option<T>) -> Result<T, ItemError> {
    part.ok_or(ItemError::Incomplete)
}

fn text(reader: &mut Reader<'_>) -> Result<Vec<u8>, ItemError> {
    let string: Str = want(reader.string())?;
    Ok(string.bytes(&mut itoa::Buffer::new()).to_vec())
}

/// The head of a file. Hashes whose fields end need the version of Redis 7.4; without such, Redis 7.0 reads the file.
pub fn put_head(out: &mut Vec<u8>, has_field_times: bool) {
    let version = if has_field_times {
        VERSION_7_4
    } else {
        VERSION
    };
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(format!("{version:04}").as_bytes());
}

pub fn put_aux(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(AUX);
    put_string(out, name.as_bytes());
    put_string(out, value.as_bytes());
}

pub fn put_function(out: &mut Vec<u8>, source: &[u8]) {
    out.push(FUNCTION);
    put_bytes(out, source);
}

pub fn put_select(out: &mut Vec<u8>, db: usize, keys: usize, volatile: usize) {
    out.push(SELECT);
    put_len(out, db);
    out.push(SIZES);
    put_len(out, keys);
    put_len(out, volatile);
}

pub fn put_key(out: &mut Vec<u8>, key: &[u8], value: &Value, expire_ms: Option<i64>) {
    if let Some(at_ms) = expire_ms {
        out.push(EXPIRE_MS);
        out.extend_from_slice(&at_ms.to_le_bytes());
    }
    let mut content = Vec::new();
    put_value(&mut content, value);
    let (tag, content) = content.split_first().expect("a value begins with its type");
    out.push(*tag);
    put_string(out, key);
    out.extend_from_slice(content);
}

/// Ends a file; the checksum follows.
pub fn put_end(out: &mut Vec<u8>) {
    out.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(mut bytes: &[u8]) -> Result<Vec<Item>, ItemError> {
        let mut items = Vec::new();
        while items.last() != Some(&Item::End) {
            let (item, used) = read_item(bytes, 1 << 20, &Limits::default())?;
            items.push(item);
            bytes = &bytes[used..];
        }
        Ok(items)
    }

    fn written() -> (Vec<u8>, Vec<Item>) {
        let value = Value::Str(Str::new(b"value"));
        let key = |name: &[u8], expire_ms| {
            Item::Key(Box::new(KeyItem {
                key: name.to_vec(),
                value: value.clone(),
                expire_ms,
                idle_s: None,
            }))
        };
        let mut out = Vec::new();
        put_aux(&mut out, "ctime", "1700000000");
        put_function(&mut out, b"#!lua name=l");
        put_select(&mut out, 300, 2, 1);
        put_key(&mut out, b"12", &value, None);
        put_key(&mut out, b"k", &value, Some(-5));
        put_end(&mut out);
        let items = vec![
            Item::Aux {
                name: b"ctime".to_vec(),
                value: b"1700000000".to_vec(),
            },
            Item::Function(b"#!lua name=l".to_vec()),
            Item::Select(300),
            Item::Sizes { keys: 2 },
            key(b"12", None),
            key(b"k", Some(-5)),
            Item::End,
        ];
        (out, items)
    }

    #[test]
    fn what_is_written_is_read_and_any_part_of_it_is_incomplete() {
        let (bytes, wanted) = written();
        assert_eq!(items(&bytes), Ok(wanted));
        for len in 0..bytes.len() {
            assert_eq!(
                items(&bytes[..len]),
                Err(ItemError::Incomplete),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn what_stands_before_a_key_belongs_to_it() {
        let mut bytes = vec![SLOT_INFO, 1, 2, 3, IDLE, 7, FREQUENCY, 200, EXPIRE_S];
        bytes.extend_from_slice(&9_u32.to_le_bytes());
        bytes.extend_from_slice(b"\0\x01k\x01v");
        let (item, _) = read_item(&bytes, 10, &Limits::default()).unwrap();
        let Item::Key(item) = item else {
            panic!("{item:?}")
        };
        assert_eq!((item.expire_ms, item.idle_s), (Some(9000), Some(7)));
    }

    #[test]
    fn a_head_names_its_version() {
        assert_eq!(version(b"REDIS0011"), Some(11));
        assert_eq!(version(b"REDIS-011"), None);
        assert_eq!(version(b"VALKEY080"), None);
        assert!(is_readable(12) && !is_readable(13) && !is_readable(0));
    }

    proptest! {
        #[test]
        fn nonsense_is_survived(bytes: Vec<u8>) {
            if let Ok((_, used)) = read_item(&bytes, 1 << 20, &Limits::default()) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
