//! The one way into a shard from another thread: a queue, and an eventfd that is written only if the owner sleeps.
//!
//! No lost wake-up (Dekker's argument): the sender publishes its message and then reads whether the owner sleeps; the owner
//! notes that it sleeps and then looks at the queue. A sequentially consistent fence stands between the two steps on
//! both sides, so at least one of them sees the other: either the owner finds the message and stays awake, or the
//! sender finds the owner asleep and writes its eventfd, which the owner's wait cannot miss because an eventfd counts.

use std::io;
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
    asleep: CachePadded<AtomicBool>,
    event: EventFd,
}

impl<T> Mailbox<T> {
    pub fn new() -> io::Result<Mailbox<T>> {
        Ok(Mailbox {
            queue: SegQueue::new(),
            asleep: CachePadded::new(AtomicBool::new(false)),
            event: EventFd::new()?,
        })
    }

    /// Posts a message from any thread; costs a system call only if the owner sleeps and nobody has woken it yet.
    pub fn push(&self, message: T) {
        self.queue.push(message);
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.event.signal();
        }
    }

    /// The oldest message, for the owner.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The owner announces that it is about to wait for [`event`](Self::event). `false` means that a message is there
    /// already and the owner must not wait.
    #[must_use]
    pub fn prepare_to_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.woke_up();
        false
    }

    /// The owner is awake again and looks at the queue by itself.
    pub fn woke_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What is signalled when a message arrives during a sleep.
    pub fn event(&self) -> &EventFd {
        &self.event
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A lost wake-up leaves the owner asleep for ever; this is when the test gives up on it.
    const PATIENCE: Duration = Duration::from_mins(1);

    /// An owner that sleeps whenever it may, until it has seen `expected` messages. Returns their sum and its sleeps.
    fn receive(mailbox: &Mailbox<u64>, expected: u64) -> (u64, u64) {
        let (mut seen, mut sum, mut sleeps) = (0, 0, 0);
        while seen < expected {
            while let Some(message) = mailbox.pop() {
                seen += 1;
                sum += message;
            }
            if seen < expected && mailbox.prepare_to_sleep() {
                mailbox.event().wait().unwrap();
                mailbox.woke_up();
                sleeps += 1;
            }
        }
        (sum, sleeps)
    }

    #[test]
    fn no_wake_up_is_lost_between_many_senders_and_a_sleepy_owner() {
        const SENDERS: u64 = 4;
        const MESSAGES: u64 = 50_000;
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (done, result) = mpsc::channel();
        let owned = Arc::clone(&mailbox);
        thread::spawn(move || done.send(receive(&owned, SENDERS * MESSAGES)).unwrap());
        for seed in 0..SENDERS {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for message in 0..MESSAGES {
                    mailbox.push(message);
                    for _ in 0..random.u32(0..200) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        let (sum, _) = result.recv_timeout(PATIENCE).expect("a wake-up was lost");
        assert_eq!(sum, SENDERS * MESSAGES * (MESSAGES - 1) / 2);
    }

    /// Two owners play ping-pong, so that each message meets an owner that is just about to sleep.
    #[test]
    fn no_wake_up_is_lost_when_each_message_races_with_falling_asleep() {
        const ROUNDS: u64 = 30_000;
        let there = Arc::new(Mailbox::new().unwrap());
        let back = Arc::new(Mailbox::new().unwrap());
        let (done, result) = mpsc::channel();
        for (inbox, outbox, starts) in [(&there, &back, false), (&back, &there, true)] {
            let (inbox, outbox, done) = (Arc::clone(inbox), Arc::clone(outbox), done.clone());
            thread::spawn(move || {
                let mut sleeps = 0;
                if starts {
                    outbox.push(1);
                }
                for _ in 0..ROUNDS {
                    sleeps += receive(&inbox, 1).1;
                    outbox.push(1);
                }
                done.send(sleeps).unwrap();
            });
        }
        let sleeps: u64 = (0..2)
            .map(|_| result.recv_timeout(PATIENCE).expect("a wake-up was lost"))
            .sum();
        assert!(sleeps > 0, "nobody ever slept, so nothing was tested");
    }

    #[test]
    fn a_waking_write_is_made_once_per_sleep() {
        let mailbox = Mailbox::new().unwrap();
        mailbox.push(1);
        assert!(!mailbox.prepare_to_sleep(), "a message is there");
        assert_eq!(mailbox.pop(), Some(1));
        assert!(mailbox.prepare_to_sleep());
        mailbox.push(2);
        mailbox.push(3);
        assert_eq!(mailbox.event().wait().unwrap(), 1);
        mailbox.woke_up();
        assert_eq!(
            (mailbox.pop(), mailbox.pop(), mailbox.pop()),
            (Some(2), Some(3), None)
        );
    }
}
