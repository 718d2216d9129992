//! Clients that wait for elements of lists, served as redis-server serves them: who, in which order, with what.

use super::harness::Server;
use crate::common::redis::RedisServer;
use crate::common::resp::{Answer, Client, Reply};
use crate::common::rng::Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Requests of one run; the environment variable asks for more.
const REQUESTS: usize = 1500;
const CLIENTS: usize = 6;
const KEYS: &[&str] = &["a", "b", "c"];
/// For what has to come. What has not come after that long does not come.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

/// One server with clients of which some wait.
struct Side {
    control: Client,
    clients: Vec<Client>,
}

impl Side {
    fn new(connect: impl Fn() -> Client) -> Self {
        let control = connect();
        let clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
        for client in &clients {
            client.set_read_timeout(POLL);
        }
        Self { control, clients }
    }

    fn blocked(&mut self) -> usize {
        let info = self.control.call(&["INFO", "clients"]);
        let Reply::Bulk(text) = info.reply else {
            panic!("{info}");
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("blocked_clients:"));
        let count = line.and_then(|count| count.trim().parse().ok());
        count.expect("a number of clients")
    }

    /// An answer that may have come.
    fn poll(&mut self, client: usize) -> Option<Answer> {
        self.clients[client].try_receive().ok().flatten()
    }

    /// The answer to a request that was just sent; `None`: the client is the `blocked`th that waits.
    fn answer_or_wait(&mut self, client: usize, blocked: usize) -> Option<Answer> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(answer) = self.poll(client) {
                return Some(answer);
            }
            if self.blocked() == blocked {
                // It may have answered between the two looks.
                return self.poll(client);
            }
        }
        panic!("neither an answer nor a waiting client");
    }

    fn receive(&mut self, client: usize) -> Answer {
        let start = Instant::now();
        loop {
            match self.poll(client) {
                Some(answer) => return answer,
                None => assert!(start.elapsed() < PATIENCE, "the other server answered"),
            }
        }
    }
}

fn request(rng: &mut Rng, may_wait: bool) -> String {
    let key = |rng: &mut Rng| rng.pick(KEYS);
    let end = |rng: &mut Rng| rng.pick(&["LEFT", "RIGHT"]);
    let pop = |rng: &mut Rng| rng.pick(&["BLPOP", "BRPOP"]);
    let (a, b) = (key(rng), key(rng));
    let number = rng.below(1000);
    match rng.below(if may_wait { 20 } else { 11 }) {
        0..3 => format!("{} {a} {number}", rng.pick(&["LPUSH", "RPUSH"])),
        3 => format!("RPUSH {a} {number} {number} x y"),
        4 => format!("LMOVE {a} {b} {} {}", end(rng), end(rng)),
        5 => format!("DEL {a}"),
        6 => format!("LINSERT {a} AFTER x {number}"),
        7 => format!("SET {a} text"),
        8 => format!("RENAME {a} {b}"),
        9 => format!(
            "EVAL {} 2 {a} {b} {number}",
            "redis.pcall('RPUSH',KEYS[1],ARGV[1])redis.pcall('RPUSH',KEYS[2],ARGV[1])"
        ),
        10 => format!(
            "EVAL {} 1 {a} {number}",
            "redis.pcall('RPUSH',KEYS[1],ARGV[1])redis.pcall('LPOP',KEYS[1])"
        ),
        11..14 => format!("{} {a} 0", pop(rng)),
        14..16 => format!("{} {a} {b} 0", pop(rng)),
        16 => format!("BLMOVE {a} {b} {} {} 0", end(rng), end(rng)),
        17 => format!("BRPOPLPUSH {a} {b} 0"),
        18 => format!("BLMPOP 0 2 {a} {b} {} COUNT 2", end(rng)),
        _ => format!("BLMPOP 0 1 {a} {}", end(rng)),
    }
}

