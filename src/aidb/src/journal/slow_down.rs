//! The bound on the journal's size: who writes faster than segments are absorbed waits, the longer the less room is left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Journal;

/// The longest wait of one writer while there is room.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long a writer waits at once when there is none, before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Brake {
    lock: Mutex<()>,
    room: Condvar,
    /// Nothing is absorbed at present: waiting would be in vain, and a journal that grows loses nothing.
    in_vain: AtomicBool,
    waits: AtomicU64,
    waited_us: AtomicU64,
}

impl Brake {
    /// Lets those who wait look again; says whether there is hope.
    pub(crate) fn release(&self, hope: bool) {
        self.in_vain.store(!hope, Ordering::Relaxed);
        drop(self.lock.lock());
        self.room.notify_all();
    }

    /// How often somebody waited, and how long in all.
    pub(crate) fn waits(&self) -> (u64, Duration) {
        let waited = Duration::from_micros(self.waited_us.load(Ordering::Relaxed));
        (self.waits.load(Ordering::Relaxed), waited)
    }
}

impl Journal {
    /// Waits as long as the journal's size wants. For writers, who hold no lock meanwhile.
    #[inline]
    pub(crate) fn slow_down(&self) {
        let max = self.options.journal_max_bytes;
        let bytes = self.segment_bytes.load(Ordering::Relaxed);
        // In the last quarter; segments are absorbed from the second on.
        if bytes > max / 4 * 3 && max > 0 && self.options.background {
            self.wait_for_room(max);
        }
    }

    #[cold]
    fn wait_for_room(&self, max: u64) {
        let started = Instant::now();
        // Space that is reserved ahead counts as well, in the open segment and in the spare.
        let full = max
            .saturating_sub(4 * self.options.reserve_step)
            .max(max / 8 * 7);
        let mut guard = self.brake.lock.lock();
        loop {
            let bytes = self.segment_bytes.load(Ordering::Relaxed);
            let in_vain =
                self.brake.in_vain.load(Ordering::Relaxed) || self.health.check().is_err();
            if bytes <= max / 4 * 3 || in_vain {
                break;
            }
            if bytes < full {
                let part = (bytes - max / 4 * 3) as f64 / (full - max / 4 * 3) as f64;
                let until = started + PAUSE_MAX.mul_f64(part);
                // Room that is made in between is used by the next writer.
                self.brake.room.wait_until(&mut guard, until);
                break;
            }
            self.brake.room.wait_for(&mut guard, LOOK_EVERY);
        }
        drop(guard);
        self.brake.waits.fetch_add(1, Ordering::Relaxed);
        let waited_us = started.elapsed().as_micros() as u64;
        self.brake.waited_us.fetch_add(waited_us, Ordering::Relaxed);
    }
}
