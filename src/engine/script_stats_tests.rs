//! SCRIPT STATS, LIST, PS, and what INFO tells of scripts and locks.

use super::client::Client;
use super::running::Kill;
use super::testing::Server;
use super::worker::Flow;
use crate::script::Sha;

const ENDLESS: &str = "redis.call('GET', KEYS[1]) while true do end";

fn hex(script: &str) -> String {
    String::from_utf8_lossy(&Sha::of(script.as_bytes()).to_hex()).into_owned()
}

/// Runs a script to its end.
fn eval(client: &mut Client, server: &mut Server, script: &str, keys: &[&str]) -> String {
    with_eval(script, keys, |request| server.run_to_end(client, request))
}

/// Starts a script that does not end at once.
fn park(client: &mut Client, server: &mut Server, script: &str, keys: &[&str]) {
    let (flow, reply) = with_eval(script, keys, |request| server.run(client, request));
    assert_eq!(flow, Flow::Parked, "{reply}");
}

fn with_eval<R>(script: &str, keys: &[&str], run: impl FnOnce(&[&[u8]]) -> R) -> R {
    let count = keys.len().to_string();
    let mut request = vec![&b"EVAL"[..], script.as_bytes(), count.as_bytes()];
    request.extend(keys.iter().map(|key| key.as_bytes()));
    run(&request)
}

