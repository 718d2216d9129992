//! The serialized forms of a sorted set.
//!
//! ```text
//! type 3  = count (string score)*            score = 253 (no number) | 254 (inf) | 255 (-inf) | length:u8 text
//! type 5  = count (string f64le)*            from the last to the first, as Redis writes them
//! type 12 = string, which is the bytes of a ziplist     (read only)
//! type 17 = string, which is the bytes of a listpack
//! ```

use super::{Reader, code, ziplist};
use crate::value::listpack::Listpack;
use crate::value::{Limits, ZSet};
use std::collections::HashSet;

const TAG_TEXT_SCORES: u8 = 3;
const TAG: u8 = 5;
const TAG_ZIPLIST: u8 = 12;
const TAG_LISTPACK: u8 = 17;

pub fn put(out: &mut Vec<u8>, zset: &ZSet) {
    if let Some(pack) = zset.as_listpack() {
        out.push(TAG_LISTPACK);
        code::put_string(out, pack.bytes());
        return;
    }
    out.push(TAG);
    code::put_len(out, zset.len());
    let mut text = itoa::Buffer::new();
    for (member, score) in zset.range_back(0..zset.len()) {
        code::put_string(out, member.bytes(&mut text));
        out.extend_from_slice(&score.to_le_bytes());
    }
}

/// Reads a sorted set. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(tag: u8, reader: &mut Reader<'_>, limits: &Limits) -> Option<ZSet> {
    let mut text = itoa::Buffer::new();
    match tag {
        TAG_TEXT_SCORES | TAG => {
            let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
            for _ in 0..reader.length()? {
                let member = reader.string()?;
                let score = if tag == TAG {
                    f64::from_le_bytes(reader.chunk()?)
                } else {
                    text_score(reader)?
                };
                let member = member.to_buf();
                if score.is_nan() || !seen.insert(member.clone()) {
                    return None;
                }
                pairs.push((member, score));
            }
            (!pairs.is_empty()).then(|| ZSet::from_pairs(pairs, limits))
        }
        TAG_ZIPLIST => {
            let bytes = reader.string()?;
            ZSet::from_listpack(ziplist::read(bytes.bytes(&mut text))?, limits)
        }
        TAG_LISTPACK => {
            let bytes = reader.string()?;
            let pack = Listpack::from_bytes(bytes.bytes(&mut text).to_vec())?;
            ZSet::from_listpack(pack, limits)
        }
        _ => None,
    }
}

fn text_score(reader: &mut Reader<'_>) -> Option<f64> {
    match reader.byte()? {
        253 => None,
        254 => Some(f64::INFINITY),
        255 => Some(f64::NEG_INFINITY),
        len => {
            let text = reader.bytes(usize::from(len))?;
            str::from_utf8(text).ok()?.parse().ok()
        }
    }
}
