//! A walk over a tree's elements, from a rank to either side.

use super::row::{Element, Row};
use super::tree::{Inner, Node};
use smallvec::SmallVec;

/// Levels above the leaves of a tree with four billion elements, if each node has the width to which they are merged.
const LEVELS: usize = 7;

/// Goes forward as an iterator, backward by [`Walk::next_back`]; the two share one position, between two elements.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    /// Inner nodes from the root down, each with the child that the walk is in.
    path: SmallVec<[(&'a Inner, usize); LEVELS]>,
    row: &'a Row,
    /// The element of the row before which the walk stands.
    at: usize,
}

impl<'a> Walk<'a> {
    /// Starts before the element of a rank, or behind the last.
    pub(super) fn from(root: &'a Node, rank: usize, len: usize) -> Self {
        // Behind the last element there is no child: stand behind it in its row.
        let behind = rank >= len;
        let mut rank = if behind { len.saturating_sub(1) } else { rank };
        let (mut path, mut node) = (SmallVec::new(), root);
        loop {
            match node {
                Node::Inner(inner) => {
                    let (child, rest) = inner.child_of_rank(rank);
                    path.push((&**inner, child));
                    (node, rank) = (&inner.children[child], rest);
                }
                Node::Leaf(row) => {
                    let at = if behind { row.len() } else { rank };
                    return Self { path, row, at };
                }
            }
        }
    }

    /// The element before the position, to which the walk goes back.
    pub fn next_back(&mut self) -> Option<Element> {
        if self.at == 0 {
            self.row = self.neighbour(|at, _| at.checked_sub(1), |width| width - 1)?;
            self.at = self.row.len();
        }
        self.at -= 1;
        Some(self.row.get(self.at))
    }

    /// Goes to the row beside: up to the first node that has a child on that side, down again by its edge.
    fn neighbour(
        &mut self,
        step: impl Fn(usize, usize) -> Option<usize>,
        edge: impl Fn(usize) -> usize,
    ) -> Option<&'a Row> {
        let up = self
            .path
            .iter()
            .rposition(|(inner, at)| step(*at, inner.children.len()).is_some())?;
        self.path.truncate(up + 1);
        let (inner, at) = self.path.last_mut()?;
        *at = step(*at, inner.children.len())?;
        let mut node = &inner.children[*at];
        while let Node::Inner(inner) = node {
            let child = edge(inner.children.len());
            self.path.push((inner, child));
            node = &inner.children[child];
        }
        match node {
            Node::Leaf(row) => Some(row),
            Node::Inner(_) => unreachable!("the loop went down to a leaf"),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Element;

    #[inline]
    fn next(&mut self) -> Option<Element> {
        if self.at == self.row.len() {
            let right = |at: usize, width: usize| Some(at + 1).filter(|next| *next < width);
            self.row = self.neighbour(right, |_| 0)?;
            self.at = 0;
        }
        self.at += 1;
        Some(self.row.get(self.at - 1))
    }
}
