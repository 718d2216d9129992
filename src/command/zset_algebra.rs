//! Several sorted sets at once: ZUNION, ZINTER, ZDIFF, their STORE forms, and ZINTERCARD. Sets are taken too, each member
//! with a score of 1.
//!
//! A transaction holds one key's stripe at a time, so no two sources are seen together. One source is walked in blocks: a
//! block of its members is copied, and looked for in the others one after the other. So no source is copied as a whole, and
//! a limit ends the walk.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::zset::reply_members;
use super::zset_range::store;
use crate::base::float::parse_f64;
use crate::base::number::parse_i64;
use crate::keyspace::Txn;
use crate::resp::Args;
use crate::value::listpack::Item;
use crate::value::{StrBuf, Value, ZSet, zset_order as order};
use std::collections::HashMap;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new(
            "zunion",
            -3,
            Group::SortedSet,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "numkeys key ... [WEIGHTS weight ...] \
             [AGGREGATE <aggregate: SUM | MIN | MAX>] [WITHSCORES]",
        )
        .keys(&[KeySpec::counted(1, KeyFlags::READ)])
        .docs(
            "6.2.0",
            "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted \
             sets, and M being the number of elements in the resulting sorted set.",
            "Add multiple sorted sets",
        ),
        zunion,
    ),
    Command::new(
        Spec::new(
            "zinter",
            -3,
            Group::SortedSet,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "numkeys key ... [WEIGHTS weight ...] \
             [AGGREGATE <aggregate: SUM | MIN | MAX>] [WITHSCORES]",
        )
        .keys(&[KeySpec::counted(1, KeyFlags::READ)])
        .docs(
            "6.2.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted \
             set, K being the number of input sorted sets and M being the number of \
             elements in the resulting sorted set.",
            "Intersect multiple sorted sets",
        ),
        zinter,
    ),
    Command::new(
        Spec::new(
            "zdiff",
            -3,
            Group::SortedSet,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax("numkeys key ... [WITHSCORES]")
        .keys(&[KeySpec::counted(1, KeyFlags::READ)])
        .docs(
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements \
             in all the sets, N is the size of the first set, and K is the size of \
             the result set.",
            "Subtract multiple sorted sets",
        ),
        zdiff,
    ),
    Command::new(
        Spec::new(
            "zunionstore",
            -4,
            Group::SortedSet,
            Flags::WRITE_DENYOOM.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "destination numkeys key ... [WEIGHTS weight ...] \
             [AGGREGATE <aggregate: SUM | MIN | MAX>]",
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::OVERWRITE),
            KeySpec::counted(2, KeyFlags::READ),
        ])
        .docs(
            "2.0.0",
            "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted \
             sets, and M being the number of elements in the resulting sorted set.",
            "Add multiple sorted sets and store the resulting sorted set in a new key",
        ),
        zunionstore,
    ),
    Command::new(
        Spec::new(
            "zinterstore",
            -4,
            Group::SortedSet,
            Flags::WRITE_DENYOOM.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "destination numkeys key ... [WEIGHTS weight ...] \
             [AGGREGATE <aggregate: SUM | MIN | MAX>]",
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::OVERWRITE),
            KeySpec::counted(2, KeyFlags::READ),
        ])
        .docs(
            "2.0.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted \
             set, K being the number of input sorted sets and M being the number of \
             elements in the resulting sorted set.",
            "Intersect multiple sorted sets and store the resulting sorted set in a \
             new key",
        ),
        zinterstore,
    ),
    Command::new(
        Spec::new(
            "zdiffstore",
            -4,
            Group::SortedSet,
            Flags::WRITE_DENYOOM.union(Flags::MOVABLE_KEYS),
        )
        .syntax("destination numkeys key ...")
        .keys(&[
            KeySpec::one(1, KeyFlags::OVERWRITE),
            KeySpec::counted(2, KeyFlags::READ),
        ])
        .docs(
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements \
             in all the sets, N is the size of the first set, and K is the size of \
             the result set.",
            "Subtract multiple sorted sets and store the resulting sorted set in a \
             new key",
        ),
        zdiffstore,
    ),
    Command::new(
        Spec::new(
            "zintercard",
            -3,
            Group::SortedSet,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax("numkeys key ... [LIMIT limit]")
        .keys(&[KeySpec::counted(1, KeyFlags::READ)])
        .docs(
            "7.0.0",
            "O(N*K) worst case with N being the smallest input sorted set, K being \
             the number of input sorted sets.",
            "Intersect multiple sorted sets and return the cardinality of the result",
        ),
        zintercard,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy, Debug, Default)]
enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn named(word: &[u8]) -> Option<Self> {
        let all = [
            (&b"sum"[..], Self::Sum),
            (b"min", Self::Min),
            (b"max", Self::Max),
        ];
        let found = all.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map(|(_, aggregate)| *aggregate)
    }

    /// The two infinities add up to nothing.
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => or_zero(a + b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A key that takes part.
#[derive(Clone, Copy)]
struct Source<'a> {
    key: &'a [u8],
    len: usize,
    weight: f64,
}

/// What a request asks for, from the number of keys on.
struct Query<'a> {
    sources: Vec<Source<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// ZINTERCARD's; `usize::MAX` for none.
    limit: usize,
}

/// Which options a command has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Replies,
    Stores,
    Counts,
}

impl<'a> Query<'a> {
    fn parse(
        ctx: &mut Ctx<'a>,
        at: usize,
        operation: Operation,
        form: Form,
    ) -> Result<Self, Error> {
        let name = String::from_utf8_lossy(ctx.arg(0)).to_lowercase();
        let args = ctx.args.skip(at);
        let count = parse_i64(args.get(0)).ok_or(Error::NotInteger)?;
        if count < 1 {
            let line = format!("ERR at least 1 input key is needed for '{name}' command");
            return Err(Error::Other(line.into()));
        }
        let count = usize::try_from(count).map_err(|_| Error::Syntax)?;
        if count > args.len() - 1 {
            return Err(Error::Syntax);
        }
        let mut query = Self {
            sources: Vec::with_capacity(count),
            aggregate: Aggregate::default(),
            with_scores: false,
            limit: usize::MAX,
        };
        for key in args.skip(1).iter().take(count) {
            let len = source_len(&mut ctx.txn, key)?;
            query.sources.push(Source {
                key,
                len,
                weight: 1.0,
            });
        }
        query.parse_options(args.skip(1 + count), operation, form)?;
        Ok(query)
    }

    fn parse_options(
        &mut self,
        args: Args<'_>,
        operation: Operation,
        form: Form,
    ) -> Result<(), Error> {
        const BAD_WEIGHT: Error = Error::text("ERR weight value is not a float");
        const BAD_LIMIT: Error = Error::text("ERR LIMIT can't be negative");
        let combines = operation != Operation::Difference && form != Form::Counts;
        let mut at = 0;
        while at < args.len() {
            let is = |word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
            let left = args.len() - at;
            if combines && left > self.sources.len() && is("weights") {
                for source in &mut self.sources {
                    at += 1;
                    source.weight = parse_f64(args.get(at)).ok_or(BAD_WEIGHT)?;
                }
            } else if combines && left >= 2 && is("aggregate") {
                at += 1;
                self.aggregate = Aggregate::named(args.get(at)).ok_or(Error::Syntax)?;
            } else if form == Form::Replies && is("withscores") {
                self.with_scores = true;
            } else if form == Form::Counts && left >= 2 && is("limit") {
                at += 1;
                let limit = parse_i64(args.get(at)).and_then(|limit| usize::try_from(limit).ok());
                self.limit = match limit.ok_or(BAD_LIMIT)? {
                    0 => usize::MAX,
                    limit => limit,
                };
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(())
    }
}

fn zunion(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Operation::Union)
}

fn zinter(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Operation::Intersection)
}

fn zdiff(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Operation::Difference)
}

