//! [`Dense`]: the table behind large hashes and sets. Its entries stand close together, and an index finds them by key.
//!
//! Invariants:
//! - Positions are `0..len`. A new entry comes last; a removal moves the last entry into the hole. So an entry that is
//!   there from the start of a scan to its end only ever moves down, towards what the scan (from the top down) has yet to
//!   visit.
//! - [`Dense::put_back`] undoes [`Dense::take`], and taking the last entry undoes [`Dense::push`], so that a transaction
//!   can restore the order exactly.
//! - Entries live in chunks of fixed size: growing copies none of them, and what is spare is a chunk at most.

use ahash::RandomState;
use hashbrown::HashTable;
use std::fmt;
use std::sync::LazyLock;

/// What a [`Dense`] holds.
pub trait Keyed {
    /// By what it is found; constant while it is in the table.
    fn key(&self) -> &[u8];

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize;
}

/// A key's hash, the same for every table of the process, so that an operation on several tables hashes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u32);

impl KeyHash {
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        /// Seeded once: who does not know the seed cannot make keys collide.
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        KeyHash(HASHER.hash_one(key) as u32)
    }

    /// The index takes buckets from the low bits and tags from the high ones: both must differ between keys.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

const CHUNK_LEN_BITS: u32 = 8;
/// Enough that the list of chunks stays in the cache, few enough that spare room does not matter.
const CHUNK_LEN: usize = 1 << CHUNK_LEN_BITS;
/// The room that the first chunk starts with.
const CHUNK_LEN_MIN: usize = 8;

/// The index gives memory back when it could hold so many times what it holds.
const INDEX_SPARE_MAX: usize = 8;
const INDEX_LEN_MIN: usize = 64;

/// A table of entries with distinct keys.
#[derive(Clone)]
pub struct Dense<E> {
    /// All but the last are full; a last one may be empty.
    chunks: Vec<Vec<E>>,
    /// By position: growing the index need not hash again, and a removal finds the entry that moves.
    hashes: Vec<KeyHash>,
    /// Positions by hash. Four billion entries would fill a quarter of a terabyte.
    index: HashTable<u32>,
}

impl<E> Default for Dense<E> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            hashes: Vec::new(),
            index: HashTable::new(),
        }
    }
}

impl<E: Keyed> Dense<E> {
    /// A table with room for `len` entries.
    pub fn with_capacity(len: usize) -> Self {
        Self {
            chunks: Vec::with_capacity(len.div_ceil(CHUNK_LEN)),
            hashes: Vec::with_capacity(len),
            index: HashTable::with_capacity(len),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The entry at a position below `len`.
    #[inline]
    pub fn at(&self, position: usize) -> &E {
        &self.chunks[position >> CHUNK_LEN_BITS][position % CHUNK_LEN]
    }

    /// The hash of the key at a position below `len`.
    #[inline]
    pub fn hash_at(&self, position: usize) -> KeyHash {
        self.hashes[position]
    }

    /// The entry at a position below `len`, to change all of it but its key.
    #[inline]
    pub fn at_mut(&mut self, position: usize) -> &mut E {
        &mut self.chunks[position >> CHUNK_LEN_BITS][position % CHUNK_LEN]
    }

    pub fn get(&self, key: &[u8]) -> Option<&E> {
        self.find(KeyHash::of(key), key).map(|at| self.at(at))
    }

    /// The position of a key, whose hash is `hash`.
    #[inline]
    pub fn find(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        let is_key = |at: &u32| self.at(*at as usize).key() == key;
        self.index
            .find(hash.spread(), is_key)
            .map(|at| *at as usize)
    }

    /// Adds an entry, whose key is not there and has the hash `hash`, behind all others.
    pub fn push(&mut self, hash: KeyHash, entry: E) {
        debug_assert!(
            self.find(hash, entry.key()).is_none(),
            "a key is stored once"
        );
        let position = self.len();
        self.insert_index(hash, position);
        if self.hashes.len() == self.hashes.capacity() {
            // A quarter more, not double: positions are many and their spare room would be, too.
            self.hashes.reserve_exact((position / 4).max(16));
        }
        self.hashes.push(hash);
        self.push_entry(entry);
    }

    /// Removes the entry at a position below `len`; the last one takes its place.
    pub fn take(&mut self, position: usize) -> E {
        self.remove_index(position);
        let last = self.len() - 1;
        let moved = self.pop_entry();
        let taken = if position == last {
            moved
        } else {
            *self.index_slot(last) = position as u32;
            std::mem::replace(self.at_mut(position), moved)
        };
        self.hashes.swap_remove(position);
        self.shrink();
        taken
    }

    /// Puts an entry back to the position, at most `len`, that it was taken from; what stands there goes to the end.
    pub fn put_back(&mut self, position: usize, entry: E) {
        let hash = KeyHash::of(entry.key());
        let last = self.len();
        if position == last {
            self.push(hash, entry);
            return;
        }
        *self.index_slot(position) = last as u32;
        self.hashes.push(self.hashes[position]);
        self.hashes[position] = hash;
        self.insert_index(hash, position);
        let moved = std::mem::replace(self.at_mut(position), entry);
        self.push_entry(moved);
    }

    /// Visits up to `count` entries from the cursor on and returns the next cursor; 0 is the start and the end. An entry
    /// that is there all the time is visited at least once, whatever happens to the others between the calls.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&E)) -> u64 {
        let top = match usize::try_from(cursor) {
            Ok(1..) => self.len().min(cursor as usize),
            _ => self.len(),
        };
        let bottom = top.saturating_sub(count);
        (bottom..top).rev().for_each(|at| visit(self.at(at)));
        bottom as u64
    }

    /// The entries by position.
    #[inline]
    pub fn iter(&self) -> Iter<'_, E> {
        Iter {
            rest: self.len(),
            chunk: [].iter(),
            chunks: self.chunks.iter(),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Vec::capacity).sum();
        let entries: usize = self.iter().map(Keyed::heap_bytes).sum();
        chunks * size_of::<E>()
            + self.chunks.capacity() * size_of::<Vec<E>>()
            + self.hashes.capacity() * size_of::<KeyHash>()
            + self.index.allocation_size()
            + entries
    }

