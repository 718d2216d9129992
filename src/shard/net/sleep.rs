//! How a shard waits: for its ring and its mailbox, without starving glommio's tasks and timers.
//!
//! Two depths. While there is traffic the shard waits in its own ring, together with the submission: one system call,
//! where a sleep in glommio costs a dozen. When nothing happened for [`DIRECT_SLEEP_MAX`] it parks in glommio, which
//! then runs other tasks, or sleeps until its next timer.
//!
//! Light sleep: the ring itself polls the mailbox's eventfd for it. Deep sleep: the kernel signals the mailbox's other
//! eventfd as soon as the ring has anything to say, mail writes the same one, and a glommio read of it ends the park.
//! glommio has no call that waits for a plain descriptor; reading an eventfd as if it were a file is the same thing.
//!
//! Unsafe: gives glommio a descriptor of its own, and names the mailbox's descriptor in a request.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::{GlommioError, executor, yield_if_needed};
use io_uring::opcode;
use io_uring::types::Fd;

use super::ring::Ring;
use super::token::Token;
use super::{Net, Sockets};
use crate::base::mailbox::{Depth, Mailbox};

/// How long glommio's tasks and timers may be kept waiting by a shard that sleeps in its own ring.
pub(super) const DIRECT_SLEEP_MAX: Duration = Duration::from_millis(1);

/// glommio falls asleep beside runnable tasks when its preempt timer fires after it polled for events and before it ran
/// the first task, which happens when the thread loses its core in between. Only another event ends that sleep. A timer
/// of this length beside everything that the shard awaits in glommio is that event.
const GUARD_INTERVAL: Duration = Duration::from_millis(50);

/// What an eventfd holds.
const COUNTER_BYTES: usize = size_of::<u64>();

pub(super) struct Parker {
    /// The eventfd of deep sleep, as a file of glommio's.
    deep: BufferedFile,
    /// The eventfd of light sleep.
    light: OwnedFd,
    /// Whether the ring polls `light`.
    polling: bool,
}

impl Parker {
    pub fn new<T>(ring: &mut Ring, mailbox: &Mailbox<T>) -> io::Result<Parker> {
        let deep = mailbox.event(Depth::Deep);
        ring.register_eventfd(deep.as_raw_fd())?;
        let deep = deep.duplicate()?.into_raw_fd();
        // SAFETY: the duplicate is glommio's alone from here on.
        let deep = unsafe { BufferedFile::from_raw_fd(deep) };
        Ok(Parker {
            deep,
            light: mailbox.event(Depth::Light).duplicate()?,
            polling: false,
        })
    }

    /// Mail woke the ring; `more` says whether the ring goes on looking for it.
    pub fn mail_noticed(&mut self, more: bool) {
        self.polling = more;
    }

    /// A multishot poll reports each write once, so the counter need never be read.
    fn poll_mailbox(&mut self, ring: &mut Ring) {
        if self.polling {
            return;
        }
        let entry = opcode::PollAdd::new(Fd(self.light.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(Token::Mail.pack());
        // SAFETY: the descriptor lives as long as the parker, which `Net` drops after its ring.
        unsafe { ring.push(&entry) };
        self.polling = true;
    }
}

impl Net {
    /// Submits what is queued, then waits until there is something to poll, mail, or `at_most` has passed. May return
    /// early, and returns at once if there is something already. `mailbox` is the one that `new` was given.
    ///
    /// It is also the place where glommio's other tasks get their turn.
    pub async fn sleep<T>(
        &mut self,
        mailbox: &Mailbox<T>,
        at_most: Option<Duration>,
    ) -> io::Result<()> {
        if executor().need_preempt() {
            self.give_turn().await?;
        }
        self.parker.poll_mailbox(&mut self.sockets.ring);
        if self.sockets.has_news() || !mailbox.prepare_to_sleep(Depth::Light) {
            return self.sockets.submit();
        }
        let patience = at_most.map_or(DIRECT_SLEEP_MAX, |limit| limit.min(DIRECT_SLEEP_MAX));
        let slept = self.sockets.ring.submit_and_wait(patience);
        mailbox.woke_up();
        slept?;
        // A send that the socket took at once posts nothing: only the next poll can report it.
        if self.sockets.has_news()
            || self.sockets.has_unsettled_sends()
            || !self.sockets.ring.is_submitted()
        {
            return Ok(());
        }
        self.sockets.ring.notify(true);
        let parked = self
            .park(mailbox, at_most.map(|limit| limit.saturating_sub(patience)))
            .await;
        self.sockets.ring.notify(false);
        mailbox.woke_up();
        parked
    }

    /// Submits what is queued, then gives glommio's other tasks their turn if it is time for one. For a shard that has
    /// more to do: a bare yield could put it to sleep (see [`GUARD_INTERVAL`]).
    pub async fn give_turn(&mut self) -> io::Result<()> {
        self.sockets.submit()?;
        if !executor().need_preempt() {
            return Ok(());
        }
        let turn = async {
            yield_if_needed().await;
            Ok(())
        };
        guarded(GUARD_INTERVAL, turn).await.map(drop)
    }

    /// Waits in glommio. A signal that comes before the read is not lost: the eventfd counts. A read that was given up
    /// may have taken the signal with it, so everything is looked at again after each.
    async fn park<T>(&mut self, mailbox: &Mailbox<T>, at_most: Option<Duration>) -> io::Result<()> {
        let mut rest = at_most.unwrap_or(Duration::MAX);
        while !rest.is_zero() && !self.sockets.has_news() && mailbox.prepare_to_sleep(Depth::Deep) {
            let nap = rest.min(GUARD_INTERVAL);
            let signal = async { self.parker.deep.read_at(0, COUNTER_BYTES).await.map(drop) };
            if guarded(nap, signal).await? {
                return Ok(());
            }
            rest = rest.saturating_sub(nap);
        }
        Ok(())
    }
}

/// Awaits `work` beside a timer that ends it. `false`: the timer was first.
async fn guarded(
    limit: Duration,
    work: impl Future<Output = Result<(), GlommioError<()>>>,
) -> io::Result<bool> {
    match glommio::timer::timeout(limit, work).await {
        Ok(()) => Ok(true),
        Err(GlommioError::TimedOut(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Sockets {
    /// Whether sends were handed to the kernel whose outcome `poll` has not reported.
    fn has_unsettled_sends(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Whether `poll` has something to report.
    fn has_news(&mut self) -> bool {
        self.ring.has_completions() || self.ring.has_deferred_work() || self.has_ended()
    }
}
