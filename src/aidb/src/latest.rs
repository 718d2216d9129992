//! What a run of records says last of each key.
//!
//! A walk over a journal asks this index once for every record, and mostly finds the memory that it needs not in the
//! cache. So it is made to need little of it: a bucket is eight bytes with a part of the hash, the keys lie close together
//! in chunks that never move, and those who have many keys to note note them together, so that the waits overlap.
//!
//! Invariants: at most three quarters of the buckets are taken; a bucket is zero or leads to an entry; each key has one
//! entry.

use std::hint::black_box;

use ahash::RandomState;

/// Entries of keys lie in chunks of this size; a longer one gets a chunk of its own.
const CHUNK_BYTES: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 20;
/// An entry: what was said last (u64), the length of the key (u32), the key.
const ENTRY_HEAD_BYTES: usize = 12;
const BUCKETS_MIN: usize = 64;
/// The upper bits of a bucket are those of the hash; the others say where the entry is, counted from one.
const PLACE_BITS: u32 = 48;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// What a key's buckets take, those included that are free.
const KEY_OVERHEAD_BYTES: usize = 16;
/// Keys whose waits for memory overlap.
const TOGETHER: usize = 32;

/// What a record says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn put(ordinal: u64) -> Mark {
        Mark(ordinal << 1)
    }

    pub(crate) fn delete(ordinal: u64) -> Mark {
        Mark(ordinal << 1 | 1)
    }

    /// The ordinal of the put; nothing if the key was deleted.
    pub(crate) fn as_put(self) -> Option<u64> {
        (self.0 & 1 == 0).then_some(self.0 >> 1)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Latest {
    buckets: Vec<u64>,
    chunks: Vec<Vec<u8>>,
    len: usize,
    entry_bytes: usize,
    hasher: RandomState,
    waiting: Waiting,
}

/// Keys that are to be noted, with their hashes and what is said of them.
#[derive(Debug, Default)]
struct Waiting {
    keys: Vec<u8>,
    notes: Vec<Note>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    hash: u64,
    mark: Mark,
    /// Where in `keys` the key ends.
    end: usize,
}

impl Latest {
    /// The number of keys. New ones whose notes wait are counted later.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// About what the keys that are counted take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.entry_bytes + self.len * KEY_OVERHEAD_BYTES
    }

    /// Notes what a record says of a key, now or before anybody is answered. Notes are taken in their order.
    pub(crate) fn note(&mut self, key: &[u8], mark: Mark) {
        let hash = self.hasher.hash_one(key);
        self.waiting.keys.extend_from_slice(key);
        let end = self.waiting.keys.len();
        self.waiting.notes.push(Note { hash, mark, end });
        if self.waiting.notes.len() == TOGETHER || end >= CHUNK_BYTES {
            self.settle();
        }
    }

    /// Takes the notes that wait.
    pub(crate) fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.warm(&waiting.notes);
        let mut start = 0;
        for note in &waiting.notes {
            self.take(&waiting.keys[start..note.end], *note);
            start = note.end;
        }
        waiting.notes.clear();
        waiting.keys.clear();
        waiting.keys.shrink_to(CHUNK_BYTES);
        self.waiting = waiting;
    }

    /// What was said last of a key. No notes wait.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Mark> {
        debug_assert!(self.waiting.notes.is_empty(), "settle first");
        if self.buckets.is_empty() {
            return None;
        }
        let found = self.find(self.hasher.hash_one(key), key).ok()?;
        Some(self.entry(found).1)
    }

    /// Forgets the other keys.
    pub(crate) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.settle();
        let kept = Latest {
            hasher: self.hasher.clone(),
            ..Latest::default()
        };
        let all = std::mem::replace(self, kept);
        for (key, mark) in all.iter().filter(|(key, _)| keep(key)) {
            self.note(key, mark);
        }
        self.settle();
    }

    /// All keys with what was said last of them. No notes wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Mark)> {
        debug_assert!(self.waiting.notes.is_empty(), "settle first");
        self.chunks.iter().flat_map(|chunk| Entries(chunk))
    }

    /// Reads what the notes will need, without waiting for one before the next is asked for.
    fn warm(&self, notes: &[Note]) {
        if self.buckets.is_empty() {
            return;
        }
        let mask = self.buckets.len() - 1;
        let mut seen = 0;
        for note in notes {
            let bucket = self.buckets[note.hash as usize & mask];
            if bucket != 0 && bucket >> PLACE_BITS == note.hash >> PLACE_BITS {
                let (chunk, at) = place(bucket);
                seen ^= self.chunks[chunk][at];
            }
        }
        black_box(seen);
    }

    fn take(&mut self, key: &[u8], note: Note) {
        if (self.len + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
        match self.find(note.hash, key) {
            Ok(bucket) => {
                let (chunk, at) = place(bucket);
                self.chunks[chunk][at..at + 8].copy_from_slice(&note.mark.0.to_le_bytes());
            }
            Err(free) => {
                let place = self.push_entry(key, note.mark);
                self.buckets[free] = note.hash & !PLACE_MASK | place;
                self.len += 1;
            }
        }
    }

    /// The bucket of a key that is there, or the number of the free one where it belongs.
    fn find(&self, hash: u64, key: &[u8]) -> Result<u64, usize> {
        let mask = self.buckets.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let bucket = self.buckets[at];
            if bucket == 0 {
                return Err(at);
            }
            if bucket >> PLACE_BITS == hash >> PLACE_BITS && self.entry(bucket).0 == key {
                return Ok(bucket);
            }
            at = (at + 1) & mask;
        }
    }

    fn entry(&self, bucket: u64) -> (&[u8], Mark) {
        let (chunk, at) = place(bucket);
        let entry = Entries(&self.chunks[chunk][at..]).next();
        entry.expect("a bucket leads to an entry")
    }

    /// Adds an entry; returns its place as buckets have it.
    fn push_entry(&mut self, key: &[u8], mark: Mark) -> u64 {
        let bytes = ENTRY_HEAD_BYTES + key.len();
        let has_room = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= bytes;
        if !self.chunks.last().is_some_and(has_room) {
            self.chunks.push(Vec::with_capacity(bytes.max(CHUNK_BYTES)));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let place = ((number as u64) << OFFSET_BITS | chunk.len() as u64) + 1;
        assert!(place <= PLACE_MASK, "no memory is that large");
        chunk.extend_from_slice(&mark.0.to_le_bytes());
        chunk.extend_from_slice(&(key.len() as u32).to_le_bytes());
        chunk.extend_from_slice(key);
        self.entry_bytes += bytes;
        place
    }

    #[cold]
    fn grow(&mut self) {
        let mask = (self.buckets.len() * 2).max(BUCKETS_MIN) - 1;
        // The old ones go first: they are no longer needed, and the two together are the most that is ever held.
        self.buckets = Vec::new();
        let mut buckets = vec![0; mask + 1];
        for (number, chunk) in self.chunks.iter().enumerate() {
            let mut offset = 0;
            for (key, _) in Entries(chunk) {
                let hash = self.hasher.hash_one(key);
                let place = ((number as u64) << OFFSET_BITS | offset) + 1;
                let mut at = hash as usize & mask;
                while buckets[at] != 0 {
                    at = (at + 1) & mask;
                }
                buckets[at] = hash & !PLACE_MASK | place;
                offset += (ENTRY_HEAD_BYTES + key.len()) as u64;
            }
        }
        self.buckets = buckets;
    }
}

