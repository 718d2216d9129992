//! Sees to it that every shard gets going.
//!
//! glommio falls asleep beside runnable tasks when its preempt timer fires after it polled for events and before it ran
//! the first task, which happens when the thread loses its core in between. Later on the shard's own timers end such a
//! sleep (see [`super::net`]), but before its first task there is none. A signal to the sleeping thread does: it ends the
//! wait for events, and glommio looks for tasks again.
//!
//! The code is unsafe where it sends a signal to one thread, which only a system call does: SIGURG, for which the
//! watchdog of scripts has a handler that does nothing while no script runs.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a shard usually needs to start, and how often it is roused after that.
const PATIENCE: Duration = Duration::from_millis(10);

/// The start of one shard.
#[derive(Default)]
pub struct Start {
    /// 0 until the thread has an executor to be roused from.
    thread: AtomicI32,
    done: AtomicBool,
}

impl Start {
    /// The calling thread is about to run its executor.
    pub fn begin(&self) {
        // SAFETY: gettid has no preconditions.
        self.thread
            .store(unsafe { libc::gettid() }, Ordering::SeqCst);
    }

    /// The first task runs.
    pub fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
    }

    /// Returns when the shard on this thread has started, or failed to.
    pub fn wait<T>(&self, shard: &JoinHandle<T>) {
        while !self.done.load(Ordering::SeqCst) && !shard.is_finished() {
            std::thread::sleep(PATIENCE);
            let thread = self.thread.load(Ordering::SeqCst);
            if thread != 0 && !self.done.load(Ordering::SeqCst) {
                // SAFETY: tgkill only takes numbers; a thread that is gone is an error, not a fault.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGURG) };
            }
        }
    }
}
