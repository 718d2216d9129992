//! Sessions of the debugger beside other clients.

use super::client::Client;
use super::testing::{Server, words};
use super::worker::Flow;

const SCRIPT: &str =
    "redis.call('SET', KEYS[1], 'x')\nredis.call('SET', 'undeclared', 'x')\nreturn 'end'";

/// A session that has gone to the third line.
fn session(server: &mut Server, mode: &str) -> Client {
    let mut user = server.connect(0);
    assert_eq!(
        server.reply(&mut user, &format!("SCRIPT DEBUG {mode}")),
        "+OK\r\n"
    );
    let (flow, told) = server.run(&mut user, &[b"EVAL", SCRIPT.as_bytes(), b"1", b"declared"]);
    assert_eq!(flow, Flow::Done, "the client has the word");
    assert!(
        told.contains("* Stopped at 1, stop reason = step over"),
        "{told}"
    );
    for line in ["2", "3"] {
        let told = server.reply(&mut user, "step");
        assert!(told.contains(&format!("* Stopped at {line}")), "{told}");
    }
    user
}

fn values(server: &mut Server) -> [String; 2] {
    let mut other = server.connect(1);
    ["declared", "undeclared"].map(|key| server.reply(&mut other, &format!("GET {key}")))
}

const NOTHING: [&str; 2] = ["$-1\r\n", "$-1\r\n"];
const BOTH: [&str; 2] = ["$1\r\nx\r\n", "$1\r\nx\r\n"];

#[test]
fn yes_takes_back_and_sync_commits() {
    for (mode, left) in [("YES", NOTHING), ("SYNC", BOTH)] {
        let mut server = Server::start(2, &[]);
        let mut user = session(&mut server, mode);
        let (flow, told) = server.run(&mut user, &words("continue"));
        assert_eq!(flow, Flow::Close);
        assert_eq!(told, "*1\r\n+<endsession>\r\n$3\r\nend\r\n");
        assert_eq!(values(&mut server), left, "{mode}");
    }
}

#[test]
fn others_go_on_while_a_script_stands_still() {
    for shard in [0, 1] {
        let mut server = Server::start(2, &[]);
        let mut user = session(&mut server, "SYNC");
        let mut other = server.connect(shard);
        assert_eq!(server.reply(&mut other, "SET free x"), "+OK\r\n");
        let script = [
            &b"EVAL"[..],
            b"return redis.call('GET', KEYS[1])",
            b"1",
            b"free",
        ];
        assert_eq!(server.run_to_end(&mut other, &script), "$1\r\nx\r\n");
        // What the session holds is held until its end.
        let (flow, _) = server.run(&mut other, &words("GET declared"));
        assert_eq!(flow, Flow::Parked);
        let token = other.parked.expect("it waits");
        let worker = &mut server.workers[shard as usize];
        worker.look_for_busy();
        let waiting = worker.busy_waiters();
        assert_eq!(
            waiting,
            [(token, other.conn)],
            "it is told that the key is busy"
        );
        let (flow, _) = server.run(&mut user, &words("c"));
        assert_eq!(flow, Flow::Close);
        let mut out = Vec::new();
        server.workers[shard as usize].resume(token, &mut other, &mut out);
        assert_eq!(out, b"$1\r\nx\r\n");
    }
}

#[test]
fn a_client_that_goes_away_takes_everything_back() {
    let mut server = Server::start(2, &[]);
    let mut user = session(&mut server, "SYNC");
    assert!(
        server.workers[0].abandon(&mut user),
        "nothing runs that has to end first"
    );
    assert_eq!(values(&mut server), NOTHING);
    assert_eq!(server.workers[0].parked(), 0);
}

#[test]
fn abort_and_kill_take_everything_back() {
    let mut server = Server::start(2, &[]);
    let mut user = session(&mut server, "SYNC");
    let (flow, told) = server.run(&mut user, &words("abort"));
    assert_eq!(flow, Flow::Close);
    let begin = "*1\r\n+<endsession>\r\n-ERR script aborted for user request script: ";
    assert!(told.starts_with(begin), "{told}");
    assert_eq!(values(&mut server), NOTHING);

    let mut user = session(&mut server, "SYNC");
    let mut other = server.connect(1);
    assert_eq!(server.reply(&mut other, "SCRIPT KILL"), "+OK\r\n");
    let token = user.session().expect("it stands still");
    let worker = &mut server.workers[0];
    assert_eq!(worker.due(), [token], "its end is due");
    let mut out = Vec::new();
    assert_eq!(worker.resume(token, &mut user, &mut out), Flow::Close);
    let told = String::from_utf8(out).unwrap();
    assert!(told.contains("killed by user"), "{told}");
    assert_eq!(values(&mut server), NOTHING);
    let none = server.reply(&mut other, "SCRIPT KILL");
    assert!(none.starts_with("-NOTBUSY"), "{none}");
}

