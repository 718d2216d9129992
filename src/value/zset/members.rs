//! Members with their scores, each under a number that stays while the member does.
//!
//! A scan goes over the numbers from the top down. A member that is there all the time is met: its number stays, or, when
//! much was removed and numbers are given up, becomes a lower one. Each change can be taken back so that all members have
//! the numbers that they had, because a member is there all the time too where its removal was taken back.

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
    fn free() -> Self {
        Self {
            member: SmallBytes::default(),
            score: f64::NAN,
        }
    }

    fn is_free(&self) -> bool {
        self.score.is_nan()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Members {
    slots: Vec<Slot>,
    /// Every free slot, and perhaps slots that are in use or were given up.
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

    /// How many slots there are, free ones too.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
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

    /// Adds a member that is not there; returns its slot, and whether that was made for it.
    pub fn add(&mut self, hash: u64, member: &[u8], score: f64) -> (u32, bool) {
        let entry = self.entry(member, score);
        let slots = self.slots.len();
        let slot = self.put(entry);
        self.insert_in_index(hash, slot);
        (slot, self.slots.len() > slots)
    }

    /// Adds a member that is not there in the free slot that it had.
    pub fn put_back(&mut self, slot: u32, member: &[u8], score: f64) {
        let entry = self.entry(member, score);
        debug_assert!(self.slots[slot as usize].is_free(), "what came was removed");
        self.slots[slot as usize] = entry;
        if self.free.last() == Some(&slot) {
            self.free.pop();
        }
        self.insert_in_index(self.hash(member), slot);
    }

    /// Removes the member in a slot.
    pub fn remove(&mut self, slot: u32) {
        let hash = self.hash(self.member(slot));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let removed = std::mem::replace(&mut self.slots[slot as usize], Slot::free());
        self.spilled_bytes -= removed.member.heap_bytes();
        self.note_free(slot);
    }

    /// Whether so few slots are in use that the highest should be given up.
    pub fn is_sparse(&self) -> bool {
        self.slots.len() >= SPARSE_SLOTS_MIN && self.slots.len() / 2 > self.len()
    }

    /// Gives the highest slot up, of slots of which most are free. The member in it, if any, moves to a lower slot, which is
    /// returned. Gives memory up too that is far too much.
    pub fn give_top_up(&mut self) -> Option<u32> {
        let Some(top) = self.slots.pop() else {
            unreachable!("most of the slots are free");
        };
        if !top.is_free() {
            let (from, hash) = (self.slots.len() as u32, self.hash(&top.member));
            let to = self.put(top);
            debug_assert!(to < from, "most of the slots are free");
            self.renumber(hash, from, to);
            return Some(to);
        }
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
            self.find_free();
            self.free.shrink_to_fit();
            self.rebuild_index(self.len() * 2);
        }
        None
    }

    /// Makes the highest slot again that was given up, and gives the member back to it that moved to a lower one.
    pub fn take_top_back(&mut self, lower: Option<u32>) {
        let top = self.slots.len() as u32;
        let Some(lower) = lower else {
            self.slots.push(Slot::free());
            self.note_free(top);
            return;
        };
        let entry = std::mem::replace(&mut self.slots[lower as usize], Slot::free());
        self.renumber(self.hash(&entry.member), lower, top);
        self.slots.push(entry);
        self.note_free(lower);
    }

    /// Removes the highest slot, which is free.
    pub fn drop_top(&mut self) {
        let top = self.slots.pop();
        debug_assert!(top.is_none_or(|slot| slot.is_free()), "the caller knows");
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
            if let Some(place) = self.slots.get_mut(slot as usize)
                && place.is_free()
            {
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

    /// What stands in a member's slot.
    fn entry(&mut self, member: &[u8], score: f64) -> Slot {
        debug_assert!(!score.is_nan(), "a score is a number");
        let member = SmallBytes::from_slice(member);
        self.spilled_bytes += member.heap_bytes();
        Slot { member, score }
    }

    fn note_free(&mut self, slot: u32) {
        if self.free.len() >= 2 * self.slots.len() {
            self.find_free();
        }
        self.free.push(slot);
    }

    /// Makes the list of free slots again, without any that is not or stands in it twice.
    fn find_free(&mut self) {
        let slots = (0..).zip(&self.slots);
        let free = slots.filter(|(_, slot)| slot.is_free());
        self.free.clear();
        self.free.extend(free.map(|(at, _)| at));
    }

    fn insert_in_index(&mut self, hash: u64, slot: u32) {
        if self.index.len() == self.index.capacity() {
            self.rebuild_index(self.index.len() * 2);
        } else {
            let rehash = |_: &u32| unreachable!("there is room");
            self.index.insert_unique(hash, slot, rehash);
        }
    }

    /// Has the index find a member in another slot.
    fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(indexed) = self.index.find_mut(hash, |slot| *slot == from) {
            *indexed = to;
        }
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
