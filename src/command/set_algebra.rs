//! Several sets at once: SINTER, SUNION, SDIFF, their STORE forms, and SINTERCARD.
//!
//! A transaction holds one key's stripe at a time, so no two sets are seen together. One set is walked in blocks: a block
//! of its members is copied, looked for in the other sets one after the other, and what is left of it is a result, as
//! positions in the walked set. So a large set is never copied, and a limit ends the walk.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Expiry, Notify, Txn};
use crate::resp::Args;
use crate::value::{Limits, Probe, Set, Value};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("sinter", -2, Group::Set, Flags::READONLY)
            .syntax("key ...")
            .keys(&[KeySpec::rest(1, 1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "1.0.0",
                "O(N*M) worst case where N is the cardinality of the smallest set and M \
                 is the number of sets.",
                "Intersect multiple sets",
            ),
        sinter,
    ),
    Command::new(
        Spec::new(
            "sintercard",
            -3,
            Group::Set,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax("numkeys key ... [LIMIT limit]")
        .keys(&[KeySpec::counted(1, KeyFlags::READ)])
        .docs(
            "7.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is \
             the number of sets.",
            "Intersect multiple sets and return the cardinality of the result",
        ),
        sintercard,
    ),
    Command::new(
        Spec::new("sinterstore", -3, Group::Set, Flags::WRITE_DENYOOM)
            .syntax("destination key ...")
            .keys(&[
                KeySpec::one(1, KeyFlags::ALTER),
                KeySpec::rest(2, 1, KeyFlags::READ),
            ])
            .docs(
                "1.0.0",
                "O(N*M) worst case where N is the cardinality of the smallest set and M \
                 is the number of sets.",
                "Intersect multiple sets and store the resulting set in a key",
            ),
        sinterstore,
    ),
    Command::new(
        Spec::new("sunion", -2, Group::Set, Flags::READONLY)
            .syntax("key ...")
            .keys(&[KeySpec::rest(1, 1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "1.0.0",
                "O(N) where N is the total number of elements in all given sets.",
                "Add multiple sets",
            ),
        sunion,
    ),
    Command::new(
        Spec::new("sunionstore", -3, Group::Set, Flags::WRITE_DENYOOM)
            .syntax("destination key ...")
            .keys(&[
                KeySpec::one(1, KeyFlags::OVERWRITE),
                KeySpec::rest(2, 1, KeyFlags::READ),
            ])
            .docs(
                "1.0.0",
                "O(N) where N is the total number of elements in all given sets.",
                "Add multiple sets and store the resulting set in a key",
            ),
        sunionstore,
    ),
    Command::new(
        Spec::new("sdiff", -2, Group::Set, Flags::READONLY)
            .syntax("key ...")
            .keys(&[KeySpec::rest(1, 1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "1.0.0",
                "O(N) where N is the total number of elements in all given sets.",
                "Subtract multiple sets",
            ),
        sdiff,
    ),
    Command::new(
        Spec::new("sdiffstore", -3, Group::Set, Flags::WRITE_DENYOOM)
            .syntax("destination key ...")
            .keys(&[
                KeySpec::one(1, KeyFlags::OVERWRITE),
                KeySpec::rest(2, 1, KeyFlags::READ),
            ])
            .docs(
                "1.0.0",
                "O(N) where N is the total number of elements in all given sets.",
                "Subtract multiple sets and store the resulting set in a key",
            ),
        sdiffstore,
    ),
];

/// Members that are looked for together: so many that finding the sets does not count, so few that they stay in the cache.
const BLOCK_LEN: usize = 256;

fn sinter(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(1))?;
    let result = intersection(&mut ctx.txn, sources, usize::MAX);
    reply(ctx, &result);
    Ok(())
}

fn sintercard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NO_KEYS: Error = Error::text("ERR numkeys should be greater than 0");
    const TOO_MANY: Error = Error::text("ERR Number of keys can't be greater than number of args");
    let count = ctx.int(1).ok().filter(|count| *count > 0).ok_or(NO_KEYS)?;
    let rest = ctx.args.skip(2);
    let count = usize::try_from(count).map_err(|_| TOO_MANY)?;
    if count > rest.len() {
        return Err(TOO_MANY);
    }
    let limit = parse_limit(rest.skip(count))?;
    let sources = rest.iter().take(count).map(|key| source(&mut ctx.txn, key));
    let sources = sources.collect::<Result<Vec<_>, Error>>()?;
    let result = intersection(&mut ctx.txn, sources, limit);
    ctx.reply.integer(result.len() as i64);
    Ok(())
}

fn parse_limit(options: Args<'_>) -> Result<usize, Error> {
    const NEGATIVE: Error = Error::text("ERR LIMIT can't be negative");
    let mut limit = usize::MAX;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options
            .next()
            .filter(|_| option.eq_ignore_ascii_case(b"limit"));
        let number = parse_i64(value.ok_or(Error::Syntax)?);
        let number = number.and_then(|number| usize::try_from(number).ok());
        limit = match number.ok_or(NEGATIVE)? {
            0 => usize::MAX,
            limit => limit,
        };
    }
    Ok(limit)
}

fn sinterstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(2))?;
    let result = intersection(&mut ctx.txn, sources, usize::MAX);
    let set = result.into_set(&mut ctx.txn);
    store(ctx, set, "sinterstore");
    Ok(())
}

