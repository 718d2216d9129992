//! The submission and completion queues of one shard.
//!
//! Unsafe: an entry carries raw pointers and descriptors; [`Ring::push`] passes their validity on to its callers.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

/// Completions taken from the kernel at a time: enough to amortise the queue's barriers, small enough for the stack.
pub(super) const DRAIN_BATCH: usize = 64;

/// Room for completions per room for submissions: multishot requests complete many times.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// A failed `io_uring_enter` is tried this often before a full submission queue is an error of ours.
const SUBMIT_ATTEMPTS_MAX: u32 = 1000;

pub(super) struct Ring {
    uring: IoUring,
}

impl Ring {
    /// Must run on the thread that will use the ring: the kernel refuses every other one (`SINGLE_ISSUER`).
    pub fn new(entries: u32) -> io::Result<Ring> {
        let uring: IoUring = IoUring::builder()
            .setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY))
            .setup_clamp()
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(entries)?;
        uring.submitter().register_ring_fd()?;
        Ok(Ring { uring })
    }

    /// Queues an entry; a full queue is submitted first.
    ///
    /// # Safety
    ///
    /// Every descriptor and pointer in the entry must stay valid until its last completion.
    pub unsafe fn push(&mut self, entry: &squeue::Entry) {
        for _ in 0..SUBMIT_ATTEMPTS_MAX {
            // SAFETY: the caller's promise.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            // The kernel may be short of memory or of room for completions: both pass.
            if self.submit().is_err() {
                std::thread::yield_now();
            }
        }
        panic!("io_uring takes no submissions: {:?}", self.submit());
    }

    /// Hands over what is queued and runs the kernel's deferred work, without waiting.
    pub fn submit(&mut self) -> io::Result<()> {
        if self.is_submitted() && !self.has_deferred_work() {
            return Ok(());
        }
        match self.uring.submit() {
            Ok(_) => Ok(()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hands over what is queued and waits for a completion, but no longer than `patience`.
    pub fn submit_and_wait(&mut self, patience: Duration) -> io::Result<()> {
        let timeout = Timespec::from(patience);
        let args = SubmitArgs::new().timespec(&timeout);
        match self.uring.submitter().submit_with_args(1, &args) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) || is_transient(&error) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether everything queued has been handed to the kernel.
    pub fn is_submitted(&mut self) -> bool {
        self.uring.submission().is_empty()
    }

    /// Whether the kernel keeps work, or completions that found no room, for the next submission.
    pub fn has_deferred_work(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    pub fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    pub fn overflowed(&mut self) -> bool {
        self.uring.submission().cq_overflow()
    }

    /// Takes the completions that are there, at most a batch.
    pub fn drain<'a>(
        &mut self,
        batch: &'a mut [MaybeUninit<cqueue::Entry>; DRAIN_BATCH],
    ) -> &'a [cqueue::Entry] {
        self.uring.completion().fill(batch)
    }

    /// # Safety
    ///
    /// `entries` must point to `count` entries that outlive the ring.
    pub unsafe fn register_buffers(
        &mut self,
        entries: u64,
        count: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe {
            self.uring
                .submitter()
                .register_buf_ring_with_flags(entries, count, group, 0)
        }
    }

    /// Cancels every request and waits until the kernel is done with all of them.
    pub fn cancel_all(&mut self) -> io::Result<()> {
        match self
            .uring
            .submitter()
            .register_sync_cancel(None, CancelBuilder::any())
        {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }
}

/// Failures of `io_uring_enter` after which the same call may simply be made again: interrupted, short of memory, or
/// completions to be drained first.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}