#[test]
fn standing_still_does_not_count_for_the_timeout() {
    let mut server = Server::start(1, &[("script-timeout", "50")]);
    let mut user = server.connect(0);
    server.reply(&mut user, "SCRIPT DEBUG YES");
    let slow = b"local n = 0\nfor i = 1, 300000 do n = n + 1 end\nreturn n";
    server.run(&mut user, &[b"EVAL", slow, b"0"]);
    std::thread::sleep(std::time::Duration::from_millis(120));
    let endless = server.run_to_end(&mut user, &[b"eval", b"1 + 1"]);
    assert!(endless.contains("<retval> 2"), "{endless}");
    let told = server.run_to_end(
        &mut user,
        &[
            b"eval",
            b"(function()",
            b"while",
            b"true",
            b"do",
            b"end",
            b"end)()",
        ],
    );
    assert!(
        told.contains("script-timeout"),
        "an errand is bounded too: {told}"
    );
}

#[test]
fn a_session_without_keys_holds_only_what_it_has_met() {
    let mut server = Server::start(2, &[]);
    let mut user = server.connect(0);
    server.reply(&mut user, "SCRIPT DEBUG SYNC");
    let script = b"redis.call('SET', 'met', 'x')\nreturn 1";
    server.run(&mut user, &[b"EVAL", script, b"0"]);
    server.reply(&mut user, "s");
    let mut other = server.connect(1);
    assert_eq!(server.reply(&mut other, "SET free x"), "+OK\r\n");
    assert_eq!(server.run(&mut other, &words("GET met")).0, Flow::Parked);
    let (flow, _) = server.run(&mut user, &words("c"));
    assert_eq!(flow, Flow::Close);
    let token = other.parked.expect("it waits");
    let mut out = Vec::new();
    server.workers[1].resume(token, &mut other, &mut out);
    assert_eq!(out, b"$1\r\nx\r\n", "SYNC commits");
}

/// A key below those that the session holds, and held by another, cannot be waited for in order.
#[test]
fn a_session_that_begins_again_says_so() {
    let mut server = Server::start(1, &[]);
    let mut holder = session(&mut server, "SYNC");
    let mut told = Vec::new();
    // Half of all keys are above `declared` in the order of locks: one of these is not.
    for number in 0..16 {
        let mut user = server.connect(0);
        server.reply(&mut user, "SCRIPT DEBUG YES");
        let key = format!("own{number}");
        let script = b"redis.call('SET', KEYS[1], 'x')\nreturn redis.call('GET', 'declared')";
        server.run(&mut user, &[b"EVAL", script, b"1", key.as_bytes()]);
        server.reply(&mut user, "s");
        let (flow, _) = server.run(&mut user, &words("s"));
        assert_eq!(flow, Flow::Parked, "it waits for the other session");
        told.push(user);
    }
    server.run(&mut holder, &words("c"));
    let mut restarted = 0;
    for mut user in told {
        let token = user.parked.expect("it waits");
        let mut out = Vec::new();
        let worker = &mut server.workers[0];
        worker.begin_pass();
        let flow = worker.resume(token, &mut user, &mut out);
        worker.end_pass().unwrap();
        let text = String::from_utf8(out).unwrap();
        if text.contains("it begins again") {
            assert!(
                text.contains("* Stopped at 1, stop reason = step over"),
                "{text}"
            );
            restarted += 1;
            worker.abandon(&mut user);
        } else {
            assert_eq!(flow, Flow::Close, "{text}");
            assert!(text.contains("<endsession>"), "{text}");
        }
    }
    assert!(restarted > 0, "some keys are above, some below");
}

#[test]
fn what_is_no_session_is_left_alone() {
    let mut server = Server::start(1, &[]);
    let mut user = server.connect(0);
    assert!(
        server
            .reply(&mut user, "SCRIPT DEBUG x")
            .starts_with("-ERR Use SCRIPT DEBUG")
    );
    server.reply(&mut user, "SCRIPT DEBUG YES");
    let refused = server.reply(&mut user, &format!("EVALSHA {} 0", "0".repeat(40)));
    assert_eq!(
        refused,
        "-ERR Please use EVAL instead of EVALSHA for debugging\r\n"
    );
    assert_eq!(server.reply(&mut user, "PING"), "+PONG\r\n");
    server.reply(&mut user, "SCRIPT DEBUG NO");
    assert_eq!(
        server.run(&mut user, &[b"EVAL", b"return 1", b"0"]),
        (Flow::Done, ":1\r\n".into())
    );
    // What never begins ends the session too.
    for (script, error) in [
        ("return )", "-ERR Error compiling"),
        ("#!x\n", "-ERR Unexpected engine"),
    ] {
        server.reply(&mut user, "SCRIPT DEBUG YES");
        let (flow, told) = server.run(&mut user, &[b"EVAL", script.as_bytes(), b"0"]);
        assert_eq!(flow, Flow::Close);
        assert!(
            told.starts_with(&format!("*1\r\n+<endsession>\r\n{error}")),
            "{told}"
        );
    }
}
