//! `HyperLogLog`: an estimate of how many different elements were added, in 12 KB at most.
//!
//! One is a string with Redis's layout, so that `GET`, `SET`, `DUMP` and copies between servers work on it:
//!
//! ```text
//! string    = "HYLL" encoding:u8 0 0 0 cardinality:u64le registers
//! encoding  = 0 (dense) | 1 (sparse)
//! dense     = 16,384 registers of 6 bits, the lowest bits first
//! sparse    = runs of equal registers, see [`sparse`]
//! ```
//!
//! The highest bit of the cardinality says that it is out of date. An element's hash chooses a register with its lowest
//! 14 bits; the register keeps the highest rank that it saw, which is the place of the first 1 in the other 50 bits.
//!
//! Invariant: what is written here is, byte for byte, what Redis writes after the same changes, whatever the bytes were
//! before, as long as Redis takes them for a `HyperLogLog`.

mod dense;
mod estimate;
mod sparse;

use crate::base::murmur::murmur64;
use smallvec::SmallVec;

const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
const RANK_BITS: u32 = 64 - INDEX_BITS;
const SEED: u64 = 0xadc8_3b19;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const CARDINALITY_AT: usize = 8;
const STALE_AT: usize = CARDINALITY_AT + 7;
const STALE_BIT: u8 = 0x80;
const HEADER_LEN: usize = 16;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_LEN: usize = HEADER_LEN + dense::LEN;

/// Why bytes cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HllError {
    /// They do not begin as a `HyperLogLog` does.
    NotOne,
    /// They begin as one, and their runs do not add up.
    Corrupt,
}

/// The bytes of a string that begins as a `HyperLogLog` does.
#[derive(Clone, Copy, Debug)]
pub struct Hll<'a> {
    bytes: &'a [u8],
}

/// What has to become of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Whole(Vec<u8>),
    /// These bytes at these offsets.
    Pieces(SmallVec<[(usize, Piece); 2]>),
}

pub type Piece = SmallVec<[u8; 16]>;

impl<'a> Hll<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, HllError> {
        let is_one = bytes.len() >= HEADER_LEN
            && bytes.starts_with(MAGIC)
            && match bytes[ENCODING_AT] {
                DENSE => bytes.len() == DENSE_LEN,
                SPARSE => true,
                _ => false,
            };
        if is_one {
            Ok(Self { bytes })
        } else {
            Err(HllError::NotOne)
        }
    }

    pub fn is_dense(self) -> bool {
        self.bytes[ENCODING_AT] == DENSE
    }

    fn registers(self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// What adding elements makes of it; the sparse form is given up when it would be longer than `sparse_len_max`.
    pub fn add<'e>(
        self,
        elements: impl Iterator<Item = &'e [u8]>,
        sparse_len_max: usize,
    ) -> Result<Change, HllError> {
        let mut places = elements.map(Place::of);
        if self.is_dense() {
            return Ok(self.add_dense(places));
        }
        let registers = self.registers();
        let first = loop {
            let Some(place) = places.next() else {
                return Ok(Change::Nothing);
            };
            let spot = sparse::find(registers, sparse::Start::default(), place.index)?;
            if spot.rank() < place.rank {
                break (place, spot);
            }
        };
        let mut draft = Draft::new(self.bytes, sparse_len_max);
        draft.raise_at(first.0, first.1)?;
        for place in places {
            draft.raise(place, sparse::Start::default())?;
        }
        Ok(Change::Whole(draft.finish()))
    }

    fn add_dense(self, places: impl Iterator<Item = Place>) -> Change {
        let registers = self.registers();
        let mut raised: SmallVec<[Place; 8]> = places
            .filter(|place| dense::get(registers, place.index) < place.rank)
            .collect();
        if raised.is_empty() {
            return Change::Nothing;
        }
        raised.sort_unstable();
        let mut pieces = dense::pieces(registers, &raised);
        for (offset, _) in &mut pieces {
            *offset += HEADER_LEN;
        }
        let stale = self.bytes[STALE_AT] | STALE_BIT;
        if stale != self.bytes[STALE_AT] {
            pieces.push((STALE_AT, Piece::from_slice(&[stale])));
        }
        Change::Pieces(pieces)
    }

    /// The cardinality that was written down, if it is up to date.
    pub fn cached(self) -> Option<i64> {
        let (cached, _) = self.bytes[CARDINALITY_AT..].split_first_chunk()?;
        let cached = i64::from_le_bytes(*cached);
        // The stale bit is the sign.
        (cached >= 0).then_some(cached)
    }

    /// The cardinality.
    pub fn count(self) -> Result<i64, HllError> {
        let mut histogram = estimate::Histogram::default();
        if self.is_dense() {
            dense::unpack(self.registers(), |_, rank| histogram.add(rank, 1));
        } else {
            sparse::histogram(self.registers(), &mut histogram)?;
        }
        Ok(histogram.cardinality())
    }

    /// The bytes that write a cardinality down, and where.
    pub fn cache(cardinality: i64) -> (usize, [u8; 8]) {
        (CARDINALITY_AT, cardinality.to_le_bytes())
    }

    /// The form with a register after the other, if it is not that already.
    pub fn to_dense(self) -> Result<Change, HllError> {
        if self.is_dense() {
            return Ok(Change::Nothing);
        }
        let mut draft = Draft::new(self.bytes, 0);
        draft.promote()?;
        Ok(Change::Whole(draft.bytes))
    }

    /// The sparse form in words.
    pub fn runs_as_text(self) -> String {
        sparse::describe(self.registers())
    }
}