    fn push_entry(&mut self, entry: E) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_LEN => {
                if chunk.len() == chunk.capacity() {
                    // Only the first chunk starts small.
                    let room = CHUNK_LEN - chunk.len();
                    chunk.reserve_exact(chunk.len().max(CHUNK_LEN_MIN).min(room));
                }
                chunk.push(entry);
            }
            last => {
                let is_first = last.is_none();
                let mut chunk =
                    Vec::with_capacity(if is_first { CHUNK_LEN_MIN } else { CHUNK_LEN });
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
    }

    fn pop_entry(&mut self) -> E {
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        match self.chunks.last_mut().and_then(Vec::pop) {
            Some(entry) => entry,
            None => unreachable!("the caller named a position below the length"),
        }
    }

    fn insert_index(&mut self, hash: KeyHash, position: usize) {
        let Ok(position) = u32::try_from(position) else {
            panic!("a table holds four billion entries at most");
        };
        let hashes = &self.hashes;
        self.index
            .insert_unique(hash.spread(), position, |at| hashes[*at as usize].spread());
    }

    fn remove_index(&mut self, position: usize) {
        let hash = self.hashes[position].spread();
        match self.index.find_entry(hash, |at| *at as usize == position) {
            Ok(found) => drop(found.remove()),
            Err(_) => unreachable!("every position is in the index"),
        }
    }

    fn index_slot(&mut self, position: usize) -> &mut u32 {
        let hash = self.hashes[position].spread();
        match self.index.find_mut(hash, |at| *at as usize == position) {
            Some(slot) => slot,
            None => unreachable!("every position is in the index"),
        }
    }

    fn shrink(&mut self) {
        let len = self.len();
        if self.index.capacity() > INDEX_LEN_MIN.max(len * INDEX_SPARE_MAX) {
            let hashes = &self.hashes;
            self.index
                .shrink_to(len * 2, |at| hashes[*at as usize].spread());
            self.hashes.shrink_to(len * 2);
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }
}

/// The entries by position.
#[derive(Debug)]
pub struct Iter<'a, E> {
    rest: usize,
    chunk: std::slice::Iter<'a, E>,
    chunks: std::slice::Iter<'a, Vec<E>>,
}

impl<E> Clone for Iter<'_, E> {
    fn clone(&self) -> Self {
        Self {
            rest: self.rest,
            chunk: self.chunk.clone(),
            chunks: self.chunks.clone(),
        }
    }
}

impl<'a, E> Iterator for Iter<'a, E> {
    type Item = &'a E;

    #[inline]
    fn next(&mut self) -> Option<&'a E> {
        loop {
            if let Some(entry) = self.chunk.next() {
                self.rest -= 1;
                return Some(entry);
            }
            self.chunk = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest, Some(self.rest))
    }
}

impl<E> ExactSizeIterator for Iter<'_, E> {}

impl<'a, E: Keyed> IntoIterator for &'a Dense<E> {
    type Item = &'a E;
    type IntoIter = Iter<'a, E>;

    fn into_iter(self) -> Iter<'a, E> {
        self.iter()
    }
}

impl<E: Keyed + PartialEq> PartialEq for Dense<E> {
    /// By content: the order does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|e| other.get(e.key()) == Some(e))
    }
}

impl<E: Keyed + Eq> Eq for Dense<E> {}

