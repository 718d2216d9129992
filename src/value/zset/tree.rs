//! A counted B+ tree: elements in order, found by order and by rank in O(log n).
//!
//! The tree does not know members. Whoever asks tells where a point lies by saying of any element whether it is before
//! that point, and looks at the member itself only where scores are equal.
//!
//! Invariants: an inner node knows each child's first element and how many elements are below it; all leaves are equally
//! deep; no node but the root is empty; beside a sparse node there is none with which it could be merged.

use super::row::{Element, ROW_LEN, Row};
use super::walk::Walk;

/// A node that has shrunk to this width is merged with a neighbour ...
const SPARSE_WIDTH: usize = ROW_LEN / 4;
/// ... if the two together are not wider than this, so that a merged node has room to grow.
const MERGED_WIDTH_MAX: usize = ROW_LEN * 3 / 4;

#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
    len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Box::default()),
            len: 0,
        }
    }
}

impl Tree {
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many elements are before a point: its rank.
    #[inline]
    pub fn count_before(&self, before: impl Fn(Element) -> bool) -> usize {
        let (mut node, mut count) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(row) => return count + row.count_before(&before),
                Node::Inner(inner) => {
                    let at = inner.firsts.count_before(&before).saturating_sub(1);
                    count += inner.count_left_of(at);
                    node = &inner.children[at];
                }
            }
        }
    }

    /// The elements from a rank on.
    pub fn walk(&self, rank: usize) -> Walk<'_> {
        Walk::from(&self.root, rank, self.len)
    }

    /// Adds an element behind all that are `before` it, which is asked of those with its score.
    pub fn insert(&mut self, element: Element, before: impl Fn(Element) -> bool) {
        if let Some(right) = self.root.insert(element, &before) {
            let root = Node::Inner(Box::default());
            let left = std::mem::replace(&mut self.root, root);
            if let Node::Inner(inner) = &mut self.root {
                inner.insert_child(0, left);
                inner.insert_child(1, right);
            }
        }
        self.len += 1;
    }

    /// Removes the last element that is at or before a point, which is asked of those with the point's score; there is one.
    pub fn remove(&mut self, score: f64, at_or_before: impl Fn(Element) -> bool) -> Element {
        self.remove_by(&mut ByOrder(score, at_or_before))
    }

    /// Removes the element of a rank; there is one.
    pub fn remove_at(&mut self, rank: usize) -> Element {
        debug_assert!(rank < self.len, "a rank of this tree");
        self.remove_by(&mut ByRank(rank))
    }

    /// Gives the last element that is at or before a point another slot, under which the same member is found.
    pub fn set_slot(&mut self, score: f64, at_or_before: impl Fn(Element) -> bool, slot: u32) {
        let mut way = ByOrder(score, at_or_before);
        let mut node = &mut self.root;
        let mut is_first = Vec::new();
        // An inner node holds the element too where it is the first of a child.
        while let Node::Inner(inner) = node {
            let at = way.child(inner);
            is_first.push((&mut inner.firsts, at));
            node = &mut inner.children[at];
        }
        if let Node::Leaf(row) = node {
            let at = way.element(row);
            let old = row.get(at);
            let new = Element { slot, ..old };
            row.set(at, new);
            for (firsts, at) in is_first {
                if firsts.get(at).slot == old.slot {
                    firsts.set(at, new);
                }
            }
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.root.heap_bytes()
    }

    fn remove_by(&mut self, way: &mut impl Way) -> Element {
        let removed = self.root.remove(way);
        self.len -= 1;
        while let Node::Inner(inner) = &mut self.root {
            match inner.children.len() {
                0 => self.root = Node::Leaf(Box::default()),
                1 => self.root = inner.take_child(0),
                _ => break,
            }
        }
        removed
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Box<Row>),
    Inner(Box<Inner>),
}

impl Node {
    fn first(&self) -> Element {
        match self {
            Node::Leaf(row) => row.get(0),
            Node::Inner(inner) => inner.firsts.get(0),
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(row) => row.len(),
            Node::Inner(inner) => inner.count_left_of(inner.children.len()),
        }
    }

