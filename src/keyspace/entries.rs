//! The entries of one table: dense blocks, and an index by hash.
//!
//! An entry stands in a *slot*; slots are numbered from 0 without gaps, and a removal moves the last entry into the hole. So
//! the index needs four bytes a bucket, and a table that has just grown wastes a few hundred bytes instead of half of its
//! entries' size. A block, once full, never moves.
//!
//! Entries that have an expiry take the first slots. So expiry and eviction find them without looking at the others, at the
//! price of a swap where an entry gets or loses its expiry in a table that has both kinds.

use super::access::Access;
use super::index::Index;
use super::table::Key;
use crate::base::prefetch::prefetch;
use crate::value::{Str, Value};

/// A full block fills a size of the allocator nearly to the end, and so does each quarter, by which it grows.
const BLOCK: usize = 28;
const QUARTER: usize = BLOCK / 4;

/// A key with its value.
#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    pub value: Value,
    /// Unix time in milliseconds at which the key is gone; 0: never. Once the entry is in, [`Entries::set_expire`] alone
    /// changes it.
    pub expire_ms: i64,
    pub access: Access,
    /// The part of the fingerprint by which its table finds it.
    pub hash: TableHash,
}

const _: () =
    assert!(size_of::<Entry>() * BLOCK <= 2048 && size_of::<Entry>() * (BLOCK + 1) > 2048);

/// The low half of a fingerprint: what tells the entries of one stripe apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableHash(u32);

impl TableHash {
    #[inline]
    pub fn of(fingerprint: u64) -> Self {
        Self(fingerprint as u32)
    }

    pub fn number(self) -> u32 {
        self.0
    }
}

impl Entry {
    #[inline]
    pub fn expired(&self, now_ms: i64) -> bool {
        self.expire_ms != 0 && self.expire_ms <= now_ms
    }

    /// Whether nothing of the entry can be seen any more, be it there or not.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.expired(now_ms) || self.value.is_over(now_ms)
    }

    #[inline]
    fn is(&self, hash: TableHash, key: &[u8]) -> bool {
        self.hash == hash && self.key.as_slice() == key
    }
}

/// Entries with different keys.
#[derive(Debug, Default)]
pub struct Entries {
    index: Index,
    blocks: Vec<Vec<Entry>>,
    /// The entries with an expiry: those in the slots below this.
    volatile: u32,
}

impl Entries {
    #[inline]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// How many have an expiry. They are in the slots below this number.
    #[inline]
    pub fn volatile(&self) -> usize {
        self.volatile as usize
    }

    /// The slot of a key that is there. It holds until the next removal or change of an expiry.
    #[inline]
    pub fn slot_of(&self, hash: TableHash, key: &[u8]) -> Option<usize> {
        let found = self
            .index
            .find(hash.0, |slot| self.at(slot).is(hash, key))?;
        Some(found as usize)
    }

    #[inline]
    pub fn get(&self, slot: usize) -> Option<&Entry> {
        self.blocks.get(slot / BLOCK)?.get(slot % BLOCK)
    }