impl<E: Keyed + fmt::Debug> fmt::Debug for Dense<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Numbered(Member, u32);

    impl Keyed for Numbered {
        fn key(&self) -> &[u8] {
            self.0.bytes()
        }

        fn heap_bytes(&self) -> usize {
            self.0.heap_bytes()
        }
    }

    fn numbered(key: u16, number: u32) -> (KeyHash, Numbered) {
        let key = key.to_string();
        let hash = KeyHash::of(key.as_bytes());
        (hash, Numbered(Member::new(key.as_bytes()), number))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16, u32),
        Remove(u16),
        /// Removes one, puts it back, and looks that nothing has moved.
        Undo(usize),
        Scan(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = |keys: u16| {
            prop_oneof![
                4 => (0..keys, any::<u32>()).prop_map(|(key, number)| Step::Put(key, number)),
                3 => (0..keys).prop_map(Step::Remove),
                1 => any::<usize>().prop_map(Step::Undo),
                1 => (1..20_usize).prop_map(Step::Scan),
            ]
        };
        prop_oneof![
            prop::collection::vec(step(20), 0..300),
            prop::collection::vec(step(1000), 0..3000),
        ]
    }

    fn snapshot(table: &Dense<Numbered>) -> Vec<Numbered> {
        table.iter().cloned().collect()
    }

    fn remove(table: &mut Dense<Numbered>, key: &[u8]) -> Option<Numbered> {
        table
            .find(KeyHash::of(key), key)
            .map(|position| table.take(position))
    }

    fn undo_and_redo(table: &mut Dense<Numbered>, at: usize) {
        if table.is_empty() {
            return;
        }
        let before = snapshot(table);
        let position = at % table.len();
        let taken = table.take(position);
        assert_eq!(taken, before[position]);
        table.put_back(position, taken);
        assert_eq!(snapshot(table), before);
    }

    proptest! {
        #[test]
        fn it_is_a_map_whose_scans_miss_nothing(steps in steps()) {
            let mut table = Dense::<Numbered>::default();
            let mut model = HashMap::new();
            let (mut cursor, mut seen, mut stayed) = (0, BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Put(key, number) => {
                        let (hash, entry) = numbered(key, number);
                        match table.find(hash, entry.key()) {
                            Some(at) => table.at_mut(at).1 = number,
                            None => table.push(hash, entry),
                        }
                        model.insert(key, number);
                    }
                    Step::Remove(key) => {
                        let removed = remove(&mut table, key.to_string().as_bytes());
                        prop_assert_eq!(removed.map(|e| e.1), model.remove(&key));
                        stayed.remove(key.to_string().as_bytes());
                    }
                    Step::Undo(at) => undo_and_redo(&mut table, at),
                    Step::Scan(count) => {
                        if cursor == 0 {
                            seen = BTreeSet::new();
                            stayed = table.iter().map(|e| e.key().to_vec()).collect();
                        }
                        let mut visited = 0;
                        cursor = table.scan(cursor, count, |entry| {
                            seen.insert(entry.key().to_vec());
                            visited += 1;
                        });
                        prop_assert!(visited <= count);
                        prop_assert!(cursor != 0 || stayed.is_subset(&seen));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for (key, number) in &model {
                let entry = table.get(key.to_string().as_bytes());
                prop_assert_eq!(entry.map(|e| e.1), Some(*number));
            }
            prop_assert_eq!(table.iter().len(), table.iter().count());
            prop_assert_eq!(table.clone(), table);
        }
    }

    #[test]
    fn equal_tables_may_differ_in_order() {
        let fill = |keys: &[u16]| {
            let mut table = Dense::default();
            for key in keys {
                let (hash, entry) = numbered(*key, 0);
                table.push(hash, entry);
            }
            table
        };
        assert_eq!(fill(&[1, 2, 3]), fill(&[3, 1, 2]));
        assert_ne!(fill(&[1, 2, 3]), fill(&[1, 2]));
        assert_ne!(fill(&[1, 2, 3]), fill(&[1, 2, 4]));
    }

    #[test]
    fn memory_is_below_that_of_redis_and_is_given_back() {
        /// redis-server's dict: an entry of 24 bytes, the string with its header, a bucket of 8 bytes at most half used.
        const REDIS_BYTES: usize = 24 + 24 + 8;
        const LEN: usize = 200_000;
        let mut table = Dense::default();
        for n in 0..LEN {
            let key = format!("{n:016}");
            table.push(KeyHash::of(key.as_bytes()), Member::new(key.as_bytes()));
            if n >= 1000 && n % 997 == 0 {
                let each = table.heap_bytes() / table.len();
                assert!(each <= REDIS_BYTES - 8, "{each} bytes for each of {n}");
            }
        }
        let full = table.heap_bytes();
        while table.len() > 100 {
            table.take(table.len() / 2);
        }
        assert!(table.heap_bytes() < full / 100, "{}", table.heap_bytes());
        while !table.is_empty() {
            table.take(0);
        }
        assert!(table.heap_bytes() < 20_000, "{}", table.heap_bytes());
    }
}
