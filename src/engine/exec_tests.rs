//! Scripts inside EXEC that take longer than a slice.

use super::Message;
use super::client::Client;
use super::testing::Server;
use super::worker::Flow;
use crate::base::clock;
use crate::keyspace::{Txn, TxnBuffers};
use crate::locks::{GateAcquire, WaiterId};
use std::time::{Duration, Instant};

const SLOW: &str = "redis.call('SET', KEYS[1], 'script') local n = 0 for i = 1, 2e7 do n = n + i end return ARGV[1]";
const ENDLESS: &str = "redis.call('SET', KEYS[1], 'script') while true do end";

/// Sends MULTI, SET a 1, the script on `b`, SET c 3, EXEC; gives what became of the last.
fn exec(server: &mut Server, client: &mut Client, script: &str) -> (Flow, String) {
    server.reply(client, "MULTI");
    server.reply(client, "SET a 1");
    let eval: [&[u8]; 5] = [b"EVAL", script.as_bytes(), b"1", b"b", b"done"];
    server.run(client, &eval);
    server.reply(client, "SET c 3");
    server.run(client, &[b"EXEC"])
}

/// Drives the first shard until none of these clients waits; their replies.
fn finish_all<const N: usize>(server: &mut Server, mut clients: [&mut Client; N]) -> [String; N] {
    let begin = Instant::now();
    let mut outs = [const { Vec::new() }; N];
    while clients.iter().any(|client| client.parked.is_some()) {
        assert!(begin.elapsed() < Duration::from_mins(1), "it never ends");
        let mut tokens = server.workers[0].take_runnable();
        while let Some(message) = server.message(0) {
            if let Message::Wake(token) = message {
                tokens.push(token);
            }
        }
        let worker = &mut server.workers[0];
        worker.begin_pass();
        for token in tokens {
            for (client, out) in clients.iter_mut().zip(&mut outs) {
                if client.parked == Some(token) {
                    worker.resume(token, client, out);
                }
            }
        }
        worker.end_pass().expect("a healthy journal");
    }
    outs.map(|out| String::from_utf8(out).expect("text"))
}

fn finish(server: &mut Server, client: &mut Client) -> String {
    let [reply] = finish_all(server, [client]);
    reply
}

#[test]
fn a_slow_script_in_exec_lets_others_go_on() {
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    server.reply(&mut slow, "WATCH a");
    let (flow, _) = exec(&mut server, &mut slow, SLOW);
    assert_eq!(flow, Flow::Parked);
    assert_eq!(server.reply(&mut other, "SET free x"), "+OK\r\n");
    let (flow, _) = server.run(&mut other, &[b"GET", b"a"]);
    assert_eq!(flow, Flow::Parked, "nobody sees half of an EXEC");
    let [reply, seen] = finish_all(&mut server, [&mut slow, &mut other]);
    assert_eq!(seen, "$1\r\n1\r\n");
    assert_eq!(reply, "*3\r\n+OK\r\n$4\r\ndone\r\n+OK\r\n");
    assert_eq!(
        server.reply(&mut slow, "MGET a b c"),
        "*3\r\n$1\r\n1\r\n$6\r\nscript\r\n$1\r\n3\r\n"
    );
}

#[test]
fn a_script_in_exec_is_killed_and_the_rest_goes_on() {
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    let (flow, _) = exec(&mut server, &mut slow, ENDLESS);
    assert_eq!(flow, Flow::Parked);
    assert_eq!(server.reply(&mut other, "SCRIPT KILL"), "+OK\r\n");
    let reply = finish(&mut server, &mut slow);
    let (before, rest) = reply
        .split_once("-ERR Script killed by user with SCRIPT KILL.")
        .expect("an error");
    assert_eq!(before, "*3\r\n+OK\r\n");
    assert!(rest.ends_with(", on @user_script:1.\r\n+OK\r\n"), "{rest}");
    assert_eq!(
        server.reply(&mut other, "MGET a b c"),
        "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n"
    );
    assert!(
        server
            .reply(&mut other, "SCRIPT KILL")
            .starts_with("-NOTBUSY")
    );
}

#[test]
fn a_script_in_exec_is_ended_by_the_timeout() {
    let mut server = Server::start(1, &[("script-timeout", "20")]);
    let mut slow = server.connect(0);
    exec(&mut server, &mut slow, ENDLESS);
    let reply = finish(&mut server, &mut slow);
    assert!(
        reply.contains("script-timeout (20 ms). Nothing it did was applied."),
        "{reply}"
    );
    assert_eq!(
        server.reply(&mut slow, "MGET a b c"),
        "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n"
    );
}