fn sunion(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(1))?;
    let result = union(&mut ctx.txn, &sources);
    reply(ctx, &result);
    Ok(())
}

fn sunionstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(2))?;
    let set = union(&mut ctx.txn, &sources).into_set(&mut ctx.txn);
    store(ctx, set, "sunionstore");
    Ok(())
}

fn sdiff(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(1))?;
    let result = difference(&mut ctx.txn, &sources);
    reply(ctx, &result);
    Ok(())
}

fn sdiffstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sources = sources(&mut ctx.txn, ctx.args.skip(2))?;
    let set = difference(&mut ctx.txn, &sources).into_set(&mut ctx.txn);
    store(ctx, set, "sdiffstore");
    Ok(())
}

/// A key of a request, and how many members its set has; 0: there is none.
#[derive(Clone, Copy)]
struct Source<'a> {
    key: &'a [u8],
    len: usize,
}

fn source<'a>(txn: &mut Txn<'_>, key: &'a [u8]) -> Result<Source<'a>, Error> {
    let len = txn.read::<Set>(key)?.map_or(0, Set::len);
    Ok(Source { key, len })
}

fn sources<'a>(txn: &mut Txn<'_>, keys: Args<'a>) -> Result<Vec<Source<'a>>, Error> {
    keys.iter().map(|key| source(txn, key)).collect()
}

/// What an operation has found.
struct Found<'a> {
    /// The set that was walked, where there is one.
    walked: Option<&'a [u8]>,
    members: Members,
}

/// Members of the walked set.
enum Members {
    At(Vec<u32>),
    /// All of it, and these, which are not in it.
    AllAnd(usize, Set),
}

impl Found<'_> {
    const NOTHING: Found<'static> = Found {
        walked: None,
        members: Members::At(Vec::new()),
    };

    fn len(&self) -> usize {
        match &self.members {
            Members::At(positions) => positions.len(),
            Members::AllAnd(len, others) => len + others.len(),
        }
    }

    fn for_each(&self, txn: &mut Txn<'_>, mut visit: impl FnMut(&[u8])) {
        let Some(key) = self.walked else {
            return;
        };
        let (set, mut text) = (seen(txn, key), itoa::Buffer::new());
        match &self.members {
            Members::At(positions) => positions
                .iter()
                .for_each(|at| visit(set.at(*at as usize).bytes(&mut text))),
            Members::AllAnd(_, others) => {
                set.for_each(|member| visit(member.bytes(&mut text)));
                others.for_each(|member| visit(member.bytes(&mut text)));
            }
        }
    }

    fn into_set(self, txn: &mut Txn<'_>) -> Set {
        let limits = txn.limits();
        let mut set = Set::default();
        if let (Members::AllAnd(len, others), Some(key)) = (&self.members, self.walked)
            && *len > limits.set_max_intset_entries
            && let table @ Set::Table(_) = seen(txn, key)
        {
            set = table.clone();
            insert_all(&mut set, others, &limits);
            return set;
        }
        self.for_each(txn, |member| {
            set.insert(member, &limits);
        });
        set
    }
}

fn insert_all(set: &mut Set, others: &Set, limits: &Limits) {
    let mut text = itoa::Buffer::new();
    others.for_each(|member| {
        set.insert(member.bytes(&mut text), limits);
    });
}

fn reply(ctx: &mut Ctx<'_>, found: &Found<'_>) {
    ctx.reply.set(found.len());
    found.for_each(&mut ctx.txn, |member| ctx.reply.bulk(member));
}

/// Puts a result where the request wants it.
fn store(ctx: &mut Ctx<'_>, set: Set, event: &'static str) {
    let (target, len) = (ctx.arg(1), set.len());
    if len > 0 {
        ctx.txn.put(target, Value::Set(set), Expiry::Never);
        ctx.txn.notify(Notify::SET, event, target);
    } else if ctx.txn.remove(target) {
        ctx.txn.notify(Notify::GENERIC, "del", target);
    }
    ctx.reply.integer(len as i64);
}

