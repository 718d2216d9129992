//! The keyspace gate: one lock over all keys, shared by nearly everybody at no cross-core cost.
//!
//! A shard *enters* before its first keyspace command of a pass and *leaves* at the pass's end;
//! work that outlives the pass takes a *hold*. Each shard writes only its own cache line for that.
//! Who wants the keyspace alone *closes* the gate and is granted it once no shard is inside and
//! nothing holds it.
//!
//! **The handshake** (Dekker's): a shard stores `active`, then loads `closed`; who closes stores
//! `closed`, then loads every `active`. All four are sequentially consistent, so at least one sees
//! the other. Leaving is the same with the opposite value: either who closes sees the shard gone,
//! or the shard sees the gate closed and looks whether it was the last.
//!
//! **Phases alternate.** When an exclusive owner is done, all who wait for the shared side are
//! given a hold, and once these are released the next exclusive wanter is granted. Neither side
//! can starve the other; exclusive wanters go first in, first out.
//!
//! **Closed** means: somebody owns the gate or wants it exclusive. Shared waiters exist only while
//! it is closed. `closed`, the queues and the owner change under one mutex, which nobody takes
//! while the gate is open.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crossbeam::utils::CachePadded;

use super::duty::Duty;
use super::footprint::Mode;
use super::host::{Cancelled, WaiterId, Wake};
use super::sync::{AtomicBool, AtomicUsize, Mutex};

/// The one gate of the server.
pub struct Gate<W> {
    host: W,
    shards: Box<[CachePadded<Shard>]>,
    closed: CachePadded<AtomicBool>,
    queues: Mutex<Queues>,
}

/// The gate, held beyond a pass (shared) or alone. Give it back with [`Gate::release`].
#[must_use = "a hold that is not released keeps the gate"]
#[derive(Debug)]
pub struct GateHold {
    shard: u32,
    mode: Mode,
    duty: Duty,
}

/// A place in the gate's queues. Exchange it with [`Gate::claim`] once its waiter is woken, or
/// give it up with [`Gate::cancel`].
#[must_use = "a ticket that is not claimed or cancelled keeps the gate"]
#[derive(Debug)]
pub struct GateTicket {
    number: u64,
    shard: u32,
    mode: Mode,
    duty: Duty,
}

/// What came of asking for the gate.
pub enum GateAcquire {
    Granted(GateHold),
    /// The waiter is woken once, when the hold can be claimed.
    Queued(GateTicket),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateStats {
    pub owned: bool,
    pub waiting_exclusive: usize,
    pub waiting_shared: usize,
    /// Holds that outlive a pass, on all shards.
    pub held: usize,
    /// How often somebody has had the gate alone.
    pub exclusive_grants: u64,
    /// How often somebody was queued, for either side.
    pub waits: u64,
}

/// What one shard has of the shared side.
#[derive(Default)]
struct Shard {
    /// In a pass that has touched the keyspace. Written by the shard's own thread only.
    active: AtomicBool,
    held: AtomicUsize,
}

#[derive(Default)]
struct Queues {
    /// The ticket that has the gate alone.
    owner: Option<u64>,
    exclusive: VecDeque<(u64, WaiterId)>,
    /// In ascending order of their numbers.
    shared: Vec<(u64, WaiterId)>,
    next_number: u64,
    /// All shared tickets below this number have been granted.
    admitted_below: u64,
    exclusive_grants: u64,
    waits: u64,
}

/// Who is to be woken after the queues' mutex is released.
type Woken = Vec<(u64, WaiterId)>;

impl<W: Wake> Gate<W> {
    pub fn new(shards: usize, host: W) -> Self {
        Self {
            host,
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            closed: CachePadded::new(AtomicBool::new(false)),
            queues: Mutex::new(Queues::default()),
        }
    }

    pub fn host(&self) -> &W {
        &self.host
    }

    /// Lets the shard's pass touch the keyspace. Called on the shard's own thread before each piece
    /// of new work, at the cost of a load if the pass has entered before. On `false` the work has
    /// to [`wait`](Self::wait). Work that has a hold of its own does not enter.
    pub fn enter(&self, shard: u32) -> bool {
        let own = self.shard(shard);
        if own.active.load(Relaxed) {
            return true;
        }
        if self.closed.load(Relaxed) {
            return false;
        }
        own.active.store(true, SeqCst);
        if self.closed.load(SeqCst) {
            self.leave(shard);
            return false;
        }
        true
    }

