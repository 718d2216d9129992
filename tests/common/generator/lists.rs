//! Lists.

use super::{Args, Compare, Generator, LIST_KEYS, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("lpush", 20, push),
    shape("rpush", 20, push),
    shape("lpushx", 6, push),
    shape("rpushx", 6, push),
    shape("lpop", 10, pop),
    shape("rpop", 10, pop),
    shape("llen", 4, |g, args| args.push(g.key_of(LIST_KEYS))),
    shape("lrange", 8, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.list_index());
        args.push(g.list_index());
    }),
    shape("lindex", 6, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.list_index());
    }),
    shape("lset", 10, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.list_index());
        args.push(g.element());
    }),
    shape("linsert", 16, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        let side = g
            .rng
            .pick(&["before", "after", "before", "after", "beside"]);
        args.push(g.in_some_case(side));
        args.push(g.element());
        args.push(g.element());
    }),
    shape("lrem", 6, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.list_index());
        args.push(g.element());
    }),
    shape("ltrim", 2, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.index());
        args.push(match g.rng.below(4) {
            0 => g.index(),
            _ => number(g.rng.between(-5, -1)),
        });
    }),
    shape("lpos", 8, |g, args| {
        args.push(g.key_of(LIST_KEYS));
        args.push(g.element());
        for _ in 0..g.rng.below(4) {
            let option = g.rng.pick(&["rank", "count", "maxlen", "count"]);
            args.push(g.in_some_case(option));
            args.push(match g.rng.below(20) {
                0 => g.int(),
                1 => g.junk(),
                _ => number(g.rng.between(-3, 6)),
            });
        }
    }),
    shape("lmove", 10, |g, args| {
        move_keys(g, args);
        ends(g, args);
    }),
    shape("rpoplpush", 8, move_keys),
    shape("lmpop", 8, pop_from_many),
    shape("blmove", 6, |g, args| {
        move_keys(g, args);
        ends(g, args);
        args.push(g.timeout());
    }),
    shape("brpoplpush", 4, |g, args| {
        move_keys(g, args);
        args.push(g.timeout());
    }),
    shape("blmpop", 6, |g, args| {
        args.push(g.timeout());
        pop_from_many(g, args);
    }),
    shape("blpop", 6, |g, args| {
        g.list_keys(args, 3);
        args.push(g.timeout());
    }),
    shape("brpop", 6, |g, args| {
        g.list_keys(args, 3);
        args.push(g.timeout());
    }),
    // Lists alone, so that enough of them are compared.
    compared(
        Compare::Dump,
        shape("dump", 8, |g, args| args.push(g.key_of(LIST_KEYS))),
    ),
    compared(
        Compare::Encoding,
        shape("object encoding", 2, |g, args| {
            args.push(g.key_of(LIST_KEYS));
        }),
    ),
];

fn push(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(LIST_KEYS));
    let most = if g.rng.one_in(10) { 120 } else { 4 };
    for _ in 0..=g.rng.below(most) {
        args.push(g.element());
    }
}

fn pop(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(LIST_KEYS));
    if g.rng.one_in(2) {
        args.push(g.index());
    }
}

fn move_keys(g: &mut Generator, args: &mut Args) {
    args.push(g.key_of(LIST_KEYS));
    args.push(g.key_of(LIST_KEYS));
}

fn ends(g: &mut Generator, args: &mut Args) {
    for _ in 0..2 {
        let end = end(g);
        args.push(end);
    }
}

fn end(g: &mut Generator) -> Vec<u8> {
    let end = g
        .rng
        .pick(&["left", "right", "left", "right", "left", "right", "up"]);
    g.in_some_case(end)
}

fn pop_from_many(g: &mut Generator, args: &mut Args) {
    let keys = 1 + g.rng.below(3);
    args.push(match g.rng.below(12) {
        0 => g.int(),
        _ => number(keys as i64),
    });
    for _ in 0..keys {
        args.push(g.key_of(LIST_KEYS));
    }
    args.push(end(g));
    if g.rng.one_in(2) {
        args.push(g.in_some_case("count"));
        args.push(match g.rng.below(8) {
            0 => g.int(),
            _ => number(g.rng.between(0, 6)),
        });
    }
}

impl Generator {
    /// An index in a list that may be short or long.
    fn list_index(&mut self) -> Vec<u8> {
        if self.rng.one_in(4) {
            return number(self.rng.between(-300, 300));
        }
        self.index()
    }

    /// An element, often one that is in the list already.
    fn element(&mut self) -> Vec<u8> {
        if self.rng.one_in(2) {
            return self.rng.pick(&["a", "b", "c", "1", "2"]).into();
        }
        self.value()
    }

    /// A time so short that a test may wait for it.
    pub(super) fn timeout(&mut self) -> Vec<u8> {
        let wrong = ["-1", "abc", "", "nan", "1e300", "inf"];
        match self.rng.below(10) {
            0 => self.rng.pick(&wrong).into(),
            _ => self.rng.pick(&["0.001", "0.002", "1e-3"]).into(),
        }
    }

    fn list_keys(&mut self, args: &mut Args, most: usize) {
        for _ in 0..=self.rng.below(most) {
            args.push(self.key_of(LIST_KEYS));
        }
    }
}
