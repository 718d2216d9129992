//! Sorted sets.

use super::{Args, Compare, Generator, SET_KEYS, Shape, ZSET_KEYS, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("zadd", 40, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        if g.rng.one_in(3) {
            g.maybe(args, 4, &["nx", "xx", "gt", "lt", "ch", "incr", "ch"]);
        }
        // Now and then so many that the set is no longer a small one.
        let most = if g.rng.one_in(30) { 160 } else { 5 };
        for _ in 0..=g.rng.below(most) {
            args.push(score(g));
            args.push(if most > 5 {
                number(g.rng.between(0, 400))
            } else {
                member(g)
            });
        }
    }),
    shape("zadd", 12, |g, args| {
        args.push(lex_key(g));
        let most = if g.rng.one_in(20) { 160 } else { 4 };
        for _ in 0..=g.rng.below(most) {
            args.push(b"0".into());
            args.push(if most > 4 {
                number(g.rng.between(0, 400))
            } else {
                member(g)
            });
        }
    }),
    shape("zrem", 3, |g, args| {
        args.push(lex_key(g));
        args.push(member(g));
    }),
    shape("zincrby", 10, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        args.push(score(g));
        args.push(member(g));
    }),
    shape("zrem", 10, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        for _ in 0..=g.rng.below(4) {
            args.push(member(g));
        }
    }),
    shape("zscore", 6, key_and_member),
    shape("zmscore", 4, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        for _ in 0..=g.rng.below(4) {
            args.push(member(g));
        }
    }),
    shape("zcard", 4, |g, args| args.push(g.key_of(ZSET_KEYS))),
    shape("zrank", 6, key_and_member),
    shape("zrevrank", 6, key_and_member),
    compared(
        Compare::Unordered,
        shape("zscan", 5, |g, args| {
            args.push(g.key_of(ZSET_KEYS));
            args.push(b"0".into());
            args.push(b"count".into());
            args.push(b"100000".into());
            if g.rng.one_in(3) {
                args.push(b"match".into());
                args.push(g.pattern());
            }
        }),
    ),
    shape("zcount", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        score_bounds(g, args);
    }),
    shape("zlexcount", 3, |g, args| {
        args.push(lex_key(g));
        member_bounds(g, args);
    }),
    shape("zrange", 16, |g, args| {
        let by = g.rng.below(4);
        let key = if by == 2 {
            lex_key(g)
        } else {
            g.key_of(ZSET_KEYS)
        };
        args.push(key);
        range(g, args, by);
        g.maybe(args, 3, &["withscores", "rev"]);
    }),
    shape("zrangestore", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        let by = g.rng.below(4);
        let key = if by == 2 {
            lex_key(g)
        } else {
            g.key_of(ZSET_KEYS)
        };
        args.push(key);
        range(g, args, by);
        g.maybe(args, 3, &["rev"]);
    }),
    shape("zrevrange", 5, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        args.push(g.index());
        args.push(g.index());
        g.maybe(args, 3, &["withscores"]);
    }),
    shape("zrangebyscore", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        score_bounds(g, args);
        g.maybe(args, 3, &["withscores"]);
        limit(g, args);
    }),
    shape("zrevrangebyscore", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        score_bounds(g, args);
        limit(g, args);
        g.maybe(args, 3, &["withscores"]);
    }),
    shape("zrangebylex", 5, |g, args| {
        args.push(lex_key(g));
        member_bounds(g, args);
        limit(g, args);
    }),
    shape("zrevrangebylex", 5, |g, args| {
        args.push(lex_key(g));
        member_bounds(g, args);
        limit(g, args);
    }),
    shape("zremrangebyrank", 3, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        args.push(g.index());
        args.push(g.index());
    }),
    shape("zremrangebyscore", 3, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        score_bounds(g, args);
    }),
    shape("zremrangebylex", 2, |g, args| {
        args.push(lex_key(g));
        member_bounds(g, args);
    }),
    shape("zpopmin", 4, pop),
    shape("zpopmax", 4, pop),
    shape("zmpop", 5, |g, args| {
        counted_keys(g, args);
        end_and_count(g, args);
    }),
    shape("bzmpop", 4, |g, args| {
        args.push(g.timeout());
        counted_keys(g, args);
        end_and_count(g, args);
    }),
    shape("bzpopmin", 4, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        args.push(g.key_of(ZSET_KEYS));
        args.push(g.timeout());
    }),
    shape("bzpopmax", 4, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        args.push(g.timeout());
    }),
    // Sorted sets alone, so that enough of them are compared.
    compared(
        Compare::Dump,
        shape("dump", 8, |g, args| args.push(g.key_of(ZSET_KEYS))),
    ),
    compared(
        Compare::Kind,
        shape("zrandmember", 4, |g, args| {
            args.push(g.key_of(ZSET_KEYS));
            if g.rng.one_in(2) {
                args.push(number(g.rng.between(-12, 12)));
                g.maybe(args, 3, &["withscores"]);
            }
        }),
    ),
    shape("zunion", 6, |g, args| {
        counted_keys(g, args);
        combination(g, args);
        g.maybe(args, 2, &["withscores"]);
    }),
    shape("zinter", 6, |g, args| {
        counted_keys(g, args);
        combination(g, args);
        g.maybe(args, 2, &["withscores"]);
    }),
    shape("zdiff", 5, |g, args| {
        counted_keys(g, args);
        g.maybe(args, 2, &["withscores"]);
    }),
    shape("zunionstore", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        counted_keys(g, args);
        combination(g, args);
    }),
    shape("zinterstore", 6, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        counted_keys(g, args);
        combination(g, args);
    }),
    shape("zdiffstore", 4, |g, args| {
        args.push(g.key_of(ZSET_KEYS));
        counted_keys(g, args);
        g.maybe(args, 20, &["withscores"]);
    }),
    shape("zintercard", 5, |g, args| {
        counted_keys(g, args);
        if g.rng.one_in(2) {
            args.push(g.in_some_case("limit"));
            args.push(number(g.rng.between(-1, 5)));
        }
    }),
];

