//! The handlers against redis-server: random requests, equal answers; and what the commands say of themselves.

#[path = "../../tests/common/mod.rs"]
pub(super) mod common;

use super::spec::{Group, Spec};
use super::testing::Harness;
use crate::resp::Protocol;
use common::comparison::{Recent, Side, agree};
use common::generator::{Compare, Generator, Request};
use common::redis::RedisServer;
use common::resp::{Answer, Client, Reply};
use common::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Requests of one run; the environment variable asks for more.
const REQUESTS: usize = 20_000;

/// Some requests are run once more before, and taken back.
const ROLLED_BACK_ONE_IN: usize = 41;
/// After some it is checked that a recovery would find the same data.
const MIRROR_CHECKED_ONE_IN: usize = 97;

#[test]
fn the_generator_knows_every_command() {
    for command in super::families().filter(|command| is_in_redis(&command.spec)) {
        let mut known = Generator::commands().filter_map(|name| name.split(' ').next());
        let name = command.spec.name;
        assert!(known.any(|known| known == name), "{name} is not tested");
    }
}

/// Whether redis-server 7.0 has a command, and not only its successors.
pub(super) fn is_in_redis(spec: &Spec) -> bool {
    !["7.2", "7.4"]
        .iter()
        .any(|newer| spec.texts.since.starts_with(newer))
}

#[test]
fn an_idle_time_is_restored() {
    let mut ours = Harness::new();
    ours.line("SET from text");
    let dump = match Answer::from_bytes(ours.run(&["DUMP", "from"])).reply {
        Reply::Bulk(dump) => dump,
        other => panic!("{other:?}"),
    };
    let restore: [&[u8]; 6] = [b"RESTORE", b"to", b"0", &dump, b"IDLETIME", b"1000"];
    assert_eq!(ours.run(&restore), b"+OK\r\n");
    let idle = Answer::from_bytes(ours.run(&["OBJECT", "IDLETIME", "to"]));
    assert!(matches!(idle.reply, Reply::Integer(1000..=1010)), "{idle}");
    ours.line("TOUCH to");
    assert!(matches!(
        ours.line("OBJECT IDLETIME to").as_str(),
        ":0\r\n" | ":1\r\n"
    ));
}

/// A scan in steps of one finds each key that is there all the time, also while others come and go.
#[test]
fn a_scan_in_small_steps_finds_every_key() {
    const KEYS: usize = 300;
    let mut ours = Harness::new();
    (0..KEYS).for_each(|n| drop(ours.line(&format!("SET stays:{n} x"))));
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    for step in 0.. {
        ours.line(&format!("SET comes:{step} x"));
        ours.line(&format!("DEL comes:{}", step / 2));
        let answer = ours.run(&["SCAN", &cursor, "COUNT", "1", "MATCH", "stays:*"]);
        let Reply::Array(parts) = Answer::from_bytes(answer).reply else {
            panic!("a cursor and keys");
        };
        let [Reply::Bulk(next), Reply::Array(keys)] = &parts[..] else {
            panic!("{parts:?}");
        };
        found.extend(keys.iter().map(|key| format!("{key:?}")));
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), KEYS);
}

#[test]
fn answers_are_those_of_redis_in_resp2() {
    compare(Protocol::Resp2);
}

#[test]
fn answers_are_those_of_redis_in_resp3() {
    compare(Protocol::Resp3);
}

/// `HyperLogLog`s among themselves grow larger than among strings.
#[test]
fn hyperloglogs_are_those_of_redis() {
    const COMMANDS: &[&str] = &[
        "pfadd",
        "pfcount",
        "pfmerge",
        "pfdebug",
        "get",
        "strlen",
        "setbit",
        "copy",
        "del",
        "object encoding",
        "dump",
        "restore",
    ];
    compare_some(Protocol::Resp2, |name| COMMANDS.contains(&name));
}

/// Streams among themselves grow longer, and have more to do with their groups.
#[test]
fn streams_are_those_of_redis() {
    const OTHERS: &[&str] = &[
        "copy",
        "del",
        "dump",
        "restore",
        "object encoding",
        "rename",
    ];
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        compare_some(protocol, |name| {
            name.starts_with('x') || OTHERS.contains(&name)
        });
    }
}

/// Places that nobody overwrites become many.
#[test]
fn places_are_those_of_redis() {
    const OTHERS: &[&str] = &["zadd", "zrem", "zrange", "dump", "copy", "del"];
    compare_some(Protocol::Resp3, |name| {
        name.starts_with("geo") || OTHERS.contains(&name)
    });
}

/// Hashes that nobody overwrites become large.
#[test]
fn hashes_are_those_of_redis() {
    const OTHERS: &[&str] = &[
        "copy",
        "rename",
        "del",
        "expire",
        "object encoding",
        "dump",
        "restore",
    ];
    let is_of_hashes = |name: &str| {
        let mut commands = super::families();
        commands.any(|c| c.spec.name == name && c.spec.group == Group::Hash)
    };
    compare_some(Protocol::Resp3, |name| {
        is_of_hashes(name) || OTHERS.contains(&name)
    });
}

fn compare(protocol: Protocol) {
    compare_some(protocol, |_| true);
}

