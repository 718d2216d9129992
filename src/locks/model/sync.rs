//! `locks/sync.rs` over the model checker. One mutex for the whole table allows the same orders of
//! steps as one for each part, because nobody holds two parts.

use std::collections::BTreeMap;

use super::footprint::Fingerprint;
use super::state::LockState;

pub(super) use shuttle::sync::MutexGuard;
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicUsize};

#[derive(Default)]
pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

pub(super) struct Table {
    locks: Mutex<BTreeMap<Fingerprint, LockState>>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            locks: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) fn update<R>(
        &self,
        fingerprint: Fingerprint,
        change: impl FnOnce(&mut LockState) -> R,
    ) -> R {
        let mut locks = self.locks.lock();
        let state = locks.entry(fingerprint).or_default();
        let result = change(state);
        if state.is_idle() {
            locks.remove(&fingerprint);
        }
        result
    }

    pub(super) fn view<R>(
        &self,
        fingerprint: Fingerprint,
        look: impl FnOnce(&LockState) -> R,
    ) -> Option<R> {
        self.locks.lock().get(&fingerprint).map(look)
    }

    pub(super) fn scan(&self, mut look: impl FnMut(Fingerprint, &LockState) -> bool) {
        let locks = self.locks.lock();
        let _ = locks
            .iter()
            .all(|(&fingerprint, state)| look(fingerprint, state));
    }

    pub(super) fn shrink(&self) {
        let _ = &self.locks;
    }
}
