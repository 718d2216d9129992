//! Names, headers and making of the files that hold frames.
//!
//! A journal segment appears under its name only when its header is on disk, so a header that does not read is damage
//! and never a half-made file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::fs::{File, FileSystem, Reserved};
use crate::{Error, Result, Sequence};

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
/// Where the first frame of every file begins.
pub(crate) const FRAMES_AT: u64 = HEADER_BYTES as u64;

const TEMPORARY: &str = ".tmp";
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// What a file is: a segment of the journal, or a base, which stands for all segments up to its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Journal,
    Base,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub kind: FileKind,
    pub number: u64,
    pub salt: u32,
    /// Journal: all frames up to this one were on disk when the segment was made. Base: the last frame it stands for.
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
        }
    }

    fn stem(self) -> &'static str {
        match self {
            FileKind::Journal => "journal-",
            FileKind::Base => "base-",
        }
    }

    pub(crate) fn path(self, dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{}{number:010}", self.stem()))
    }

    pub(crate) fn temporary_path(self, dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{}{number:010}{TEMPORARY}", self.stem()))
    }

    fn number_of(self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(self.stem())?;
        (digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())?
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(self.kind.magic());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file that should be number `number` of its kind.
    pub(crate) fn read(
        file: &dyn File,
        path: &Path,
        kind: FileKind,
        number: u64,
    ) -> Result<SegmentHeader> {
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
        if u32_at(8) != FORMAT_VERSION {
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
    pub bases: Vec<u64>,
    pub segments: Vec<u64>,
    pub temporaries: Vec<PathBuf>,
}

impl Listing {
    pub(crate) fn is_empty(&self) -> bool {
        self.bases.is_empty() && self.segments.is_empty()
    }

    pub(crate) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Listing> {
        let mut listing = Listing::default();
        for name in fs
            .list(dir)
            .map_err(|error| Error::io("list", dir, error))?
        {
            if let Some(number) = FileKind::Journal.number_of(&name) {
                listing.segments.push(number);
            } else if let Some(number) = FileKind::Base.number_of(&name) {
                listing.bases.push(number);
            } else if is_temporary(&name) {
                listing.temporaries.push(dir.join(name));
            }
        }
        listing.segments.sort_unstable();
        listing.bases.sort_unstable();
        Ok(listing)
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
    name.strip_suffix(TEMPORARY).is_some_and(|name| {
        FileKind::Journal.number_of(name).is_some() || FileKind::Base.number_of(name).is_some()
    })
}
