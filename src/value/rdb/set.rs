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
