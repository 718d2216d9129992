use crate::engine::testing::Server;
use crate::engine::{Flow, Message};

#[test]
fn hello_switches_the_protocol_of_its_own_reply() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let fields = |proto| {
        format!(
            "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:{proto}\r\n$2\r\nid\r\n:1\r\n\
             $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
        )
    };
    assert_eq!(
        server.reply(&mut client, "HELLO"),
        format!("*14\r\n{}", fields(2))
    );
    assert_eq!(
        server.reply(&mut client, "HELLO 3"),
        format!("%7\r\n{}", fields(3))
    );
    assert_eq!(server.reply(&mut client, "GET a"), "_\r\n");
    assert_eq!(server.reply(&mut client, "RESET"), "+RESET\r\n");
    assert_eq!(server.reply(&mut client, "GET a"), "$-1\r\n");
}

#[test]
fn a_password_is_asked_for() {
    let mut server = Server::start(1, &[("requirepass", "secret")]);
    let mut client = server.connect(0);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(
        server.reply(&mut client, "PING"),
        "-NOAUTH Authentication required.\r\n"
    );
    assert!(
        server
            .reply(&mut client, "HELLO 3")
            .starts_with("-NOAUTH HELLO must be called with")
    );
    for guess in [
        "AUTH secre",
        "AUTH secrets",
        "AUTH secretsecret",
        "AUTH nobody secret",
        "HELLO 3 AUTH default x",
    ] {
        assert_eq!(server.reply(&mut client, guess), wrong, "{guess}");
    }
    assert_eq!(server.run(&mut client, &[b"AUTH", b""]).1, wrong);
    assert_eq!(server.reply(&mut client, "AUTH secret"), "+OK\r\n");
    assert_eq!(server.reply(&mut client, "RESET"), "+RESET\r\n");
    assert_eq!(
        server.reply(&mut client, "PING"),
        "-NOAUTH Authentication required.\r\n"
    );
    assert!(
        server
            .reply(&mut client, "HELLO 3 AUTH default secret SETNAME me")
            .starts_with("%7\r\n")
    );
    assert_eq!(server.reply(&mut client, "CLIENT GETNAME"), "$2\r\nme\r\n");
}

#[test]
fn killing_oneself_answers_first() {
    let mut server = Server::start(2, &[]);
    let (mut one, mut two) = (server.connect(0), server.connect(1));
    assert_eq!(server.reply(&mut one, "CLIENT KILL TYPE normal"), ":1\r\n");
    assert!(matches!(
        server.message(1),
        Some(Message::Kill { client: 2 })
    ));
    assert_eq!(
        server.run(&mut one, &[b"CLIENT", b"KILL", b"127.0.0.1:50001"]),
        (Flow::Close, "+OK\r\n".into())
    );
    let line = server.reply(&mut two, "CLIENT LIST ID 1 2");
    assert!(
        line.contains(
            "id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:6379 fd=11 name= age=0 idle=0 flags=A "
        ),
        "{line}"
    );
    assert!(
        line.contains("cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver=\n"),
        "{line}"
    );
}

