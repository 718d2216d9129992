//! Scripts beside other clients: slow ones, endless ones, greedy ones, and many that want the same keys.

use super::harness::{Server, bulk, error_text, eval, eventually, get, ok, script_args};
use crate::common::resp::{Client, Reply};
use std::time::{Duration, Instant};

const ENDLESS: &str = "
  redis.call('SET', KEYS[1], 'from the script')
  redis.call('SET', 'undeclared', 'from the script')
  while true do end
";
/// Of 100 requests of others beside an endless script 99 have to be faster, also in a debug build on a busy machine.
const SERVED_WITHIN: Duration = Duration::from_millis(100);

#[test]
fn an_endless_script_stalls_nobody_else_and_can_be_killed() {
    const ATTEMPTS: usize = 3;
    let server = Server::start(&[]);
    let mut looping = server.client();
    let mut other = server.client();
    start_endless(&mut looping, &mut other);
    // Other tests may keep the machine busy for the length of one attempt.
    let fast = (0..ATTEMPTS).any(|_| serve_others(&server) < SERVED_WITHIN);
    assert!(fast, "the others were not served within {SERVED_WITHIN:?}");
    assert_eq!(other.call(&["SCRIPT", "KILL"]).reply, ok());
    let error = error_text(looping.receive().reply);
    assert!(error.contains("killed by user"), "{error}");
    assert_nothing_left(&mut other);
}

#[test]
fn an_endless_script_is_ended_by_the_timeout() {
    let server = Server::start(&["--script-timeout", "100"]);
    let mut client = server.client();
    let start = Instant::now();
    let error = error_text(eval(&mut client, ENDLESS, &["busy"], &[]));
    assert!(error.contains("script-timeout"), "{error}");
    assert!(
        start.elapsed() >= Duration::from_millis(100),
        "ended before its time"
    );
    assert_nothing_left(&mut client);
    // No pcall survives it either.
    let stubborn =
        "redis.call('SET', KEYS[1], 'x') while true do pcall(function() while true do end end) end";
    error_text(eval(&mut client, stubborn, &["busy"], &[]));
    assert_nothing_left(&mut client);
}

#[test]
fn clients_that_wait_for_a_script_learn_that_it_is_busy() {
    let server = Server::start(&["--busy-reply-threshold", "200"]);
    let (mut looping, mut waiting, mut other) = (server.client(), server.client(), server.client());
    start_endless(&mut looping, &mut other);
    let error = error_text(get(&mut waiting, "busy"));
    assert!(error.starts_with("BUSY "), "{error}");
    let error = error_text(eval(
        &mut waiting,
        "return redis.call('GET', KEYS[1])",
        &["busy"],
        &[],
    ));
    assert!(error.starts_with("BUSY "), "{error}");
    // Who comes later need not wait for anything.
    let quickest = (0..5).map(|_| {
        let start = Instant::now();
        let error = error_text(get(&mut waiting, "busy"));
        assert!(error.starts_with("BUSY "), "{error}");
        start.elapsed()
    });
    let quickest = quickest.min().expect("some");
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    assert_eq!(other.call(&["SET", "free", "x"]).reply, ok());
    assert_eq!(other.call(&["SCRIPT", "KILL"]).reply, ok());
    error_text(looping.receive().reply);
    assert_nothing_left(&mut waiting);
}

#[test]
fn a_greedy_script_is_ended_and_the_server_lives() {
    let server = Server::start(&["--script-memory-limit", "16mb"]);
    let mut client = server.client();
    let greedy =
        "redis.call('SET', KEYS[1], 'x') local t={} while true do t[#t+1]=string.rep('x',1000) end";
    for _ in 0..3 {
        let error = error_text(eval(&mut client, greedy, &["busy"], &[]));
        assert!(error.contains("memory"), "{error}");
        assert_nothing_left(&mut client);
        assert_eq!(eval(&mut client, "return 1", &[], &[]), Reply::Integer(1));
    }
}

#[test]
fn no_increment_is_lost_whether_its_key_was_declared_or_not() {
    const THREADS: usize = 8;
    const EACH: usize = 100;
    let server = Server::start(&[]);
    let script = "
      local declared = tonumber(redis.call('GET', KEYS[1]) or '0')
      local undeclared = tonumber(redis.call('GET', ARGV[1]) or '0')
      redis.call('SET', KEYS[1], declared + 1)
      redis.call('SET', ARGV[1], undeclared + 1)
      return declared
    ";
    run_in_threads(&server, THREADS, |thread, client| {
        // Half of the threads meet the two keys in the other order.
        let (key, argument) = if thread % 2 == 0 {
            ("a", "b")
        } else {
            ("b", "a")
        };
        for _ in 0..EACH {
            let reply = eval(client, script, &[key], &[argument]);
            assert!(matches!(reply, Reply::Integer(_)), "{reply:?}");
        }
    });
    let mut client = server.client();
    let all = (THREADS * EACH).to_string();
    assert_eq!(get(&mut client, "a"), bulk(all.clone()));
    assert_eq!(get(&mut client, "b"), bulk(all));
}

#[test]
fn scripts_without_keys_and_plain_commands_lose_no_increment() {
    const THREADS: usize = 8;
    const EACH: usize = 60;
    let server = Server::start(&[]);
    let script = "
      local n = tonumber(redis.call('GET', 'n') or '0')
      redis.call('SET', 'n', n + 1)
    ";
    run_in_threads(&server, THREADS, |thread, client| {
        for _ in 0..EACH {
            if thread % 4 == 0 {
                let reply = client.call(&["INCR", "n"]).reply;
                assert!(matches!(reply, Reply::Integer(_)), "{reply:?}");
            } else {
                assert_eq!(eval(client, script, &[], &[]), Reply::Null);
            }
        }
    });
    assert_eq!(
        get(&mut server.client(), "n"),
        bulk((THREADS * EACH).to_string())
    );
}

