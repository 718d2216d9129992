//! The list: a deque of nodes, each with some elements encoded as in a listpack.
//!
//! Invariants:
//! - No node is empty, and the list knows its length without asking them.
//! - Nodes are filled, split and joined as Redis does it, so that serialized lists are the same node for node. One thing is
//!   better here: a node does not grow without bound when its elements are replaced by longer ones.
//! - An element has a *position*, a number by which the store knows it. Positions are contiguous, and a change moves those
//!   of the shorter side.
//! - Each change returns an [`Undo`]. Played backwards, they bring the list back node for node.

mod node;
mod pack;
mod positions;
mod remove;
#[cfg(test)]
mod tests;
mod undo;

pub(super) use node::Node;
pub use undo::Undo;

use super::listpack::{Item, Listpack};
use super::string::StrBuf;
use node::Fill;
use std::collections::{BTreeMap, VecDeque};
use undo::What;

/// A list. All of it is behind one pointer: it would not fit into a value.
#[derive(Clone, Default)]
pub struct List {
    inner: Box<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    /// The position of the first element.
    head: i64,
    len: usize,
    nodes: VecDeque<Node>,
    /// Elements that a recovery has read, but not yet those between them and the others.
    #[expect(
        clippy::box_collection,
        reason = "what only a recovery needs takes a pointer in every list, not more"
    )]
    strays: Option<Box<BTreeMap<i64, Box<[u8]>>>>,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

/// Where an element stands: its node, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    node: usize,
    at: usize,
}

impl List {
    #[inline]
    pub fn len(&self) -> usize {
        self.inner.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inner.len == 0
    }

