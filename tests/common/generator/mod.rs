//! Random requests over few keys, with how to compare two servers' answers to them.
//!
//! Most requests are right; some have an argument too many, too few or a wrong one. No request depends on a time that
//! is near: times to live are long, or over at once.

mod bitmaps;
mod geo;
mod hashes;
mod hll;
mod keys;
mod lists;
mod sets;
mod sort;
mod streams;
mod strings;
mod zsets;

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
    /// As encodings. SORT makes a large sorted set of a small one; in Redis also where it fails, which changes nothing here.
    Encoding,
    /// Both null, both a string, or both with as many elements.
    Kind,
    /// But for times, which may differ a little, and for what later versions of Redis tell of consumers besides.
    Times,
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
            (Compare::Times, a, b) => streams::agree_but_for_times(a, b),
            (Compare::Near(most), Reply::Integer(a), Reply::Integer(b)) => {
                // Negative answers are codes, not times.
                *a >= 0 && *b >= 0 && a.abs_diff(*b) <= most.unsigned_abs()
            }
            (Compare::Encoding, Reply::Bulk(a), Reply::Bulk(b)) => {
                a == b"skiplist" && b == b"listpack"
            }
            (Compare::Kind, Reply::Bulk(_), Reply::Bulk(_)) => true,
            (Compare::Kind, Reply::Array(a), Reply::Array(b))
            | (Compare::Kind, Reply::Set(a), Reply::Set(b)) => a.len() == b.len(),
            _ => false,
        }
    }
}

fn sorted(reply: &Reply) -> Reply {
    let all = |items: &[Reply]| {
        let mut items: Vec<Reply> = items.iter().map(sorted).collect();
        items.sort_by_key(|item| format!("{item:?}"));
        items
    };
    match reply {
        Reply::Array(items) => Reply::Array(all(items)),
        Reply::Set(items) => Reply::Set(all(items)),
        Reply::Map(items) => {
            let pairs = items.chunks(2).map(|pair| Reply::Array(pair.to_vec()));
            Reply::Map(all(&pairs.collect::<Vec<_>>()))
        }
        other => other.clone(),
    }
}

/// Requests that tell all of a key's value, whatever its type.
pub const READS: &[(Compare, &[&str])] = &[
    (Compare::Exact, &["object", "encoding", READ_KEY]),
    (Compare::Exact, &["get", READ_KEY]),
    (Compare::Exact, &["lrange", READ_KEY, "0", "-1"]),
    (Compare::Exact, &["xinfo", "stream", READ_KEY]),
    (Compare::Exact, &["xinfo", "groups", READ_KEY]),
    (Compare::Unordered, &["hgetall", READ_KEY]),
    (Compare::Unordered, &["smembers", READ_KEY]),
    (
        Compare::Exact,
        &["zrange", READ_KEY, "0", "-1", "withscores"],
    ),
];

/// The key that [`READS`] are about.
pub const READ_KEY: &str = "restored";

#[derive(Clone, Debug)]
pub struct Request {
    pub args: Args,
    pub compare: Compare,
}

impl Request {
    /// What has to follow an answer so that two servers hold the same again.
    pub fn aftermath(&self, answer: &Answer) -> Option<Self> {
        let name = self.args[0].to_ascii_lowercase();
        let differ = match (name.as_slice(), &answer.reply) {
            // Redis keeps what it had changed before it met the damage.
            (_, Reply::Error(line)) => line.starts_with("INVALIDOBJ") || line.contains("PFDEBUG"),
            (b"spop", _) => true,
            _ => false,
        };
        let keys = self.args[1..].iter().cloned();
        differ.then(|| Self {
            args: std::iter::once(b"del".to_vec()).chain(keys).collect(),
            compare: Compare::Exact,
        })
    }
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

/// Every well-formed request is about these, or about those of its type.
const KEYS: &[&str] = &[
    "k1",
    "k2",
    "k3",
    "k4",
    "a-key-of-more-than-sixteen-bytes",
    "k*[\u{0}]",
];

/// Keys that commands of one type are mostly about, so that most of them find their own type.
const LIST_KEYS: &[&str] = &["l1", "l2", "l3"];
const HASH_KEYS: &[&str] = &["h1", "h2", "h3"];
const SET_KEYS: &[&str] = &["s1", "s2", "s3", "s4"];
const ZSET_KEYS: &[&str] = &["z1", "z2", "z3", "z4"];
const STREAM_KEYS: &[&str] = &["x1", "x2", "x3"];
const GEO_KEYS: &[&str] = &["g1", "g2"];
const HLL_KEYS: &[&str] = &["p1", "p2", "p3"];
const TYPED_KEYS: &[&[&str]] = &[
    LIST_KEYS,
    HASH_KEYS,
    SET_KEYS,
    ZSET_KEYS,
    STREAM_KEYS,
    GEO_KEYS,
    HLL_KEYS,
];

/// Commands that wait, for a time that their shapes choose.
const BLOCKING: &[&str] = &[
    "blpop",
    "brpop",
    "blmove",
    "brpoplpush",
    "blmpop",
    "bzpopmin",
    "bzpopmax",
    "bzmpop",
];

/// A command that the generator knows.
#[derive(Clone, Copy)]
pub struct Shape {
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
    /// The time in the ids of the last entry of streams.
    stream_ms: i64,
}

impl Generator {
    /// A generator of the commands for which `allowed` says yes.
    pub fn new(seed: u64, allowed: impl Fn(&str) -> bool) -> Self {
        let allowed: Vec<_> = shapes().filter(|shape| allowed(shape.name)).collect();
        Self {
            rng: Rng::new(seed),
            dumps: Vec::new(),
            pending: None,
            stream_ms: 100,
            weight_total: allowed.iter().map(|shape| shape.weight).sum(),
            allowed,
        }
    }

