//! Databases of their own made from another: backups, and what is restored from them.
//!
//! The files of a journal never change once they are closed, so a backup is a set of second names for them. It counts as
//! made when its first file, a table or segment 1, is there: that one is linked last, when all others are on disk for
//! certain. Without it a directory does not open, so half a backup is never taken for a whole one.

use std::path::Path;

use crate::check::require_database;
use crate::db::lock_dir;
use crate::fs::FileSystem;
use crate::journal::{Closed, Journal, Run, Snapshot};
use crate::recovery::{self, Scan};
use crate::segment::{FileKind, Listing};
use crate::{Error, Result, Sequence};

/// A directory that [`crate::DB::open`] opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The last batch in it.
    pub last: Sequence,
    pub files: usize,
    pub bytes: u64,
}

/// What a backup is made of.
struct Parts {
    runs: Vec<Run>,
    closed: Vec<Closed>,
    last: Sequence,
}

/// Makes a backup of everything that was appended before the call, beside appends that go on.
pub(crate) fn of_journal(journal: &Journal, to: &Path) -> Result<Backup> {
    // What a table has replaced is removed only under the mutex, so nothing vanishes on the way.
    let _files = journal.files.lock();
    let Snapshot { runs, closed, last } = journal.with_spare(Journal::close_any_segment)?;
    journal.wait_synced(last)?;
    let parts = Parts { runs, closed, last };
    parts.link(&*journal.fs, &journal.dir, to)
}

/// Makes a backup of a directory that no process has open.
pub fn backup(from: &Path, to: &Path, fs: &dyn FileSystem) -> Result<Backup> {
    require_database(from, fs)?;
    let _lock = lock_dir(fs, from)?;
    let mut scan = recovery::verify(fs, from, None)?;
    if let Some(damage) = scan.damage() {
        return Err(damage);
    }
    scan.cut(fs, from)?;
    Parts::from(scan).link(fs, from, to)
}

/// Makes `to` a database with what the backup `from` holds, up to and with the batch `until`, if one is named.
///
/// The files are copied, so that the backup stays what it is.
pub fn restore(
    from: &Path,
    to: &Path,
    until: Option<Sequence>,
    fs: &dyn FileSystem,
) -> Result<Backup> {
    require_database(from, fs)?;
    let _from_lock = lock_dir(fs, from)?;
    let scan = recovery::verify(fs, from, until)?;
    if let Some(damage) = scan.damage() {
        return Err(damage);
    }
    if let Some(until) = until.filter(|until| *until != scan.recovery.last) {
        let whole = recovery::verify(fs, from, None)?;
        return Err(Error::OutOfReach {
            until,
            first: whole.runs.last().map_or(0, |run| run.sequence),
            last: whole.recovery.last,
        });
    }
    Parts::from(scan).copy(fs, from, to)
}

impl From<Scan> for Parts {
    fn from(scan: Scan) -> Parts {
        Parts {
            runs: scan.runs,
            last: scan.recovery.last,
            closed: scan.closed,
        }
    }
}

impl Parts {
    fn link(&self, fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<Backup> {
        self.make(fs, to, &mut |kind, number, _| {
            let path = kind.path(to, number);
            fs.link(&kind.path(from, number), &path)
                .map_err(|error| Error::io("link", &path, error))
        })
    }

    fn copy(&self, fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<Backup> {
        self.make(fs, to, &mut |kind, number, bytes| {
            let path = kind.path(to, number);
            copy(fs, &kind.path(from, number), &path, bytes)
                .map_err(|error| Error::io("copy to", &path, error))
        })
    }

    /// Has `make_file` make each file, the first one last.
    fn make(
        &self,
        fs: &dyn FileSystem,
        to: &Path,
        make_file: &mut dyn FnMut(FileKind, u64, u64) -> Result<()>,
    ) -> Result<Backup> {
        let _lock = lock_dir(fs, to)?;
        if !Listing::read(fs, to)?.is_empty() {
            return Err(Error::NotEmpty {
                dir: to.to_path_buf(),
            });
        }
        let runs = self
            .runs
            .iter()
            .map(|run| (run.kind, run.number, run.bytes));
        let segments = self
            .closed
            .iter()
            .map(|closed| (FileKind::Journal, closed.number, closed.bytes));
        let files: Vec<_> = runs.chain(segments).collect();
        let sync = || {
            fs.sync_dir(to)
                .map_err(|error| Error::io("fsync", to, error))
        };
        let (&first, others) = files
            .split_first()
            .expect("the segment that was open at the start is closed at least");
        for &(kind, number, bytes) in others {
            make_file(kind, number, bytes)?;
        }
        sync()?;
        let (kind, number, bytes) = first;
        make_file(kind, number, bytes)?;
        sync()?;
        Ok(Backup {
            last: self.last,
            files: files.len(),
            bytes: files.iter().map(|(_, _, bytes)| bytes).sum(),
        })
    }
}

/// Copies the first `bytes` of a file.
fn copy(fs: &dyn FileSystem, from: &Path, to: &Path, bytes: u64) -> std::io::Result<()> {
    const COPY_BYTES: u64 = 1 << 20;
    let source = fs.open(from)?;
    let target = fs.create(to)?;
    let mut chunk = vec![0; COPY_BYTES.min(bytes) as usize];
    let mut offset = 0;
    while offset < bytes {
        let wanted = COPY_BYTES.min(bytes - offset) as usize;
        let got = source.read_at(offset, &mut chunk[..wanted])?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all_at(offset, &chunk[..got])?;
        offset += got as u64;
    }
    target.sync_data()
}
