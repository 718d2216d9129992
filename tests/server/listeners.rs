//! Subscribers and trackers as clients of a process with several shards: the conversations that redis-server had, a
//! publisher that is fast, a subscriber that is slow.

use super::harness::{Server, ok};
use crate::common::conversations::{self, Conversation, Heard, Party};
use crate::common::redis::RedisServer;
use crate::common::resp::Reply;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a connection that has ended to be noticed by its shard.
const ENDING: Duration = Duration::from_millis(100);

#[test]
fn each_client_reads_what_redis_would_write() {
    let mut differences = Vec::new();
    for conversation in conversations::all() {
        let redis = RedisServer::start();
        let mut theirs = Party::join(redis.port);
        let steps = conversation.steps.iter();
        let expected: Vec<Heard> = steps
            .map(|step| {
                theirs.send(step);
                theirs.hear_all()
            })
            .collect();
        differences.extend(difference(&conversation, &expected));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Holds a conversation with a server of two shards.
fn difference(conversation: &Conversation, expected: &[Heard]) -> Option<String> {
    let server = Server::start(&["--shards", "2", "--lua-dialect", "redis"]);
    let mut ours = Party::join_threads(server.port);
    for (at, step) in conversation.steps.iter().enumerate() {
        ours.send(step);
        // A greeting names the version, and so has another length.
        let mut heard = if step.request[0] == "HELLO" {
            Heard::new()
        } else {
            ours.hear(&expected[at], PATIENCE)
        };
        // And nothing more. What the next step changes is not to meet what this one has yet to say.
        for (letter, more) in ours.hear_all() {
            heard.entry(letter).or_default().extend(more);
        }
        let found = conversations::difference(conversation, at, &heard, &expected[at]);
        if found.is_some() {
            return found;
        }
        if step.request[0] == "QUIT" || step.request.get(1).is_some_and(|word| word == "KILL") {
            std::thread::sleep(ENDING);
        }
    }
    let rest = ours.hear_all();
    let is_quiet = rest.values().all(Vec::is_empty);
    (!is_quiet).then(|| format!("{}: more was heard: {rest:?}", conversation.title))
}

#[test]
fn messages_of_a_fast_publisher_arrive_in_their_order() {
    const MESSAGES: usize = 20_000;
    let server = Server::start(&["--shards", "2"]);
    // Enough subscribers that some of them are on each shard.
    let mut subscribers: Vec<_> = (0..8).map(|_| server.client()).collect();
    for subscriber in &mut subscribers {
        subscriber.call(&["SUBSCRIBE", "numbers"]);
    }
    let mut publisher = server.client();
    for n in 0..MESSAGES {
        publisher.send(&["PUBLISH", "numbers", &n.to_string()]);
    }
    for _ in 0..MESSAGES {
        assert_eq!(publisher.receive().reply, Reply::Integer(8));
    }
    for subscriber in &mut subscribers {
        for n in 0..MESSAGES {
            let expected = ["message", "numbers", &n.to_string()];
            let expected = expected.map(|word| Reply::Bulk(word.into()));
            let reply = subscriber.receive().reply;
            assert_eq!(reply, Reply::Array(expected.to_vec()));
        }
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off() {
    let server = Server::start(&["--shards", "2"]);
    let mut publisher = server.client();
    let limit = [
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "pubsub 8mb 0 0",
    ];
    assert_eq!(publisher.call(&limit).reply, ok());
    let mut reader = server.client();
    reader.call(&["SUBSCRIBE", "heavy"]);
    let mut sleeper = server.client();
    sleeper.call(&["SUBSCRIBE", "heavy"]);
    let payload = vec![b'x'; 1 << 20];
    let deadline = Instant::now() + PATIENCE;
    // The sockets' own buffers take some of it.
    while publisher.call(&[&b"PUBLISH"[..], b"heavy", &payload]).reply != Reply::Integer(1) {
        assert!(Instant::now() < deadline, "it is never cut off");
        reader.receive();
    }
    let info = publisher.call(&["INFO", "stats"]);
    let text = String::from_utf8_lossy(&info.raw).into_owned();
    assert!(
        text.contains("client_output_buffer_limit_disconnections:1"),
        "{text}"
    );
    reader.receive();
    assert_eq!(
        publisher.call(&["PUBLISH", "heavy", "x"]).reply,
        Reply::Integer(1)
    );
}
