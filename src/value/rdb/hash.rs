//! The serialized forms of a hash.
//!
//! ```text
//! type 4:  plain      count (field value)*             (all of them strings of `code`)
//! type 9:  zipmap     a string: count:u8 (length field length free:u8 value unused*)* 0xff
//!                     length = u8 below 254 | 254 u32le       (free: how many bytes are unused)
//! type 13: ziplist    a string: fields and values by turns
//! type 16: listpack   a string: fields and values by turns
//! type 24: plain, with expiries       first_ms:u64le count (expiry field value)*
//!                                     expiry = 0 for none | at_ms - first_ms + 1, a length of `code`
//! type 25: listpack, with expiries    first_ms:u64le, a string: field, value, at_ms (0 for none) by turns, by time
//! ```
//!
//! The forms with expiries are those of Redis 7.4, as is the version behind them; hashes without go out as in 7.0.

use super::Reader;
use super::code::{put_bytes, put_len, put_string};
use super::ziplist;
use crate::value::listpack::{Item, Listpack};
use crate::value::{Hash, HashSet, HashTimes, Limits, StrBuf};
use std::collections::BTreeSet;

const PLAIN: u8 = 4;
const ZIPMAP: u8 = 9;
const ZIPLIST: u8 = 13;
const LISTPACK: u8 = 16;
const PLAIN_TIMED: u8 = 24;
const LISTPACK_TIMED: u8 = 25;

/// Later than what Redis has room for.
const AT_MS_END: u64 = 1 << 46;

pub fn put(out: &mut Vec<u8>, hash: &Hash) {
    let first_ms = hash.times().and_then(HashTimes::first);
    match (hash.listpack(), first_ms) {
        (Some(pack), None) => {
            out.push(LISTPACK);
            put_bytes(out, pack.bytes());
        }
        (Some(_), Some(first_ms)) => {
            out.push(LISTPACK_TIMED);
            out.extend_from_slice(&first_ms.to_le_bytes());
            put_bytes(out, by_time(hash).bytes());
        }
        (None, None) => {
            out.push(PLAIN);
            put_len(out, hash.len());
            for (field, value) in hash {
                put_item(out, field);
                put_item(out, value);
            }
        }
        (None, Some(first_ms)) => {
            out.push(PLAIN_TIMED);
            out.extend_from_slice(&first_ms.to_le_bytes());
            put_len(out, hash.len());
            for (field, value) in hash {
                let at_ms = hash.expiry(field.bytes(&mut itoa::Buffer::new()));
                put_len(
                    out,
                    at_ms.map_or(0, |at_ms| (at_ms - first_ms + 1) as usize),
                );
                put_item(out, field);
                put_item(out, value);
            }
        }
    }
}

/// Reads a hash. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(tag: u8, reader: &mut Reader<'_>, limits: &Limits) -> Option<Hash> {
    let hash = match tag {
        PLAIN => read_plain(reader, limits, false)?,
        PLAIN_TIMED => read_plain(reader, limits, true)?,
        ZIPMAP => read_zipmap(&blob(reader)?, limits)?,
        ZIPLIST => of_pairs(ziplist::read(&blob(reader)?)?, limits)?,
        LISTPACK => of_pairs(Listpack::from_bytes(blob(reader)?.into_vec())?, limits)?,
        LISTPACK_TIMED => read_by_time(reader, limits)?,
        _ => return None,
    };
    (!hash.is_empty()).then_some(hash)
}

/// Fields, values and times by turns, the first to end first.
fn by_time(hash: &Hash) -> Listpack {
    let mut fields: Vec<_> = hash
        .iter()
        .map(|(field, value)| {
            let at_ms = hash.expiry(field.bytes(&mut itoa::Buffer::new()));
            (at_ms.unwrap_or(i64::MAX), field, value)
        })
        .collect();
    fields.sort_by_key(|(at_ms, ..)| *at_ms);
    let items = fields.into_iter().flat_map(|(at_ms, field, value)| {
        let at_ms = if at_ms == i64::MAX { 0 } else { at_ms };
        [field, value, Item::Int(at_ms)]
    });
    items.collect()
}

