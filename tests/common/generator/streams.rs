//! Streams. Ids are given, so that two servers agree on them, and are about a time that goes on with every entry.

use super::Reply;
use super::{Args, Compare, Generator, STREAM_KEYS, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("xadd", 60, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        g.maybe(args, 12, &["nomkstream"]);
        if g.rng.one_in(8) {
            g.stream_trim(args);
        }
        g.stream_ms += g.rng.below(3) as i64;
        let ms = g.stream_ms;
        args.push(match g.rng.below(12) {
            0 => g.stream_id(),
            1..6 => format!("{ms}-*").into(),
            6 => number(ms),
            _ => format!("{ms}-{}", g.rng.below(4)).into(),
        });
        // Mostly the same fields, which nodes share.
        let fields = if g.rng.one_in(4) {
            1 + g.rng.below(3)
        } else {
            1
        };
        for _ in 0..fields {
            let field = g.rng.pick(&["a", "a", "a", "b", "12"]);
            args.push(field.into());
            args.push(g.value());
        }
    }),
    shape("xlen", 4, |g, args| args.push(g.key_of(STREAM_KEYS))),
    shape("xrange", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        g.stream_range(args, "-", "+");
    }),
    shape("xrevrange", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        g.stream_range(args, "+", "-");
    }),
    shape("xdel", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        g.stream_ids(args, 4);
    }),
    shape("xtrim", 6, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        g.stream_trim(args);
    }),
    shape("xsetid", 3, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_id());
        if g.rng.one_in(3) {
            args.push(g.in_some_case("entriesadded"));
            args.push(number(g.rng.between(-1, 400)));
        }
        if g.rng.one_in(3) {
            args.push(g.in_some_case("maxdeletedid"));
            args.push(g.stream_id());
        }
    }),
    shape("xread", 12, |g, args| {
        g.stream_read_options(args);
        g.maybe(args, 40, &["noack", "group"]);
        g.stream_keys(args, "$");
    }),
    shape("xgroup create", 10, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        let at_end = g.rng.one_in(3);
        args.push(if at_end { b"$".into() } else { g.stream_id() });
        g.maybe(args, 3, &["mkstream"]);
        g.stream_entries_read(args);
    }),
    shape("xgroup setid", 3, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        let id = match g.rng.below(4) {
            0 => g.rng.pick(&["$", "-", "+"]).into(),
            _ => g.stream_id(),
        };
        args.push(id);
        g.stream_entries_read(args);
    }),
    shape("xgroup destroy", 2, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
    }),
    shape("xgroup createconsumer", 3, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        args.push(g.stream_consumer());
    }),
    shape("xgroup delconsumer", 3, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        args.push(g.stream_consumer());
    }),
    shape("xgroup help", 1, |_, _| {}),
    shape("xgroup nonsense", 1, |g, args| args.push(g.key())),
    shape("xreadgroup", 30, |g, args| {
        args.push(g.in_some_case("group"));
        args.push(g.stream_group());
        args.push(g.stream_consumer());
        g.stream_read_options(args);
        g.maybe(args, 6, &["noack"]);
        g.stream_keys(args, ">");
    }),
    shape("xack", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        g.stream_ids(args, 4);
    }),
    shape("xclaim", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        args.push(g.stream_consumer());
        args.push(g.stream_idle());
        g.stream_ids(args, 4);
        g.maybe(args, 4, &["force", "justid"]);
        if g.rng.one_in(3) {
            args.push(g.in_some_case("idle"));
            args.push(g.stream_idle());
        }
        if g.rng.one_in(6) {
            args.push(g.in_some_case("time"));
            args.push(g.unix_milliseconds());
        }
        if g.rng.one_in(4) {
            args.push(g.in_some_case("retrycount"));
            args.push(g.index());
        }
        if g.rng.one_in(6) {
            args.push(g.in_some_case("lastid"));
            args.push(g.stream_id());
        }
    }),
    shape("xautoclaim", 12, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
        args.push(g.stream_group());
        args.push(g.stream_consumer());
        args.push(g.stream_idle());
        args.push(g.stream_bound("-"));
        if g.rng.one_in(2) {
            args.push(g.in_some_case("count"));
            args.push(number(g.rng.between(0, 6)));
        }
        g.maybe(args, 4, &["justid"]);
    }),
    compared(
        Compare::Times,
        shape("xpending", 12, |g, args| {
            args.push(g.key_of(STREAM_KEYS));
            args.push(g.stream_group());
            if g.rng.one_in(3) {
                return;
            }
            if g.rng.one_in(3) {
                args.push(g.in_some_case("idle"));
                args.push(g.stream_idle());
            }
            args.push(g.stream_bound("-"));
            args.push(g.stream_bound("+"));
            args.push(number(g.rng.between(-1, 12)));
            if g.rng.one_in(3) {
                args.push(g.stream_consumer());
            }
        }),
    ),
    compared(
        Compare::Times,
        shape("xinfo stream", 12, |g, args| {
            args.push(g.key_of(STREAM_KEYS));
            if g.rng.one_in(2) {
                args.push(g.in_some_case("full"));
                if g.rng.one_in(2) {
                    args.push(g.in_some_case("count"));
                    args.push(g.index());
                }
            }
        }),
    ),
    shape("xinfo groups", 8, |g, args| {
        args.push(g.key_of(STREAM_KEYS));
    }),
    compared(
        Compare::Times,
        shape("xinfo consumers", 6, |g, args| {
            args.push(g.key_of(STREAM_KEYS));
            args.push(g.stream_group());
        }),
    ),
    shape("xinfo help", 1, |_, _| {}),
];

