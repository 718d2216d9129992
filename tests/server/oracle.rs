//! The same random commands to `redis-server` and to this server over TCP, plain, from scripts and in transactions: the
//! same bytes have to come back.

use super::harness::Server;
use crate::common::comparison::{Recent, Side, agree};
use crate::common::generator::{Compare, Generator, Request};
use crate::common::redis::RedisServer;
use crate::common::resp::{Answer, Client, Reply};
use crate::common::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Requests in each protocol; the environment variable asks for more.
const REQUESTS: usize = 5_000;

/// How a request reaches a server.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    /// Through `redis.pcall`.
    Script,
    /// Alone between MULTI and EXEC.
    Transaction,
}

#[test]
fn answers_are_those_of_redis_in_resp2() {
    compare("2", Way::Plain);
}

#[test]
fn answers_are_those_of_redis_in_resp3() {
    compare("3", Way::Plain);
}

#[test]
fn answers_to_scripts_are_those_of_redis() {
    compare("2", Way::Script);
}

#[test]
fn answers_to_scripts_are_those_of_redis_in_resp3() {
    compare("3", Way::Script);
}

#[test]
fn answers_in_transactions_are_those_of_redis() {
    compare("2", Way::Transaction);
}

fn compare(protocol: &'static str, way: Way) {
    let requests = std::env::var("AIKV_ORACLE_REQUESTS")
        .map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mut generator = Generator::new(Rng::seed_from_env("AIKV_ORACLE_SEED"), |_| true);
    let redis = RedisServer::start();
    let ours = Server::start(&["--lua-dialect", "redis"]);
    let mut pair = Pair {
        redis: redis.client(),
        ours: ours.client(),
        recent: Recent::default(),
        protocol,
        way,
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

/// Whether answers differ only as Lua's values do: numbers have 53 bits in Redis and integers 64 here, and what was a map
/// has no order.
fn is_lua(theirs: &Reply, ours: &Reply) -> bool {
    const EXACT_MAX: u64 = 1 << 53;
    match (theirs, ours) {
        (Reply::Integer(_), Reply::Integer(ours)) => ours.unsigned_abs() > EXACT_MAX,
        (Reply::Array(theirs), Reply::Array(ours)) => {
            let mut pairs = theirs.iter().zip(ours);
            theirs.len() == ours.len() && pairs.all(|(a, b)| a == b || is_lua(a, b))
        }
        (Reply::Map(theirs), Reply::Map(ours)) => by_key(theirs) == by_key(ours),
        (Reply::Set(theirs), Reply::Set(ours)) => texts(theirs) == texts(ours),
        _ => false,
    }
}

fn by_key(map: &[Reply]) -> BTreeMap<String, &Reply> {
    let pairs = map.chunks_exact(2);
    pairs
        .map(|pair| (format!("{:?}", pair[0]), &pair[1]))
        .collect()
}

fn texts(set: &[Reply]) -> BTreeSet<String> {
    set.iter().map(|item| format!("{item:?}")).collect()
}

/// What a script does with its arguments.
fn script(protocol: &str) -> String {
    format!("redis.setresp({protocol}) return redis.pcall(unpack(ARGV))")
}

/// As [`script`], for an answer in any order: where a null is in Lua's table, a reply made of it ends, and which elements
/// come before that is chance. So they come without the nulls.
fn script_without_order(protocol: &str) -> String {
    format!(
        "redis.setresp({protocol})
        local reply, values = redis.pcall(unpack(ARGV)), {{}}
        if type(reply) ~= 'table' then return reply end
        for key, value in pairs(reply) do
            if type(key) ~= 'number' then return reply end
            values[#values + 1] = value
        end
        return values"
    )
}

/// Connections to both servers.
struct Pair {
    redis: Client,
    ours: Client,
    recent: Recent,
    /// The protocol that a script asks for.
    protocol: &'static str,
    way: Way,
}

impl Pair {
    /// Sends a request to both and returns the answer they agree on.
    fn check(&mut self, request: &Request) -> Answer {
        self.recent.push(request);
        let [theirs, ours] = self.ask_both(request);
        let agree = agree(request, &theirs, &ours, |side, args| match side {
            Side::Redis => self.redis.call(args),
            Side::Ours => self.ours.call(args),
        });
        let agree = agree || self.way == Way::Script && is_lua(&theirs.reply, &ours.reply);
        assert!(
            agree,
            "a difference in {request}\n  redis: {theirs}\n  ours:  {ours}\nafter{}",
            self.recent
        );
        if let Some(next) = request.aftermath(&theirs) {
            self.check(&next);
        }
        theirs
    }

    fn ask_both(&mut self, request: &Request) -> [Answer; 2] {
        let args = &request.args[..];
        let source = match request.compare {
            Compare::Unordered => script_without_order(self.protocol),
            _ => script(self.protocol),
        };
        let script: [&[u8]; 3] = [b"EVAL", source.as_bytes(), b"0"];
        let script: Vec<Vec<u8>> = script.into_iter().map(Vec::from).collect();
        let way = self.way;
        [&mut self.redis, &mut self.ours].map(|client| match way {
            Way::Plain => client.call(args),
            Way::Script => client.call(&[&script, args].concat()),
            Way::Transaction => {
                client.call(&["MULTI"]);
                // An error here comes back as the refusal of EXEC.
                client.call(args);
                let mut answer = client.call(&["EXEC"]);
                if let Reply::Array(items) = &mut answer.reply
                    && items.len() == 1
                {
                    answer.reply = items.remove(0);
                }
                answer
            }
        })
    }
}
