//! From the hash of an entry to its slot.
//!
//! Open addressing over buckets of four bytes that lie together, so that finding a key takes one line of the cache from
//! here, and one knows which before anything was read: it can be asked for ahead ([`Index::warm`]).
//!
//! Invariants: a bucket is empty, vacated, or holds a slot with the upper bits of its hash; from the bucket where a hash
//! belongs up to the one that holds its slot, none is empty; at most three quarters are not empty.

use crate::base::prefetch::prefetch;

/// A bucket: the upper eight bits of the hash, then the slot counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket(u32);

const SLOT_BITS: u32 = 24;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

impl Bucket {
    const EMPTY: Self = Self(0);
    /// It held a slot, and a search goes on behind it.
    const VACATED: Self = Self(SLOT_MASK);

    #[inline]
    fn new(hash: u32, slot: u32) -> Self {
        assert!(slot < SLOT_MASK - 1, "one of many tables holds fewer keys");
        Self(hash & !SLOT_MASK | (slot + 1))
    }

    /// The slot, if the bucket may be that of the hash.
    #[inline]
    fn slot(self, hash: u32) -> Option<u32> {
        let slot = (self.0 & SLOT_MASK).wrapping_sub(1);
        ((self.0 ^ hash) >> SLOT_BITS == 0 && slot < SLOT_MASK - 1).then_some(slot)
    }
}

const BUCKETS_MIN: usize = 4;
/// A larger index that is emptier than this part of its size is made smaller.
const SHRINK_BELOW_PART: usize = 12;
const SHRINK_BUCKETS_MIN: usize = 64;

#[derive(Debug, Default)]
pub struct Index {
    /// None, or a power of two.
    buckets: Box<[Bucket]>,
    len: usize,
    vacated: usize,
}

