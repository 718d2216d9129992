//! The primitives under the algorithms. `model/sync.rs` has the same names over a model checker's
//! primitives, and the algorithms' files are compiled against either.

use std::hash::{BuildHasherDefault, Hasher};

use dashmap::{DashMap, Entry};

use super::footprint::Fingerprint;
use super::sabotage;
use super::state::LockState;

pub(super) use parking_lot::Mutex;
pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Parts of the table with a lock each: many more than cores, so that two rarely meet.
const TABLE_PARTS: usize = 64;

/// The locks that are held, by fingerprint.
pub(super) struct Table {
    locks: DashMap<Fingerprint, LockState, BuildHasherDefault<Spread>>,
}

impl Table {
    pub(super) fn new() -> Self {
        let locks =
            DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), TABLE_PARTS);
        Self { locks }
    }

    /// Changes one lock. A lock that is not in the table is seen idle, and one that is left idle is
    /// not in the table.
    pub(super) fn update<R>(
        &self,
        fingerprint: Fingerprint,
        change: impl FnOnce(&mut LockState) -> R,
    ) -> R {
        match self.locks.entry(sabotage::place(fingerprint)) {
            Entry::Occupied(mut entry) => {
                let result = change(entry.get_mut());
                if entry.get().is_idle() {
                    entry.remove();
                }
                result
            }
            Entry::Vacant(entry) => {
                let mut state = LockState::default();
                let result = change(&mut state);
                if !state.is_idle() {
                    entry.insert(state);
                }
                result
            }
        }
    }

    /// Looks at one lock, if it is in the table.
    pub(super) fn view<R>(
        &self,
        fingerprint: Fingerprint,
        look: impl FnOnce(&LockState) -> R,
    ) -> Option<R> {
        let place = sabotage::place(fingerprint);
        self.locks.view(&place, |_, state| look(state))
    }

    /// Looks at the locks one after the other, while `look` says to go on.
    pub(super) fn scan(&self, mut look: impl FnMut(Fingerprint, &LockState) -> bool) {
        for entry in &self.locks {
            if !look(*entry.key(), entry.value()) {
                break;
            }
        }
    }

    /// Gives back the memory of locks that are gone.
    pub(super) fn shrink(&self) {
        self.locks.shrink_to_fit();
    }
}

/// Fingerprints are hashes already; this only brings all of their bits to both ends, which the
/// table picks its part and its slot from.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(value) * GOLDEN;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}
