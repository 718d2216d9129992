//! The one way into a shard from another thread: a queue, and an eventfd that is written only if the owner sleeps.
//!
//! No lost wake-up (Dekker's argument): the sender publishes its message and then reads `sleeping`; the owner sets
//! `sleeping` and then looks at the queue. A sequentially consistent fence stands between the two steps on both sides,
//! so at least one of them sees the other: either the owner finds the message and stays awake, or the sender finds the
//! owner asleep and writes the eventfd, which the owner's wait cannot miss because an eventfd counts.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;

use super::eventfd::EventFd;

/// Messages for one owner thread from any number of threads. Share it in an `Arc`.
///
/// The queue itself has no limit: what is posted answers to requests that are limited elsewhere (a lock that was
/// granted, a commit that is done), and a sender that had to wait for room in a mailbox could deadlock two shards.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: SegQueue<T>,
    sleeping: CachePadded<AtomicBool>,
    wake: EventFd,
}

impl<T> Mailbox<T> {
    pub fn new() -> io::Result<Mailbox<T>> {
        Ok(Mailbox {
            queue: SegQueue::new(),
            sleeping: CachePadded::new(AtomicBool::new(false)),
            wake: EventFd::new()?,
        })
    }

    /// Posts a message from any thread; costs a system call only if the owner sleeps and nobody has woken it yet.
    pub fn push(&self, message: T) {
        self.queue.push(message);
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            self.wake.signal();
        }
    }

    /// The oldest message, for the owner.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The owner announces that it is about to wait for [`wake_fd`](Self::wake_fd). `false` means that a message is
    /// there already and the owner must not wait.
    #[must_use]
    pub fn prepare_to_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.woke_up();
        false
    }

    /// The owner is awake again and looks at the queue by itself.
    pub fn woke_up(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Becomes readable when a message arrives during sleep.
    pub fn wake_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// The counter behind [`wake_fd`](Self::wake_fd), for an owner that waits by a blocking read.
    pub fn wake_event(&self) -> &EventFd {
        &self.wake
    }
}
