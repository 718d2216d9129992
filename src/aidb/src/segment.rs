//! Names, headers and making of the files that hold frames.
//!
//! A journal segment appears under its name only when its header is on disk, so a header that does not read is damage
//! and never a half-made file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::fs::{File, FileSystem, Reserved};
use crate::{Error, Result, Sequence};

/// What is written. Version 1, which has no tables, is read as well.
pub(crate) const FORMAT_VERSION: u32 = 2;
const FORMAT_VERSION_MIN: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
/// Where the first frame of every file begins.
pub(crate) const FRAMES_AT: u64 = HEADER_BYTES as u64;

const TEMPORARY: &str = ".tmp";
const JOURNAL: &str = "journal-";
const BASE: &str = "base-";
const TABLE: &str = "table-";
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// What a file is. The number that goes with it is that of the segment, or of the last one it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A segment of the journal.
    Journal,
    /// What version 1 made of all segments up to its number: each live key once, in no order.
    Base,
    /// What the segments from `first` on say last of each key.
    Table { first: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub kind: FileKind,
    pub number: u64,
    pub salt: u32,
    /// Journal: all frames up to this one were on disk when the segment was made. Else: the last frame it stands for.
    pub sequence: Sequence,
}

/// A journal segment that is open for appending.
pub(crate) struct Segment {
    pub number: u64,
    pub salt: u32,
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Where its last frame ends; `u64::MAX` as long as more may follow.
    pub end: AtomicU64,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Journal => b"AiDbJrnl",
            FileKind::Base => b"AiDbBase",
            FileKind::Table { .. } => b"AiDbTabl",
        }
    }

    /// The first segment that the file is or stands for.
    pub(crate) fn first(self, number: u64) -> u64 {
        match self {
            FileKind::Journal => number,
            FileKind::Base => 1,
            FileKind::Table { first } => first,
        }
    }

    fn name(self, number: u64) -> String {
        match self {
            FileKind::Journal => format!("{JOURNAL}{number:010}"),
            FileKind::Base => format!("{BASE}{number:010}"),
            FileKind::Table { first } => format!("{TABLE}{first:010}-{number:010}"),
        }
    }

    pub(crate) fn path(self, dir: &Path, number: u64) -> PathBuf {
        dir.join(self.name(number))
    }

    pub(crate) fn temporary_path(self, dir: &Path, number: u64) -> PathBuf {
        dir.join(self.name(number) + TEMPORARY)
    }

    /// Where a part of a table is kept while it is made.
    pub(crate) fn part_path(self, dir: &Path, number: u64, part: usize) -> PathBuf {
        dir.join(format!("{}.{part}{TEMPORARY}", self.name(number)))
    }

    /// Kind and number of the file with this name.
    fn parse(name: &str) -> Option<(FileKind, u64)> {
        if let Some(digits) = name.strip_prefix(JOURNAL) {
            return Some((FileKind::Journal, parse_number(digits)?));
        }
        if let Some(digits) = name.strip_prefix(BASE) {
            return Some((FileKind::Base, parse_number(digits)?));
        }
        let (first, number) = name.strip_prefix(TABLE)?.split_once('-')?;
        let (first, number) = (parse_number(first)?, parse_number(number)?);
        (1..=number)
            .contains(&first)
            .then_some((FileKind::Table { first }, number))
    }
}

