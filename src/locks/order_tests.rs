//! Who is served when: the lock table step by step against a naive model of FIFO queues, and the
//! phases of the gate.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parking_lot::Mutex;

use super::*;

/// One stripe for all keys, and one mailbox.
#[derive(Default)]
struct Recorder {
    count: Mutex<usize>,
    woken: Mutex<Vec<u64>>,
}

impl Wake for Recorder {
    fn wake(&self, waiter: WaiterId) {
        self.woken.lock().push(waiter.token);
    }
}

impl LockHost for Recorder {
    fn raise(&self, _: Fingerprint) {
        *self.count.lock() += 1;
    }

    fn lower(&self, _: Fingerprint) {
        *self.count.lock() -= 1;
    }
}

impl Recorder {
    fn take_woken(&self) -> Vec<u64> {
        std::mem::take(&mut *self.woken.lock())
    }
}

fn waiter(token: u64) -> WaiterId {
    WaiterId { shard: 0, token }
}

/// The lock table as one would explain it.
#[derive(Default)]
struct Naive {
    locks: BTreeMap<Fingerprint, NaiveLock>,
    wanted: HashMap<u64, Vec<(Fingerprint, Mode)>>,
    acquired: HashMap<u64, usize>,
}

#[derive(Default)]
struct NaiveLock {
    holders: Vec<(u64, Mode)>,
    queue: VecDeque<(u64, Mode)>,
}

impl NaiveLock {
    fn excludes(&self, mode: Mode) -> bool {
        self.holders
            .iter()
            .any(|&(_, held)| held.max(mode) == Mode::Exclusive)
    }

    fn conflicts(&self, mode: Mode) -> bool {
        self.excludes(mode) || !self.queue.is_empty()
    }
}

impl Naive {
    fn acquire(&mut self, id: u64, footprint: &Footprint) -> bool {
        self.wanted.insert(id, footprint.iter().collect());
        self.acquired.insert(id, 0);
        self.advance(id)
    }

    fn extend(&mut self, id: u64, fingerprint: Fingerprint, mode: Mode) -> bool {
        self.wanted.entry(id).or_default().push((fingerprint, mode));
        self.advance(id)
    }

    fn advance(&mut self, id: u64) -> bool {
        while let Some(&(fingerprint, mode)) = self.wanted[&id].get(self.acquired[&id]) {
            let lock = self.locks.entry(fingerprint).or_default();
            if lock.conflicts(mode) {
                lock.queue.push_back((id, mode));
                return false;
            }
            lock.holders.push((id, mode));
            *self.acquired.get_mut(&id).unwrap() += 1;
        }
        true
    }

    fn release(&mut self, id: u64) -> Vec<u64> {
        self.acquired.remove(&id);
        let all = self.wanted.remove(&id).unwrap();
        self.take_from(id, &all)
    }

    /// Leaves the queue first, then releases.
    fn cancel(&mut self, id: u64) -> Vec<u64> {
        let acquired = self.acquired.remove(&id).unwrap();
        let all = self.wanted.remove(&id).unwrap();
        let mut complete = self.take_from(id, &all[acquired..=acquired]);
        complete.extend(self.take_from(id, &all[..acquired]));
        complete
    }

    /// Takes locks, or places in their queues, away; returns who has everything by that, in order.
    fn take_from(&mut self, id: u64, places: &[(Fingerprint, Mode)]) -> Vec<u64> {
        let mut handed = VecDeque::new();
        for (fingerprint, _) in places {
            let lock = self.locks.get_mut(fingerprint).unwrap();
            lock.holders.retain(|holder| holder.0 != id);
            lock.queue.retain(|queued| queued.0 != id);
            while let Some(&(next, mode)) = lock.queue.front()
                && !lock.excludes(mode)
            {
                lock.queue.pop_front();
                lock.holders.push((next, mode));
                handed.push_back(next);
            }
        }
        let mut complete = Vec::new();
        while let Some(next) = handed.pop_front() {
            *self.acquired.get_mut(&next).unwrap() += 1;
            if self.advance(next) {
                complete.push(next);
            }
        }
        self.locks.retain(|_, lock| !lock.holders.is_empty());
        complete
    }
}

const KEYS: u64 = 5;
const STEPS: usize = 400;
const SEEDS: u64 = 60;

/// The table, the model, and those who hold or wait.
#[derive(Default)]
struct Pair {
    naive: Naive,
    held: BTreeMap<u64, Held>,
    tickets: BTreeMap<u64, Ticket>,
}

#[test]
fn agrees_with_naive_queues() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let locks = KeyLockManager::new(Recorder::default());
        let mut pair = Pair::default();
        for id in 0..STEPS as u64 {
            pair.step(&locks, &mut rng, id);
            pair.compare(&locks);
        }
        while let Some((id, held)) = pair.held.pop_first() {
            locks.release(held);
            let complete = pair.naive.release(id);
            pair.collect(&locks, &complete);
        }
        assert!(pair.tickets.is_empty());
        pair.compare(&locks);
        assert_eq!(locks.stats().held, 0);
    }
}

