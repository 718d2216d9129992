//! Simulated shards, each with many pieces of work that want the gate and few keys, suspend while
//! they hold them, extend what they hold, and give up while they wait.
//!
//! Checked on the way: nobody meets another on a key or in the keyspace whom its lock excludes; a
//! wake arrives once, for a ticket that can be claimed then, and never for one that was cancelled
//! while queued. Checked at the end: nothing is held, no count is left, no wake was one too many. A
//! lost wake or a deadlock shows as a shard that waits for ever, which the harness reports.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use super::footprint::{Fingerprint, Footprint, Mode};
use super::gate::{Gate, GateAcquire, GateHold, GateTicket};
use super::harness::{Mailbox, pause};
use super::host::{Cancelled, LockHost, WaiterId, Wake};
use super::manager::{Acquire, Extend, KeyLockManager, Withdrawn};
use super::request::{Held, Ticket};
use super::sync::Mutex;

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) shards: u32,
    pub(super) tasks_per_shard: usize,
    pub(super) rounds: usize,
    pub(super) keys: u64,
    pub(super) stripes: usize,
    pub(super) longest_footprint: usize,
    /// How often of 64 times a task wants the whole keyspace.
    pub(super) serial_in_64: u8,
}

pub(super) struct World {
    plan: Plan,
    site: Arc<Site>,
    gate: Gate<Arc<Site>>,
    locks: KeyLockManager<Arc<Site>>,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let site = Arc::new(Site::new(plan));
        Self {
            plan,
            gate: Gate::new(plan.shards as usize, Arc::clone(&site)),
            locks: KeyLockManager::new(Arc::clone(&site)),
            site,
        }
    }

    /// Runs one shard's tasks to their end; returns tokens whose wake may still be on its way.
    pub(super) fn run_shard(&self, shard: u32, seed: u64) -> HashSet<u64> {
        Shard {
            world: self,
            id: shard,
            rng: fastrand::Rng::with_seed(seed),
            tasks: (0..self.plan.tasks_per_shard)
                .map(|_| Task {
                    rounds: self.plan.rounds,
                    state: State::Fresh,
                })
                .collect(),
            waiting: HashMap::new(),
            stale: HashSet::new(),
            next_token: 0,
        }
        .run()
    }

    pub(super) fn check_clean(&self, stale: Vec<HashSet<u64>>) {
        for (mailbox, stale) in self.site.mailboxes.iter().zip(stale) {
            let late = mailbox.take(false);
            assert_eq!(late.len(), stale.len(), "one wake for each late cancel");
            assert_eq!(late.into_iter().collect::<HashSet<_>>(), stale);
        }
        let stats = self.locks.stats();
        assert_eq!((stats.held, stats.waiting), (0, 0), "locks were leaked");
        for stripe in &self.site.stripes {
            assert_eq!(*stripe.lock(), 0, "a stripe's count was leaked");
        }
        let stats = self.gate.stats();
        assert!(!stats.owned, "the gate was leaked");
        let left = (stats.waiting_exclusive, stats.waiting_shared, stats.held);
        assert_eq!(left, (0, 0, 0), "the gate was leaked");
        for shard in 0..self.plan.shards {
            assert!(self.gate.enter(shard), "the gate was left closed");
            self.gate.leave(shard);
        }
    }
}

/// The keyspace and the mailboxes, as the locks see them, and who is where.
struct Site {
    stripes: Vec<Mutex<usize>>,
    keys: Vec<Presence>,
    keyspace: Presence,
    mailboxes: Vec<Mailbox>,
}

impl Site {
    fn new(plan: Plan) -> Self {
        Self {
            stripes: (0..plan.stripes).map(|_| Mutex::new(0)).collect(),
            keys: (0..plan.keys).map(|_| Presence::default()).collect(),
            keyspace: Presence::default(),
            mailboxes: (0..plan.shards).map(|_| Mailbox::default()).collect(),
        }
    }

