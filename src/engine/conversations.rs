//! Several clients in conversation with a server, against redis-server: every byte that each of them reads after each step.

#[allow(
    clippy::duplicate_mod,
    reason = "each module that compares with redis-server has its own copy of the helpers"
)]
#[path = "../../tests/common/mod.rs"]
mod common;

use super::testing::Party;
use common::conversations::{self, Heard};
use common::redis::RedisServer;

#[test]
fn each_client_reads_what_redis_would_write() {
    let mut differences = Vec::new();
    for conversation in conversations::all() {
        let redis = RedisServer::start();
        let mut theirs = conversations::Party::join(redis.port);
        let expected: Vec<Heard> = conversation
            .steps
            .iter()
            .map(|step| {
                theirs.send(step);
                theirs.hear_all()
            })
            .collect();
        for shards in [1, 3] {
            let mut ours = Party::of(shards, conversations::id_of('a'));
            for (at, step) in conversation.steps.iter().enumerate() {
                let who = conversations::CLIENTS
                    .iter()
                    .position(|c| *c == step.client);
                let request: Vec<&[u8]> = step.request.iter().map(String::as_bytes).collect();
                ours.run(who.expect("a client"), &request);
                let heard = conversations::CLIENTS.iter().enumerate();
                let heard = heard
                    .map(|(who, letter)| (*letter, ours.hear(who)))
                    .collect();
                if let Some(found) =
                    conversations::difference(&conversation, at, &heard, &expected[at])
                {
                    differences.push(format!("{shards} shards: {found}"));
                    break;
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
