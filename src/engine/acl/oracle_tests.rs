//! Against redis-server: random rules, what is told of them, and what users may do and are answered.

#[allow(
    clippy::duplicate_mod,
    reason = "each module that compares with redis-server has its own copy of the helpers"
)]
#[path = "../../../tests/common/mod.rs"]
mod common;

use crate::engine::Client;
use crate::engine::testing::Server;
use crate::resp::Args;
use common::generator::Generator;
use common::redis::RedisServer;
use common::resp::{Answer, Client as RedisClient, Reply};
use common::rng::Rng;
use std::collections::BTreeSet;
use std::time::Duration;

/// Rounds of one run; the environment variable asks for more.
const ROUNDS: usize = 300;
const USERS: &[&str] = &["ann", "bob", "eve", "default"];
const KEYS: &[&str] = &["a", "b", "ab", "k:1", "k:2", "x"];
const PATTERNS: &[&str] = &["a*", "k:*", "*", "?", "[ab]", "x", "k:1", ""];
const PASSWORDS: &[&str] = &["one", "two", ""];
const HASHES: &[&str] = &[
    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "7692C3AD3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "12ab",
];
/// Commands and parts of commands that rules name.
const NAMES: &[&str] = &[
    "get",
    "set",
    "SET",
    "mget",
    "del",
    "sort",
    "copy",
    "eval",
    "publish",
    "subscribe",
    "psubscribe",
    "config",
    "config|get",
    "config|GET",
    "config|nope",
    "config|get|x",
    "select",
    "select|1",
    "select|",
    "select|1|2",
    "nope",
    "nope|x",
    "multi",
    "exec",
    "discard",
    "ping",
    "object",
    "object|freq",
    "object|help",
    "xread",
    "bitfield",
    "lmove",
    "exists",
    "acl|whoami",
    "client|getname",
    "",
];
const CATEGORIES: &[&str] = &[
    "read",
    "write",
    "Keyspace",
    "string",
    "list",
    "pubsub",
    "transaction",
    "scripting",
    "fast",
    "slow",
    "connection",
    "dangerous",
    "admin",
    "nope",
    "",
];
/// Requests that users try; `K` stands for a key, `C` for a channel, `P` for a pattern.
const REQUESTS: &[&str] = &[
    "GET K",
    "SET K 1",
    "SET K 1 GET",
    "SET K 1 EX 1000 GeT",
    "MGET K K",
    "MSET K 1 K 2",
    "DEL K K",
    "EXISTS K K",
    "COPY K K",
    "RENAME K K",
    "SORT K",
    "SORT K BY P",
    "SORT K GET P",
    "SORT K BY nosort GET # STORE K",
    "SORT K LIMIT x 1 BY w*",
    "SORT_RO K BY w*",
    "SORT K STORE K",
    "EVAL return 0",
    "EVAL return 1 K",
    "OBJECT ENCODING K",
    "OBJECT FREQ K",
    "OBJECT HELP",
    "TYPE K",
    "EXPIRE K 100",
    "STRLEN K",
    "APPEND K x",
    "LPUSH K x",
    "LPOP K",
    "LMOVE K K LEFT RIGHT",
    "BLPOP K K 0.01",
    "LMPOP 2 K K LEFT",
    "LMPOP 9 K LEFT",
    "SINTERSTORE K K K",
    "SINTERCARD 2 K K",
    "ZUNIONSTORE K 2 K K",
    "ZADD K 1 x",
    "PFCOUNT K",
    "BITFIELD K GET u8 0",
    "BITFIELD K SET u8 0 1",
    "BITFIELD K OVERFLOW FAIL GET u8 0",
    "BITFIELD K INCRBY u8 0",
    "BITFIELD_RO K GET u8 0",
    "GETEX K",
    "GETDEL K",
    "RESTORE K 0 x",
    "GEORADIUS K 0 0 1 m",
    "GEORADIUS K 0 0 1 m STORE K",
    "GEOSEARCHSTORE K K FROMLONLAT 0 0 BYRADIUS 1 m",
    "XREAD STREAMS K K 0 0",
    "XREADGROUP GROUP g c STREAMS K >",
    "XGROUP CREATE K g 0",
    "XINFO STREAM K",
    "PUBLISH C x",
    "SPUBLISH C x",
    "KEYS none",
    "DBSIZE",
    "SELECT 0",
    "SELECT 1",
    "SELECT 0",
    "CONFIG GET hz",
    "CONFIG GET",
    "CONFIG NOPE",
    "PING",
    "ECHO x",
    "ACL WHOAMI",
    "ACL USERS",
    "CLIENT GETNAME",
    "CLIENT ID x",
    "WATCH K",
    "UNWATCH",
    "MULTI",
    "EXEC",
    "DISCARD",
    "MULTI",
    "EXEC",
    "NOPE x",
    "GET",
    "GET K K",
    "FLUSHALL",
    "SUBSTR K 0 1",
    "MEMORY USAGE K",
    "AUTH two",
    "AUTH eve one",
    "AUTH nobody x",
    "COMMAND COUNT x",
    "LCS K K",
    "SWAPDB 0 0",
];
/// What those try that would change the conversation.
const DRY: &[&str] = &[
    "SUBSCRIBE C",
    "SUBSCRIBE C C",
    "PSUBSCRIBE P C",
    "SSUBSCRIBE C",
    "UNSUBSCRIBE C",
    "MONITOR",
    "QUIT",
    "RESET",
    "AUTH x",
    "HELLO 3",
    "SHUTDOWN",
    "CONFIG SET hz 10",
    "ACL SETUSER x",
    "CLIENT KILL x",
    "EVAL x 1 K",
    "FCALL f 1 K",
    "CONFIG",
    "SCAN 0",
    "PFMERGE K K",
    "BITOP NOT K K",
    "XADD K * f v",
    "RANDOMKEY",
    "KEYS *",
    "DUMP K",
];
const SCRIPTS: &[&str] = &[
    "return redis.call('GET', 'K')",
    "return redis.pcall('SET', 'K', '1')",
    "return redis.call('PUBLISH', 'C', 'x')",
    "return {redis.acl_check_cmd('GET', 'K'), redis.acl_check_cmd('CONFIG', 'SET', 'a', 'b'), redis.acl_check_cmd('GET')}",
    "return redis.call('SORT', 'K', 'BY', 'w*')",
    "return redis.pcall('SUBSCRIBE', 'C')",
    "return redis.pcall('NOPE')",
    "return redis.pcall('GET')",
];