#[test]
fn a_monitor_sees_requests_but_no_passwords() {
    let mut server = Server::start(1, &[]);
    let (mut watcher, mut client) = (server.connect(0), server.connect(0));
    assert_eq!(server.reply(&mut watcher, "MONITOR"), "+OK\r\n");
    assert_eq!(
        server.run(&mut client, &[b"ECHO", b"a\"\\\n\x00\xff b"]).0,
        Flow::Done
    );
    server.reply(&mut client, "AUTH default secret");
    server.reply(&mut client, "HELLO 2 AUTH default secret SETNAME x");
    server.reply(&mut client, "CONFIG GET port");
    server.reply(&mut client, "MULTI");
    server.reply(&mut client, "GET a");
    server.reply(&mut client, "EXEC");
    let mut lines = Vec::new();
    while let Some(Message::Monitor(line)) = server.message(0) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (stamp, rest) = line.split_once(' ').expect("a time and the rest");
        assert!(
            stamp.starts_with('+') && stamp.len() == "+1339518083.107412".len(),
            "{stamp}"
        );
        lines.push(rest.trim_end().to_owned());
    }
    let peer = "[0 127.0.0.1:50002]";
    assert_eq!(
        lines,
        [
            format!(r#"{peer} "ECHO" "a\"\\\n\x00\xff b""#),
            format!(r#"{peer} "AUTH" "(redacted)" "(redacted)""#),
            format!(r#"{peer} "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x""#),
            format!(r#"{peer} "MULTI""#),
            format!(r#"{peer} "GET" "a""#),
            format!(r#"{peer} "exec""#),
        ]
    );
    assert!(server.workers[0].abandon(&mut watcher));
    server.reply(&mut client, "PING");
    assert!(server.message(0).is_none(), "nobody monitors any more");
}

#[test]
fn replies_can_be_left_out() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    let mut replies = |line| server.reply(&mut client, line);
    assert_eq!(replies("CLIENT REPLY OFF"), "");
    assert_eq!(replies("PING"), "");
    assert_eq!(replies("CLIENT REPLY ON"), "+OK\r\n");
    assert_eq!(replies("CLIENT REPLY SKIP"), "");
    assert_eq!(replies("PING"), "");
    assert_eq!(replies("PING"), "+PONG\r\n");
}

#[test]
fn waiting_for_replicas_ends_with_the_timeout() {
    let mut server = Server::start(1, &[]);
    let mut client = server.connect(0);
    assert_eq!(server.reply(&mut client, "WAIT 0 0"), ":0\r\n");
    assert_eq!(
        server.run(&mut client, &[b"WAIT", b"1", b"20"]),
        (Flow::Parked, String::new())
    );
    let mut other = server.connect(0);
    assert!(
        server
            .reply(&mut other, "CLIENT LIST ID 1")
            .contains(" flags=b ")
    );
    assert_eq!(server.resume_due(&mut client), None, "it is too early");
    std::thread::sleep(std::time::Duration::from_millis(25));
    assert_eq!(server.resume_due(&mut client).as_deref(), Some(":0\r\n"));
    assert_eq!(server.reply(&mut other, "CLIENT UNBLOCK 1"), ":0\r\n");
}

#[test]
fn a_wait_without_end_is_ended_by_unblock() {
    let mut server = Server::start(1, &[]);
    let (mut client, mut other) = (server.connect(0), server.connect(0));
    assert_eq!(
        server.run(&mut client, &[b"WAIT", b"1", b"0"]).0,
        Flow::Parked
    );
    assert_eq!(server.shared.observer.totals().blocked_clients, 1);
    assert_eq!(server.reply(&mut other, "CLIENT UNBLOCK 1 ERROR"), ":1\r\n");
    assert!(matches!(
        server.message(0),
        Some(Message::Unblock {
            client: 1,
            with_error: true
        })
    ));
    let mut out = Vec::new();
    assert_eq!(
        server.workers[0].unblock(&mut client, true, &mut out),
        Flow::Done
    );
    assert_eq!(out, b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(server.shared.observer.totals().blocked_clients, 0);
    assert_eq!(server.reply(&mut client, "PING"), "+PONG\r\n");
}

#[test]
fn pausing_holds_back_until_it_is_over() {
    let mut server = Server::start(1, &[]);
    let (mut client, mut other) = (server.connect(0), server.connect(0));
    assert_eq!(
        server.reply(&mut other, "CLIENT PAUSE 100000 ALL"),
        "+OK\r\n"
    );
    assert_eq!(server.run(&mut client, &[b"GET", b"a"]).0, Flow::Parked);
    assert_eq!(server.resume_due(&mut client), None);
    assert_eq!(server.reply(&mut other, "CLIENT UNPAUSE"), "+OK\r\n");
    assert!(matches!(server.message(0), Some(Message::Unpause)));
    assert_eq!(server.resume_due(&mut client).as_deref(), Some("$-1\r\n"));
}

#[test]
fn pausing_writes_lets_reads_pass() {
    let mut server = Server::start(1, &[]);
    let mut other = server.connect(0);
    let pause = "CLIENT PAUSE 100000 WRITE";
    assert_eq!(server.reply(&mut other, pause), "+OK\r\n");
    for (line, flow) in [
        ("GET a", Flow::Done),
        ("MGET a b", Flow::Done),
        ("EXISTS a b", Flow::Done),
        ("TOUCH a b", Flow::Done),
        ("SET a 1", Flow::Parked),
        ("MSET a 1 b 2", Flow::Parked),
        ("DEL a b", Flow::Parked),
        ("PUBLISH a b", Flow::Parked),
    ] {
        let mut client = server.connect(0);
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        assert_eq!(server.run(&mut client, &words).0, flow, "{line}");
    }
}
