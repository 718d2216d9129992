//! The entries of a stream: nodes in the order of their ids.

use super::node::{Entry, Node};
use super::{StreamId, Trim};
use crate::value::Limits;
use crate::value::listpack::Item;
use std::collections::VecDeque;

/// Entries by id. Most are added at the end and go from the front.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Each begins above the last entry of the one before that is not deleted.
    nodes: VecDeque<Node>,
    /// Entries that are not deleted.
    len: usize,
}

/// What deleting an entry did.
#[derive(Debug)]
pub enum Deleted {
    /// The entry is marked; its node has others.
    Marked,
    /// It was the last one of its node, which is gone as it was.
    Dropped { at: usize, node: Node },
}

/// What trimming does next.
#[derive(Debug)]
pub enum TrimStep {
    /// The first node is gone as it was.
    Dropped(Node),
    /// These entries of the first node are marked as deleted, and trimming is over.
    Marked(Vec<StreamId>),
    Over,
}

impl Log {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Appends an entry, whose fields and values have so many bytes; its id is above all that were there.
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (Item<'f>, Item<'f>)> + Clone,
        bytes: usize,
        limits: &Limits,
    ) {
        // Mostly the last node. XSETID may have gone back below a node that has only deleted entries.
        let at = self.node_of(id);
        match at.and_then(|at| self.nodes.get_mut(at)) {
            Some(node) if !node.is_full(bytes, limits) => node.push(id, fields),
            _ => self
                .nodes
                .insert(at.map_or(0, |at| at + 1), Node::new(id, fields)),
        }
        self.len += 1;
    }

    /// Appends a node.
    pub fn push_node(&mut self, node: Node) {
        self.len += node.live();
        self.nodes.push_back(node);
    }

    /// Takes back the push of the last entry.
    pub fn pop(&mut self, id: StreamId) {
        let Some(at) = self.node_of(id) else {
            unreachable!("the entry was pushed");
        };
        let node = &mut self.nodes[at];
        if node.live() + node.deleted() == 1 {
            self.nodes.remove(at);
        } else {
            node.pop();
        }
        self.len -= 1;
    }

    /// The id that the last entry has or had.
    pub fn last_ever(&self) -> Option<StreamId> {
        self.nodes.back().map(Node::last)
    }

    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }

    pub fn contains(&self, id: StreamId) -> bool {
        self.range(id, id).next().is_some()
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let from = self.node_of(start).unwrap_or(0);
        let nodes = self.nodes.range(from..);
        nodes
            .take_while(move |node| node.first() <= end)
            .flat_map(Node::entries)
            .filter(Entry::is_live)
            .skip_while(move |entry| entry.id < start)
            .take_while(move |entry| entry.id <= end)
    }

    /// The same from the last one on.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let to = self.node_of(end).map_or(0, |at| at + 1);
        let nodes = self.nodes.range(..to).rev();
        nodes
            .flat_map(Node::entries_back)
            .filter(Entry::is_live)
            .skip_while(move |entry| entry.id > end)
            .take_while(move |entry| entry.id >= start)
    }

    /// How many entries a range has, counted up to `most`. Nodes within the range are not looked into.
    pub fn count(&self, start: StreamId, end: StreamId, most: usize) -> usize {
        let Some(to) = self.node_of(end).filter(|_| start <= end) else {
            return 0;
        };
        let from = self.node_of(start).unwrap_or(0);
        let mut count = 0;
        for at in from..=to {
            let node = &self.nodes[at];
            let is_inside = start <= node.first() && at < to;
            count += if is_inside || (at == to && start <= node.first() && node.last() <= end) {
                node.live()
            } else {
                let live = node.entries().filter(Entry::is_live);
                let inside = live.skip_while(|entry| entry.id < start);
                let inside = inside.take_while(|entry| entry.id <= end);
                inside.take(most - count).count()
            };
            if count >= most {
                return most;
            }
        }
        count
    }

    /// Deletes an entry. `None`: it is not there.
    pub fn delete(&mut self, id: StreamId) -> Option<Deleted> {
        let at = self.node_of(id)?;
        let node = &mut self.nodes[at];
        if node.live() > 1 {
            node.mark(id, true)?;
            self.len -= 1;
            return Some(Deleted::Marked);
        }
        let mut entries = node.entries().filter(Entry::is_live);
        entries.find(|entry| entry.id == id)?;
        let node = self.nodes.remove(at)?;
        self.len -= 1;
        Some(Deleted::Dropped { at, node })
    }

    /// Takes back the marking of a deleted entry.
    pub fn unmark(&mut self, id: StreamId) {
        let marked = self
            .node_of(id)
            .and_then(|at| self.nodes[at].mark(id, false));
        assert!(marked.is_some(), "it was marked");
        self.len += 1;
    }

    /// Puts a node back where it was.
    pub fn insert_node(&mut self, at: usize, node: Node) {
        self.len += node.live();
        self.nodes.insert(at, node);
    }

    /// One step of trimming, of which `done` entries are already gone.
    pub fn trim_step(&mut self, trim: &Trim, done: usize) -> TrimStep {
        let Some(node) = self.nodes.front_mut() else {
            return TrimStep::Over;
        };
        let live = node.live();
        if trim.is_met(self.len) || (trim.limit > 0 && done + live > trim.limit) {
            return TrimStep::Over;
        }
        let whole = match trim.until {
            Until::MaxLen(most) => (self.len - live) as u64 >= most,
            Until::MinId(least) => node.last() < least,
        };
        if whole {
            self.len -= live;
            let node = self.nodes.pop_front();
            return node.map_or(TrimStep::Over, TrimStep::Dropped);
        }
        if trim.is_rough {
            return TrimStep::Over;
        }
        let live_ids = node.entries().filter(Entry::is_live).map(|entry| entry.id);
        let ids: Vec<StreamId> = match trim.until {
            Until::MaxLen(most) => live_ids.take(self.len - most as usize).collect(),
            Until::MinId(least) => live_ids.take_while(|id| *id < least).collect(),
        };
        for id in &ids {
            let marked = node.mark(*id, true);
            debug_assert!(marked.is_some(), "it is live");
        }
        self.len -= ids.len();
        TrimStep::Marked(ids)
    }

    pub fn heap_bytes(&self) -> usize {
        let packs: usize = self.nodes.iter().map(Node::heap_bytes).sum();
        self.nodes.capacity() * size_of::<Node>() + packs
    }

    /// The last node that begins at or below an id: the only one that can have it.
    fn node_of(&self, id: StreamId) -> Option<usize> {
        let last = self.nodes.back()?;
        let after = if last.first() <= id {
            self.nodes.len()
        } else {
            self.nodes.partition_point(|node| node.first() <= id)
        };
        after.checked_sub(1)
    }
}

/// Up to where a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So many entries are left.
    MaxLen(u64),
    /// Entries with lower ids are gone.
    MinId(StreamId),
}
