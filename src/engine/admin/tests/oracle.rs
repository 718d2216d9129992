//! Against redis-server: what the commands say of themselves, and every reply that does not depend on time or place.

#[allow(
    clippy::duplicate_mod,
    reason = "each module that compares with redis-server has its own copy of the helpers"
)]
#[path = "../../../../tests/common/mod.rs"]
pub(super) mod common;

use crate::engine::Client;
use crate::engine::testing::Server;
use common::redis::RedisServer;
use common::resp::{Answer, Client as RedisClient, Reply};

/// Flags, keys or categories that differ, and why.
const DECLARED_OTHERWISE: &[(&str, &str)] = &[
    ("zrank", "takes WITHSCORE, as in Redis 7.2"),
    ("zrevrank", "takes WITHSCORE, as in Redis 7.2"),
];

#[test]
fn commands_are_declared_as_in_redis() {
    let (redis, mut ours) = (RedisServer::start(), Ours::start());
    let mut redis = redis.client();
    redis.call(&["HELLO", "3"]);
    ours.line("HELLO 3");
    let registry = &ours.server.shared.registry;
    let all = registry
        .entries()
        .iter()
        .flat_map(|e| std::iter::once(e).chain(&e.subcommands));
    let mut compared = 0;
    let mut differences = Vec::new();
    for entry in all.collect::<Vec<_>>() {
        let name = entry.spec.name;
        let request = ["COMMAND", "INFO", name];
        let (theirs, own) = (redis.call(&request).reply, ours.call(&request).reply);
        if theirs == Reply::Array(vec![Reply::Null]) {
            continue;
        }
        compared += 1;
        let known = |list: &[(&str, &str)]| list.iter().any(|(other, _)| name == *other);
        if declaration(theirs) != declaration(own) && !known(DECLARED_OTHERWISE) {
            differences.push(format!(
                "{name}: COMMAND INFO\n{:?}\n{:?}",
                redis.call(&request).reply,
                ours.call(&request).reply
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(
        compared > 290,
        "only {compared} commands were found in both"
    );
}

/// COMMAND INFO without the subcommands, which are asked for one by one.
fn declaration(reply: Reply) -> Vec<Reply> {
    const SUBCOMMANDS: usize = 9;
    let Reply::Array(mut rows) = reply else {
        panic!("COMMAND INFO answers with rows")
    };
    let Some(Reply::Array(mut fields)) = rows.pop() else {
        panic!("a row has fields")
    };
    fields.truncate(SUBCOMMANDS);
    fields
}

/// Replies that differ, and why.
const ANSWERED_OTHERWISE: &[(&str, &str)] = &[
    ("DEBUG FOO", "DEBUG is a container here"),
    ("LATENCY DOCTOR", "the advice is for this server"),
    ("MEMORY DOCTOR", "the advice is for this server"),
    ("DEBUG PROTOCOL x", "there are no attributes in replies"),
];

/// Lines whose replies are the same wherever and whenever they are run.
const LINES: &str = include_str!("lines.txt");

#[test]
fn replies_are_those_of_redis() {
    for protocol in ["HELLO 2", "HELLO 3"] {
        let (redis, mut ours) = (RedisServer::start(), Ours::start());
        let mut redis = redis.client();
        redis.call(&protocol.split(' ').collect::<Vec<_>>());
        ours.line(protocol);
        let mut differences = Vec::new();
        for line in LINES
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (theirs, own) = (ask(&mut redis, line), ours.line(line));
            let known = ANSWERED_OTHERWISE.iter().any(|(other, _)| line == *other);
            if (theirs == own) == known {
                differences.push(format!("{line}\n  redis {theirs}\n  ours  {own}"));
            }
        }
        assert!(
            differences.is_empty(),
            "{protocol}\n{}",
            differences.join("\n")
        );
    }
}

fn ask(redis: &mut RedisClient, line: &str) -> String {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    redis.call(&words).raw.escape_ascii().to_string()
}

pub(super) struct Ours {
    pub(super) server: Server,
    client: Client,
}

impl Ours {
    pub(super) fn start() -> Self {
        // Nothing is slow here, however busy the machine is.
        let mut server = Server::start(1, &[("slowlog-log-slower-than", "-1")]);
        let client = server.connect(0);
        Self { server, client }
    }

    pub(super) fn call(&mut self, request: &[&str]) -> Answer {
        let request: Vec<&[u8]> = request.iter().map(|word| word.as_bytes()).collect();
        Answer::from_bytes(self.server.run(&mut self.client, &request).1.into_bytes())
    }

    fn line(&mut self, line: &str) -> String {
        self.server
            .reply(&mut self.client, line)
            .into_bytes()
            .escape_ascii()
            .to_string()
    }
}