    #[inline]
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.blocks.get_mut(slot / BLOCK)?.get_mut(slot % BLOCK)
    }

    #[inline]
    pub fn find_mut(&mut self, hash: TableHash, key: &[u8]) -> Option<&mut Entry> {
        self.get_mut(self.slot_of(hash, key)?)
    }

    /// Adds an entry whose key is not there; returns its slot.
    #[inline]
    pub fn insert(&mut self, entry: Entry) -> usize {
        debug_assert!(
            self.slot_of(entry.hash, &entry.key).is_none(),
            "a key is stored once"
        );
        let slot = self.len();
        let hash = entry.hash;
        let is_volatile = entry.expire_ms != 0;
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => {
                if block.len() == block.capacity() {
                    let to_quarter = QUARTER - block.len() % QUARTER;
                    block.reserve_exact(to_quarter.min(block.len()));
                }
                block.push(entry);
            }
            last => {
                // The first block grows with its table, for databases of a few keys.
                let mut block = Vec::with_capacity(if last.is_none() { 1 } else { QUARTER });
                block.push(entry);
                self.blocks.push(block);
            }
        }
        let blocks = &self.blocks;
        self.index
            .insert(hash.0, slot as u32, |slot| at(blocks, slot).hash.0);
        if is_volatile {
            self.make_volatile(slot)
        } else {
            slot
        }
    }

    /// Changes the expiry of the entry in a slot; returns the one it had, and the slot that the entry is in now.
    pub fn set_expire(&mut self, slot: usize, expire_ms: i64) -> (i64, usize) {
        let Some(entry) = self.get_mut(slot) else {
            unreachable!("the caller found the slot under the same mutex");
        };
        let old = std::mem::replace(&mut entry.expire_ms, expire_ms);
        let slot = match (old != 0, expire_ms != 0) {
            (false, true) => self.make_volatile(slot),
            (true, false) => {
                self.volatile -= 1;
                let first = self.volatile();
                self.swap(slot, first);
                first
            }
            _ => slot,
        };
        (old, slot)
    }

    pub fn remove(&mut self, hash: TableHash, key: &[u8]) -> Option<Entry> {
        let blocks = &self.blocks;
        let slot = self
            .index
            .remove(hash.0, |slot| at(blocks, slot).is(hash, key))?;
        Some(self.take(slot))
    }

    /// Has the cache get what a search for a hash looks at first.
    #[inline]
    pub fn warm_index(&self, hash: TableHash) {
        self.index.warm(hash.0);
    }

    /// Has the cache get the entry of a hash. The index is best warm already.
    #[inline]
    pub fn warm_entry(&self, hash: TableHash) {
        if let Some(slot) = self.index.find(hash.0, |_| true)
            && let Some(entry) = self.get(slot as usize)
        {
            // An entry lies in two lines, most of the time.
            prefetch(&entry.key);
            prefetch(&entry.hash);
        }
    }

    /// Has the cache get what lies behind the entry of a hash. The entry is best warm already.
    #[inline]
    pub fn warm_content(&self, hash: TableHash) {
        if let Some(slot) = self.index.find(hash.0, |slot| self.at(slot).hash == hash)
            && let Some(entry) = self.get(slot as usize)
        {
            if entry.key.heap_bytes() > 0 {
                prefetch(entry.key.as_slice());
            }
            if let Value::Str(Str::Bytes(bytes) | Str::Raw(bytes)) = &entry.value
                && bytes.spilled()
            {
                prefetch(bytes.as_slice());
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.blocks.iter_mut().flatten()
    }

    /// Removes the entries that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        for slot in (0..self.len() as u32).rev() {
            if !keep(self.at(slot)) {
                self.unlink(slot);
                self.take(slot);
            }
        }
    }

    /// Bytes of the blocks and the index.
    pub fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Entry>();
        let heads = self.blocks.capacity() * size_of::<Vec<Entry>>();
        self.index.heap_bytes() + blocks + heads
    }

    #[inline]
    fn at(&self, slot: u32) -> &Entry {
        at(&self.blocks, slot)
    }

    /// Takes the entry of a slot that the index does not know any more. The last entry moves there, by way of the last slot
    /// of those with an expiry if it had one.
    fn take(&mut self, mut slot: u32) -> Entry {
        let last = self.index.len() as u32;
        if slot < self.volatile {
            self.volatile -= 1;
            let border = self.volatile;
            if slot != border {
                let hash = self.at(border).hash;
                self.index.renumber(hash.0, border, slot);
                self.swap_places(slot as usize, border as usize);
                slot = border;
            }
        }
        let Some(moved) = self.blocks.last_mut().and_then(Vec::pop) else {
            unreachable!("the slot was in use");
        };
        if self.blocks.last().is_some_and(Vec::is_empty) {
            self.blocks.pop();
        }
        let taken = if slot == last {
            moved
        } else {
            self.index.renumber(moved.hash.0, last, slot);
            let place = &mut self.blocks[slot as usize / BLOCK][slot as usize % BLOCK];
            std::mem::replace(place, moved)
        };
        let blocks = &self.blocks;
        self.index.shrink(|slot| at(blocks, slot).hash.0);
        taken
    }

    /// Puts an entry that has just got an expiry among those that have one; returns its slot.
    fn make_volatile(&mut self, slot: usize) -> usize {
        let border = self.volatile();
        self.volatile += 1;
        self.swap(slot, border);
        border
    }

    /// Lets two entries change places.
    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (hash_a, hash_b) = (self.at(a as u32).hash, self.at(b as u32).hash);
        // Both may have one hash, so at no time have they one slot.
        let spare = self.len() as u32;
        self.index.renumber(hash_a.0, a as u32, spare);
        self.index.renumber(hash_b.0, b as u32, a as u32);
        self.index.renumber(hash_a.0, spare, b as u32);
        self.swap_places(a, b);
    }

    fn swap_places(&mut self, a: usize, b: usize) {
        let (low, high) = (a.min(b), a.max(b));
        let (low_block, high_block) = (low / BLOCK, high / BLOCK);
        if low_block == high_block {
            self.blocks[low_block].swap(low % BLOCK, high % BLOCK);
            return;
        }
        let (before, after) = self.blocks.split_at_mut(high_block);
        std::mem::swap(
            &mut before[low_block][low % BLOCK],
            &mut after[0][high % BLOCK],
        );
    }

    fn unlink(&mut self, slot: u32) {
        let hash = self.at(slot).hash;
        let removed = self.index.remove(hash.0, |other| other == slot);
        debug_assert!(removed.is_some(), "the index has every slot");
    }
}

