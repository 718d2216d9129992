//! Changes to sorted sets.
//!
//! ```text
//! element = the member    value = the score: f64le
//! ```

use super::super::stored::Stored;
use super::super::txn::Txn;
use super::super::undo::Undo;
use super::{Collection, Edit, variant};
use crate::value::{Limits, StrBuf, Value, ZSet};

pub use crate::value::ZSetChange;

impl Edit<'_, ZSet> {
    /// Adds a member, or changes its score. Tells whether anything is different now.
    pub fn set(&mut self, member: &[u8], score: f64) -> bool {
        self.update(member, |_| Some(score))
    }

    /// Gives a member the score that `next` makes of the one that it has, or of nothing where it is not there. Tells
    /// whether anything is different now.
    pub fn update(&mut self, member: &[u8], next: impl FnOnce(Option<f64>) -> Option<f64>) -> bool {
        let limits = self.limits();
        let mut score = 0.0;
        let change = self.value.update(member, &limits, |old| {
            let next = next(old)?;
            score = next;
            Some(next)
        });
        let Some(change) = change else {
            return false;
        };
        self.put_record(member, &score.to_le_bytes());
        self.changed(change);
        true
    }

    /// Removes a member. Tells whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(removed) = self.value.remove(member) else {
            return false;
        };
        self.delete_record(member);
        self.changed(ZSetChange::Removed(removed));
        self.shrink();
        true
    }

    /// Removes the member at a rank below the set's length, and returns it.
    pub fn take(&mut self, rank: usize) -> (StrBuf, f64) {
        let removed = self.value.remove_at(rank);
        let pair = (removed.member.clone(), removed.score);
        self.delete_record(&removed.member);
        self.changed(ZSetChange::Removed(removed));
        self.shrink();
        pair
    }

    fn shrink(&mut self) {
        for _ in 0..ZSet::SHRINKS_MAX {
            let Some(change) = self.value.shrink() else {
                return;
            };
            self.changed(change);
        }
    }
}

impl Txn<'_> {
    /// Has a sorted set stand in its large form from now on. It holds what it held: nothing is logged, and nobody who watches
    /// the key is told.
    pub fn enlarge_zset(&mut self, key: &[u8]) {
        let place = self.place(key);
        let Some(slot) = self.find_hashed(place.hash, key) else {
            return;
        };
        let (entry, buffers) = self.entry_and_buffers(place.db, slot);
        if let Value::ZSet(zset) = &mut entry.value
            && let Some(change) = zset.enlarge()
        {
            buffers.changes.push(change.into());
            buffers.undo.push(Undo::Reshaped { place });
        }
    }
}

impl Collection for ZSet {
    variant!(ZSet, ZSetChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: ZSetChange) {
        self.undo(change);
    }
}

impl Stored for ZSet {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_ZSET
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut text = itoa::Buffer::new();
        for (member, score) in self.range(0..self.len()) {
            put(member.bytes(&mut text), &score.to_le_bytes());
        }
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        let score = f64::from_le_bytes(value.try_into().ok()?);
        if score.is_nan() {
            return None;
        }
        self.set(element, score, limits);
        Some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        self.remove(element);
        for _ in 0..ZSet::SHRINKS_MAX {
            self.shrink();
        }
        Some(())
    }
}