    /// Ends the shard's pass. Called on the shard's own thread; harmless if it has not entered.
    pub fn leave(&self, shard: u32) {
        let own = self.shard(shard);
        if own.active.load(Relaxed) {
            own.active.store(false, SeqCst);
            self.grant_if_closed();
        }
    }

    /// Lets work of a shard that has entered keep the gate when the pass ends.
    pub fn hold(&self, shard: u32) -> GateHold {
        let own = self.shard(shard);
        debug_assert!(own.active.load(Relaxed), "only who has entered can stay");
        own.held.fetch_add(1, SeqCst);
        GateHold::new(shard, Mode::Shared)
    }

    /// Asks for a shared hold after [`enter`](Self::enter) has failed.
    pub fn wait(&self, waiter: WaiterId) -> GateAcquire {
        let mut queues = self.queues.lock();
        // Under the mutex nobody closes the gate, and whoever closes it next sees the hold.
        if !self.closed.load(SeqCst) {
            self.shard(waiter.shard).held.fetch_add(1, SeqCst);
            return GateAcquire::Granted(GateHold::new(waiter.shard, Mode::Shared));
        }
        let number = queues.take_number();
        queues.waits += 1;
        queues.shared.push((number, waiter));
        GateAcquire::Queued(GateTicket::new(number, waiter.shard, Mode::Shared))
    }

    /// Closes the gate and asks to have it alone, on the thread of the waiter's shard. The asking
    /// work has neither a hold nor a key lock. The shard's pass leaves, so that its next command
    /// has to enter again.
    pub fn acquire_exclusive(&self, waiter: WaiterId) -> GateAcquire {
        let own = self.shard(waiter.shard);
        if own.active.load(Relaxed) {
            own.active.store(false, SeqCst);
        }
        let mut queues = self.queues.lock();
        let number = queues.take_number();
        self.closed.store(true, SeqCst);
        queues.exclusive.push_back((number, waiter));
        // Perhaps this shard's leaving is what an earlier wanter waited for.
        let granted = self.grant_next_exclusive(&mut queues);
        if granted.is_some_and(|(first, _)| first == number) {
            return GateAcquire::Granted(GateHold::new(waiter.shard, Mode::Exclusive));
        }
        queues.waits += 1;
        drop(queues);
        self.wake(granted);
        GateAcquire::Queued(GateTicket::new(number, waiter.shard, Mode::Exclusive))
    }

    /// The hold, if it is granted.
    pub fn claim(&self, ticket: GateTicket) -> Result<GateHold, GateTicket> {
        if self.queues.lock().is_granted(&ticket) {
            Ok(ticket.into_hold())
        } else {
            Err(ticket)
        }
    }

    /// Leaves the queue, or gives back what was granted in the meantime.
    pub fn cancel(&self, ticket: GateTicket) -> Cancelled {
        let mut queues = self.queues.lock();
        if queues.is_granted(&ticket) {
            drop(queues);
            self.release(ticket.into_hold());
            return Cancelled::AfterGrant;
        }
        queues.remove(&ticket);
        let woken = if ticket.mode == Mode::Exclusive && queues.is_unwanted() {
            self.admit_shared(&mut queues)
        } else {
            Woken::new()
        };
        drop(queues);
        ticket.duty.fulfil();
        self.wake(woken);
        Cancelled::WhileQueued
    }

    pub fn release(&self, hold: GateHold) {
        let GateHold { shard, mode, duty } = hold;
        duty.fulfil();
        match mode {
            Mode::Shared => self.release_shared(shard),
            Mode::Exclusive => self.release_exclusive(),
        }
    }

    pub fn stats(&self) -> GateStats {
        let queues = self.queues.lock();
        GateStats {
            owned: queues.owner.is_some(),
            waiting_exclusive: queues.exclusive.len(),
            waiting_shared: queues.shared.len(),
            held: self.shards.iter().map(|s| s.held.load(Relaxed)).sum(),
            exclusive_grants: queues.exclusive_grants,
            waits: queues.waits,
        }
    }