#[inline]
fn at(blocks: &[Vec<Entry>], slot: u32) -> &Entry {
    &blocks[slot as usize / BLOCK][slot as usize % BLOCK]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Str;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn entry(name: u16, number: i64, hashes: u32) -> Entry {
        Entry {
            key: Key::from_slice(&name.to_le_bytes()),
            value: Value::Str(Str::Int(number)),
            expire_ms: number % 3,
            access: Access::new(0),
            hash: hash(name, hashes),
        }
    }

    fn volatile_come_first(entries: &Entries) -> bool {
        let mut all = entries.iter();
        let first = all.by_ref().take(entries.volatile());
        first.filter(|e| e.expire_ms != 0).count() == entries.volatile()
            && all.all(|e| e.expire_ms == 0)
    }

    /// Few hashes make many keys meet in one.
    fn hash(name: u16, hashes: u32) -> TableHash {
        TableHash((u32::from(name) % hashes).wrapping_mul(0x9e37_79b9))
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0..300_u16, 0..6_u8), 0..900),
            hashes in 1..400_u32,
        ) {
            let (mut entries, mut model) = (Entries::default(), HashMap::new());
            for (number, (name, what)) in (0_i64..).zip(steps) {
                let (key, hash) = (name.to_le_bytes(), hash(name, hashes));
                let present = entries.slot_of(hash, &key).and_then(|slot| entries.get(slot)).map(|e| e.value.clone());
                prop_assert_eq!(present, model.get(&name).cloned());
                if what == 0 || (what == 1 && model.contains_key(&name)) {
                    let removed = entries.remove(hash, &key).map(|entry| entry.value);
                    prop_assert_eq!(removed, model.remove(&name));
                } else if let (Some(slot), 4..) = (entries.slot_of(hash, &key), what) {
                    let expire_ms = i64::from(what) - 4;
                    let old = entries.get(slot).expect("a slot in use").expire_ms;
                    let (had, slot) = entries.set_expire(slot, expire_ms);
                    prop_assert_eq!(had, old);
                    prop_assert_eq!(entries.slot_of(hash, &key), Some(slot));
                    prop_assert_eq!(entries.get(slot).map(|e| e.expire_ms), Some(expire_ms));
                } else if let Some(slot) = entries.slot_of(hash, &key) {
                    let value = Value::Str(Str::Int(number));
                    entries.get_mut(slot).expect("a slot in use").value = value.clone();
                    model.insert(name, value);
                } else {
                    let slot = entries.insert(entry(name, number, hashes));
                    prop_assert_eq!(entries.slot_of(hash, &key), Some(slot));
                    model.insert(name, Value::Str(Str::Int(number)));
                }
                prop_assert_eq!(entries.len(), model.len());
                prop_assert!(volatile_come_first(&entries));
            }
            let odd = |value: &Value| matches!(value, Value::Str(Str::Int(n)) if n % 2 == 1);
            entries.retain(|entry| odd(&entry.value));
            model.retain(|_, value| odd(value));
            prop_assert!(volatile_come_first(&entries));
            let mut left: Vec<_> = entries.iter().map(|e| e.key.to_vec()).collect();
            let mut wanted: Vec<_> = model.keys().map(|name| name.to_le_bytes().to_vec()).collect();
            left.sort();
            wanted.sort();
            prop_assert_eq!(left, wanted);
            for name in model.keys() {
                prop_assert!(entries.slot_of(hash(*name, hashes), &name.to_le_bytes()).is_some());
            }
        }
    }
}