    pub fn encoding(&self) -> &'static str {
        "quicklist"
    }

    pub fn heap_bytes(&self) -> usize {
        let nodes = self.inner.nodes.capacity() * size_of::<Node>();
        let bytes: usize = self.inner.nodes.iter().map(Node::heap_bytes).sum();
        size_of::<Inner>() + nodes + bytes
    }

    /// The element at an index, if there are so many.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        if index >= self.len() {
            return None;
        }
        let spot = self.spot(index);
        Some(self.inner.nodes[spot.node].get(spot.at))
    }

    /// The element at an end.
    #[inline]
    pub fn end(&self, end: End) -> Option<Item<'_>> {
        match end {
            End::Front => self.inner.nodes.front()?.iter().next(),
            End::Back => self.inner.nodes.back()?.iter().next_back(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.inner.nodes.iter().flat_map(Node::iter)
    }

    /// The elements from an index on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Item<'_>> {
        let nodes = &self.inner.nodes;
        let spot = self.spot(index.min(self.len()));
        let first = nodes.get(spot.node).map(|node| node.iter_from(spot.at));
        let rest = nodes.range((spot.node + 1).min(nodes.len())..);
        first.into_iter().flatten().chain(rest.flat_map(Node::iter))
    }

    /// The elements before an index, the last of them first.
    pub fn iter_back_from(&self, index: usize) -> impl Iterator<Item = Item<'_>> {
        let nodes = &self.inner.nodes;
        let spot = self.spot(index.min(self.len()));
        let first = nodes
            .get(spot.node)
            .map(|node| node.iter_before(spot.at).rev());
        let rest = nodes.range(..spot.node.min(nodes.len())).rev();
        let rest = rest.flat_map(|node| node.iter().rev());
        first.into_iter().flatten().chain(rest)
    }

    /// The nodes, for a serialization.
    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.inner.nodes.iter()
    }

    /// Appends a node of one element that no other will join.
    pub(super) fn push_plain(&mut self, bytes: &[u8]) {
        self.inner.nodes.push_back(Node::Plain(bytes.into()));
        self.inner.len += 1;
    }

    /// Appends a listpack's items as a node; none, if there are none.
    pub(super) fn push_listpack(&mut self, listpack: Listpack) {
        if !listpack.is_empty() {
            let node = Node::from_listpack(listpack);
            self.inner.len += node.count();
            self.inner.nodes.push_back(node);
        }
    }

    /// Adds an element at an end. The option is `list-max-listpack-size`.
    #[inline]
    pub fn push(&mut self, end: End, bytes: &[u8], max_listpack_size: i64) -> Undo {
        let fill = Fill::new(max_listpack_size);
        let undo_head = self.inner.head;
        let inner = &mut *self.inner;
        let item = Item::from(bytes);
        let spot = match end {
            End::Front => {
                match inner.nodes.front_mut() {
                    Some(node) if node.has_room(bytes.len(), fill) => {
                        node.pack().insert(0, item, fill.bytes_max());
                    }
                    _ => inner.add_node(0, Node::new(item)),
                }
                inner.head -= 1;
                Spot { node: 0, at: 0 }
            }
            End::Back => {
                let last = inner.nodes.len();
                match inner.nodes.back_mut() {
                    Some(node) if node.has_room(bytes.len(), fill) => {
                        let at = node.count();
                        node.pack().insert(at, item, fill.bytes_max());
                        Spot { node: last - 1, at }
                    }
                    _ => {
                        inner.add_node(last, Node::new(item));
                        Spot { node: last, at: 0 }
                    }
                }
            }
        };
        inner.len += 1;
        Undo::new(undo_head, What::Inserted(spot))
    }

    /// Removes the element at an end of a list that is not empty.
    #[inline]
    pub fn pop(&mut self, end: End) -> Undo {
        let spot = match end {
            End::Front => Spot { node: 0, at: 0 },
            End::Back => {
                let node = self.inner.nodes.len() - 1;
                let at = self.inner.nodes[node].count() - 1;
                Spot { node, at }
            }
        };
        let head = self.inner.head;
        let removed = self.take_out(spot);
        if end == End::Front {
            self.inner.head += 1;
        }
        Undo::new(head, removed)
    }

    /// Puts another element in the place of the one at an index below the length.
    pub fn set(&mut self, index: usize, bytes: &[u8], max_listpack_size: i64) -> Undo {
        let fill = Fill::new(max_listpack_size);
        let spot = self.spot(index);
        let inner = &mut *self.inner;
        let node = &mut inner.nodes[spot.node];
        let is_plain = matches!(node, Node::Plain(_)) || bytes.len() >= node::PLAIN_LEN_MIN;
        if is_plain {
            return self.set_alone(spot, bytes);
        }
        let old = StrBuf::from_slice(node.get(spot.at).bytes(&mut itoa::Buffer::new()));
        if !node.may_grow(old.len(), bytes.len(), fill) {
            return self.set_alone(spot, bytes);
        }
        let item = Item::from(bytes);
        node.pack().replace(spot.at, item, fill.bytes_max());
        Undo::new(inner.head, What::Replaced { spot, old })
    }

    /// Puts an element in the place of another, in a node of its own.
    fn set_alone(&mut self, spot: Spot, bytes: &[u8]) -> Undo {
        let inner = &mut *self.inner;
        let Spot { node, at } = spot;
        let alone = Node::new(Item::from(bytes));
        let (new, old) = if inner.nodes[node].count() == 1 {
            (1, std::mem::replace(&mut inner.nodes[node], alone))
        } else {
            let old = inner.nodes[node].clone();
            let after = inner.split(node, at + 1);
            let before = inner.split(node, at);
            inner.nodes[node + usize::from(before)] = alone;
            (1 + usize::from(before) + usize::from(after), old)
        };
        Undo::new(inner.head, What::nodes(node, new, vec![old]))
    }

    /// Inserts an element beside the one at an index below the length. Positions change on the shorter side.
    pub fn insert(
        &mut self,
        index: usize,
        side: Side,
        bytes: &[u8],
        max_listpack_size: i64,
    ) -> Undo {
        let fill = Fill::new(max_listpack_size);
        let spot = self.spot(index);
        let head = self.inner.head;
        let new_index = index + usize::from(side == Side::After);
        if new_index < self.len() - new_index {
            self.inner.head -= 1;
        }
        let what = self.inner.insert(spot, side, bytes, fill);
        self.inner.len += 1;
        Undo::new(head, what)
    }

    /// Removes the element at a spot.
    #[inline]
    fn take_out(&mut self, spot: Spot) -> What {
        let inner = &mut *self.inner;
        let node = &mut inner.nodes[spot.node];
        let alone = node.count() == 1;
        let item = StrBuf::from_slice(node.get(spot.at).bytes(&mut itoa::Buffer::new()));
        let node_was = if alone {
            inner.nodes.remove(spot.node)
        } else {
            node.pack().remove(spot.at);
            None
        };
        inner.len -= 1;
        match node_was {
            Some(node @ Node::Plain(_)) => What::nodes(spot.node, 0, vec![node]),
            _ => What::Removed { spot, item, alone },
        }
    }

    /// Where the element at an index stands, from the nearer end; behind the last node for the index after the last.
    fn spot(&self, index: usize) -> Spot {
        let (len, nodes) = (self.len(), &self.inner.nodes);
        debug_assert!(index <= len, "the caller knows how many there are");
        if index < len / 2 {
            let mut at = index;
            for (node, present) in nodes.iter().enumerate() {
                let count = present.count();
                if at < count {
                    return Spot { node, at };
                }
                at -= count;
            }
        } else {
            let mut behind = len - index;
            for (node, present) in nodes.iter().enumerate().rev() {
                let count = present.count();
                if behind <= count && behind > 0 {
                    let at = count - behind;
                    return Spot { node, at };
                }
                behind -= count.min(behind);
            }
        }
        Spot {
            node: nodes.len(),
            at: 0,
        }
    }
}