/// The chunk and the offset to which a bucket leads.
fn place(bucket: u64) -> (usize, usize) {
    let place = (bucket & PLACE_MASK) - 1;
    let offset = place as usize & (CHUNK_BYTES - 1);
    ((place >> OFFSET_BITS) as usize, offset)
}

/// The entries at the start of some bytes.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Mark);

    fn next(&mut self) -> Option<Self::Item> {
        let (mark, rest) = self.0.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        Some((key, Mark(u64::from_le_bytes(*mark))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_knows_what_a_map_knows() {
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..60 {
            let (mut latest, mut model) = (Latest::default(), HashMap::new());
            let keys = 1 << (round % 12);
            for ordinal in 0..random.u64(..6_000) {
                let name = random.u32(..keys);
                let key = match round % 3 {
                    0 => name.to_le_bytes().to_vec(),
                    1 => format!("a key named {name}").into_bytes(),
                    // Some of them fill chunks, some have their own.
                    _ => vec![name as u8; (name as usize % 9).pow(7) / 3],
                };
                let mark = if random.u8(..4) == 0 {
                    Mark::delete(ordinal)
                } else {
                    Mark::put(ordinal)
                };
                latest.note(&key, mark);
                model.insert(key, mark);
                if round % 3 == 2 && ordinal > 200 {
                    break;
                }
            }
            latest.settle();
            assert_eq!(latest.len(), model.len());
            for (key, mark) in &model {
                assert_eq!(latest.get(key), Some(*mark));
                assert_eq!(latest.get(&[key, &b"!"[..]].concat()), None);
            }
            let all: HashMap<Vec<u8>, Mark> =
                latest.iter().map(|(k, mark)| (k.to_vec(), mark)).collect();
            assert_eq!(all, model);
            let kept = |key: &[u8]| key.first().is_some_and(|first| first % 2 == 1);
            latest.retain(kept);
            model.retain(|key, _| kept(key));
            assert_eq!(latest.len(), model.len());
            for (key, mark) in &model {
                assert_eq!(latest.get(key), Some(*mark));
            }
        }
    }

    #[test]
    fn an_empty_one_knows_nothing() {
        let latest = Latest::default();
        assert_eq!((latest.get(b"key"), latest.iter().count()), (None, 0));
    }

    #[test]
    fn a_mark_says_what_it_was_made_of() {
        assert_eq!(Mark::put(7).as_put(), Some(7));
        assert_eq!(Mark::delete(7).as_put(), None);
    }
}
