//! What takes a change to a list back, node for node.

use super::node::Node;
use super::{End, List, Spot};
use crate::value::listpack::Item;
use crate::value::string::StrBuf;

/// What undoes one change.
#[derive(Debug)]
pub struct Undo {
    /// The position of the first element before the change.
    head: i64,
    what: What,
}

pub(super) enum What {
    Inserted(Spot),
    Removed {
        spot: Spot,
        item: StrBuf,
        /// Its node went with it.
        alone: bool,
    },
    Replaced {
        spot: Spot,
        old: StrBuf,
    },
    /// Where `new` nodes stand now, from `at` on, these stood.
    Nodes {
        at: usize,
        new: usize,
        old: Vec<Node>,
    },
    /// These stood at an end. If they join, the innermost was one with the node that is at that end now.
    Cut {
        end: End,
        nodes: Vec<Node>,
        joins: bool,
    },
}

impl What {
    pub fn nodes(at: usize, new: usize, old: Vec<Node>) -> Self {
        What::Nodes { at, new, old }
    }
}

impl Undo {
    #[inline]
    pub(super) fn new(head: i64, what: What) -> Self {
        Self { head, what }
    }
}

impl List {
    /// Takes back the last change that was not taken back.
    pub fn take_back(&mut self, undo: Undo) {
        match undo.what {
            What::Inserted(spot) => {
                self.take_out(spot);
            }
            What::Removed { spot, item, alone } => self.put_back(spot, &item, alone),
            What::Replaced { spot, old } => {
                let pack = self.inner.nodes[spot.node].pack();
                pack.replace(spot.at, Item::from(&*old), 0);
            }
            What::Nodes { at, new, old } => self.exchange(at, new, old),
            What::Cut { end, nodes, joins } => self.join_cut(end, nodes, joins),
        }
        self.inner.head = undo.head;
    }

    fn put_back(&mut self, spot: Spot, item: &[u8], alone: bool) {
        let inner = &mut *self.inner;
        let item = Item::from(item);
        if alone {
            inner.add_node(spot.node, Node::new(item));
        } else {
            inner.nodes[spot.node].pack().insert(spot.at, item, 0);
        }
        inner.len += 1;
    }

    fn exchange(&mut self, at: usize, new: usize, old: Vec<Node>) {
        let inner = &mut *self.inner;
        inner.len += old.iter().map(Node::count).sum::<usize>();
        for node in inner.nodes.drain(at..at + new) {
            inner.len -= node.count();
        }
        for (index, node) in old.into_iter().enumerate() {
            inner.nodes.insert(at + index, node);
        }
    }

    fn join_cut(&mut self, end: End, mut nodes: Vec<Node>, joins: bool) {
        let inner = &mut *self.inner;
        inner.len += nodes.iter().map(Node::count).sum::<usize>();
        // They are kept in the order in which they were cut off, so the last is the innermost.
        let innermost = if joins { nodes.pop() } else { None };
        if let Some(mut innermost) = innermost {
            match end {
                End::Front => inner.nodes[0].pack().prepend(innermost.pack()),
                End::Back => {
                    let last = inner.nodes.len() - 1;
                    inner.nodes[last].pack().append(innermost.pack());
                }
            }
        }
        for node in nodes.into_iter().rev() {
            match end {
                End::Front => inner.nodes.push_front(node),
                End::Back => inner.nodes.push_back(node),
            }
        }
    }
}

impl std::fmt::Debug for What {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            What::Inserted(_) => "Inserted",
            What::Removed { .. } => "Removed",
            What::Replaced { .. } => "Replaced",
            What::Nodes { .. } => "Nodes",
            What::Cut { .. } => "Cut",
        })
    }
}
