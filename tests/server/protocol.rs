//! The connection itself, well treated and not, and the process around it.

use super::harness::{Server, bulk, error_text, get, ok, run_to_end};
use crate::common::resp::{Reply, encode};
use crate::common::rng::Rng;
use std::time::Duration;

#[test]
fn a_request_may_arrive_in_any_two_pieces() {
    /// So that the pieces do not arrive as one.
    const BETWEEN: Duration = Duration::from_millis(2);
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut requests = encode(&["SET", "key", "a\r\nvalue"]);
    requests.extend(encode(&["GET", "key"]));
    requests.extend(b"DEL key\r\n");
    for at in 1..requests.len() {
        client.send_bytes(&requests[..at]);
        std::thread::sleep(BETWEEN);
        client.send_bytes(&requests[at..]);
        assert_eq!(client.receive().reply, ok(), "split at {at}");
        assert_eq!(client.receive().reply, bulk("a\r\nvalue"), "split at {at}");
        assert_eq!(client.receive().reply, Reply::Integer(1), "split at {at}");
    }
    for byte in requests {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.receive().reply, ok());
    assert_eq!(client.receive().reply, bulk("a\r\nvalue"));
    assert_eq!(client.receive().reply, Reply::Integer(1));
}

#[test]
fn a_deep_pipeline_is_answered_in_order() {
    const DEPTH: i64 = 10_000;
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send_bytes(&encode(&["INCR", "n"]).repeat(DEPTH as usize));
    for n in 1..=DEPTH {
        assert_eq!(client.receive().reply, Reply::Integer(n));
    }
}

#[test]
fn a_pipeline_of_scripts_and_commands_keeps_its_order() {
    const ROUNDS: usize = 300;
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut requests = Vec::new();
    for n in 0..ROUNDS {
        let n = n.to_string();
        requests.extend(encode(&["SET", "key", &n]));
        requests.extend(encode(&[
            "EVAL",
            "return redis.call('GET', KEYS[1])",
            "1",
            "key",
        ]));
        requests.extend(encode(&["EVAL", "return redis.call('GET', 'key')", "0"]));
        requests.extend(encode(&["GET", "key"]));
    }
    client.send_bytes(&requests);
    for n in 0..ROUNDS {
        assert_eq!(client.receive().reply, ok());
        for _ in 0..3 {
            assert_eq!(client.receive().reply, bulk(n.to_string()));
        }
    }
}

#[test]
fn commands_may_be_typed() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send_bytes(
        b"PING\r\nset key \"two \\x77ords\"\r\nGET key\nEXISTS key 'no such'\r\n\r\nPING typed\r\n",
    );
    assert_eq!(client.receive().reply, Reply::Simple("PONG".into()));
    assert_eq!(client.receive().reply, ok());
    assert_eq!(client.receive().reply, bulk("two words"));
    assert_eq!(client.receive().reply, Reply::Integer(1));
    assert_eq!(client.receive().reply, bulk("typed"));
}

#[test]
fn a_large_value_comes_back_as_it_was() {
    const LEN: usize = 20 << 20;
    let mut server = Server::start(&[]);
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_LARGE_SEED"));
    let value: Vec<u8> = (0..LEN / 8)
        .flat_map(|_| rng.next().to_le_bytes())
        .collect();
    let mut client = server.client();
    assert_eq!(
        client.call(&[b"SET".as_slice(), b"large", &value]).reply,
        ok()
    );
    assert!(
        get(&mut client, "large") == bulk(value.clone()),
        "another value came back"
    );
    server.kill9();
    server.restart();
    assert!(
        get(&mut server.client(), "large") == bulk(value),
        "another value was recovered"
    );
}

#[test]
fn malformed_input_gets_the_error_of_redis_and_ends_the_connection() {
    let server = Server::start(&[]);
    for (input, error) in [
        (
            &b"*1x\r\n"[..],
            "ERR Protocol error: invalid multibulk length",
        ),
        (
            b"*2147483648\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (b"*1\r\n4\r\n", "ERR Protocol error: expected '$', got '4'"),
        (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
        (
            b"*1\r\n$536870913\r\n",
            "ERR Protocol error: invalid bulk length",
        ),
        (
            b"GET \"a\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut client = server.client();
        // What was asked before is answered before.
        client.send_bytes(&[b"PING\r\n", input].concat());
        let shown = input.escape_ascii();
        assert_eq!(
            client.receive().reply,
            Reply::Simple("PONG".into()),
            "{shown}"
        );
        assert_eq!(error_text(client.receive().reply), error, "{shown}");
        let end = client.try_receive().expect("an end of the connection");
        assert!(end.is_none(), "{shown}");
    }
}

#[test]
fn more_clients_than_allowed_are_refused() {
    const ALLOWED: usize = 3;
    let server = Server::start(&["--maxclients", &ALLOWED.to_string()]);
    let pong = Reply::Simple("PONG".into());
    let mut clients: Vec<_> = (0..ALLOWED).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.call(&["PING"]).reply, pong);
    }
    let mut refused = server.client();
    assert_eq!(
        error_text(refused.receive().reply),
        "ERR max number of clients reached"
    );
    assert!(
        refused
            .try_receive()
            .expect("an end of the connection")
            .is_none()
    );
    clients.pop();
    super::harness::eventually("the place is free again", || {
        let answer = server.client().try_call(&["PING"]);
        answer.is_some_and(|answer| answer.reply == pong)
    });
}

#[test]
fn a_wrong_option_ends_with_one_line_and_code_2() {
    for arguments in [
        &["--no-such-option", "1"][..],
        &["--port", "many"],
        &["--port", "70000"],
        &["--durability", "sometimes"],
        &["--shards"],
    ] {
        let ended = run_to_end(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(
            ended.stderr.lines().count(),
            1,
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_terminated_server_ends_well_and_keeps_everything() {
    const KEYS: usize = 1_000;
    let mut server = Server::start(&["--durability", "no"]);
    let mut client = server.client();
    for n in 0..KEYS {
        client.send(&["SET", &format!("key:{n}"), &n.to_string()]);
    }
    (0..KEYS).for_each(|_| assert_eq!(client.receive().reply, ok()));
    assert_eq!(server.terminate(), Some(0));
    let ended = run_to_end(&["check", server.dir().to_str().expect("a path in text")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("closed in good order: yes"),
        "{}",
        ended.stdout
    );
    server.restart();
    let mut client = server.client();
    assert_eq!(client.call(&["DBSIZE"]).reply, Reply::Integer(KEYS as i64));
    assert_eq!(get(&mut client, "key:999"), bulk("999"));
}

#[test]
fn a_directory_belongs_to_one_server() {
    let server = Server::start(&[]);
    let dir = server.dir().to_str().expect("a path in text");
    let ended = run_to_end(&["--port", "0", "--shards", "1", "--dir", dir]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(dir), "{}", ended.stderr);
    assert_eq!(
        server.client().call(&["PING"]).reply,
        Reply::Simple("PONG".into())
    );
}
