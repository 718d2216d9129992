//! Makes what a scan found final: from here on it counts as kept.

use std::path::Path;

use super::Scan;
use crate::fs::{File, FileSystem};
use crate::journal::Closed;
use crate::segment::{FRAMES_AT, FileKind};
use crate::{Error, Result};

const COPY_BYTES: u64 = 1 << 20;

impl Scan {
    /// Makes the bad place the end of the journal, and removes what a crash left over.
    ///
    /// A crash in between leaves a directory that reads the same again.
    pub(crate) fn cut(&mut self, fs: &dyn FileSystem, dir: &Path) -> Result<()> {
        let remove = |path: &Path| {
            fs.remove(path)
                .map_err(|error| Error::io("remove", path, error))?;
            // One by one and last to first: a gap between segments would read as a missing one.
            fs.sync_dir(dir)
                .map_err(|error| Error::io("fsync", dir, error))
        };
        self.drop_empty_segments();
        let covered = self.listing.covered();
        let last = self.next_number() - 1;
        for &number in self.listing.segments.iter().rev() {
            if number > last || number <= covered {
                remove(&FileKind::Journal.path(dir, number))?;
            }
        }
        for path in &self.listing.superseded {
            remove(path)?;
        }
        for path in &self.listing.temporaries {
            remove(path)?;
        }
        for closed in &self.closed {
            let path = FileKind::Journal.path(dir, closed.number);
            self.make_durable(fs, &path, *closed)
                .map_err(|error| Error::io("secure", &path, error))?;
        }
        self.bad = None;
        Ok(())
    }

    /// A segment without frames is what every start leaves. The first one stays, because a run wants a successor.
    fn drop_empty_segments(&mut self) {
        while self.closed.len() > 1
            && self
                .closed
                .last()
                .is_some_and(|closed| closed.bytes == FRAMES_AT)
        {
            self.closed.pop();
        }
    }

    /// Shortens a segment to its last frame, and brings to the disk what was perhaps read from the page cache only.
    fn make_durable(
        &self,
        fs: &dyn FileSystem,
        path: &Path,
        closed: Closed,
    ) -> std::io::Result<()> {
        let file = fs.open(path)?;
        if file.byte_len()? > closed.bytes {
            file.set_len(closed.bytes)?;
        }
        match self.unsynced.front() {
            Some(&(_, number, offset)) if number == closed.number => {
                write_again(&*file, offset, closed.bytes)?;
            }
            Some(&(_, number, _)) if number < closed.number => {
                write_again(&*file, FRAMES_AT, closed.bytes)?;
            }
            _ => {}
        }
        file.sync_data()
    }
}

/// After a failed fsync the page cache may hold good pages that the kernel takes for clean and will never write.
/// Writing them again, with what they hold, makes the next fsync mean what it says.
fn write_again(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    let mut chunk = vec![0; COPY_BYTES.min(to - from) as usize];
    let mut offset = from;
    while offset < to {
        let wanted = COPY_BYTES.min(to - offset) as usize;
        let got = file.read_at(offset, &mut chunk[..wanted])?;
        if got == 0 {
            break;
        }
        file.write_all_at(offset, &chunk[..got])?;
        offset += got as u64;
    }
    Ok(())
}
