use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::background::{self, Upkeep, UpkeepStats};
use crate::backup::{self, Backup};
use crate::batch::WriteBatch;
use crate::fs::{DirectoryLock, FileSystem};
use crate::journal::{Inventory, Journal};
use crate::recovery::{self, Load, Recovery};
use crate::{Durability, Error, Group, Options, Result, Sequence, tables};

/// The name of the file whose lock says that a directory is in use.
const LOCK_FILE: &str = "LOCK";

/// An open database: one journal that all threads share, and the tables that it becomes.
pub struct DB {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn DirectoryLock>>>,
}

#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Bytes in all segments.
    pub journal_bytes: u64,
    /// Those of them that can be absorbed.
    pub closed_bytes: u64,
    pub segments: usize,
    pub buffered_bytes: usize,
    /// Bytes in all tables.
    pub table_bytes: u64,
    pub tables: usize,
    /// The last batch that is in a table.
    pub absorbed: Sequence,
    /// Bytes of the tables that should be merged now.
    pub merge_debt_bytes: u64,
    pub upkeep: UpkeepStats,
    /// How often writers waited because the journal was near its bound, and how long in all.
    pub slowed: u64,
    pub slowed_for: Duration,
    pub last_sync_at: Option<SystemTime>,
    pub last_sync_took: Duration,
    pub syncs: u64,
    pub rewrite_in_progress: bool,
    pub rewrites: u64,
    pub last_rewrite_at: Option<SystemTime>,
    pub last_rewrite_took: Duration,
    /// None before the first one.
    pub last_rewrite_ok: Option<bool>,
    pub last_rewrite_error: Option<String>,
    /// False after a failed write or fsync.
    pub healthy: bool,
    pub reason: Option<String>,
}

struct Inner {
    journal: Journal,
    upkeep: Upkeep,
    rewriting: AtomicBool,
    rewrites: AtomicU64,
    last_rewrite: Mutex<Option<LastRewrite>>,
    rewrite_thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone)]
struct LastRewrite {
    at: SystemTime,
    took: Duration,
    error: Option<Error>,
}

