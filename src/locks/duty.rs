//! Holds and tickets are given back by a call, not by `Drop`: giving back needs the manager, and a
//! script's writes must be undone before its locks go. A debug build catches one that is forgotten.

/// Part of every hold and ticket.
#[derive(Debug)]
pub(super) struct Duty;

impl Duty {
    /// The hold or ticket was given back, or became another one.
    pub(super) fn fulfil(self) {
        std::mem::forget(self);
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        debug_assert!(
            std::thread::panicking(),
            "a lock's hold or ticket was dropped, not released"
        );
    }
}
