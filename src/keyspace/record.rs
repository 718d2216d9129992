//! What a key looks like in the store: the keys and values of its records.
//!
//! ```text
//! record key    = 0 "dbmap"                                   the physical database behind each logical one
//!               | 1 db                                        (a prefix: all keys of a database)
//!               | 1 db varint(key length) key                 (a prefix: all records of a key)
//!               | 1 db varint(key length) key 0               header
//!               | 1 db varint(key length) key 1 index:u32be   chunk of a long string
//!               | 1 db varint(key length) key 2 element       an element of a collection, as its type names it
//! header value  = type:u8 expire_ms:i64le payload
//! type 0: integer    payload = i64le
//! type 1: bytes      payload = the bytes
//! type 2: raw bytes  payload = the bytes (changed in place before, which OBJECT ENCODING shows)
//! type 3: long bytes payload = length:u64le; the bytes are in chunks of 1,024
//! type 4: list       | each with what its header says besides (`edit/`); the elements are records of their own
//! type 5: hash       |
//! type 6: set        |
//! type 7: sorted set |
//! type 8: stream     |
//! ```
//!
//! A long string is cut in chunks so that a change to one place logs that place, not the string.

use super::stored::{self, Stored};
use crate::value::{Str, StrBuf, Value};

pub const CHUNK_LEN: usize = 1024;
/// From this length on a string is stored in chunks.
pub const CHUNKED_LEN_MIN: usize = 4 * CHUNK_LEN;

const SPACE_KEYS: u8 = 1;
pub const TAG_HEADER: u8 = 0;
const TAG_CHUNK: u8 = 1;
pub const TAG_ELEMENT: u8 = 2;
const TYPE_INT: u8 = 0;
const TYPE_BYTES: u8 = 1;
const TYPE_RAW: u8 = 2;
const TYPE_LONG: u8 = 3;
pub const TYPE_LIST: u8 = 4;
pub const TYPE_HASH: u8 = 5;
pub const TYPE_SET: u8 = 6;
pub const TYPE_ZSET: u8 = 7;
pub const TYPE_STREAM: u8 = 8;

/// The record key under which the database map is kept.
pub const DB_MAP_KEY: &[u8] = b"\0dbmap";

pub fn db_prefix(db: u8) -> [u8; 2] {
    [SPACE_KEYS, db]
}

/// The prefix of all records of a key.
pub fn put_key_prefix(out: &mut Vec<u8>, db: u8, key: &[u8]) {
    out.extend_from_slice(&[SPACE_KEYS, db]);
    let mut len = key.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(key);
}

pub fn put_header_key(out: &mut Vec<u8>, db: u8, key: &[u8]) {
    put_key_prefix(out, db, key);
    out.push(TAG_HEADER);
}

pub fn put_chunk_key(out: &mut Vec<u8>, db: u8, key: &[u8], index: u32) {
    put_key_prefix(out, db, key);
    out.push(TAG_CHUNK);
    out.extend_from_slice(&index.to_be_bytes());
}

/// The beginning of the record keys of a collection's elements.
pub fn put_element_prefix(out: &mut Vec<u8>, db: u8, key: &[u8]) {
    put_key_prefix(out, db, key);
    out.push(TAG_ELEMENT);
}

/// Whether a value has records besides its header.
pub fn is_composite(value: &Value) -> bool {
    match value {
        Value::Str(Str::Int(_)) => false,
        Value::Str(Str::Bytes(b) | Str::Raw(b)) => b.len() >= CHUNKED_LEN_MIN,
        Value::List(_) | Value::Hash(_) | Value::Set(_) | Value::ZSet(_) | Value::Stream(_) => true,
    }
}

/// A collection's header record's value.
pub fn put_collection_header(out: &mut Vec<u8>, collection: &dyn Stored, expire_ms: i64) {
    out.push(collection.tag());
    out.extend_from_slice(&expire_ms.to_le_bytes());
    collection.put_header(out);
}

/// The header record's value; a long string's bytes and a collection's elements are not in it.
pub fn put_header(out: &mut Vec<u8>, value: &Value, expire_ms: i64) {
    let Value::Str(string) = value else {
        if let Some(collection) = stored::stored(value) {
            put_collection_header(out, collection, expire_ms);
        }
        return;
    };
    let mut put = |kind: u8, payload: &[u8]| {
        out.push(kind);
        out.extend_from_slice(&expire_ms.to_le_bytes());
        out.extend_from_slice(payload);
    };
    match string {
        Str::Int(n) => put(TYPE_INT, &n.to_le_bytes()),
        Str::Bytes(b) | Str::Raw(b) if b.len() >= CHUNKED_LEN_MIN => {
            put(TYPE_LONG, &(b.len() as u64).to_le_bytes());
        }
        Str::Bytes(b) => put(TYPE_BYTES, b),
        Str::Raw(b) => put(TYPE_RAW, b),
    }
}

/// What a record key names.
#[derive(Debug, PartialEq, Eq)]
pub enum RecordKey<'a> {
    DbMap,
    Header {
        db: u8,
        key: &'a [u8],
    },
    Chunk {
        db: u8,
        key: &'a [u8],
        index: u32,
    },
    Element {
        db: u8,
        key: &'a [u8],
        element: &'a [u8],
    },
}

/// What a prefix names.
#[derive(Debug, PartialEq, Eq)]
pub enum Prefix<'a> {
    Db(u8),
    Key { db: u8, key: &'a [u8] },
}

