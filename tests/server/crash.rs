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

/// How a writer writes its next number, and which keys have to show it.
struct Way {
    keys: &'static [&'static str],
    write: fn(&mut Client, number: u64) -> Option<Reply>,
}

const WAYS: &[Way] = &[
    Way {
        keys: &["set"],
        write: |client, number| reply(client, &["SET", "set", &number.to_string()]),
    },
    Way {
        keys: &["mset:a", "mset:b"],
        write: |client, number| {
            let number = number.to_string();
            reply(client, &["MSET", "mset:a", &number, "mset:b", &number])
        },
    },
    Way {
        keys: &["script:a", "script:a:undeclared", "script:b"],
        write: |client, number| {
            let number = number.to_string();
            let args = script_args("EVAL", SCRIPT, &["script:a", "script:b"], &[&number]);
            reply(client, &args)
        },
    },
    Way {
        keys: &["exec:a", "exec:b"],
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
        keys: &["between"],
        write: |client, number| {
            let text = number.to_string();
            let failing = script_args("EVAL", FAILING, &["between"], &["never"]);
            let failed = client.try_call(&failing)?.reply;
            assert!(matches!(failed, Reply::Error(_)), "{failed:?}");
            reply(client, &["SET", "between", &text])
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
            let found = found(&mut client, way.keys);
            // The one in flight may have got through.
            assert!(
                (*acknowledged..=acknowledged + 1).contains(&found),
                "round {round}: {} shows {found}, acknowledged was {acknowledged}",
                way.keys[0]
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
fn found(client: &mut Client, keys: &[&str]) -> u64 {
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
