//! Members with their scores, each under a number that stays while the member does.
//!
//! A scan goes over the numbers from the top down. A member that is there all the time is met: its number stays, or, when
//! much was removed and numbers are given up, becomes a lower one.

use crate::base::small_bytes::SmallBytes;
use ahash::RandomState;
use hashbrown::HashTable;

/// Where at most half of so many slots are in use, slots are given up.
const SPARSE_SLOTS_MIN: usize = 64;

/// A member and its score; NaN in a slot that is free.
#[derive(Clone, Debug)]
struct Slot {
    member: SmallBytes,
    score: f64,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.score.is_nan()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Members {
    slots: Vec<Slot>,
    /// Free slots, and numbers that were given up: all that are not below the number of slots.
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Bytes of members that are longer than a slot holds.
    spilled_bytes: usize,
}

impl Members {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub fn hash(&self, member: &[u8]) -> u64 {
        self.hasher.hash_one(member)
    }

    #[inline]
    pub fn find(&self, hash: u64, member: &[u8]) -> Option<u32> {
        let is_it = |slot: &u32| self.member(*slot) == member;
        self.index.find(hash, is_it).copied()
    }

    #[inline]
    pub fn member(&self, slot: u32) -> &[u8] {
        &self.slots[slot as usize].member
    }

    #[inline]
    pub fn score(&self, slot: u32) -> f64 {
        self.slots[slot as usize].score
    }

    pub fn set_score(&mut self, slot: u32, score: f64) {
        self.slots[slot as usize].score = score;
    }

    /// Adds a member that is not there.
    pub fn add(&mut self, hash: u64, member: &[u8], score: f64) -> u32 {
        debug_assert!(!score.is_nan(), "a score is a number");
        let member = SmallBytes::from_slice(member);
        self.spilled_bytes += member.heap_bytes();
        let slot = self.put(Slot { member, score });
        if self.index.len() == self.index.capacity() {
            self.rebuild_index(self.index.len() * 2);
        } else {
            let rehash = |_: &u32| unreachable!("there is room");
            self.index.insert_unique(hash, slot, rehash);
        }
        slot
    }

    /// Removes a member that is there; returns its slot.
    pub fn remove(&mut self, slot: u32) {
        let hash = self.hash(self.member(slot));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let vacated = Slot {
            member: SmallBytes::default(),
            score: f64::NAN,
        };
        let removed = std::mem::replace(&mut self.slots[slot as usize], vacated);
        self.spilled_bytes -= removed.member.heap_bytes();
        self.free.push(slot);
    }

    /// Whether so few slots are in use that the highest should be given up.
    pub fn is_sparse(&self) -> bool {
        self.slots.len() >= SPARSE_SLOTS_MIN && self.slots.len() / 2 > self.len()
    }

    /// The highest slot, if a member is in it.
    pub fn top(&self) -> Option<u32> {
        let top = self.slots.last().filter(|slot| !slot.is_free());
        top.map(|_| self.slots.len() as u32 - 1)
    }

    /// Moves the member of the highest slot to a lower one that is free; there is one. Returns the lower.
    pub fn lower_top(&mut self) -> u32 {
        let Some(top) = self.slots.pop() else {
            unreachable!("the caller saw it");
        };
        let (from, hash) = (self.slots.len() as u32, self.hash(&top.member));
        let to = self.put(top);
        debug_assert!(to < from, "half of the slots are free");
        if let Some(indexed) = self.index.find_mut(hash, |slot| *slot == from) {
            *indexed = to;
        }
        to
    }

    /// Gives the highest slot up, which is free, and memory that is far too much.
    pub fn drop_top(&mut self) {
        let top = self.slots.pop();
        debug_assert!(top.is_none_or(|slot| slot.is_free()), "the caller saw it");
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
            let slots = self.slots.len();
            self.free.retain(|slot| (*slot as usize) < slots);
            self.free.shrink_to_fit();
            self.rebuild_index(self.len() * 2);
        }
    }

    /// Tells of the members in some slots below `cursor` (all for 0), highest first: of about `count`, having looked at no
    /// more than ten times as many slots. Returns where to go on, 0 for the end.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        const SLOTS_PER_MEMBER_MAX: usize = 10;
        let start = match usize::try_from(cursor) {
            Ok(cursor @ 1..) => cursor.min(self.slots.len()),
            _ => self.slots.len(),
        };
        let end = start.saturating_sub(count.saturating_mul(SLOTS_PER_MEMBER_MAX));
        let (mut at, mut left) = (start, count);
        while at > end && left > 0 {
            at -= 1;
            let slot = &self.slots[at];
            if !slot.is_free() {
                visit(&slot.member, slot.score);
                left -= 1;
            }
        }
        at as u64
    }

    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.spilled_bytes
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
    }

    fn put(&mut self, entry: Slot) -> u32 {
        while let Some(slot) = self.free.pop() {
            if let Some(place) = self.slots.get_mut(slot as usize) {
                *place = entry;
                return slot;
            }
        }
        let slot = self.slots.len();
        assert!(slot < u32::MAX as usize, "a sorted set has fewer members");
        if slot == self.slots.capacity() {
            // Less than doubling: the slots are most of a set's memory.
            self.slots.reserve_exact((slot / 4).max(16));
        }
        self.slots.push(entry);
        slot as u32
    }

    /// Makes an index with room for so many members. They are hashed in the order of their slots, which the cache likes better
    /// than the order of the old index.
    fn rebuild_index(&mut self, capacity: usize) {
        let mut index = HashTable::with_capacity(capacity.max(SPARSE_SLOTS_MIN));
        for (slot, entry) in (0..).zip(&self.slots) {
            if !entry.is_free() {
                let rehash = |_: &u32| unreachable!("there is room");
                index.insert_unique(self.hash(&entry.member), slot, rehash);
            }
        }
        self.index = index;
    }
}