/// Lines of the operator, whose replies are the same wherever and whenever they are run.
const LINES: &[&str] = &[
    "ACL",
    "ACL HELP",
    "ACL NOPE",
    "ACL HELP x",
    "ACL CAT nope",
    "ACL CAT a b",
    "ACL GENPASS 0",
    "ACL GENPASS x",
    "ACL GENPASS 4097",
    "ACL GENPASS 1 2",
    "ACL GETUSER nobody",
    "ACL GETUSER",
    "ACL DELUSER default",
    "ACL DELUSER ann default",
    "ACL DELUSER",
    "ACL LOAD",
    "ACL SAVE",
    "ACL LOG x",
    "ACL LOG -1",
    "ACL LOG 1 2",
    "ACL DRYRUN nobody get x",
    "ACL DRYRUN root",
    "ACL DRYRUN root nope",
    "ACL DRYRUN root config",
    "ACL DRYRUN root config nope",
    "ACL DRYRUN root get",
    "ACL DRYRUN root get a",
    "ACL WHOAMI",
    "ACL SETUSER",
    "ACL USERS x",
    "AUTH",
    "AUTH x",
    "AUTH a b c",
    "AUTH nobody x",
    "COMMAND GETKEYSANDFLAGS SET a b",
    "COMMAND GETKEYSANDFLAGS SET a b GET",
    "COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0",
    "COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 SET u8 0 1",
    "CLIENT KILL USER nobody",
    "ACL GETUSER default",
    "ACL LIST",
    "ACL USERS",
    "ACL SETUSER ann +@all -get",
    "RESET",
    "ACL WHOAMI",
];

