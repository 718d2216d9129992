//! Scripts that take back what they did, in a whole server.

use super::testing::{Party, Server, words};
use super::worker::Flow;

const A: usize = 0;
const B: usize = 1;

fn eval(server: &mut Server, script: &str, keys: &[&str]) -> String {
    let mut client = server.connect(0);
    let count = keys.len().to_string();
    let mut request = vec![&b"EVAL"[..], script.as_bytes(), count.as_bytes()];
    request.extend(keys.iter().map(|key| key.as_bytes()));
    server.run_to_end(&mut client, &request)
}

fn line(server: &mut Server, line: &str) -> String {
    let mut client = server.connect(0);
    server.reply(&mut client, line)
}

#[test]
fn a_rollback_leaves_nothing_and_answers() {
    let mut server = Server::start(1, &[]);
    line(&mut server, "RPUSH list a b");
    let script = "redis.call('SET', KEYS[1], 'x') redis.call('LPOP', KEYS[2])
        redis.rollback({redis.call('LLEN', KEYS[2]), redis.call('GET', KEYS[1])})";
    for keys in [&["new", "list"][..], &["new", "list", "other"]] {
        assert_eq!(eval(&mut server, script, keys), "*2\r\n:1\r\n$1\r\nx\r\n");
    }
    let undeclared = script
        .replace("KEYS[1]", "'new'")
        .replace("KEYS[2]", "'list'");
    for keys in [&[][..], &["third"]] {
        assert_eq!(
            eval(&mut server, &undeclared, keys),
            "*2\r\n:1\r\n$1\r\nx\r\n"
        );
    }
    assert_eq!(line(&mut server, "EXISTS new"), ":0\r\n");
    assert_eq!(line(&mut server, "LLEN list"), ":2\r\n");
    // Nobody holds anything any more.
    assert_eq!(server.shared.locks.stats().held, 0);
    assert_eq!(line(&mut server, "FLUSHALL"), "+OK\r\n");
}

#[test]
fn effects_are_taken_back_with_the_changes() {
    let mut party = Party::of(2, 1);
    let heard = |party: &mut Party| String::from_utf8_lossy(&party.hear(B)).replace("\r\n", " ");
    let run = |party: &mut Party, script: &str| {
        party.run(A, &[b"EVAL", script.as_bytes(), b"1", b"key"]);
        party.finish(A);
        party.hear(A);
        heard(party)
    };
    party.run(A, &words("CONFIG SET notify-keyspace-events KEA"));
    party.run(B, &words("PSUBSCRIBE *"));
    heard(&mut party);
    let whole = "redis.call('SET', KEYS[1], 'x') redis.call('PUBLISH', 'c', 'm') redis.rollback(1)";
    assert_eq!(run(&mut party, whole), "");
    let part = "redis.call('PUBLISH', 'c', 'first') local s = redis.savepoint()
        redis.call('SET', KEYS[1], 'x') redis.call('PUBLISH', 'c', 'second')
        redis.rollback_to(s) redis.call('PUBLISH', 'c', 'third')";
    let told = run(&mut party, part);
    assert!(told.contains("first") && told.contains("third"), "{told}");
    assert!(!told.contains("second") && !told.contains("key"), "{told}");
}

#[test]
fn inside_exec_a_script_takes_back_its_own_part() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let whole =
        "redis.call('SET', KEYS[1], 'x') redis.call('INCR', KEYS[2]) redis.rollback('back')";
    let part = "redis.call('INCR', KEYS[2]) local s = redis.savepoint()
        redis.call('INCRBY', KEYS[2], 10) redis.call('SET', KEYS[1], 'x') redis.rollback_to(s) return 'part'";
    server.reply(&mut client, "MULTI");
    server.reply(&mut client, "INCR n");
    for script in [whole, part] {
        server.run(
            &mut client,
            &[b"EVAL", script.as_bytes(), b"2", b"new", b"n"],
        );
    }
    server.reply(&mut client, "INCR n");
    let replies = server.run_to_end(&mut client, &[b"EXEC"]);
    assert_eq!(replies, "*4\r\n:1\r\n$4\r\nback\r\n$4\r\npart\r\n:3\r\n");
    assert_eq!(server.reply(&mut client, "EXISTS new"), ":0\r\n");
}