impl DB {
    /// Opens the directory, hands every record that was kept to `replay`, and starts a new segment after them.
    ///
    /// `replay` may refuse a record that it does not understand; then the open fails.
    pub fn open(
        dir: impl AsRef<Path>,
        options: Options,
        replay: &mut dyn FnMut(crate::Op<'_>) -> Result<(), String>,
    ) -> Result<(DB, Recovery)> {
        DB::open_with(dir, options, &mut Sequential(replay))
    }

    /// As [`DB::open`], for those who may take records in several threads at once.
    pub fn open_with(
        dir: impl AsRef<Path>,
        options: Options,
        load: &mut dyn Load,
    ) -> Result<(DB, Recovery)> {
        let dir = dir.as_ref();
        let fs = Arc::clone(&options.fs);
        let lock = lock_dir(&*fs, dir)?;
        let (inventory, recovery) = recover(&*fs, dir, options.group, load)?;
        let background = options.background;
        let journal = Journal::start(dir, options, inventory)?;
        let inner = Arc::new(Inner {
            journal,
            upkeep: Upkeep::default(),
            rewriting: AtomicBool::new(false),
            rewrites: AtomicU64::new(0),
            last_rewrite: Mutex::new(None),
            rewrite_thread: Mutex::new(None),
        });
        let db = DB {
            inner,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        if background {
            db.start_threads(dir)?;
        }
        Ok((db, recovery))
    }

    /// Appends a batch to the shared buffer and gives it its place in the order of everything that happens.
    ///
    /// Meant to be called under the locks of the batch's keys: tens of nanoseconds, no I/O but a rare reservation of
    /// disk space. On an error nothing was appended. Acknowledge only after [`DB::write_out`], or after
    /// [`DB::on_durable`]'s callback has named the sequence.
    pub fn append(&self, batch: &WriteBatch) -> Result<Sequence> {
        self.inner.journal.append(batch)
    }

    /// True when so much is buffered that it is better written out now. Past eight times that, `append` does it.
    pub fn needs_write_out(&self) -> bool {
        self.inner.journal.needs_write_out()
    }

    /// Returns once everything appended before the call is written: one write(2) for all who call at the time.
    pub fn write_out(&self) -> Result<Sequence> {
        self.inner.journal.write_out()
    }

    /// Has the sync thread write and sync everything appended so far. Returns at once; see [`DB::on_durable`].
    pub fn request_sync(&self) {
        self.inner.journal.request_sync();
    }

    /// Sets what is called, on a thread of the database's own or on one that writes, whenever more is on disk, with
    /// the last sequence that is. After a failure it is called once more with the old one: ask [`DB::health`].
    /// At most one callback can be set.
    pub fn on_durable(&self, callback: Box<dyn Fn(Sequence) + Send + Sync>) {
        self.inner.journal.on_durable(callback);
    }

    /// Appends a batch and waits as the durability says.
    pub fn write(&self, batch: &WriteBatch) -> Result<Sequence> {
        let sequence = self.append(batch)?;
        match self.durability() {
            Durability::Always => self.inner.journal.wait_synced(sequence)?,
            Durability::EverySec | Durability::No => self.write_out()?,
        };
        self.slow_down();
        Ok(sequence)
    }

    /// Writes and syncs everything appended before the call, and waits for it.
    pub fn flush(&self) -> Result<Sequence> {
        self.inner.journal.wait_synced(self.appended())
    }

    pub fn appended(&self) -> Sequence {
        self.inner.journal.appended()
    }

    pub fn written(&self) -> Sequence {
        self.inner.journal.written()
    }

    pub fn synced(&self) -> Sequence {
        self.inner.journal.synced()
    }

    pub fn durability(&self) -> Durability {
        self.inner.journal.durability()
    }

    pub fn set_durability(&self, durability: Durability) {
        self.inner.journal.set_durability(durability);
    }

    /// An error once nothing is acknowledged any more.
    pub fn health(&self) -> Result<()> {
        self.inner.journal.health.check()
    }

    /// Starts to make all that is there one table, in the background (without background threads: makes it).
    pub fn rewrite(&self) -> Result<()> {
        self.inner.journal.health.check()?;
        Inner::start_rewrite(&self.inner)
    }

    /// Makes `to` a database of its own with everything that was appended before the call; appends go on meanwhile.
    ///
    /// Takes one fsync and a hard link for each file, or a copy where `to` is on another file system. `to` is made if it is
    /// not there, and must not hold a database. Until all is on disk, it does not open as one.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Backup> {
        self.inner.journal.health.check()?;
        backup::of_journal(&self.inner.journal, to.as_ref())
    }

    /// Whether something besides the journal takes memory now: a rewrite, an absorption, a merge.
    pub fn upkeep_in_progress(&self) -> bool {
        self.rewrite_in_progress() || self.inner.upkeep.is_at_work()
    }

    pub fn rewrite_in_progress(&self) -> bool {
        self.inner.rewriting.load(Ordering::Acquire)
    }

    /// Does what the background threads would do now, for a database opened without them.
    pub fn maintain(&self) -> Result<()> {
        self.inner.journal.sync_once()?;
        self.inner.journal.upkeep_once()?;
        self.inner.upkeep.absorb_while_due(&self.inner.journal)?;
        self.inner.upkeep.merge_while_due(&self.inner.journal)
    }

    /// Waits as long as is fair when the journal is near its bound, which is when writes come faster than they can be
    /// absorbed. For whoever writes much, between its writes, while nobody waits for it.
    #[inline]
    pub fn slow_down(&self) {
        self.inner.journal.slow_down();
    }

    pub fn stats(&self) -> Stats {
        let sizes = self.inner.journal.sizes();
        let sync = self.inner.journal.last_sync();
        let rewrite = self.inner.last_rewrite.lock().clone();
        let reason = self.inner.journal.health.reason();
        let (slowed, slowed_for) = self.inner.journal.brake.waits();
        Stats {
            journal_bytes: sizes.journal_bytes,
            closed_bytes: sizes.closed_bytes,
            segments: sizes.segments,
            buffered_bytes: sizes.buffered_bytes,
            table_bytes: sizes.table_bytes,
            tables: sizes.tables,
            absorbed: sizes.absorbed,
            merge_debt_bytes: tables::merge_debt_bytes(&self.inner.journal.runs()),
            upkeep: self.inner.upkeep.stats(),
            slowed,
            slowed_for,
            last_sync_at: sync.at,
            last_sync_took: sync.took,
            syncs: sync.count,
            rewrite_in_progress: self.rewrite_in_progress(),
            rewrites: self.inner.rewrites.load(Ordering::Relaxed),
            last_rewrite_at: rewrite.as_ref().map(|rewrite| rewrite.at),
            last_rewrite_took: rewrite
                .as_ref()
                .map_or(Duration::ZERO, |rewrite| rewrite.took),
            last_rewrite_ok: rewrite.as_ref().map(|rewrite| rewrite.error.is_none()),
            last_rewrite_error: rewrite
                .and_then(|rewrite| rewrite.error)
                .map(|error| error.to_string()),
            healthy: reason.is_none(),
            reason: reason.map(|error| error.to_string()),
        }
    }

    /// Writes and syncs everything, marks the journal as closed in good order, and releases the directory.
    ///
    /// Nothing may be appended meanwhile. A rewrite that is running is given up. The second call does nothing.
    pub fn close(&self) -> Result<()> {
        self.stop_threads();
        let Some(lock) = self.lock.lock().take() else {
            return Ok(());
        };
        let result = self
            .inner
            .journal
            .health
            .check()
            .and_then(|()| self.inner.journal.finish());
        self.inner.journal.health.close();
        drop(lock);
        result
    }

    fn start_threads(&self, dir: &Path) -> Result<()> {
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body);
            thread.map_err(|error| Error::io("start a thread for", dir, error))
        };
        let inner = Arc::clone(&self.inner);
        self.threads.lock().push(spawn(
            "aidb-sync",
            Box::new(move || inner.journal.run_sync_thread()),
        )?);
        let inner = Arc::clone(&self.inner);
        let upkeep = move || {
            inner
                .journal
                .run_upkeep_thread(|| inner.upkeep.absorber.call());
        };
        self.threads
            .lock()
            .push(spawn("aidb-upkeep", Box::new(upkeep))?);
        let inner = Arc::clone(&self.inner);
        self.threads.lock().push(spawn(
            "aidb-absorb",
            Box::new(move || inner.upkeep.run_absorber(&inner.journal)),
        )?);
        let inner = Arc::clone(&self.inner);
        self.threads.lock().push(spawn(
            "aidb-merge",
            Box::new(move || inner.upkeep.run_merger(&inner.journal)),
        )?);
        // What was left to do before the last stop is due at once.
        self.inner.upkeep.absorber.call();
        self.inner.upkeep.merger.call();
        Ok(())
    }

    fn stop_threads(&self) {
        self.inner.upkeep.stop();
        self.inner.journal.stop_upkeep_thread();
        self.inner.journal.stop_sync_thread();
        for thread in self.threads.lock().drain(..) {
            // A panic there was reported when it happened; what is left to do here does not depend on it.
            let _ = thread.join();
        }
        let rewrite = self.inner.rewrite_thread.lock().take();
        if let Some(thread) = rewrite {
            let _ = thread.join();
        }
    }
}