type Names = BTreeSet<String>;
/// What a category holds: in redis, and here.
type Sets = (Names, Names);

/// A session on both servers.
struct Pair {
    redis: RedisClient,
    ours: Client,
}

struct Test {
    rng: Rng,
    redis: RedisServer,
    server: Server,
    admin: Pair,
    recent: Vec<String>,
}

impl Test {
    fn start(protocol: &str) -> Self {
        let rng = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
        let redis = RedisServer::start();
        let mut server = Server::start(1, &[("lua-dialect", "redis")]);
        let admin = Pair {
            redis: redis.client(),
            ours: server.connect(0),
        };
        let mut test = Self {
            rng,
            redis,
            server,
            admin,
            recent: Vec::new(),
        };
        // The default user will lose its rights.
        for line in [
            "ACL SETUSER root on nopass ~* &* +@all",
            "AUTH root x",
            protocol,
        ] {
            let request: Vec<&str> = line.split(' ').collect();
            test.admin.redis.call(&request);
            run(&mut test.server, &mut test.admin.ours, &request);
        }
        test
    }

    fn connect(&mut self) -> Pair {
        Pair {
            redis: self.redis.client(),
            ours: self.server.connect(0),
        }
    }

    /// A request of the operator's; both answers.
    fn ask(&mut self, request: &[&str]) -> (Answer, Answer) {
        self.recent.push(request.join(" "));
        let theirs = self.admin.redis.call(request);
        (theirs, run(&mut self.server, &mut self.admin.ours, request))
    }

    fn same(&mut self, request: &[&str]) -> Answer {
        let (theirs, own) = self.ask(request);
        self.agree(
            &theirs.raw.escape_ascii().to_string(),
            &own.raw.escape_ascii().to_string(),
        );
        own
    }

    fn agree<T: PartialEq + std::fmt::Debug>(&self, theirs: &T, own: &T) {
        if theirs == own {
            return;
        }
        let from = self.recent.len().saturating_sub(30);
        panic!(
            "{}\nredis {theirs:?}\nours  {own:?}",
            self.recent[from..].join("\n")
        );
    }

    fn rules(&mut self) -> Vec<String> {
        let rng = &mut self.rng;
        (0..=rng.below(5)).map(|_| rule(rng)).collect()
    }

    fn change(&mut self) {
        let user = self.rng.pick(USERS);
        // Mostly on and with something allowed, so that there is more to be seen than refusals.
        let mut rules = if self.rng.one_in(3) {
            let start = [
                "reset",
                "on",
                "nopass",
                "+@all",
                "-@dangerous",
                "+acl",
                "+sort",
                "+config",
            ];
            start.iter().map(ToString::to_string).collect()
        } else {
            Vec::new()
        };
        rules.extend(self.rules());
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        self.same(&[&["ACL", "SETUSER", user], &rules[..]].concat());
        let (theirs, own) = self.ask(&["ACL", "GETUSER", user]);
        self.agree(
            &without_commands(&theirs.reply),
            &without_commands(&own.reply),
        );
        let (theirs, own) = self.ask(&["ACL", "LIST"]);
        self.agree(&texts(&theirs.reply, shown), &texts(&own.reply, shown));
    }

    fn dry_run(&mut self) {
        let user = self.rng.pick(USERS);
        let request = if self.rng.one_in(3) {
            self.rng.pick(DRY)
        } else {
            self.rng.pick(REQUESTS)
        };
        let request = fill(&mut self.rng, request);
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        self.same(&[&["ACL", "DRYRUN", user], &request[..]].concat());
    }