fn parse_number(digits: &str) -> Option<u64> {
    (digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(self.kind.magic());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        if let FileKind::Table { first } = self.kind {
            bytes[32..40].copy_from_slice(&first.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Opens the file that should be number `number` of its kind, and reads its header.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        path: &Path,
        kind: FileKind,
        number: u64,
    ) -> Result<(Arc<dyn File>, SegmentHeader)> {
        let file = fs
            .open(path)
            .map_err(|error| Error::io("open", path, error))?;
        let header = SegmentHeader::read(&*file, path, kind, number)?;
        Ok((file, header))
    }

    fn read(file: &dyn File, path: &Path, kind: FileKind, number: u64) -> Result<SegmentHeader> {
        let mut bytes = [0; HEADER_BYTES];
        let read = file
            .read_at(0, &mut bytes)
            .map_err(|error| Error::io("read", path, error))?;
        if read < HEADER_BYTES {
            return Err(Error::damaged(
                path,
                0,
                "the file is shorter than its header",
            ));
        }
        if &bytes[..8] != kind.magic() {
            return Err(Error::damaged(
                path,
                0,
                "the file does not begin as its name says",
            ));
        }
        let u32_at =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&u32_at(8)) {
            return Err(Error::UnknownVersion {
                file: path.to_path_buf(),
                version: u32_at(8),
            });
        }
        if u32_at(CHECKSUM_AT) != crc32c::crc32c(&bytes[..CHECKSUM_AT]) {
            return Err(Error::damaged(
                path,
                0,
                "the checksum of the file's header is wrong",
            ));
        }
        if u64_at(16) != number {
            return Err(Error::damaged(
                path,
                0,
                format!("the file was made as number {}", u64_at(16)),
            ));
        }
        if let FileKind::Table { first } = kind
            && u64_at(32) != first
        {
            return Err(Error::damaged(
                path,
                0,
                format!("the file was made for the segments from {} on", u64_at(32)),
            ));
        }
        Ok(SegmentHeader {
            kind,
            number,
            salt: u32_at(12),
            sequence: u64_at(24),
        })
    }
}

impl Segment {
    /// Makes a segment with its first reservation, durably, and returns how far space is reserved.
    pub(crate) fn create(
        fs: &dyn FileSystem,
        dir: &Path,
        header: SegmentHeader,
        reserve_bytes: u64,
    ) -> Result<(Segment, u64)> {
        debug_assert_eq!(header.kind, FileKind::Journal);
        let temporary = header.kind.temporary_path(dir, header.number);
        let path = header.kind.path(dir, header.number);
        let failed = |error| Error::io("create", &path, error);
        let file = fs.create(&temporary).map_err(failed)?;
        let reserved = match file
            .reserve(0, reserve_bytes)
            .map_err(|error| refusal(error, &path, reserve_bytes))?
        {
            Reserved::Yes => reserve_bytes,
            Reserved::Unsupported => u64::MAX,
        };
        file.write_all_at(0, &header.encode()).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        fs.rename(&temporary, &path).map_err(failed)?;
        fs.sync_dir(dir).map_err(failed)?;
        let segment = Segment {
            number: header.number,
            salt: header.salt,
            path,
            file,
            end: AtomicU64::new(u64::MAX),
        };
        Ok((segment, reserved))
    }
}

/// The files of a database directory, as their names say.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// What stands for segments: the oldest first, without gaps.
    pub runs: Vec<(FileKind, u64)>,
    /// What newer runs stand for.
    pub superseded: Vec<PathBuf>,
    pub segments: Vec<u64>,
    pub temporaries: Vec<PathBuf>,
}

impl Listing {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.segments.is_empty()
    }

    pub(crate) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut runs = Vec::new();
        for name in fs
            .list(dir)
            .map_err(|error| Error::io("list", dir, error))?
        {
            match FileKind::parse(&name) {
                Some((FileKind::Journal, number)) => listing.segments.push(number),
                Some(run) => runs.push(run),
                None if is_temporary(&name) => listing.temporaries.push(dir.join(name)),
                None => {}
            }
        }
        listing.segments.sort_unstable();
        listing.sort_out(dir, runs)?;
        Ok(listing)
    }

    /// Of the runs that begin with the same segment the longest counts, and all that it stands for is left over. A run that
    /// is merged from others stands for all of them, so whatever a crash leaves, runs never overlap in part.
    fn sort_out(&mut self, dir: &Path, mut runs: Vec<(FileKind, u64)>) -> Result<()> {
        runs.sort_unstable_by_key(|&(kind, number)| {
            (
                kind.first(number),
                std::cmp::Reverse(number),
                kind == FileKind::Base,
            )
        });
        let mut covered = 0;
        for (kind, number) in runs {
            let path = kind.path(dir, number);
            if number <= covered {
                self.superseded.push(path);
            } else if kind.first(number) == covered + 1 {
                self.runs.push((kind, number));
                covered = number;
            } else if kind.first(number) <= covered {
                let what = "it stands for segments for which another file stands too";
                return Err(Error::damaged(&path, 0, what));
            } else {
                let file = FileKind::Journal.path(dir, covered + 1);
                return Err(Error::MissingSegment { file });
            }
        }
        Ok(())
    }

    /// The last segment for which a run stands.
    pub(crate) fn covered(&self) -> u64 {
        self.runs.last().map_or(0, |&(_, number)| number)
    }
}

/// A refused reservation: that there is no more space (on the disk, in a quota, under the process's limit for files), or
/// what else the system says.
pub(crate) fn refusal(error: std::io::Error, path: &Path, needed_bytes: u64) -> Error {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Error::DiskFull { needed_bytes },
        _ => Error::io("reserve space in", path, error),
    }
}

fn is_temporary(name: &str) -> bool {
    let Some(name) = name.strip_suffix(TEMPORARY) else {
        return false;
    };
    let whole = name.split_once('.').map_or(name, |(whole, _)| whole);
    FileKind::parse(whole).is_some()
}
