//! Sets.

use super::{Args, Compare, Generator, SET_KEYS, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("sadd", 24, |g, args| {
        args.push(g.key_of(SET_KEYS));
        // Now and then so many integers that they are no longer kept as such.
        let most = if g.rng.one_in(20) { 700 } else { 6 };
        for _ in 0..=g.rng.below(most) {
            let member = if most > 6 {
                number(g.rng.between(0, 5000))
            } else {
                member(g)
            };
            args.push(member);
        }
    }),
    shape("srem", 10, |g, args| {
        args.push(g.key_of(SET_KEYS));
        for _ in 0..=g.rng.below(6) {
            args.push(member(g));
        }
    }),
    shape("smove", 8, |g, args| {
        args.push(g.key_of(SET_KEYS));
        args.push(g.key_of(SET_KEYS));
        args.push(member(g));
    }),
    shape("sismember", 4, |g, args| {
        args.push(g.key_of(SET_KEYS));
        args.push(member(g));
    }),
    shape("smismember", 4, |g, args| {
        args.push(g.key_of(SET_KEYS));
        for _ in 0..=g.rng.below(4) {
            args.push(member(g));
        }
    }),
    shape("scard", 4, |g, args| args.push(g.key_of(SET_KEYS))),
    compared(
        Compare::Unordered,
        shape("smembers", 8, |g, args| args.push(g.key_of(SET_KEYS))),
    ),
    compared(
        Compare::Kind,
        shape("spop", 4, |g, args| {
            args.push(g.key_of(SET_KEYS));
            if g.rng.one_in(2) {
                args.push(number(g.rng.between(-1, 12)));
            }
        }),
    ),
    compared(
        Compare::Kind,
        shape("srandmember", 6, |g, args| {
            args.push(g.key_of(SET_KEYS));
            if g.rng.one_in(2) {
                args.push(number(g.rng.between(-20, 20)));
            }
        }),
    ),
    compared(
        Compare::Unordered,
        shape("sscan", 6, |g, args| {
            args.push(g.key_of(SET_KEYS));
            args.push(g.rng.pick(&["0", "0", "0", "00", "abc", "-0"]).into());
            // So many that one answer has them all: cursors are the server's own.
            args.push(g.in_some_case("count"));
            args.push(number(1_000_000));
            if g.rng.one_in(3) {
                args.push(g.in_some_case("match"));
                args.push(g.rng.pick(&["*", "1*", "?", "[0-5]?", "*o*"]).into());
            }
            if g.rng.one_in(10) {
                args.push(g.in_some_case("type"));
                args.push(b"set".into());
            }
        }),
    ),
    compared(Compare::Unordered, shape("sinter", 6, set_keys)),
    compared(Compare::Unordered, shape("sunion", 6, set_keys)),
    compared(Compare::Unordered, shape("sdiff", 6, set_keys)),
    shape("sinterstore", 5, store),
    shape("sunionstore", 5, store),
    shape("sdiffstore", 5, store),
    shape("sintercard", 6, |g, args| {
        let count = g.rng.below(4);
        args.push(number(count as i64));
        for _ in 0..count {
            args.push(g.key_of(SET_KEYS));
        }
        if g.rng.one_in(2) {
            args.push(g.in_some_case("limit"));
            args.push(number(g.rng.between(-1, 5)));
        }
    }),
];

fn member(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(16) {
        0 => g.value(),
        1 => g.int(),
        2 => g.rng.pick(&["one", "two", "three", "fourty-four"]).into(),
        _ => number(g.rng.between(0, 24)),
    }
}

fn set_keys(g: &mut Generator, args: &mut Args) {
    for _ in 0..=g.rng.below(3) {
        args.push(g.key_of(SET_KEYS));
    }
}

fn store(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(SET_KEYS));
    set_keys(g, args);
}
