//! What is measured.

/// Keys that the commands choose from, all of which exist.
pub const KEYS: u64 = 100_000;
/// Keys of one MSET, as in redis-benchmark.
const MSET_KEYS: usize = 10;
/// A random key of redis-benchmark: twelve digits below `-r`.
pub const KEY: &str = "key:__rand_int__";
pub const VALUE: &str = "xxx";

pub const SCRIPT: &str = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])";
/// About a tenth of a millisecond of Lua, then one write.
pub const BURN_SCRIPT: &str = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i % 7 end \
                               redis.call('SET', KEYS[1], x) return x";
const BURN_LOOPS: &str = "20000";
/// A script that burns CPU costs as much as this many requests.
pub const BURN_REQUESTS_DIVISOR: u64 = 20;
pub const SCALING_NAME: &str = "shards";

pub struct Case {
    pub name: &'static str,
    pub pipeline: u32,
    words: Words,
}

enum Words {
    Plain(&'static [&'static str]),
    Mset,
    Script { argument: &'static str },
}

const PING: Words = Words::Plain(&["PING"]);
const SET: Words = Words::Plain(&["SET", KEY, VALUE]);
const GET: Words = Words::Plain(&["GET", KEY]);
const INCR: Words = Words::Plain(&["INCR", "counter:__rand_int__"]);
const EVALSHA: Words = Words::Script { argument: VALUE };

pub const CASES: [Case; 12] = [
    Case {
        name: "PING",
        pipeline: 1,
        words: PING,
    },
    Case {
        name: "PING",
        pipeline: 16,
        words: PING,
    },
    Case {
        name: "SET",
        pipeline: 1,
        words: SET,
    },
    Case {
        name: "SET",
        pipeline: 16,
        words: SET,
    },
    Case {
        name: "GET",
        pipeline: 1,
        words: GET,
    },
    Case {
        name: "GET",
        pipeline: 16,
        words: GET,
    },
    Case {
        name: "INCR",
        pipeline: 1,
        words: INCR,
    },
    Case {
        name: "INCR",
        pipeline: 16,
        words: INCR,
    },
    Case {
        name: "MSET (10 keys)",
        pipeline: 1,
        words: Words::Mset,
    },
    Case {
        name: "MSET (10 keys)",
        pipeline: 16,
        words: Words::Mset,
    },
    Case {
        name: "EVALSHA (SET, GET)",
        pipeline: 1,
        words: EVALSHA,
    },
    Case {
        name: "EVALSHA (SET, GET)",
        pipeline: 16,
        words: EVALSHA,
    },
];

pub const BURN: Case = Case {
    name: "EVALSHA (burns CPU)",
    pipeline: 1,
    words: Words::Script {
        argument: BURN_LOOPS,
    },
};

impl Case {
    /// The words of the command, with redis-benchmark's placeholders; `script` is a SHA1.
    pub fn command(&self, script: &str) -> Vec<String> {
        let words = match self.words {
            Words::Plain(words) => words.to_vec(),
            Words::Mset => [vec!["MSET"], [KEY, VALUE].repeat(MSET_KEYS)].concat(),
            Words::Script { argument } => vec!["EVALSHA", script, "1", KEY, argument],
        };
        words.into_iter().map(str::to_owned).collect()
    }
}
