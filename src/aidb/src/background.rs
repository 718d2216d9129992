//! The two threads that make tables, at low priority: one absorbs segments, the other merges tables, so that a long merge
//! keeps no segment waiting. `unsafe` for setpriority(2), which the standard library does not offer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::journal::Journal;
use crate::tables;
use crate::{Error, Result};

/// After a failure, a full disk most likely, a thread rests this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Below that of threads that serve clients; not so low that on a busy machine nothing is absorbed.
const NICE: libc::c_int = 5;

#[derive(Default)]
pub(crate) struct Upkeep {
    pub absorber: Bell,
    pub merger: Bell,
    stop: AtomicBool,
    /// Held while segments are absorbed.
    absorbing: Mutex<()>,
    /// Held while tables are merged.
    merging: Mutex<()>,
    stats: Mutex<UpkeepStats>,
}

/// What the making of tables did since the start.
#[derive(Debug, Clone, Default)]
pub struct UpkeepStats {
    pub absorptions: u64,
    pub absorbed_records: u64,
    pub absorbed_bytes: u64,
    pub absorbing_for: Duration,
    pub merges: u64,
    pub merged_bytes: u64,
    pub merging_for: Duration,
    /// Why the last absorption or merge failed; nothing once one works.
    pub absorb_error: Option<String>,
    pub merge_error: Option<String>,
}

/// Calls a thread to work.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    called: bool,
    stop: bool,
}

impl Bell {
    pub(crate) fn call(&self) {
        self.state.lock().called = true;
        self.rung.notify_one();
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_one();
    }

    /// Waits for a call; false when the thread should end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.called && !state.stop {
            self.rung.wait(&mut state);
        }
        state.called = false;
        !state.stop
    }

    /// Waits a while, unless the thread should end.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.stop && !self.rung.wait_until(&mut state, until).timed_out() {}
        // What failed is tried again.
        state.called = true;
    }
}

impl Upkeep {
    /// The body of the thread that absorbs.
    pub(crate) fn run_absorber(&self, journal: &Journal) {
        lower_priority();
        while self.absorber.wait() {
            if !works(|| self.absorb_while_due(journal)) {
                journal.brake.release(false);
                self.absorber.rest(RETRY_AFTER);
            }
        }
        // Nothing is absorbed any more; nobody shall wait for it.
        journal.brake.release(false);
    }

    /// The body of the thread that merges.
    pub(crate) fn run_merger(&self, journal: &Journal) {
        lower_priority();
        while self.merger.wait() {
            if !works(|| self.merge_while_due(journal)) {
                self.merger.rest(RETRY_AFTER);
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.absorber.stop();
        self.merger.stop();
    }

    pub(crate) fn absorb_while_due(&self, journal: &Journal) -> Result<()> {
        let _one = self.absorbing.lock();
        while journal.absorb_due() {
            self.absorb(journal, false)?;
            (journal.options.after_upkeep)();
        }
        Ok(())
    }

    pub(crate) fn merge_while_due(&self, journal: &Journal) -> Result<()> {
        let _one = self.merging.lock();
        loop {
            let runs = journal.runs();
            let Some(which) = tables::merge_due(&runs) else {
                return Ok(());
            };
            self.merge(journal, &runs, which)?;
        }
    }

    /// Absorbs all of the journal and merges all tables.
    pub(crate) fn make_one_table(&self, journal: &Journal) -> Result<()> {
        {
            let _one = self.absorbing.lock();
            self.absorb(journal, true)?;
        }
        let _one = self.merging.lock();
        loop {
            let runs = journal.runs();
            let Some(which) = tables::merge_due_for_one(&runs) else {
                return Ok(());
            };
            self.merge(journal, &runs, which)?;
        }
    }

    /// Whether segments are being absorbed or tables merged, which takes memory.
    pub(crate) fn is_at_work(&self) -> bool {
        self.absorbing.is_locked() || self.merging.is_locked()
    }

    pub(crate) fn stats(&self) -> UpkeepStats {
        self.stats.lock().clone()
    }

    fn absorb(&self, journal: &Journal, all: bool) -> Result<()> {
        let started = Instant::now();
        let result = tables::absorb(journal, all, &self.stop);
        let mut stats = self.stats.lock();
        stats.absorb_error = result.as_ref().err().map(Error::to_string);
        let absorbed = result?;
        if absorbed.segments > 0 {
            stats.absorptions += 1;
            stats.absorbed_records += absorbed.records;
            stats.absorbed_bytes += absorbed.journal_bytes;
            stats.absorbing_for += started.elapsed();
            drop(stats);
            journal.brake.release(true);
            self.merger.call();
        }
        Ok(())
    }

    fn merge(
        &self,
        journal: &Journal,
        runs: &[crate::journal::Run],
        which: std::ops::Range<usize>,
    ) -> Result<()> {
        let started = Instant::now();
        let bytes: u64 = runs[which.clone()].iter().map(|run| run.bytes).sum();
        let result = tables::merge(journal, runs, which, &self.stop);
        let mut stats = self.stats.lock();
        stats.merge_error = result.as_ref().err().map(Error::to_string);
        result?;
        stats.merges += 1;
        stats.merged_bytes += bytes;
        stats.merging_for += started.elapsed();
        Ok(())
    }
}

/// Whether some work was done; its outcome is in the stats. A panic is reported by its hook, and is a failure here: the thread
/// that it ended would be missed.
fn works(work: impl FnOnce() -> Result<()>) -> bool {
    matches!(catch_unwind(AssertUnwindSafe(work)), Ok(Ok(())))
}

/// Lets other threads go first, from now on and for good.
pub(crate) fn lower_priority() {
    // SAFETY: the call touches no memory. On Linux it concerns the calling thread alone. Where it is refused, the thread
    // works on as it is.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}
