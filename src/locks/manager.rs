//! The lock table: takes footprints in ascending order and hands locks over in FIFO order.

use std::sync::Arc;

use super::counters::Counters;
use super::footprint::{Fingerprint, Footprint, Mode};
use super::host::{Cancelled, LockHost, WaiterId};
use super::request::{Held, Phase, Progress, Request, Ticket};
use super::state::{Grants, LockState};
use super::sync::Table;

/// All key locks of the server.
pub struct KeyLockManager<H> {
    host: H,
    table: Table,
    counters: Counters,
}

/// What came of asking for a footprint.
pub enum Acquire {
    Granted(Held),
    /// The waiter is woken once, when all locks are held.
    Queued(Ticket),
}

/// What came of asking for one more lock.
pub enum Extend {
    Granted(Held),
    /// As in [`Acquire`]; the ticket carries all that was held before.
    Queued(Ticket),
    /// Busy, and to wait for it in place would break the order. Undo, release, and acquire the
    /// union with what was held.
    Refused(Held),
}

/// What a withdrawn ticket leaves behind.
#[must_use]
pub struct Withdrawn {
    /// What it had got: for an extension at least what was held before.
    pub held: Held,
    pub was: Cancelled,
}

/// One lock, for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockReport {
    pub fingerprint: Fingerprint,
    pub mode: Mode,
    pub holders: usize,
    pub waiters: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockStats {
    /// Locks that are held now.
    pub held: usize,
    /// Requests that are queued now.
    pub waiting: usize,
    /// How many of them at the lock where most are.
    pub longest_queue: usize,
    /// Footprints and extensions granted so far.
    pub acquisitions: u64,
    /// How many of them had to wait, including those that gave up.
    pub waits: u64,
}

/// After the release of a footprint beyond this size the table gives its memory back.
const LARGE_FOOTPRINT: usize = 1 << 16;

impl<H: LockHost> KeyLockManager<H> {
    pub fn new(host: H) -> Self {
        Self {
            host,
            table: Table::new(),
            counters: Counters::default(),
        }
    }

    pub fn host(&self) -> &H {
        &self.host
    }

    /// Takes all locks of the footprint at once, or none.
    pub fn try_acquire(&self, footprint: Footprint) -> Result<Held, Footprint> {
        let taken = self.take_free(&footprint);
        if taken == footprint.len() {
            self.counters.note_acquisition();
            return Ok(Held::new(footprint));
        }
        self.let_go_all(footprint.iter().take(taken));
        Err(footprint)
    }

    /// Takes the locks of the footprint in ascending order, waiting at each that is busy.
    pub fn acquire(&self, footprint: Footprint, waiter: WaiterId) -> Acquire {
        let taken = self.take_free(&footprint);
        if taken == footprint.len() {
            self.counters.note_acquisition();
            return Acquire::Granted(Held::new(footprint));
        }
        self.acquire_rest(footprint, taken, waiter)
    }

    /// Takes one more lock if it is free, or strengthens a shared hold if nobody shares it.
    pub fn try_extend(&self, held: &mut Held, fingerprint: Fingerprint, mode: Mode) -> bool {
        let granted = match held.footprint.contains(fingerprint) {
            Some(present) if present >= mode => return true,
            Some(_) => self.table.update(fingerprint, LockState::try_upgrade),
            None => {
                let free = self.table.update(fingerprint, |lock| lock.try_hold(mode));
                if free {
                    self.host.raise(fingerprint);
                }
                free
            }
        };
        if granted {
            held.footprint.insert(fingerprint, mode);
            self.counters.note_acquisition();
        }
        granted
    }

    /// Takes one more lock at once, or waits for it if it is above all that are held.
    pub fn extend(
        &self,
        mut held: Held,
        fingerprint: Fingerprint,
        mode: Mode,
        waiter: WaiterId,
    ) -> Extend {
        if self.try_extend(&mut held, fingerprint, mode) {
            return Extend::Granted(held);
        }
        let in_order = held.footprint.max().is_none_or(|max| max < fingerprint);
        if !in_order {
            return Extend::Refused(held);
        }
        let mut footprint = held.into_footprint();
        let before = footprint.len();
        footprint.insert(fingerprint, mode);
        match self.acquire_rest(footprint, before, waiter) {
            Acquire::Granted(held) => Extend::Granted(held),
            Acquire::Queued(ticket) => Extend::Queued(ticket),
        }
    }

    /// Gives the locks to those who wait for them.
    pub fn release(&self, held: Held) {
        let footprint = held.into_footprint();
        self.let_go_all(footprint.iter());
        if footprint.len() > LARGE_FOOTPRINT {
            self.table.shrink();
        }
    }

    /// Leaves the queue and releases all that the ticket had got.
    pub fn cancel(&self, ticket: Ticket) -> Cancelled {
        let Withdrawn { held, was } = self.withdraw(ticket);
        self.release(held);
        was
    }

