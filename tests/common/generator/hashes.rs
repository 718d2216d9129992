//! Hashes.

use super::{Args, Compare, Generator, HASH_KEYS, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("hset", 30, |g, args| {
        args.push(g.key_of(HASH_KEYS));
        g.pairs(args);
    }),
    shape("hmset", 4, |g, args| {
        args.push(g.key_of(HASH_KEYS));
        g.pairs(args);
    }),
    shape("hsetnx", 6, |g, args| {
        args.push(g.key_of(HASH_KEYS));
        args.push(g.field());
        args.push(g.value());
    }),
    shape("hget", 12, one_field),
    shape("hmget", 6, some_fields),
    shape("hdel", 12, some_fields),
    shape("hexists", 4, one_field),
    shape("hlen", 4, only_key),
    shape("hstrlen", 4, one_field),
    compared(Compare::Unordered, shape("hgetall", 6, only_key)),
    compared(Compare::Unordered, shape("hkeys", 4, only_key)),
    compared(Compare::Unordered, shape("hvals", 4, only_key)),
    shape("hincrby", 10, |g, args| {
        one_field(g, args);
        args.push(g.int());
    }),
    shape("hincrbyfloat", 8, |g, args| {
        one_field(g, args);
        args.push(g.float());
    }),
    compared(
        Compare::Kind,
        shape("hrandfield", 6, |g, args| {
            only_key(g, args);
            if g.rng.one_in(2) {
                args.push(number(g.rng.between(-12, 12)));
                g.maybe(args, 2, &["withvalues"]);
            }
        }),
    ),
    // Of more fields than there are, or of none, there is no choice.
    compared(
        Compare::Unordered,
        shape("hrandfield", 4, |g, args| {
            only_key(g, args);
            let count = match g.rng.below(4) {
                0 => "0",
                1 => "-9223372036854775808",
                _ => "100000",
            };
            args.push(count.into());
            g.maybe(args, 2, &["withvalues"]);
            g.maybe(args, 12, &["withvalues", "values"]);
        }),
    ),
    compared(
        Compare::Unordered,
        shape("hscan", 6, |g, args| {
            only_key(g, args);
            args.push(b"0".into());
            args.push(g.in_some_case("count"));
            args.push(b"1000000".into());
            if g.rng.one_in(2) {
                args.push(g.in_some_case("match"));
                args.push(g.field_pattern());
            }
            g.maybe(args, 20, &["type", "match"]);
        }),
    ),
];

fn only_key(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(HASH_KEYS));
}

fn one_field(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(HASH_KEYS));
    args.push(g.field());
}

fn some_fields(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(HASH_KEYS));
    for _ in 0..=g.rng.below(4) {
        args.push(g.field());
    }
}

impl Generator {
    fn field(&mut self) -> Vec<u8> {
        match self.rng.below(40) {
            0 => self.value(),
            1 => self.int(),
            2 => self.junk(),
            n @ 3..20 => number(n as i64),
            n => format!("field:{n}").into(),
        }
    }

    fn pairs(&mut self, args: &mut Args) {
        // Now and then so many that the hash leaves its compact form.
        let most = if self.rng.one_in(150) { 600 } else { 4 };
        for n in 0..=self.rng.below(most) {
            args.push(if most > 4 {
                format!("many:{n}").into()
            } else {
                self.field()
            });
            args.push(match self.rng.below(12) {
                0 => self.value(),
                1 => self.float(),
                2..6 => self.int(),
                _ => number(self.rng.between(0, 1_000_000)),
            });
        }
    }

    fn field_pattern(&mut self) -> Vec<u8> {
        let patterns = ["*", "field:*", "field:[123]?", "1?", "many:*", "", "f[^i]*"];
        self.rng.pick(&patterns).into()
    }
}