#[test]
fn nobody_sees_half_of_a_script() {
    const WRITERS: usize = 2;
    const EACH: usize = 150;
    let server = Server::start(&[]);
    let script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])";
    server.client().call(&["MSET", "left", "0", "right", "0"]);
    run_in_threads(&server, WRITERS * 2, |thread, client| {
        for n in 0..EACH {
            if thread < WRITERS {
                let value = format!("{thread}:{n}");
                eval(client, script, &["left", "right"], &[&value]);
                continue;
            }
            let Reply::Array(both) = client.call(&["MGET", "left", "right"]).reply else {
                panic!("two values");
            };
            assert_eq!(both[0], both[1]);
        }
    });
}

#[test]
fn transactions_run_scripts() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let failing = "redis.call('SET', KEYS[1], '100') error('no')";
    assert_eq!(client.call(&["MULTI"]).reply, ok());
    let queued = [
        ["SET", "a", "1"].map(Vec::from).to_vec(),
        script_args("EVAL", "return redis.call('INCR', KEYS[1])", &["a"], &[]),
        script_args("EVAL", failing, &["a"], &[]),
        ["GET", "a"].map(Vec::from).to_vec(),
    ];
    for request in queued {
        assert_eq!(client.call(&request).reply, Reply::Simple("QUEUED".into()));
    }
    let Reply::Array(replies) = client.call(&["EXEC"]).reply else {
        panic!("the replies");
    };
    assert_eq!(replies[..2], [ok(), Reply::Integer(2)]);
    assert!(error_text(replies[2].clone()).contains("no"));
    assert_eq!(replies[3], bulk("2"));
}

#[test]
fn a_script_may_go_on_after_an_error_or_give_up_on_everything() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let goes_on = "
      redis.call('SET', KEYS[1], 'kept')
      local failed = redis.pcall('INCR', KEYS[1])
      redis.call('SET', KEYS[2], 'also')
      return failed
    ";
    let text = bulk("ERR value is not an integer or out of range");
    assert_eq!(eval(&mut client, goes_on, &["a", "b"], &[]), text);
    assert_eq!(get(&mut client, "a"), bulk("kept"));
    assert_eq!(get(&mut client, "b"), bulk("also"));
    let gives_up = "
      redis.call('SET', KEYS[1], 'changed')
      redis.pcall('INCR', KEYS[1])
      redis.call('DEL', KEYS[2])
      return redis.call('INCR', KEYS[1])
    ";
    error_text(eval(&mut client, gives_up, &["a", "b"], &[]));
    assert_eq!(get(&mut client, "a"), bulk("kept"));
    assert_eq!(get(&mut client, "b"), bulk("also"));
}

/// Has `looping` run an endless script on the key `busy`, and returns once it runs.
fn start_endless(looping: &mut Client, other: &mut Client) {
    looping.send(&script_args("EVAL", ENDLESS, &["busy"], &[]));
    eventually("the script runs", || {
        let clients = other.call(&["CLIENT", "LIST"]).raw;
        String::from_utf8_lossy(&clients).contains("cmd=eval")
    });
    std::thread::sleep(Duration::from_millis(50));
}

/// What 99 of 100 requests of other clients take at most.
fn serve_others(server: &Server) -> Duration {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 150;
    let took = std::sync::Mutex::new(Vec::new());
    run_in_threads(server, CLIENTS, |thread, client| {
        let measured = measure(client, thread, REQUESTS);
        took.lock().expect("no thread failed").extend(measured);
    });
    let mut took = took.into_inner().expect("no thread failed");
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    let median = took[took.len() / 2];
    println!("beside an endless script: median {median:?}, p99 {p99:?}");
    p99
}

fn measure(client: &mut Client, own: usize, requests: usize) -> Vec<Duration> {
    let key = format!("own:{own}");
    (0..requests)
        .map(|n| {
            let start = Instant::now();
            if n % 2 == 0 {
                assert_eq!(client.call(&["SET", &key, "x"]).reply, ok());
            } else {
                assert_eq!(get(client, &key), bulk("x"));
            }
            start.elapsed()
        })
        .collect()
}

fn assert_nothing_left(client: &mut Client) {
    let exists = client.call(&["EXISTS", "busy", "undeclared"]).reply;
    assert_eq!(exists, Reply::Integer(0));
}

fn run_in_threads(server: &Server, threads: usize, run: impl Fn(usize, &mut Client) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (run, mut client) = (&run, server.client());
            scope.spawn(move || run(thread, &mut client));
        }
    });
}

#[test]
fn memory_beyond_the_limit_is_refused_to_clients_and_scripts() {
    let server = Server::start(&["--maxmemory", "1mb"]);
    let mut client = server.client();
    let refusal = "OOM command not allowed when used memory > 'maxmemory'.";
    eventually(
        "the limit is noticed",
        || matches!(client.call(&["SET", "k", "v"]).reply, Reply::Error(text) if text == refusal),
    );
    let error = error_text(eval(
        &mut client,
        "redis.call('SET', KEYS[1], 'v')",
        &["k"],
        &[],
    ));
    assert!(error.starts_with(refusal), "{error}");
    assert!(matches!(
        client.call(&["DEL", "k"]).reply,
        Reply::Integer(_)
    ));
    let grown = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 'v')";
    assert_eq!(eval(&mut client, grown, &["k"], &[]), bulk("OK"));
}
