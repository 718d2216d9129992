//! A lock goes from a writer to two readers while a plain command looks at the stripe's count. The
//! second reader's own count is the one thing that keeps the command out once the first is gone;
//! random work rarely meets that moment.

use std::sync::Arc;

use super::footprint::{Fingerprint, Footprint, Mode};
use super::harness::{Mailbox, pause};
use super::host::{LockHost, WaiterId, Wake};
use super::manager::{Acquire, KeyLockManager};
use super::simulation::Presence;
use super::sync::Mutex;

const KEY: Fingerprint = 1;
const PLAIN_COMMANDS: usize = 3;

#[derive(Default)]
struct Site {
    count: Mutex<usize>,
    mailboxes: [Mailbox; 2],
    key: Presence,
}

impl Wake for Site {
    fn wake(&self, waiter: WaiterId) {
        self.mailboxes[waiter.shard as usize].push(waiter.token);
    }
}

impl LockHost for Site {
    fn raise(&self, _: Fingerprint) {
        *self.count.lock() += 1;
    }

    fn lower(&self, _: Fingerprint) {
        *self.count.lock() -= 1;
    }
}

type Locks = Arc<KeyLockManager<Site>>;

#[test]
fn every_reader_is_counted_before_it_is_woken() {
    super::check(scenario);
}

fn scenario() {
    let locks: Locks = Arc::new(KeyLockManager::new(Site::default()));
    let writer = locks
        .try_acquire(Footprint::single(KEY, Mode::Exclusive))
        .unwrap();
    let mut threads: Vec<_> = (0..2).map(|shard| spawn_reader(&locks, shard)).collect();
    let plain = Arc::clone(&locks);
    threads.push(shuttle::thread::spawn(move || run_plain_commands(&plain)));
    locks.release(writer);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*locks.host().count.lock(), 0);
}

fn spawn_reader(locks: &Locks, shard: u32) -> shuttle::thread::JoinHandle<()> {
    let waiter = WaiterId { shard, token: 0 };
    let Acquire::Queued(ticket) = locks.acquire(Footprint::single(KEY, Mode::Shared), waiter)
    else {
        panic!("the writer is still there");
    };
    let locks = Arc::clone(locks);
    shuttle::thread::spawn(move || {
        locks.host().mailboxes[shard as usize].take(true);
        let Ok(held) = ticket.claim() else {
            panic!("woken, not granted");
        };
        locks.host().key.come(Mode::Shared);
        pause();
        locks.host().key.go(Mode::Shared);
        locks.release(held);
    })
}

fn run_plain_commands(locks: &Locks) {
    let site = locks.host();
    for _ in 0..PLAIN_COMMANDS {
        let count = site.count.lock();
        if *count == 0 || !locks.is_conflicting(KEY, Mode::Exclusive) {
            site.key.come(Mode::Exclusive);
            pause();
            site.key.go(Mode::Exclusive);
        }
    }
}
