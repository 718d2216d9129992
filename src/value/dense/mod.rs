//! [`Dense`]: the table behind large hashes and sets. Its entries stand close together, and an index finds them by key.
//!
//! Invariants:
//! - Positions are `0..len`. A new entry comes last; a removal moves the last entry into the hole. So an entry that is
//!   there from the start of a scan to its end only ever moves down, towards what the scan (from the top down) has yet to
//!   visit.
//! - [`Dense::put_back`] undoes [`Dense::take`], and taking the last entry undoes [`Dense::push`], so that a transaction
//!   can restore the order exactly.
//! - No change takes long because the table is large: entries stand in chunks that do not move, and the index grows
//!   piece by piece.

mod chunks;
mod index;
#[cfg(test)]
mod tests;

use ahash::RandomState;
use chunks::Chunks;
use index::Index;
use std::fmt;
use std::sync::LazyLock;

pub use chunks::Iter;

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

    /// More bits, of which the low as well as the high ones differ between keys.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Enough that the list of chunks stays in the cache, few enough that spare room does not matter.
const CHUNK_LEN: usize = 256;
const HASHES_LEN: usize = 512;

/// A table of entries with distinct keys.
#[derive(Clone)]
pub struct Dense<E> {
    entries: Chunks<E, CHUNK_LEN>,
    /// By position: moving an entry of the index need not hash again.
    hashes: Chunks<KeyHash, HASHES_LEN>,
    index: Index,
}

impl<E: Keyed> Dense<E> {
    /// An empty table whose index has room for `len` entries.
    pub fn with_capacity(len: usize) -> Self {
        Self {
            index: Index::with_capacity(len),
            ..Self::default()
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a position below `len`.
    #[inline]
    pub fn at(&self, position: usize) -> &E {
        self.entries.at(position)
    }

    /// The hash of the key at a position below `len`.
    #[inline]
    pub fn hash_at(&self, position: usize) -> KeyHash {
        *self.hashes.at(position)
    }

    /// The entry at a position below `len`, to change all of it but its key.
    #[inline]
    pub fn at_mut(&mut self, position: usize) -> &mut E {
        self.entries.at_mut(position)
    }

    pub fn get(&self, key: &[u8]) -> Option<&E> {
        self.find(KeyHash::of(key), key).map(|at| self.at(at))
    }

    /// The position of a key, whose hash is `hash`.
    #[inline]
    pub fn find(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        self.index.find(hash, |at| self.at(at).key() == key)
    }

    /// Adds an entry, whose key is not there and has the hash `hash`, behind all others.
    pub fn push(&mut self, hash: KeyHash, entry: E) {
        debug_assert!(
            self.find(hash, entry.key()).is_none(),
            "a key is stored once"
        );
        let hashes = &self.hashes;
        self.index.insert(hash, hashes.len(), |at| *hashes.at(at));
        self.hashes.push(hash);
        self.entries.push(entry);
    }

    /// Removes the entry at a position below `len`; the last one takes its place.
    pub fn take(&mut self, position: usize) -> E {
        let hashes = &self.hashes;
        let hash = self.hash_at(position);
        self.index.remove(hash, position, |at| *hashes.at(at));
        let (Some(last), Some(last_hash)) = (self.entries.pop(), self.hashes.pop()) else {
            unreachable!("there is an entry at the position");
        };
        if position == self.len() {
            return last;
        }
        self.index.replace(last_hash, self.len(), position);
        *self.hashes.at_mut(position) = last_hash;
        std::mem::replace(self.at_mut(position), last)
    }

    /// Puts an entry back to the position, at most `len`, that it was taken from; what stands there goes to the end.
    pub fn put_back(&mut self, position: usize, entry: E) {
        let hash = KeyHash::of(entry.key());
        let last = self.len();
        if position == last {
            self.push(hash, entry);
            return;
        }
        let moved_hash = self.hash_at(position);
        self.index.replace(moved_hash, position, last);
        self.hashes.push(moved_hash);
        *self.hashes.at_mut(position) = hash;
        let hashes = &self.hashes;
        self.index.insert(hash, position, |at| *hashes.at(at));
        let moved = std::mem::replace(self.at_mut(position), entry);
        self.entries.push(moved);
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
        self.entries.iter()
    }

    pub fn heap_bytes(&self) -> usize {
        let entries: usize = self.iter().map(Keyed::heap_bytes).sum();
        entries + self.entries.heap_bytes() + self.hashes.heap_bytes() + self.index.heap_bytes()
    }
}

impl<E> Default for Dense<E> {
    fn default() -> Self {
        Self {
            entries: Chunks::default(),
            hashes: Chunks::default(),
            index: Index::with_capacity(0),
        }
    }
}

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
