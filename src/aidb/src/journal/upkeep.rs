//! What is done ahead so that appends need not do it: the next segment, the next reservation, the call of the absorber.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Journal, first_reservation, salt};
use crate::Result;
use crate::segment::{FileKind, Segment, SegmentHeader};

/// After a failure, a full disk most likely, the thread rests this long although appends call it.
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct UpkeepState {
    called: bool,
    stop: bool,
}

impl Journal {
    /// Does what is due and says whether segments should be absorbed.
    pub(crate) fn upkeep_once(&self) -> Result<bool> {
        self.health.check()?;
        self.reserve_ahead()?;
        if self.spare_due().is_some() {
            self.prepare_spare()?;
            // Once for each segment also when durability asks for none: unsynced segments are held open.
            self.request_sync();
        }
        Ok(self.absorb_due())
    }

    /// Makes the next segment, unless it is there. Never under a lock that an appender takes.
    pub(crate) fn prepare_spare(&self) -> Result<()> {
        let _making = self.making_spare.lock();
        let Some(number) = self.spare_missing() else {
            return Ok(());
        };
        let header = SegmentHeader {
            kind: FileKind::Journal,
            number,
            salt: salt(self.options.seed, number),
            sequence: self.synced(),
        };
        let (segment, reserved) = Segment::create(
            &*self.fs,
            &self.dir,
            header,
            first_reservation(&self.options),
        )?;
        self.set_spare(segment, reserved);
        Ok(())
    }

    /// Makes the spare and has `rotate` take it.
    pub(crate) fn with_spare<T>(&self, rotate: impl Fn(&Journal) -> Option<T>) -> Result<T> {
        loop {
            self.prepare_spare()?;
            // Appends may take the spare in between, once for each segment that they fill.
            if let Some(taken) = rotate(self) {
                return Ok(taken);
            }
        }
    }

    /// The body of the upkeep thread; `call_absorber` is called when segments should be absorbed.
    pub(crate) fn run_upkeep_thread(&self, call_absorber: impl Fn()) {
        while self.wait_for_upkeep() {
            match self.upkeep_once() {
                Ok(true) => call_absorber(),
                Ok(false) => {}
                Err(_) => {
                    // Appends find out by themselves what does not work and tell their callers.
                    let mut state = self.upkeep.lock();
                    if !state.stop {
                        self.upkeep_wanted.wait_for(&mut state, RETRY_AFTER);
                    }
                }
            }
        }
    }

    pub(crate) fn call_upkeep(&self) {
        if self.upkeep_called.swap(true, Ordering::AcqRel) {
            return;
        }
        self.upkeep.lock().called = true;
        self.upkeep_wanted.notify_one();
    }

    pub(crate) fn stop_upkeep_thread(&self) {
        self.upkeep.lock().stop = true;
        self.upkeep_wanted.notify_one();
    }

    fn wait_for_upkeep(&self) -> bool {
        let mut state = self.upkeep.lock();
        // Cleared before the work begins, so that a call during it is not lost.
        while !state.called && !state.stop {
            self.upkeep_called.store(false, Ordering::Release);
            self.upkeep_wanted.wait(&mut state);
        }
        state.called = false;
        self.upkeep_called.store(false, Ordering::Release);
        !state.stop
    }
}
