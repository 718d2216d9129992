//! SORT.

use super::{Args, Compare, Generator, LIST_KEYS, SET_KEYS, Shape, compared, number, shape};

/// A list, a set and a sorted set of numbers only, so that most of them can be sorted.
const LIST: &str = "o1";
const SET: &str = "o2";
const ZSET: &str = "o3";

pub const SHAPES: &[Shape] = &[
    shape("rpush", 4, |g, args| {
        args.push(LIST.into());
        for _ in 0..=g.rng.below(5) {
            args.push(weight(g));
        }
    }),
    shape("ltrim", 1, |_, args| {
        args.extend([LIST, "-20", "-1"].map(Vec::from));
    }),
    shape("sadd", 4, |g, args| {
        args.push(SET.into());
        for _ in 0..=g.rng.below(5) {
            args.push(weight(g));
        }
    }),
    shape("del", 1, |_, args| args.push(SET.into())),
    // What elements lead to. None of them is out of the range of numbers: Redis would hold it against the next ones.
    shape("set", 4, |g, args| {
        args.push(format!("n{}", g.rng.below(10)).into());
        args.push(weight(g));
    }),
    shape("sort", 8, |g, args| {
        ordered(g, args);
        if g.rng.one_in(3) {
            args.push(g.in_some_case("store"));
            let target = g.rng.pick(&[LIST, "l1", "s1", "k1"]);
            args.push(target.into());
        }
        options(g, args);
    }),
    shape("sort_ro", 5, |g, args| {
        ordered(g, args);
        options(g, args);
        g.maybe(args, 30, &["store"]);
    }),
    // Elements with the same text to be sorted by come in any order.
    compared(
        Compare::Unordered,
        shape("sort", 3, |g, args| {
            args.push(key(g));
            let pattern = g.rng.pick(&["k*", "h*->1", "n*"]);
            args.extend(["by", pattern, "alpha"].map(Vec::from));
            get(g, args);
        }),
    ),
    shape("zadd", 4, |g, args| {
        args.push(ZSET.into());
        for _ in 0..=g.rng.below(3) {
            args.push(number(g.rng.between(-9, 9)));
            args.push(weight(g));
        }
    }),
    shape("sort", 3, |g, args| {
        args.push(ZSET.into());
        options(g, args);
    }),
    shape("sort", 3, |g, args| {
        args.extend([ZSET, "by", "nosort"].map(Vec::from));
        options(g, args);
    }),
    // The order of a list; a set has none.
    shape("sort", 3, |g, args| {
        args.extend([LIST, "by", "nosort"].map(Vec::from));
        options(g, args);
    }),
    compared(
        Compare::Unordered,
        shape("sort", 2, |g, args| {
            args.push(key(g));
            args.extend(["by", ""].map(Vec::from));
            get(g, args);
        }),
    ),
];

/// A number. Those that are near each other in bytes are not in value.
fn weight(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(8) {
        0 => format!("{}.5", g.rng.between(-9, 9)).into(),
        1 => g.rng.pick(&["1e3", "0x1F", " 7", "+3", "-0", "inf"]).into(),
        _ => number(g.rng.between(-3, 40)),
    }
}

fn key(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(6) {
        0 => g.key_of(SET_KEYS),
        1 => g.key_of(LIST_KEYS),
        2 | 3 => SET.into(),
        _ => LIST.into(),
    }
}

/// A key to sort, in an order that leaves no choice: members of other sets may be the same up to a zero.
fn ordered(g: &mut Generator, args: &mut Args) {
    args.push(match g.rng.below(5) {
        0 => g.key_of(LIST_KEYS),
        1 | 2 => SET.into(),
        _ => LIST.into(),
    });
    if g.rng.one_in(3) {
        args.push(b"by".into());
        args.push(b"n*".into());
    } else {
        g.maybe(args, 2, &["alpha"]);
    }
}

fn options(g: &mut Generator, args: &mut Args) {
    g.maybe(args, 3, &["desc", "asc"]);
    if g.rng.one_in(3) {
        args.push(g.in_some_case("limit"));
        args.push(number(g.rng.between(-1, 12)));
        args.push(number(g.rng.between(-1, 12)));
    }
    get(g, args);
}

fn get(g: &mut Generator, args: &mut Args) {
    const PATTERNS: &[&str] = &[
        "#", "n*", "k*", "h*->1", "h*->f1", "none*", "s*", "*", "k1", "n*->", "",
    ];
    for _ in 0..[0, 0, 0, 1, 2][g.rng.below(5)] {
        args.push(g.in_some_case("get"));
        args.push(g.rng.pick(PATTERNS).into());
    }
}
