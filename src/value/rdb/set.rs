//! The serialized forms of a set.
//!
//! ```text
//! type 2  = count strings
//! type 11 = string, which is the bytes of an intset
//! type 20 = string, which is the bytes of a listpack    (Redis 7.2 and later)
//! ```

use super::{Reader, code};
use crate::value::intset::IntSet;
use crate::value::listpack::Listpack;
use crate::value::{Limits, Set, SetMember};

const TAG: u8 = 2;
const TAG_INTSET: u8 = 11;
const TAG_LISTPACK: u8 = 20;

pub fn put(out: &mut Vec<u8>, set: &Set) {
    if let Set::Ints(ints) = set {
        out.push(TAG_INTSET);
        code::put_bytes(out, ints.as_bytes());
        return;
    }
    out.push(TAG);
    code::put_len(out, set.len());
    let mut text = itoa::Buffer::new();
    set.for_each(|member| code::put_string(out, member.bytes(&mut text)));
}

/// Reads a set. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(tag: u8, reader: &mut Reader<'_>, limits: &Limits) -> Option<Set> {
    let mut set = Set::default();
    let mut text = itoa::Buffer::new();
    match tag {
        TAG => {
            for _ in 0..reader.length()? {
                let member = reader.string()?;
                set.insert(member.bytes(&mut text), limits)?;
            }
        }
        TAG_INTSET => {
            let bytes = reader.string()?;
            let ints = IntSet::from_bytes(bytes.bytes(&mut text))?;
            if ints.len() <= limits.set_max_intset_entries {
                return Some(Set::Ints(ints));
            }
            for value in ints.iter() {
                let member = SetMember::Int(value);
                set.insert(member.bytes(&mut text), limits)?;
            }
        }
        TAG_LISTPACK => {
            let bytes = reader.string()?;
            let members = Listpack::from_bytes(bytes.bytes(&mut text).to_vec())?;
            for member in &members {
                set.insert(member.bytes(&mut text), limits)?;
            }
        }
        _ => return None,
    }
    (!set.is_empty()).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::super::{RdbError, dump, restore};
    use super::*;
    use crate::base::crc64::crc64;
    use crate::value::Value;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    fn set(members: &[&str]) -> Set {
        let mut set = Set::default();
        for member in members {
            set.insert(member.as_bytes(), &Limits::default());
        }
        set
    }

    fn read_back(bytes: &[u8], limits: &Limits) -> Result<Set, RdbError> {
        match restore(bytes, LEN_MAX, limits)? {
            Value::Set(set) => Ok(set),
            other => panic!("{other:?}"),
        }
    }

    /// A serialized value with the footer of a version.
    fn framed(tag: u8, content: &[u8], version: u16) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&version.to_le_bytes());
        let checksum = crc64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What redis-server 7.0.15 answered to DUMP.
    #[test]
    fn dumps_are_those_of_redis() {
        let ints = b"\x0b\x0e\x02\0\0\0\x03\0\0\0\x01\0\x02\0,\x01\n\0\xe5\x10\xb2\x8e{\x95)\xaa";
        let words = b"\x02\x02\x01a\x01b\n\0\xfed!%\xeb\x03=\r";
        for (members, bytes) in [
            (&["1", "2", "300"][..], ints.as_slice()),
            (&["a", "b"], words),
        ] {
            let set = set(members);
            assert_eq!(dump(&Value::Set(set.clone())), bytes);
            let read = read_back(bytes, &Limits::default()).expect("it is one");
            assert_eq!((read.encoding(), &read), (set.encoding(), &set));
        }
    }

    #[test]
    fn what_is_too_large_for_integers_becomes_a_table() {
        let limits = Limits {
            set_max_intset_entries: 2,
            ..Limits::default()
        };
        let dumped = dump(&Value::Set(set(&["1", "2", "3"])));
        let read = read_back(&dumped, &limits).expect("it is one");
        assert_eq!(read.encoding(), "hashtable");
        assert_eq!(read, set(&["3", "2", "1"]));
    }

    #[test]
    fn listpacks_of_later_versions_are_read() {
        let mut members = Listpack::new();
        members.push_back(b"7".as_slice());
        members.push_back(b"seven".as_slice());
        let mut content = Vec::new();
        code::put_bytes(&mut content, members.bytes());
        let read = read_back(&framed(TAG_LISTPACK, &content, 11), &Limits::default());
        assert_eq!(read, Ok(set(&["7", "seven"])));
        let unknown = framed(TAG_LISTPACK, &content, 13);
        let read = read_back(&unknown, &Limits::default());
        assert_eq!(read, Err(RdbError::Footer));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for (tag, content) in [
            (TAG, b"\0".as_slice()),
            (TAG, b"\x02\x01a\x01a"),
            (TAG, b"\x02\x01a"),
            (TAG, b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a"),
            (TAG_INTSET, b"\x08\x02\0\0\0\0\0\0\0"),
            (TAG_INTSET, b"\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0"),
            (TAG_LISTPACK, b"\x07\x07\0\0\0\0\0\xff"),
        ] {
            let read = read_back(&framed(tag, content, 10), &Limits::default());
            assert_eq!(read, Err(RdbError::Content), "{tag} {content:?}");
        }
    }

    proptest! {
        #[test]
        fn sets_read_back(members in prop::collection::vec("[0-9]{1,3}|[a-z]{0,30}", 1..60)) {
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            let set = set(&members);
            let read = read_back(&dump(&Value::Set(set.clone())), &Limits::default());
            prop_assert_eq!(read, Ok(set));
        }

        /// Nonsense ends in an error or a set, never in a panic.
        #[test]
        fn nonsense_is_survived(
            tag in prop::sample::select(vec![TAG, TAG_INTSET, TAG_LISTPACK]),
            content: Vec<u8>,
        ) {
            let _ = read_back(&framed(tag, &content, 10), &Limits::default());
        }
    }
}