fn zunionstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    keep(ctx, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    keep(ctx, Operation::Intersection, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    keep(ctx, Operation::Difference, "zdiffstore")
}

fn answer(ctx: &mut Ctx<'_>, operation: Operation) -> Result<(), Error> {
    let query = Query::parse(ctx, 1, operation, Form::Replies)?;
    let mut result = run(&mut ctx.txn, operation, &query);
    result.sort_unstable_by(|(a, x), (b, y)| order((*x, a), (*y, b)));
    let members = result.iter().map(|(m, score)| (Item::Bytes(m), *score));
    reply_members(ctx.reply, result.len(), query.with_scores, members);
    Ok(())
}

fn keep(ctx: &mut Ctx<'_>, operation: Operation, event: &'static str) -> Result<(), Error> {
    let query = Query::parse(ctx, 2, operation, Form::Stores)?;
    let result = run(&mut ctx.txn, operation, &query);
    let zset = ZSet::from_pairs(result, &ctx.txn.limits());
    store(ctx, ctx.arg(1), zset, event);
    Ok(())
}

fn zintercard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let query = Query::parse(ctx, 1, Operation::Intersection, Form::Counts)?;
    let mut count = 0;
    intersect(&mut ctx.txn, &query, |found| {
        count += found.len();
        count < query.limit
    });
    ctx.reply.integer(count.min(query.limit) as i64);
    Ok(())
}

type Pairs = Vec<(StrBuf, f64)>;

/// Members that are looked at together.
const BLOCK_LEN: usize = 256;

fn run(txn: &mut Txn<'_>, operation: Operation, query: &Query<'_>) -> Pairs {
    match operation {
        Operation::Union => union(txn, query),
        Operation::Intersection => intersection(txn, query),
        Operation::Difference => difference(txn, query),
    }
}

/// The sources with the fewest members first, which is also the order in which scores are added up.
fn by_len<'a>(query: &Query<'a>) -> Vec<Source<'a>> {
    let mut sources = query.sources.clone();
    sources.sort_by_key(|source| source.len);
    sources
}

fn union(txn: &mut Txn<'_>, query: &Query<'_>) -> Pairs {
    let mut places: HashMap<StrBuf, usize, ahash::RandomState> = HashMap::default();
    let mut pairs = Pairs::new();
    for source in by_len(query) {
        for_each(txn, source.key, |member, score| {
            let score = or_zero(source.weight * score);
            if let Some(at) = places.get(member) {
                pairs[*at].1 = query.aggregate.of(pairs[*at].1, score);
            } else {
                let member = StrBuf::from_slice(member);
                places.insert(member.clone(), pairs.len());
                pairs.push((member, score));
            }
        });
    }
    pairs
}

fn intersection(txn: &mut Txn<'_>, query: &Query<'_>) -> Pairs {
    let mut pairs = Pairs::new();
    intersect(txn, query, |found| {
        pairs.append(found);
        true
    });
    pairs
}

/// Gives what is in all sources, some members at a time, until no more is wanted. The smallest source is walked.
fn intersect(txn: &mut Txn<'_>, query: &Query<'_>, mut give: impl FnMut(&mut Pairs) -> bool) {
    let sources = by_len(query);
    let Some((smallest, others)) = sources.split_first() else {
        return;
    };
    walk(txn, *smallest, |txn, block| {
        for (_, score) in &mut *block {
            *score = or_zero(smallest.weight * *score);
        }
        for source in others {
            let value = txn.peek(source.key);
            block.retain_mut(|(member, score)| {
                let Some(other) = value.and_then(|value| score_in(value, member)) else {
                    return false;
                };
                *score = query.aggregate.of(*score, source.weight * other);
                true
            });
        }
        give(block)
    });
}

fn difference(txn: &mut Txn<'_>, query: &Query<'_>) -> Pairs {
    let Some((first, others)) = query.sources.split_first() else {
        return Pairs::new();
    };
    let mut pairs = Pairs::new();
    walk(txn, *first, |txn, block| {
        for source in others {
            if let Some(value) = txn.peek(source.key) {
                block.retain(|(member, _)| score_in(value, member).is_none());
            }
        }
        pairs.append(block);
        true
    });
    pairs
}

