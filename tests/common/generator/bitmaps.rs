//! Bitmaps.

use super::{Shape, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("setbit", 6, |g, args| {
        args.push(g.key());
        args.push(g.bit_offset());
        args.push(match g.rng.below(10) {
            0 => g.int(),
            n => number(n as i64 % 2),
        });
    }),
    shape("getbit", 4, |g, args| {
        args.push(g.key());
        args.push(g.bit_offset());
    }),
    shape("bitcount", 6, |g, args| {
        args.push(g.key());
        g.bit_range(args);
    }),
    shape("bitpos", 6, |g, args| {
        args.push(g.key());
        args.push(match g.rng.below(10) {
            0 => g.int(),
            n => number(n as i64 % 2),
        });
        g.bit_range(args);
    }),
    shape("bitop", 8, |g, args| {
        let op = g.rng.pick(&["and", "or", "xor", "not", "not", "nand"]);
        args.push(g.in_some_case(op));
        args.push(g.key());
        if op == "not" && !g.rng.one_in(10) {
            args.push(g.key());
        } else {
            g.keys(args, 4);
        }
    }),
    shape("bitfield", 12, |g, args| {
        args.push(g.key());
        for _ in 0..g.rng.below(5) {
            g.bitfield_op(args, false);
        }
    }),
    shape("bitfield_ro", 6, |g, args| {
        args.push(g.key());
        for _ in 0..g.rng.below(4) {
            let only_get = !g.rng.one_in(20);
            g.bitfield_op(args, only_get);
        }
    }),
];
