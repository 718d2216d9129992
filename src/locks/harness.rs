//! What the simulation needs besides the algorithms' primitives. `model/harness.rs` has the same
//! names over a model checker's primitives.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A wake takes microseconds; one that is missing this long is lost, or the locks are deadlocked.
const WAKE_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    arrived: Condvar,
}

impl Mailbox {
    pub(super) fn push(&self, token: u64) {
        self.tokens.lock().push(token);
        self.arrived.notify_one();
    }

    /// Takes all tokens, waiting for the first if `block` is set.
    pub(super) fn take(&self, block: bool) -> Vec<u64> {
        let mut tokens = self.tokens.lock();
        while block && tokens.is_empty() {
            let result = self.arrived.wait_for(&mut tokens, WAKE_TIMEOUT);
            assert!(!result.timed_out(), "a wake was lost, or it is a deadlock");
        }
        std::mem::take(&mut *tokens)
    }
}

/// Invites the other threads to run here.
pub(super) fn pause() {
    std::thread::yield_now();
}