/// A savepoint means something only in the run that made it: a script that starts again makes new ones.
#[test]
fn a_rerun_has_savepoints_of_its_own() {
    let mut server = Server::start(1, &[]);
    let (mut first, mut holder) = (server.connect(0), server.connect(0));
    let endless = "while true do end";
    let mut keys = ["a", "b", "c", "d", "e", "f"];
    let fingerprint = |key: &&str| server.shared.keyspace.fingerprint(0, key.as_bytes());
    keys.sort_by_key(fingerprint);
    let [low, .., high] = keys;
    // Another script holds the lower key: the one that holds the higher cannot wait for it in order.
    let held: [&[u8]; 4] = [b"EVAL", endless.as_bytes(), b"1", low.as_bytes()];
    assert_eq!(server.run(&mut holder, &held).0, Flow::Parked);
    let script = "local s = redis.savepoint() redis.call('SET', KEYS[1], 'x')
        redis.pcall('GET', ARGV[1]) redis.rollback_to(s) return redis.call('EXISTS', KEYS[1])";
    let request: [&[u8]; 5] = [
        b"EVAL",
        script.as_bytes(),
        b"1",
        high.as_bytes(),
        low.as_bytes(),
    ];
    assert_eq!(server.run(&mut first, &request).0, Flow::Parked);
    assert_eq!(server.shared.observer.totals().script_reruns, 1);
    server.shared.running.kill(false, u64::MAX, 1);
    let mut replies = Vec::new();
    for _ in 0..100 {
        let worker = &mut server.workers[0];
        let mut tokens = worker.take_runnable();
        while let Some(super::Message::Wake(token)) = worker.shared.host.mailboxes[0].pop() {
            tokens.push(token);
        }
        worker.begin_pass();
        for token in tokens {
            for client in [&mut first, &mut holder] {
                if client.parked == Some(token) {
                    worker.resume(token, client, &mut replies);
                }
            }
        }
        worker.end_pass().expect("a healthy journal");
    }
    let replies = String::from_utf8_lossy(&replies);
    assert!(replies.ends_with(":0\r\n"), "{replies}");
}

#[test]
fn the_first_line_bounds_time_and_instructions() {
    let mut server = Server::start(1, &[]);
    let slow = "#!lua timeout=5\nredis.call('SET', KEYS[1], 'x') while true do end";
    let reply = eval(&mut server, slow, &["key"]);
    let begin = "-ERR Script killed: it ran for longer than the timeout of its first line (5 ms). Nothing it did was applied.";
    assert!(reply.starts_with(begin), "{reply}");
    line(&mut server, "CONFIG SET script-timeout 3");
    let reply = eval(&mut server, slow, &["key"]);
    assert!(
        reply.contains("longer than script-timeout (3 ms)"),
        "{reply}"
    );
    line(&mut server, "CONFIG SET script-timeout 60000");
    let counted =
        "#!lua max-instructions=5000\nredis.call('SET', KEYS[1], 'x')\nwhile true do\nend";
    let first = eval(&mut server, counted, &["key"]);
    let text = "-ERR Script killed: it has used up its max-instructions (5000). Nothing it did was applied. script: ";
    assert!(
        first.starts_with(text) && first.ends_with("@user_script:3.\r\n"),
        "{first}"
    );
    assert_eq!(eval(&mut server, counted, &["key"]), first);
    assert_eq!(line(&mut server, "EXISTS key"), ":0\r\n");
}

