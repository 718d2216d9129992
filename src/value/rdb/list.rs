//! The serialized forms of a list.
//!
//! ```text
//! type 18: length (container node)*      container 2: node is a string that is a listpack; 1: it is an element
//! type 14: length node*                  node is a string that is a ziplist
//! type 10: node
//! type 1:  length string*
//! ```

use super::code::{put_bytes, put_len, put_string};
use super::{Reader, ziplist};
use crate::value::list::Node;
use crate::value::listpack::Listpack;
use crate::value::{End, Limits, List, Str};

const TYPE_STRINGS: u8 = 1;
const TYPE_ZIPLIST: u8 = 10;
const TYPE_ZIPLISTS: u8 = 14;
const TYPE_NODES: u8 = 18;
const CONTAINER_PLAIN: usize = 1;
const CONTAINER_PACKED: usize = 2;

pub fn put(out: &mut Vec<u8>, list: &List) {
    out.push(TYPE_NODES);
    let nodes = list.nodes();
    put_len(out, nodes.len());
    let mut listpack = Vec::new();
    for node in nodes {
        match node {
            Node::Packed(pack) => {
                listpack.clear();
                pack.put_listpack(&mut listpack);
                put_len(out, CONTAINER_PACKED);
                put_bytes(out, &listpack);
            }
            Node::Plain(bytes) => {
                put_len(out, CONTAINER_PLAIN);
                put_string(out, bytes);
            }
        }
    }
}

/// Reads a list. `None`: the tag is of another type, or the content is not as it should be.
pub fn read(tag: u8, reader: &mut Reader<'_>, limits: &Limits) -> Option<List> {
    let mut list = List::default();
    let read_node = match tag {
        TYPE_STRINGS => {
            for _ in 0..reader.length()? {
                let string = reader.string()?;
                let mut text = itoa::Buffer::new();
                let bytes = string.bytes(&mut text);
                list.push(End::Back, bytes, limits.list_max_listpack_size);
            }
            return (!list.is_empty()).then_some(list);
        }
        TYPE_ZIPLIST | TYPE_ZIPLISTS => read_ziplist,
        TYPE_NODES => read_any_node,
        _ => return None,
    };
    let nodes = if tag == TYPE_ZIPLIST {
        1
    } else {
        reader.length()?
    };
    for _ in 0..nodes {
        read_node(reader, &mut list)?;
    }
    (!list.is_empty()).then_some(list)
}

fn read_any_node(reader: &mut Reader<'_>, list: &mut List) -> Option<()> {
    let container = reader.length()?;
    let bytes = blob(reader)?;
    match container {
        CONTAINER_PLAIN if !bytes.is_empty() => list.push_plain(&bytes),
        CONTAINER_PACKED => list.push_listpack(Listpack::from_bytes(bytes)?),
        _ => return None,
    }
    Some(())
}

fn read_ziplist(reader: &mut Reader<'_>, list: &mut List) -> Option<()> {
    let bytes = blob(reader)?;
    list.push_listpack(ziplist::read(&bytes)?);
    Some(())
}

/// A string that is taken as it is, also if it reads as an integer.
fn blob(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    Some(match reader.string()? {
        Str::Bytes(bytes) | Str::Raw(bytes) => bytes.into_vec(),
        Str::Int(number) => number.to_string().into_bytes(),
    })
}
