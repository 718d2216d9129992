//! Waits that end in another way, and waiters that were called.

use super::{NULL_ARRAY, Room, pair};
use crate::locks::{Footprint, Mode};
use std::time::Duration;

#[test]
fn nothing_waits_inside_a_transaction_or_a_script() {
    let mut room = Room::new(1, 1);
    for line in ["multi", "take k 0", "carry k l 0"] {
        room.ask(0, line);
    }
    assert_eq!(room.ask(0, "exec"), "*2\r\n*-1\r\n$-1\r\n");
    let script: &[u8] = b"return redis.call('take', KEYS[1], 0) == nil";
    let client = room.clients[0].as_mut().expect("it is there");
    let (_, reply) = room.server.run(client, &[b"eval", script, b"1", b"k"]);
    assert!(!reply.starts_with('-'), "{reply}");
}

#[test]
fn a_wait_ends_in_time_with_a_null_array() {
    let mut room = Room::new(1, 3);
    room.wait(0, "carry a b 0.05");
    room.wait(1, "take a 0.02");
    room.wait(2, "take a 0");
    let until_due = |room: &Room| room.server.workers[0].until_due();
    let first = until_due(&room).expect("the earlier one");
    assert!(first <= Duration::from_millis(20), "{first:?}");
    std::thread::sleep(first);
    room.end_due();
    assert_eq!(room.got(1), [NULL_ARRAY]);
    assert!(room.got(0).is_empty());
    std::thread::sleep(until_due(&room).expect("the later one"));
    room.end_due();
    assert_eq!(room.got(0), [NULL_ARRAY]);
    assert_eq!(until_due(&room), None, "the last waits for ever");
    room.ask(0, "set a v");
    room.settle();
    assert_eq!(room.got(2), [pair("a", "v")]);
}

#[test]
fn client_unblock_ends_a_wait() {
    let mut room = Room::new(2, 1);
    let id = room.clients[0].as_ref().expect("it is there").id();
    for (reason, reply) in [
        ("", NULL_ARRAY),
        (" timeout", NULL_ARRAY),
        (
            " error",
            "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n",
        ),
    ] {
        room.wait(0, "take k 0");
        let line = format!("client unblock {id}{reason}");
        assert_eq!(room.ask(1, &line), ":1\r\n");
        room.settle();
        assert_eq!(room.got(0), [reply]);
        assert_eq!(room.ask(1, &line), ":0\r\n");
    }
    room.ask(1, "set k v");
    assert_eq!(room.ask(1, "get k"), "$1\r\nv\r\n");
}

#[test]
fn who_leaves_waits_no_more() {
    let mut room = Room::new(2, 2);
    room.wait(0, "take k 0");
    room.wait(1, "take k 0");
    room.wait(2, "take k 0");
    room.leave(0);
    room.ask(3, "set k v");
    // This one has been served, but is gone before it hears of it.
    room.leave(1);
    room.settle();
    assert!(room.got(1).is_empty());
    room.ask(3, "set k w");
    room.settle();
    assert_eq!(room.got(2), [pair("k", "w")]);
}

#[test]
fn a_busy_destination_holds_up_those_behind_until_it_is_free() {
    let mut room = Room::new(3, 2);
    let keyspace = room.server.shared.keyspace;
    let fingerprint = |key: &str| keyspace.fingerprint(0, key.as_bytes());
    // Locks are taken in ascending order: who waits for this destination does not hold the source.
    let names = (0..).map(|number| format!("to{number}"));
    let mut below = names.filter(|to| fingerprint(to) < fingerprint("from"));
    let to = below.next().expect("half of all names are below");
    room.wait(0, &format!("carry from {to} 0"));
    room.wait(1, "take from 0");
    let lock = room.lock(to.as_bytes());
    for _ in 0..2 {
        room.ask(2, "set from 1");
        room.settle();
        assert!(room.got(0).is_empty() && room.got(1).is_empty());
    }
    room.unlock(lock);
    room.settle();
    assert_eq!(room.got(0), ["$1\r\n1\r\n"]);
    assert_eq!(room.ask(2, &format!("get {to}")), "$1\r\n1\r\n");
    assert_eq!(room.blocked_clients(), 1);
    room.ask(2, "set from 2");
    room.settle();
    assert_eq!(room.got(1), [pair("from", "2")]);
}

#[test]
fn who_gives_up_while_the_destination_is_busy_lets_the_next_one_go() {
    for give_up in ["timeout", "unblock", "leave"] {
        let mut room = Room::new(3, 2);
        let timeout = if give_up == "timeout" { "0.1" } else { "0" };
        room.wait(0, &format!("carry from to {timeout}"));
        let lock = room.lock(b"to");
        room.wait(1, "take from other 0");
        room.ask(2, "set from 1");
        room.settle();
        assert!(room.got(1).is_empty(), "{give_up}");
        match give_up {
            "timeout" => {
                std::thread::sleep(Duration::from_millis(101));
                room.end_due();
                assert_eq!(room.got(0), [NULL_ARRAY]);
            }
            "unblock" => {
                let id = room.clients[0].as_ref().expect("it is there").id();
                room.ask(2, &format!("client unblock {id}"));
                room.settle();
                assert_eq!(room.got(0), [NULL_ARRAY]);
            }
            _ => room.leave(0),
        }
        room.settle();
        assert_eq!(room.got(1), [pair("from", "1")], "{give_up}");
        room.unlock(lock);
    }
}