impl Pair {
    fn step(&mut self, locks: &KeyLockManager<Recorder>, rng: &mut fastrand::Rng, id: u64) {
        match rng.u8(..8) {
            0..=2 => self.acquire(locks, id, footprint(rng)),
            3 => self.extend(locks, rng),
            4 => {
                let Some(id) = choose(self.tickets.keys(), rng) else {
                    return;
                };
                let ticket = self.tickets.remove(&id).unwrap();
                assert_eq!(locks.cancel(ticket), Cancelled::WhileQueued);
                let complete = self.naive.cancel(id);
                self.collect(locks, &complete);
            }
            _ => {
                let Some(id) = choose(self.held.keys(), rng) else {
                    return;
                };
                locks.release(self.held.remove(&id).unwrap());
                let complete = self.naive.release(id);
                self.collect(locks, &complete);
            }
        }
    }

    fn acquire(&mut self, locks: &KeyLockManager<Recorder>, id: u64, footprint: Footprint) {
        let at_once = self.naive.acquire(id, &footprint);
        match locks.acquire(footprint, waiter(id)) {
            Acquire::Granted(held) => {
                assert!(at_once);
                self.held.insert(id, held);
            }
            Acquire::Queued(ticket) => {
                assert!(!at_once);
                self.tickets.insert(id, ticket);
            }
        }
    }

    /// Asks for a key above all that are held: the case that may wait in place.
    fn extend(&mut self, locks: &KeyLockManager<Recorder>, rng: &mut fastrand::Rng) {
        let Some(id) = choose(self.held.keys(), rng) else {
            return;
        };
        let held = self.held.remove(&id).unwrap();
        let max = held.footprint().max().unwrap();
        if max + 1 == KEYS {
            self.held.insert(id, held);
            return;
        }
        let (fingerprint, mode) = (rng.u64(max + 1..KEYS), mode(rng));
        let at_once = self.naive.extend(id, fingerprint, mode);
        match locks.extend(held, fingerprint, mode, waiter(id)) {
            Extend::Granted(held) => {
                assert!(at_once);
                self.held.insert(id, held);
            }
            Extend::Queued(ticket) => {
                assert!(!at_once);
                self.tickets.insert(id, ticket);
            }
            Extend::Refused(_) => panic!("an extension in order is refused"),
        }
    }

    fn collect(&mut self, locks: &KeyLockManager<Recorder>, complete: &[u64]) {
        assert_eq!(
            locks.host().take_woken(),
            complete,
            "woken in another order"
        );
        for &id in complete {
            let Ok(held) = self.tickets.remove(&id).unwrap().claim() else {
                panic!("woken, not granted");
            };
            self.held.insert(id, held);
        }
    }

    fn compare(&self, locks: &KeyLockManager<Recorder>) {
        let reports: BTreeMap<_, _> = locks
            .report(usize::MAX)
            .into_iter()
            .map(|lock| (lock.fingerprint, (lock.holders, lock.waiters)))
            .collect();
        let naive: BTreeMap<_, _> = self
            .naive
            .locks
            .iter()
            .map(|(&fingerprint, lock)| (fingerprint, (lock.holders.len(), lock.queue.len())))
            .collect();
        assert_eq!(reports, naive);
        let holds = naive.values().map(|lock| lock.0).sum::<usize>();
        assert_eq!(*locks.host().count.lock(), holds, "one count per hold");
        for fingerprint in 0..KEYS {
            for mode in [Mode::Shared, Mode::Exclusive] {
                let lock = self.naive.locks.get(&fingerprint);
                assert_eq!(
                    locks.is_conflicting(fingerprint, mode),
                    lock.is_some_and(|lock| lock.conflicts(mode))
                );
            }
        }
    }
}

fn choose<'a>(
    mut ids: impl ExactSizeIterator<Item = &'a u64>,
    rng: &mut fastrand::Rng,
) -> Option<u64> {
    let count = ids.len();
    (count > 0).then(|| ids.nth(rng.usize(..count)).copied())?
}

fn mode(rng: &mut fastrand::Rng) -> Mode {
    if rng.bool() {
        Mode::Shared
    } else {
        Mode::Exclusive
    }
}

fn footprint(rng: &mut fastrand::Rng) -> Footprint {
    (0..rng.usize(1..4))
        .map(|_| (rng.u64(..KEYS), mode(rng)))
        .collect()
}