    /// The names of all commands that a generator knows.
    pub fn commands() -> impl Iterator<Item = &'static str> {
        shapes().map(|shape| shape.name)
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
        let typed = TYPED_KEYS.iter().copied().flatten();
        let first: Vec<&str> = match shape.name {
            // A key that has expired counts until somebody meets it, so let both servers meet every key before.
            "dbsize" => ["exists"]
                .iter()
                .chain(KEYS)
                .chain(typed)
                .chain(JUNK)
                .copied()
                .collect(),
            // Redis holds a number that was out of range against every SORT until it has read one that is not.
            "sort" | "sort_ro" => ["incrbyfloat", "number", "1"].to_vec(),
            _ => return request,
        };
        self.pending = Some(request);
        Request {
            args: first.into_iter().map(Vec::from).collect(),
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
        // It could wait for ever.
        let waits = |arg: &[u8]| arg.eq_ignore_ascii_case(b"block");
        if args.iter().any(|arg| waits(arg))
            || BLOCKING
                .iter()
                .any(|name| args[0].eq_ignore_ascii_case(name.as_bytes()))
        {
            return;
        }
        // Another score, and ranges of members would have no meaning: what Redis finds then depends on the random heights
        // of its skip list.
        let key = args.get(1).map_or(&[][..], Vec::as_slice);
        if args[0].eq_ignore_ascii_case(b"zadd") && zsets::is_lex_key(key) {
            return;
        }
        // A subcommand stays, and a cursor, which is each server's own.
        let fixed = match args[0].to_ascii_lowercase().as_slice() {
            b"object" | b"scan" | b"xgroup" | b"xinfo" => 2,
            // And a count of random fields: which ones come is compared only where it asks for all.
            b"sscan" | b"hscan" | b"hrandfield" => 3,
            // Without its pattern a set would not be sorted.
            b"sort" | b"sort_ro" if args.get(2).is_some_and(|word| word == b"by") => 4,
            _ => 1,
        };
        match self.rng.below(3) {
            0 if args.len() > fixed => {
                args.pop();
            }
            // Where newer versions take an argument more, the fault is another.
            1 if args[0].eq_ignore_ascii_case(b"zrank") => {}
            1 if args[0].eq_ignore_ascii_case(b"zrevrank") => {}
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

    /// A key of any type.
    fn key(&mut self) -> Vec<u8> {
        if self.rng.one_in(3) {
            let family = TYPED_KEYS[self.rng.below(TYPED_KEYS.len())];
            return self.rng.pick(family).into();
        }
        self.rng.pick(KEYS).into()
    }

    /// A key that mostly holds a value of the type for which `names` are kept, or nothing.
    fn key_of(&mut self, names: &'static [&'static str]) -> Vec<u8> {
        const ANY_ONE_IN: usize = 12;
        if self.rng.one_in(ANY_ONE_IN) {
            return self.key();
        }
        self.rng.pick(names).into()
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

/// The shapes of each family of commands.
const FAMILIES: &[&[Shape]] = &[
    strings::SHAPES,
    bitmaps::SHAPES,
    keys::SHAPES,
    lists::SHAPES,
    hashes::SHAPES,
    sets::SHAPES,
    zsets::SHAPES,
    streams::SHAPES,
    geo::SHAPES,
    hll::SHAPES,
    sort::SHAPES,
];

fn shapes() -> impl Iterator<Item = &'static Shape> {
    FAMILIES.iter().copied().flatten()
}

/// The two servers do not look at their clocks at the same moment.
const NEAR_SECONDS: Compare = Compare::Near(3);
const NEAR_MILLISECONDS: Compare = Compare::Near(3000);
const ANY_COUNT: Compare = Compare::Near(i64::MAX);
