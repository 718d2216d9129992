use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Cloneable, because one failed write is the answer to every batch that waited for it.
#[derive(Debug, Clone)]
pub enum Error {
    /// Space for the batch could not be reserved. Nothing was appended; the next append tries again.
    DiskFull { needed_bytes: u64 },
    /// A write or an fsync failed earlier. Nothing is acknowledged any more; a restart recovers what is on disk.
    Poisoned { reason: Arc<str> },
    /// The database was closed.
    Closed,
    /// The batch exceeds [`crate::PAYLOAD_BYTES_MAX`].
    BatchTooLarge { bytes: usize },
    /// Another process has the directory open.
    Locked { dir: PathBuf },
    /// Bytes that were once on disk for certain no longer read as what was written.
    Damaged {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    /// A segment between two others, or after the base, is not there.
    MissingSegment { file: PathBuf },
    /// The file was written by another version of the format.
    UnknownVersion { file: PathBuf, version: u32 },
    /// The caller of [`crate::DB::open`] refused a record.
    Replay {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    /// A rewrite is already running.
    RewriteInProgress,
    /// A backup or a restored database wants a directory without one.
    NotEmpty { dir: PathBuf },
    /// What was to be copied or checked is not there.
    NoDatabase { dir: PathBuf },
    /// A backup does not have the state after the batch that was asked for.
    OutOfReach { until: u64, first: u64, last: u64 },
    /// The operating system refused, and nothing was lost by it.
    Io {
        what: &'static str,
        path: PathBuf,
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io {
            what,
            path: path.to_path_buf(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged {
            file: file.to_path_buf(),
            offset,
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::DiskFull { needed_bytes } => {
                write!(
                    f,
                    "no space left on disk for {needed_bytes} more bytes of journal"
                )
            }
            Error::Poisoned { reason } => write!(f, "the journal stopped after an error: {reason}"),
            Error::Closed => f.write_str("the database is closed"),
            Error::BatchTooLarge { bytes } => write!(
                f,
                "a write batch of {bytes} bytes exceeds the limit of {} bytes",
                crate::PAYLOAD_BYTES_MAX
            ),
            Error::Locked { dir } => {
                write!(f, "{} is in use by another server", dir.display())
            }
            Error::Damaged { file, offset, what } => {
                write!(
                    f,
                    "{} is damaged at offset {offset}: {what}",
                    file.display()
                )
            }
            Error::MissingSegment { file } => write!(f, "{} is missing", file.display()),
            Error::UnknownVersion { file, version } => write!(
                f,
                "{} has format version {version}, this program reads version {}",
                file.display(),
                crate::segment::FORMAT_VERSION
            ),
            Error::Replay { file, offset, what } => write!(
                f,
                "the record at offset {offset} of {} was refused: {what}",
                file.display()
            ),
            Error::RewriteInProgress => f.write_str("a rewrite is already in progress"),
            Error::NotEmpty { dir } => write!(f, "{} holds a database already", dir.display()),
            Error::NoDatabase { dir } => write!(f, "{} holds no database", dir.display()),
            Error::OutOfReach { until, first, last } => write!(
                f,
                "batch {until} is out of reach: the states after the batches {first} to {last} are there"
            ),
            Error::Io { what, path, source } => {
                write!(f, "cannot {what} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
