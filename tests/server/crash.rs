//! Killed at any moment, the server has everything it acknowledged when it is back, and of each script all or nothing.

use super::harness::{Server, eval, run_to_end, script_args};
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;
use std::time::Duration;

const ROUNDS_EVERYSEC: usize = 40;
const ROUNDS_ALWAYS: usize = 10;

/// Writes its number to two keys and to one that it does not declare.
const SCRIPT: &str = "
  redis.call('SET', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[1] .. ':undeclared', ARGV[1])
  redis.call('SET', KEYS[2], ARGV[1])
  return ARGV[1]
";
/// Fails after it wrote, each time another writer may be at work.
const FAILING: &str = "
  redis.call('SET', KEYS[1], ARGV[1])
  redis.call('SET', 'never', ARGV[1])
  error('rolled back')
";

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    survive("everysec", ROUNDS_EVERYSEC);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_when_each_commit_is_synced() {
    survive("always", ROUNDS_ALWAYS);
}

/// Changes every type of collection, each in more than one way. What they hold then follows from the number alone.
const COLLECTIONS: &str = "
  local n, list, hash, set, zset, stream = tonumber(ARGV[1]), table.unpack(KEYS)
  if n == 1 then redis.call('XGROUP', 'CREATE', stream, 'group', '0', 'MKSTREAM') end
  redis.call('RPUSH', list, n)
  redis.call('LINSERT', list, 'BEFORE', n, 'passing')
  redis.call('LREM', list, 1, 'passing')
  redis.call('LTRIM', list, -50, -1)
  redis.call('HSET', hash, 'f' .. n % 20, n)
  redis.call('HINCRBY', hash, 'total', 1)
  redis.call('SADD', set, n, 'm' .. n)
  redis.call('SREM', set, n - 50, 'm' .. n)
  redis.call('ZADD', zset, n, 'm' .. n % 20)
  redis.call('ZREMRANGEBYSCORE', zset, '-inf', n - 15)
  redis.call('XADD', stream, 'MAXLEN', 50, n .. '-1', 'n', n)
  redis.call('XREADGROUP', 'GROUP', 'group', 'reader', 'COUNT', 1, 'STREAMS', stream, '>')
  if n > 10 then redis.call('XACK', stream, 'group', n - 10 .. '-1') end
  return n
";
const COLLECTION_KEYS: &[&str] = &["c:list", "c:hash", "c:set", "c:zset", "c:stream"];

/// How a writer writes its next number, and how it is found again.
struct Way {
    name: &'static str,
    write: fn(&mut Client, number: u64) -> Option<Reply>,
    /// The number that is there, 0 for none; panics where only a part of its write is.
    found: fn(&mut Client) -> u64,
}

const WAYS: &[Way] = &[
    Way {
        name: "set",
        found: |client| shown(client, &["set"]),
        write: |client, number| reply(client, &["SET", "set", &number.to_string()]),
    },
    Way {
        name: "mset",
        found: |client| shown(client, &["mset:a", "mset:b"]),
        write: |client, number| {
            let number = number.to_string();
            reply(client, &["MSET", "mset:a", &number, "mset:b", &number])
        },
    },
    Way {
        name: "script",
        found: |client| shown(client, &["script:a", "script:a:undeclared", "script:b"]),
        write: |client, number| {
            let number = number.to_string();
            let args = script_args("EVAL", SCRIPT, &["script:a", "script:b"], &[&number]);
            reply(client, &args)
        },
    },
    Way {
        name: "exec",
        found: |client| shown(client, &["exec:a", "exec:b"]),
        write: |client, number| {
            let number = number.to_string();
            reply(client, &["MULTI"])?;
            reply(client, &["SET", "exec:a", &number])?;
            reply(
                client,
                &script_args(
                    "EVAL",
                    "redis.call('SET', KEYS[1], ARGV[1])",
                    &["exec:b"],
                    &[&number],
                ),
            )?;
            reply(client, &["EXEC"])
        },
    },
    Way {
        name: "between",
        found: |client| shown(client, &["between"]),
        write: |client, number| {
            let text = number.to_string();
            let failing = script_args("EVAL", FAILING, &["between"], &["never"]);
            let failed = client.try_call(&failing)?.reply;
            assert!(matches!(failed, Reply::Error(_)), "{failed:?}");
            reply(client, &["SET", "between", &text])
        },
    },
    Way {
        name: "collections",
        found: collections_shown,
        write: |client, number| {
            let args = script_args("EVAL", COLLECTIONS, COLLECTION_KEYS, &[&number.to_string()]);
            reply(client, &args)
        },
    },
    Way {
        name: "push",
        found: |client| integer(client, &["LLEN", "push"]),
        write: |client, number| reply(client, &["LPUSH", "push", &number.to_string()]),
    },
    Way {
        name: "move",
        found: |client| {
            let left = integer(client, &["EXISTS", "move:from"]);
            assert_eq!(left, 0, "what was pushed was moved on");
            integer(client, &["LLEN", "move:to"])
        },
        write: |client, number| {
            let number = number.to_string();
            reply(client, &["MULTI"])?;
            reply(client, &["RPUSH", "move:from", &number])?;
            reply(client, &["LMOVE", "move:from", "move:to", "LEFT", "RIGHT"])?;
            reply(client, &["EXEC"])
        },
    },
];

/// The reply, which must not be an error; `None` from a server that was killed.
fn reply<A: AsRef<[u8]>>(client: &mut Client, args: &[A]) -> Option<Reply> {
    let reply = client.try_call(args)?.reply;
    assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    Some(reply)
}