#[test]
fn whoever_was_called_in_vain_goes_on_waiting_in_its_place() {
    let mut room = Room::new(3, 2);
    room.wait(0, "carry from to 0");
    let lock = room.lock(b"to");
    room.wait(1, "take from 0");
    room.ask(2, "set from 1");
    assert_eq!(room.ask(2, "del from"), ":1\r\n");
    room.settle();
    room.unlock(lock);
    room.settle();
    assert_eq!(room.blocked_clients(), 2);
    room.ask(2, "set from 2");
    room.settle();
    assert_eq!(room.got(0), ["$1\r\n2\r\n"]);
    assert!(room.got(1).is_empty());
}

#[test]
fn what_came_to_another_key_while_it_was_called_is_not_missed() {
    let mut room = Room::new(3, 2);
    room.wait(0, "carry a to 0");
    room.wait(1, "take a b 0");
    let lock = room.lock(b"to");
    room.ask(2, "set a 1");
    room.ask(2, "del a");
    room.leave(0);
    // The second one is called to look at `a`; before it does, there is something at `b`.
    room.ask(2, "set b 2");
    room.settle();
    assert_eq!(room.got(1), [pair("b", "2")]);
    room.unlock(lock);
}

#[test]
fn a_called_waiter_follows_its_database_when_it_is_swapped() {
    let mut room = Room::new(3, 1);
    room.wait(0, "carry from to 0");
    let lock = room.lock(b"to");
    room.ask(1, "set from 1");
    assert!(room.send(2, "swapdb 0 1").is_none(), "a lock is held");
    room.settle();
    room.unlock(lock);
    room.settle();
    assert_eq!(room.got(2), ["+OK\r\n"]);
    // Whether it was served before the swap or not, it may not have been served in the wrong database.
    let served = room.got(0);
    if served.is_empty() {
        room.ask(1, "set from 2");
        room.settle();
        assert_eq!(room.got(0), ["$1\r\n2\r\n"]);
        assert_eq!(room.ask(1, "get to"), "$1\r\n2\r\n");
    } else {
        room.ask(1, "select 1");
        assert_eq!(room.ask(1, "get to"), "$1\r\n1\r\n");
    }
}

#[test]
fn a_wait_is_counted_as_one_call() {
    let mut room = Room::new(2, 1);
    room.ask(1, "config set slowlog-log-slower-than 0");
    for worker in &mut room.server.workers {
        worker.tick();
    }
    room.wait(0, "take k 0");
    let calls = |room: &mut Room| {
        let info = room.ask(1, "info commandstats");
        let line = info.lines().find(|line| line.starts_with("cmdstat_take"));
        line.map(str::to_owned)
    };
    let line = calls(&mut room).expect("it was called");
    assert!(line.contains("calls=1,"), "{line}");
    assert!(
        !room.ask(1, "slowlog get").contains("take"),
        "it is not over"
    );
    room.ask(1, "set k v");
    room.settle();
    let line = calls(&mut room).expect("it was called");
    assert!(line.contains("calls=1,"), "{line}");
    assert!(room.ask(1, "slowlog get").contains("take"));
}

#[test]
fn a_wait_for_a_lock_is_timed_and_the_command_is_counted_without_it() {
    let mut room = Room::new(2, 1);
    let field = |room: &mut Room, section: &str, name: &str| {
        let info = room.ask(0, &format!("info {section}"));
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned).unwrap_or_default()
    };
    let lock = room.lock(b"k");
    room.wait(1, "set k v");
    std::thread::sleep(Duration::from_millis(30));
    room.unlock(lock);
    room.settle();
    assert_eq!(room.got(1), ["+OK\r\n"]);
    let waited = field(&mut room, "locks", "lock_wait_usec:");
    let waited_us: u64 = waited.trim().parse().expect("a number");
    assert!(waited_us >= 30_000, "{waited_us}");
    assert_eq!(field(&mut room, "locks", "lock_waits:"), "1");
    let stats = field(&mut room, "commandstats", "cmdstat_set:calls=1,usec=");
    let ran_us: u64 = stats
        .split(',')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(ran_us < 30_000, "{stats}");
}

#[test]
fn who_waits_at_the_gate_locks_the_keys_of_the_database_that_it_finds_behind_it() {
    let mut room = Room::new(3, 1);
    let shared = room.server.shared;
    // Somebody works on this key of the database that will be number 0.
    let fingerprint = shared.keyspace.fingerprint(1, b"k");
    let other = Footprint::single(fingerprint, Mode::Exclusive);
    let other = shared.locks.try_acquire(other).expect("a free lock");
    let inside = room.lock(b"x");
    room.wait(2, "swapdb 0 1");
    room.wait(1, "mset k 1 l 2");
    room.ask(0, "multi");
    room.ask(0, "append k 3");
    room.wait(0, "exec");
    room.unlock(inside);
    room.settle();
    assert_eq!(room.got(2), ["+OK\r\n"]);
    assert!(room.got(1).is_empty(), "the key is locked");
    assert!(room.got(0).is_empty(), "the key is locked");
    shared.locks.release(other);
    room.settle();
    assert_eq!(room.got(1), ["+OK\r\n"]);
    assert_eq!(room.got(0).len(), 1);
}
