//! How a shard waits: for its ring and its mailbox, without starving glommio's tasks and timers.
//!
//! Two depths. While there is traffic the shard waits in its own ring, together with the submission: one system call,
//! where a sleep in glommio costs a dozen. When nothing happened for [`DIRECT_SLEEP_MAX`] it parks in glommio, which
//! then runs other tasks, or sleeps until its next timer.
//!
//! One source of wake-ups for both: the ring polls the mailbox's eventfd, and while the shard is parked the kernel
//! signals a second eventfd as soon as the ring has anything to say; a glommio read of that one ends the park. glommio
//! has no call that waits for a plain descriptor; reading an eventfd as if it were a file is the same thing.
//!
//! Unsafe: gives glommio a descriptor of its own, and names the mailbox's descriptor in a request.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::{GlommioError, executor, yield_if_needed};
use io_uring::opcode;
use io_uring::types::Fd;

use super::ring::Ring;
use super::token::Token;
use super::{Net, Sockets};
use crate::base::eventfd::EventFd;
use crate::base::mailbox::Mailbox;

/// How long glommio's tasks and timers may be kept waiting by a shard that sleeps in its own ring.
pub(super) const DIRECT_SLEEP_MAX: Duration = Duration::from_millis(1);

/// What an eventfd holds.
const COUNTER_BYTES: usize = size_of::<u64>();

pub(super) struct Parker {
    /// The eventfd that the kernel signals while the shard is parked, as a file of glommio's.
    signal: BufferedFile,
    /// The mailbox descriptor that the ring polls; none before the first sleep and after the kernel ended the poll.
    polled: Option<RawFd>,
}

impl Parker {
    pub fn new(ring: &mut Ring) -> io::Result<Parker> {
        let signal = EventFd::new()?;
        ring.register_eventfd(signal.as_raw_fd())?;
        let signal = OwnedFd::from(signal).into_raw_fd();
        // SAFETY: glommio becomes the only owner. (The kernel holds the counter itself, not its descriptor.)
        let signal = unsafe { BufferedFile::from_raw_fd(signal) };
        Ok(Parker { signal, polled: None })
    }

    /// The mailbox's eventfd was written; `more` says whether the ring goes on polling it.
    pub fn mail_noticed(&mut self, more: bool) {
        if !more {
            self.polled = None;
        }
    }

    /// A multishot poll reports each write once, so the counter need never be read.
    fn poll_mailbox(&mut self, ring: &mut Ring, wake_fd: RawFd) {
        if self.polled == Some(wake_fd) {
            return;
        }
        assert!(self.polled.is_none(), "a shard has one mailbox");
        let entry = opcode::PollAdd::new(Fd(wake_fd), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(Token::Mail.pack());
        // SAFETY: the kernel takes its own reference to the file behind the descriptor.
        unsafe { ring.push(&entry) };
        self.polled = Some(wake_fd);
    }
}

impl Net {
    /// Submits what is queued, then waits until there is something to poll, mail, or `at_most` has passed. May return
    /// early, and returns at once if there is something already.
    ///
    /// It is also the place where glommio's other tasks get their turn.
    pub async fn sleep<T>(&mut self, mailbox: &Mailbox<T>, at_most: Option<Duration>) -> io::Result<()> {
        if executor().need_preempt() {
            self.sockets.submit()?;
            yield_if_needed().await;
        }
        self.parker.poll_mailbox(&mut self.sockets.ring, mailbox.wake_fd());
        if self.sockets.has_news() || !mailbox.prepare_to_sleep() {
            return self.sockets.submit();
        }
        let slept = self.sleep_announced(at_most).await;
        mailbox.woke_up();
        slept
    }

    async fn sleep_announced(&mut self, at_most: Option<Duration>) -> io::Result<()> {
        let patience = at_most.map_or(DIRECT_SLEEP_MAX, |limit| limit.min(DIRECT_SLEEP_MAX));
        self.sockets.ring.submit_and_wait(patience)?;
        let rest = at_most.map(|limit| limit.saturating_sub(patience));
        if self.sockets.has_news() || rest == Some(Duration::ZERO) {
            return Ok(());
        }
        self.sockets.ring.notify(true);
        let parked = self.park(rest).await;
        self.sockets.ring.notify(false);
        parked
    }

    /// Waits in glommio. A signal that came before the read is not lost: the eventfd counts.
    async fn park(&mut self, at_most: Option<Duration>) -> io::Result<()> {
        if self.sockets.has_news() || !self.sockets.ring.is_submitted() {
            return Ok(());
        }
        let signal = self.parker.signal.read_at(0, COUNTER_BYTES);
        let waited = match at_most {
            None => signal.await.map(drop),
            Some(limit) => timeout(limit, signal).await,
        };
        waited.map_err(io::Error::from)
    }
}

async fn timeout<T>(limit: Duration, signal: impl Future<Output = Result<T, GlommioError<()>>>) -> Result<(), GlommioError<()>> {
    match glommio::timer::timeout(limit, signal).await {
        Ok(_) | Err(GlommioError::TimedOut(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Sockets {
    /// Whether `poll` has something to report.
    fn has_news(&mut self) -> bool {
        self.ring.has_completions() || self.ring.has_deferred_work() || self.has_ended()
    }
}