/// Sets whose members all have one score, so that ranges of members mean something. No other shape names them.
const LEX_KEYS: &[&str] = &["lex1", "lex2"];

fn lex_key(g: &mut Generator) -> Vec<u8> {
    g.rng.pick(LEX_KEYS).into()
}

pub fn is_lex_key(key: &[u8]) -> bool {
    LEX_KEYS.iter().any(|name| name.as_bytes() == key)
}

fn key_and_member(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(ZSET_KEYS));
    args.push(member(g));
}

fn pop(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(ZSET_KEYS));
    if g.rng.one_in(2) {
        args.push(number(g.rng.between(-1, 6)));
    }
}

fn member(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(12) {
        0 => g.value(),
        1..4 => number(g.rng.between(-3, 12)),
        _ => g
            .rng
            .pick(&["a", "b", "c", "d", "e", "aa", "ab", "f", ""])
            .into(),
    }
}

fn score(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(12) {
        0 => g.float(),
        1 => g
            .rng
            .pick(&["inf", "-inf", "+inf", "1e300", "-1e-300", "1e17", "0x10"])
            .into(),
        2 => g
            .rng
            .pick(&["0.1", "3.14159265358979", "-2.5", "1000000000000000000000"])
            .into(),
        _ => number(g.rng.between(-5, 5)),
    }
}

fn score_bound(g: &mut Generator) -> Vec<u8> {
    let score = score(g);
    if g.rng.one_in(3) {
        [b"(".to_vec(), score].concat()
    } else {
        score
    }
}

fn score_bounds(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(3) {
        args.push(b"-inf".into());
        args.push(b"+inf".into());
        return;
    }
    args.push(score_bound(g));
    args.push(score_bound(g));
}

fn member_bound(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(10) {
        0 => member(g),
        1 => b"-".into(),
        2 => b"+".into(),
        3..6 => [b"(".to_vec(), member(g)].concat(),
        _ => [b"[".to_vec(), member(g)].concat(),
    }
}

fn member_bounds(g: &mut Generator, args: &mut Args) {
    args.push(member_bound(g));
    args.push(member_bound(g));
}

fn limit(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(3) {
        args.push(g.in_some_case("limit"));
        args.push(number(g.rng.between(-1, 4)));
        args.push(number(g.rng.between(-2, 5)));
    }
}

/// Bounds with the word that says what they are: scores, members, or ranks without a word.
fn range(g: &mut Generator, args: &mut Args, by: usize) {
    match by {
        1 => {
            score_bounds(g, args);
            args.push(g.in_some_case("byscore"));
            limit(g, args);
        }
        2 => {
            member_bounds(g, args);
            args.push(g.in_some_case("bylex"));
            limit(g, args);
        }
        _ => {
            args.push(g.index());
            args.push(g.index());
            if g.rng.one_in(12) {
                limit(g, args);
            }
        }
    }
}

fn counted_keys(g: &mut Generator, args: &mut Args) {
    let count = 1 + g.rng.below(3);
    args.push(match g.rng.below(20) {
        0 => g.index(),
        _ => number(count as i64),
    });
    for _ in 0..count {
        args.push(match g.rng.below(5) {
            0 => g.key_of(SET_KEYS),
            _ => g.key_of(ZSET_KEYS),
        });
    }
}

fn combination(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(3) {
        args.push(g.in_some_case("weights"));
        for _ in 0..=g.rng.below(3) {
            args.push(score(g));
        }
    }
    if g.rng.one_in(3) {
        args.push(g.in_some_case("aggregate"));
        let how = g.rng.pick(&["sum", "min", "max", "avg"]);
        args.push(g.in_some_case(how));
    }
}

fn end_and_count(g: &mut Generator, args: &mut Args) {
    let end = g.rng.pick(&["min", "max", "min", "max", "mid"]);
    args.push(g.in_some_case(end));
    if g.rng.one_in(2) {
        args.push(g.in_some_case("count"));
        args.push(number(g.rng.between(0, 5)));
    }
}