impl Drop for DB {
    /// As `close`, for those who do not care whether it worked.
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Inner {
    fn start_rewrite(inner: &Arc<Inner>) -> Result<()> {
        if inner.rewriting.swap(true, Ordering::AcqRel) {
            return Err(Error::RewriteInProgress);
        }
        if !inner.journal.options.background {
            return inner.rewrite();
        }
        let own = Arc::clone(inner);
        let body = move || {
            background::lower_priority();
            // The outcome is in the stats.
            let _ = own.rewrite();
        };
        let thread = std::thread::Builder::new()
            .name("aidb-rewrite".to_owned())
            .spawn(body);
        match thread {
            Ok(thread) => {
                // The one before has ended, or `rewriting` would have been set.
                *inner.rewrite_thread.lock() = Some(thread);
                Ok(())
            }
            Err(error) => {
                inner.rewriting.store(false, Ordering::Release);
                Err(Error::io("start a thread for", &inner.journal.dir, error))
            }
        }
    }

    fn rewrite(&self) -> Result<()> {
        let started = std::time::Instant::now();
        let result = self.upkeep.make_one_table(&self.journal);
        *self.last_rewrite.lock() = Some(LastRewrite {
            at: SystemTime::now(),
            took: started.elapsed(),
            error: result.clone().err(),
        });
        (self.journal.options.after_upkeep)();
        self.rewrites.fetch_add(1, Ordering::Relaxed);
        self.rewriting.store(false, Ordering::Release);
        result
    }
}

/// Takes all records with one function.
struct Sequential<'a>(&'a mut dyn FnMut(crate::Op<'_>) -> Result<(), String>);

impl Load for Sequential<'_> {
    fn apply(&mut self, op: crate::Op<'_>) -> Result<(), String> {
        (self.0)(op)
    }
}

pub(crate) fn lock_dir(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn DirectoryLock>> {
    fs.create_dir(dir)
        .map_err(|error| Error::io("create", dir, error))?;
    let path = dir.join(LOCK_FILE);
    fs.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked {
            dir: dir.to_path_buf(),
        },
        _ => Error::io("lock", &path, error),
    })
}

fn recover(
    fs: &dyn FileSystem,
    dir: &Path,
    group: Group,
    load: &mut dyn Load,
) -> Result<(Inventory, Recovery)> {
    let mut scan = recovery::scan(fs, dir, group, load)?;
    if let Some(damage) = scan.damage() {
        return Err(damage);
    }
    scan.cut(fs, dir)?;
    let inventory = Inventory {
        last: scan.recovery.last,
        next_number: scan.next_number(),
        runs: scan.runs,
        closed: scan.closed,
    };
    Ok((inventory, scan.recovery))
}
