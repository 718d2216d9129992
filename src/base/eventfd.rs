//! A kernel counter that any thread may raise and that one sleeper waits for.
//!
//! Unsafe: `eventfd(2)` has no wrapper in the standard library.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An `eventfd(2)` in blocking mode: `io_uring` answers a read of a non-blocking one with `EAGAIN` instead of waiting.
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(EventFd(File::from(owned)))
    }

    /// Raises the counter, which wakes whoever waits for it.
    ///
    /// A write of one to an eventfd fails only when 2^64 - 2 earlier ones were never read, so there is no error to return.
    pub fn signal(&self) {
        let written = (&self.0).write(&1u64.to_ne_bytes());
        debug_assert!(written.is_ok(), "eventfd write: {written:?}");
    }

    /// Waits until the counter is raised and resets it to zero.
    pub fn wait(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }

    /// A second descriptor of the same counter.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        Ok(OwnedFd::from(self.0.try_clone()?))
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
