//! Who may go ahead: the keyspace gate first, then the key locks.
//!
//! What is granted is a [`Grants`]; what has to wait is a [`Wait`], which the parked work keeps until its token is woken.

use super::shared::Shared;
use super::work::Token;
use crate::command::{Access, Error, KeyFlags, Spec};
use crate::keyspace::Keyspace;
use crate::locks::{
    Acquire, Footprint, GateAcquire, GateHold, GateTicket, Held, Mode, Ticket, WaiterId,
};
use crate::resp::Args;

/// What a piece of work holds. Given back with [`Gatekeeper::release`].
#[derive(Default)]
pub struct Grants {
    /// `None`: the pass of the shard is inside the gate, which is enough for work that ends within it.
    pub gate: Option<GateHold>,
    pub locks: Option<Held>,
}

impl Grants {
    /// Whether the keyspace belongs to this work alone.
    pub fn is_alone(&self) -> bool {
        self.gate
            .as_ref()
            .is_some_and(|hold| hold.mode() == Mode::Exclusive)
    }

    /// Whether the locks allow this use of a key.
    pub fn covers(&self, fingerprint: u64, mode: Mode) -> bool {
        self.is_alone()
            || self
                .locks
                .as_ref()
                .and_then(|held| held.footprint().contains(fingerprint))
                .is_some_and(|present| present >= mode)
    }
}

/// What parked work waits for.
pub enum Wait {
    /// The shared side of the gate, then locks. Which ones is told when the gate is passed: until then databases may
    /// change places.
    Gate(GateTicket),
    Locks(GateHold, Ticket),
    /// The gate for itself.
    Alone(GateTicket),
}

pub fn mode(access: Access) -> Mode {
    match access {
        Access::Read => Mode::Shared,
        Access::Write => Mode::Exclusive,
    }
}

/// The keys of a request as a footprint.
pub fn footprint(
    keyspace: &Keyspace,
    db: usize,
    spec: &Spec,
    args: &Args<'_>,
) -> Result<Footprint, Error> {
    let own = keyspace.physical(db);
    let other = spec.other_db.and_then(|find| find(args));
    let other = other
        .filter(|db| *db < keyspace.databases())
        .map(|db| keyspace.physical(db));
    let mut footprint = Footprint::default();
    spec.visit_keys(args, |index, keys| {
        if !keys.flags.contains(KeyFlags::NOT_KEY) {
            let mode = mode(keys.access());
            footprint.insert(keyspace.fingerprint(own, args.get(index)), mode);
            if let Some(other) = other {
                footprint.insert(keyspace.fingerprint(other, args.get(index)), mode);
            }
        }
    })?;
    Ok(footprint)
}

/// Whether what is held allows all that a request does to the keys that it names.
pub fn is_admitted(
    keyspace: &Keyspace,
    db: usize,
    spec: &Spec,
    args: &Args<'_>,
    grants: &Grants,
) -> bool {
    let footprint = footprint(keyspace, db, spec, args).unwrap_or_default();
    footprint
        .iter()
        .all(|(fingerprint, mode)| grants.covers(fingerprint, mode))
}

/// A shard's way to gate and locks.
#[derive(Clone, Copy)]
pub struct Gatekeeper {
    pub shared: &'static Shared,
    pub shard: u32,
}

impl Gatekeeper {
    fn waiter(self, token: Token) -> WaiterId {
        WaiterId {
            shard: self.shard,
            token,
        }
    }

    /// The gate's shared side and the locks of a footprint, at once or when `token` is woken. What to lock is asked behind
    /// the gate: before it databases may be changing places.
    pub fn admit(
        self,
        footprint: impl FnOnce() -> Footprint,
        token: Token,
    ) -> Result<Grants, Wait> {
        if self.shared.gate.enter(self.shard) {
            return self.lock(None, footprint(), token);
        }
        match self.shared.gate.wait(self.waiter(token)) {
            GateAcquire::Granted(hold) => self.lock(Some(hold), footprint(), token),
            GateAcquire::Queued(ticket) => Err(Wait::Gate(ticket)),
        }
    }

    /// The gate for this work alone. The work holds nothing.
    pub fn admit_alone(self, token: Token) -> Result<Grants, Wait> {
        match self.shared.gate.acquire_exclusive(self.waiter(token)) {
            GateAcquire::Granted(hold) => Ok(Grants {
                gate: Some(hold),
                locks: None,
            }),
            GateAcquire::Queued(ticket) => Err(Wait::Alone(ticket)),
        }
    }

    /// Goes on after a wake-up. `footprint` tells what to lock behind the gate.
    pub fn advance(
        self,
        wait: Wait,
        token: Token,
        footprint: impl FnOnce() -> Footprint,
    ) -> Result<Grants, Wait> {
        match wait {
            Wait::Gate(ticket) => match self.shared.gate.claim(ticket) {
                Ok(hold) => self.lock(Some(hold), footprint(), token),
                Err(ticket) => Err(Wait::Gate(ticket)),
            },
            Wait::Alone(ticket) => match self.shared.gate.claim(ticket) {
                Ok(hold) => Ok(Grants {
                    gate: Some(hold),
                    locks: None,
                }),
                Err(ticket) => Err(Wait::Alone(ticket)),
            },
            Wait::Locks(hold, ticket) => match ticket.claim() {
                Ok(held) => Ok(Grants {
                    gate: Some(hold),
                    locks: Some(held),
                }),
                Err(ticket) => Err(Wait::Locks(hold, ticket)),
            },
        }
    }

    /// Gives up waiting.
    pub fn cancel(self, wait: Wait) {
        match wait {
            Wait::Gate(ticket) | Wait::Alone(ticket) => {
                self.shared.gate.cancel(ticket);
            }
            Wait::Locks(hold, ticket) => {
                self.shared.locks.cancel(ticket);
                self.shared.gate.release(hold);
            }
        }
    }

    pub fn release(self, grants: Grants) {
        if let Some(held) = grants.locks {
            self.shared.locks.release(held);
        }
        if let Some(hold) = grants.gate {
            self.shared.gate.release(hold);
        }
    }

    /// Keeps the gate beyond the pass, for work that is about to be suspended.
    pub fn keep(self, grants: &mut Grants) {
        if grants.gate.is_none() && grants.locks.is_some() {
            grants.gate = Some(self.shared.gate.hold(self.shard));
        }
    }

    fn lock(
        self,
        gate: Option<GateHold>,
        footprint: Footprint,
        token: Token,
    ) -> Result<Grants, Wait> {
        if footprint.is_empty() {
            return Ok(Grants { gate, locks: None });
        }
        let footprint = match self.shared.locks.try_acquire(footprint) {
            Ok(held) => {
                return Ok(Grants {
                    gate,
                    locks: Some(held),
                });
            }
            Err(footprint) => footprint,
        };
        // Whoever is queued for a lock holds the gate.
        let hold = gate.unwrap_or_else(|| self.shared.gate.hold(self.shard));
        match self.shared.locks.acquire(footprint, self.waiter(token)) {
            Acquire::Granted(held) => Ok(Grants {
                gate: Some(hold),
                locks: Some(held),
            }),
            Acquire::Queued(ticket) => Err(Wait::Locks(hold, ticket)),
        }
    }
}
