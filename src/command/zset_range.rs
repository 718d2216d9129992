//! Ranges of sorted sets by rank, score and member: ZRANGE and its old forms, ZRANGESTORE, ZCOUNT, ZLEXCOUNT, ZREMRANGEBY...

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::zset::reply_members;
use super::zset_bounds::Bounds;
use crate::base::number::parse_i64;
use crate::keyspace::{Absent, Expiry, Notify};
use crate::resp::Args;
use crate::value::{Value, ZSet};
use std::ops::Range;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("zcount", 4, Group::SortedSet, Flags::READ_FAST)
            .syntax("key min:double max:double")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.0.0",
                "O(log(N)) with N being the number of elements in the sorted set.",
                "Count the members in a sorted set with scores within the given values",
            ),
        zcount,
    ),
    Command::new(
        Spec::new("zlexcount", 4, Group::SortedSet, Flags::READ_FAST)
            .syntax("key min max")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.8.9",
                "O(log(N)) with N being the number of elements in the sorted set.",
                "Count the number of members in a sorted set between a given \
                 lexicographical range",
            ),
        zlexcount,
    ),
    Command::new(
        Spec::new("zrange", -4, Group::SortedSet, Flags::READONLY)
            .syntax(
                "key start:string stop:string [sortby: BYSCORE | BYLEX]@6.2.0 [REV]@6.2.0 \
                 [LIMIT <offset count>]@6.2.0 [WITHSCORES]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements returned.",
                "Return a range of members in a sorted set",
            )
            .history(&[(
                "6.2.0",
                "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
            )]),
        zrange,
    ),
    Command::new(
        Spec::new("zrangestore", -5, Group::SortedSet, Flags::WRITE_DENYOOM)
            .syntax("dst src min max [sortby: BYSCORE | BYLEX] [REV] [LIMIT <offset count>]")
            .keys(&[
                KeySpec::one(1, KeyFlags::OVERWRITE),
                KeySpec::one(2, KeyFlags::READ),
            ])
            .docs(
                "6.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements stored into the destination key.",
                "Store a range of members from sorted set into another key",
            ),
        zrangestore,
    ),
    Command::new(
        Spec::new("zrevrange", -4, Group::SortedSet, Flags::READONLY)
            .syntax("key start stop [WITHSCORES]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements returned.",
                "Return a range of members in a sorted set, by index, with scores \
                 ordered from high to low",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
        zrevrange,
    ),
    Command::new(
        Spec::new("zrangebyscore", -4, Group::SortedSet, Flags::READONLY)
            .syntax("key min:double max:double [WITHSCORES]@2.0.0 [LIMIT <offset count>]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.0.5",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements being returned. If M is constant (e.g. always \
                 asking for the first 10 elements with LIMIT), you can consider it \
                 O(log(N)).",
                "Return a range of members in a sorted set, by score",
            )
            .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
            .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
        zrangebyscore,
    ),
    Command::new(
        Spec::new("zrevrangebyscore", -4, Group::SortedSet, Flags::READONLY)
            .syntax("key max:double min:double [WITHSCORES] [LIMIT <offset count>]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements being returned. If M is constant (e.g. always \
                 asking for the first 10 elements with LIMIT), you can consider it \
                 O(log(N)).",
                "Return a range of members in a sorted set, by score, with scores \
                 ordered from high to low",
            )
            .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
            .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
        zrevrangebyscore,
    ),
    Command::new(
        Spec::new("zrangebylex", -4, Group::SortedSet, Flags::READONLY)
            .syntax("key min max [LIMIT <offset count>]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.8.9",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements being returned. If M is constant (e.g. always \
                 asking for the first 10 elements with LIMIT), you can consider it \
                 O(log(N)).",
                "Return a range of members in a sorted set, by lexicographical range",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
        zrangebylex,
    ),
    Command::new(
        Spec::new("zrevrangebylex", -4, Group::SortedSet, Flags::READONLY)
            .syntax("key max min [LIMIT <offset count>]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.8.9",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements being returned. If M is constant (e.g. always \
                 asking for the first 10 elements with LIMIT), you can consider it \
                 O(log(N)).",
                "Return a range of members in a sorted set, by lexicographical range, \
                 ordered from higher to lower strings.",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
        zrevrangebylex,
    ),
    Command::new(
        Spec::new("zremrangebyrank", 4, Group::SortedSet, Flags::WRITE)
            .syntax("key start stop")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "2.0.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements removed by the operation.",
                "Remove all members in a sorted set within the given indexes",
            ),
        zremrangebyrank,
    ),
    Command::new(
        Spec::new("zremrangebyscore", 4, Group::SortedSet, Flags::WRITE)
            .syntax("key min:double max:double")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "1.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements removed by the operation.",
                "Remove all members in a sorted set within the given scores",
            ),
        zremrangebyscore,
    ),
    Command::new(
        Spec::new("zremrangebylex", 4, Group::SortedSet, Flags::WRITE)
            .syntax("key min max")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "2.8.9",
                "O(log(N)+M) with N being the number of elements in the sorted set and \
                 M the number of elements removed by the operation.",
                "Remove all members in a sorted set between the given lexicographical range",
            ),
        zremrangebylex,
    ),
];

/// What the name of a command fixes, or leaves to its options.
#[derive(Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    /// WITHSCORES is no option where the result is stored.
    stores: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// A request of ZRANGE or one of its relatives, understood.
struct Query<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// Negative: no limit.
    limit: i64,
}