/// A reply without lengths and types: its words, parted by blanks.
fn words(reply: &str) -> String {
    let lines = reply
        .split("\r\n")
        .filter(|line| !line.starts_with(['*', '$', '%']));
    let words = lines.map(|line| line.trim_start_matches(':'));
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// The figure that follows a name in SCRIPT STATS.
fn figure(server: &mut Server, script: &str, name: &str) -> u64 {
    let mut client = server.connect(0);
    let stats = words(&server.reply(&mut client, &format!("SCRIPT STATS {}", hex(script))));
    let mut after = stats.split(' ').skip_while(|word| *word != name).skip(1);
    let figure = after.next().and_then(|figure| figure.parse().ok());
    figure.unwrap_or_else(|| panic!("{name} is not in {stats}"))
}

fn info(server: &mut Server, section: &str, name: &str) -> u64 {
    let mut client = server.connect(0);
    let info = server.reply(&mut client, &format!("INFO {section}"));
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let figure = line.and_then(|figure| figure.parse().ok());
    figure.unwrap_or_else(|| panic!("{name} is not in {info}"))
}

fn kill_all(server: &mut Server, clients: &mut [&mut Client]) {
    for _ in 0..200 {
        let _: Kill = server.shared.running.kill(false, u64::MAX, 1);
        for shard in 0..server.workers.len() {
            let mut tokens = server.workers[shard].take_runnable();
            while let Some(message) = server.message(shard) {
                if let super::Message::Wake(token) = message {
                    tokens.push(token);
                }
            }
            let worker = &mut server.workers[shard];
            worker.begin_pass();
            for token in tokens {
                for client in clients.iter_mut() {
                    if client.parked == Some(token) && client.info.shard as usize == shard {
                        worker.resume(token, client, &mut Vec::new());
                    }
                }
            }
            worker.end_pass().expect("a healthy journal");
        }
    }
    assert!(clients.iter().all(|client| client.parked.is_none()));
}

#[test]
fn the_calls_of_a_script_are_counted() {
    let mut server = Server::start(2, &[]);
    let (mut a, mut b) = (server.connect(0), server.connect(1));
    let script = "
        redis.call('SET', KEYS[1], 'x')
        local s = redis.savepoint()
        if ARGV[1] then redis.rollback_to(s) end
        if KEYS[1] == 'fails' then redis.call('LPUSH', KEYS[1], 'x') end
        if KEYS[1] == 'back' then redis.rollback(ARGV[1]) end
        return ('x'):rep(100000):len()";
    for key in ["k", "back"] {
        eval(&mut a, &mut server, script, &[key]);
    }
    for key in ["k", "fails"] {
        eval(&mut b, &mut server, script, &[key]);
    }
    let request: [&[u8]; 5] = [b"EVAL", script.as_bytes(), b"1", b"k", b"yes"];
    server.run_to_end(&mut a, &request);
    for (name, count) in [
        ("calls", 5),
        ("errors", 1),
        ("rollbacks", 1),
        ("savepoint_rollbacks", 1),
        ("reruns", 0),
        ("gates", 0),
    ] {
        assert_eq!(figure(&mut server, script, name), count, "{name}");
    }
    let memory = figure(&mut server, script, "memory_peak_bytes");
    assert!((100_000..1_000_000).contains(&memory), "{memory}");
}

#[test]
fn the_counts_of_a_script_are_a_map() {
    let mut server = Server::start(2, &[]);
    let (mut a, mut b) = (server.connect(0), server.connect(1));
    let script = "if KEYS[1] == 'fails' then redis.call('LPUSH', KEYS[1], 'x') end";
    eval(&mut a, &mut server, script, &["k"]);
    server.reply(&mut a, "SET fails x");
    eval(&mut b, &mut server, script, &["fails"]);
    let stats = server.reply(&mut a, &format!("SCRIPT STATS {}", hex(script)));
    let shown = words(&stats);
    let order: Vec<&str> = shown
        .split(' ')
        .filter(|word| word.ends_with("_ns"))
        .collect();
    assert_eq!(
        order,
        [
            "total_ns",
            "waiting_ns",
            "lua_ns",
            "commands_ns",
            "commit_ns"
        ]
    );
    assert!(shown.contains("waiting_ns p50 0 p99 0 max 0"), "{shown}");
    assert!(!shown.contains("total_ns p50 0"), "{shown}");
    assert!(shown.contains("last_error WRONGTYPE Operation"), "{shown}");
    assert!(stats.starts_with("*28\r\n$5\r\ncalls\r\n:2\r\n"), "{stats}");
    server.reply(&mut a, "HELLO 3");
    let stats = server.reply(&mut a, "SCRIPT STATS");
    let begin = format!(
        "%1\r\n$40\r\n{}\r\n%14\r\n$5\r\ncalls\r\n:2\r\n",
        hex(script)
    );
    assert!(stats.starts_with(&begin), "{stats}");
    assert!(
        stats.contains("$8\r\ntotal_ns\r\n%3\r\n$3\r\np50\r\n:"),
        "{stats}"
    );

    server.reply(&mut b, "CONFIG RESETSTAT");
    assert_eq!(figure(&mut server, script, "calls"), 0);
    let shown = words(&server.reply(&mut b, &format!("SCRIPT STATS {}", hex(script))));
    assert!(
        shown.ends_with("commit_ns p50 0 p99 0 max 0 last_error last_error_unix_ms"),
        "{shown}"
    );
    assert_eq!(
        server.reply(
            &mut b,
            "SCRIPT STATS 0000000000000000000000000000000000000000"
        ),
        "-NOSCRIPT No matching script.\r\n"
    );
}

#[test]
fn the_calls_of_a_function_are_counted() {
    let mut server = Server::start(2, &[]);
    let (mut a, mut b) = (server.connect(0), server.connect(1));
    let code = b"#!lua name=lib
        redis.register_function('sets', function(keys) return redis.call('SET', keys[1], 'x') end)
        redis.register_function('fails', function(keys) return redis.call('LPUSH', keys[1], 'x') end)";
    server.run(&mut a, &[b"FUNCTION", b"LOAD", code]);
    server.reply(&mut a, "FCALL sets 1 k");
    server.reply(&mut b, "FCALL SETS 1 k");
    server.reply(&mut b, "FCALL fails 1 k");
    let calls = |server: &mut Server, client: &mut Client, name: &str| {
        let shown = words(&server.reply(client, &format!("SCRIPT STATS {name}")));
        let shown: Vec<&str> = shown.split(' ').take(4).collect();
        shown.join(" ")
    };
    assert_eq!(calls(&mut server, &mut a, "sets"), "calls 2 errors 0");
    assert_eq!(calls(&mut server, &mut a, "Fails"), "calls 1 errors 1");
    let all = words(&server.reply(&mut a, "SCRIPT STATS"));
    for begin in ["sets calls 2 errors 0", "fails calls 1 errors 1"] {
        assert!(all.contains(begin), "{all}");
    }
    assert!(all.contains("last_error WRONGTYPE"), "{all}");
    server.reply(&mut a, "CONFIG RESETSTAT");
    assert_eq!(calls(&mut server, &mut a, "fails"), "calls 0 errors 0");
    // What replaces a library is counted anew.
    server.reply(&mut a, "FCALL sets 1 k");
    server.run(&mut a, &[b"FUNCTION", b"LOAD", b"REPLACE", code]);
    assert_eq!(calls(&mut server, &mut a, "sets"), "calls 0 errors 0");
    assert!(
        server
            .reply(&mut a, "SCRIPT STATS none")
            .starts_with("-NOSCRIPT")
    );
}

#[test]
fn scripts_are_listed() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    assert_eq!(server.reply(&mut client, "SCRIPT LIST"), "*0\r\n");
    let (loaded, evaluated) = ("return 1", "#!lua flags=no-writes\nreturn 2");
    server.run(&mut client, &[b"SCRIPT", b"LOAD", loaded.as_bytes()]);
    for _ in 0..3 {
        eval(&mut client, &mut server, evaluated, &[]);
    }
    let list = words(&server.reply(&mut client, "SCRIPT LIST"));
    let lines = [
        format!(
            "sha {} length 8 kind loaded calls 0 first_line return 1",
            hex(loaded)
        ),
        format!(
            "sha {} length 30 kind eval calls 3 first_line #!lua flags=no-writes",
            hex(evaluated)
        ),
    ];
    for line in lines {
        assert!(list.contains(&line), "{line} is not in {list}");
    }
    assert_eq!(info(&mut server, "scripting", "cached_scripts"), 2);
    assert_eq!(info(&mut server, "scripting", "loaded_scripts"), 1);
    assert_eq!(info(&mut server, "memory", "number_of_cached_scripts"), 2);
    for number in 0..499 {
        eval(
            &mut client,
            &mut server,
            &format!("return {number} + 1"),
            &[],
        );
    }
    assert_eq!(info(&mut server, "stats", "evicted_scripts"), 0);
    eval(&mut client, &mut server, evaluated, &[]);
    eval(&mut client, &mut server, "return 'the last straw'", &[]);
    assert_eq!(info(&mut server, "stats", "evicted_scripts"), 1);
    let exists = format!(
        "SCRIPT EXISTS {} {} {}",
        hex(loaded),
        hex(evaluated),
        hex("return 0 + 1")
    );
    assert_eq!(words(&server.reply(&mut client, &exists)), "1 1 0");
    let help = server.reply(&mut client, "SCRIPT HELP");
    for line in ["+STATS [<sha1>|<function>]\r\n", "+LIST\r\n", "+PS\r\n"] {
        assert!(help.contains(line), "{help}");
    }
    let lines = help.lines().count() - 1;
    assert!(help.starts_with(&format!("*{lines}\r\n")), "{help}");
}

