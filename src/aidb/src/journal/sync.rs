//! From the files to the disk: the sync thread, and who waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::{Journal, LastSync};
use crate::{Durability, Error, Result, Sequence};

const SYNC_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct SyncState {
    /// The highest sequence that somebody wants on disk now.
    wanted: Sequence,
    stop: bool,
    last: LastSync,
}

impl Journal {
    /// Writes and syncs what was appended so far, soon and in the background.
    pub(crate) fn request_sync(&self) {
        let target = self.appended();
        let mut state = self.sync.lock();
        if state.wanted < target {
            state.wanted = target;
            self.sync_wanted.notify_one();
        }
    }

    /// Waits until `sequence` is on disk.
    pub(crate) fn wait_synced(&self, sequence: Sequence) -> Result<Sequence> {
        if !self.options.background {
            return self.sync_once();
        }
        self.health.check()?;
        self.request_sync();
        let mut state = self.sync.lock();
        while self.synced() < sequence {
            self.health.check()?;
            self.sync_done.wait(&mut state);
        }
        Ok(self.synced())
    }

    /// Writes and syncs everything that was appended before the call. For one thread at a time.
    pub(crate) fn sync_once(&self) -> Result<Sequence> {
        self.write_out()?;
        let (segments, target) = self.unsynced();
        if self.synced() >= target {
            return Ok(self.synced());
        }
        let started = Instant::now();
        for segment in &segments {
            let end = segment.end.load(Ordering::Acquire);
            if end != u64::MAX {
                // Gives the unused reservation back. If that fails the file is longer than it need be, no more.
                let _ = segment.file.set_len(end);
            }
            if let Err(error) = segment.file.sync_data() {
                return Err(self.poison(&Error::io("fsync", &segment.path, error)));
            }
        }
        if let Some(open) = segments.last() {
            self.forget_synced_before(open.number);
        }
        self.note_synced(target, started);
        Ok(target)
    }

    pub(crate) fn last_sync(&self) -> LastSync {
        self.sync.lock().last
    }

    /// The body of the sync thread.
    pub(crate) fn run_sync_thread(&self) {
        while self.wait_for_sync_work() {
            // A failure poisons the journal, which is how everybody learns of it. A panic, in the callback most likely,
            // has to do the same: who waits for the disk would wait for ever.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.sync_once()));
            if outcome.is_err() {
                self.health.poison(&"the sync thread panicked");
                drop(self.sync.lock());
                self.sync_done.notify_all();
                return;
            }
        }
    }

    pub(super) fn wake_sync_thread(&self) {
        drop(self.sync.lock());
        self.sync_wanted.notify_one();
    }

    pub(crate) fn stop_sync_thread(&self) {
        self.sync.lock().stop = true;
        self.sync_wanted.notify_one();
    }

    /// Waits for a request or for the next second; false when the thread should end.
    fn wait_for_sync_work(&self) -> bool {
        let mut state = self.sync.lock();
        let next = Instant::now() + SYNC_INTERVAL;
        loop {
            if state.stop {
                return false;
            }
            let well = self.health.check().is_ok();
            if well && state.wanted > self.synced() {
                return true;
            }
            if !well || self.durability() != Durability::EverySec {
                self.sync_wanted.wait(&mut state);
            } else if self.sync_wanted.wait_until(&mut state, next).timed_out() {
                return true;
            }
        }
    }

    fn note_synced(&self, target: Sequence, started: Instant) {
        let mut state = self.sync.lock();
        self.synced.store(target, Ordering::Release);
        state.last = LastSync {
            at: Some(SystemTime::now()),
            took: started.elapsed(),
            count: state.last.count + 1,
        };
        drop(state);
        self.sync_done.notify_all();
        self.tell_durable();
    }

    /// Ends the journal in good order: everything on disk, then the mark that says so.
    pub(crate) fn finish(&self) -> Result<()> {
        self.sync_once()?;
        self.append_close()?;
        self.write_out()?;
        let (segment, end) = self.open_segment();
        // As above: a failure only wastes space.
        let _ = segment.file.set_len(end);
        self.sync_once()?;
        Ok(())
    }
}
