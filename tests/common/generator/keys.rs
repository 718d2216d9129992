//! Keys, databases, serialized values.

use super::{ANY_COUNT, Compare, NEAR_MILLISECONDS, NEAR_SECONDS, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
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
    compared(
        Compare::Encoding,
        shape("object encoding", 8, |g, args| args.push(g.key())),
    ),
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
                args.push(
                    g.rng
                        .pick(&[
                            "string", "STRING", "list", "hash", "set", "zset", "stream", "nothing",
                        ])
                        .into(),
                );
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
