//! Whatever happens, in whatever order.

use super::{ANY, Room};
use crate::engine::ClientFlags;

/// Random requests of several clients on several shards, with messages handed over in any order and a lock that comes and
/// goes. However it goes, at rest nobody waits for what is there, and no value was taken twice.
#[test]
fn at_rest_nobody_waits_for_what_is_there() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut room = Room::new(3, 4);
        let mut lock = None;
        for step in 0..150 {
            match random.u32(0..10) {
                0..4 => {
                    room.step(random.usize(0..3));
                }
                4 => match lock.take() {
                    Some(lock) => room.unlock(lock),
                    None => lock = room.try_lock(KEYS[random.usize(0..3)].as_bytes()),
                },
                _ => {
                    let index = random.usize(0..room.clients.len());
                    let is_parked = room.clients[index].as_ref().map(|c| c.parked.is_some());
                    if is_parked == Some(true) && random.u32(0..10) == 0 {
                        room.leave(index);
                    } else if is_parked == Some(false) {
                        let line = random_line(&mut random, step, &KEYS);
                        if let Some(reply) = room.send(index, &line) {
                            room.replies[index].push(reply);
                        }
                    }
                }
            }
        }
        if let Some(lock) = lock {
            room.unlock(lock);
        }
        room.settle();
        check_at_rest(&mut room, seed, &KEYS);
    }
}

fn random_line(random: &mut fastrand::Rng, step: u32, keys: &[&str]) -> String {
    let (one, two) = (random.usize(0..keys.len()), random.usize(0..keys.len()));
    let (one, two) = (keys[one], keys[two]);
    match random.u32(0..6) {
        0..2 => format!("setnx {one} v{step}"),
        2 => format!("rename {one} {two}"),
        3 => format!("carry {one} {two} 0"),
        _ => format!("take {one} {two} 0"),
    }
}

fn check_at_rest(room: &mut Room, seed: u64, keys: &[&str]) {
    let shared = room.server.shared;
    for client in room.clients.iter().flatten() {
        let is_blocked = client.info.flags().contains(ClientFlags::BLOCKED);
        assert_eq!(
            client.parked.is_some(),
            is_blocked,
            "seed {seed}: it waits for a lock"
        );
    }
    let mut asking = room.server.connect(0);
    for key in keys {
        if room.server.reply(&mut asking, &format!("exists {key}")) == ":1\r\n" {
            let fingerprint = shared.keyspace.fingerprint(0, key.as_bytes());
            let waiter = shared.waiters.next(fingerprint, ANY, 0);
            assert!(waiter.is_none(), "seed {seed}: somebody waits on {key}");
        }
    }
    let replies = room.replies.iter().flatten();
    let mut taken: Vec<_> = replies.filter(|reply| reply.starts_with("*2")).collect();
    let count = taken.len();
    taken.sort_unstable();
    // The value is unique, so also the reply is, whatever the key.
    taken.dedup_by_key(|reply| reply.rsplit("\r\n").nth(1).map(str::to_owned));
    assert_eq!(taken.len(), count, "seed {seed}: a value was taken twice");
}