    fn width(&self) -> usize {
        match self {
            Node::Leaf(row) => row.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    /// Adds an element; returns a new right neighbour where the node had no room.
    fn insert(&mut self, element: Element, before: &impl Fn(Element) -> bool) -> Option<Node> {
        match self {
            Node::Leaf(row) => {
                let at = row.count_before_point(element.score, before);
                insert_in_row(row, at, element).map(Node::Leaf)
            }
            Node::Inner(inner) => inner.insert(element, before).map(Node::Inner),
        }
    }

    fn remove(&mut self, way: &mut impl Way) -> Element {
        match self {
            Node::Leaf(row) => row.remove(way.element(row)),
            Node::Inner(inner) => inner.remove(way),
        }
    }

    /// Takes over what its right neighbour holds, which is equally deep.
    fn absorb(&mut self, right: Node) {
        match (self, right) {
            (Node::Leaf(row), Node::Leaf(right)) => row.append(&right),
            (Node::Inner(inner), Node::Inner(right)) => inner.absorb(*right),
            _ => unreachable!("neighbours are equally deep"),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(_) => size_of::<Row>(),
            Node::Inner(inner) => {
                let children: usize = match inner.children.first() {
                    Some(Node::Leaf(_)) => inner.children.len() * size_of::<Row>(),
                    _ => inner.children.iter().map(Node::heap_bytes).sum(),
                };
                size_of::<Inner>() + inner.children.capacity() * size_of::<Node>() + children
            }
        }
    }
}

/// Adds an element to a row; returns a new right neighbour where the row was full.
///
/// At an end of a full row the new element gets a row of its own, so that elements that arrive in order fill their rows.
fn insert_in_row(row: &mut Box<Row>, at: usize, element: Element) -> Option<Box<Row>> {
    if !row.is_full() {
        row.insert(at, element);
        return None;
    }
    let split_at = match at {
        0 | ROW_LEN => at,
        _ => ROW_LEN / 2,
    };
    let mut right = Box::new(row.split_off(split_at));
    if at == 0 || at < split_at {
        row.insert(at, element);
    } else {
        right.insert(at - split_at, element);
    }
    Some(right)
}

#[derive(Clone, Debug)]
pub(super) struct Inner {
    /// The first element below each child.
    firsts: Row,
    /// How many elements are below each child.
    counts: [u32; ROW_LEN],
    pub children: Vec<Node>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            firsts: Row::default(),
            counts: [0; ROW_LEN],
            children: Vec::with_capacity(ROW_LEN),
        }
    }
}

impl Inner {
    /// The child that holds a rank, and the rank within it.
    pub fn child_of_rank(&self, mut rank: usize) -> (usize, usize) {
        for (at, count) in self.counts[..self.children.len()].iter().enumerate() {
            match rank.checked_sub(*count as usize) {
                Some(rest) => rank = rest,
                None => return (at, rank),
            }
        }
        unreachable!("the caller asks for a rank below the node's length")
    }

    fn count_left_of(&self, child: usize) -> usize {
        let counts = self.counts[..child].iter();
        counts.map(|count| *count as usize).sum()
    }

    fn insert(
        &mut self,
        element: Element,
        before: &impl Fn(Element) -> bool,
    ) -> Option<Box<Inner>> {
        let starting_before = self.firsts.count_before_point(element.score, before);
        let at = starting_before.saturating_sub(1);
        if starting_before == 0 {
            self.firsts.set(0, element);
        }
        let Some(right) = self.children[at].insert(element, before) else {
            self.counts[at] += 1;
            return None;
        };
        self.counts[at] = self.children[at].len() as u32;
        self.insert_child_or_split(at + 1, right)
    }

    fn insert_child_or_split(&mut self, at: usize, child: Node) -> Option<Box<Inner>> {
        if !self.firsts.is_full() {
            self.insert_child(at, child);
            return None;
        }
        let split_at = if at == ROW_LEN { at } else { ROW_LEN / 2 };
        let mut right = Box::new(self.split_off(split_at));
        if at < split_at {
            self.insert_child(at, child);
        } else {
            right.insert_child(at - split_at, child);
        }
        Some(right)
    }