pub fn parse_key(record: &[u8]) -> Option<RecordKey<'_>> {
    if record == DB_MAP_KEY {
        return Some(RecordKey::DbMap);
    }
    let (db, key, rest) = split_key(record)?;
    match rest {
        [TAG_HEADER] => Some(RecordKey::Header { db, key }),
        [TAG_CHUNK, a, b, c, d] => Some(RecordKey::Chunk {
            db,
            key,
            index: u32::from_be_bytes([*a, *b, *c, *d]),
        }),
        [TAG_ELEMENT, element @ ..] => Some(RecordKey::Element { db, key, element }),
        _ => None,
    }
}

pub fn parse_prefix(prefix: &[u8]) -> Option<Prefix<'_>> {
    match prefix {
        [SPACE_KEYS, db] => Some(Prefix::Db(*db)),
        _ => match split_key(prefix)? {
            (db, key, []) => Some(Prefix::Key { db, key }),
            _ => None,
        },
    }
}

/// Splits a record key into database, key and what follows.
fn split_key(record: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [space, db, rest @ ..] = record else {
        return None;
    };
    if *space != SPACE_KEYS {
        return None;
    }
    let mut len = 0_usize;
    for (i, byte) in rest.iter().enumerate().take(5) {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let (key, tail) = rest[i + 1..].split_at_checked(len)?;
            return Some((*db, key, tail));
        }
    }
    None
}

/// The length of the group with which a record key or a prefix begins, in the store's sense: the records of a key.
pub fn group(bytes: &[u8]) -> Option<usize> {
    let (_, _, rest) = split_key(bytes)?;
    Some(bytes.len() - rest.len())
}

/// A header record's value, read back.
#[derive(Debug)]
pub enum Header<'a> {
    Whole {
        value: Value,
        expire_ms: i64,
    },
    /// A long string of this length; its chunks are records of their own.
    Long {
        len: usize,
        expire_ms: i64,
    },
    /// A collection whose elements are records of their own.
    Collection {
        tag: u8,
        expire_ms: i64,
        payload: &'a [u8],
    },
}

pub fn parse_header(bytes: &[u8]) -> Option<Header<'_>> {
    let (kind, rest) = bytes.split_first()?;
    let (expire, payload) = rest.split_first_chunk::<8>()?;
    let expire_ms = i64::from_le_bytes(*expire);
    let whole = |s| {
        Some(Header::Whole {
            value: Value::Str(s),
            expire_ms,
        })
    };
    match *kind {
        TYPE_INT => whole(Str::Int(i64::from_le_bytes(payload.try_into().ok()?))),
        TYPE_BYTES => whole(Str::Bytes(StrBuf::from_slice(payload))),
        TYPE_RAW => whole(Str::Raw(StrBuf::from_slice(payload))),
        TYPE_LONG => {
            let len = usize::try_from(u64::from_le_bytes(payload.try_into().ok()?)).ok()?;
            Some(Header::Long { len, expire_ms })
        }
        tag @ TYPE_LIST..=TYPE_STREAM => Some(Header::Collection {
            tag,
            expire_ms,
            payload,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_keys_read_back() {
        for len in [0, 1, 127, 128, 16_384] {
            let key = vec![b'k'; len];
            let mut out = Vec::new();
            put_header_key(&mut out, 7, &key);
            assert_eq!(
                parse_key(&out),
                Some(RecordKey::Header { db: 7, key: &key })
            );
            out.clear();
            put_chunk_key(&mut out, 7, &key, 258);
            assert_eq!(
                parse_key(&out),
                Some(RecordKey::Chunk {
                    db: 7,
                    key: &key,
                    index: 258
                })
            );
            out.clear();
            put_key_prefix(&mut out, 7, &key);
            assert_eq!(parse_prefix(&out), Some(Prefix::Key { db: 7, key: &key }));
        }
        assert_eq!(parse_prefix(&db_prefix(3)), Some(Prefix::Db(3)));
    }

    #[test]
    fn a_key_is_no_prefix_of_another() {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        put_key_prefix(&mut short, 0, b"k");
        put_header_key(&mut long, 0, b"k2");
        assert!(!long.starts_with(&short));
    }

    #[test]
    fn the_records_of_a_key_are_a_group() {
        for len in [0, 1, 127, 128, 16_384] {
            let key = vec![b'k'; len];
            let mut prefix = Vec::new();
            put_key_prefix(&mut prefix, 7, &key);
            assert_eq!(group(&prefix), Some(prefix.len()));
            let mut element = Vec::new();
            put_element_prefix(&mut element, 7, &key);
            element.extend_from_slice(b"element");
            assert_eq!(group(&element), Some(prefix.len()));
            assert_eq!(group(&prefix[..prefix.len() - 1]), None);
        }
        for none in [
            &b""[..],
            DB_MAP_KEY,
            &db_prefix(3),
            &[2],
            &[2, 1, 0],
            &[3],
            &[3, 1, 0],
        ] {
            assert_eq!(group(none), None, "{none:?}");
        }
    }

    #[test]
    fn headers_read_back() {
        for value in [
            Str::new(b"12"),
            Str::new(b"text"),
            Str::raw(StrBuf::from_slice(b"12")),
        ] {
            let (value, mut out) = (Value::Str(value), Vec::new());
            put_header(&mut out, &value, 99);
            match parse_header(&out) {
                Some(Header::Whole {
                    value: read,
                    expire_ms: 99,
                }) => {
                    assert_eq!(read, value);
                    assert_eq!(read.encoding(), value.encoding());
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(
            parse_header(&[9; 20]).is_none(),
            "an unknown type is not guessed at"
        );
    }
}
