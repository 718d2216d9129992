//! How a shard waits: in its own ring, for its sockets and its mailbox at once, together with the submission. One system
//! call does it all.
//!
//! The ring polls the mailbox's eventfd. The shard never waits inside glommio: that falls asleep beside runnable tasks
//! when its preempt timer fires after it polled for events and before it ran the first task, which happens when the
//! thread loses its core in between, and nothing but another event ends such a sleep.
//!
//! Unsafe: names the mailbox's descriptor in a request.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fd;

use super::ring::Ring;
use super::token::Token;
use super::{Net, Sockets};
use crate::base::mailbox::Mailbox;

/// How long the shard may sleep beside sends that the socket may have taken at once: such a send posts nothing, only the
/// next poll can report it.
const SETTLE_MAX: Duration = Duration::from_millis(1);

pub(super) struct Alarm {
    mail: OwnedFd,
    /// Whether the ring polls `mail`.
    polling: bool,
}

impl Alarm {
    pub fn new<T>(mailbox: &Mailbox<T>) -> io::Result<Alarm> {
        Ok(Alarm {
            mail: mailbox.event().duplicate()?,
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
        let entry = opcode::PollAdd::new(Fd(self.mail.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(Token::Mail.pack());
        // SAFETY: the descriptor lives as long as the alarm, which `Net` drops after its ring.
        unsafe { ring.push(&entry) };
        self.polling = true;
    }
}

impl Net {
    /// Submits what is queued, then waits until there is something to poll, mail, or `at_most` has passed. May return
    /// early, and returns at once if there is something already. `mailbox` is the one that `new` was given.
    pub fn sleep<T>(&mut self, mailbox: &Mailbox<T>, at_most: Duration) -> io::Result<()> {
        self.alarm.poll_mailbox(&mut self.sockets.ring);
        if self.sockets.has_news() || !mailbox.prepare_to_sleep() {
            return self.sockets.submit();
        }
        let patience = if self.sockets.has_unsettled_sends() {
            at_most.min(SETTLE_MAX)
        } else {
            at_most
        };
        let slept = self.sockets.ring.submit_and_wait(patience);
        mailbox.woke_up();
        slept
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