#[test]
fn waiting_clients_are_served_as_redis_serves_them() {
    let requests = std::env::var("AIKV_ORACLE_REQUESTS")
        .map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    let redis = RedisServer::start();
    let ours = Server::start(&[]);
    let (mut theirs, mut ours) = (Side::new(|| redis.client()), Side::new(|| ours.client()));
    // Who waits, and for what.
    let mut waiting: Vec<Option<String>> = vec![None; CLIENTS];
    let mut recent = VecDeque::new();
    let mut served = 0;
    for _ in 0..requests {
        let free: Vec<usize> = (0..CLIENTS).filter(|c| waiting[*c].is_none()).collect();
        let client = free[rng.below(free.len())];
        let line = request(&mut rng, free.len() > 1);
        recent.push_back(format!("{client}: {line}"));
        if recent.len() > 40 {
            recent.pop_front();
        }
        let args: Vec<&str> = line.split(' ').collect();
        let blocked = CLIENTS - free.len() + 1;
        theirs.clients[client].send(&args);
        let expected = theirs.answer_or_wait(client, blocked);
        ours.clients[client].send(&args);
        let answer = match expected {
            Some(_) => Some(ours.receive(client)),
            None => ours.answer_or_wait(client, blocked),
        };
        let shown = |answer: &Option<Answer>| answer.as_ref().map(ToString::to_string);
        assert_eq!(shown(&answer), shown(&expected), "{client}: {recent:#?}");
        if expected.is_none() {
            waiting[client] = Some(line);
        }
        let just_now = expected.is_none().then_some(client);
        for (other, state) in waiting.iter_mut().enumerate() {
            if state.is_none() || just_now == Some(other) {
                continue;
            }
            if let Some(expected) = theirs.poll(other) {
                let answer = ours.receive(other);
                let (answer, expected) = (answer.to_string(), expected.to_string());
                assert_eq!(answer, expected, "{other}: {recent:#?}");
                *state = None;
                served += 1;
            }
        }
        let blocked = waiting.iter().flatten().count();
        assert_eq!(
            (theirs.blocked(), ours.blocked()),
            (blocked, blocked),
            "{recent:#?}"
        );
    }
    for key in KEYS {
        for args in [["TYPE", key], ["DUMP", key]] {
            let (expected, answer) = (theirs.control.call(&args), ours.control.call(&args));
            assert_eq!(answer.to_string(), expected.to_string(), "{recent:#?}");
        }
    }
    assert!(served > requests / 30, "only {served} were served");
}

#[test]
fn whoever_may_not_wait_is_answered_at_once() {
    let redis = RedisServer::start();
    let server = Server::start(&["--lua-dialect", "redis"]);
    for protocol in ["2", "3"] {
        let (mut theirs, mut ours) = (redis.client(), server.client());
        theirs.call(&["HELLO", protocol]);
        ours.call(&["HELLO", protocol]);
        let mut same = |args: &[&str]| {
            let (expected, answer) = (theirs.call(args), ours.call(args));
            assert_eq!(answer.to_string(), expected.to_string(), "{args:?}");
        };
        for line in [
            "BLPOP a b 0",
            "BRPOP a 0",
            "BLMOVE a b LEFT LEFT 0",
            "BRPOPLPUSH a b 0",
            "BLMPOP 0 2 a b LEFT",
            "BLPOP text 0",
            "BLMOVE full text LEFT LEFT 0",
        ] {
            let args: Vec<&str> = line.split(' ').collect();
            same(&["SET", "text", "x"]);
            same(&["RPUSH", "full", "x"]);
            same(&["MULTI"]);
            same(&args);
            same(&["EXEC"]);
            let script = format!("redis.setresp({protocol}) return redis.pcall(unpack(ARGV))");
            same(&[&["EVAL", &script, "0"], &args[..]].concat());
        }
        for line in [
            "BLPOP a b 0.01",
            "BLMOVE a b LEFT LEFT 0.01",
            "BRPOPLPUSH a b 0.01",
            "BLMPOP 0.01 2 a b LEFT",
        ] {
            same(&line.split(' ').collect::<Vec<_>>());
        }
    }
}
