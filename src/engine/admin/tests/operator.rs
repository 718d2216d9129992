use crate::engine::testing::Server;
use crate::engine::{Flow, Message};
use crate::resp::Args;
use std::time::Duration;

#[test]
fn a_slow_command_is_kept_shortened() {
    let mut server = Server::start(
        1,
        &[("slowlog-log-slower-than", "0"), ("slowlog-max-len", "2")],
    );
    let mut client = server.connect(0);
    server.reply(&mut client, "CLIENT SETNAME me");
    server.run(&mut client, &[b"ECHO", &[b'x'; 130]]);
    server.run(&mut client, &[b"NOSUCH".as_slice(); 2]);
    server.run(
        &mut client,
        &[&[b"MGET".as_slice()], &[b"k".as_slice(); 40][..]].concat(),
    );
    let log = server.reply(&mut client, "SLOWLOG GET");
    let cut = format!("$146\r\n{}... (2 more bytes)\r\n", "x".repeat(128));
    assert!(
        log.starts_with("*2\r\n*6\r\n:2\r\n"),
        "the newest first: {log}"
    );
    assert!(log.contains("*32\r\n$4\r\nMGET\r\n"), "{log}");
    assert!(
        log.contains("$23\r\n... (10 more arguments)\r\n$15\r\n127.0.0.1:50001\r\n$2\r\nme\r\n"),
        "{log}"
    );
    assert!(log.contains(&cut), "{log}");
    assert_eq!(server.reply(&mut client, "SLOWLOG RESET"), "+OK\r\n");
    server.reply(&mut client, "CONFIG SET requirepass secret");
    let log = server.reply(&mut client, "SLOWLOG GET 1");
    assert!(
        log.contains("$11\r\nrequirepass\r\n$10\r\n(redacted)\r\n") && !log.contains("secret"),
        "{log}"
    );
}

#[test]
fn sleeping_parks_one_client_only() {
    let mut server = Server::start(1, &[]);
    let (mut client, mut other) = (server.connect(0), server.connect(0));
    assert_eq!(
        server.run(&mut client, &[b"DEBUG", b"SLEEP", b"0.02"]).0,
        Flow::Parked
    );
    assert_eq!(server.reply(&mut other, "PING"), "+PONG\r\n");
    assert_eq!(server.resume_due(&mut client), None);
    std::thread::sleep(Duration::from_millis(25));
    assert_eq!(server.resume_due(&mut client).as_deref(), Some("+OK\r\n"));
    server.reply(&mut client, "MULTI");
    let refused = "-ERR Command not allowed inside a transaction\r\n";
    assert_eq!(server.reply(&mut client, "DEBUG SLEEP 1"), refused);
}

#[test]
fn saving_waits_for_the_disk() {
    let mut server = Server::start(1, &[("durability", "no")]);
    let mut client = server.connect(0);
    server.reply(&mut client, "SET a 1");
    let journal = &server.shared.journal;
    let appended = journal.appended();
    let worker = &mut server.workers[0];
    let (mut out, request) = (Vec::new(), [b"SAVE".as_slice()]);
    worker.begin_pass();
    worker.command(&mut client, Args::from_slices(&request), &mut out);
    let barrier = worker.end_pass().expect("a healthy journal");
    // The sync thread may have been there first.
    assert!(barrier == Some(appended) || journal.synced() >= appended);
    assert_eq!(out, b"+OK\r\n");
    assert_eq!(
        worker.end_pass().expect("a healthy journal"),
        None,
        "the next pass waits for nothing"
    );
    assert_eq!(
        server.reply(&mut client, "BGSAVE SCHEDULE"),
        "+Background saving started\r\n"
    );
    let rewriting = server.reply(&mut client, "BGREWRITEAOF");
    assert_eq!(
        rewriting,
        "+Background append only file rewriting started\r\n"
    );
}

#[test]
fn a_shutdown_tells_every_shard() {
    let mut server = Server::start(2, &[]);
    let mut client = server.connect(1);
    assert_eq!(
        server.run(&mut client, &[b"SHUTDOWN", b"NOSAVE"]),
        (Flow::Close, String::new())
    );
    assert!(
        server
            .shared
            .stopping
            .load(std::sync::atomic::Ordering::SeqCst)
    );
    for shard in 0..2 {
        assert!(matches!(server.message(shard), Some(Message::Shutdown)));
    }
}

