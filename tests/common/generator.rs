//! Random requests over few keys, with how to compare two servers' answers to them.
//!
//! Most requests are right; some have an argument too many, too few or a wrong one. No request depends on a time that
//! is near: times to live are long, or over at once.

use super::resp::{Answer, Reply};
use super::rng::Rng;

type Args = Vec<Vec<u8>>;

/// How two answers to the same request have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// As arrays in any order, also nested.
    Unordered,
    /// As integers that may differ by so much.
    Near(i64),
    /// Both null, or both a string.
    Kind,
    /// As two serializations of the same value, which the caller compares by restoring them.
    Dump,
}

impl Compare {
    /// Whether the answers agree. Two different dumps do not.
    pub fn agree(self, a: &Answer, b: &Answer) -> bool {
        if a.raw == b.raw {
            return true;
        }
        match (self, &a.reply, &b.reply) {
            (Compare::Unordered, a, b) => sorted(a) == sorted(b),
            (Compare::Near(most), Reply::Integer(a), Reply::Integer(b)) => {
                // Negative answers are codes, not times.
                *a >= 0 && *b >= 0 && a.abs_diff(*b) <= most.unsigned_abs()
            }
            (Compare::Kind, Reply::Bulk(_), Reply::Bulk(_)) => true,
            _ => false,
        }
    }
}

fn sorted(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut items: Vec<Reply> = items.iter().map(sorted).collect();
            items.sort_by_key(|item| format!("{item:?}"));
            Reply::Array(items)
        }
        other => other.clone(),
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub args: Args,
    pub compare: Compare,
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN_BYTES: usize = 80;
        for arg in &self.args {
            let shown = &arg[..arg.len().min(SHOWN_BYTES)];
            write!(f, "\"{}\"", shown.escape_ascii())?;
            if arg.len() > SHOWN_BYTES {
                write!(f, "({} bytes)", arg.len())?;
            }
            write!(f, " ")?;
        }
        Ok(())
    }
}

/// Stands where an argument was. No small positive number is among it: as a time to live that would run out during the
/// test.
const JUNK: &[&str] = &[
    "-1",
    "0",
    "",
    "abc",
    "1.5",
    "-5",
    " 1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "9223372036854775",
    "nx",
    "get",
    "\u{0}",
];

/// Every well-formed request is about these.
const KEYS: &[&str] = &[
    "k1",
    "k2",
    "k3",
    "k4",
    "a-key-of-more-than-sixteen-bytes",
    "k*[\u{0}]",
];

/// A command that the generator knows.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    compare: Compare,
    /// How often it is chosen, relative to the others.
    weight: usize,
    args: fn(&mut Generator, &mut Args),
}

pub struct Generator {
    rng: Rng,
    /// Serializations that a server has answered with, to restore from.
    dumps: Vec<Vec<u8>>,
    weight_total: usize,
    /// What comes next, whatever chance says.
    pending: Option<Request>,
    allowed: Vec<&'static Shape>,
}

impl Generator {
    /// A generator of the commands for which `allowed` says yes.
    pub fn new(seed: u64, allowed: impl Fn(&str) -> bool) -> Self {
        let allowed: Vec<_> = SHAPES.iter().filter(|shape| allowed(shape.name)).collect();
        Self {
            rng: Rng::new(seed),
            dumps: Vec::new(),
            pending: None,
            weight_total: allowed.iter().map(|shape| shape.weight).sum(),
            allowed,
        }
    }

