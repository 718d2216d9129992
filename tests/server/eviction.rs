//! Memory beyond `maxmemory`: what clients read is what redis-server says, keys go whole, and what went stays gone.

use super::harness::{Server, eval};
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// Two clients of one server.
type Pair = [Client; 2];

/// Both servers, with the same question to each.
struct Both {
    redis: Pair,
    ours: Pair,
}

impl Both {
    /// Asks both as their client `who`; the answers have to be the same.
    fn ask<A: AsRef<[u8]>>(&mut self, who: usize, args: &[A]) -> Reply {
        let theirs = self.redis[who].call(args);
        let ours = self.ours[who].call(args);
        let shown: Vec<_> = args
            .iter()
            .map(|a| a.as_ref().escape_ascii().to_string())
            .collect();
        assert_eq!(theirs.raw, ours.raw, "{shown:?}: {theirs} against {ours}");
        theirs.reply
    }

    fn line(&mut self, who: usize, line: &str) -> Reply {
        let words: Vec<&str> = line.split(' ').collect();
        self.ask(who, &words)
    }

    fn lines(&mut self, who: usize, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(who, line);
        }
    }
}

#[test]
fn options_and_refusals_are_those_of_redis() {
    let redis = RedisServer::start();
    let server = Server::start(&["--lua-dialect", "redis"]);
    let mut both = Both {
        redis: [redis.client(), redis.client()],
        ours: [server.client(), server.client()],
    };
    both.lines(
        0,
        "CONFIG SET maxmemory-policy nosuch
         CONFIG SET maxmemory-policy ALLKEYS-LRU
         CONFIG GET maxmemory-policy
         CONFIG SET maxmemory-samples 0
         CONFIG SET maxmemory-samples -1
         CONFIG SET maxmemory-samples x
         CONFIG SET maxmemory-samples 2147483648
         CONFIG SET maxmemory-samples 70
         CONFIG GET maxmemory-samples
         CONFIG SET maxmemory-eviction-tenacity 101
         CONFIG SET maxmemory-eviction-tenacity -1
         CONFIG SET maxmemory-eviction-tenacity 100
         CONFIG GET maxmemory-eviction-tenacity
         CONFIG SET maxmemory-eviction-tenacity 10
         CONFIG SET lfu-log-factor -1
         CONFIG SET lfu-decay-time -1
         CONFIG SET lfu-decay-time 2147483648
         CONFIG GET lfu-log-factor
         CONFIG GET lfu-decay-time
         CONFIG SET maxmemory -1
         CONFIG SET maxmemory 1kk
         CONFIG SET maxmemory 100MB
         CONFIG GET maxmemory
         CONFIG SET maxmemory 0 maxmemory-policy noeviction",
    );
    counts(&mut both);
    both.lines(
        0,
        "SET old value
         RPUSH list a b c
         EXPIRE old 1000",
    );
    refusals(&mut both);
    transactions(&mut both);
    scripts(&mut both);
}

fn counts(both: &mut Both) {
    both.lines(
        0,
        "SET text value
         OBJECT FREQ text
         OBJECT FREQ nosuch
         OBJECT IDLETIME text
         CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0 lfu-decay-time 0
         SET fresh value
         OBJECT FREQ fresh
         OBJECT IDLETIME fresh
         OBJECT IDLETIME nosuch
         GET fresh
         OBJECT FREQ fresh
         TOUCH fresh
         STRLEN fresh
         OBJECT FREQ fresh
         TTL fresh
         TYPE fresh
         EXISTS fresh
         OBJECT ENCODING fresh
         OBJECT FREQ fresh
         EXPIRE fresh 1000
         PERSIST fresh
         OBJECT FREQ fresh
         APPEND fresh more
         SETRANGE fresh 2 xx
         OBJECT FREQ fresh
         SET fresh other
         OBJECT FREQ fresh
         RPUSH items a b c
         OBJECT FREQ items
         LRANGE items 0 -1
         RPUSH items d
         OBJECT FREQ items
         RENAME items renamed
         OBJECT FREQ renamed",
    );
    restored(both);
    let settings = "maxmemory-policy noeviction lfu-log-factor 10 lfu-decay-time 1";
    both.line(0, &format!("CONFIG SET {settings}"));
    both.line(0, "FLUSHALL");
}

fn restored(both: &mut Both) {
    let Reply::Bulk(dump) = both.line(0, "DUMP fresh") else {
        panic!("DUMP answers with a string");
    };
    for options in [
        &["FREQ", "77"][..],
        &["IDLETIME", "50"],
        &["FREQ", "256"],
        &["FREQ", "-1"],
        &["FREQ", "x"],
        &[],
    ] {
        let mut request: Vec<&[u8]> = vec![b"RESTORE", b"copy", b"0", &dump, b"REPLACE"];
        request.extend(options.iter().map(|word| word.as_bytes()));
        both.ask(0, &request);
        both.line(0, "OBJECT FREQ copy");
    }
    both.line(0, "CONFIG SET maxmemory-policy volatile-lru");
    for idle in ["0", "50", "100000", "9000000", "-1"] {
        let request: [&[u8]; 7] = [
            b"RESTORE",
            b"copy",
            b"0",
            &dump,
            b"REPLACE",
            b"IDLETIME",
            idle.as_bytes(),
        ];
        both.ask(0, &request);
        let theirs = both.redis[0].call(&["OBJECT", "IDLETIME", "copy"]).reply;
        let ours = both.ours[0].call(&["OBJECT", "IDLETIME", "copy"]).reply;
        let (Reply::Integer(theirs), Reply::Integer(ours)) = (theirs, ours) else {
            panic!("the key is there");
        };
        assert!(
            theirs.abs_diff(ours) <= 1,
            "{idle}: {theirs} against {ours}"
        );
    }
}

