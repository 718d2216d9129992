use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::{Error, Result};

/// Whether the journal still takes batches; and if not, the one reason that everybody is told.
#[derive(Default)]
pub(crate) struct Health {
    ended: AtomicBool,
    reason: Mutex<Option<Error>>,
}

impl Health {
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(self.reason().expect("the reason is set before the flag"));
        }
        Ok(())
    }

    pub(crate) fn reason(&self) -> Option<Error> {
        self.reason.lock().clone()
    }

    /// Ends the journal because of `cause`, unless it has ended, and returns what everybody is told.
    pub(crate) fn poison(&self, cause: &dyn fmt::Display) -> Error {
        self.end(|| Error::Poisoned {
            reason: cause.to_string().into(),
        })
    }

    pub(crate) fn close(&self) {
        self.end(|| Error::Closed);
    }

    fn end(&self, reason: impl FnOnce() -> Error) -> Error {
        let answer = self.reason.lock().get_or_insert_with(reason).clone();
        self.ended.store(true, Ordering::Release);
        answer
    }
}
