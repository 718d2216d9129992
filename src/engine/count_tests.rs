//! What INFO counts of scripts and of EXEC. The figures are those of redis-server 7.0.15 for the same requests.

use super::testing::Server;
use super::worker::Flow;

fn info(server: &mut Server, section: &str) -> String {
    let mut client = server.connect(0);
    server.reply(&mut client, &format!("INFO {section}"))
}

/// `calls`, `rejected_calls` and `failed_calls` of a command.
fn counts(server: &mut Server, command: &str) -> [u64; 3] {
    let info = info(server, "commandstats");
    let begin = format!("cmdstat_{command}:");
    let line = info.lines().find_map(|line| line.strip_prefix(&begin));
    let fields = line.unwrap_or("calls=0,rejected_calls=0,failed_calls=0");
    ["calls", "rejected_calls", "failed_calls"].map(|name| {
        let field = fields
            .split(',')
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|n| n.parse().ok()).expect("a number")
    })
}

fn eval(server: &mut Server, script: &str) {
    let mut client = server.connect(0);
    server.run_to_end(&mut client, &[b"EVAL", script.as_bytes(), b"0"]);
}

#[test]
fn commands_of_scripts_and_of_exec_are_counted() {
    let mut server = Server::start(1, &[("lua-dialect", "redis")]);
    eval(
        &mut server,
        "redis.call('set','a',1) redis.call('get','a') redis.pcall('incr','a') redis.pcall('lpush','a',1)
         redis.pcall('nosuch') redis.pcall('get') return 1",
    );
    for script in [
        "redis.call('lpush','a',1)",
        "return redis.error_reply('MY own')",
        "error('lua')",
    ] {
        eval(&mut server, script);
    }
    let mut client = server.connect(0);
    for line in ["MULTI", "set b 1", "lpush b 1", "get b", "EXEC"] {
        server.reply(&mut client, line);
    }
    let expected = [
        ("set", [2, 0, 0]),
        ("get", [2, 1, 0]),
        ("eval", [4, 0, 3]),
        ("incr", [1, 0, 0]),
        ("multi", [1, 0, 0]),
        ("exec", [1, 0, 0]),
        ("lpush", [3, 0, 3]),
    ];
    for (command, wanted) in expected {
        assert_eq!(counts(&mut server, command), wanted, "{command}");
    }
    let errors = info(&mut server, "errorstats");
    for line in [
        "errorstat_ERR:count=3",
        "errorstat_MY:count=1",
        "errorstat_WRONGTYPE:count=3",
    ] {
        assert!(errors.lines().any(|shown| shown == line), "{errors}");
    }
    // The requests of this test, and what scripts and EXEC ran.
    let processed = server.shared.observer.totals().commands_processed;
    assert_eq!(processed, (4 + 5) + (1 + 3 + 1) + 7 + 1);
}

#[test]
fn scripts_in_exec_are_counted_as_outside() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    server.reply(&mut client, "MULTI");
    for script in [
        "redis.call('set', KEYS[1], 1)",
        "local n = 0 for i = 1, 2e6 do n = n + i end redis.call('get', KEYS[1])",
        "redis.call('lpush', KEYS[1], 1)",
        "redis.rollback({err = 'OUT of here'})",
    ] {
        server.run(&mut client, &[b"EVAL", script.as_bytes(), b"1", b"k"]);
    }
    server.run_to_end(&mut client, &[b"EXEC"]);
    assert_eq!(counts(&mut server, "eval"), [4, 0, 2]);
    assert_eq!(counts(&mut server, "lpush"), [1, 0, 1]);
    assert_eq!(counts(&mut server, "exec"), [1, 0, 0]);
    let errors = info(&mut server, "errorstats");
    assert!(errors.contains("errorstat_WRONGTYPE:count=1"), "{errors}");
    assert!(errors.contains("errorstat_OUT:count=1"), "{errors}");
}

#[test]
fn keys_count_once_they_are_committed() {
    let mut server = Server::start(2, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(1));
    let keyspace = |server: &mut Server| {
        let info = info(server, "keyspace");
        let lines = info.lines().filter(|line| line.starts_with("db"));
        let without_ttl =
            lines.map(|line| line.split(",avg_ttl").next().unwrap_or(line).to_owned());
        without_ttl.collect::<Vec<_>>().join(" ")
    };
    server.reply(&mut other, "MSET a 1 b 2");
    server.reply(&mut other, "SET volatile 1 EX 1000");
    assert_eq!(keyspace(&mut server), "db0:keys=3,expires=1");
    let script = "redis.call('SET', KEYS[1], 1, 'EX', 1000) redis.call('DEL', KEYS[2]) redis.call('PERSIST', KEYS[3])
        local n = 0 while n < tonumber(ARGV[1]) do n = n + 1 end if ARGV[2] then error('over') end";
    let mut request: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), b"3", b"new", b"a", b"volatile"];
    request.push(b"100000000");
    assert_eq!(server.run(&mut slow, &request).0, Flow::Parked);
    server.reply(&mut other, "SET c 1");
    assert_eq!(keyspace(&mut server), "db0:keys=4,expires=1");
    server.shared.running.kill(false, u64::MAX, 1);
    server.run_to_end(&mut slow, &[b"PING"]);
    let tokens = server.workers[0].take_runnable();
    for token in tokens {
        assert_eq!(
            server.workers[0].resume(token, &mut slow, &mut Vec::new()),
            Flow::Done
        );
    }
    assert_eq!(keyspace(&mut server), "db0:keys=4,expires=1", "rolled back");
    request[6] = b"3000000";
    server.run_to_end(&mut slow, &request);
    assert_eq!(keyspace(&mut server), "db0:keys=4,expires=1");
    assert_eq!(
        server.reply(&mut other, "EXISTS new a"),
        ":1\r\n",
        "committed"
    );
    for line in ["SELECT 1", "SWAPDB 0 1", "MOVE b 0", "FLUSHDB"] {
        server.reply(&mut other, line);
    }
    assert_eq!(keyspace(&mut server), "db0:keys=1,expires=0");
}