    fn stripe(&self, fingerprint: Fingerprint) -> &Mutex<usize> {
        &self.stripes[fingerprint as usize % self.stripes.len()]
    }

    fn key(&self, fingerprint: Fingerprint) -> &Presence {
        &self.keys[fingerprint as usize]
    }

    /// A holder's access to data goes through the stripe's mutex, as a plain command's does.
    fn come(&self, fingerprint: Fingerprint, mode: Mode) {
        let _stripe = self.stripe(fingerprint).lock();
        self.key(fingerprint).come(mode);
    }

    fn go(&self, footprint: &Footprint) {
        for (fingerprint, mode) in footprint.iter() {
            self.key(fingerprint).go(mode);
        }
    }
}

impl Wake for Site {
    fn wake(&self, waiter: WaiterId) {
        self.mailboxes[waiter.shard as usize].push(waiter.token);
    }
}

impl LockHost for Site {
    fn raise(&self, fingerprint: Fingerprint) {
        *self.stripe(fingerprint).lock() += 1;
    }

    fn lower(&self, fingerprint: Fingerprint) {
        *self.stripe(fingerprint).lock() -= 1;
    }
}

/// How many are in a place; below zero: one who must be alone.
#[derive(Default)]
pub(super) struct Presence(AtomicI64);

impl Presence {
    pub(super) fn come(&self, mode: Mode) {
        match mode {
            Mode::Shared => assert!(self.0.fetch_add(1, SeqCst) >= 0, "shared beside exclusive"),
            Mode::Exclusive => assert_eq!(self.0.swap(-1, SeqCst), 0, "exclusive beside others"),
        }
    }

    pub(super) fn go(&self, mode: Mode) {
        match mode {
            Mode::Shared => assert!(self.0.fetch_sub(1, SeqCst) > 0),
            Mode::Exclusive => assert_eq!(self.0.swap(0, SeqCst), -1),
        }
    }
}

struct Task {
    rounds: usize,
    state: State,
}

enum State {
    Fresh,
    /// Wants the gate, for work or alone.
    AtGate {
        token: u64,
        ticket: GateTicket,
    },
    /// Wants locks; is on the keys of `present` already.
    AtLocks {
        token: u64,
        ticket: Ticket,
        pass: GateHold,
        present: Footprint,
    },
    Working {
        pass: GateHold,
        held: Held,
        steps: u8,
    },
    Alone {
        pass: GateHold,
        steps: u8,
    },
    Done,
}

struct Shard<'w> {
    world: &'w World,
    id: u32,
    rng: fastrand::Rng,
    tasks: Vec<Task>,
    waiting: HashMap<u64, usize>,
    /// Cancelled after the grant: a wake comes, or came, and nobody wants it.
    stale: HashSet<u64>,
    next_token: u64,
}