    /// The names of all commands that a generator knows.
    pub fn commands() -> impl Iterator<Item = &'static str> {
        SHAPES.iter().map(|shape| shape.name)
    }

    pub fn request(&mut self) -> Request {
        const BROKEN_ONE_IN: usize = 30;
        if let Some(request) = self.pending.take() {
            return request;
        }
        let mut at = self.rng.below(self.weight_total);
        let mut shapes = self.allowed.iter();
        let shape = loop {
            let shape = shapes.next().expect("the weights add up");
            if at < shape.weight {
                break *shape;
            }
            at -= shape.weight;
        };
        let mut args = Args::new();
        args.extend(shape.name.split(' ').map(Vec::from));
        (shape.args)(self, &mut args);
        if self.rng.one_in(2) {
            args[0].make_ascii_uppercase();
        }
        if self.rng.one_in(BROKEN_ONE_IN) {
            self.corrupt(&mut args);
        }
        let request = Request {
            args,
            compare: shape.compare,
        };
        if shape.name != "dbsize" {
            return request;
        }
        // A key that has expired counts until somebody meets it, so let both servers meet every key before.
        self.pending = Some(request);
        let keys = KEYS.iter().chain(JUNK).copied();
        let exists = std::iter::once("exists").chain(keys);
        Request {
            args: exists.map(Vec::from).collect(),
            compare: Compare::Exact,
        }
    }

    /// Remembers a serialized value for RESTORE.
    pub fn learn_dump(&mut self, dump: &[u8]) {
        const KEPT: usize = 16;
        if self.dumps.len() < KEPT {
            self.dumps.push(dump.to_vec());
        } else {
            let at = self.rng.below(KEPT);
            self.dumps[at] = dump.to_vec();
        }
    }

    fn corrupt(&mut self, args: &mut Args) {
        // A subcommand stays, and a cursor, which is each server's own.
        let fixed = match args[0].to_ascii_lowercase().as_slice() {
            b"object" | b"scan" => 2,
            _ => 1,
        };
        match self.rng.below(3) {
            0 if args.len() > fixed => {
                args.pop();
            }
            1 => args.push(self.junk()),
            _ if args.len() > fixed => {
                let at = fixed + self.rng.below(args.len() - fixed);
                args[at] = self.junk();
            }
            _ => {}
        }
    }

    fn junk(&mut self) -> Vec<u8> {
        self.rng.pick(JUNK).into()
    }

    fn key(&mut self) -> Vec<u8> {
        self.rng.pick(KEYS).into()
    }

    fn int(&mut self) -> Vec<u8> {
        const EDGES: &[&str] = &[
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775806",
            "9999",
            "10000",
            "127",
            "128",
            "-129",
            "32768",
            "2147483648",
            "-2147483649",
        ];
        if self.rng.one_in(3) {
            self.rng.pick(EDGES).into()
        } else {
            number(self.rng.between(-300, 300))
        }
    }

    fn value(&mut self) -> Vec<u8> {
        const TEXTS: &[&str] = &[
            "",
            "text",
            "foobar",
            "barfoo",
            "ohmytext",
            "mynewtext",
            "007",
            "-0",
            "+5",
            " 12",
            "12 ",
            "3.0e3",
            "1.5",
            "0x10",
            "\u{0}\u{1}",
            "inf",
            "nan",
            "0.1",
            "\r\n",
        ];
        match self.rng.below(10) {
            0..4 => self.int(),
            4..7 => self.rng.pick(TEXTS).into(),
            7 => {
                let len = self.rng.below(100);
                (0..len).map(|_| self.rng.next() as u8).collect()
            }
            8 => {
                // Around the lengths at which encodings change: 20, 44, chunks of 1,024 from 4,096 on.
                let lens = [20, 21, 44, 45, 63, 64, 1023, 4095, 4096, 4097, 9000];
                let len = lens[self.rng.below(lens.len())];
                let alphabet = if self.rng.one_in(2) { 2 } else { 256 };
                (0..len)
                    .map(|_| b'a'.wrapping_add(self.rng.below(alphabet) as u8))
                    .collect()
            }
            _ => {
                let len = self.rng.below(30);
                (0..len).map(|_| b'a' + self.rng.below(3) as u8).collect()
            }
        }
    }

    fn float(&mut self) -> Vec<u8> {
        const FLOATS: &[&str] = &[
            "0.1", "-0.1", "3.0e3", "1e17", "1e-5", "inf", "-inf", "nan", "abc", "1e400", "5.0",
            "  1", "1 ", "1e4932", "0x1p3", ".5", "5.", "-0", "",
        ];
        match self.rng.below(3) {
            0 => self.rng.pick(FLOATS).into(),
            1 => self.int(),
            _ => {
                let (whole, part) = (self.rng.between(-100, 100), self.rng.below(100_000));
                format!("{whole}.{part}").into()
            }
        }
    }

    /// Appends each word in some of the cases.
    fn maybe(&mut self, args: &mut Args, one_in: usize, words: &[&str]) {
        for word in words {
            if self.rng.one_in(one_in) {
                args.push(self.in_some_case(word));
            }
        }
    }

    fn in_some_case(&mut self, word: &str) -> Vec<u8> {
        if self.rng.one_in(2) {
            word.to_ascii_uppercase().into()
        } else {
            word.into()
        }
    }

    /// `ex seconds` and its like.
    fn expiry(&mut self, args: &mut Args) {
        let (word, time) = match self.rng.below(4) {
            0 => ("ex", self.seconds()),
            1 => ("px", self.milliseconds()),
            2 => ("exat", self.unix_seconds()),
            _ => ("pxat", self.unix_milliseconds()),
        };
        args.push(self.in_some_case(word));
        args.push(time);
    }

    fn seconds(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.junk(),
            1 => number(-self.rng.between(1, 1000)),
            _ => number(self.rng.between(10_000, 1_000_000_000)),
        }
    }

    fn milliseconds(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.junk(),
            1 => number(-self.rng.between(1, 1000)),
            _ => number(self.rng.between(10_000_000, 1_000_000_000_000)),
        }
    }

    fn unix_seconds(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.junk(),
            1 => number(self.rng.between(1, 1_500_000_000)),
            _ => number(self.rng.between(5_000_000_000, 9_000_000_000)),
        }
    }

    fn unix_milliseconds(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.junk(),
            1 => number(self.rng.between(1, 1_500_000_000_000)),
            _ => number(self.rng.between(5_000_000_000_000, 9_000_000_000_000)),
        }
    }

    fn index(&mut self) -> Vec<u8> {
        if self.rng.one_in(20) {
            return self.int();
        }
        number(self.rng.between(-12, 12))
    }

    fn bit_offset(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.junk(),
            1 => b"4294967296".into(),
            2 => number(self.rng.between(8000, 80_000)),
            _ => number(self.rng.between(0, 200)),
        }
    }

    fn bit_range(&mut self, args: &mut Args) {
        for _ in 0..[0, 2, 2, 2, 1][self.rng.below(5)] {
            let index = match self.rng.below(4) {
                0 => number(self.rng.between(-400, 400)),
                _ => self.index(),
            };
            args.push(index);
        }
        if self.rng.one_in(2) {
            let unit = self.rng.pick(&["bit", "bit", "byte", "bits"]);
            args.push(self.in_some_case(unit));
        }
    }

    fn bitfield_op(&mut self, args: &mut Args, only_get: bool) {
        if self.rng.one_in(3) {
            args.push(self.in_some_case("overflow"));
            let mode = self.rng.pick(&["wrap", "sat", "fail", "sat", "fail", "no"]);
            args.push(self.in_some_case(mode));
        }
        let action = if only_get {
            "get"
        } else {
            self.rng.pick(&["get", "set", "incrby"])
        };
        args.push(self.in_some_case(action));
        let sign = self.rng.pick(&["i", "u"]);
        let width = match self.rng.below(3) {
            0 => self
                .rng
                .pick(&["1", "2", "8", "16", "32", "62", "63", "64", "65", "0", ""]),
            _ => self
                .rng
                .pick(&["3", "5", "7", "8", "9", "13", "31", "33", "63"]),
        };
        args.push(format!("{sign}{width}").into());
        let offset = match self.rng.below(3) {
            0 => [b"#".to_vec(), number(self.rng.between(-1, 12))].concat(),
            _ => self.bit_offset(),
        };
        args.push(offset);
        if action != "get" {
            let operand = match self.rng.below(3) {
                0 => number(self.rng.next() as i64),
                _ => self.int(),
            };
            args.push(operand);
        }
    }

    /// A serialized value, sometimes damaged.
    fn dump(&mut self) -> Vec<u8> {
        if self.dumps.is_empty() {
            return self.junk();
        }
        let at = self.rng.below(self.dumps.len());
        let mut dump = self.dumps[at].clone();
        match self.rng.below(12) {
            0 => dump.truncate(self.rng.below(dump.len())),
            1 => {
                let at = self.rng.below(dump.len());
                dump[at] ^= 1 << self.rng.below(8);
            }
            _ => {}
        }
        dump
    }

    fn db(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.junk(),
            1 => self.rng.pick(&["16", "2147483648", "99999999999"]).into(),
            n => number(n as i64 % 3),
        }
    }

    fn expire_condition(&mut self, args: &mut Args) {
        for _ in 0..[0, 0, 0, 1, 1, 1, 2][self.rng.below(7)] {
            let option = self
                .rng
                .pick(&["nx", "xx", "gt", "lt", "xx", "gt", "lt", "no"]);
            args.push(self.in_some_case(option));
        }
    }

    fn pattern(&mut self) -> Vec<u8> {
        const PATTERNS: &[&str] = &[
            "*",
            "k*",
            "k?",
            "?[12]",
            "k[^1]",
            "*key*",
            "k\\*[[]*",
            "a-*-bytes",
            "[",
            "",
            "k1",
            "[a-k]*",
        ];
        self.rng.pick(PATTERNS).into()
    }

    fn keys(&mut self, args: &mut Args, most: usize) {
        for _ in 0..=self.rng.below(most) {
            args.push(self.key());
        }
    }
}

