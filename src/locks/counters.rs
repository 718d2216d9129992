//! Event counters that every command may bump without sharing a cache line with another core.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam::utils::CachePadded;

/// Threads beyond this number share slots: still correct, only slower.
const SLOTS: usize = 32;

/// Counts of one manager, spread over the threads.
#[derive(Default)]
pub(super) struct Counters {
    slots: [CachePadded<Slot>; SLOTS],
}

#[derive(Default)]
struct Slot {
    acquisitions: AtomicU64,
    waits: AtomicU64,
}

impl Counters {
    pub(super) fn note_acquisition(&self) {
        self.slots[own_slot()].acquisitions.fetch_add(1, Relaxed);
    }

    pub(super) fn note_wait(&self) {
        self.slots[own_slot()].waits.fetch_add(1, Relaxed);
    }

    pub(super) fn acquisitions(&self) -> u64 {
        self.slots
            .iter()
            .map(|slot| slot.acquisitions.load(Relaxed))
            .sum()
    }

    pub(super) fn waits(&self) -> u64 {
        self.slots.iter().map(|slot| slot.waits.load(Relaxed)).sum()
    }
}

fn own_slot() -> usize {
    const UNASSIGNED: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<usize> = const { Cell::new(UNASSIGNED) };
    }
    SLOT.with(|slot| {
        if slot.get() == UNASSIGNED {
            slot.set(NEXT.fetch_add(1, Relaxed) % SLOTS);
        }
        slot.get()
    })
}