impl Shard<'_> {
    fn run(mut self) -> HashSet<u64> {
        while !self
            .tasks
            .iter()
            .all(|task| matches!(task.state, State::Done))
        {
            self.read_mail();
            for _ in 0..self.rng.usize(1..6) {
                let index = self.rng.usize(..self.tasks.len());
                self.step(index);
            }
            self.world.gate.leave(self.id);
        }
        self.stale
    }

    fn read_mail(&mut self) {
        let all_wait = self.tasks.iter().all(|task| {
            matches!(
                task.state,
                State::AtGate { .. } | State::AtLocks { .. } | State::Done
            )
        });
        let block = all_wait && self.rng.u8(..8) != 0;
        for token in self.world.site.mailboxes[self.id as usize].take(block) {
            if self.stale.remove(&token) {
                continue;
            }
            let index = self.waiting.remove(&token).expect("a wake for nobody");
            self.woken(index);
        }
    }

    fn woken(&mut self, index: usize) {
        match self.take(index) {
            State::AtGate { ticket, .. } => {
                let pass = self.world.gate.claim(ticket).expect("woken, not granted");
                self.past_gate(index, pass);
            }
            State::AtLocks {
                ticket,
                pass,
                present,
                ..
            } => {
                let Ok(held) = ticket.claim() else {
                    panic!("woken, not granted");
                };
                self.work(index, pass, held, &present);
            }
            _ => panic!("a wake for one who does not wait"),
        }
    }

    fn step(&mut self, index: usize) {
        match self.take(index) {
            State::Fresh => self.start(index),
            State::AtGate { token, ticket } => {
                if self.patient() {
                    self.tasks[index].state = State::AtGate { token, ticket };
                } else {
                    let was = self.world.gate.cancel(ticket);
                    self.forget(token, was);
                }
            }
            State::AtLocks {
                token,
                ticket,
                pass,
                present,
            } => {
                if self.patient() {
                    self.tasks[index].state = State::AtLocks {
                        token,
                        ticket,
                        pass,
                        present,
                    };
                } else {
                    self.give_up(token, ticket, pass, &present);
                }
            }
            State::Working { pass, held, steps } => self.go_on(index, pass, held, steps),
            State::Alone { pass, steps: 0 } => {
                self.world.site.keyspace.go(Mode::Exclusive);
                self.world.gate.release(pass);
            }
            State::Alone { pass, steps } => {
                pause();
                self.tasks[index].state = State::Alone {
                    pass,
                    steps: steps - 1,
                };
            }
            State::Done => self.tasks[index].state = State::Done,
        }
    }

    fn start(&mut self, index: usize) {
        if self.tasks[index].rounds == 0 {
            self.tasks[index].state = State::Done;
            return;
        }
        self.tasks[index].rounds -= 1;
        let gate = &self.world.gate;
        let answer = if self.rng.u8(..64) < self.world.plan.serial_in_64 {
            gate.acquire_exclusive(self.waiter())
        } else if gate.enter(self.id) {
            if self.rng.u8(..3) == 0 && self.plain_command() {
                return;
            }
            GateAcquire::Granted(gate.hold(self.id))
        } else {
            gate.wait(self.waiter())
        };
        match answer {
            GateAcquire::Granted(pass) => self.past_gate(index, pass),
            GateAcquire::Queued(ticket) => {
                let token = self.queue(index);
                self.tasks[index].state = State::AtGate { token, ticket };
            }
        }
    }

    /// A command on one key, inside of the pass; false if a lock is in its way.
    fn plain_command(&mut self) -> bool {
        let World { site, locks, .. } = self.world;
        let fingerprint = self.rng.u64(..self.world.plan.keys);
        let mode = self.mode();
        let count = site.stripe(fingerprint).lock();
        if *count > 0 && locks.is_conflicting(fingerprint, mode) {
            return false;
        }
        site.keyspace.come(Mode::Shared);
        site.key(fingerprint).come(mode);
        pause();
        site.key(fingerprint).go(mode);
        site.keyspace.go(Mode::Shared);
        true
    }

    fn past_gate(&mut self, index: usize, pass: GateHold) {
        if pass.mode() == Mode::Exclusive {
            self.world.site.keyspace.come(Mode::Exclusive);
            let steps = self.rng.u8(..3);
            self.tasks[index].state = State::Alone { pass, steps };
            return;
        }
        let locks = &self.world.locks;
        let mut footprint = self.footprint();
        if self.rng.u8(..4) == 0 {
            match locks.try_acquire(footprint) {
                Ok(held) => return self.work(index, pass, held, &Footprint::default()),
                Err(refused) => footprint = refused,
            }
        }
        match locks.acquire(footprint, self.waiter()) {
            Acquire::Granted(held) => self.work(index, pass, held, &Footprint::default()),
            Acquire::Queued(ticket) => self.at_locks(index, ticket, pass, Footprint::default()),
        }
    }

    fn at_locks(&mut self, index: usize, ticket: Ticket, pass: GateHold, present: Footprint) {
        let token = self.queue(index);
        self.tasks[index].state = State::AtLocks {
            token,
            ticket,
            pass,
            present,
        };
    }

    /// Comes to the keys that are newly held.
    fn work(&mut self, index: usize, pass: GateHold, held: Held, present: &Footprint) {
        let site = &self.world.site;
        if present.is_empty() {
            site.keyspace.come(Mode::Shared);
        }
        for (fingerprint, mode) in held.footprint().iter() {
            match present.contains(fingerprint) {
                None => site.come(fingerprint, mode),
                Some(before) => assert_eq!(before, mode, "only try_extend strengthens"),
            }
        }
        let steps = self.rng.u8(..4);
        self.tasks[index].state = State::Working { pass, held, steps };
    }

    fn go_on(&mut self, index: usize, pass: GateHold, mut held: Held, steps: u8) {
        let World { site, locks, .. } = self.world;
        pause();
        if steps == 0 {
            site.go(held.footprint());
            site.keyspace.go(Mode::Shared);
            locks.release(held);
            self.world.gate.release(pass);
            return;
        }
        let fingerprint = self.rng.u64(..self.world.plan.keys);
        let mode = self.mode();
        let present = held.footprint().clone();
        if present.contains(fingerprint) == Some(Mode::Shared) && mode == Mode::Exclusive {
            if locks.try_extend(&mut held, fingerprint, mode) {
                let _stripe = site.stripe(fingerprint).lock();
                site.key(fingerprint).go(Mode::Shared);
                site.key(fingerprint).come(Mode::Exclusive);
            }
        } else if self.rng.bool() {
            match locks.extend(held, fingerprint, mode, self.waiter()) {
                Extend::Granted(held) => return self.work(index, pass, held, &present),
                Extend::Queued(ticket) => return self.at_locks(index, ticket, pass, present),
                Extend::Refused(same) => {
                    assert!(
                        present.max() > Some(fingerprint),
                        "refused out of order only"
                    );
                    held = same;
                }
            }
        }
        let steps = steps - 1;
        self.tasks[index].state = State::Working { pass, held, steps };
    }

    fn give_up(&mut self, token: u64, ticket: Ticket, pass: GateHold, present: &Footprint) {
        let World { site, locks, .. } = self.world;
        let was = if present.is_empty() {
            locks.cancel(ticket)
        } else {
            let Withdrawn { held, was } = locks.withdraw(ticket);
            for (fingerprint, mode) in present.iter() {
                assert_eq!(held.footprint().contains(fingerprint), Some(mode));
            }
            pause();
            site.go(present);
            site.keyspace.go(Mode::Shared);
            locks.release(held);
            was
        };
        self.world.gate.release(pass);
        self.forget(token, was);
    }

    fn forget(&mut self, token: u64, was: Cancelled) {
        self.waiting.remove(&token);
        if was == Cancelled::AfterGrant {
            self.stale.insert(token);
        }
    }

    /// The waiter of the next call that may queue.
    fn waiter(&self) -> WaiterId {
        WaiterId {
            shard: self.id,
            token: self.next_token,
        }
    }

    fn queue(&mut self, index: usize) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token, index);
        token
    }

    fn take(&mut self, index: usize) -> State {
        std::mem::replace(&mut self.tasks[index].state, State::Fresh)
    }

    fn patient(&mut self) -> bool {
        self.rng.u8(..16) != 0
    }

    fn mode(&mut self) -> Mode {
        if self.rng.u8(..5) < 2 {
            Mode::Shared
        } else {
            Mode::Exclusive
        }
    }

    fn footprint(&mut self) -> Footprint {
        let longest = self.world.plan.longest_footprint;
        (0..self.rng.usize(1..=longest))
            .map(|_| (self.rng.u64(..self.world.plan.keys), self.mode()))
            .collect()
    }
}
