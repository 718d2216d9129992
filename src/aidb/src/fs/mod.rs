//! All access to files, behind two traits, so that a test can fail, tear or crash any single operation.
//!
//! [`RealFileSystem`] is the operating system's; [`FaultyFileSystem`] lives in memory and breaks on request.

mod faulty;
mod real;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use faulty::{Fault, FaultyFileSystem};
pub use real::RealFileSystem;

pub trait FileSystem: Send + Sync {
    /// Makes the directory and its parents, durably; one that exists is left as it is.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock file's lock until the result is dropped. Held by another: `ErrorKind::WouldBlock`.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>>;
    /// The names of the files in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes an empty file, also in the place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file that is on disk and will not change a second name; a copy of it where the file system has no links.
    /// `to` must not be there.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what `create`, `rename` and `remove` did in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    /// Makes sure that writes up to `offset + bytes` will find space; the file grows to that length with zeros.
    fn reserve(&self, offset: u64, bytes: u64) -> io::Result<Reserved>;
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    fn byte_len(&self) -> io::Result<u64>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    Yes,
    /// The file system cannot reserve.
    Unsupported,
}

/// Dropping it releases the lock.
pub trait DirectoryLock: Send + Sync {}
