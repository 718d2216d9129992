//! Removing many elements at once: those at an end, and those that are equal to one.

use super::node::Node;
use super::pack::Pack;
use super::undo::{Undo, What};
use super::{End, List};

/// What [`List::remove_equal`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    pub count: usize,
    /// The indices of the first and the last of them, before.
    pub first: usize,
    pub last: usize,
}

impl List {
    /// Cuts off up to `count` elements at an end.
    pub fn cut(&mut self, end: End, count: usize) -> Undo {
        let inner = &mut *self.inner;
        let head = inner.head;
        let mut left = count.min(inner.len);
        inner.len -= left;
        if end == End::Front {
            inner.head += left as i64;
        }
        let (mut nodes, mut joins) = (Vec::new(), false);
        while left > 0 {
            let node = match end {
                End::Front => inner.nodes.front_mut(),
                End::Back => inner.nodes.back_mut(),
            };
            let Some(node) = node else { break };
            let here = node.count();
            if here > left {
                let part = match end {
                    End::Front => node.pack().split_off_front(left),
                    End::Back => node.pack().split_off(here - left),
                };
                nodes.push(Node::Packed(part));
                (joins, left) = (true, 0);
            } else {
                let whole = match end {
                    End::Front => inner.nodes.pop_front(),
                    End::Back => inner.nodes.pop_back(),
                };
                nodes.extend(whole);
                left -= here;
            }
        }
        Undo::new(head, What::Cut { end, nodes, joins })
    }

    /// Removes up to `count` elements that are equal to `wanted`, those nearest to an end. Positions change on the shorter
    /// side.
    pub fn remove_equal(
        &mut self,
        wanted: &[u8],
        end: End,
        count: usize,
        mut keep: impl FnMut(Undo),
    ) -> Removal {
        let len = self.len();
        let mut search = Search {
            wanted,
            end,
            left: count,
            removal: Removal::default(),
        };
        // Elements that lie before the node, seen from the end.
        let (mut passed, mut steps) = (0, 0);
        while search.left > 0 && steps < self.inner.nodes.len() {
            let at = match end {
                End::Front => steps,
                End::Back => self.inner.nodes.len() - 1 - steps,
            };
            let node = &self.inner.nodes[at];
            let here = node.count();
            let base = match end {
                End::Front => passed,
                End::Back => len - passed - here,
            };
            passed += here;
            match search.without(node, base) {
                None => steps += 1,
                Some(rest) => {
                    let is_left = rest.count() > 0;
                    self.inner.len -= here - rest.count();
                    let old = if is_left {
                        steps += 1;
                        let place = &mut self.inner.nodes[at];
                        Some(std::mem::replace(place, Node::Packed(rest)))
                    } else {
                        self.inner.nodes.remove(at)
                    };
                    let old = old.into_iter().collect();
                    let what = What::nodes(at, usize::from(is_left), old);
                    keep(Undo::new(self.inner.head, what));
                }
            }
        }
        let removal = search.removal;
        if removal.count > 0 && removal.moves_front(len) {
            self.inner.head += removal.count as i64;
        }
        removal
    }
}

impl Removal {
    /// Whether the elements before the removed ones get other positions, and not those behind them. `len` is the length
    /// before.
    pub fn moves_front(&self, len: usize) -> bool {
        self.last + 1 - self.count < len - self.first - self.count
    }
}

struct Search<'a> {
    wanted: &'a [u8],
    end: End,
    left: usize,
    removal: Removal,
}

impl Search<'_> {
    /// The elements of a node without those that are wanted; `None`: it has none. `base` is the index of its first one.
    fn without(&mut self, node: &Node, base: usize) -> Option<Pack> {
        let count = node.count();
        let mut gone = Vec::new();
        let wanted = self.wanted.into();
        match self.end {
            End::Front => {
                let found = node.iter().enumerate().filter(|(_, item)| *item == wanted);
                gone.extend(found.map(|(at, _)| at).take(self.left));
            }
            End::Back => {
                let found = node.iter().rev().enumerate();
                let found = found.filter(|(_, item)| *item == wanted);
                gone.extend(found.map(|(at, _)| count - 1 - at).take(self.left));
                gone.reverse();
            }
        }
        let (first, last) = (base + *gone.first()?, base + *gone.last()?);
        let removal = &mut self.removal;
        if removal.count == 0 {
            (removal.first, removal.last) = (first, last);
        }
        removal.first = removal.first.min(first);
        removal.last = removal.last.max(last);
        removal.count += gone.len();
        self.left -= gone.len();
        Some(match node {
            Node::Packed(pack) => pack.without(&gone),
            Node::Plain(_) => Pack::default(),
        })
    }
}