fn survive(durability: &str, rounds: usize) {
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_CRASH_SEED"));
    let mut server = Server::start(&["--durability", durability]);
    let mut last = vec![0; WAYS.len()];
    let mut writes = 0;
    for round in 0..rounds {
        let life = Duration::from_millis(rng.between(20, 250) as u64);
        let acknowledged = write_until_killed(&mut server, &last, life);
        server.restart();
        let mut client = server.client();
        for (way, (acknowledged, last)) in WAYS.iter().zip(acknowledged.iter().zip(&mut last)) {
            let found = (way.found)(&mut client);
            // The one in flight may have got through.
            assert!(
                (*acknowledged..=acknowledged + 1).contains(&found),
                "round {round}: {} shows {found}, acknowledged was {acknowledged}",
                way.name
            );
            writes += found - *last;
            *last = found;
        }
        assert_eq!(
            client.call(&["EXISTS", "never"]).reply,
            Reply::Integer(0),
            "round {round}"
        );
        let alive = eval(&mut client, "return redis.call('EXISTS', 'set')", &[], &[]);
        assert!(matches!(alive, Reply::Integer(_)), "{alive:?}");
    }
    println!("{durability}: {rounds} kills, {writes} acknowledged writes, all there");
    assert!(writes > rounds as u64, "there was something to lose");
    check_when_killed(&mut server);
}

/// Writes on from the `last` numbers; those that were acknowledged at the end.
fn write_until_killed(server: &mut Server, last: &[u64], life: Duration) -> Vec<u64> {
    let clients: Vec<Client> = WAYS.iter().map(|_| server.client()).collect();
    std::thread::scope(|scope| {
        let writers: Vec<_> = WAYS
            .iter()
            .zip(last)
            .zip(clients)
            .map(|((way, last), mut client)| {
                scope.spawn(move || {
                    let mut acknowledged = *last;
                    while (way.write)(&mut client, acknowledged + 1).is_some() {
                        acknowledged += 1;
                    }
                    acknowledged
                })
            })
            .collect();
        std::thread::sleep(life);
        server.kill9();
        let ended = writers.into_iter();
        ended
            .map(|writer| writer.join().expect("only right answers"))
            .collect()
    })
}

/// The number that all the keys show; 0 if none is there.
fn shown(client: &mut Client, keys: &[&str]) -> u64 {
    let mut values = keys
        .iter()
        .map(|key| match client.call(&["GET", key]).reply {
            Reply::Null => 0,
            Reply::Bulk(number) => String::from_utf8_lossy(&number).parse().expect("a number"),
            other => panic!("{other:?}"),
        });
    let first = values.next().expect("at least one key");
    assert!(values.all(|value| value == first), "torn: {keys:?}");
    first
}

/// The number that made the collections what they are.
fn collections_shown(client: &mut Client) -> u64 {
    let total = client.call(&["HGET", "c:hash", "total"]).reply;
    let Reply::Bulk(total) = total else {
        assert_eq!(
            client.call(&[&["EXISTS"], COLLECTION_KEYS].concat()).reply,
            Reply::Integer(0)
        );
        return 0;
    };
    let n: u64 = String::from_utf8_lossy(&total).parse().expect("a number");
    let last = |count: u64| n.saturating_sub(count - 1).max(1)..=n;

    let list = texts(client, &["LRANGE", "c:list", "0", "-1"]);
    assert_eq!(list, strings(last(50)), "the list of {n}");
    let mut hash = texts(client, &["HGETALL", "c:hash"]);
    let mut fields: Vec<String> = last(20)
        .flat_map(|m| [format!("f{}", m % 20), m.to_string()])
        .collect();
    fields.extend(["total".into(), n.to_string()]);
    hash.sort();
    fields.sort();
    assert_eq!(hash, fields, "the hash of {n}");
    let mut set = texts(client, &["SMEMBERS", "c:set"]);
    let mut members = strings(last(50));
    set.sort();
    members.sort();
    assert_eq!(set, members, "the set of {n}");
    let zset = texts(client, &["ZRANGE", "c:zset", "0", "-1", "WITHSCORES"]);
    let ranked: Vec<String> = last(15)
        .flat_map(|m| [format!("m{}", m % 20), m.to_string()])
        .collect();
    assert_eq!(zset, ranked, "the sorted set of {n}");
    assert_eq!(
        integer(client, &["XLEN", "c:stream"]),
        n.min(50),
        "the stream of {n}"
    );
    let pending = client.call(&["XPENDING", "c:stream", "group"]).reply;
    let Reply::Array(pending) = pending else {
        panic!("{pending:?}");
    };
    assert_eq!(
        pending[0],
        Reply::Integer(n.min(10) as i64),
        "the group of {n}"
    );
    n
}

fn strings(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn texts(client: &mut Client, args: &[&str]) -> Vec<String> {
    let Reply::Array(items) = client.call(args).reply else {
        panic!("{args:?} answers with an array");
    };
    let text = |item| match item {
        Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("{other:?}"),
    };
    items.into_iter().map(text).collect()
}

fn integer(client: &mut Client, args: &[&str]) -> u64 {
    match client.call(args).reply {
        Reply::Integer(number) => number as u64,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn check_when_killed(server: &mut Server) {
    server.kill9();
    let dir = server.dir().to_str().expect("a path in text").to_owned();
    let ended = run_to_end(&["check", &dir]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("the directory is sound"),
        "{}",
        ended.stdout
    );
}
