//! The large form of a sorted set: members in slots, and their order in a tree.

use super::ZSetChange;
use super::members::Members;
use super::row::Element;
use super::tree::Tree;
use super::walk::Walk;
use crate::value::StrBuf;
use crate::value::listpack::Item;

#[derive(Clone, Debug, Default)]
pub struct Large {
    members: Members,
    tree: Tree,
}

/// The highest slot was given up.
#[derive(Clone, Copy, Debug)]
pub struct Shrunk {
    /// The slot to which its member moved, if it had one.
    moved_to: Option<u32>,
}

impl Large {
    /// Makes one of pairs that are in order.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (Item<'a>, f64)>) -> Self {
        let mut large = Self::default();
        let mut text = itoa::Buffer::new();
        for (member, score) in pairs {
            large.add(member.bytes(&mut text), score);
        }
        large
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let slot = self.members.find(self.members.hash(member), member)?;
        Some(self.members.score(slot))
    }

    pub fn count_before(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let members = &self.members;
        self.tree
            .count_before(|e| before(e.score, members.member(e.slot)))
    }

    /// Goes from the member of a rank in either direction.
    pub fn ranked_from(&self, rank: usize) -> Ranked<'_> {
        Ranked {
            members: &self.members,
            walk: self.tree.walk(rank),
        }
    }

    /// Adds a member that is not there; whether a slot was made for it.
    pub fn add(&mut self, member: &[u8], score: f64) -> bool {
        let hash = self.members.hash(member);
        self.add_hashed(hash, member, score)
    }

    /// Gives a member the score that `next` makes of the one that it has, if any. `None`: nothing has changed.
    #[inline]
    pub fn update(
        &mut self,
        member: &[u8],
        next: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<ZSetChange> {
        let hash = self.members.hash(member);
        let Some(slot) = self.members.find(hash, member) else {
            let grew = self.add_hashed(hash, member, next(None)?);
            let member = StrBuf::from_slice(member);
            return Some(ZSetChange::Added { member, grew });
        };
        let old = self.members.score(slot);
        let score = next(Some(old)).filter(|score| *score != old)?;
        self.take_from_tree(slot);
        self.members.set_score(slot, score);
        self.put_in_tree(slot);
        Some(ZSetChange::Scored(StrBuf::from_slice(member), old))
    }

    /// Takes the adding of a member back, for which perhaps a slot was made.
    pub fn undo_add(&mut self, member: &[u8], grew: bool) {
        let removed = self.remove(member);
        debug_assert!(removed.is_some(), "it was added");
        if grew {
            self.members.drop_top();
        }
    }

    /// Removes a member; its score and its slot.
    pub fn remove(&mut self, member: &[u8]) -> Option<(f64, u32)> {
        let slot = self.members.find(self.members.hash(member), member)?;
        let score = self.members.score(slot);
        self.take_from_tree(slot);
        self.members.remove(slot);
        Some((score, slot))
    }

    /// Removes the member of a rank; also its slot.
    pub fn remove_at(&mut self, rank: usize) -> (StrBuf, f64, u32) {
        let Element { score, slot } = self.tree.remove_at(rank);
        let member = StrBuf::from_slice(self.members.member(slot));
        self.members.remove(slot);
        (member, score, slot)
    }

    /// Adds a member that was removed to its slot, which is free.
    pub fn put_back(&mut self, member: &[u8], score: f64, slot: u32) {
        self.members.put_back(slot, member, score);
        self.put_in_tree(slot);
    }

    /// Gives the highest slot up if most of them are free.
    pub fn shrink(&mut self) -> Option<Shrunk> {
        if !self.members.is_sparse() {
            return None;
        }
        let moved_to = self.members.give_top_up();
        if let Some(slot) = moved_to {
            let top = self.members.slots();
            self.renumber_in_tree(top, slot);
        }
        Some(Shrunk { moved_to })
    }

    /// Takes [`Large::shrink`] back.
    pub fn undo_shrink(&mut self, Shrunk { moved_to }: Shrunk) {
        let top = self.members.slots();
        self.members.take_top_back(moved_to);
        if let Some(slot) = moved_to {
            self.renumber_in_tree(slot, top);
        }
    }

    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8], f64)) -> u64 {
        self.members.scan(cursor, count, visit)
    }

    pub fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.tree.heap_bytes()
    }

    fn add_hashed(&mut self, hash: u64, member: &[u8], score: f64) -> bool {
        let (slot, grew) = self.members.add(hash, member, score);
        self.put_in_tree(slot);
        grew
    }

    #[inline]
    fn put_in_tree(&mut self, slot: u32) {
        let members = &self.members;
        let point = (members.score(slot), members.member(slot));
        let element = Element {
            score: point.0,
            slot,
        };
        self.tree
            .insert(element, |e| members.member(e.slot) < point.1);
    }

    fn take_from_tree(&mut self, slot: u32) {
        let members = &self.members;
        let point = (members.score(slot), members.member(slot));
        let removed = self
            .tree
            .remove(point.0, |e| members.member(e.slot) <= point.1);
        debug_assert_eq!(removed.slot, slot, "the tree has what the slots have");
    }

    /// Has the tree name the slot that a member has moved to.
    fn renumber_in_tree(&mut self, from: u32, to: u32) {
        let members = &self.members;
        let (score, member) = (members.score(to), members.member(to));
        let name = |slot: u32| members.member(if slot == from { to } else { slot });
        self.tree.set_slot(score, |e| name(e.slot) <= member, to);
    }
}

/// Members of a set in order, from a position in either direction.
pub struct Ranked<'a> {
    members: &'a Members,
    walk: Walk<'a>,
}

impl<'a> Ranked<'a> {
    pub fn next_back(&mut self) -> Option<(Item<'a>, f64)> {
        let element = self.walk.next_back()?;
        Some((
            Item::Bytes(self.members.member(element.slot)),
            element.score,
        ))
    }
}

impl<'a> Iterator for Ranked<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let element = self.walk.next()?;
        Some((
            Item::Bytes(self.members.member(element.slot)),
            element.score,
        ))
    }
}

#[cfg(test)]
impl Large {
    pub fn check(&self) {
        self.tree.check();
        assert_eq!(self.tree.len(), self.members.len());
        for element in self.tree.walk(0) {
            assert!(self.members.score(element.slot) == element.score);
        }
    }
}