/// A `HyperLogLog` without elements, its cardinality not written down.
pub fn empty() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(HEADER_LEN, 0);
    bytes[ENCODING_AT] = SPARSE;
    bytes[STALE_AT] = STALE_BIT;
    bytes.extend_from_slice(&sparse::EMPTY);
    bytes
}

/// Several of them as one: the highest rank of each register.
#[derive(Debug)]
pub struct Union {
    ranks: Vec<u8>,
    any_dense: bool,
}

impl Default for Union {
    fn default() -> Self {
        Self {
            ranks: vec![0; REGISTERS],
            any_dense: false,
        }
    }
}

impl Union {
    pub fn merge(&mut self, hll: Hll<'_>) -> Result<(), HllError> {
        let ranks = &mut self.ranks;
        if hll.is_dense() {
            self.any_dense = true;
            dense::unpack(hll.registers(), |index, rank| {
                ranks[index] = ranks[index].max(rank);
            });
            return Ok(());
        }
        sparse::for_each_run(hll.registers(), |range, rank| {
            for kept in &mut ranks[range] {
                *kept = (*kept).max(rank);
            }
        })
    }

    pub fn count(&self) -> i64 {
        let mut histogram = estimate::Histogram::default();
        for rank in &self.ranks {
            histogram.add(*rank, 1);
        }
        histogram.cardinality()
    }

    /// The bytes of `target`, which is part of the union, after everything else was merged into it.
    pub fn into_target(self, target: Hll<'_>, sparse_len_max: usize) -> Result<Vec<u8>, HllError> {
        let mut draft = Draft::new(target.bytes, sparse_len_max);
        if self.any_dense {
            draft.promote()?;
        }
        let mut start = sparse::Start::default();
        for (index, rank) in self.ranks.into_iter().enumerate() {
            if rank > 0 {
                start = draft.raise(Place { index, rank }, start)?;
            }
        }
        Ok(draft.finish())
    }

    /// The rank of each register.
    pub fn ranks(&self) -> &[u8] {
        &self.ranks
    }
}

/// The register of an element, and the rank that it has to have at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    index: usize,
    rank: u8,
}

impl Place {
    fn of(element: &[u8]) -> Self {
        let hash = murmur64(element, SEED);
        // A 1 after all of them bounds the rank.
        let bits = hash >> INDEX_BITS | 1 << RANK_BITS;
        Self {
            index: hash as usize & (REGISTERS - 1),
            rank: bits.trailing_zeros() as u8 + 1,
        }
    }
}

/// The bytes of a `HyperLogLog` while they are changed.
struct Draft {
    bytes: Vec<u8>,
    sparse_len_max: usize,
}

impl Draft {
    fn new(bytes: &[u8], sparse_len_max: usize) -> Self {
        let mut copy = Vec::with_capacity(bytes.len() + sparse::GROWTH_MAX);
        copy.extend_from_slice(bytes);
        Self {
            bytes: copy,
            sparse_len_max,
        }
    }

    /// Raises a register that has a lower rank. The sparse form is searched from `start` on; tells from where a higher
    /// register may be searched.
    fn raise(&mut self, place: Place, start: sparse::Start) -> Result<sparse::Start, HllError> {
        if self.bytes[ENCODING_AT] == SPARSE {
            let spot = sparse::find(&self.bytes[HEADER_LEN..], start, place.index)?;
            if spot.rank() < place.rank {
                self.raise_at(place, spot)?;
            }
            return Ok(spot.resume());
        }
        let registers = &mut self.bytes[HEADER_LEN..];
        if dense::get(registers, place.index) < place.rank {
            dense::set(registers, place.index, place.rank);
        }
        Ok(start)
    }

    /// Raises a register of the sparse form.
    fn raise_at(&mut self, place: Place, spot: sparse::Spot) -> Result<(), HllError> {
        if place.rank <= sparse::RANK_MAX {
            let change = sparse::Change::new(spot, place.index, place.rank);
            if change.growth() <= 0
                || self.bytes.len() + change.growth() as usize <= self.sparse_len_max
            {
                change.apply(&mut self.bytes, HEADER_LEN);
                return Ok(());
            }
        }
        self.promote()?;
        dense::set(&mut self.bytes[HEADER_LEN..], place.index, place.rank);
        Ok(())
    }

    fn promote(&mut self) -> Result<(), HllError> {
        if self.bytes[ENCODING_AT] == DENSE {
            return Ok(());
        }
        let mut promoted = vec![0; DENSE_LEN];
        let (header, registers) = promoted.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&self.bytes[..HEADER_LEN]);
        header[ENCODING_AT] = DENSE;
        sparse::for_each_run(&self.bytes[HEADER_LEN..], |range, rank| {
            for index in range {
                dense::set(registers, index, rank);
            }
        })?;
        self.bytes = promoted;
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes[STALE_AT] |= STALE_BIT;
        self.bytes
    }
}

#[cfg(test)]
mod tests;