/// What is in all sets, but no more than `limit`: the smallest is walked.
fn intersection<'a>(txn: &mut Txn<'_>, mut sources: Vec<Source<'a>>, limit: usize) -> Found<'a> {
    sources.sort_by_key(|source| source.len);
    let Some((smallest, others)) = sources.split_first() else {
        return Found::NOTHING;
    };
    let mut positions = Vec::new();
    walk(txn, *smallest, |txn, block| {
        for other in others.iter().filter(|other| other.key != smallest.key) {
            block.keep(seen(txn, other.key), true);
        }
        positions.extend(block.members.iter().map(|(at, _)| *at));
        positions.len() < limit
    });
    positions.truncate(limit);
    Found {
        walked: (smallest.len > 0).then_some(smallest.key),
        members: Members::At(positions),
    }
}

/// What is in any of the sets: all but the largest are walked.
fn union<'a>(txn: &mut Txn<'_>, sources: &[Source<'a>]) -> Found<'a> {
    let largest = sources.iter().max_by_key(|source| source.len);
    let Some(largest) = largest.filter(|largest| largest.len > 0) else {
        return Found::NOTHING;
    };
    let (mut others, limits) = (Set::default(), txn.limits());
    let mut text = itoa::Buffer::new();
    for source in sources.iter().filter(|source| source.key != largest.key) {
        walk(txn, *source, |txn, block| {
            block.keep(seen(txn, largest.key), false);
            for (_, probe) in &block.members {
                others.insert(probe.bytes(&mut text), &limits);
            }
            true
        });
    }
    Found {
        walked: Some(largest.key),
        members: Members::AllAnd(largest.len, others),
    }
}

/// What is in the first set and in none of the others. Walked is what is less work: the first, to look in all the others,
/// or all the others, to look in the first.
fn difference<'a>(txn: &mut Txn<'_>, sources: &[Source<'a>]) -> Found<'a> {
    let Some((first, others)) = sources.split_first() else {
        return Found::NOTHING;
    };
    if first.len == 0 || others.iter().any(|other| other.key == first.key) {
        return Found::NOTHING;
    }
    let others: Vec<_> = others.iter().filter(|other| other.len > 0).collect();
    let walking_others = others.iter().map(|other| other.len).sum::<usize>();
    let mut positions = Vec::new();
    if walking_others < first.len.saturating_mul(others.len()) {
        let mut is_left = vec![true; first.len];
        for other in others {
            walk(txn, *other, |txn, block| {
                let set = seen(txn, first.key);
                let found = block
                    .members
                    .iter()
                    .filter_map(|(_, probe)| set.find(probe));
                found.for_each(|at| is_left[at] = false);
                true
            });
        }
        let left = is_left.iter().enumerate().filter(|(_, is_left)| **is_left);
        positions.extend(left.map(|(at, _)| at as u32));
    } else {
        walk(txn, *first, |txn, block| {
            for other in &others {
                block.keep(seen(txn, other.key), false);
            }
            positions.extend(block.members.iter().map(|(at, _)| *at));
            true
        });
    }
    Found {
        walked: Some(first.key),
        members: Members::At(positions),
    }
}

/// Members of a set, with their positions in it.
struct Block {
    members: Vec<(u32, Probe)>,
}

impl Block {
    /// Keeps the members that are in a set, or those that are not.
    fn keep(&mut self, set: &Set, inside: bool) {
        self.members
            .retain(|(_, probe)| set.find(probe).is_some() == inside);
    }
}

/// Shows a set in blocks, until `visit` wants no more.
fn walk(
    txn: &mut Txn<'_>,
    source: Source<'_>,
    mut visit: impl FnMut(&mut Txn<'_>, &mut Block) -> bool,
) {
    let mut block = Block {
        members: Vec::with_capacity(BLOCK_LEN.min(source.len)),
    };
    for start in (0..source.len).step_by(BLOCK_LEN) {
        let set = seen(txn, source.key);
        let end = source.len.min(start + BLOCK_LEN);
        block.members.clear();
        let members = (start..end).map(|at| (at as u32, set.probe_at(at)));
        block.members.extend(members);
        if !visit(txn, &mut block) {
            return;
        }
    }
}

/// A set that this request has seen already.
fn seen<'t>(txn: &'t mut Txn<'_>, key: &[u8]) -> &'t Set {
    match txn.inspect(key) {
        Ok(Some(set)) => set,
        _ => unreachable!("the request's keys are locked"),
    }
}