/// Compares the commands for which `wanted` says yes.
fn compare_some(protocol: Protocol, wanted: impl Fn(&str) -> bool) {
    let requests = std::env::var("AIKV_ORACLE_REQUESTS")
        .map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mut generator = Generator::new(Rng::seed_from_env("AIKV_ORACLE_SEED"), |name| {
        let command = name.split(' ').next();
        let is_ours = || super::families().any(|c| Some(c.spec.name) == command);
        wanted(name) && (name == "select" || is_ours())
    });
    let server = RedisServer::start();
    let mut pair = Pair {
        redis: server.client(),
        events: listen(&server),
        ours: Harness::new(),
        expired: BTreeSet::new(),
        recent: Recent::default(),
    };
    if protocol == Protocol::Resp3 {
        pair.redis.call(&["HELLO", "3"]);
        pair.ours.protocol = Protocol::Resp3;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..requests {
        let request = generator.request();
        if n % ROLLED_BACK_ONE_IN == 0 {
            pair.ours.run_and_roll_back(&request.args);
        }
        if n % MIRROR_CHECKED_ONE_IN == 0 {
            pair.ours.check_mirror();
        }
        let answer = pair.check(&request);
        if let (Compare::Dump, Reply::Bulk(dump)) = (request.compare, &answer.reply) {
            generator.learn_dump(dump);
        }
        let name = String::from_utf8_lossy(&request.args[0]).to_lowercase();
        *counts.entry(name).or_default() += 1;
    }
    println!("compared: {counts:?}");
}

/// A client of redis that hears of every keyspace event.
fn listen(server: &RedisServer) -> Client {
    let mut events = server.client();
    events.call(&["CONFIG", "SET", "notify-keyspace-events", "KAmn"]);
    events.call(&["PSUBSCRIBE", "__keyspace@*"]);
    events
}

struct Pair {
    redis: Client,
    /// Subscribed to the keyspace events of redis.
    events: Client,
    ours: Harness,
    /// Channels of the events of keys that we found expired.
    expired: BTreeSet<String>,
    recent: Recent,
}

impl Pair {
    /// Sends a request to both and returns the answer they agree on.
    fn check(&mut self, request: &Request) -> Answer {
        self.recent.push(request);
        let theirs = self.redis.call(&request.args);
        if request.args[0].eq_ignore_ascii_case(b"select") {
            self.select(&request.args, &theirs);
            return theirs;
        }
        let ours = Answer::from_bytes(self.ours.run(&request.args));
        self.compare_events(request, matches!(theirs.reply, Reply::Error(_)));
        let agree = agree(request, &theirs, &ours, |side, args| match side {
            Side::Redis => self.redis.call(args),
            Side::Ours => Answer::from_bytes(self.ours.run(args)),
        });
        if request.compare == Compare::Dump {
            // To look more closely makes events too.
            self.their_events();
        }
        assert!(
            agree,
            "a difference in {request}\n  redis: {theirs}\n  ours:  {ours}\nafter{}",
            self.recent
        );
        if let Some(next) = request.aftermath(&theirs) {
            self.check(&next);
        }
        theirs
    }

    fn compare_events(&mut self, request: &Request, failed: bool) {
        let mut theirs = self.their_events();
        if failed {
            // Redis tells of a key that it missed before it found the fault; we tell of nothing that is taken back.
            theirs.clear();
        }
        let mut ours = std::mem::take(&mut self.ours.events);
        // Of a key that has expired, Redis tells more when it meets it in these ways.
        let unsure = match request.args[0].to_ascii_lowercase().as_slice() {
            b"scan" => "keymiss",
            b"bitop" | b"sort" => "del",
            _ => "expired",
        };
        theirs.retain(|(_, name)| name != unsure);
        ours.retain(|(_, name)| name != unsure);
        // When a key is found expired depends on the moment.
        let expired = ours.extract_if(.., |(_, name)| name == "expired");
        self.expired.extend(expired.map(|(channel, _)| channel));
        // Where Redis has not found it yet, a command that removes it without a look tells that it did.
        theirs.retain(|event| {
            let is_late = event.1 == "del" && !ours.contains(event);
            !(is_late && self.expired.remove(&event.0))
        });
        if request.args[0].to_ascii_lowercase().starts_with(b"sort") {
            // The keys that it misses depend on the order of a set.
            ours.sort();
            theirs.sort();
        }
        assert_eq!(
            ours, theirs,
            "the events (ours, theirs) of {request}\nafter{}",
            self.recent
        );
    }

    /// The keyspace events since the last call, but for those of expiry.
    fn their_events(&mut self) -> Vec<(String, String)> {
        let mut events = Vec::new();
        self.events.send(&["PING"]);
        loop {
            let Reply::Array(items) = self.events.receive().reply else {
                panic!("a subscriber gets messages and pongs");
            };
            let mut texts = items.iter().map(|item| match item {
                Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
                other => panic!("{other:?}"),
            });
            if texts.next().as_deref() == Some("pong") {
                return events;
            }
            let event = texts.nth(1).zip(texts.next());
            events.extend(event.filter(|(_, name)| name != "expired"));
        }
    }

    /// Follows the selection of a database, which is not a command on keys.
    fn select(&mut self, args: &[Vec<u8>], theirs: &Answer) {
        if theirs.reply == Reply::Simple("OK".into()) {
            let db = String::from_utf8_lossy(&args[1]).parse();
            self.ours.db = db.expect("redis took it for a number");
        }
    }
}
