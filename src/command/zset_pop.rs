//! Members that are taken from an end, waited for, or chosen at random: ZPOPMIN, ZMPOP, BZPOPMIN, ZRANDMEMBER.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::list::reply_item;
use super::list_move::ManyOptions;
use super::set_random::{REPEATED_MAX, choose_distinct};
use super::spec::{Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Spec};
use super::waiting::{Awaited, Wish};
use super::zset::reply_members;
use crate::base::number::parse_i64;
use crate::keyspace::{Absent, Notify};
use crate::resp::{Protocol, Reply};
use crate::value::{StrBuf, ZSet};
use std::ops::Range;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("zpopmin", -2, Group::SortedSet, Flags::WRITE_FAST)
            .syntax("key [count]")
            .keys(&[KeySpec::one(1, KeyFlags::TAKE)])
            .docs(
                "5.0.0",
                "O(log(N)*M) with N being the number of elements in the sorted set, and \
                 M being the number of elements popped.",
                "Remove and return members with the lowest scores in a sorted set",
            ),
        zpopmin,
    ),
    Command::new(
        Spec::new("zpopmax", -2, Group::SortedSet, Flags::WRITE_FAST)
            .syntax("key [count]")
            .keys(&[KeySpec::one(1, KeyFlags::TAKE)])
            .docs(
                "5.0.0",
                "O(log(N)*M) with N being the number of elements in the sorted set, and \
                 M being the number of elements popped.",
                "Remove and return members with the highest scores in a sorted set",
            ),
        zpopmax,
    ),
    Command::new(
        Spec::new(
            "zmpop",
            -4,
            Group::SortedSet,
            Flags::WRITE.union(Flags::MOVABLE_KEYS),
        )
        .syntax("numkeys key ... <where: MIN | MAX> [COUNT count]")
        .keys(&[KeySpec::counted(1, KeyFlags::TAKE)])
        .docs(
            "7.0.0",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the \
             number of elements in the sorted set, and M being the number of \
             elements popped.",
            "Remove and return members with scores in a sorted set",
        ),
        zmpop,
    ),
    Command::new(
        Spec::new("zrandmember", -2, Group::SortedSet, Flags::READONLY)
            .syntax("key [options: count [WITHSCORES]]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "6.2.0",
                "O(N) where N is the number of elements returned",
                "Get one or multiple random elements from a sorted set",
            ),
        zrandmember,
    ),
    Command::new(
        Spec::new(
            "bzpopmin",
            -3,
            Group::SortedSet,
            Flags::WRITE
                .union(Flags::NOSCRIPT)
                .union(Flags::BLOCKING)
                .union(Flags::FAST),
        )
        .syntax("key ... timeout")
        .keys(&[KeySpec {
            flags: KeyFlags::TAKE,
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1 },
        }])
        .docs(
            "5.0.0",
            "O(log(N)) with N being the number of elements in the sorted set.",
            "Remove and return the member with the lowest score from one or more \
             sorted sets, or block until one is available",
        )
        .history(&[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )]),
        bzpopmin,
    ),
    Command::new(
        Spec::new(
            "bzpopmax",
            -3,
            Group::SortedSet,
            Flags::WRITE
                .union(Flags::NOSCRIPT)
                .union(Flags::BLOCKING)
                .union(Flags::FAST),
        )
        .syntax("key ... timeout")
        .keys(&[KeySpec {
            flags: KeyFlags::TAKE,
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1 },
        }])
        .docs(
            "5.0.0",
            "O(log(N)) with N being the number of elements in the sorted set.",
            "Remove and return the member with the highest score from one or more \
             sorted sets, or block until one is available",
        )
        .history(&[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )]),
        bzpopmax,
    ),
    Command::new(
        Spec::new(
            "bzmpop",
            -5,
            Group::SortedSet,
            Flags::WRITE
                .union(Flags::BLOCKING)
                .union(Flags::MOVABLE_KEYS),
        )
        .syntax("timeout numkeys key ... <where: MIN | MAX> [COUNT count]")
        .keys(&[KeySpec::counted(2, KeyFlags::TAKE)])
        .docs(
            "7.0.0",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the \
             number of elements in the sorted set, and M being the number of \
             elements popped.",
            "Remove and return members with scores in a sorted set or block until \
             one is available",
        ),
        bzmpop,
    ),
];

/// Which members go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        if word.eq_ignore_ascii_case(b"min") {
            Ok(End::Min)
        } else if word.eq_ignore_ascii_case(b"max") {
            Ok(End::Max)
        } else {
            Err(Error::Syntax)
        }
    }

    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }
}

fn zpopmin(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_from_one(ctx, End::Min)
}

fn zpopmax(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_from_one(ctx, End::Max)
}