/// Which side of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl Inner {
    fn add_node(&mut self, at: usize, node: Node) {
        if self.nodes.is_empty() {
            // Most lists have one node.
            self.nodes.reserve_exact(1);
        }
        // What was at the end is in the middle now, and will not grow.
        if let Some(neighbour) = self.nodes.get_mut(at.saturating_sub(1))
            && let Node::Packed(pack) = neighbour
        {
            pack.seal();
        }
        self.nodes.insert(at, node);
    }

    /// Cuts a node in two before an index, unless there is nothing on one side. Tells whether it did.
    fn split(&mut self, node: usize, at: usize) -> bool {
        if at == 0 || at == self.nodes[node].count() {
            return false;
        }
        let tail = self.nodes[node].pack().split_off(at);
        self.nodes.insert(node + 1, Node::Packed(tail));
        true
    }

    /// Inserts an element beside the one at a spot, as Redis finds the place.
    fn insert(&mut self, spot: Spot, side: Side, bytes: &[u8], fill: Fill) -> What {
        let item = Item::from(bytes);
        let Spot { node, at } = spot;
        let at = at + usize::from(side == Side::After);
        let count = self.nodes[node].count();
        let room = |node: Option<&Node>| node.is_some_and(|n| n.has_room(bytes.len(), fill));
        if room(self.nodes.get(node)) {
            self.nodes[node].pack().insert(at, item, fill.bytes_max());
            return What::Inserted(Spot { node, at });
        }
        let neighbour = match side {
            Side::After if at == count => Some(node + 1),
            Side::Before if at == 0 => node.checked_sub(1),
            _ => return self.insert_split(Spot { node, at }, side, bytes, fill),
        };
        if let Some(neighbour) = neighbour.filter(|n| room(self.nodes.get(*n))) {
            let pack = self.nodes[neighbour].pack();
            let at = if side == Side::After { 0 } else { pack.count() };
            pack.insert(at, item, fill.bytes_max());
            return What::Inserted(Spot {
                node: neighbour,
                at,
            });
        }
        let node = node + usize::from(side == Side::After);
        self.add_node(node, Node::new(item));
        What::Inserted(Spot { node, at: 0 })
    }

    /// Inserts an element into the middle of a full node, which is cut in two there, and lets small neighbours join.
    fn insert_split(&mut self, spot: Spot, side: Side, bytes: &[u8], fill: Fill) -> What {
        let Spot { node, at } = spot;
        // Two nodes on each side may change.
        let window = node.saturating_sub(2)..(node + 3).min(self.nodes.len());
        let before = self.nodes.len();
        let old: Vec<Node> = self.nodes.range(window.clone()).cloned().collect();
        let was_split = self.split(node, at);
        debug_assert!(was_split, "the place is in the middle");
        let item = Item::from(bytes);
        let centre = if bytes.len() >= node::PLAIN_LEN_MIN {
            self.nodes.insert(node + 1, Node::new(item));
            None
        } else if side == Side::After {
            let pack = self.nodes[node + 1].pack();
            pack.insert(0, item, fill.bytes_max());
            Some(node)
        } else {
            let pack = self.nodes[node].pack();
            pack.insert(at, item, fill.bytes_max());
            Some(node + 1)
        };
        if let Some(centre) = centre {
            self.join_around(centre, fill);
        }
        let new = window.len() + self.nodes.len() - before;
        What::nodes(window.start, new, old)
    }

    /// Joins nodes around one that was split, in the order in which Redis tries it.
    fn join_around(&mut self, centre: usize, fill: Fill) {
        let mut centre = centre;
        if centre >= 2 && self.join(centre - 2, fill) {
            centre -= 1;
        }
        self.join(centre + 1, fill);
        if centre >= 1 && self.join(centre - 1, fill) {
            centre -= 1;
        }
        self.join(centre, fill);
    }

    /// Joins a node with the next one, if there is one and they may. Tells whether they did.
    fn join(&mut self, node: usize, fill: Fill) -> bool {
        let (Some(first), Some(second)) = (self.nodes.get(node), self.nodes.get(node + 1)) else {
            return false;
        };
        if !first.may_join(second, fill) {
            return false;
        }
        if let Some(mut second) = self.nodes.remove(node + 1) {
            self.nodes[node].join(&mut second);
        }
        true
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}
