//! Who is served, with what, and in which order.

use super::{Room, pair};
use crate::engine::ClientFlags;
use crate::engine::testing::words;
use crate::resp::Args;
use std::time::Duration;

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    let mut room = Room::new(3, 2);
    for index in 0..5 {
        room.wait(index, "take k 0");
    }
    assert_eq!(room.blocked_clients(), 5);
    for index in 0..5 {
        assert_eq!(room.ask(5, &format!("set k {index}")), "+OK\r\n");
        // Nobody steps between the push and the pop that it serves.
        assert_eq!(room.ask(5, "get k"), "$-1\r\n");
    }
    room.settle();
    for index in 0..5 {
        assert_eq!(room.got(index), [pair("k", &index.to_string())]);
    }
    assert_eq!(room.blocked_clients(), 0);
    assert_eq!(room.ask(5, "set k rest"), "+OK\r\n");
    assert_eq!(room.ask(0, "take k 0"), pair("k", "rest"));
}

#[test]
fn a_waiting_client_is_shown_as_blocked() {
    let mut room = Room::new(2, 1);
    let flags = |room: &Room| {
        let client = room.clients[0].as_ref().expect("it is there");
        client.info.flags().contains(ClientFlags::BLOCKED)
    };
    room.wait(0, "take k 0");
    assert!(flags(&room));
    let list = room.ask(1, "client list");
    assert!(
        list.contains(" flags=b ") && list.contains(" cmd=take "),
        "{list}"
    );
    room.ask(1, "set k v");
    room.settle();
    assert!(!flags(&room));
}

#[test]
fn the_key_that_changed_first_serves() {
    let mut room = Room::new(2, 2);
    room.wait(0, "take a b 0");
    for line in ["multi", "set b 1", "set a 2"] {
        room.ask(1, line);
    }
    assert_eq!(room.ask(1, "exec"), "*2\r\n+OK\r\n+OK\r\n");
    assert_eq!(room.ask(1, "exists a"), ":1\r\n");
    room.settle();
    assert_eq!(room.got(0), [pair("b", "1")]);
    // Having been served, it waits in none of its keys any more.
    room.ask(1, "set b 3");
    assert_eq!(room.ask(1, "get b"), "$1\r\n3\r\n");
}

#[test]
fn a_script_serves_once_it_has_committed() {
    let mut room = Room::new(2, 1);
    room.wait(0, "take k 0");
    let script: &[u8] = b"redis.call('set', KEYS[1], 'v') return redis.call('get', KEYS[1])";
    let client = room.clients[1].as_mut().expect("it is there");
    let (_, reply) = room.server.run(client, &[b"eval", script, b"1", b"k"]);
    assert_eq!(reply, "$1\r\nv\r\n");
    assert_eq!(room.ask(1, "exists k"), ":0\r\n");
    room.settle();
    assert_eq!(room.got(0), [pair("k", "v")]);

    // One that fails has brought nothing.
    room.wait(0, "take k 0");
    let script: &[u8] = b"redis.call('set', KEYS[1], 'v') error('no')";
    let client = room.clients[1].as_mut().expect("it is there");
    room.server.run(client, &[b"eval", script, b"1", b"k"]);
    // One without KEYS has the whole keyspace.
    let script: &[u8] = b"redis.call('set', 'k', 'w')";
    let client = room.clients[1].as_mut().expect("it is there");
    room.server.run(client, &[b"eval", script, b"0"]);
    room.settle();
    assert_eq!(room.got(0), [pair("k", "w")]);
}

#[test]
fn what_serves_one_may_serve_another() {
    let mut room = Room::new(3, 2);
    room.wait(0, "take c 0");
    room.wait(1, "carry b c 0");
    room.wait(2, "carry a b 0");
    room.ask(3, "set a v");
    assert_eq!(room.ask(3, "exists a b c"), ":0\r\n");
    room.settle();
    assert_eq!(room.got(2), ["$1\r\nv\r\n"]);
    assert_eq!(room.got(1), ["$1\r\nv\r\n"]);
    assert_eq!(room.got(0), [pair("c", "v")]);
}

