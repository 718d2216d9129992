//! Many fields of a hash at once: HGETALL, HKEYS, HVALS, HSCAN, HRANDFIELD.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::scan_options::{ScanOptions, parse_cursor, reply_scan};
use super::set_random::{REPEATED_MAX, choose_distinct};
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::resp::{Protocol, Reply};
use crate::value::{Hash, Item, StrBuf};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("hgetall", 2, Group::Hash, Flags::READONLY)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "2.0.0",
                "O(N) where N is the size of the hash.",
                "Get all the fields and values in a hash",
            ),
        hgetall,
    ),
    Command::new(
        Spec::new("hkeys", 2, Group::Hash, Flags::READONLY)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "2.0.0",
                "O(N) where N is the size of the hash.",
                "Get all the fields in a hash",
            ),
        hkeys,
    ),
    Command::new(
        Spec::new("hvals", 2, Group::Hash, Flags::READONLY)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "2.0.0",
                "O(N) where N is the size of the hash.",
                "Get all the values in a hash",
            ),
        hvals,
    ),
    Command::new(
        Spec::new("hscan", -3, Group::Hash, Flags::READONLY)
            .syntax("key cursor [MATCH pattern] [COUNT count] [NOVALUES]@7.4.0")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "2.8.0",
                "O(1) for every call. O(N) for a complete iteration, including enough \
                 command calls for the cursor to return back to 0. N is the number of \
                 elements inside the collection..",
                "Incrementally iterate hash fields and associated values",
            )
            .history(&[("7.4.0", "Added the `NOVALUES` flag.")]),
        hscan,
    ),
    Command::new(
        Spec::new("hrandfield", -2, Group::Hash, Flags::READONLY)
            .syntax("key [options: count [WITHVALUES]]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "6.2.0",
                "O(N) where N is the number of fields returned",
                "Get one or multiple random fields from a hash",
            ),
        hrandfield,
    ),
];

type Pair<'a> = (Item<'a>, Item<'a>);

fn hgetall(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    ctx.reply.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        bulk(ctx.reply, field);
        bulk(ctx.reply, value);
    }
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    ctx.reply.array(hash.map_or(0, Hash::len));
    for (field, _) in hash.into_iter().flat_map(Hash::iter) {
        bulk(ctx.reply, field);
    }
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    ctx.reply.array(hash.map_or(0, Hash::len));
    for (_, value) in hash.into_iter().flat_map(Hash::iter) {
        bulk(ctx.reply, value);
    }
    Ok(())
}

fn hscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let cursor = parse_cursor(ctx.arg(2)).ok_or(Error::InvalidCursor)?;
    let (mut found, mut next): (Vec<StrBuf>, u64) = (Vec::new(), 0);
    if let Some(hash) = ctx.txn.read::<Hash>(ctx.args.get(1))? {
        let options = ScanOptions::parse_within_hash(ctx.args.skip(3))?;
        let mut text = itoa::Buffer::new();
        next = hash.scan(cursor, options.count, |field, value| {
            let field = field.bytes(&mut text);
            if options.lets_through(field) {
                found.push(StrBuf::from_slice(field));
                if !options.no_values {
                    found.push(StrBuf::from_slice(value.bytes(&mut text)));
                }
            }
        });
    }
    reply_scan(ctx.reply, next, &found);
    Ok(())
}

fn hrandfield(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const TOO_NEGATIVE: Error = Error::text(
        "ERR value is out of range, value must between -9223372036854775807 and \
         9223372036854775807",
    );
    const OUT_OF_RANGE: Error = Error::text("ERR value is out of range");
    if ctx.args.len() == 2 {
        return random_one(ctx);
    }
    let count = ctx.int(2)?;
    if count == i64::MIN {
        return Err(TOO_NEGATIVE);
    }
    let with_values = match ctx.args.try_get(3) {
        None => false,
        Some(word) if ctx.args.len() == 4 && word.eq_ignore_ascii_case(b"withvalues") => true,
        Some(_) => return Err(Error::Syntax),
    };
    // Twice as many have to be countable.
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(OUT_OF_RANGE);
    }
    let Some(hash) = ctx.txn.read::<Hash>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(OUT_OF_RANGE);
    }
    let (rng, len) = (&mut *ctx.rng, hash.len());
    if count >= 0 && count as usize >= len {
        reply_pairs(ctx.reply, with_values, hash.iter());
        return Ok(());
    }
    let pairs = if count < 0 {
        pairs_at(hash, (0..count.unsigned_abs()).map(|_| rng.usize(..len)))
    } else {
        let mut positions = Vec::with_capacity(count as usize);
        choose_distinct(rng, len, count as usize, |at| positions.push(at));
        pairs_at(hash, positions.into_iter())
    };
    reply_pairs(ctx.reply, with_values, pairs.into_iter());
    Ok(())
}

fn random_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.read::<Hash>(ctx.args.get(1))? {
        None => ctx.reply.null(),
        Some(hash) => {
            let (field, _) = hash.at(ctx.rng.usize(..hash.len()));
            bulk(ctx.reply, field);
        }
    }
    Ok(())
}

/// The fields at some positions, with their values.
fn pairs_at(hash: &Hash, positions: impl Iterator<Item = usize>) -> Vec<Pair<'_>> {
    if hash.is_small() {
        // To reach one means to walk there: walk once.
        let all: Vec<Pair<'_>> = hash.iter().collect();
        return positions.map(|at| all[at]).collect();
    }
    positions.map(|at| hash.at(at)).collect()
}

/// Answers with fields, or with fields and values: in RESP3 in pairs.
fn reply_pairs<'a>(
    reply: &mut dyn Reply,
    with_values: bool,
    pairs: impl ExactSizeIterator<Item = Pair<'a>>,
) {
    let nested = with_values && reply.protocol() == Protocol::Resp3;
    let len = if with_values && !nested {
        2 * pairs.len()
    } else {
        pairs.len()
    };
    reply.array(len);
    for (field, value) in pairs {
        if nested {
            reply.array(2);
        }
        bulk(reply, field);
        if with_values {
            bulk(reply, value);
        }
    }
}

#[inline]
fn bulk(reply: &mut dyn Reply, item: Item<'_>) {
    match item {
        Item::Bytes(bytes) => reply.bulk(bytes),
        Item::Int(number) => reply.bulk_int(number),
    }
}