    fn shard(&self, shard: u32) -> &Shard {
        &self.shards[shard as usize]
    }

    fn release_shared(&self, shard: u32) {
        let before = self.shard(shard).held.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "a hold is released that is not there");
        if before == 1 {
            self.grant_if_closed();
        }
    }

    fn release_exclusive(&self) {
        let mut queues = self.queues.lock();
        debug_assert!(queues.owner.is_some(), "only the owner releases");
        queues.owner = None;
        if queues.shared.is_empty() && queues.exclusive.is_empty() {
            self.closed.store(false, SeqCst);
            return;
        }
        let mut woken = self.admit_shared(&mut queues);
        woken.extend(self.grant_next_exclusive(&mut queues));
        drop(queues);
        self.wake(woken);
    }

    /// Called after something left the gate: was it the last thing that somebody waited for?
    fn grant_if_closed(&self) {
        if self.closed.load(SeqCst) {
            let mut queues = self.queues.lock();
            let woken = self.grant_next_exclusive(&mut queues);
            drop(queues);
            self.wake(woken);
        }
    }

    fn grant_next_exclusive(&self, queues: &mut Queues) -> Option<(u64, WaiterId)> {
        if queues.owner.is_some() || queues.exclusive.is_empty() || !self.is_empty() {
            return None;
        }
        let next = queues.exclusive.pop_front()?;
        queues.own(next.0);
        Some(next)
    }

    /// Gives a hold to all who wait for the shared side, and opens the gate if nobody wants it
    /// alone.
    fn admit_shared(&self, queues: &mut Queues) -> Woken {
        let admitted = std::mem::take(&mut queues.shared);
        for (_, waiter) in &admitted {
            self.shard(waiter.shard).held.fetch_add(1, SeqCst);
        }
        queues.admitted_below = queues.next_number;
        if queues.is_unwanted() {
            self.closed.store(false, SeqCst);
        }
        admitted
    }

    /// Is no shard inside and nothing held? Asked under the mutex, with the gate closed. `active`
    /// is read first, because a shard that is inside may turn its presence into a hold.
    fn is_empty(&self) -> bool {
        self.shards
            .iter()
            .all(|shard| !shard.active.load(SeqCst) && shard.held.load(SeqCst) == 0)
    }

    fn wake(&self, woken: impl IntoIterator<Item = (u64, WaiterId)>) {
        for (_, waiter) in woken {
            self.host.wake(waiter);
        }
    }
}

impl GateHold {
    fn new(shard: u32, mode: Mode) -> Self {
        Self {
            shard,
            mode,
            duty: Duty,
        }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl GateTicket {
    fn new(number: u64, shard: u32, mode: Mode) -> Self {
        Self {
            number,
            shard,
            mode,
            duty: Duty,
        }
    }

    fn into_hold(self) -> GateHold {
        self.duty.fulfil();
        GateHold::new(self.shard, self.mode)
    }
}

impl Queues {
    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn own(&mut self, number: u64) {
        debug_assert!(self.owner.is_none(), "one owner at a time");
        self.owner = Some(number);
        self.exclusive_grants += 1;
    }

    fn is_granted(&self, ticket: &GateTicket) -> bool {
        match ticket.mode {
            Mode::Shared => ticket.number < self.admitted_below,
            Mode::Exclusive => self.owner == Some(ticket.number),
        }
    }

    /// Nobody owns the gate or wants it alone.
    fn is_unwanted(&self) -> bool {
        self.owner.is_none() && self.exclusive.is_empty()
    }

    fn remove(&mut self, ticket: &GateTicket) {
        match ticket.mode {
            Mode::Shared => {
                let place = self
                    .shared
                    .binary_search_by_key(&ticket.number, |entry| entry.0);
                debug_assert!(place.is_ok(), "a shared ticket is granted or queued");
                if let Ok(place) = place {
                    self.shared.remove(place);
                }
            }
            Mode::Exclusive => {
                let place = self
                    .exclusive
                    .binary_search_by_key(&ticket.number, |entry| entry.0);
                debug_assert!(place.is_ok(), "an exclusive ticket is granted or queued");
                if let Ok(place) = place {
                    self.exclusive.remove(place);
                }
            }
        }
    }
}