    /// Leaves the queue and returns what the ticket had got, for one who has writes to undo before
    /// the locks go.
    pub fn withdraw(&self, ticket: Ticket) -> Withdrawn {
        let request = ticket.into_request();
        let mut progress = request.progress.lock();
        let mut grants = Grants::new();
        let was = if progress.phase == Phase::Granted {
            Cancelled::AfterGrant
        } else {
            let wanted = progress.next();
            debug_assert!(wanted.is_some(), "a waiting request wants a lock");
            if let Some((fingerprint, _)) = wanted {
                // Not in the queue: just granted. The thread that did it waits for our mutex, and
                // lets that lock go when it sees the phase.
                self.table.update(fingerprint, |lock| {
                    if lock.dequeue(&request) {
                        lock.grant_waiting(fingerprint, &mut grants);
                    }
                });
            }
            Cancelled::WhileQueued
        };
        progress.phase = Phase::Withdrawn;
        let held = Held::new(progress.take_acquired());
        drop(progress);
        self.settle(grants);
        Withdrawn { held, was }
    }

    /// Must a plain command on this key queue for its lock? Asked under the stripe's mutex, after
    /// the stripe's count was seen above zero; on `false` the command runs before it lets go of the
    /// mutex.
    pub fn is_conflicting(&self, fingerprint: Fingerprint, mode: Mode) -> bool {
        self.table
            .view(fingerprint, |lock| lock.conflicts(mode))
            .unwrap_or(false)
    }

    /// Tells of every lock that is held exclusively. May be called under a stripe's mutex.
    pub fn visit_exclusive(&self, visit: &mut dyn FnMut(Fingerprint)) {
        self.table.scan(|fingerprint, lock| {
            if lock.is_exclusive() {
                visit(fingerprint);
            }
            true
        });
    }

    /// Walks the whole table.
    pub fn stats(&self) -> LockStats {
        let mut stats = LockStats {
            acquisitions: self.counters.acquisitions(),
            waits: self.counters.waits(),
            ..LockStats::default()
        };
        self.table.scan(|_, lock| {
            stats.held += 1;
            stats.waiting += lock.waiters();
            stats.longest_queue = stats.longest_queue.max(lock.waiters());
            true
        });
        stats
    }

    /// Up to `limit` locks that are held, in no order.
    pub fn report(&self, limit: usize) -> Vec<LockReport> {
        let mut reports = Vec::new();
        self.table.scan(|fingerprint, lock| {
            if reports.len() == limit {
                return false;
            }
            reports.push(LockReport {
                fingerprint,
                mode: if lock.is_exclusive() {
                    Mode::Exclusive
                } else {
                    Mode::Shared
                },
                holders: lock.holders(),
                waiters: lock.waiters(),
            });
            true
        });
        reports
    }

    /// Takes locks in order up to the first that is busy; returns how many.
    fn take_free(&self, footprint: &Footprint) -> usize {
        for (taken, (fingerprint, mode)) in footprint.iter().enumerate() {
            if !self.table.update(fingerprint, |lock| lock.try_hold(mode)) {
                return taken;
            }
            self.host.raise(fingerprint);
        }
        footprint.len()
    }

    fn acquire_rest(&self, footprint: Footprint, acquired: usize, waiter: WaiterId) -> Acquire {
        let request = Request::new(waiter, footprint, acquired);
        // Held until the request is queued with its progress written down: a release on another
        // thread may take it out of the queue the moment it is in.
        let mut progress = request.progress.lock();
        if self.advance(&request, &mut progress) {
            return Acquire::Granted(Held::new(progress.take_acquired()));
        }
        drop(progress);
        self.counters.note_wait();
        Acquire::Queued(Ticket::new(request))
    }

    /// Goes on acquiring until all is held (true) or the request is queued (false).
    fn advance(&self, request: &Arc<Request>, progress: &mut Progress) -> bool {
        while let Some((fingerprint, mode)) = progress.next() {
            let held = self
                .table
                .update(fingerprint, |lock| lock.hold_or_enqueue(mode, request));
            if !held {
                return false;
            }
            self.host.raise(fingerprint);
            progress.acquired += 1;
        }
        progress.phase = Phase::Granted;
        self.counters.note_acquisition();
        true
    }

    /// Acquires further on behalf of those who were just handed a lock, and wakes who has all.
    fn settle(&self, mut grants: Grants) {
        while let Some(grant) = grants.pop_front() {
            let mut progress = grant.request.progress.lock();
            if progress.phase == Phase::Withdrawn {
                drop(progress);
                self.let_go(grant.fingerprint, grant.mode, grant.counted, &mut grants);
                continue;
            }
            debug_assert_eq!(progress.phase, Phase::Waiting);
            if !grant.counted {
                self.host.raise(grant.fingerprint);
            }
            progress.acquired += 1;
            let complete = self.advance(&grant.request, &mut progress);
            drop(progress);
            if complete {
                self.host.wake(grant.request.waiter);
            }
        }
    }

    fn let_go_all(&self, holds: impl Iterator<Item = (Fingerprint, Mode)>) {
        let mut grants = Grants::new();
        for (fingerprint, mode) in holds {
            self.let_go(fingerprint, mode, true, &mut grants);
        }
        self.settle(grants);
    }

    /// Drops one hold and passes its count in the stripe, if it has one, to the first successor.
    fn let_go(&self, fingerprint: Fingerprint, mode: Mode, counted: bool, grants: &mut Grants) {
        let first = grants.len();
        self.table.update(fingerprint, |lock| {
            lock.drop_hold(mode);
            lock.grant_waiting(fingerprint, grants);
        });
        if !counted {
            return;
        }
        match grants.get_mut(first) {
            Some(successor) => successor.counted = true,
            None => self.host.lower(fingerprint),
        }
    }
}