    fn insert_child(&mut self, at: usize, child: Node) {
        self.firsts.insert(at, child.first());
        self.counts.copy_within(at..self.children.len(), at + 1);
        self.counts[at] = child.len() as u32;
        self.children.insert(at, child);
    }

    fn take_child(&mut self, at: usize) -> Node {
        self.firsts.remove(at);
        self.counts.copy_within(at + 1..self.children.len(), at);
        self.children.remove(at)
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::default();
        let moved = at..self.children.len();
        right.counts[..moved.len()].copy_from_slice(&self.counts[moved]);
        right.firsts = self.firsts.split_off(at);
        right.children.extend(self.children.drain(at..));
        right
    }

    fn absorb(&mut self, right: Self) {
        let (len, more) = (self.children.len(), right.children.len());
        self.counts[len..len + more].copy_from_slice(&right.counts[..more]);
        self.firsts.append(&right.firsts);
        self.children.extend(right.children);
    }

    fn remove(&mut self, way: &mut impl Way) -> Element {
        let at = way.child(self);
        let removed = self.children[at].remove(way);
        self.counts[at] -= 1;
        if self.counts[at] == 0 {
            self.take_child(at);
        } else {
            self.firsts.set(at, self.children[at].first());
            self.merge_if_sparse(at);
        }
        removed
    }

    fn merge_if_sparse(&mut self, at: usize) {
        let width = self.children[at].width();
        if width > SPARSE_WIDTH {
            return;
        }
        let fits = |neighbour: Option<usize>| {
            let neighbour = neighbour.and_then(|at| self.children.get(at));
            neighbour.is_some_and(|node| node.width() + width <= MERGED_WIDTH_MAX)
        };
        if fits(at.checked_sub(1)) {
            self.merge_with_next(at - 1);
        } else if fits(Some(at + 1)) {
            self.merge_with_next(at);
        }
    }

    fn merge_with_next(&mut self, at: usize) {
        let moved = self.counts[at + 1];
        let right = self.take_child(at + 1);
        self.children[at].absorb(right);
        self.counts[at] += moved;
    }
}

/// How to get from the root to an element.
trait Way {
    fn child(&mut self, inner: &Inner) -> usize;
    fn element(&mut self, row: &Row) -> usize;
}

/// To the element of a rank.
struct ByRank(usize);

impl Way for ByRank {
    fn child(&mut self, inner: &Inner) -> usize {
        let (child, rank) = inner.child_of_rank(self.0);
        self.0 = rank;
        child
    }

    fn element(&mut self, _row: &Row) -> usize {
        self.0
    }
}

/// To the last element that is below a score, or has it and the function says yes.
struct ByOrder<F>(f64, F);

impl<F: Fn(Element) -> bool> Way for ByOrder<F> {
    fn child(&mut self, inner: &Inner) -> usize {
        inner.firsts.count_before_point(self.0, &self.1) - 1
    }

    fn element(&mut self, row: &Row) -> usize {
        row.count_before_point(self.0, &self.1) - 1
    }
}

#[cfg(test)]
impl Tree {
    /// Checks the tree's invariants.
    pub fn check(&self) {
        let (len, _) = self.root.check();
        assert_eq!(len, self.len);
    }
}

#[cfg(test)]
impl Node {
    /// Returns how many elements are below, and how many levels.
    fn check(&self) -> (usize, usize) {
        match self {
            Node::Leaf(row) => (row.len(), 0),
            Node::Inner(inner) => {
                let below: Vec<_> = inner.children.iter().map(Node::check).collect();
                assert_eq!(inner.firsts.len(), below.len());
                assert!(!below.is_empty(), "an inner node has children");
                for (at, (len, levels)) in below.iter().enumerate() {
                    assert!(*len > 0, "only the root may be empty");
                    assert_eq!(inner.counts[at] as usize, *len);
                    assert_eq!(inner.firsts.get(at), inner.children[at].first());
                    assert_eq!(*levels, below[0].1, "leaves are equally deep");
                }
                (below.iter().map(|(len, _)| len).sum(), below[0].1 + 1)
            }
        }
    }
}
