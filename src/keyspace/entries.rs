//! The entries of one table: dense blocks, and an index by hash.
//!
//! An entry stands in a *slot*; slots are numbered from 0 without gaps, and a removal moves the last entry into the hole. So
//! the index needs four bytes a bucket, and a table that has just grown wastes a few hundred bytes instead of half of its
//! entries' size. A block, once full, never moves.

use super::index::Index;
use super::table::Key;
use crate::base::prefetch::prefetch;
use crate::value::{Str, Value};

/// A full block fills a size of the allocator nearly to the end.
const BLOCK: usize = 28;

/// A key with its value.
#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    pub value: Value,
    /// Unix time in milliseconds at which the key is gone; 0: never.
    pub expire_ms: i64,
    /// Unix time in seconds of the last access.
    pub accessed_s: u32,
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

    /// The slot of a key that is there. It holds until the next removal.
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
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => {
                if block.len() == block.capacity() {
                    block.reserve_exact((BLOCK - block.len()).min(block.len()));
                }
                block.push(entry);
            }
            last => {
                // The first block grows with its table, for databases of a few keys.
                let mut block = Vec::with_capacity(if last.is_none() { 1 } else { BLOCK });
                block.push(entry);
                self.blocks.push(block);
            }
        }
        let blocks = &self.blocks;
        self.index
            .insert(hash.0, slot as u32, |slot| at(blocks, slot).hash.0);
        slot
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

    /// Takes the entry of a slot that the index does not know any more; the last entry moves there.
    fn take(&mut self, slot: u32) -> Entry {
        let last = self.index.len() as u32;
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
            expire_ms: 0,
            accessed_s: 0,
            hash: hash(name, hashes),
        }
    }

    /// Few hashes make many keys meet in one.
    fn hash(name: u16, hashes: u32) -> TableHash {
        TableHash((u32::from(name) % hashes).wrapping_mul(0x9e37_79b9))
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0..300_u16, 0..4_u8), 0..900),
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
            }
            let odd = |value: &Value| matches!(value, Value::Str(Str::Int(n)) if n % 2 == 1);
            entries.retain(|entry| odd(&entry.value));
            model.retain(|_, value| odd(value));
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
