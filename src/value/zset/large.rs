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

    /// Adds a member that is not there.
    pub fn add(&mut self, member: &[u8], score: f64) {
        let hash = self.members.hash(member);
        self.add_hashed(hash, member, score);
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
            self.add_hashed(hash, member, next(None)?);
            return Some(ZSetChange::Added(StrBuf::from_slice(member)));
        };
        let old = self.members.score(slot);
        let score = next(Some(old)).filter(|score| *score != old)?;
        self.take_from_tree(slot);
        self.members.set_score(slot, score);
        self.put_in_tree(slot);
        Some(ZSetChange::Scored(StrBuf::from_slice(member), old))
    }

    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let slot = self.members.find(self.members.hash(member), member)?;
        let score = self.members.score(slot);
        self.take_from_tree(slot);
        self.members.remove(slot);
        self.give_slots_up();
        Some(score)
    }

    pub fn remove_at(&mut self, rank: usize) -> (StrBuf, f64) {
        let Element { score, slot } = self.tree.remove_at(rank);
        let member = StrBuf::from_slice(self.members.member(slot));
        self.members.remove(slot);
        self.give_slots_up();
        (member, score)
    }

    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8], f64)) -> u64 {
        self.members.scan(cursor, count, visit)
    }

    pub fn heap_bytes(&self) -> usize {
        self.members.heap_bytes() + self.tree.heap_bytes()
    }

    fn add_hashed(&mut self, hash: u64, member: &[u8], score: f64) {
        let slot = self.members.add(hash, member, score);
        self.put_in_tree(slot);
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

    /// After a removal: makes the slots fewer where most of them are free.
    fn give_slots_up(&mut self) {
        /// So many at a time, that no removal takes long.
        const STEPS: usize = 4;
        for _ in 0..STEPS {
            if !self.members.is_sparse() {
                return;
            }
            let Some(top) = self.members.top() else {
                self.members.drop_top();
                continue;
            };
            let members = &self.members;
            let at = (members.score(top), members.member(top).to_vec());
            let to = self.members.lower_top();
            let members = &self.members;
            // The tree's element still names the slot that is gone.
            let name = |slot: u32| members.member(if slot == top { to } else { slot });
            self.tree
                .set_slot(at.0, |e| name(e.slot) <= at.1.as_slice(), to);
        }
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
