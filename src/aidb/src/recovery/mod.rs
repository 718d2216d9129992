//! Reads a database directory from its first record to its last, and decides what a bad frame means.
//!
//! A frame says up to which other frame everything was on disk for certain when it was made. So a bad frame that some
//! intact later frame (or the header of a later segment) says was synced is damage, and the start fails. Any other bad
//! frame is the end of what was kept: unsynced pages reach a disk in any order, so frames behind it may look good and
//! are cut all the same, or the result would not be a prefix of what happened.
//!
//! Tables come first (`load`), then the journal. [`scan`] only reads. `Scan::cut` makes what it found final. Depends on `segment`, `frame`, `batch` and `fs`.

mod cut;
mod load;
mod reader;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use load::{Load, Part};
pub(crate) use reader::{FrameReader, Next, Step};

use crate::batch::Records;
use crate::frame::{Header, Kind};
use crate::fs::{File, FileSystem};
use crate::journal::{Closed, Run};
use crate::order::{Group, Order};
use crate::segment::{FRAMES_AT, FileKind, Listing, SegmentHeader};
use crate::{Error, Op, Result, Sequence};
use reader::{Evidence, frames_behind, last_nonzero};

/// What [`crate::DB::open`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Write batches of the journal that were replayed.
    pub batches: u64,
    pub records: u64,
    /// Bytes of all files that were read.
    pub bytes: u64,
    pub tables: usize,
    pub segments: usize,
    pub last: Sequence,
    /// The journal was closed in good order.
    pub clean: bool,
    pub cut: Option<Cut>,
}

/// An end of the journal that was not what its writer meant, and what was given up there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub file: PathBuf,
    pub offset: u64,
    /// The first batch that is lost.
    pub sequence: Sequence,
    /// Bytes that were dropped, in this and in later segments.
    pub bytes: u64,
    /// Intact frames among them.
    pub later_frames: u64,
    pub what: String,
}

/// A bad place, and what follows from it.
#[derive(Debug)]
pub(crate) struct BadPlace {
    pub cut: Cut,
    /// The lost frame had been synced, as this sequence number from behind the bad place shows.
    pub synced: Option<Sequence>,
    /// The number of the segment with the bad place; all after it are given up.
    number: u64,
}

/// The result of reading a directory.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub recovery: Recovery,
    /// What stands for segments, the oldest first.
    pub runs: Vec<Run>,
    pub closed: Vec<Closed>,
    pub bad: Option<BadPlace>,
    /// What comes after this batch is not looked at.
    until: Option<Sequence>,
    listing: Listing,
    /// Frames that nothing read so far says were synced, with the segment and the offset of each.
    unsynced: VecDeque<(Sequence, u64, u64)>,
}

/// Reads everything in the directory and hands every record to `load`.
pub(crate) fn scan(
    fs: &dyn FileSystem,
    dir: &Path,
    group: Group,
    load: &mut dyn Load,
) -> Result<Scan> {
    let mut scan = Scan {
        listing: Listing::read(fs, dir)?,
        ..Scan::default()
    };
    scan.load_runs(fs, dir, Order { group }, load)?;
    scan.read_segments(fs, dir, load)?;
    Ok(scan)
}

/// Looks whether everything is intact, up to and with a batch, as if it were the last one in the directory. For that nobody
/// needs to know the groups of the records.
pub(crate) fn verify(fs: &dyn FileSystem, dir: &Path, until: Option<Sequence>) -> Result<Scan> {
    let mut scan = Scan {
        until,
        listing: Listing::read(fs, dir)?,
        ..Scan::default()
    };
    scan.verify_runs(fs, dir)?;
    scan.read_segments(fs, dir, &mut Nowhere)?;
    Ok(scan)
}

/// For those who only look whether all is intact.
struct Nowhere;

impl Load for Nowhere {
    fn apply(&mut self, _op: Op<'_>) -> Result<(), String> {
        Ok(())
    }
}

struct OpenFile {
    path: PathBuf,
    file: Arc<dyn File>,
    header: SegmentHeader,
    bytes: u64,
}

impl OpenFile {
    fn open(fs: &dyn FileSystem, dir: &Path, kind: FileKind, number: u64) -> Result<OpenFile> {
        let path = kind.path(dir, number);
        let (file, header) = SegmentHeader::open(fs, &path, kind, number)?;
        let bytes = file
            .byte_len()
            .map_err(|error| Error::io("read", &path, error))?;
        Ok(OpenFile {
            path,
            file,
            header,
            bytes,
        })
    }

    fn frames(&self) -> FrameReader<'_> {
        FrameReader::new(&*self.file, self.bytes, self.header.salt)
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("read", &self.path, error)
    }
}

impl Scan {
    /// The error that a bad place is, if what was lost there had been synced.
    pub(crate) fn damage(&self) -> Option<Error> {
        let bad = self.bad.as_ref()?;
        let synced = bad.synced?;
        let what = format!(
            "{}; later frames show that everything up to batch {synced} was synced",
            bad.cut.what
        );
        Some(Error::damaged(&bad.cut.file, bad.cut.offset, what))
    }

    /// The number of the first segment that is not there.
    pub(crate) fn next_number(&self) -> u64 {
        let covered = self.listing.covered();
        self.closed.last().map_or(covered, |closed| closed.number) + 1
    }

