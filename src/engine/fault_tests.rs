//! What clients see when the disk is full, when it fails, and when a command panics.

use super::client::Client;
use super::testing::Server;
use aidb::fs::{Fault, FaultyFileSystem};
use aidb::{Durability, Options};

const WRITES: &str =
    "redis.call('SET', KEYS[1], 'script') redis.call('DEL', KEYS[2]) return 'done'";

fn server(fs: &FaultyFileSystem, durability: Durability) -> Server {
    let store = Options {
        fs: fs.mount(),
        background: false,
        durability,
        ..Options::default()
    };
    Server::start_on(store, 1, &[])
}

fn eval(server: &mut Server, client: &mut Client, script: &str, keys: &[&str]) -> String {
    let count = keys.len().to_string();
    let mut request: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), count.as_bytes()];
    request.extend(keys.iter().map(|key| key.as_bytes()));
    server.run_to_end(client, &request)
}

fn exec(server: &mut Server, client: &mut Client, lines: &[&str]) -> String {
    server.reply(client, "MULTI");
    for line in lines {
        assert_eq!(server.reply(client, line), "+QUEUED\r\n");
    }
    server.reply(client, "EXEC")
}

/// Writes until the disk is full; nothing of the write that is refused is there.
fn fill(server: &mut Server, client: &mut Client) {
    let big = "x".repeat(100_000);
    for n in 0.. {
        let reply = server.reply(client, &format!("SET filler:{n} {big}"));
        if reply != "+OK\r\n" {
            assert_misconf(&reply);
            assert_eq!(
                server.reply(client, &format!("EXISTS filler:{n}")),
                ":0\r\n"
            );
            return;
        }
        assert!(n < 10_000, "the disk has a bound");
    }
}

fn assert_misconf(reply: &str) {
    assert!(reply.starts_with("-MISCONF "), "{reply}");
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let fs = FaultyFileSystem::new(1);
    let mut server = server(&fs, Durability::EverySec);
    let mut client = server.connect(0);
    server.reply(&mut client, "SET stays before");
    fs.set_capacity(2 << 20);
    fill(&mut server, &mut client);

    let big = "y".repeat(200_000);
    let reply = server.reply(&mut client, &format!("SET stays {big}"));
    assert_misconf(&reply);
    let huge = format!("redis.call('SET', KEYS[1], string.rep('z', 200000)) {WRITES}");
    assert_misconf(&eval(&mut server, &mut client, &huge, &["stays", "stays"]));
    let lines = [format!("SET new {big}"), "DEL stays".to_owned()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_misconf(&exec(&mut server, &mut client, &lines));

    assert_eq!(server.reply(&mut client, "GET stays"), "$6\r\nbefore\r\n");
    assert_eq!(server.reply(&mut client, "EXISTS new"), ":0\r\n");

    fs.set_capacity(u64::MAX);
    assert_eq!(server.reply(&mut client, "SET stays after"), "+OK\r\n");
    assert_eq!(
        eval(&mut server, &mut client, WRITES, &["other", "stays"]),
        "$4\r\ndone\r\n"
    );
    assert_eq!(server.reply(&mut client, "EXISTS stays other"), ":1\r\n");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let fs = FaultyFileSystem::new(2);
    let mut server = server(&fs, Durability::Always);
    let mut client = server.connect(0);
    assert_eq!(server.reply(&mut client, "SET key before"), "+OK\r\n");
    server.shared.journal.flush().expect("the disk is well");

    // The next operations are the write of the commit and its sync.
    fs.set_fault(fs.operations() + 1, Fault::Fail);
    let mut out = Vec::new();
    let worker = &mut server.workers[0];
    worker.begin_pass();
    let set: [&[u8]; 3] = [b"SET", b"key", b"lost"];
    worker.command(&mut client, crate::resp::Args::from_slices(&set), &mut out);
    let held = worker.end_pass().expect("the sync has yet to fail");
    assert!(held.is_some(), "the reply waits for the sync");
    assert!(server.shared.journal.flush().is_err());

    assert!(server.shared.journal.synced() < held.unwrap_or_default());
    let (worker, mut out) = (&mut server.workers[0], Vec::new());
    worker.begin_pass();
    let set: [&[u8]; 3] = [b"SET", b"key", b"later"];
    worker.command(&mut client, crate::resp::Args::from_slices(&set), &mut out);
    assert_misconf(&String::from_utf8_lossy(&out));
    out.clear();
    let get: [&[u8]; 2] = [b"GET", b"key"];
    worker.command(&mut client, crate::resp::Args::from_slices(&get), &mut out);
    assert!(out.starts_with(b"$"), "reads go on");
}

#[test]
fn a_command_that_panics_leaves_nothing() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    server.reply(&mut client, "SET key before");
    let error = server.reply(&mut client, "PANICS key");
    assert!(error.starts_with("-ERR internal error"), "{error}");
    assert_eq!(server.reply(&mut client, "GET key"), "$6\r\nbefore\r\n");

    let replies = exec(
        &mut server,
        &mut client,
        &["SET a 1", "PANICS key", "SET b 2"],
    );
    assert!(
        replies.starts_with("*3\r\n+OK\r\n-ERR internal error"),
        "{replies}"
    );
    assert_eq!(
        server.reply(&mut client, "MGET key a b"),
        "*3\r\n$6\r\nbefore\r\n$1\r\n1\r\n$1\r\n2\r\n"
    );

    let script = "redis.call('SET', KEYS[2], 'script') return redis.call('PANICS', KEYS[1])";
    let error = eval(&mut server, &mut client, script, &["key", "c"]);
    assert!(error.contains("internal error"), "{error}");
    assert_eq!(
        server.reply(&mut client, "MGET key c"),
        "*2\r\n$6\r\nbefore\r\n$-1\r\n"
    );
}
