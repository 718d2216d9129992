//! The same random commands to `redis-server` and to this server over TCP: the same bytes have to come back.

use super::harness::Server;
use crate::common::generator::{Compare, Generator, Request};
use crate::common::redis::RedisServer;
use crate::common::resp::{Answer, Client, Reply};
use crate::common::rng::Rng;

/// Requests in each protocol; the environment variable asks for more.
const REQUESTS: usize = 5_000;

#[test]
fn answers_are_those_of_redis_in_resp2() {
    compare("2");
}

#[test]
fn answers_are_those_of_redis_in_resp3() {
    compare("3");
}

fn compare(protocol: &str) {
    let requests = std::env::var("AIKV_ORACLE_REQUESTS")
        .map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mut generator = Generator::new(Rng::seed_from_env("AIKV_ORACLE_SEED"), |_| true);
    let (redis, ours) = (RedisServer::start(), Server::start(&[]));
    let mut pair = Pair {
        redis: redis.client(),
        ours: ours.client(),
        recent: Vec::new(),
    };
    for client in [&mut pair.redis, &mut pair.ours] {
        let hello = client.call(&["HELLO", protocol]);
        assert!(!matches!(hello.reply, Reply::Error(_)), "{hello}");
    }
    let mut refused = 0;
    for _ in 0..requests {
        let request = generator.request();
        let answer = pair.check(&request);
        match (request.compare, &answer.reply) {
            (Compare::Dump, Reply::Bulk(dump)) => generator.learn_dump(dump),
            (_, Reply::Error(_)) => refused += 1,
            _ => {}
        }
    }
    println!("RESP{protocol}: {requests} answers compared, {refused} of them errors");
    assert!(refused * 2 < requests, "most requests are right");
}

/// Connections to both servers.
struct Pair {
    redis: Client,
    ours: Client,
    /// The last requests, to show what led to a difference.
    recent: Vec<String>,
}

impl Pair {
    /// Sends a request to both and returns the answer they agree on.
    fn check(&mut self, request: &Request) -> Answer {
        const RECENT: usize = 60;
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(request.to_string());
        let theirs = self.redis.call(&request.args);
        let ours = self.ours.call(&request.args);
        let agree = match (request.compare, &theirs.reply, &ours.reply) {
            (Compare::Dump, Reply::Bulk(theirs), Reply::Bulk(ours)) => {
                theirs == ours || self.same_value(theirs, ours)
            }
            _ => request.compare.agree(&theirs, &ours),
        };
        assert!(
            agree,
            "a difference in {request}\n  redis: {theirs}\n  ours:  {ours}\nafter\n  {}",
            self.recent.join("\n  ")
        );
        theirs
    }

    /// Whether each server makes the same string of the other's serialization as of its own.
    fn same_value(&mut self, theirs: &[u8], ours: &[u8]) -> bool {
        let key = b"restored".as_slice();
        let mut strings = Vec::new();
        for dump in [theirs, ours] {
            for client in [&mut self.redis, &mut self.ours] {
                let restored = client.call(&[b"RESTORE", key, b"0", dump, b"REPLACE"]).raw;
                strings.push((restored, client.call(&[b"GET", key]).raw));
                client.call(&[b"DEL", key]);
            }
        }
        strings.iter().all(|string| string == &strings[0])
    }
}