fn refusals(both: &mut Both) {
    both.lines(
        0,
        "CONFIG SET maxmemory 1
         SET new value
         RPUSH list d
         INCR number
         GET old
         LRANGE list 0 -1
         LPOP list
         EXPIRE old 100
         PERSIST old
         SUBSCRIBE channel
         UNSUBSCRIBE channel
         CONFIG SET maxmemory-policy volatile-ttl
         SET new value
         SORT list STORE sorted
         DEL list
         CONFIG SET maxmemory 0 maxmemory-policy noeviction",
    );
}

fn transactions(both: &mut Both) {
    for queued in [
        "SET new value",
        "GET old",
        "PING",
        "EVAL return(1) 0",
        "DEL old",
    ] {
        both.line(0, "MULTI");
        both.line(0, queued);
        both.line(1, "CONFIG SET maxmemory 1");
        both.lines(
            0,
            "EXEC
             EXEC
             MULTI
             MULTI
             WATCH k
             GET old
             EXEC
             MULTI
             DISCARD
             MULTI
             SET new value
             EXEC",
        );
        both.line(1, "CONFIG SET maxmemory 0");
    }
    // Redis looks at the memory in use only where there is a limit, and else goes by what it saw last.
    both.line(0, "CONFIG SET maxmemory 10gb");
    both.line(0, "MULTI");
    both.line(0, "CONFIG SET maxmemory 1");
    both.ask(
        0,
        &["EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "k"],
    );
    both.line(0, "EXEC");
    both.line(0, "CONFIG SET maxmemory 0");
}

fn scripts(both: &mut Both) {
    both.line(0, "SET old value");
    both.line(0, "CONFIG SET maxmemory 1");
    let bodies = [
        "return redis.pcall('SET', KEYS[1], 'v')",
        "return redis.call('GET', KEYS[1])",
        "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], 'w')",
        "redis.call('GET', KEYS[1]) return redis.pcall('SET', KEYS[1], 'v')",
        "redis.pcall('SET', KEYS[1], 'v') return redis.pcall('SET', KEYS[1], 'v')",
        "redis.call('PERSIST', KEYS[1]) return redis.pcall('SET', KEYS[1], 'v')",
        "#!lua\nreturn 1",
        "#!lua flags=\nreturn 1",
        "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 'x')",
        "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])",
        "#!lua flags=no-writes,allow-oom\nreturn redis.pcall('SET', KEYS[1], 'x')",
    ];
    for body in bodies {
        both.ask(0, &["EVAL", body, "1", "old"]);
        both.line(0, "GET old");
        both.line(0, "MULTI");
        both.line(0, "EXEC");
    }
    for body in ["#!lua\nreturn 1", "return 1"] {
        both.ask(0, &["EVAL_RO", body, "0"]);
    }
    let refused = "return redis.call('SET', KEYS[1], 'v')";
    let theirs = both.redis[0].call(&["EVAL", refused, "1", "old"]).reply;
    let ours = both.ours[0].call(&["EVAL", refused, "1", "old"]).reply;
    let (Reply::Error(theirs), Reply::Error(ours)) = (theirs, ours) else {
        panic!("memory is short");
    };
    let first = |text: &str| text.split(" script:").next().map(str::to_owned);
    assert_eq!(first(&theirs), first(&ours), "but for the place");
    both.line(0, "CONFIG SET maxmemory 0");
}

const LIST_LEN: usize = 40;
const LIMIT: u64 = 8 << 20;

/// Allows so much more than is in use.
fn limit(client: &mut Client) -> u64 {
    let limit = info(client, "used_memory") + LIMIT;
    let set = client.call(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    assert_eq!(set.reply, Reply::Simple("OK".into()));
    limit
}

fn info(client: &mut Client, field: &str) -> u64 {
    let Reply::Bulk(text) = client.call(&["INFO", "everything"]).reply else {
        panic!("INFO answers with text");
    };
    let text = String::from_utf8(text).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field of INFO").parse().expect("a number")
}

/// The memory that counts for the limit.
fn counted(client: &mut Client) -> u64 {
    info(client, "used_memory") - info(client, "mem_not_counted_for_evict")
}

fn key(number: usize) -> String {
    format!("{{{number}}}key")
}

/// A list of so many elements, or a string as long. Values of their own, so that half of one would show.
fn write(client: &mut Client, number: usize) -> Option<()> {
    let key = key(number);
    let reply = if number.is_multiple_of(2) {
        let element = format!("{number:0>60}");
        let mut request = vec!["RPUSH", &key];
        request.extend(std::iter::repeat_n(element.as_str(), LIST_LEN));
        client.try_call(&request)?.reply
    } else {
        client
            .try_call(&["SET", &key, &number.to_string().repeat(500)])?
            .reply
    };
    match reply {
        Reply::Error(text) => panic!("{text}"),
        _ => Some(()),
    }
}

/// Whether the key is there; if so, it is whole. `None` from a server that was killed.
fn look(client: &mut Client, number: usize) -> Option<bool> {
    let key = key(number);
    Some(if number.is_multiple_of(2) {
        match client.try_call(&["LLEN", &key])?.reply {
            Reply::Integer(0) => false,
            Reply::Integer(len) => {
                assert_eq!(len, LIST_LEN as i64, "{key}");
                true
            }
            other => panic!("{other:?}"),
        }
    } else {
        match client.try_call(&["GET", &key])?.reply {
            Reply::Bulk(value) => {
                assert_eq!(value, number.to_string().repeat(500).as_bytes(), "{key}");
                true
            }
            Reply::Null => false,
            other => panic!("{other:?}"),
        }
    })
}

fn is_whole(client: &mut Client, number: usize) -> bool {
    look(client, number).expect("the server runs")
}

#[test]
fn what_was_evicted_before_a_kill_stays_gone_and_the_rest_is_whole() {
    const ROUNDS: usize = 4;
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_EVICTION_SEED"));
    let mut server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut next = 0;
    let mut gone_in_all = 0;
    for _ in 0..ROUNDS {
        let (mut writer, mut observer) = (server.client(), server.client());
        limit(&mut writer);
        let life = Duration::from_millis(rng.between(500, 1_500) as u64);
        let written = AtomicUsize::new(next);
        let gone = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut number = next;
                while write(&mut writer, number).is_some() {
                    number += 1;
                    written.store(number, Ordering::SeqCst);
                }
            });
            // What is seen to be missing was evicted, and its record was written before that reply.
            let observing = scope.spawn(|| {
                let mut gone = Vec::new();
                loop {
                    let done = written.load(Ordering::SeqCst);
                    let number = rng.below(done.max(1));
                    match look(&mut observer, number) {
                        Some(false) if number < done => gone.push(number),
                        Some(_) => {}
                        None => break gone,
                    }
                }
            });
            std::thread::sleep(life);
            server.kill9();
            observing.join().expect("only right answers")
        });
        // The one in flight may have got through.
        next = written.load(Ordering::SeqCst) + 1;
        server.restart();
        let mut client = server.client();
        let kept = (0..next).filter(|number| is_whole(&mut client, *number));
        let kept = kept.count();
        for number in &gone {
            assert!(!is_whole(&mut client, *number), "{number} came back");
        }
        println!("{kept} of {next} keys kept, {} were seen to go", gone.len());
        gone_in_all += gone.len();
    }
    assert!(gone_in_all > 0, "there was something to evict");
}

