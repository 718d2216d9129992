//! [`Index`]: positions by hash.
//!
//! It is a row of hash tables, each of a bounded size, that grows by linear hashing: every so many entries one table is
//! split in two, in turn. So no insertion moves more than some thousand entries, however large the whole is, and the room
//! that is spare stays near its mean instead of going from little to half.

use super::KeyHash;
use hashbrown::HashTable;

/// Entries for each table, on average. The tables that are to be split next have up to twice as many: with a little for
/// chance, what 16,384 buckets hold.
const TABLE_LEN: usize = 7_000;
/// Tables are put together again once they have so few entries on average.
const TABLE_LEN_MIN: usize = TABLE_LEN / 4;
/// A table gives memory back when it could hold so many times what it holds.
const SPARE_MAX: usize = 8;
const ROOM_MIN: usize = 64;

#[derive(Clone)]
pub struct Index {
    /// Each but the first was split off the one whose number is its own without the highest bit.
    tables: Vec<HashTable<u32>>,
    len: usize,
}

impl Index {
    /// An index that does not grow before it has `len` entries, or a table's fill of them.
    pub fn with_capacity(len: usize) -> Self {
        Self {
            tables: vec![HashTable::with_capacity(len.min(TABLE_LEN))],
            len: 0,
        }
    }

    /// The position among those with this hash for which `is_it` says yes.
    #[inline]
    pub fn find(&self, hash: KeyHash, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        let table = &self.tables[self.table_of(hash)];
        let found = table.find(hash.spread(), |position| is_it(*position as usize));
        found.map(|position| *position as usize)
    }

    /// Adds a position; `hash_at` tells the hash of every one that is there.
    pub fn insert(
        &mut self,
        hash: KeyHash,
        position: usize,
        hash_at: impl Fn(usize) -> KeyHash + Copy,
    ) {
        let Ok(position) = u32::try_from(position) else {
            panic!("a table holds four billion entries at most");
        };
        if self.len >= self.tables.len() * TABLE_LEN {
            self.split(hash_at);
        }
        let at = self.table_of(hash);
        let rehash = |position: &u32| hash_at(*position as usize).spread();
        self.tables[at].insert_unique(hash.spread(), position, rehash);
        self.len += 1;
    }

    /// Replaces a position that is there.
    pub fn replace(&mut self, hash: KeyHash, old: usize, new: usize) {
        let at = self.table_of(hash);
        let found = self.tables[at].find_mut(hash.spread(), |position| *position as usize == old);
        match found {
            Some(position) => *position = new as u32,
            None => unreachable!("every position is in the index"),
        }
    }

    /// Removes a position that is there; `hash_at` tells the hash of every other one.
    pub fn remove(
        &mut self,
        hash: KeyHash,
        position: usize,
        hash_at: impl Fn(usize) -> KeyHash + Copy,
    ) {
        let at = self.table_of(hash);
        let table = &mut self.tables[at];
        match table.find_entry(hash.spread(), |found| *found as usize == position) {
            Ok(found) => drop(found.remove()),
            Err(_) => unreachable!("every position is in the index"),
        }
        self.len -= 1;
        if table.capacity() > ROOM_MIN.max(table.len() * SPARE_MAX) {
            let rehash = |position: &u32| hash_at(*position as usize).spread();
            table.shrink_to(table.len() * 2, rehash);
        }
        if self.tables.len() > 1 && self.len < self.tables.len() * TABLE_LEN_MIN {
            self.merge(hash_at);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(HashTable::allocation_size).sum();
        tables + self.tables.capacity() * size_of::<HashTable<u32>>()
    }

    /// The table of a hash: its number's bits are the lowest of the hash's, as many as there are tables for.
    #[inline]
    fn table_of(&self, hash: KeyHash) -> usize {
        let tables = self.tables.len();
        if tables == 1 {
            return 0;
        }
        // Bits that neither the buckets nor the tags of a table are taken from.
        let number = (hash.spread() >> 32) as usize & 0xff_ffff;
        let wide = number & (tables.next_power_of_two() - 1);
        if wide < tables {
            return wide;
        }
        // The table that has yet to be split off.
        number & (tables.next_power_of_two() / 2 - 1)
    }

    /// Adds a table, to which some entries of the one that it is split off from go.
    #[cold]
    fn split(&mut self, hash_at: impl Fn(usize) -> KeyHash + Copy) {
        let new = self.tables.len();
        let from = new - (new + 1).next_power_of_two() / 2;
        let positions = std::mem::take(&mut self.tables[from]);
        let room = positions.len() / 2;
        self.tables[from] = HashTable::with_capacity(room);
        self.tables.push(HashTable::with_capacity(room));
        for position in positions {
            self.put(position, hash_at);
        }
    }

    /// Removes the last table; its entries go back to the one that it was split off from.
    #[cold]
    fn merge(&mut self, hash_at: impl Fn(usize) -> KeyHash + Copy) {
        for position in self.tables.pop().into_iter().flatten() {
            self.put(position, hash_at);
        }
    }

    fn put(&mut self, position: u32, hash_at: impl Fn(usize) -> KeyHash) {
        let hash = hash_at(position as usize);
        let at = self.table_of(hash);
        let rehash = |position: &u32| hash_at(*position as usize).spread();
        self.tables[at].insert_unique(hash.spread(), position, rehash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Up to so many entries that there are tables of both generations, and down again.
    #[test]
    fn positions_are_found_while_tables_are_split_and_merged() {
        const LEN: usize = 11 * TABLE_LEN;
        let hash_at = |position: usize| KeyHash::of(&position.to_le_bytes());
        let mut index = Index::with_capacity(0);
        let check = |index: &Index, len: usize| {
            for position in (0..LEN).step_by(97) {
                let found = index.find(hash_at(position), |found| found == position);
                assert_eq!(found, Some(position).filter(|p| *p < len), "of {len}");
            }
        };
        let mut counts = HashSet::new();
        for position in 0..LEN {
            index.insert(hash_at(position), position, hash_at);
            if counts.insert(index.tables.len()) {
                check(&index, position + 1);
            }
        }
        check(&index, LEN);
        assert_eq!(counts.len(), 11);
        let longest = index.tables.iter().map(HashTable::len).max();
        assert!(longest < Some(5 * TABLE_LEN / 2), "{longest:?}");
        assert!(index.heap_bytes() < 12 * LEN, "{}", index.heap_bytes());
        for position in (0..LEN).rev() {
            index.remove(hash_at(position), position, hash_at);
            if counts.remove(&index.tables.len()) {
                check(&index, position);
            }
        }
        assert_eq!((index.len, index.tables.len()), (0, 1));
        assert!(index.heap_bytes() < 4_000, "{}", index.heap_bytes());
    }
}