fn put_item(out: &mut Vec<u8>, item: Item<'_>) {
    put_string(out, item.bytes(&mut itoa::Buffer::new()));
}

fn blob(reader: &mut Reader<'_>) -> Option<StrBuf> {
    reader.string().map(|string| string.to_buf())
}

/// A listpack of fields and values by turns becomes a hash; `None` where it is none, or has a field twice.
fn of_pairs(pack: Listpack, limits: &Limits) -> Option<Hash> {
    let len = pack.len();
    let fields: BTreeSet<Vec<u8>> = pack.iter().step_by(2).map(Item::to_vec).collect();
    (2 * fields.len() == len).then(|| Hash::from_listpack(pack, limits))
}

/// Adds a field that is not there yet, which ends at a time of Redis's.
fn add(
    hash: &mut Hash,
    limits: &Limits,
    field: &[u8],
    value: &[u8],
    at_ms: Option<u64>,
) -> Option<()> {
    // Nobody will undo this.
    drop(hash.make_room(field, value, limits));
    let HashSet::Added = hash.set(field, value) else {
        return None;
    };
    if let Some(at_ms) = at_ms {
        hash.set_expiry(field, Some(at_ms.min(AT_MS_END) as i64));
    }
    Some(())
}

fn read_plain(reader: &mut Reader<'_>, limits: &Limits, is_timed: bool) -> Option<Hash> {
    let first_ms = if is_timed {
        u64::from_le_bytes(reader.chunk()?)
    } else {
        0
    };
    let mut hash = Hash::default();
    for _ in 0..reader.length()? {
        let expiry = if is_timed { reader.length()? as u64 } else { 0 };
        let at_ms = expiry
            .checked_sub(1)
            .map(|rest| first_ms.saturating_add(rest));
        let (field, value) = (blob(reader)?, blob(reader)?);
        add(&mut hash, limits, &field, &value, at_ms)?;
    }
    Some(hash)
}

fn read_by_time(reader: &mut Reader<'_>, limits: &Limits) -> Option<Hash> {
    let _first_ms = u64::from_le_bytes(reader.chunk()?);
    let pack = Listpack::from_bytes(blob(reader)?.into_vec())?;
    let mut hash = Hash::default();
    let mut items = pack.iter();
    let mut texts = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [field_text, value_text] = &mut texts;
    while let Some(field) = items.next() {
        let (field, value) = (field.bytes(field_text), items.next()?.bytes(value_text));
        let at_ms = u64::try_from(items.next()?.as_int()?).ok()?;
        add(
            &mut hash,
            limits,
            field,
            value,
            Some(at_ms).filter(|at_ms| *at_ms > 0),
        )?;
    }
    Some(hash)
}

fn read_zipmap(bytes: &[u8], limits: &Limits) -> Option<Hash> {
    /// From this count on, the zipmap has to be walked to know.
    const COUNT_UNKNOWN: u8 = 254;
    const END: u8 = 255;
    let mut reader = Reader::new(bytes, bytes.len());
    let count = reader.byte()?;
    let mut hash = Hash::default();
    while *reader.rest().first()? != END {
        let len = zipmap_len(&mut reader)?;
        let field = reader.bytes(len)?;
        let len = zipmap_len(&mut reader)?;
        let unused = usize::from(reader.byte()?);
        let value = reader.bytes(len)?;
        reader.bytes(unused)?;
        add(&mut hash, limits, field, value, None)?;
    }
    let counted = count >= COUNT_UNKNOWN || usize::from(count) == hash.len();
    (counted && reader.rest().len() == 1).then_some(hash)
}