#[test]
fn an_untouched_key_stays_idle() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    server.reply(&mut client, "SET a 1");
    server.reply(&mut client, "CLIENT NO-TOUCH on");
    let idle_after_get = |server: &mut Server, client: &mut _| {
        // An hour later.
        server.workers[0].begin_pass();
        server.workers[0].now_ms += 3_600_000;
        let mut out = Vec::new();
        for request in [&[b"GET".as_slice(), b"a"][..], &[b"DEBUG", b"OBJECT", b"a"]] {
            out.clear();
            server.workers[0].command(client, Args::from_slices(request), &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let idle = idle_after_get(&mut server, &mut client);
    assert!(
        idle.ends_with("lru_seconds_idle:3600\r\n") || idle.ends_with("lru_seconds_idle:3601\r\n"),
        "{idle}"
    );
    server.reply(&mut client, "CLIENT NO-TOUCH off");
    let idle = idle_after_get(&mut server, &mut client);
    assert!(idle.ends_with("lru_seconds_idle:0\r\n"), "{idle}");
}

/// The titles of INFO's sections, all of them.
const SECTIONS: &str = "Server Clients Memory Persistence Storage Stats Replication CPU Modules Commandstats Errorstats \
    Latencystats Cluster Keyspace Shards Scripting Locks";
/// Lines of INFO after the requests below.
const INFO_LINES: &str = "redis_version:7.2.4 connected_clients:1 aof_enabled:1 role:master cluster_enabled:0 \
    db3:keys=1,expires=0,avg_ttl=0 errorstat_ERR:count=2 journal_appended:3 \
    keyspace_hits:1 keyspace_misses:1 expired_keys:0 expired_subkeys:0";

#[test]
fn info_tells_what_happened() {
    let mut server = Server::start(2, &[]);
    let mut client = server.connect(1);
    for line in [
        "SET a 1",
        "SET b 2 EX 100",
        "SELECT 3",
        "SET c 3",
        "STRLEN c",
        "STRLEN none",
        "GET",
        "NOSUCH",
    ] {
        server.reply(&mut client, line);
    }
    let info = server.reply(&mut client, "INFO everything");
    let shown: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    assert_eq!(shown.join(" "), SECTIONS);
    for line in INFO_LINES.split(' ') {
        assert!(
            info.lines().any(|shown| shown == line),
            "{line} is not in {info}"
        );
    }
    let ttl_ms = info.split_once("db0:keys=2,expires=1,avg_ttl=");
    let ttl_ms = ttl_ms.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    assert!(ttl_ms.is_some_and(|ms: u64| ms > 90_000 && ms <= 100_000));
    assert!(
        info.contains("cmdstat_set:calls=3,") && info.contains("cmdstat_get:calls=0,"),
        "{info}"
    );
    assert!(!server.reply(&mut client, "INFO").contains("# Commandstats"));
    let histogram = server.reply(&mut client, "LATENCY HISTOGRAM set");
    assert!(histogram.starts_with("*2\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:3\r\n"));
    server.reply(&mut client, "CONFIG RESETSTAT");
    assert!(
        !server
            .reply(&mut client, "INFO everything")
            .contains("cmdstat_set")
    );
}

#[test]
fn a_push_comes_before_the_reply() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let refused = "-ERR RESP2 is not supported by this command\r\n";
    assert_eq!(server.reply(&mut client, "DEBUG PROTOCOL push"), refused);
    server.reply(&mut client, "HELLO 3");
    let pushed = server.reply(&mut client, "DEBUG PROTOCOL push");
    assert!(
        pushed.starts_with(">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\n"),
        "{pushed}"
    );
}

#[test]
fn memory_is_measured() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let value = vec![b'x'; 100_000];
    server.run(&mut client, &[b"SET", b"large", &value]);
    let usage = server.reply(&mut client, "MEMORY USAGE large");
    let bytes: usize = usage
        .trim_start_matches(':')
        .trim_end()
        .parse()
        .expect("a number");
    assert!((100_000..110_000).contains(&bytes), "{bytes}");
    let stats = server.reply(&mut client, "MEMORY STATS");
    assert!(stats.contains("$10\r\nkeys.count\r\n:1\r\n"), "{stats}");
    assert!(
        server
            .reply(&mut client, "MEMORY MALLOC-STATS")
            .contains("jemalloc")
    );
}

#[test]
fn a_setting_is_changed_for_good_or_not_at_all() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let failed = server.reply(&mut client, "CONFIG SET timeout 7 maxmemory x");
    assert!(
        failed.starts_with("-ERR CONFIG SET failed (possibly related to argument 'maxmemory')"),
        "{failed}"
    );
    assert_eq!(
        server.reply(&mut client, "CONFIG GET timeout"),
        "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"
    );
}

#[test]
fn slow_commands_enter_the_latency_history() {
    let mut server = Server::start(1, &[("latency-monitor-threshold", "10")]);
    let mut client = server.connect(0);
    let registry = &server.shared.registry;
    for (name, took_ms) in [("get", 30), ("set", 9), ("set", 12)] {
        let entry = registry.get(name.as_bytes()).expect("a command");
        let args = Args::from_slices(&[b"x"]);
        server.workers[0].note_duration(entry, &client, &args, Duration::from_millis(took_ms));
    }
    let latest = server.reply(&mut client, "LATENCY LATEST");
    assert!(
        latest.starts_with("*2\r\n*4\r\n$7\r\ncommand\r\n:"),
        "{latest}"
    );
    assert!(
        latest.contains("\r\n:12\r\n:12\r\n*4\r\n$12\r\nfast-command\r\n:"),
        "{latest}"
    );
    let graph = server.reply(&mut client, "LATENCY GRAPH fast-command");
    assert!(
        graph.contains("fast-command - high 30 ms, low 30 ms (all time high 30 ms)\n"),
        "{graph}"
    );
    assert_eq!(server.reply(&mut client, "LATENCY RESET command"), ":1\r\n");
    assert!(
        server
            .reply(&mut client, "LATENCY HISTORY fast-command")
            .starts_with("*1\r\n*2\r\n:")
    );
}
