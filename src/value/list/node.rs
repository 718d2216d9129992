//! A node of a list, and how large it may grow.

use super::pack::{LISTPACK_OVERHEAD, Pack};
use crate::value::listpack::{Item, Iter, Listpack};

/// An element of this length has a node of its own, which holds nothing but its bytes.
#[cfg(not(test))]
pub const PLAIN_LEN_MIN: usize = 1 << 30;
#[cfg(test)]
pub const PLAIN_LEN_MIN: usize = 1 << 17;

/// Some elements in their order.
#[derive(Clone)]
pub enum Node {
    Packed(Pack),
    /// One element, which joins no other. Short ones come from `RESTORE` alone.
    Plain(Box<[u8]>),
}

/// How much a node may hold: `list-max-listpack-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Bytes(usize),
    /// So many elements, unless [`Fill::BYTES_MAX`] is reached before.
    Count(usize),
}

impl Fill {
    /// Of a node whose elements are counted.
    const BYTES_MAX: usize = 8192;
    const COUNT_MAX: i64 = 32_767;
    /// The most that an entry adds to its bytes, as Redis estimates it.
    const ENTRY_OVERHEAD: usize = 8;

    pub fn new(list_max_listpack_size: i64) -> Self {
        match list_max_listpack_size {
            count @ 0.. => Fill::Count(count.min(Self::COUNT_MAX) as usize),
            level => Fill::Bytes(2048 << level.unsigned_abs().min(5)),
        }
    }

    /// The bytes of entries that a node has at most, but for a single larger one.
    #[inline]
    pub fn bytes_max(self) -> usize {
        match self {
            Fill::Bytes(bytes) => bytes - LISTPACK_OVERHEAD,
            Fill::Count(_) => Self::BYTES_MAX - LISTPACK_OVERHEAD,
        }
    }

    #[inline]
    fn allows(self, bytes: usize, count: usize) -> bool {
        match self {
            Fill::Bytes(bytes_max) => bytes <= bytes_max,
            Fill::Count(count_max) => bytes <= Self::BYTES_MAX && count <= count_max,
        }
    }
}

impl Node {
    /// A node of one element.
    #[inline]
    pub fn new(item: Item<'_>) -> Self {
        match item {
            Item::Bytes(bytes) if bytes.len() >= PLAIN_LEN_MIN => Node::Plain(bytes.into()),
            _ => {
                let mut pack = Pack::default();
                pack.insert(0, item, 0);
                Node::Packed(pack)
            }
        }
    }

    /// A node of a listpack's items, of which there is one at least.
    pub fn from_listpack(listpack: Listpack) -> Self {
        debug_assert!(!listpack.is_empty(), "a node is never empty");
        Node::Packed(Pack::from_listpack(listpack))
    }

    #[inline]
    pub fn count(&self) -> usize {
        match self {
            Node::Packed(pack) => pack.count(),
            Node::Plain(_) => 1,
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Node::Packed(pack) => pack.heap_bytes(),
            Node::Plain(bytes) => bytes.len(),
        }
    }

    #[inline]
    pub fn get(&self, at: usize) -> Item<'_> {
        match self {
            Node::Packed(pack) => pack.get(at),
            Node::Plain(bytes) => Item::Bytes(bytes),
        }
    }

    /// Whether the node may take one more element of this length.
    #[inline]
    pub fn has_room(&self, len: usize, fill: Fill) -> bool {
        match self {
            Node::Packed(pack) if len < PLAIN_LEN_MIN => {
                let bytes = pack.listpack_len() + len + Fill::ENTRY_OVERHEAD;
                fill.allows(bytes, pack.count() + 1)
            }
            _ => false,
        }
    }

    /// Whether an element may be replaced in its place by one of another length.
    pub fn may_grow(&self, old_len: usize, new_len: usize, fill: Fill) -> bool {
        match self {
            Node::Packed(pack) if pack.count() > 1 && new_len > old_len => {
                let bytes = pack.listpack_len() + new_len - old_len + Fill::ENTRY_OVERHEAD;
                bytes <= fill.bytes_max() + LISTPACK_OVERHEAD
            }
            _ => true,
        }
    }

    /// Whether two neighbours may become one node.
    pub fn may_join(&self, next: &Self, fill: Fill) -> bool {
        match (self, next) {
            (Node::Packed(a), Node::Packed(b)) => {
                let bytes = a.listpack_len() + b.listpack_len() - LISTPACK_OVERHEAD;
                fill.allows(bytes, a.count() + b.count())
            }
            _ => false,
        }
    }

    pub fn iter(&self) -> NodeIter<'_> {
        match self {
            Node::Packed(pack) => NodeIter::Packed(pack.iter()),
            Node::Plain(bytes) => NodeIter::Plain(Some(bytes)),
        }
    }

    /// The items from an index on.
    pub fn iter_from(&self, at: usize) -> NodeIter<'_> {
        match self {
            Node::Packed(pack) => NodeIter::Packed(pack.iter_from(at)),
            Node::Plain(bytes) => NodeIter::Plain((at == 0).then_some(bytes)),
        }
    }

    /// The items before an index.
    pub fn iter_before(&self, at: usize) -> NodeIter<'_> {
        match self {
            Node::Packed(pack) => NodeIter::Packed(pack.iter_before(at)),
            Node::Plain(bytes) => NodeIter::Plain((at > 0).then_some(bytes)),
        }
    }

    /// The elements of a node that others may join or leave: never asked of a plain one, which has no room and only one
    /// element.
    #[inline]
    pub fn pack(&mut self) -> &mut Pack {
        match self {
            Node::Packed(pack) => pack,
            Node::Plain(_) => unreachable!("nothing joins or leaves a plain node"),
        }
    }

    /// Appends the elements of the next node.
    pub fn join(&mut self, next: &mut Self) {
        self.pack().append(next.pack());
    }
}

/// The items of a node.
pub enum NodeIter<'a> {
    Packed(Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Iterator for NodeIter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            NodeIter::Packed(items) => items.next(),
            NodeIter::Plain(bytes) => bytes.take().map(Item::Bytes),
        }
    }
}

impl DoubleEndedIterator for NodeIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            NodeIter::Packed(items) => items.next_back(),
            NodeIter::Plain(bytes) => bytes.take().map(Item::Bytes),
        }
    }
}