#[test]
fn an_exec_whose_client_has_left_goes_on_to_its_end() {
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    exec(&mut server, &mut slow, SLOW);
    assert!(!server.workers[0].abandon(&mut slow), "a script is running");
    assert!(server.workers[0].started_scripts());
    finish(&mut server, &mut slow);
    assert!(server.workers[0].abandon(&mut slow));
    assert_eq!(
        server.reply(&mut other, "MGET a b c"),
        "*3\r\n$1\r\n1\r\n$6\r\nscript\r\n$1\r\n3\r\n"
    );
}

#[test]
fn an_exec_that_is_cancelled_leaves_nothing() {
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    exec(&mut server, &mut slow, ENDLESS);
    let token = slow.parked.take().expect("parked");
    let work = server.workers[0].works.take(token).expect("its work");
    server.workers[0].cancel(work.kind);
    assert_eq!(
        server.reply(&mut other, "MGET a b c"),
        "*3\r\n$-1\r\n$-1\r\n$-1\r\n"
    );
}

/// A script that uses up slices and then wants a key that others hold out of order makes the EXEC begin again, alone.
#[test]
fn an_undeclared_key_makes_the_whole_exec_begin_again() {
    let mut server = Server::start(1, &[]);
    let (mut first, mut second) = (server.connect(0), server.connect(0));
    // Each holds its own key and wants the other's, so one of them is out of order.
    let script = |other: &str| {
        format!(
            "redis.call('INCR', KEYS[1]) local n = 0 for i = 1, 2e7 do n = n + i end return redis.call('INCR', '{other}')"
        )
    };
    for (client, own, other) in [(&mut first, "x", "y"), (&mut second, "y", "x")] {
        server.reply(client, "MULTI");
        let body = script(other);
        server.run(client, &[b"EVAL", body.as_bytes(), b"1", own.as_bytes()]);
        let (flow, _) = server.run(client, &[b"EXEC"]);
        assert_eq!(flow, Flow::Parked);
    }
    finish_all(&mut server, [&mut first, &mut second]);
    assert_eq!(
        server.reply(&mut first, "MGET x y"),
        "*2\r\n$1\r\n2\r\n$1\r\n2\r\n"
    );
}

#[test]
fn time_stands_still_in_a_script_and_has_microseconds() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let script = "local a = redis.call('TIME') local n = 0 for i = 1, 3e6 do n = n + i end local b = redis.call('TIME')
        return {a[1], a[2], b[1], b[2]}";
    let mut odd = false;
    for _ in 0..10 {
        let before = clock::unix_us();
        let (_, mut reply) = server.run(&mut client, &[b"EVAL", script.as_bytes(), b"0"]);
        if client.parked.is_some() {
            reply = finish(&mut server, &mut client);
        }
        let texts: Vec<i64> = reply.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(texts[..2], texts[2..], "{reply}");
        let shown = texts[0] * 1_000_000 + texts[1];
        assert!(
            (before..=clock::unix_us()).contains(&shown),
            "{shown} {before}"
        );
        odd |= shown % 1000 != 0;
    }
    assert!(odd, "not only milliseconds");
}

/// What looks at the keyspace as a whole waits for those who are in the middle of changing it.
#[test]
fn walks_see_no_half_of_a_script() {
    let endless = "redis.call('SET', KEYS[1], 'x') redis.call('DEL', KEYS[2]) while true do end";
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    server.reply(&mut other, "MSET gone 1 stays 2");
    for (walk, reply) in [
        ("DBSIZE", ":2\r\n"),
        ("KEYS new*", "*0\r\n"),
        ("KEYS gon?", "*1\r\n$4\r\ngone\r\n"),
        (
            "SCAN 0 COUNT 5000 MATCH [gn]*",
            "*2\r\n$1\r\n0\r\n*1\r\n$4\r\ngone\r\n",
        ),
    ] {
        let eval: [&[u8]; 5] = [b"EVAL", endless.as_bytes(), b"2", b"new", b"gone"];
        let (flow, _) = server.run(&mut slow, &eval);
        assert_eq!(flow, Flow::Parked);
        assert_eq!(server.reply(&mut other, "GET stays"), "$1\r\n2\r\n");
        let (flow, early) = server.run(&mut other, &super::testing::words(walk));
        assert_eq!((flow, early.as_str()), (Flow::Parked, ""), "{walk}");
        let mut killer = server.connect(0);
        assert_eq!(server.reply(&mut killer, "SCRIPT KILL"), "+OK\r\n");
        let [_, seen] = finish_all(&mut server, [&mut slow, &mut other]);
        assert_eq!(seen, reply, "{walk}");
    }
}

