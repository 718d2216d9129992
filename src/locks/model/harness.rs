//! `locks/harness.rs` over the model checker, which reports by itself when nobody can go on.

use shuttle::sync::{Condvar, Mutex};

#[derive(Default)]
pub(super) struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    arrived: Condvar,
}

impl Mailbox {
    pub(super) fn push(&self, token: u64) {
        self.tokens.lock().unwrap().push(token);
        self.arrived.notify_one();
    }

    pub(super) fn take(&self, block: bool) -> Vec<u64> {
        let mut tokens = self.tokens.lock().unwrap();
        while block && tokens.is_empty() {
            tokens = self.arrived.wait(tokens).unwrap();
        }
        std::mem::take(&mut *tokens)
    }
}

pub(super) fn pause() {
    shuttle::thread::yield_now();
}
