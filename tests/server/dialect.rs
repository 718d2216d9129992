//! Hundreds of small scripts to `redis-server` and to this server in dialect `redis`: the same bytes have to come back.

use super::harness::Server;
use crate::common::redis::RedisServer;
use crate::common::resp::Client;
use crate::common::rng::Rng;

/// One script a line; lines that begin with a blank go on with it.
const SNIPPETS: &str = include_str!("../common/snippets.txt");
/// Behind this line are those that answer differently, because this is Lua 5.4. `docs/scripting.md` speaks of them.
const DIFFERENT: &str = "# What Lua 5.4 makes different, and what Redis does not have";

#[test]
fn snippets_answer_as_redis_does() {
    let (same, different) = SNIPPETS.split_once(DIFFERENT).expect("two parts");
    let mut pair = Pair::start();
    for protocol in ["2", "3"] {
        pair.each(|client| client.call(&["HELLO", protocol]).raw);
        for snippet in snippets(same) {
            let [theirs, ours] = pair.eval(&snippet);
            assert_eq!(theirs, ours, "RESP{protocol}: {snippet}");
        }
        for snippet in snippets(different) {
            let [theirs, ours] = pair.eval(&snippet);
            assert_ne!(
                theirs, ours,
                "RESP{protocol}: {snippet}\nis no longer different"
            );
        }
    }
}

/// Values of all types, nested, returned to clients of both protocols by scripts of both.
#[test]
fn generated_values_answer_as_in_redis() {
    const VALUES: usize = 1500;
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_VALUES_SEED"));
    let mut pair = Pair::start();
    for protocol in ["2", "3"] {
        pair.each(|client| client.call(&["HELLO", protocol]).raw);
        for number in 0..VALUES {
            let value = value(&mut rng, 4);
            let script = format!("redis.setresp({}) return {value}", 2 + number % 2);
            let [theirs, ours] = pair.eval(&script);
            assert_eq!(theirs, ours, "RESP{protocol}: {script}");
        }
    }
}

/// What commands answer, seen by scripts of both protocols: types, and whether it survives the way out.
#[test]
fn generated_replies_look_as_in_redis() {
    const SHOW: &str = "
      local function show(v, depth)
        if type(v) ~= 'table' then return type(v) .. ':' .. tostring(v) end
        local parts = {}
        for k, x in pairs(v) do parts[#parts + 1] = show(k) .. '=' .. show(x) end
        table.sort(parts)
        return '{' .. table.concat(parts, ' ') .. '}'
      end ";
    const COMMANDS: [&str; 8] = [
        "'hgetall', 'hash'",
        "'smembers', 'set'",
        "'zrange', 'zset', 0, -1, 'withscores'",
        "'zscore', 'zset', 'm'",
        "'mget', 'str', 'nosuch', 'str'",
        "'lpop', 'nosuch', 2",
        "'config', 'get', 'maxmemory'",
        "'set', 'x', 'y', 'get'",
    ];
    let mut pair = Pair::start();
    for call in COMMANDS {
        for protocol in ["2", "3"] {
            pair.each(|client| client.call(&["HELLO", protocol]).raw);
            for inside in [2, 3] {
                for script in [
                    format!("redis.setresp({inside}) return redis.call({call})"),
                    format!("redis.setresp({inside}) return {{redis.call({call})}}"),
                    format!("{SHOW} redis.setresp({inside}) return show(redis.call({call}))"),
                ] {
                    let [theirs, ours] = pair.eval(&script);
                    assert_eq!(theirs, ours, "RESP{protocol}: {script}");
                }
            }
        }
    }
}

/// The text of a Lua value. Maps and sets have one entry at most, since they have no order.
fn value(rng: &mut Rng, depth: usize) -> String {
    let kinds = if depth == 0 { 14 } else { 22 };
    let inner = |rng: &mut Rng| value(rng, depth - 1);
    match rng.below(kinds) {
        0 => "nil".into(),
        1 => "true".into(),
        2 => "false".into(),
        3 => ["0", "7", "-3", "123456789"][rng.below(4)].into(),
        4 => ["1.5", "-2.9", "1e10", "0.1"][rng.below(4)].into(),
        5 => ["'text'", "''", "'a\\r\\nb'", "'\\0'"][rng.below(4)].into(),
        6 => format!(
            "{{double={}}}",
            ["1.5", "3", "1/0", "-1/0", "1e20", "'x'"][rng.below(6)]
        ),
        7 => format!(
            "{{big_number={}}}",
            ["'12345678901234567890'", "'x'", "5", "''"][rng.below(4)]
        ),
        8 => format!(
            "{{verbatim_string={{format={}, string={}}}}}",
            ["'txt'", "'mkd'", "'t'", "'text'", "5"][rng.below(5)],
            ["'text'", "''", "'a\\nb'", "5"][rng.below(4)]
        ),
        9 => ["{ok='fine'}", "{ok=''}", "{ok='a\\r\\nb'}", "{ok=5}"][rng.below(4)].into(),
        10 => ["{err='ERR bad'}", "{err='bad'}", "{err='a\\r\\nb'}"][rng.below(3)].into(),
        11 => "{}".into(),
        12 => "{map={}}".into(),
        13 => "{set={}}".into(),
        14 | 15 => format!("{{map={{[{}]={}}}}}", key(rng), inner(rng)),
        16 => format!("{{set={{[{}]=true}}}}", key(rng)),
        17 => format!("{{{}, field={}}}", inner(rng), inner(rng)),
        _ => {
            let items: Vec<String> = (0..rng.below(4)).map(|_| inner(rng)).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

fn key(rng: &mut Rng) -> &'static str {
    ["'key'", "5", "2.5", "true", "''"][rng.below(5)]
}

fn snippets(text: &str) -> Vec<String> {
    let mut snippets: Vec<String> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        match snippets.last_mut() {
            Some(last) if line.starts_with(' ') => {
                last.push('\n');
                last.push_str(line);
            }
            _ => snippets.push(line.into()),
        }
    }
    snippets
}

struct Pair {
    clients: [Client; 2],
    _servers: (RedisServer, Server),
}

impl Pair {
    fn start() -> Self {
        let servers = (
            RedisServer::start(),
            Server::start(&["--lua-dialect", "redis"]),
        );
        let clients = [servers.0.client(), servers.1.client()];
        Self {
            clients,
            _servers: servers,
        }
    }

    fn each(&mut self, run: impl Fn(&mut Client) -> Vec<u8>) -> [String; 2] {
        self.clients
            .each_mut()
            .map(|client| run(client).escape_ascii().to_string())
    }

    /// Both answers to a script, which finds the same few keys.
    fn eval(&mut self, script: &str) -> [String; 2] {
        self.each(|client| {
            for words in [
                "FLUSHALL",
                "SET str hello",
                "RPUSH list a b c",
                "HSET hash f v",
                "ZADD zset 1.5 m",
                "SADD set m",
            ] {
                client.call(&words.split(' ').collect::<Vec<_>>());
            }
            client.call(&["EVAL", script, "0", "a", "b", "c", "d"]).raw
        })
    }
}