#[test]
fn two_shards_evict_beside_each_other_and_beside_scripts() {
    const WRITERS: usize = 4;
    const EACH: usize = 6_000;
    let server = Server::start(&["--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.client();
    let limit = limit(&mut client);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut client = server.client();
                scope.spawn(move || {
                    for number in 0..EACH {
                        write(&mut client, number * WRITERS + writer).expect("the server runs");
                    }
                })
            })
            .collect();
        // A script's keys stay for as long as it runs, however long nobody used them.
        let script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])
            local n = 0 for i = 1, 20000 do n = n + i end
            return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0";
        let mut scripts = server.client();
        let mut runs = 0;
        while !writers.iter().all(ScopedJoinHandle::is_finished) {
            let held = eval(&mut scripts, script, &["a", "b"], &[&runs.to_string()]);
            assert_eq!(held, Reply::Integer(1));
            over.fetch_or(counted(&mut client) > limit + (2 << 20), Ordering::Relaxed);
            runs += 1;
        }
        assert!(runs > 5, "{runs} scripts ran meanwhile");
    });
    assert!(!over.load(Ordering::Relaxed), "the limit held all the time");
    std::thread::sleep(Duration::from_millis(200));
    assert!(counted(&mut client) <= limit + (1 << 20));
    // From here on nothing is evicted, so that what is counted stands still.
    let frozen = client.call(&["CONFIG", "SET", "maxmemory", "0"]).reply;
    assert_eq!(frozen, Reply::Simple("OK".to_owned()));
    let Reply::Integer(keys) = client.call(&["DBSIZE"]).reply else {
        panic!("DBSIZE answers with a number");
    };
    let evicted = info(&mut client, "evicted_keys");
    let mut present = 0;
    for number in 0..WRITERS * EACH {
        present += u64::from(is_whole(&mut client, number));
    }
    println!("{present} keys kept, {evicted} evicted");
    assert!(
        (present..=present + 2).contains(&(keys as u64)),
        "{keys} keys, {present} known"
    );
    assert!(present + evicted >= (WRITERS * EACH) as u64);
    assert!(evicted > 1_000 && present > 500);
}