fn number(value: i64) -> Vec<u8> {
    value.to_string().into()
}

const fn shape(name: &'static str, weight: usize, args: fn(&mut Generator, &mut Args)) -> Shape {
    Shape {
        name,
        compare: Compare::Exact,
        weight,
        args,
    }
}

const fn compared(compare: Compare, shape: Shape) -> Shape {
    Shape { compare, ..shape }
}

static SHAPES: &[Shape] = &[
    shape("get", 30, |g, args| args.push(g.key())),
    shape("set", 30, |g, args| {
        args.push(g.key());
        args.push(g.value());
        if g.rng.one_in(3) {
            g.maybe(args, 6, &["nx", "xx", "get", "keepttl"]);
            if g.rng.one_in(2) {
                g.expiry(args);
            }
            g.maybe(args, 6, &["get", "nx", "keepttl", "persist"]);
            if g.rng.one_in(12) {
                g.expiry(args);
            }
        }
    }),
    shape("setnx", 3, |g, args| {
        args.push(g.key());
        args.push(g.value());
    }),
    shape("setex", 3, |g, args| {
        args.push(g.key());
        args.push(g.seconds());
        args.push(g.value());
    }),
    shape("psetex", 3, |g, args| {
        args.push(g.key());
        args.push(g.milliseconds());
        args.push(g.value());
    }),
    shape("getex", 6, |g, args| {
        args.push(g.key());
        g.maybe(args, 4, &["persist"]);
        if g.rng.one_in(2) {
            g.expiry(args);
        }
        g.maybe(args, 10, &["persist", "keepttl", "nx"]);
    }),
    shape("getdel", 4, |g, args| args.push(g.key())),
    shape("getset", 4, |g, args| {
        args.push(g.key());
        args.push(g.value());
    }),
    shape("mget", 4, |g, args| g.keys(args, 4)),
    shape("mset", 4, |g, args| {
        for _ in 0..=g.rng.below(3) {
            args.push(g.key());
            args.push(g.value());
        }
    }),
    shape("msetnx", 3, |g, args| {
        for _ in 0..=g.rng.below(3) {
            args.push(g.key());
            args.push(g.value());
        }
    }),
    shape("append", 6, |g, args| {
        args.push(g.key());
        args.push(g.value());
    }),
    shape("strlen", 4, |g, args| args.push(g.key())),
    shape("setrange", 6, |g, args| {
        args.push(g.key());
        args.push(match g.rng.below(12) {
            0 => g.junk(),
            1 => b"536870912".into(),
            2 => b"536870911".into(),
            3 => number(g.rng.between(1000, 9000)),
            _ => number(g.rng.between(-2, 40)),
        });
        // A byte at the last allowed offset would make half a gigabyte.
        let at_the_limit = args[2] == b"536870911";
        args.push(if at_the_limit {
            b"xy".into()
        } else {
            g.value()
        });
    }),
    shape("getrange", 6, |g, args| {
        args.push(g.key());
        args.push(g.index());
        args.push(g.index());
    }),
    shape("substr", 2, |g, args| {
        args.push(g.key());
        args.push(g.index());
        args.push(g.index());
    }),
    shape("incr", 6, |g, args| args.push(g.key())),
    shape("decr", 6, |g, args| args.push(g.key())),
    shape("incrby", 6, |g, args| {
        args.push(g.key());
        args.push(g.int());
    }),
    shape("decrby", 6, |g, args| {
        args.push(g.key());
        args.push(g.int());
    }),
    shape("incrbyfloat", 8, |g, args| {
        args.push(g.key());
        args.push(g.float());
    }),
    shape("lcs", 2, |g, args| {
        args.push(g.key());
        args.push(g.key());
        g.maybe(args, 4, &["len", "idx"]);
        if g.rng.one_in(3) {
            args.push(g.in_some_case("minmatchlen"));
            args.push(g.index());
        }
        g.maybe(args, 4, &["withmatchlen", "idx"]);
    }),
    shape("setbit", 6, |g, args| {
        args.push(g.key());
        args.push(g.bit_offset());
        args.push(match g.rng.below(10) {
            0 => g.int(),
            n => number(n as i64 % 2),
        });
    }),
    shape("getbit", 4, |g, args| {
        args.push(g.key());
        args.push(g.bit_offset());
    }),
    shape("bitcount", 6, |g, args| {
        args.push(g.key());
        g.bit_range(args);
    }),
    shape("bitpos", 6, |g, args| {
        args.push(g.key());
        args.push(match g.rng.below(10) {
            0 => g.int(),
            n => number(n as i64 % 2),
        });
        g.bit_range(args);
    }),
    shape("bitop", 8, |g, args| {
        let op = g.rng.pick(&["and", "or", "xor", "not", "not", "nand"]);
        args.push(g.in_some_case(op));
        args.push(g.key());
        if op == "not" && !g.rng.one_in(10) {
            args.push(g.key());
        } else {
            g.keys(args, 4);
        }
    }),
    shape("bitfield", 12, |g, args| {
        args.push(g.key());
        for _ in 0..g.rng.below(5) {
            g.bitfield_op(args, false);
        }
    }),
    shape("bitfield_ro", 6, |g, args| {
        args.push(g.key());
        for _ in 0..g.rng.below(4) {
            let only_get = !g.rng.one_in(20);
            g.bitfield_op(args, only_get);
        }
    }),
    shape("del", 6, |g, args| g.keys(args, 2)),
    shape("unlink", 3, |g, args| g.keys(args, 2)),
    shape("exists", 4, |g, args| g.keys(args, 3)),
    shape("touch", 3, |g, args| g.keys(args, 3)),
    shape("type", 3, |g, args| args.push(g.key())),
    shape("rename", 6, |g, args| {
        args.push(g.key());
        args.push(g.key());
    }),
    shape("renamenx", 6, |g, args| {
        args.push(g.key());
        args.push(g.key());
    }),
    shape("copy", 8, |g, args| {
        args.push(g.key());
        args.push(g.key());
        g.maybe(args, 3, &["replace"]);
        if g.rng.one_in(3) {
            args.push(g.in_some_case("db"));
            args.push(g.db());
        }
        g.maybe(args, 6, &["replace"]);
    }),
    shape("move", 5, |g, args| {
        args.push(g.key());
        args.push(g.db());
    }),
    shape("expire", 5, |g, args| {
        args.push(g.key());
        args.push(g.seconds());
        g.expire_condition(args);
    }),
    shape("expireat", 5, |g, args| {
        args.push(g.key());
        args.push(g.unix_seconds());
        g.expire_condition(args);
    }),
    shape("pexpire", 5, |g, args| {
        args.push(g.key());
        args.push(g.milliseconds());
        g.expire_condition(args);
    }),
    shape("pexpireat", 5, |g, args| {
        args.push(g.key());
        args.push(g.unix_milliseconds());
        g.expire_condition(args);
    }),
    compared(NEAR_SECONDS, shape("ttl", 4, |g, args| args.push(g.key()))),
    compared(
        NEAR_MILLISECONDS,
        shape("pttl", 4, |g, args| args.push(g.key())),
    ),
    compared(
        NEAR_SECONDS,
        shape("expiretime", 4, |g, args| args.push(g.key())),
    ),
    compared(
        NEAR_MILLISECONDS,
        shape("pexpiretime", 4, |g, args| args.push(g.key())),
    ),
    shape("persist", 4, |g, args| args.push(g.key())),
    shape("object encoding", 8, |g, args| args.push(g.key())),
    shape("object freq", 1, |g, args| args.push(g.key())),
    // Redis shares small integers among keys: they are as old as the server, and how many refer to one depends on how
    // it was made.
    compared(
        ANY_COUNT,
        shape("object idletime", 3, |g, args| args.push(g.key())),
    ),
    compared(
        ANY_COUNT,
        shape("object refcount", 1, |g, args| args.push(g.key())),
    ),
    shape("object help", 1, |_, _| {}),
    shape("object nonsense", 1, |g, args| args.push(g.key())),
    compared(
        Compare::Unordered,
        shape("keys", 3, |g, args| args.push(g.pattern())),
    ),
    compared(
        Compare::Unordered,
        shape("scan", 6, |g, args| {
            args.push(match g.rng.below(10) {
                0 => g
                    .rng
                    .pick(&["abc", "1x", "1.5", "18446744073709551616", " 1"])
                    .into(),
                1 => g.rng.pick(&["-0", "+0", "00", ""]).into(),
                _ => number(0),
            });
            // So many that one answer has them all: cursors are the server's own.
            args.push(g.in_some_case("count"));
            args.push(number(1_000_000));
            if g.rng.one_in(3) {
                args.push(g.in_some_case("match"));
                args.push(g.pattern());
            }
            if g.rng.one_in(3) {
                args.push(g.in_some_case("type"));
                args.push(g.rng.pick(&["string", "STRING", "list", "nothing"]).into());
            }
        }),
    ),
    compared(Compare::Kind, shape("randomkey", 1, |_, _| {})),
    shape("dbsize", 3, |_, _| {}),
    shape("flushdb", 1, |g, args| g.maybe(args, 4, &["sync", "async"])),
    shape("flushall", 1, |g, args| {
        g.maybe(args, 4, &["sync", "async"]);
    }),
    shape("swapdb", 2, |g, args| {
        args.push(g.db());
        args.push(g.db());
    }),
    compared(
        Compare::Dump,
        shape("dump", 8, |g, args| args.push(g.key())),
    ),
    shape("restore", 8, |g, args| {
        args.push(g.key());
        args.push(match g.rng.below(4) {
            0 => g.milliseconds(),
            1 => g.unix_milliseconds(),
            _ => b"0".into(),
        });
        args.push(g.dump());
        g.maybe(args, 2, &["replace", "absttl"]);
        if g.rng.one_in(6) {
            args.push(g.in_some_case("idletime"));
            args.push(g.index());
        }
        if g.rng.one_in(6) {
            args.push(g.in_some_case("freq"));
            args.push(g.int());
        }
        g.maybe(args, 20, &["replace", "idletime", "freq"]);
    }),
    shape("select", 4, |g, args| args.push(g.db())),
];

/// The two servers do not look at their clocks at the same moment.
const NEAR_SECONDS: Compare = Compare::Near(3);
const NEAR_MILLISECONDS: Compare = Compare::Near(3000);
const ANY_COUNT: Compare = Compare::Near(i64::MAX);