/// Shows a source in blocks, until `visit` wants no more.
fn walk(
    txn: &mut Txn<'_>,
    source: Source<'_>,
    mut visit: impl FnMut(&mut Txn<'_>, &mut Pairs) -> bool,
) {
    let mut block = Pairs::with_capacity(BLOCK_LEN.min(source.len));
    for start in (0..source.len).step_by(BLOCK_LEN) {
        let ranks = start..source.len.min(start + BLOCK_LEN);
        block.clear();
        let mut text = itoa::Buffer::new();
        match txn.peek(source.key) {
            Some(Value::ZSet(zset)) => block.extend(zset.range(ranks).map(|(member, score)| {
                let member = StrBuf::from_slice(member.bytes(&mut text));
                (member, score)
            })),
            Some(Value::Set(set)) => block.extend(ranks.map(|at| {
                let member = StrBuf::from_slice(set.at(at).bytes(&mut text));
                (member, 1.0)
            })),
            _ => unreachable!("the request's keys are locked"),
        }
        if !visit(txn, &mut block) {
            return;
        }
    }
}

/// How many members a source has; counts as reading it.
fn source_len(txn: &mut Txn<'_>, key: &[u8]) -> Result<usize, Error> {
    match txn.get(key) {
        None => Ok(0),
        Some(Value::ZSet(zset)) => Ok(zset.len()),
        Some(Value::Set(set)) => Ok(set.len()),
        Some(_) => Err(Error::WrongType),
    }
}

fn for_each(txn: &mut Txn<'_>, key: &[u8], mut visit: impl FnMut(&[u8], f64)) {
    let mut text = itoa::Buffer::new();
    match txn.peek(key) {
        Some(Value::ZSet(zset)) => {
            let members = zset.range(0..zset.len());
            members.for_each(|(member, score)| visit(member.bytes(&mut text), score));
        }
        Some(Value::Set(set)) => set.for_each(|member| visit(member.bytes(&mut text), 1.0)),
        _ => {}
    }
}

/// A member's score, if it is there.
fn score_in(value: &Value, member: &[u8]) -> Option<f64> {
    match value {
        Value::ZSet(zset) => zset.score(member),
        Value::Set(set) => set.contains(member).then_some(1.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;

    /// What of sources of several blocks is found, by the first line of the reply.
    #[test]
    fn large_sources_are_walked_to_their_ends() {
        let mut ours = Harness::new();
        let numbers = |step: usize| (0..2000).step_by(step);
        for n in numbers(1) {
            ours.line(&format!("ZADD all {n} m{n}"));
        }
        for n in numbers(3) {
            ours.line(&format!("ZADD third {n} m{n}"));
            ours.line(&format!("SADD numbers {n}"));
        }
        for n in numbers(5) {
            ours.line(&format!("SADD fifth m{n}"));
        }
        let (third, both) = (numbers(3).count(), numbers(15).count());
        for (line, found) in [
            ("ZINTERCARD 2 all third", third),
            ("ZINTERCARD 3 third all fifth", both),
            ("ZINTERCARD 2 all third LIMIT 300", 300),
            ("ZINTERCARD 2 all third LIMIT 3000", third),
            ("ZINTERCARD 2 numbers third", 0),
            ("ZINTERSTORE to 3 all third fifth", both),
            ("ZDIFFSTORE to 2 all third", 2000 - third),
            ("ZDIFFSTORE to 2 third fifth", third - both),
            ("ZDIFFSTORE to 2 third all", 0),
            ("ZDIFFSTORE to 2 third numbers", third),
        ] {
            assert_eq!(ours.line(line), format!(":{found}\r\n"), "{line}");
        }
        ours.line("ZINTERSTORE to 2 all third WEIGHTS 2 3");
        for n in numbers(3) {
            let score = (5 * n).to_string();
            let reply = format!("${}\r\n{score}\r\n", score.len());
            assert_eq!(ours.line(&format!("ZSCORE to m{n}")), reply);
        }
    }
}
