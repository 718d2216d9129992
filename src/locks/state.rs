//! One lock: who holds it and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::footprint::{Fingerprint, Mode};
use super::request::Request;

/// A lock in the table. It is idle only on its way in or out.
#[derive(Default)]
pub(super) struct LockState {
    shared_holders: u32,
    held_exclusive: bool,
    queue: VecDeque<(Arc<Request>, Mode)>,
}

/// A lock that was handed to the head of its queue and is now to be settled with that request.
pub(super) struct Grant {
    pub(super) request: Arc<Request>,
    pub(super) fingerprint: Fingerprint,
    pub(super) mode: Mode,
    /// The hold already has its count in the stripe, passed on by the one who released.
    pub(super) counted: bool,
}

/// Settled first in, first out, so that requests keep their order on the way to their next lock.
pub(super) type Grants = VecDeque<Grant>;

impl LockState {
    /// Would a newcomer have to wait?
    pub(super) fn conflicts(&self, mode: Mode) -> bool {
        !self.queue.is_empty() || !self.fits(mode)
    }

    pub(super) fn try_hold(&mut self, mode: Mode) -> bool {
        let free = !self.conflicts(mode);
        if free {
            self.hold(mode);
        }
        free
    }

    pub(super) fn hold_or_enqueue(&mut self, mode: Mode, request: &Arc<Request>) -> bool {
        let held = self.try_hold(mode);
        if !held {
            self.queue.push_back((Arc::clone(request), mode));
        }
        held
    }

    /// Makes the only shared holder the exclusive one. Those who wait would wait for it anyway.
    pub(super) fn try_upgrade(&mut self) -> bool {
        debug_assert!(
            self.shared_holders > 0,
            "only a shared holder can be upgraded"
        );
        let sole = self.shared_holders == 1;
        if sole {
            self.shared_holders = 0;
            self.held_exclusive = true;
        }
        sole
    }

    pub(super) fn drop_hold(&mut self, mode: Mode) {
        match mode {
            Mode::Shared => {
                debug_assert!(
                    self.shared_holders > 0,
                    "a shared hold is dropped that is not there"
                );
                self.shared_holders -= 1;
            }
            Mode::Exclusive => {
                debug_assert!(
                    self.held_exclusive,
                    "an exclusive hold is dropped that is not there"
                );
                self.held_exclusive = false;
            }
        }
    }

    /// Makes holders of those at the head of the queue whom the present holders do not exclude.
    pub(super) fn grant_waiting(&mut self, fingerprint: Fingerprint, grants: &mut Grants) {
        while let Some(&(_, mode)) = self.queue.front()
            && self.fits(mode)
            && let Some((request, mode)) = self.queue.pop_front()
        {
            self.hold(mode);
            grants.push_back(Grant {
                request,
                fingerprint,
                mode,
                counted: false,
            });
        }
    }

    /// Takes a request out of the queue; false if it has left it already.
    pub(super) fn dequeue(&mut self, request: &Arc<Request>) -> bool {
        let place = self
            .queue
            .iter()
            .position(|(queued, _)| Arc::ptr_eq(queued, request));
        place.is_some_and(|place| self.queue.remove(place).is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        let unheld = self.shared_holders == 0 && !self.held_exclusive;
        debug_assert!(
            !unheld || self.queue.is_empty(),
            "a lock without a holder has waiters"
        );
        unheld
    }

    pub(super) fn is_exclusive(&self) -> bool {
        self.held_exclusive
    }

    pub(super) fn holders(&self) -> usize {
        self.shared_holders as usize + usize::from(self.held_exclusive)
    }

    pub(super) fn waiters(&self) -> usize {
        self.queue.len()
    }

    fn fits(&self, mode: Mode) -> bool {
        !self.held_exclusive && (mode == Mode::Shared || self.shared_holders == 0)
    }

    fn hold(&mut self, mode: Mode) {
        match mode {
            Mode::Shared => self.shared_holders += 1,
            Mode::Exclusive => self.held_exclusive = true,
        }
    }
}
