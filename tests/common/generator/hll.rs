//! Estimates of how many there are.

use super::{HLL_KEYS, Shape, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("pfadd", 10, |g, args| {
        args.push(g.key_of(HLL_KEYS));
        // Now and then so many that the sparse form is given up.
        let most = if g.rng.one_in(10) { 800 } else { 6 };
        for _ in 0..g.rng.below(most) {
            let element = match g.rng.below(8) {
                0 => g.value(),
                _ => number(g.rng.between(0, 5000)),
            };
            args.push(element);
        }
    }),
    shape("pfcount", 6, |g, args| {
        for _ in 0..=g.rng.below(3) {
            args.push(g.key_of(HLL_KEYS));
        }
    }),
    shape("pfmerge", 4, |g, args| {
        for _ in 0..=g.rng.below(4) {
            args.push(g.key_of(HLL_KEYS));
        }
    }),
    // Redis takes half a second for it.
    shape("pfselftest", 1, |g, args| {
        if !g.rng.one_in(20) {
            args.push(b"none".into());
        }
    }),
    shape("pfdebug", 2, |g, args| {
        let subs = ["encoding", "decode", "getreg", "todense", "decode", "no"];
        let sub = g.rng.pick(&subs);
        args.push(g.in_some_case(sub));
        args.push(g.key_of(HLL_KEYS));
    }),
];