/// Whether two answers are the same, but for times that may differ by what two servers need to answer.
pub fn agree_but_for_times(theirs: &Reply, ours: &Reply) -> bool {
    const LATE_MS: u64 = 3000;
    /// Numbers from here on are times: a day of 1973.
    const UNIX_MS_MIN: i64 = 100_000_000_000;
    let close = |a: i64, b: i64| a.abs_diff(b) <= LATE_MS;
    match (theirs, ours) {
        (Reply::Integer(a), Reply::Integer(b)) => {
            a == b || (*a > UNIX_MS_MIN && *b > UNIX_MS_MIN && close(*a, *b))
        }
        (Reply::Map(a), Reply::Map(b)) => {
            // In a script a map has no order.
            let (a, b) = (in_order(a), in_order(b));
            agree_but_for_times(&Reply::Array(a), &Reply::Array(b))
        }
        (Reply::Array(a), Reply::Array(b)) => {
            let (a, b) = (without_later_fields(a), without_later_fields(b));
            let is_idle = |at: usize| {
                // `idle` and its value; or id, consumer, idle and deliveries of a pending entry.
                let named = at
                    .checked_sub(1)
                    .is_some_and(|name| *a[name] == Reply::Bulk(b"idle".into()));
                let pending = at == 2 && a.len() == 4 && matches!(a[1], Reply::Bulk(_));
                named || pending
            };
            a.len() == b.len()
                && a.iter()
                    .zip(&b)
                    .enumerate()
                    .all(|(at, (x, y))| match (x, y) {
                        (Reply::Integer(x), Reply::Integer(y)) if is_idle(at) => close(*x, *y),
                        _ => agree_but_for_times(x, y),
                    })
        }
        (a, b) => a == b,
    }
}

/// The keys and values of a map in the order of the keys.
fn in_order(items: &[Reply]) -> Vec<Reply> {
    let mut pairs: Vec<&[Reply]> = items.chunks(2).collect();
    pairs.sort_by_key(|pair| format!("{:?}", pair[0]));
    pairs.concat()
}

/// What Redis 7.0 does not tell of a consumer is left out.
fn without_later_fields(items: &[Reply]) -> Vec<&Reply> {
    let mut kept = Vec::new();
    let mut items = items.iter();
    while let Some(item) = items.next() {
        match item {
            Reply::Bulk(name) if name == b"inactive" || name == b"active-time" => {
                items.next();
            }
            item => kept.push(item),
        }
    }
    kept
}