fn pop_from_one(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    const NOT_POSITIVE: Error = Error::text("ERR value is out of range, must be positive");
    let count = match ctx.args.len() {
        2 => None,
        3 => {
            let count = parse_i64(ctx.arg(2)).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(NOT_POSITIVE)?)
        }
        _ => return Err(Error::Syntax),
    };
    let key = ctx.arg(1);
    let popped = if ctx.txn.inspect::<ZSet>(key)?.is_some() {
        pop(ctx, key, end, count.unwrap_or(1))?
    } else {
        Vec::new()
    };
    let in_pairs = count.is_some() && ctx.reply.protocol() == Protocol::Resp3;
    ctx.reply.array(if in_pairs {
        popped.len()
    } else {
        2 * popped.len()
    });
    reply_popped(ctx.reply, &popped, in_pairs);
    Ok(())
}

/// Takes up to `count` members from an end.
fn pop(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) -> Result<Vec<(StrBuf, f64)>, Error> {
    let popped = ctx.txn.edit::<ZSet, _>(key, Absent::Leave, |zset| {
        let mut popped = Vec::with_capacity(count.min(zset.len()));
        for _ in 0..count.min(zset.len()) {
            popped.push(match end {
                End::Min => zset.take(0),
                End::Max => zset.take(zset.len() - 1),
            });
        }
        (popped, zset.is_empty())
    })?;
    let (popped, is_over) = popped.unwrap_or_default();
    if !popped.is_empty() {
        ctx.txn
            .notify_removal(Notify::ZSET, end.event(), key, is_over);
    }
    Ok(popped)
}

fn reply_popped(reply: &mut dyn Reply, popped: &[(StrBuf, f64)], in_pairs: bool) {
    for (member, score) in popped {
        if in_pairs {
            reply.array(2);
        }
        reply.bulk(member);
        reply.double(*score);
    }
}

fn zmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = ManyOptions::parse(ctx, 1, End::parse)?;
    if !pop_from_first(ctx, options.keys, options.end, Some(options.count))? {
        ctx.reply.null_array();
    }
    Ok(())
}

fn bzmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = ManyOptions::parse(ctx, 2, End::parse)?;
    let wish = Wish::new(options.keys, Awaited::ZSet, ctx.timeout_s(1)?);
    ctx.answer_or_wait(wish, |ctx, keys| {
        pop_from_first(ctx, keys, options.end, Some(options.count))
    })
}

fn bzpopmin(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait_for_one(ctx, End::Min)
}

fn bzpopmax(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait_for_one(ctx, End::Max)
}

fn pop_or_wait_for_one(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    let last = ctx.args.len() - 1;
    let wish = Wish::new(1..last, Awaited::ZSet, ctx.timeout_s(last)?);
    ctx.answer_or_wait(wish, |ctx, keys| pop_from_first(ctx, keys, end, None))
}

/// Pops from the first of the keys that is there, and answers with the key, a member and its score, or with the key and
/// pairs of up to `count` members. Tells whether there was one.
fn pop_from_first(
    ctx: &mut Ctx<'_>,
    keys: Range<usize>,
    end: End,
    count: Option<usize>,
) -> Result<bool, Error> {
    let Some(key) = ctx.first_key_with::<ZSet>(keys)? else {
        return Ok(false);
    };
    let popped = pop(ctx, key, end, count.unwrap_or(1))?;
    let in_pairs = count.is_some();
    ctx.reply.array(if in_pairs { 2 } else { 3 });
    ctx.reply.bulk(key);
    if in_pairs {
        ctx.reply.array(popped.len());
    }
    reply_popped(ctx.reply, &popped, in_pairs);
    Ok(true)
}

fn zrandmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const TOO_NEGATIVE: Error = Error::text(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    const OUT_OF_RANGE: Error = Error::text("ERR value is out of range");
    if ctx.args.len() == 2 {
        return random_one(ctx);
    }
    let count = ctx.int(2)?;
    if count == i64::MIN {
        return Err(TOO_NEGATIVE);
    }
    let with_scores = match ctx.args.len() {
        3 => false,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"withscores") => true,
        _ => return Err(Error::Syntax),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(OUT_OF_RANGE);
    }
    let Some(zset) = ctx.txn.read::<ZSet>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = zset.len();
    let member_at = |rank: usize| {
        let Some(member) = zset.range(rank..rank + 1).next() else {
            unreachable!("the rank is below the length");
        };
        member
    };
    if count < 0 {
        let repeated = count.unsigned_abs();
        if repeated > REPEATED_MAX {
            return Err(OUT_OF_RANGE);
        }
        let chosen = (0..repeated).map(|_| member_at(ctx.rng.usize(..len)));
        reply_members(ctx.reply, repeated as usize, with_scores, chosen);
        return Ok(());
    }
    let count = (count as usize).min(len);
    let mut ranks = Vec::with_capacity(count);
    choose_distinct(ctx.rng, len, count, |rank| ranks.push(rank));
    let chosen = ranks.into_iter().map(member_at);
    reply_members(ctx.reply, count, with_scores, chosen);
    Ok(())
}

fn random_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.read::<ZSet>(ctx.args.get(1))? {
        None => ctx.reply.null(),
        Some(zset) => {
            let rank = ctx.rng.usize(..zset.len());
            if let Some((member, _)) = zset.range(rank..rank + 1).next() {
                reply_item(ctx.reply, member);
            }
        }
    }
    Ok(())
}
