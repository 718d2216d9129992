//! Strings.

use super::{Shape, number, shape};

pub const SHAPES: &[Shape] = &[
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
];
