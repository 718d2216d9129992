//! A footprint on its way from asked for to held.

use std::sync::Arc;

use super::duty::Duty;
use super::footprint::{Fingerprint, Footprint, Mode};
use super::host::WaiterId;
use super::sync::Mutex;

/// Locks that are held. Give them back with `KeyLockManager::release`.
#[must_use = "locks that are not released stay held"]
#[derive(Debug)]
pub struct Held {
    pub(super) footprint: Footprint,
    duty: Duty,
}

impl Held {
    pub(super) fn new(footprint: Footprint) -> Self {
        Self {
            footprint,
            duty: Duty,
        }
    }

    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    pub(super) fn into_footprint(self) -> Footprint {
        self.duty.fulfil();
        self.footprint
    }
}

/// A place in the queues. Exchange it with [`Ticket::claim`] once its waiter is woken, or give it
/// up with `KeyLockManager::cancel` or `withdraw`.
#[must_use = "a ticket that is not claimed or cancelled keeps its locks"]
pub struct Ticket {
    request: Arc<Request>,
    duty: Duty,
}

impl Ticket {
    pub(super) fn new(request: Arc<Request>) -> Self {
        Self {
            request,
            duty: Duty,
        }
    }

    /// The locks, if all of them are granted.
    pub fn claim(self) -> Result<Held, Self> {
        let mut progress = self.request.progress.lock();
        if progress.phase != Phase::Granted {
            drop(progress);
            return Err(self);
        }
        let footprint = std::mem::take(&mut progress.footprint);
        drop(progress);
        self.duty.fulfil();
        Ok(Held::new(footprint))
    }

    /// What the ticket asked for; empty once it has been claimed.
    pub fn footprint(&self) -> Footprint {
        self.request.progress.lock().footprint.clone()
    }

    /// A look at the ticket from elsewhere.
    pub fn queued(&self) -> Queued {
        Queued(Arc::clone(&self.request))
    }

    pub(super) fn into_request(self) -> Arc<Request> {
        self.duty.fulfil();
        self.request
    }
}

/// How far a ticket has come, for others to look at, also when it is long gone.
pub struct Queued(Arc<Request>);

impl Queued {
    /// The locks that it has got, and those that it still wants. Both are empty once it was claimed or given up.
    pub fn held_and_wanted(&self) -> (Footprint, Footprint) {
        let progress = self.0.progress.lock();
        let locks = || progress.footprint.iter();
        let held = locks().take(progress.acquired).collect();
        (held, locks().skip(progress.acquired).collect())
    }
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queued")
    }
}

/// What a queue holds of a ticket. At any time it is in one queue, or in the hands of one thread
/// that goes on acquiring for it, or settled.
pub(super) struct Request {
    pub(super) waiter: WaiterId,
    pub(super) progress: Mutex<Progress>,
}

pub(super) struct Progress {
    pub(super) footprint: Footprint,
    /// How many locks of the footprint are held, from the lowest on.
    pub(super) acquired: usize,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not all locks are held; it waits for the first one that is not.
    Waiting,
    /// All locks are held.
    Granted,
    /// Its owner gave up. A lock that is granted to it from now on goes back at once.
    Withdrawn,
}

impl Request {
    /// A request that already holds the `acquired` lowest locks of its footprint.
    pub(super) fn new(waiter: WaiterId, footprint: Footprint, acquired: usize) -> Arc<Self> {
        let progress = Progress {
            footprint,
            acquired,
            phase: Phase::Waiting,
        };
        Arc::new(Self {
            waiter,
            progress: Mutex::new(progress),
        })
    }
}

impl Progress {
    /// The lock to take next.
    pub(super) fn next(&self) -> Option<(Fingerprint, Mode)> {
        self.footprint.get(self.acquired)
    }

    /// The locks that are held so far, taken out of the request.
    pub(super) fn take_acquired(&mut self) -> Footprint {
        let mut footprint = std::mem::take(&mut self.footprint);
        footprint.truncate(self.acquired);
        footprint
    }
}
