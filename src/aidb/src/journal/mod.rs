//! The appending half of the database: batches go into one shared buffer, the buffer to the segment, the segment to disk.
//!
//! Three positions only ever grow, and `synced <= written <= appended` always holds:
//! - `appended`: in the buffer. Its order is the order of the sequence numbers, given under the tail's mutex.
//! - `written`: handed to the operating system, by whoever holds the writer's mutex, for everybody.
//! - `synced`: on disk, by the one sync thread, which holds no lock meanwhile.
//!
//! Locks are taken in the order writer, tail. No file is written or synced under the tail's mutex; the one system call
//! that may happen under it is a reservation of space that no thread made ahead in time.
//!
//! After a failed write or fsync the journal is poisoned for good: the kernel may have dropped the pages and would
//! report the next fsync as a success.
//!
//! Depends on `segment`, `frame`, `batch` and `fs`.

mod health;
mod slow_down;
mod sync;
mod tail;
mod upkeep;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub(crate) use tail::{Closed, Run, Snapshot};

use crate::fs::FileSystem;
use crate::segment::{FileKind, Segment, SegmentHeader};
use crate::{Durability, Error, Options, Result, Sequence};
use health::Health;
use slow_down::Brake;
use sync::SyncState;
use tail::Tail;
use upkeep::UpkeepState;
use writer::Writer;

/// From this many buffered bytes on, [`Journal::needs_write_out`] asks for a write.
const BUFFER_BYTES_WANTED: usize = 1 << 20;
/// From this many buffered bytes on, whoever appends writes out first.
const BUFFER_BYTES_MAX: usize = 8 << 20;
/// What an empty buffer keeps: more than fifty clients' pipelines of sixteen small writes fill.
const BUFFER_BYTES_KEPT: usize = 128 << 10;

pub(crate) type DurableCallback = Box<dyn Fn(Sequence) + Send + Sync>;

pub(crate) struct Journal {
    pub(crate) dir: PathBuf,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) options: Options,
    tail: Mutex<Tail>,
    writer: Mutex<Writer>,
    appended: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    durability: AtomicU8,
    pub(crate) health: Health,
    sync: Mutex<SyncState>,
    sync_wanted: Condvar,
    sync_done: Condvar,
    upkeep: Mutex<UpkeepState>,
    upkeep_wanted: Condvar,
    /// Spares appends the mutex of `upkeep` when the thread is awake already.
    upkeep_called: AtomicBool,
    /// The bytes of all segments, as they were when somebody last wrote.
    segment_bytes: AtomicU64,
    pub(crate) brake: Brake,
    /// Held while a segment is being made. Only background threads meet here.
    making_spare: Mutex<()>,
    /// Held while files are removed, and while they must not be.
    pub(crate) files: Mutex<()>,
    on_durable: OnceLock<DurableCallback>,
}

/// What recovery left behind, for the journal to go on from.
pub(crate) struct Inventory {
    pub last: Sequence,
    pub next_number: u64,
    pub runs: Vec<Run>,
    pub closed: Vec<Closed>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub journal_bytes: u64,
    pub closed_bytes: u64,
    pub table_bytes: u64,
    pub tables: usize,
    /// The last sequence in a table.
    pub absorbed: Sequence,
    pub segments: usize,
    pub buffered_bytes: usize,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastSync {
    pub at: Option<std::time::SystemTime>,
    pub took: Duration,
    pub count: u64,
}

impl Journal {
    /// Starts a new segment after what recovery found, all of which must be on disk for certain.
    pub(crate) fn start(dir: &Path, mut options: Options, inventory: Inventory) -> Result<Journal> {
        assert!(options.reserve_step > 0, "space is reserved in steps");
        if options.journal_max_bytes > 0 {
            // One segment is open, one is absorbed, and the rest is room for what comes meanwhile.
            options.segment_size = options.segment_size.min(options.journal_max_bytes / 4);
        }
        let header = SegmentHeader {
            kind: FileKind::Journal,
            number: inventory.next_number,
            salt: salt(options.seed, inventory.next_number),
            sequence: inventory.last,
        };
        let (segment, reserved) =
            Segment::create(&*options.fs, dir, header, first_reservation(&options))?;
        let last = inventory.last;
        Ok(Journal {
            dir: dir.to_path_buf(),
            fs: Arc::clone(&options.fs),
            tail: Mutex::new(Tail::new(Arc::new(segment), reserved, inventory)),
            writer: Mutex::default(),
            appended: AtomicU64::new(last),
            written: AtomicU64::new(last),
            synced: AtomicU64::new(last),
            durability: AtomicU8::new(options.durability as u8),
            health: Health::default(),
            sync: Mutex::default(),
            sync_wanted: Condvar::new(),
            sync_done: Condvar::new(),
            upkeep: Mutex::default(),
            upkeep_wanted: Condvar::new(),
            upkeep_called: AtomicBool::new(false),
            segment_bytes: AtomicU64::new(0),
            brake: Brake::default(),
            making_spare: Mutex::new(()),
            files: Mutex::new(()),
            on_durable: OnceLock::new(),
            options,
        })
    }

    #[inline]
    pub(crate) fn appended(&self) -> Sequence {
        self.appended.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn written(&self) -> Sequence {
        self.written.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn synced(&self) -> Sequence {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn durability(&self) -> Durability {
        Durability::from_u8(self.durability.load(Ordering::Relaxed))
    }

    pub(crate) fn set_durability(&self, durability: Durability) {
        self.durability.store(durability as u8, Ordering::Relaxed);
        self.wake_sync_thread();
    }

    /// Sets the callback; at most once.
    pub(crate) fn on_durable(&self, callback: DurableCallback) {
        assert!(
            self.on_durable.set(callback).is_ok(),
            "the callback is set once"
        );
    }

    /// Stops the journal for good, tells everyone who waits, and hands the error back.
    ///
    /// Called without any of the journal's locks, because the callback is the caller's code.
    fn poison(&self, cause: &dyn fmt::Display) -> Error {
        let answer = self.health.poison(cause);
        // Who waits has looked at the health under this mutex, so either sees it now or is woken.
        drop(self.sync.lock());
        self.sync_done.notify_all();
        self.tell_durable();
        answer
    }

    fn tell_durable(&self) {
        if let Some(callback) = self.on_durable.get() {
            callback(self.synced());
        }
    }
}

/// Neighbouring numbers must not give related salts, so the bits are mixed (the finalizer of splitmix64).
fn salt(seed: u64, number: u64) -> u32 {
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as u32
}

pub(crate) fn table_salt(seed: u64, first: u64, number: u64) -> u32 {
    salt(!seed ^ first.rotate_left(32), number)
}

fn first_reservation(options: &Options) -> u64 {
    options.reserve_step.max(crate::segment::FRAMES_AT)
}