    fn read_segments(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        load: &mut dyn Load,
    ) -> Result<()> {
        let covered = self.listing.covered();
        let numbers: Vec<u64> = self
            .listing
            .segments
            .iter()
            .copied()
            .filter(|&number| number > covered)
            .collect();
        let missing = |number| Error::MissingSegment {
            file: FileKind::Journal.path(dir, number),
        };
        if numbers.is_empty() && covered > 0 {
            return Err(missing(covered + 1));
        }
        for (index, (&number, expected)) in numbers.iter().zip(covered + 1..).enumerate() {
            if number != expected {
                return Err(missing(expected));
            }
            if !self.read_segment(fs, dir, number, load)? {
                return self.judge(fs, dir, &numbers[index..]);
            }
            if self.until.is_some_and(|until| until <= self.recovery.last) {
                break;
            }
        }
        Ok(())
    }

    /// False if the segment has a bad place, which is then noted.
    fn read_segment(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        number: u64,
        load: &mut dyn Load,
    ) -> Result<bool> {
        let segment = OpenFile::open(fs, dir, FileKind::Journal, number)?;
        self.note_synced(segment.header.sequence);
        let mut frames = segment.frames();
        let (end, what) = loop {
            let expected = self.recovery.last + 1;
            if segment.header.sequence >= expected && frames.is_at_start() {
                break (
                    FRAMES_AT,
                    Some(format!(
                        "batch {expected}, which was synced before this file was made, is missing"
                    )),
                );
            }
            match frames.next().map_err(|error| segment.failed(error))? {
                Next::Frame { offset, .. } if self.until.is_some_and(|until| until < expected) => {
                    break (offset, None);
                }
                Next::Frame { offset, header, .. } if header.sequence != expected => {
                    break (
                        offset,
                        Some(format!(
                            "batch {} stands where batch {expected} belongs",
                            header.sequence
                        )),
                    );
                }
                Next::Frame {
                    offset,
                    header,
                    payload,
                } => {
                    self.replay_frame(&segment.path, offset, &header, payload, load)?;
                    self.note_frame(&header, number, offset);
                }
                Next::End { offset } => break (offset, None),
                Next::Bad { offset, what } => break (offset, Some(what.to_owned())),
            }
        };
        self.recovery.bytes += end;
        self.recovery.segments += 1;
        self.closed.push(Closed { number, bytes: end });
        let Some(what) = what else {
            return Ok(true);
        };
        let cut = Cut {
            file: segment.path,
            offset: end,
            sequence: self.recovery.last + 1,
            bytes: 0,
            later_frames: 0,
            what,
        };
        self.bad = Some(BadPlace {
            cut,
            synced: None,
            number,
        });
        Ok(false)
    }

    /// Takes note of a frame of a segment, which is whole and was replayed.
    fn note_frame(&mut self, header: &Header, number: u64, offset: u64) {
        self.recovery.batches += u64::from(header.kind == Kind::Batch);
        self.recovery.last = header.sequence;
        self.recovery.clean = header.kind == Kind::Close;
        self.unsynced.push_back((header.sequence, number, offset));
        self.note_synced(header.synced);
    }

    fn note_synced(&mut self, synced: Sequence) {
        while self
            .unsynced
            .front()
            .is_some_and(|&(sequence, ..)| sequence <= synced)
        {
            self.unsynced.pop_front();
        }
    }

    fn replay_frame(
        &mut self,
        path: &Path,
        offset: u64,
        header: &Header,
        payload: &[u8],
        load: &mut dyn Load,
    ) -> Result<()> {
        let refused = |what: String| Error::Replay {
            file: path.to_path_buf(),
            offset,
            what,
        };
        let mut records = 0;
        for op in Records::new(payload) {
            let op = op.map_err(|_| refused("its encoding is unknown".to_owned()))?;
            load.apply(op).map_err(refused)?;
            records += 1;
        }
        if records != header.records {
            return Err(refused(format!(
                "{records} records where {} were announced",
                header.records
            )));
        }
        self.recovery.records += u64::from(records);
        Ok(())
    }

    /// Looks behind the bad place: what would be given up, and whether it had been synced.
    fn judge(&mut self, fs: &dyn FileSystem, dir: &Path, numbers: &[u64]) -> Result<()> {
        let bad = self.bad.as_mut().expect("called for a bad place");
        let mut synced = 0;
        for &number in numbers {
            let segment = OpenFile::open(fs, dir, FileKind::Journal, number)?;
            let from = if number == bad.number {
                bad.cut.offset
            } else {
                FRAMES_AT
            };
            let Evidence {
                frames,
                synced: claimed,
            } = frames_behind(
                &*segment.file,
                segment.bytes,
                segment.header.salt,
                from,
                bad.cut.sequence,
            )
            .map_err(|error| segment.failed(error))?;
            let end = last_nonzero(&*segment.file, from, segment.bytes)
                .map_err(|error| segment.failed(error))?;
            bad.cut.bytes += end.map_or(0, |end| end - from);
            bad.cut.later_frames += frames;
            synced = synced.max(claimed).max(segment.header.sequence);
        }
        if synced >= bad.cut.sequence {
            bad.synced = Some(synced);
        }
        self.recovery.cut = Some(bad.cut.clone());
        Ok(())
    }
}
