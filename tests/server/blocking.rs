//! Clients that wait for data, against redis-server and over several shards.

use super::harness::Server;
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients of each server in the comparison.
const CLIENTS: usize = 6;
const STEPS: usize = 800;
/// How long a server may take to serve a client that waits.
const SERVICE_TIME_MAX: Duration = Duration::from_secs(5);

/// The same steps to both servers, one at a time: whom each step serves, and with what, has to be the same.
#[test]
fn the_same_clients_are_served_in_the_same_order_as_by_redis() {
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    let redis = RedisServer::start();
    let ours = Server::start(&["--shards", "3"]);
    let mut room = Room {
        redis: Side::new(|| redis.client()),
        ours: Side::new(|| ours.client()),
        waits: vec![None; CLIENTS],
        trace: Vec::new(),
    };
    for _ in 0..STEPS {
        let index = rng.below(CLIENTS);
        let request = request(&mut rng);
        if room.waits[index].is_none() && !room.overwrites_unnoticed(&request) {
            room.step(index, &request);
        }
        if room.waits.iter().all(Option::is_some) {
            room.help();
        }
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const SCRIPT: &str =
    "redis.pcall('RPUSH', KEYS[1], 1) redis.pcall('RPUSH', KEYS[2], 2, 3) return 1";
/// What was a list becomes a sorted set, and the other way round.
const SWAPPING_SCRIPT: &str = "redis.pcall('ZADD', KEYS[1], 2, 'x', 1, 'y') redis.call('DEL', KEYS[2])
    redis.pcall('ZADD', KEYS[2], 5, 'z') redis.call('DEL', KEYS[1]) redis.pcall('RPUSH', KEYS[1], 7) return 1";

fn request(rng: &mut Rng) -> Vec<String> {
    let (one, two) = (rng.pick(&KEYS), rng.pick(&KEYS));
    let (from, to) = (rng.pick(&["LEFT", "RIGHT"]), rng.pick(&["LEFT", "RIGHT"]));
    let number = rng.below(1000);
    let end = rng.pick(&["MIN", "MAX"]);
    let line = match rng.below(28) {
        0..3 => format!("RPUSH {one} {number}"),
        3 => format!("LPUSH {one} {number} x{number} y{number}"),
        4 => format!("RPUSH {one} {number} x{number}"),
        5..8 => format!("BLPOP {one} {two} 0"),
        8 => format!("BRPOP {one} 0"),
        9 | 10 => format!("BLMOVE {one} {two} {from} {to} 0"),
        11 => format!("BRPOPLPUSH {one} {two} 0"),
        12 => format!("BLMPOP 0 2 {one} {two} {from} COUNT 2"),
        13 => format!("RENAME {one} {two}"),
        14 => format!("DEL {one}"),
        15 => format!("SET {one} string"),
        16 => {
            let script = ["EVAL", SCRIPT, "2", one, two];
            return script.map(str::to_owned).into();
        }
        17 => format!("COPY {one} {two} REPLACE"),
        18 => format!("LMOVE {one} {two} {from} {to}"),
        19..21 => format!("ZADD {one} {number} m{number} 5 n{number}"),
        21 => format!("ZADD {one} {number} m"),
        22 | 23 => format!("BZPOP{end} {one} {two} 0"),
        24 => format!("BZMPOP 0 2 {one} {two} {end} COUNT 2"),
        25 => format!("ZUNIONSTORE {one} 1 {two}"),
        26 => {
            let script = ["EVAL", SWAPPING_SCRIPT, "2", one, two];
            return script.map(str::to_owned).into();
        }
        _ => format!("LRANGE {one} 0 -1"),
    };
    line.split(' ').map(str::to_owned).collect()
}

/// The clients of one server.
struct Side {
    clients: Vec<Client>,
    ids: Vec<String>,
    admin: Client,
}

impl Side {
    fn new(connect: impl Fn() -> Client) -> Self {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
        let ids = clients.iter_mut().map(id_of).collect();
        Self {
            clients,
            ids,
            admin: connect(),
        }
    }

    /// The reply to what a client has sent; `None`: it waits.
    fn reply(&mut self, index: usize) -> Option<Vec<u8>> {
        let start = Instant::now();
        loop {
            if let Some(reply) = within(&mut self.clients[index], Duration::from_millis(1)) {
                return Some(reply);
            }
            let list = self.admin.call(&["CLIENT", "LIST", "ID", &self.ids[index]]);
            if list.to_string().contains(" flags=b ") {
                // Perhaps it was answered just before.
                return within(&mut self.clients[index], Duration::from_millis(1));
            }
            assert!(
                start.elapsed() < SERVICE_TIME_MAX,
                "it neither answers nor waits"
            );
        }
    }
}

/// The same clients at both servers.
struct Room {
    redis: Side,
    ours: Side,
    /// The requests whose replies have not come.
    waits: Vec<Option<String>>,
    trace: Vec<String>,
}

impl Room {
    fn step(&mut self, index: usize, request: &[String]) {
        let line = request.join(" ");
        self.trace.push(format!("{index}: {line}"));
        self.redis.clients[index].send(request);
        self.ours.clients[index].send(request);
        let expected = self.redis.reply(index);
        let got = self.ours.reply(index);
        self.check(index, &line, expected.as_deref(), got.as_deref());
        if expected.is_none() {
            self.waits[index] = Some(line);
        }
        self.compare_waiting();
    }

    /// Whether a sorted set takes the place of a value of another type. In Redis 7.0, who waits for the sorted set is not
    /// served then, though it is there; here it is.
    fn overwrites_unnoticed(&mut self, request: &[String]) -> bool {
        if request[0] != "ZUNIONSTORE" {
            return false;
        }
        let kind = self.redis.admin.call(&["TYPE", &request[1]]).reply;
        !["none", "zset"]
            .map(|kind| Reply::Simple(kind.into()))
            .contains(&kind)
    }

    /// Everybody waits: some are given what they wait for.
    fn help(&mut self) {
        self.trace.push("all wait".into());
        for key in KEYS {
            for request in [
                vec!["DEL", key],
                vec!["RPUSH", key, "h1", "h2", "h3"],
                vec!["DEL", key],
                vec!["ZADD", key, "1", "h1", "2", "h2", "3", "h3"],
            ] {
                self.redis.admin.call(&request);
                self.ours.admin.call(&request);
                self.compare_waiting();
            }
        }
    }

    /// Compares whose wait is over.
    fn compare_waiting(&mut self) {
        // What redis-server answers has left before this.
        self.redis.admin.call(&["PING"]);
        for index in 0..CLIENTS {
            let Some(line) = self.waits[index].clone() else {
                continue;
            };
            let short = Duration::from_millis(1);
            let expected = within(&mut self.redis.clients[index], short);
            let limit = if expected.is_some() {
                SERVICE_TIME_MAX
            } else {
                short
            };
            let got = within(&mut self.ours.clients[index], limit);
            self.check(index, &line, expected.as_deref(), got.as_deref());
            if expected.is_some() {
                self.waits[index] = None;
            }
        }
    }

    fn check(&self, index: usize, line: &str, expected: Option<&[u8]>, got: Option<&[u8]>) {
        let text = |reply: Option<&[u8]>| reply.map(|r| r.escape_ascii().to_string());
        let latest = &self.trace[self.trace.len().saturating_sub(40)..];
        let (got, expected) = (text(got), text(expected));
        assert_eq!(
            got,
            expected,
            "client {index}: {line}\nafter\n{}",
            latest.join("\n")
        );
    }
}

fn id_of(client: &mut Client) -> String {
    match client.call(&["CLIENT", "ID"]).reply {
        Reply::Integer(id) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The next reply, if it comes in time.
fn within(client: &mut Client, limit: Duration) -> Option<Vec<u8>> {
    client.set_read_timeout(limit);
    match client.try_receive() {
        Ok(answer) => Some(answer.expect("the connection lasts").raw),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn timeouts_are_precise() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for request in [
        vec!["BLPOP", "k", "0.03"],
        vec!["BLMOVE", "k", "l", "LEFT", "RIGHT", "0.03"],
        vec!["BLMPOP", "0.03", "2", "k", "l", "LEFT"],
        vec!["BZPOPMIN", "k", "0.03"],
        vec!["BZPOPMAX", "k", "l", "0.03"],
        vec!["BZMPOP", "0.03", "2", "k", "l", "MIN"],
    ] {
        let late = (0..8).map(|_| {
            let start = Instant::now();
            let answer = client.call(&request);
            assert_eq!(answer.raw, b"*-1\r\n", "{request:?}");
            start
                .elapsed()
                .checked_sub(Duration::from_millis(30))
                .expect("not before its time")
        });
        let least = late.min().expect("some");
        assert!(
            least < Duration::from_millis(3),
            "{request:?} is late by {least:?}"
        );
    }
}

#[test]
fn each_element_is_delivered_exactly_once() {
    const PRODUCERS: usize = 4;
    const CONSUMERS: usize = 12;
    const EACH: usize = 3_000;
    let server = Server::start(&["--shards", "3"]);
    let delivered = AtomicUsize::new(0);
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for consumer in 0..CONSUMERS {
            let (server, delivered, seen) = (&server, &delivered, &seen);
            scope.spawn(move || consume(server.client(), consumer, delivered, seen));
        }
        for producer in 0..PRODUCERS {
            let mut client = server.client();
            scope.spawn(move || {
                for number in 0..EACH {
                    let element = format!("{producer}-{number}");
                    let queue = format!("q{}", number % 3);
                    let answer = match number % 4 {
                        0 => client.call(&["LPUSH", &queue, &element]),
                        1 => client.call(&[
                            "EVAL",
                            "return redis.call('RPUSH',KEYS[1],ARGV[1])",
                            "1",
                            &queue,
                            &element,
                        ]),
                        2 => {
                            client.call(&["MULTI"]);
                            client.call(&["RPUSH", &queue, &element]);
                            client.call(&["EXEC"])
                        }
                        _ => client.call(&["RPUSH", &queue, &element]),
                    };
                    assert!(!matches!(answer.reply, Reply::Error(_)), "{answer}");
                }
            });
        }
        wait_until(|| delivered.load(Ordering::SeqCst) == PRODUCERS * EACH);
        let mut client = server.client();
        for queue in ["q0", "q1", "q2", "moved"] {
            assert_eq!(client.call(&["LLEN", queue]).reply, Reply::Integer(0));
        }
        for _ in 0..CONSUMERS {
            client.call(&["RPUSH", "q0", "end"]);
        }
    });
    let mut client = server.client();
    let info = client.call(&["INFO", "clients"]).to_string();
    assert!(info.contains("blocked_clients:0"), "{info}");
    assert_eq!(client.call(&["DBSIZE"]).reply, Reply::Integer(0));
}

#[test]
fn each_member_is_delivered_exactly_once() {
    const PRODUCERS: usize = 3;
    const CONSUMERS: usize = 9;
    const EACH: usize = 1_500;
    let server = Server::start(&["--shards", "3"]);
    let delivered = AtomicUsize::new(0);
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for consumer in 0..CONSUMERS {
            let (mut client, delivered, seen) = (server.client(), &delivered, &seen);
            scope.spawn(move || {
                let request = [
                    &["BZPOPMIN", "z1", "z0", "0"][..],
                    &["BZPOPMAX", "z0", "z1", "0"],
                    &["BZMPOP", "0", "2", "z0", "z1", "MAX"],
                ][consumer % 3];
                loop {
                    // A key, and then a member and its score, or a list of such pairs.
                    let member = match client.call(request).reply {
                        Reply::Array(items) => match &items[1] {
                            Reply::Bulk(member) => member.clone(),
                            Reply::Array(pairs) => bulk_at(pairs[0].clone(), 0).expect("a member"),
                            other => panic!("{other:?}"),
                        },
                        other => panic!("{other:?}"),
                    };
                    if member.starts_with(b"end") {
                        return;
                    }
                    assert!(seen.lock().expect("no panic").insert(member), "twice");
                    delivered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for producer in 0..PRODUCERS {
            let mut client = server.client();
            scope.spawn(move || {
                for number in 0..EACH {
                    let member = format!("{producer}-{number}");
                    let key = format!("z{}", number % 2);
                    let answer = client.call(&["ZADD", &key, &number.to_string(), &member]);
                    assert_eq!(answer.reply, Reply::Integer(1));
                }
            });
        }
        wait_until(|| delivered.load(Ordering::SeqCst) == PRODUCERS * EACH);
        let mut client = server.client();
        assert_eq!(client.call(&["DBSIZE"]).reply, Reply::Integer(0));
        for consumer in 0..CONSUMERS {
            client.call(&["ZADD", "z0", "1", &format!("end{consumer}")]);
        }
    });
}

/// Takes elements until it gets one that says `end`, each consumer in a way of its own.
fn consume(
    mut client: Client,
    consumer: usize,
    delivered: &AtomicUsize,
    seen: &Mutex<HashSet<Vec<u8>>>,
) {
    loop {
        let element = match consumer % 4 {
            0 => bulk_at(client.call(&["BLPOP", "q1", "q0", "q2", "0"]).reply, 1),
            1 => bulk_at(client.call(&["BRPOP", "q2", "q0", "q1", "0.02"]).reply, 1),
            2 => client_moves(&mut client),
            _ => bulk_at(client.call(&["BLPOP", "q0", "0"]).reply, 1),
        };
        let Some(element) = element else { continue };
        if element == b"end" {
            return;
        }
        assert!(
            seen.lock().expect("no panic").insert(element),
            "delivered twice"
        );
        delivered.fetch_add(1, Ordering::SeqCst);
    }
}

/// Moves an element to another list, and takes it from there.
fn client_moves(client: &mut Client) -> Option<Vec<u8>> {
    match client
        .call(&["BLMOVE", "q0", "moved", "LEFT", "RIGHT", "0.1"])
        .reply
    {
        Reply::Bulk(_) => bulk_at(client.call(&["BLPOP", "moved", "0"]).reply, 1),
        _ => None,
    }
}

fn bulk_at(reply: Reply, index: usize) -> Option<Vec<u8>> {
    match reply {
        Reply::Array(mut items) => match items.swap_remove(index) {
            Reply::Bulk(bytes) => Some(bytes),
            other => panic!("{other:?}"),
        },
        Reply::Null => None,
        other => panic!("{other:?}"),
    }
}

fn wait_until(is_met: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_met() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "somebody waits for what is there"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_that_wait_can_be_unblocked_killed_and_left_behind() {
    let server = Server::start(&["--shards", "2"]);
    let mut admin = server.client();
    let mut first = server.client();
    let mut second = server.client();
    let (first_id, second_id) = (id_of(&mut first), id_of(&mut second));
    first.send(&["BLPOP", "k", "0"]);
    second.send(&["BLPOP", "k", "0"]);
    wait_for_blocked(&mut admin, 2);
    assert_eq!(
        admin.call(&["CLIENT", "UNBLOCK", &first_id, "ERROR"]).reply,
        Reply::Integer(1)
    );
    let error = first.receive();
    assert_eq!(
        error.raw,
        b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
    );
    // What was sent behind a waiting command is run when the wait is over.
    first.send(&["BLPOP", "k", "0"]);
    first.send(&["PING"]);
    wait_for_blocked(&mut admin, 2);
    assert_eq!(
        admin.call(&["CLIENT", "KILL", "ID", &second_id]).reply,
        Reply::Integer(1)
    );
    assert!(
        second.try_receive().is_ok_and(|answer| answer.is_none()),
        "it is closed"
    );
    wait_for_blocked(&mut admin, 1);
    assert_eq!(admin.call(&["RPUSH", "k", "v"]).reply, Reply::Integer(1));
    assert_eq!(first.receive().raw, b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
    assert_eq!(first.receive().reply, Reply::Simple("PONG".into()));
    first.send(&["BLPOP", "k", "0"]);
    wait_for_blocked(&mut admin, 1);
    drop(first);
    wait_for_blocked(&mut admin, 0);
    assert_eq!(admin.call(&["RPUSH", "k", "w"]).reply, Reply::Integer(1));
    assert_eq!(admin.call(&["LLEN", "k"]).reply, Reply::Integer(1));
}

#[test]
fn the_server_ends_while_clients_wait() {
    let mut server = Server::start(&["--shards", "2"]);
    let mut client = server.client();
    client.send(&["BLPOP", "k", "0"]);
    wait_for_blocked(&mut server.client(), 1);
    assert_eq!(server.terminate(), Some(0));
    assert!(
        !matches!(client.try_receive(), Ok(Some(_))),
        "nobody has answered"
    );
}

fn wait_for_blocked(client: &mut Client, count: usize) {
    let wanted = format!("blocked_clients:{count}\\r");
    let start = Instant::now();
    loop {
        let info = client.call(&["INFO", "clients"]).to_string();
        if info.contains(&wanted) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{info}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