impl<'a> Query<'a> {
    /// Reads min, max and options.
    fn parse(args: Args<'a>, form: Form) -> Result<Self, Error> {
        const LIMIT_BY_RANK: Error = Error::text(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        );
        const SCORES_BY_MEMBER: Error =
            Error::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        let integer = |text| parse_i64(text).ok_or(Error::NotInteger);
        let (mut by, mut reverse) = (form.by, form.reverse);
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = 2;
        while let Some(option) = args.try_get(at) {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if !form.stores && is("withscores") {
                with_scores = true;
            } else if is("limit") && at + 2 < args.len() {
                (offset, limit) = (integer(args.get(at + 1))?, integer(args.get(at + 2))?);
                at += 2;
            } else if reverse.is_none() && is("rev") {
                reverse = Some(true);
            } else if by.is_none() && is("bylex") {
                by = Some(By::Member);
            } else if by.is_none() && is("byscore") {
                by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(LIMIT_BY_RANK);
        }
        if with_scores && by == By::Member {
            return Err(SCORES_BY_MEMBER);
        }
        let (first, second) = (args.get(0), args.get(1));
        let (min, max) = if reverse {
            (second, first)
        } else {
            (first, second)
        };
        let bounds = match by {
            By::Rank => Bounds::Ranks {
                first: integer(first)?,
                last: integer(second)?,
            },
            By::Score => Bounds::scores(min, max)?,
            By::Member => Bounds::members(min, max)?,
        };
        Ok(Self {
            bounds,
            reverse,
            with_scores,
            offset,
            limit,
        })
    }

    /// The ranks of what is asked for.
    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let all = self.bounds.ranks(zset, self.reverse);
        if matches!(self.bounds, Bounds::Ranks { .. }) {
            // A limit of -1 has passed as none, whatever its offset.
            return all;
        }
        let skipped = usize::try_from(self.offset).map_or(all.len(), |n| n.min(all.len()));
        let left = all.len() - skipped;
        let taken = usize::try_from(self.limit).map_or(left, |n| n.min(left));
        if self.reverse {
            let end = all.end - skipped;
            end - taken..end
        } else {
            let start = all.start + skipped;
            start..start + taken
        }
    }
}

fn zrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    range(ctx, Form::default())
}

fn zrevrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    old_range(ctx, By::Rank, true)
}

fn zrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    old_range(ctx, By::Score, false)
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    old_range(ctx, By::Score, true)
}

fn zrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    old_range(ctx, By::Member, false)
}

fn zrevrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    old_range(ctx, By::Member, true)
}

fn old_range(ctx: &mut Ctx<'_>, by: By, reverse: bool) -> Result<(), Error> {
    let form = Form {
        by: Some(by),
        reverse: Some(reverse),
        stores: false,
    };
    range(ctx, form)
}

fn range(ctx: &mut Ctx<'_>, form: Form) -> Result<(), Error> {
    let query = Query::parse(ctx.args.skip(2), form)?;
    let Some(zset) = ctx.txn.read::<ZSet>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(zset);
    let (len, with_scores) = (ranks.len(), query.with_scores);
    if query.reverse {
        reply_members(ctx.reply, len, with_scores, zset.range_back(ranks));
    } else {
        reply_members(ctx.reply, len, with_scores, zset.range(ranks));
    }
    Ok(())
}

fn zrangestore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let form = Form {
        stores: true,
        ..Form::default()
    };
    let query = Query::parse(ctx.args.skip(3), form)?;
    let limits = ctx.txn.limits();
    let mut result = ZSet::default();
    if let Some(zset) = ctx.txn.read::<ZSet>(ctx.args.get(2))? {
        let mut text = itoa::Buffer::new();
        for (member, score) in zset.range(query.ranks(zset)) {
            result.set(member.bytes(&mut text), score, &limits);
        }
    }
    store(ctx, ctx.arg(1), result, "zrangestore");
    Ok(())
}

/// Puts a result at a key, or nothing where it is empty; answers with its length.
pub(super) fn store(ctx: &mut Ctx<'_>, target: &[u8], result: ZSet, event: &'static str) {
    let len = result.len();
    if len > 0 {
        ctx.txn.put(target, Value::ZSet(result), Expiry::Never);
        ctx.txn.notify(Notify::ZSET, event, target);
    } else if ctx.txn.remove(target) {
        ctx.txn.notify(Notify::GENERIC, "del", target);
    }
    ctx.reply.integer(len as i64);
}

fn zcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, Bounds::scores(ctx.arg(2), ctx.arg(3))?)
}

fn zlexcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, Bounds::members(ctx.arg(2), ctx.arg(3))?)
}

fn count(ctx: &mut Ctx<'_>, bounds: Bounds<'_>) -> Result<(), Error> {
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    let count = zset.map_or(0, |zset| bounds.ranks(zset, false).len());
    ctx.reply.integer(count as i64);
    Ok(())
}

fn zremrangebyrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (first, last) = (ctx.int(2)?, ctx.int(3)?);
    remove_range(ctx, Bounds::Ranks { first, last }, "zremrangebyrank")
}

fn zremrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let bounds = Bounds::scores(ctx.arg(2), ctx.arg(3))?;
    remove_range(ctx, bounds, "zremrangebyscore")
}

fn zremrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let bounds = Bounds::members(ctx.arg(2), ctx.arg(3))?;
    remove_range(ctx, bounds, "zremrangebylex")
}

fn remove_range(ctx: &mut Ctx<'_>, bounds: Bounds<'_>, event: &'static str) -> Result<(), Error> {
    let key = ctx.arg(1);
    let removed = ctx.txn.edit::<ZSet, _>(key, Absent::Leave, |zset| {
        let ranks = bounds.ranks(zset, false);
        for _ in ranks.clone() {
            zset.take(ranks.start);
        }
        (ranks.len(), zset.is_empty())
    })?;
    let (removed, is_over) = removed.unwrap_or_default();
    if removed > 0 {
        ctx.txn.notify_removal(Notify::ZSET, event, key, is_over);
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}