    /// One user tries things.
    fn act(&mut self) {
        let mut pair = self.connect();
        let (user, password) = (self.rng.pick(USERS), self.rng.pick(PASSWORDS));
        self.send(&mut pair, &["AUTH", user, password]);
        for _ in 0..12 {
            if self.rng.one_in(12) {
                self.change();
            }
            let request = if self.rng.one_in(5) {
                let script = self.rng.pick(SCRIPTS);
                let script = fill_text(&mut self.rng, script);
                vec!["EVAL".into(), script, "0".into()]
            } else {
                let request = self.rng.pick(REQUESTS);
                fill(&mut self.rng, request)
            };
            let request: Vec<&str> = request.iter().map(String::as_str).collect();
            self.send(&mut pair, &request);
        }
        let (theirs, own) = self.ask(&["ACL", "LOG", "100"]);
        self.agree(&log(&theirs.reply), &log(&own.reply));
        self.same(&["ACL", "LOG", "RESET"]);
        self.same(&["FLUSHALL"]);
    }

    fn send(&mut self, pair: &mut Pair, request: &[&str]) {
        self.recent.push(format!("  {}", request.join(" ")));
        let theirs = pair.redis.call(request);
        let own = run(&mut self.server, &mut pair.ours, request);
        // Times, ids and what only one of them has.
        let differ = ["COMMAND", "CONFIG", "MEMORY"];
        if differ.contains(&request[0]) && !matches!(theirs.reply, Reply::Error(_)) {
            assert!(!matches!(own.reply, Reply::Error(_)), "{own}");
            return;
        }
        self.agree(&theirs.to_string(), &own.to_string());
    }
}

fn run(server: &mut Server, client: &mut Client, request: &[&str]) -> Answer {
    let words: Vec<&[u8]> = request.iter().map(|word| word.as_bytes()).collect();
    if request[0] != "BLPOP" {
        return Answer::from_bytes(server.run_to_end(client, &words).into_bytes());
    }
    let (_, mut reply) = server.run(client, &words);
    while client.parked.is_some() {
        std::thread::sleep(Duration::from_millis(2));
        reply.extend(server.resume_due(client));
    }
    Answer::from_bytes(reply.into_bytes())
}

fn rule(rng: &mut Rng) -> String {
    let sign = rng.pick(&["+", "+", "-"]);
    match rng.below(16) {
        0 | 1 => rng
            .pick(&[
                "on",
                "ON",
                "off",
                "nopass",
                "resetpass",
                "reset",
                "clearselectors",
            ])
            .to_owned(),
        2 => rng
            .pick(&[
                "allkeys",
                "~*",
                "resetkeys",
                "allchannels",
                "&*",
                "resetchannels",
                "ResetKeys",
            ])
            .to_owned(),
        3 => rng
            .pick(&[
                "allcommands",
                "nocommands",
                "+@all",
                "-@all",
                "sanitize-payload",
                "skip-sanitize-payload",
            ])
            .to_owned(),
        4 => format!("{}{}", rng.pick(&[">", "<", ">"]), rng.pick(PASSWORDS)),
        5 => format!("{}{}", rng.pick(&["#", "!", "#"]), rng.pick(HASHES)),
        6 | 7 => format!("~{}", rng.pick(PATTERNS)),
        8 => format!(
            "{}{}",
            rng.pick(&["%R~", "%W~", "%RW~", "%wr~", "%r~", "%RR~", "%Q~", "%RW"]),
            rng.pick(PATTERNS)
        ),
        9 => format!("&{}", rng.pick(PATTERNS)),
        10 | 11 => format!("{sign}{}", rng.pick(NAMES)),
        12 | 13 => format!("{sign}@{}", rng.pick(CATEGORIES)),
        14 => selector(rng),
        _ => rng
            .pick(&[
                "", "nonsense", "~a b", "& ", "(", ")", "(+get", "~a)", "()", "(on)", "+", "-",
                "%", "(\"+get)",
            ])
            .to_owned(),
    }
}