/// What has looked at the keyspace as a whole keeps it as it saw it, also the keys that are not there yet.
#[test]
fn nothing_comes_to_a_keyspace_that_a_transaction_has_walked_over() {
    const WALK_TWICE: &str =
        "local n = 0 local before = redis.call('DBSIZE') for i = 1, 2e7 do n = n + i end
        return {before, redis.call('DBSIZE')}";
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    let eval: [&[u8]; 4] = [b"EVAL", WALK_TWICE.as_bytes(), b"1", b"mine"];
    assert_eq!(server.run(&mut slow, &eval).0, Flow::Parked);
    let (flow, early) = server.run(&mut other, &[b"SET", b"new", b"x"]);
    assert_eq!((flow, early.as_str()), (Flow::Parked, ""));
    let [counted, _] = finish_all(&mut server, [&mut slow, &mut other]);
    assert_eq!(counted, "*2\r\n:0\r\n:0\r\n");

    server.reply(&mut slow, "MULTI");
    server.reply(&mut slow, "DBSIZE");
    let spin: [&[u8]; 4] = [b"EVAL", SLOW.as_bytes(), b"1", b"new"];
    server.run(&mut slow, &spin);
    server.reply(&mut slow, "DBSIZE");
    assert_eq!(server.run(&mut slow, &[b"EXEC"]).0, Flow::Parked);
    let (flow, early) = server.run(&mut other, &[b"SET", b"newer", b"x"]);
    assert_eq!((flow, early.as_str()), (Flow::Parked, ""));
    let [counted, _] = finish_all(&mut server, [&mut slow, &mut other]);
    assert_eq!(counted, "*3\r\n:1\r\n$-1\r\n:1\r\n");
}

/// The watched keys belong to EXEC from the moment in which it finds that nobody has changed them.
#[test]
fn nobody_changes_a_watched_key_while_its_exec_runs() {
    let mut server = Server::start(1, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(0));
    server.reply(&mut slow, "WATCH watched");
    let (flow, _) = exec(&mut server, &mut slow, SLOW);
    assert_eq!(flow, Flow::Parked);
    assert_eq!(server.reply(&mut other, "GET watched"), "$-1\r\n");
    let (flow, early) = server.run(&mut other, &[b"SET", b"watched", b"x"]);
    assert_eq!((flow, early.as_str()), (Flow::Parked, ""));
    let [reply, set] = finish_all(&mut server, [&mut slow, &mut other]);
    assert_eq!(reply, "*3\r\n+OK\r\n$4\r\ndone\r\n+OK\r\n");
    assert_eq!(set, "+OK\r\n");
}

/// Which keys to lock is only known behind the gate: until then databases may change places, and come back.
#[test]
fn keys_are_locked_where_they_are_behind_the_gate() {
    let mut server = Server::start(2, &[]);
    let mut client = server.connect(0);
    let (shared, begin) = (server.shared, Instant::now());
    std::thread::scope(|scope| {
        let swaps = scope.spawn(move || {
            let mut buffers = TxnBuffers::default();
            while begin.elapsed() < Duration::from_secs(2) {
                let waiter = WaiterId { shard: 1, token: 0 };
                let mut acquired = shared.gate.acquire_exclusive(waiter);
                let hold = loop {
                    acquired = match acquired {
                        GateAcquire::Granted(hold) => break hold,
                        GateAcquire::Queued(ticket) => match shared.gate.claim(ticket) {
                            Ok(hold) => GateAcquire::Granted(hold),
                            Err(ticket) if begin.elapsed() > Duration::from_secs(10) => {
                                shared.gate.cancel(ticket);
                                return;
                            }
                            Err(ticket) => GateAcquire::Queued(ticket),
                        },
                    }
                };
                let mut txn = Txn::new(shared.keyspace, &mut buffers, 0, 0);
                txn.swap_db(0, 1);
                std::thread::yield_now();
                txn.rollback();
                shared.gate.release(hold);
            }
        });
        while !swaps.is_finished() {
            for line in ["MSET a 1 b 2", "MULTI", "SET a 1", "SET b 2", "EXEC"] {
                let (_, mut reply) = server.run(&mut client, &super::testing::words(line));
                reply += &finish(&mut server, &mut client);
                assert!(!reply.contains("internal error"), "{line}: {reply}");
            }
            let script = b"return redis.call('MSET', KEYS[1], 1, KEYS[2], 2)";
            let eval: [&[u8]; 5] = [b"EVAL", script, b"2", b"a", b"b"];
            server.run(&mut client, &eval);
            finish(&mut server, &mut client);
        }
    });
    assert_eq!(server.shared.locks.stats().held, 0);
}