#[test]
fn what_runs_or_waits_is_shown_with_its_keys() {
    let mut server = Server::start(2, &[]);
    let (mut holder, mut waiter, mut watcher) =
        (server.connect(0), server.connect(1), server.connect(0));
    assert_eq!(server.reply(&mut watcher, "SCRIPT PS"), "*0\r\n");
    park(&mut holder, &mut server, ENDLESS, &["a", "b"]);
    let other = "return redis.call('SET', KEYS[1], 1)";
    park(&mut waiter, &mut server, other, &["a", "c"]);
    let shown = words(&server.reply(&mut watcher, "SCRIPT PS"));
    let begin = format!(
        "name {} kind script state suspended whole_keyspace no client_id {} shard 0 duration_us ",
        hex(ENDLESS),
        holder.id()
    );
    assert!(shown.starts_with(&begin), "{shown}");
    assert!(
        shown.contains(" keys_held a b keys_waited_for name "),
        "{shown}"
    );
    let second = format!(
        "name {} kind script state waiting for locks whole_keyspace no client_id {} shard 1 duration_us ",
        hex(other),
        waiter.id()
    );
    assert!(shown.contains(&second), "{shown}");
    let waited = shown.rsplit("keys_held").next().unwrap_or_default();
    assert!(
        [" keys_waited_for a c", " c keys_waited_for a"].contains(&waited),
        "{shown}"
    );
    assert_eq!(info(&mut server, "scripting", "running_scripts"), 2);
    assert_eq!(info(&mut server, "locks", "lock_longest_queue"), 1);
    kill_all(&mut server, &mut [&mut holder, &mut waiter]);
    assert_eq!(server.reply(&mut watcher, "SCRIPT PS"), "*0\r\n");
    assert_eq!(info(&mut server, "scripting", "running_scripts"), 0);
    assert_eq!(figure(&mut server, ENDLESS, "errors"), 1);
    let stats = words(&server.reply(&mut watcher, &format!("SCRIPT STATS {}", hex(other))));
    assert!(!stats.contains("waiting_ns p50 0 p99"), "{stats}");
    assert!(info(&mut server, "locks", "lock_wait_usec_max") > 0);
}