impl Index {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot of a hash of which `is` says yes.
    #[inline]
    pub fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (_, slot) = self.place(hash, is)?;
        Some(slot)
    }

    /// Adds a slot that is not there. `hash_of` tells the hashes of those that are.
    #[inline]
    pub fn insert(&mut self, hash: u32, slot: u32, hash_of: impl Fn(u32) -> u32) {
        let taken = self.len + self.vacated + 1;
        if taken * 4 > self.buckets.len() * 3 {
            self.rebuild(hash_of);
        }
        let mask = self.buckets.len() - 1;
        let mut at = hash as usize & mask;
        while self.buckets[at] != Bucket::EMPTY && self.buckets[at] != Bucket::VACATED {
            at = (at + 1) & mask;
        }
        self.vacated -= usize::from(self.buckets[at] == Bucket::VACATED);
        self.buckets[at] = Bucket::new(hash, slot);
        self.len += 1;
    }

    /// Removes the slot of a hash of which `is` says yes, and returns it.
    pub fn remove(&mut self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut at, slot) = self.place(hash, is)?;
        let mask = self.buckets.len() - 1;
        self.len -= 1;
        self.vacated += 1;
        self.buckets[at] = Bucket::VACATED;
        // What ends at an empty bucket anyway need not be searched through.
        if self.buckets[(at + 1) & mask] == Bucket::EMPTY {
            while self.buckets[at] == Bucket::VACATED {
                self.buckets[at] = Bucket::EMPTY;
                self.vacated -= 1;
                at = at.wrapping_sub(1) & mask;
            }
        }
        Some(slot)
    }

    /// Gives an entry that is there another slot.
    pub fn renumber(&mut self, hash: u32, from: u32, to: u32) {
        let Some((at, _)) = self.place(hash, |slot| slot == from) else {
            unreachable!("the index has every slot");
        };
        self.buckets[at] = Bucket::new(hash, to);
    }

    /// After a removal: gives memory back where most of it is unused.
    #[inline]
    pub fn shrink(&mut self, hash_of: impl Fn(u32) -> u32) {
        if self.buckets.len() > SHRINK_BUCKETS_MIN
            && self.len < self.buckets.len() / SHRINK_BELOW_PART
        {
            self.rebuild(hash_of);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Has the cache get what [`find`](Self::find) will look at.
    #[inline]
    pub fn warm(&self, hash: u32) {
        let mask = self.buckets.len().wrapping_sub(1);
        if let Some(bucket) = self.buckets.get(hash as usize & mask) {
            prefetch(bucket);
        }
    }

    /// The bucket of a slot of which `is` says yes, and the slot.
    #[inline]
    fn place(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let mask = self.buckets.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let bucket = self.buckets[at];
            if let Some(slot) = bucket.slot(hash)
                && is(slot)
            {
                return Some((at, slot));
            }
            if bucket == Bucket::EMPTY {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes the buckets new, twice as many as there are slots at least.
    #[cold]
    fn rebuild(&mut self, hash_of: impl Fn(u32) -> u32) {
        let count = ((self.len + 1) * 2).next_power_of_two().max(BUCKETS_MIN);
        let mask = count - 1;
        let mut buckets = vec![Bucket::EMPTY; count].into_boxed_slice();
        for old in &self.buckets {
            if *old == Bucket::EMPTY || *old == Bucket::VACATED {
                continue;
            }
            let mut at = hash_of((old.0 & SLOT_MASK) - 1) as usize & mask;
            while buckets[at] != Bucket::EMPTY {
                at = (at + 1) & mask;
            }
            buckets[at] = *old;
        }
        self.buckets = buckets;
        self.vacated = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    impl Index {
        /// Checks the invariants.
        fn check(&self, hashes: &HashMap<u32, u32>) {
            let count = |bucket| self.buckets.iter().filter(|b| **b == bucket).count();
            assert_eq!(self.vacated, count(Bucket::VACATED));
            assert_eq!(
                self.buckets.len(),
                self.len + self.vacated + count(Bucket::EMPTY)
            );
            assert!((self.len + self.vacated) * 4 <= self.buckets.len() * 3);
            assert_eq!(self.len, hashes.len());
            for (slot, hash) in hashes {
                assert_eq!(self.find(*hash, |s| s == *slot), Some(*slot));
            }
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_is_there(
            steps in prop::collection::vec((0..200_u32, 0..3_u8), 0..1200),
            spread in prop::sample::select(vec![0_u32, 1, 0x0100_0001, 0x9e37_79b9]),
        ) {
            let hash_of = |slot: u32| slot.wrapping_mul(spread);
            let (mut index, mut model) = (Index::default(), HashMap::new());
            for (slot, what) in steps {
                let hash = hash_of(slot);
                prop_assert_eq!(index.find(hash, |s| s == slot).is_some(), model.contains_key(&slot));
                if what == 0 || model.contains_key(&slot) {
                    let removed = index.remove(hash, |s| s == slot);
                    prop_assert_eq!(removed, model.remove(&slot).map(|_| slot));
                    index.shrink(hash_of);
                } else {
                    index.insert(hash, slot, hash_of);
                    model.insert(slot, hash);
                }
                index.warm(hash);
            }
            index.check(&model);
        }

        #[test]
        fn slots_can_be_renumbered(slots in 1..100_u32, spread in 0..3_u32) {
            let mut index = Index::default();
            let hash_of = |slot: u32| slot.wrapping_mul(spread);
            for slot in 0..slots {
                index.insert(hash_of(slot), slot, hash_of);
            }
            for slot in 0..slots {
                index.renumber(hash_of(slot), slot, slot + slots);
            }
            index.check(&(0..slots).map(|slot| (slot + slots, hash_of(slot))).collect());
        }
    }

    #[test]
    fn what_is_removed_leaves_no_memory() {
        let mut index = Index::default();
        for slot in 0..10_000 {
            index.insert(slot, slot, |slot| slot);
        }
        for slot in 0..10_000 {
            assert_eq!(index.remove(slot, |s| s == slot), Some(slot));
            index.shrink(|slot| slot);
        }
        assert!(index.heap_bytes() <= 4 * SHRINK_BUCKETS_MIN);
    }
}