impl Generator {
    /// An id about those that there are.
    fn stream_id(&mut self) -> Vec<u8> {
        let ms = self.stream_ms - self.rng.between(-2, 60);
        match self.rng.below(24) {
            0 => self
                .rng
                .pick(&["0", "0-0", "0-1", "5-5-5", "$", "5-*", "1-", "-", "+"])
                .into(),
            1 => number(ms),
            // Of a time that is over: what Redis answers to `ms-*` after the last number of `ms` depends on what failed before
            // (it looks at `errno` and has not set it).
            2 => format!("{}-18446744073709551615", ms - 3).into(),
            _ => format!("{ms}-{}", self.rng.below(4)).into(),
        }
    }

    fn stream_ids(&mut self, args: &mut Args, most: usize) {
        for _ in 0..=self.rng.below(most) {
            args.push(self.stream_id());
        }
    }

    fn stream_bound(&mut self, edge: &str) -> Vec<u8> {
        match self.rng.below(6) {
            0..3 => edge.into(),
            3 => [b"(".to_vec(), self.stream_id()].concat(),
            _ => self.stream_id(),
        }
    }

    fn stream_range(&mut self, args: &mut Args, from: &str, to: &str) {
        args.push(self.stream_bound(from));
        args.push(self.stream_bound(to));
        if self.rng.one_in(2) {
            args.push(self.in_some_case("count"));
            args.push(number(self.rng.between(-1, 20)));
        }
    }

    fn stream_trim(&mut self, args: &mut Args) {
        let by_len = self.rng.one_in(2);
        args.push(self.in_some_case(if by_len { "maxlen" } else { "minid" }));
        let operator = self.rng.pick(&["", "=", "~", "~"]);
        if !operator.is_empty() {
            args.push(operator.into());
        }
        args.push(if by_len {
            number(self.rng.between(-1, 150))
        } else {
            self.stream_id()
        });
        if (operator == "~" && self.rng.one_in(3)) || self.rng.one_in(20) {
            args.push(self.in_some_case("limit"));
            args.push(number(self.rng.between(-1, 150)));
        }
    }

    fn stream_group(&mut self) -> Vec<u8> {
        self.rng
            .pick(&["g1", "g1", "g1", "g2", "77", "no\u{0}"])
            .into()
    }

    fn stream_consumer(&mut self) -> Vec<u8> {
        self.rng.pick(&["alice", "bob", "carol", ""]).into()
    }

    fn stream_entries_read(&mut self, args: &mut Args) {
        if self.rng.one_in(3) {
            args.push(self.in_some_case("entriesread"));
            args.push(number(self.rng.between(-2, 300)));
        }
    }

    /// None, or one that an entry has only where XCLAIM gave it to it: nothing gets so old in a test.
    fn stream_idle(&mut self) -> Vec<u8> {
        self.rng
            .pick(&["0", "0", "0", "50000000", "-1", "x"])
            .into()
    }

    fn stream_read_options(&mut self, args: &mut Args) {
        if self.rng.one_in(2) {
            args.push(self.in_some_case("count"));
            args.push(number(self.rng.between(-1, 12)));
        }
        if self.rng.one_in(8) {
            args.push(self.in_some_case("block"));
            args.push(self.rng.pick(&["1", "1", "1", "2", "-1", "x"]).into());
        }
    }

    /// Keys and ids; `usual` is an id that has its own meaning.
    fn stream_keys(&mut self, args: &mut Args, usual: &str) {
        args.push(self.in_some_case("streams"));
        let count = 1 + self.rng.below(2);
        for _ in 0..count {
            args.push(self.key_of(STREAM_KEYS));
        }
        for _ in 0..count {
            args.push(match self.rng.below(4) {
                0 => b"0".into(),
                // Redis knows `+` from 7.4 on.
                1 => Some(self.stream_id())
                    .filter(|id| id != b"+")
                    .unwrap_or_default(),
                _ => usual.into(),
            });
        }
        if self.rng.one_in(30) {
            args.pop();
        }
    }
}