#[test]
fn the_whole_keyspace_is_shown_too() {
    let mut server = Server::start(1, &[]);
    let (mut holder, mut waiter, mut watcher) =
        (server.connect(0), server.connect(0), server.connect(0));
    let alone = "redis.call('SET', 'k', 1) while true do end";
    let after = "redis.call('GET', 'k')";
    park(&mut holder, &mut server, alone, &[]);
    park(&mut waiter, &mut server, after, &[]);
    let shown = words(&server.reply(&mut watcher, "SCRIPT PS"));
    assert!(
        shown.contains("state suspended whole_keyspace held"),
        "{shown}"
    );
    assert!(
        shown.contains("state waiting for locks whole_keyspace waited for"),
        "{shown}"
    );
    kill_all(&mut server, &mut [&mut holder, &mut waiter]);
    for script in [alone, after] {
        assert_eq!(figure(&mut server, script, "gates"), 1);
    }
    assert_eq!(info(&mut server, "scripting", "script_gates"), 2);
}

#[test]
fn long_scripts_and_waits_enter_the_latency_history() {
    let mut server = Server::start(1, &[("latency-monitor-threshold", "2")]);
    let (mut holder, mut waiter) = (server.connect(0), server.connect(0));
    park(&mut holder, &mut server, ENDLESS, &["a"]);
    park(&mut waiter, &mut server, "return 1", &["a"]);
    std::thread::sleep(std::time::Duration::from_millis(3));
    kill_all(&mut server, &mut [&mut holder, &mut waiter]);
    let latest = words(&server.reply(&mut holder, "LATENCY LATEST"));
    for event in ["lock-wait", "script", "command"] {
        assert!(latest.split(' ').any(|word| word == event), "{latest}");
    }
}

/// One call in so many stands for the others; what they come to is about what all would.
#[test]
fn times_of_commands_in_scripts_are_counted() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let script = "for i = 1, 20 do redis.call('SET', KEYS[1], i) end";
    for _ in 0..300 {
        eval(&mut client, &mut server, script, &["k"]);
    }
    let commandstats = server.reply(&mut client, "INFO commandstats");
    let usec = |name: &str| {
        let line = commandstats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let field = line.and_then(|line| line.split(['=', ',']).nth(3));
        field
            .and_then(|usec| usec.parse::<u64>().ok())
            .expect("a number")
    };
    assert!(
        commandstats.contains("cmdstat_set:calls=6000,"),
        "{commandstats}"
    );
    let (set, eval) = (usec("set"), usec("eval"));
    assert!(set > eval / 20 && set < eval * 3, "{set} of {eval}");
    let histogram = server.reply(&mut client, "LATENCY HISTOGRAM set");
    assert!(histogram.contains("calls"), "{histogram}");
}
