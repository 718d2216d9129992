//! The set of locks that a piece of work needs.

use std::cmp::Reverse;

use smallvec::SmallVec;

/// Hash of (db, key), computed by the keyspace. Two keys with one fingerprint share a lock.
pub type Fingerprint = u64;

/// How a lock is held. `Exclusive` is the greater: it permits all that `Shared` permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    Shared,
    Exclusive,
}

/// Fingerprints in ascending order without repeats, each with its mode.
///
/// A fingerprint that is added twice keeps the stronger mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    entries: SmallVec<[(Fingerprint, Mode); INLINE_KEYS]>,
}

/// Footprints up to this size need no allocation.
const INLINE_KEYS: usize = 4;

impl Footprint {
    pub fn single(fingerprint: Fingerprint, mode: Mode) -> Self {
        let mut entries = SmallVec::new();
        entries.push((fingerprint, mode));
        Self { entries }
    }

    /// Adds one fingerprint, or strengthens its mode.
    pub fn insert(&mut self, fingerprint: Fingerprint, mode: Mode) {
        match self.position(fingerprint) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(mode),
            Err(at) => self.entries.insert(at, (fingerprint, mode)),
        }
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// The mode in which the footprint covers a fingerprint.
    pub fn contains(&self, fingerprint: Fingerprint) -> Option<Mode> {
        self.position(fingerprint)
            .ok()
            .map(|found| self.entries[found].1)
    }

    /// The highest fingerprint: a holder of this footprint may wait for locks above it.
    pub fn max(&self) -> Option<Fingerprint> {
        self.entries.last().map(|entry| entry.0)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Fingerprint, Mode)> + '_ {
        self.entries.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, index: usize) -> Option<(Fingerprint, Mode)> {
        self.entries.get(index).copied()
    }

    /// Keeps the `len` lowest fingerprints.
    pub(super) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }

    fn position(&self, fingerprint: Fingerprint) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&fingerprint, |entry| entry.0)
    }
}

impl FromIterator<(Fingerprint, Mode)> for Footprint {
    fn from_iter<I: IntoIterator<Item = (Fingerprint, Mode)>>(iter: I) -> Self {
        let mut entries: SmallVec<[_; INLINE_KEYS]> = iter.into_iter().collect();
        if entries.len() > 1 {
            // The stronger mode of a fingerprint comes first, and the first is the one kept.
            entries.sort_unstable_by_key(|&(fingerprint, mode)| (fingerprint, Reverse(mode)));
            entries.dedup_by_key(|entry| entry.0);
        }
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = (Fingerprint, Mode)> {
        (
            0_u64..12,
            prop_oneof![Just(Mode::Shared), Just(Mode::Exclusive)],
        )
    }

    fn plain(entries: &[(Fingerprint, Mode)]) -> BTreeMap<Fingerprint, Mode> {
        let mut map = BTreeMap::new();
        for &(fingerprint, mode) in entries {
            let kept = map.entry(fingerprint).or_insert(mode);
            *kept = mode.max(*kept);
        }
        map
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(
            left in prop::collection::vec(entry(), 0..12),
            right in prop::collection::vec(entry(), 0..12),
        ) {
            let collected: Footprint = left.iter().copied().collect();
            let mut inserted = Footprint::default();
            for &(fingerprint, mode) in &left {
                inserted.insert(fingerprint, mode);
            }
            let map = plain(&left);
            prop_assert_eq!(&collected, &inserted);
            prop_assert!(collected.iter().eq(map.iter().map(|(&f, &m)| (f, m))));
            prop_assert_eq!(collected.max(), map.keys().next_back().copied());
            for fingerprint in 0..12 {
                prop_assert_eq!(collected.contains(fingerprint), map.get(&fingerprint).copied());
            }

            let union = collected.union(&right.iter().copied().collect());
            let both = plain(&[left, right].concat());
            prop_assert!(union.iter().eq(both.iter().map(|(&f, &m)| (f, m))));
        }
    }
}