/// WATCH finds its key in the database that has this number now, which may not last.
#[test]
fn a_key_watched_while_databases_change_places_counts_as_changed() {
    const SWAPS: &str = "redis.call('SWAPDB', 0, 1) local n = 0 for i = 1, 2e7 do n = n + i end error('on purpose')";
    let mut server = Server::start(1, &[]);
    let (mut slow, mut watcher, mut other) =
        (server.connect(0), server.connect(0), server.connect(0));
    let eval: [&[u8]; 3] = [b"EVAL", SWAPS.as_bytes(), b"0"];
    assert_eq!(server.run(&mut slow, &eval).0, Flow::Parked);
    server.reply(&mut watcher, "WATCH key");
    finish(&mut server, &mut slow);
    server.reply(&mut other, "SET key changed");
    server.reply(&mut watcher, "MULTI");
    server.reply(&mut watcher, "GET key");
    assert_eq!(server.reply(&mut watcher, "EXEC"), "*-1\r\n");
}

#[test]
fn a_transaction_sees_its_own_keys_when_it_walks() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let script = "redis.call('SET', KEYS[1], 'x') return {redis.call('DBSIZE'), redis.call('KEYS', '*')[1], redis.call('RANDOMKEY')}";
    let eval: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"1", b"own"];
    assert_eq!(
        server.run(&mut client, &eval).1,
        "*3\r\n:1\r\n$3\r\nown\r\n$3\r\nown\r\n"
    );
    server.reply(&mut client, "MULTI");
    server.reply(&mut client, "SET more 1");
    server.reply(&mut client, "DBSIZE");
    assert_eq!(server.reply(&mut client, "EXEC"), "*2\r\n+OK\r\n:2\r\n");
}

/// Two scripts that each walk over what the other has changed come to an end one after the other.
#[test]
fn scripts_that_walk_wait_for_each_other_in_order() {
    let script = "redis.call('SET', KEYS[1], 'x') local n = 0 for i = 1, 2e7 do n = n + i end return redis.call('DBSIZE')";
    let mut server = Server::start(1, &[]);
    let (mut first, mut second, mut third) =
        (server.connect(0), server.connect(0), server.connect(0));
    for (client, key) in [(&mut first, "a"), (&mut second, "b")] {
        let eval: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"1", key.as_bytes()];
        assert_eq!(server.run(client, &eval).0, Flow::Parked);
    }
    server.reply(&mut third, "MULTI");
    server.reply(&mut third, "SET c 1");
    server.reply(&mut third, "DBSIZE");
    let (_, early) = server.run(&mut third, &[b"EXEC"]);
    let [first_reply, second_reply, third_reply] =
        finish_all(&mut server, [&mut first, &mut second, &mut third]);
    let mut sizes = [
        first_reply,
        second_reply,
        (early + &third_reply).replace("*2\r\n+OK\r\n", ""),
    ];
    sizes.sort();
    assert_eq!(sizes, [":1\r\n", ":2\r\n", ":3\r\n"], "each in turn");
}

/// SORT leaves a sorted set in another form, which is nothing that a watcher would be told of.
#[test]
fn sorting_is_not_a_change() {
    let mut server = Server::start(1, &[]);
    let (mut watcher, mut other) = (server.connect(0), server.connect(0));
    server.reply(&mut other, "ZADD z 2 a 1 b");
    server.reply(&mut watcher, "WATCH z");
    for line in [
        "SORT_RO z ALPHA",
        "SORT z BY nosort",
        "EVAL_RO return#redis.call('SORT_RO',KEYS[1],'ALPHA')[1] 1 z",
    ] {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('#', " ")).collect();
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let (flow, reply) = server.run(&mut other, &words);
        assert!(flow == Flow::Done && !reply.starts_with('-'), "{reply}");
    }
    assert_eq!(
        server.reply(&mut other, "OBJECT ENCODING z"),
        "$8\r\nskiplist\r\n"
    );
    server.reply(&mut watcher, "MULTI");
    server.reply(&mut watcher, "ZCARD z");
    assert_eq!(server.reply(&mut watcher, "EXEC"), "*1\r\n:2\r\n");
}