#[test]
fn try_acquire_takes_all_or_nothing() {
    let locks = KeyLockManager::new(Recorder::default());
    let taken = locks
        .try_acquire(Footprint::single(2, Mode::Exclusive))
        .unwrap();
    let wanted: Footprint = [1, 2, 3]
        .map(|key| (key, Mode::Exclusive))
        .into_iter()
        .collect();
    let refused = locks.try_acquire(wanted.clone()).unwrap_err();
    assert_eq!(refused, wanted);
    assert_eq!(locks.stats().held, 1);
    locks.release(taken);
    let all = locks.try_acquire(refused).unwrap();
    assert_eq!(*locks.host().count.lock(), 3);
    locks.release(all);
    assert_eq!(*locks.host().count.lock(), 0);
    assert_eq!(locks.stats().acquisitions, 2);
}

#[test]
fn only_a_sole_reader_is_upgraded() {
    let locks = KeyLockManager::new(Recorder::default());
    let read = || Footprint::single(7, Mode::Shared);
    let mut first = locks.try_acquire(read()).unwrap();
    let second = locks.try_acquire(read()).unwrap();
    assert!(!locks.try_extend(&mut first, 7, Mode::Exclusive));
    let Extend::Refused(mut first) = locks.extend(first, 7, Mode::Exclusive, waiter(0)) else {
        panic!("two readers that wait for each other to go");
    };
    locks.release(second);
    assert!(locks.try_extend(&mut first, 7, Mode::Exclusive));
    assert!(locks.is_conflicting(7, Mode::Shared));
    locks.release(first);
    assert_eq!(locks.stats().held, 0);
}

fn alone(gate: &Gate<Recorder>, shard: u32, token: u64) -> GateTicket {
    match gate.acquire_exclusive(WaiterId { shard, token }) {
        GateAcquire::Queued(ticket) => ticket,
        GateAcquire::Granted(_) => panic!("the gate is not free"),
    }
}

fn shared(gate: &Gate<Recorder>, shard: u32, token: u64) -> GateTicket {
    assert!(!gate.enter(shard));
    match gate.wait(WaiterId { shard, token }) {
        GateAcquire::Queued(ticket) => ticket,
        GateAcquire::Granted(_) => panic!("the gate is not open"),
    }
}

#[test]
fn gate_phases_alternate() {
    let gate = Gate::new(2, Recorder::default());
    assert!(gate.enter(0) && gate.enter(1));
    let first = alone(&gate, 0, 1);
    let early = shared(&gate, 0, 2);
    let second = alone(&gate, 0, 3);
    let third = alone(&gate, 0, 4);
    assert!(gate.enter(1), "a pass that is inside stays inside");
    assert!(gate.host().take_woken().is_empty());
    gate.leave(1);
    assert_eq!(gate.host().take_woken(), [1]);
    let late = shared(&gate, 1, 5);

    gate.release(gate.claim(first).unwrap());
    assert_eq!(
        gate.host().take_woken(),
        [2, 5],
        "all who wait for the shared side"
    );
    let next_phase = shared(&gate, 1, 6);
    gate.release(gate.claim(early).unwrap());
    let second = gate.claim(second).unwrap_err();
    gate.release(gate.claim(late).unwrap());
    assert_eq!(
        gate.host().take_woken(),
        [3],
        "exclusive wanters in their order"
    );

    gate.release(gate.claim(second).unwrap());
    assert_eq!(gate.host().take_woken(), [6]);
    gate.release(gate.claim(next_phase).unwrap());
    assert_eq!(gate.host().take_woken(), [4]);
    gate.release(gate.claim(third).unwrap());
    assert!(gate.enter(0) && gate.enter(1));
}

#[test]
fn a_cancelled_wish_for_the_gate_lets_the_others_in() {
    let gate = Gate::new(2, Recorder::default());
    assert!(gate.enter(1));
    let suspended = gate.hold(1);
    gate.leave(1);
    let wish = alone(&gate, 0, 1);
    let work = shared(&gate, 0, 2);
    assert_eq!(gate.cancel(wish), Cancelled::WhileQueued);
    assert_eq!(gate.host().take_woken(), [2]);
    assert!(gate.enter(0));
    gate.leave(0);
    gate.release(gate.claim(work).unwrap());

    let wish = alone(&gate, 0, 3);
    gate.release(suspended);
    assert_eq!(gate.host().take_woken(), [3]);
    assert_eq!(gate.cancel(wish), Cancelled::AfterGrant);
    assert!(gate.enter(0));
}

#[test]
fn the_asking_shard_has_to_enter_again() {
    let gate = Gate::new(1, Recorder::default());
    assert!(gate.enter(0));
    let GateAcquire::Granted(hold) = gate.acquire_exclusive(waiter(1)) else {
        panic!("nobody else is there");
    };
    let work = shared(&gate, 0, 2);
    gate.release(hold);
    assert_eq!(gate.host().take_woken(), [2]);
    gate.release(gate.claim(work).unwrap());
    assert_eq!(gate.stats().exclusive_grants, 1);
    assert_eq!(gate.stats().waits, 1);
}
