//! What is measured.

/// Keys that the commands choose from, all of which exist.
pub const KEYS: u64 = 100_000;
/// Keys of one MSET, as in redis-benchmark.
const MSET_KEYS: usize = 10;
/// A random key of redis-benchmark: twelve digits below `-r`.
const KEY: &str = "key:__rand_int__";
pub const VALUE: &str = "xxx";
/// Elements of the list that LRANGE reads.
const RANGED_ELEMENTS: u64 = 600;
/// Requests of LRANGE are so much dearer than others that fewer do.
const RANGE_DIVISOR: u64 = 10;

const PIPELINES: [u32; 2] = [1, 16];
/// Each pipelined request is cheap; this many more of them take a time that can be measured.
const PIPELINED_FACTOR: u64 = 4;

const NOTHING_SCRIPT: &str = "return 1";
const SET_GET_SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])";
const GETS_SCRIPT: &str = "for i = 1, 20 do redis.call('GET', KEYS[1]) end return 1";
/// About a tenth of a millisecond of Lua, then one write.
const BURN_SCRIPT: &str = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i % 7 end \
                               redis.call('SET', KEYS[1], x) return x";
const BURN_LOOPS: &str = "20000";
/// A script that burns CPU costs as much as this many requests.
pub const BURN_REQUESTS_DIVISOR: u64 = 20;
pub const SCALING_NAME: &str = "shards";
pub const SYSCALLS_NAME: &str = "system calls";
pub const BESIDE_NAME: &str = "beside a slow script";

/// A command at one depth of pipelining.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub pipeline: u32,
    words: Words,
    fill: Fill,
    divisor: u64,
}

#[derive(Clone, Copy)]
enum Words {
    Plain(&'static [&'static str]),
    Mset,
    Script {
        source: &'static str,
        key: &'static str,
        argument: &'static str,
    },
}

/// What is there before the case runs.
#[derive(Clone, Copy)]
enum Fill {
    Nothing,
    /// The command as often as said, with `%n` counting up.
    Times(u64, &'static [&'static str]),
    /// The command as often as the case runs, so that there is something to take each time.
    Enough(&'static [&'static str]),
}

const fn case(name: &'static str, words: Words) -> Case {
    Case {
        name,
        pipeline: 1,
        words,
        fill: Fill::Nothing,
        divisor: 1,
    }
}

const fn plain(name: &'static str, words: &'static [&'static str]) -> Case {
    case(name, Words::Plain(words))
}

const fn script(
    name: &'static str,
    source: &'static str,
    key: &'static str,
    argument: &'static str,
) -> Case {
    case(
        name,
        Words::Script {
            source,
            key,
            argument,
        },
    )
}

const fn filled(fill: Fill, case: Case) -> Case {
    Case { fill, ..case }
}

const fn ranged(case: Case) -> Case {
    Case {
        divisor: RANGE_DIVISOR,
        fill: Fill::Times(RANGED_ELEMENTS, &["RPUSH", "ranged", VALUE]),
        ..case
    }
}

const ELEMENT: &str = "element:__rand_int__";

/// The commands of redis-benchmark's own tests, and a script.
const COMMANDS: &[Case] = &[
    plain("PING", &["PING"]),
    plain("SET", &["SET", KEY, VALUE]),
    plain("GET", &["GET", KEY]),
    plain("INCR", &["INCR", "counter:__rand_int__"]),
    case("MSET (10 keys)", Words::Mset),
    plain("LPUSH", &["LPUSH", "list", VALUE]),
    plain("RPUSH", &["RPUSH", "list", VALUE]),
    filled(
        Fill::Enough(&["RPUSH", "popped", VALUE]),
        plain("LPOP", &["LPOP", "popped"]),
    ),
    filled(
        Fill::Enough(&["RPUSH", "popped", VALUE]),
        plain("RPOP", &["RPOP", "popped"]),
    ),
    plain("SADD", &["SADD", "set", ELEMENT]),
    filled(
        Fill::Enough(&["SADD", "spopped", "element:%n"]),
        plain("SPOP", &["SPOP", "spopped"]),
    ),
    plain("HSET", &["HSET", "hash", ELEMENT, VALUE]),
    plain("ZADD", &["ZADD", "zset", "__rand_int__", ELEMENT]),
    filled(
        Fill::Enough(&["ZADD", "zpopped", "%n", "element:%n"]),
        plain("ZPOPMIN", &["ZPOPMIN", "zpopped"]),
    ),
    ranged(plain("LRANGE_100", &["LRANGE", "ranged", "0", "99"])),
    ranged(plain("LRANGE_300", &["LRANGE", "ranged", "0", "299"])),
    ranged(plain("LRANGE_600", &["LRANGE", "ranged", "0", "599"])),
    plain("XADD", &["XADD", "stream", "*", "myfield", VALUE]),
    script("EVALSHA (return 1)", NOTHING_SCRIPT, KEY, VALUE),
    script("EVALSHA (SET, GET)", SET_GET_SCRIPT, KEY, VALUE),
    script("EVALSHA (20 GETs)", GETS_SCRIPT, KEY, VALUE),
];

pub const BURN: Case = script("EVALSHA (burns CPU)", BURN_SCRIPT, KEY, BURN_LOOPS);
pub const BURN_ONE_KEY: Case = script(
    "EVALSHA (burns CPU, one key)",
    BURN_SCRIPT,
    "hot",
    BURN_LOOPS,
);

/// Every command at every depth.
pub fn all() -> impl Iterator<Item = Case> {
    COMMANDS
        .iter()
        .flat_map(|case| PIPELINES.map(|pipeline| Case { pipeline, ..*case }))
}

impl Case {
    /// The script that it calls.
    pub fn script(&self) -> Option<&'static str> {
        match self.words {
            Words::Script { source, .. } => Some(source),
            Words::Plain(_) | Words::Mset => None,
        }
    }

    /// The words of the command, with redis-benchmark's placeholders; `sha` is that of its script.
    pub fn command(&self, sha: &str) -> Vec<String> {
        let words = match self.words {
            Words::Plain(words) => words.to_vec(),
            Words::Mset => [vec!["MSET"], [KEY, VALUE].repeat(MSET_KEYS)].concat(),
            Words::Script { key, argument, .. } => vec!["EVALSHA", sha, "1", key, argument],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// How often it is run where an unpipelined cheap command runs `requests` times.
    pub fn requests(&self, requests: u64) -> u64 {
        let factor = if self.pipeline > 1 {
            PIPELINED_FACTOR
        } else {
            1
        };
        (requests * factor / self.divisor).max(1)
    }

    /// What has to be run before so many requests of this case: how often, and which command.
    pub fn fill(&self, requests: u64) -> Option<(u64, &'static [&'static str])> {
        match self.fill {
            Fill::Nothing => None,
            Fill::Times(times, words) => Some((times, words)),
            // One more for the probe.
            Fill::Enough(words) => Some((requests + 1, words)),
        }
    }
}