fn zipmap_len(reader: &mut Reader<'_>) -> Option<usize> {
    const LONG: u8 = 254;
    match reader.byte()? {
        len @ ..LONG => Some(usize::from(len)),
        LONG => Some(u32::from_le_bytes(reader.chunk()?) as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RdbError, dump, restore};
    use super::*;
    use crate::base::crc64::crc64;
    use crate::value::Value;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    fn limits() -> Limits {
        Limits {
            hash_max_listpack_entries: 4,
            hash_max_listpack_value: 8,
            ..Limits::default()
        }
    }

    fn read_back(bytes: &[u8]) -> Result<Hash, RdbError> {
        match restore(bytes, LEN_MAX, &limits())? {
            Value::Hash(hash) => Ok(hash),
            other => panic!("{other:?}"),
        }
    }

    /// A serialized value with the footer of Redis 7.0.
    fn framed(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&10_u16.to_le_bytes());
        let checksum = crc64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn hash_of(fields: &[(&[u8], &[u8], i64)]) -> Hash {
        let mut hash = Hash::default();
        for (field, value, at_ms) in fields {
            let at_ms = u64::try_from(*at_ms).ok().filter(|at_ms| *at_ms > 0);
            assert!(add(&mut hash, &limits(), field, value, at_ms).is_some());
        }
        hash
    }

    #[test]
    fn a_small_hash_goes_out_as_its_listpack() {
        let hash = hash_of(&[(b"f", b"v", 0), (b"n", b"12", 0)]);
        let bytes = dump(&Value::Hash(hash.clone()));
        let content = b"\x12\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81n\x02\x0c\x01\xff";
        assert_eq!(bytes, framed(LISTPACK, content));
        assert_eq!(read_back(&bytes), Ok(hash));
    }

    #[test]
    fn zipmaps_and_ziplists_are_read() {
        let expected = hash_of(&[(b"foo", b"bar", 0), (b"hello", b"wo", 0)]);
        let zipmap = b"\x02\x03foo\x03\x00bar\x05hello\x02\x03woxyz\xff";
        let content = [&[zipmap.len() as u8], &zipmap[..]].concat();
        assert_eq!(read_back(&framed(ZIPMAP, &content)), Ok(expected));
        let ziplist = b"\x10\0\0\0\x0d\0\0\0\x02\0\x00\x01f\x03\xf3\xff";
        let content = [&[ziplist.len() as u8], &ziplist[..]].concat();
        let expected = hash_of(&[(b"f", b"2", 0)]);
        assert_eq!(read_back(&framed(ZIPLIST, &content)), Ok(expected));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let twice = b"\x02\x01f\x01v\x01f\x01w";
        assert_eq!(read_back(&framed(PLAIN, twice)), Err(RdbError::Content));
        assert_eq!(
            read_back(&framed(PLAIN, b"\0")),
            Err(RdbError::Content),
            "empty"
        );
        for items in [&["f"][..], &["f", "v", "f", "w"], &[]] {
            let pack: Listpack = items.iter().map(|item| item.as_bytes()).collect();
            let mut content = Vec::new();
            put_bytes(&mut content, pack.bytes());
            assert_eq!(
                read_back(&framed(LISTPACK, &content)),
                Err(RdbError::Content),
                "{items:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn hashes_read_back(
            fields in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..12),
                (prop::collection::vec(any::<u8>(), 0..12), prop_oneof![Just(0), 1..1_i64 << 46]),
                1..8,
            ),
        ) {
            let fields: Vec<_> = fields.iter().map(|(f, (v, at))| (&**f, &**v, *at)).collect();
            let hash = hash_of(&fields);
            let read = read_back(&dump(&Value::Hash(hash.clone())));
            prop_assert_eq!(read.as_ref(), Ok(&hash));
            prop_assert_eq!(read.map(|read| read.encoding()), Ok(hash.encoding()));
        }

        /// Whatever the content is, reading it ends in a hash or an error.
        #[test]
        fn nonsense_is_survived(
            tag in prop::sample::select(vec![PLAIN, ZIPMAP, ZIPLIST, LISTPACK, PLAIN_TIMED, LISTPACK_TIMED]),
            content: Vec<u8>,
        ) {
            drop(read_back(&framed(tag, &content)));
            let mut blob = Vec::new();
            put_bytes(&mut blob, &content);
            drop(read_back(&framed(tag, &blob)));
        }
    }
}