fn selector(rng: &mut Rng) -> String {
    let mut rules = Vec::new();
    for _ in 0..rng.below(4) {
        rules.push(rule(rng));
    }
    format!("({})", rules.join(" "))
}

fn fill(rng: &mut Rng, request: &str) -> Vec<String> {
    let words = request.split(' ');
    words
        .map(|word| match word {
            "K" | "C" => rng.pick(KEYS).to_owned(),
            "P" => rng.pick(&["w*", "#", "nosort", "a*", "x"]).to_owned(),
            word => word.to_owned(),
        })
        .collect()
}

fn fill_text(rng: &mut Rng, script: &str) -> String {
    let key = format!("'{}'", rng.pick(KEYS));
    script.replace("'K'", &key).replace("'C'", &key)
}

/// A line of ACL LIST without its rules on commands, which Redis 7.0 puts into an order of its own.
fn shown(line: &str) -> String {
    let words = line.split(' ').filter_map(|word| match word.as_bytes() {
        [b'+' | b'-', .., b')'] => Some(")"),
        [b'+' | b'-', ..] => None,
        _ => Some(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn texts(reply: &Reply, shown: fn(&str) -> String) -> Vec<String> {
    let Reply::Array(items) = reply else {
        panic!("{reply:?}");
    };
    items.iter().map(|item| shown(&text(item))).collect()
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Simple(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// GETUSER's answer, or a selector in it, without its rules on commands.
fn without_commands(reply: &Reply) -> Reply {
    let strip = |items: &[Reply]| {
        let mut kept = Vec::new();
        for pair in items.chunks(2) {
            if pair.len() == 2 && text(&pair[0]) == "commands" {
                continue;
            }
            kept.extend(pair.iter().map(without_commands));
        }
        kept
    };
    match reply {
        Reply::Array(items) => Reply::Array(strip(items)),
        Reply::Map(items) => Reply::Map(strip(items)),
        other => other.clone(),
    }
}

/// The entries of ACL LOG without times and clients.
fn log(reply: &Reply) -> Vec<Vec<String>> {
    let Reply::Array(entries) = reply else {
        panic!("{reply:?}");
    };
    let fields = |entry: &Reply| match entry {
        Reply::Array(items) | Reply::Map(items) => {
            let mut fields: Vec<String> = items.iter().map(text).collect();
            assert_eq!((&*fields[10], &*fields[12]), ("age-seconds", "client-info"));
            fields.truncate(10);
            fields
        }
        other => panic!("{other:?}"),
    };
    entries.iter().map(fields).collect()
}

fn compare(protocol: &str) {
    let rounds =
        std::env::var("AIKV_ORACLE_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let mut test = Test::start(protocol);
    for _ in 0..rounds {
        for _ in 0..4 {
            test.change();
            (0..5).for_each(|_| test.dry_run());
        }
        test.act();
        let gone = test.rng.pick(&["ann", "bob", "default", "nobody"]);
        test.same(&["ACL", "DELUSER", gone, "eve"]);
        test.same(&["ACL", "USERS"]);
    }
}

#[test]
fn users_may_do_what_they_may_in_redis_in_resp2() {
    compare("HELLO 2");
}

#[test]
fn users_may_do_what_they_may_in_redis_in_resp3() {
    compare("HELLO 3");
}

#[test]
fn categories_hold_what_they_hold_in_redis() {
    let mut test = Test::start("HELLO 3");
    let names = test.same(&["ACL", "CAT"]);
    let mut lists = Vec::new();
    for name in texts(&names.reply, str::to_owned) {
        let (theirs, own) = test.ask(&["ACL", "CAT", &name]);
        let set = |answer: &Answer| texts(&answer.reply, str::to_owned).into_iter().collect();
        let sets: Sets = (set(&theirs), set(&own));
        lists.push((name, sets));
    }
    let all = |of: fn(&Sets) -> &Names| {
        let names = lists.iter().flat_map(|(_, sets)| of(sets).clone());
        names.collect::<Names>()
    };
    let (theirs, ours) = (all(|sets| &sets.0), all(|sets| &sets.1));
    assert!(ours.len() > 250, "only {} commands", ours.len());
    for (name, sets) in &lists {
        let known =
            |set: &Names, other: &Names| -> Names { set.intersection(other).cloned().collect() };
        let (theirs, own) = (known(&sets.0, &ours), known(&sets.1, &theirs));
        assert_eq!(theirs, own, "{name}");
    }
}

#[test]
fn the_other_replies_are_those_of_redis() {
    for protocol in ["HELLO 2", "HELLO 3"] {
        let mut test = Test::start(protocol);
        for line in LINES {
            let request: Vec<&str> = line.split(' ').collect();
            test.same(&request);
        }
        let words: [&str; 4] = ["ACL", "SETUSER", "a b", "on"];
        test.same(&words);
        let digits = |answer: &Answer| match &answer.reply {
            Reply::Bulk(digits) => digits
                .iter()
                .filter(|byte| byte.is_ascii_hexdigit())
                .count(),
            other => panic!("{other:?}"),
        };
        for bits in ["1", "4", "5", "4096"] {
            let (theirs, own) = test.ask(&["ACL", "GENPASS", bits]);
            test.agree(&digits(&theirs), &digits(&own));
        }
    }
}

/// Every command with random arguments: what names a key is refused, what is not refused names none.
#[test]
fn whoever_may_use_no_key_reaches_none() {
    const REQUESTS_TRIED: usize = 4000;
    let mut server = Server::start(1, &[("lua-dialect", "redis")]);
    let (mut operator, mut client) = (server.connect(0), server.connect(0));
    server.reply(&mut operator, "ACL SETUSER bob on nopass +@all ~mine:*");
    server.reply(&mut client, "AUTH bob x");
    let seed = Rng::seed_from_env("AIKV_ORACLE_SEED");
    // What may wait for data is tried elsewhere.
    let waits =
        |name: &str| name.starts_with("xread") || name.starts_with('b') && !name.starts_with("bit");
    let mut generator = Generator::new(seed, |name| !waits(name));
    let (mut refused, mut others) = (0, BTreeSet::new());
    for _ in 0..REQUESTS_TRIED {
        let request = generator.request();
        let words: Vec<&[u8]> = request.args.iter().map(Vec::as_slice).collect();
        let args = Args::from_slices(&words);
        let found = server.shared.registry.find(&args);
        let keys = found.map_or(0, |entry| super::selector::keys_of(entry, &args).len());
        let reply = server.run(&mut client, &words).1;
        let denied = reply.starts_with("-NOPERM") || reply.contains(" of SORT denied");
        if keys > 0 {
            assert!(denied, "{request}: {reply}");
            refused += 1;
        } else if !reply.starts_with('-') {
            others.insert(String::from_utf8_lossy(words[0]).to_lowercase());
        }
        // The operator's requests see to it that there is something to be reached.
        server.run(&mut operator, &words);
        assert!(operator.parked.is_none(), "{request} waits");
    }
    assert!(refused > REQUESTS_TRIED / 2, "only {refused} were refused");
    // These walk over all keys, or over none.
    let known = [
        "dbsize",
        "flushall",
        "flushdb",
        "keys",
        "memory",
        "object",
        "pfselftest",
        "randomkey",
        "scan",
        "select",
        "swapdb",
        "xgroup",
        "xinfo",
    ];
    let new: Vec<&String> = others
        .iter()
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    assert!(new.is_empty(), "{new:?} were answered");
}