#[test]
fn readers_are_all_served_and_those_for_whom_it_is_not_keep_their_place() {
    let mut room = Room::new(3, 2);
    for index in 0..3 {
        room.wait(index, "peek k old 0");
    }
    room.wait(3, "take k 0");
    room.wait(4, "peek k new 0");
    // Nothing that anybody could use.
    room.server.run(
        room.clients[5].as_mut().expect("it is there"),
        &[b"set", b"k", b""],
    );
    room.settle();
    assert_eq!(room.blocked_clients(), 5);
    room.ask(5, "set k new");
    room.settle();
    for index in 0..3 {
        assert_eq!(room.got(index), ["$3\r\nnew\r\n"]);
    }
    assert_eq!(room.got(3), [pair("k", "new")]);
    assert_eq!(room.blocked_clients(), 1, "what it has seen is old to it");
}

#[test]
fn every_way_to_bring_a_key_into_being_serves() {
    let mut room = Room::new(2, 1);
    room.ask(1, "select 1");
    room.ask(1, "set k moved");
    room.ask(1, "select 0");
    for (before, line) in [
        ("set other v", "rename other k"),
        ("set other v", "renamenx other k"),
        ("set other v", "copy other k"),
        ("select 1", "move k 0"),
        ("select 0", "append k v"),
        ("ping", "getset k v"),
        ("ping", "mset other 1 k 2"),
    ] {
        room.wait(0, "take k 0");
        room.ask(1, before);
        let reply = room.ask(1, line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        room.settle();
        assert_eq!(room.got(0).len(), 1, "{line}");
    }
    room.ask(1, "set other v");
    let dump = {
        let client = room.clients[1].as_mut().expect("it is there");
        let worker = &mut room.server.workers[1];
        let mut out = Vec::new();
        worker.command(client, Args::from_slices(&words("dump other")), &mut out);
        let start = out.iter().position(|b| *b == b'\n').expect("a header") + 1;
        out[start..out.len() - 2].to_vec()
    };
    room.wait(0, "take k 0");
    let client = room.clients[1].as_mut().expect("it is there");
    room.server.run(client, &[b"restore", b"k", b"0", &dump]);
    room.settle();
    assert_eq!(room.got(0), [pair("k", "v")]);
}

#[test]
fn a_waiter_waits_in_its_logical_database() {
    let mut room = Room::new(3, 1);
    room.wait(0, "take k 0");
    room.ask(1, "select 1");
    room.ask(1, "set k 1");
    room.settle();
    assert!(room.got(0).is_empty(), "that was another database");
    assert_eq!(room.ask(1, "swapdb 0 1"), "+OK\r\n");
    room.settle();
    assert_eq!(room.got(0), [pair("k", "1")]);

    room.wait(0, "take k 0");
    room.ask(1, "swapdb 0 1");
    room.ask(1, "set k 2");
    room.settle();
    assert!(room.got(0).is_empty(), "that is still another database");
    room.ask(2, "set k 3");
    room.settle();
    assert_eq!(room.got(0), [pair("k", "3")]);
    for line in ["flushall", "flushdb"] {
        room.wait(0, "take k 0");
        room.ask(2, line);
        room.settle();
        assert_eq!(room.blocked_clients(), 1, "{line} brings nothing");
        room.ask(2, "set k 4");
        room.settle();
        assert_eq!(room.got(0), [pair("k", "4")]);
    }
}

#[test]
fn a_key_that_expires_calls_who_waits_for_its_end() {
    let mut room = Room::new(2, 2);
    room.ask(1, "set k old px 5");
    room.wait(0, "peek k old 0");
    std::thread::sleep(Duration::from_millis(6));
    assert_eq!(room.ask(1, "get k"), "$-1\r\n");
    room.settle();
    assert_eq!(room.blocked_clients(), 1);
    room.ask(1, "set k new");
    room.settle();
    assert_eq!(room.got(0), ["$3\r\nnew\r\n"]);
}