/// The time limit of a script ends its wait for a key, declared or not, and what it did before is taken back.
#[test]
fn a_wait_for_keys_ends_with_the_time_limit() {
    let mut server = Server::start(2, &[]);
    let (mut slow, mut other) = (server.connect(0), server.connect(1));
    let endless = "redis.call('SET', KEYS[1], 'x') while true do end";
    let request: [&[u8]; 4] = [b"EVAL", endless.as_bytes(), b"1", b"zz"];
    assert_eq!(server.run(&mut slow, &request).0, Flow::Parked);
    let waits = "redis.call('SET', KEYS[1], 'mine') redis.call('GET', 'zz') return 1";
    let short = format!("#!lua timeout=5\n{waits}");
    for (key, script, says) in [
        ("zz", waits, "script-timeout (10 ms)"),
        ("zz", &short, "the timeout of its first line (5 ms)"),
        // Where the other key is above this one, the script waits in the middle of its run.
        ("a", waits, "script-timeout (10 ms)"),
        ("b", waits, "script-timeout (10 ms)"),
        ("c", waits, "script-timeout (10 ms)"),
    ] {
        line(&mut server, "CONFIG SET script-timeout 10");
        let request: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"1", key.as_bytes()];
        assert_eq!(server.run(&mut other, &request).0, Flow::Parked);
        assert!(server.workers[1].until_due().is_some());
        std::thread::sleep(std::time::Duration::from_millis(11));
        let reply = server.resume_due(&mut other).expect("it is due");
        let begin = format!(
            "-ERR Script killed: it waited for its keys for longer than {says}. Nothing it did was applied."
        );
        assert!(reply.starts_with(&begin), "{reply}");
        assert_eq!(server.workers[1].parked(), 0);
        let locks = server.shared.locks.stats();
        assert_eq!((locks.held, locks.waiting), (1, 0), "the slow one's alone");
        if key != "zz" {
            assert_eq!(line(&mut server, &format!("EXISTS {key}")), ":0\r\n");
        }
    }
    // A longer limit in the meantime lets it wait on.
    let request: [&[u8]; 4] = [b"EVAL", waits.as_bytes(), b"1", b"zz"];
    assert_eq!(server.run(&mut other, &request).0, Flow::Parked);
    line(&mut server, "CONFIG SET script-timeout 600000");
    std::thread::sleep(std::time::Duration::from_millis(11));
    let token = other.parked.expect("it waits");
    let flow = server.workers[1].resume(token, &mut other, &mut Vec::new());
    assert_eq!(flow, Flow::Parked);
    let Some(token) = slow.parked else {
        unreachable!("it is endless")
    };
    server.shared.running.kill(false, u64::MAX, 1);
    server.workers[0].resume(token, &mut slow, &mut Vec::new());
    let mut out = Vec::new();
    while let Some(message) = server.message(1) {
        if let super::Message::Wake(token) = message {
            server.workers[1].resume(token, &mut other, &mut out);
        }
    }
    assert_eq!(out, b":1\r\n");
}

/// Two shards are inside scripts that read the same key; one that writes waits for both.
#[test]
fn scripts_that_read_share_their_keys() {
    let mut server = Server::start(2, &[]);
    let (mut slow, mut other, mut writer) =
        (server.connect(0), server.connect(1), server.connect(1));
    line(&mut server, "SET key value");
    let reads =
        "#!lua flags=no-writes\nlocal v = redis.call('GET', KEYS[1]) while ARGV[1] do end return v";
    let request: [&[u8]; 5] = [b"EVAL", reads.as_bytes(), b"1", b"key", b"endless"];
    assert_eq!(server.run(&mut slow, &request).0, Flow::Parked);
    assert_eq!(server.shared.locks.stats().held, 1);
    let plain = "return redis.call('GET', KEYS[1])";
    for request in [
        [b"EVAL", reads.as_bytes(), b"1", b"key"],
        [&b"EVAL_RO"[..], plain.as_bytes(), b"1", b"key"],
    ] {
        let (flow, reply) = server.run(&mut other, &request);
        assert_eq!((flow, reply.as_str()), (Flow::Done, "$5\r\nvalue\r\n"));
    }
    // The first is still in the middle of its run.
    assert!(server.workers[0].started_scripts());
    let writes = "return redis.call('SET', KEYS[1], 'new')";
    let request: [&[u8]; 4] = [b"EVAL", writes.as_bytes(), b"1", b"key"];
    assert_eq!(server.run(&mut writer, &request).0, Flow::Parked);
    server.shared.running.kill(false, u64::MAX, 1);
    server.run_to_end(&mut slow, &[b"PING"]);
    for token in server.workers[0].take_runnable() {
        let mut out = Vec::new();
        server.workers[0].resume(token, &mut slow, &mut out);
        assert!(out.starts_with(b"-ERR Script killed"));
    }
    let mut out = Vec::new();
    while let Some(message) = server.message(1) {
        if let super::Message::Wake(token) = message {
            server.workers[1].resume(token, &mut writer, &mut out);
        }
    }
    assert_eq!(out, b"$2\r\nOK\r\n");
}
