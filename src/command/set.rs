//! Sets: SADD, SREM, SMOVE, SISMEMBER and what else is about single members; SSCAN.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::scan_options::{ScanOptions, parse_cursor, reply_scan};
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Notify};
use crate::value::{Set, StrBuf};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("sadd", -3, Group::Set, Flags::WRITE_DENYOOM_FAST)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::EXTEND)])
            .docs(
                "1.0.0",
                "O(1) for each element added, so O(N) to add N elements when the command \
                 is called with multiple arguments.",
                "Add one or more members to a set",
            )
            .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
        sadd,
    ),
    Command::new(
        Spec::new("srem", -3, Group::Set, Flags::WRITE_FAST)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "1.0.0",
                "O(N) where N is the number of members to be removed.",
                "Remove one or more members from a set",
            )
            .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
        srem,
    ),
    Command::new(
        Spec::new("smove", 4, Group::Set, Flags::WRITE_FAST)
            .syntax("source destination member")
            .keys(&[
                KeySpec::one(1, KeyFlags::TAKE),
                KeySpec::one(2, KeyFlags::EXTEND),
            ])
            .docs("1.0.0", "O(1)", "Move a member from one set to another"),
        smove,
    ),
    Command::new(
        Spec::new("sismember", 3, Group::Set, Flags::READ_FAST)
            .syntax("key member")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs(
                "1.0.0",
                "O(1)",
                "Determine if a given value is a member of a set",
            ),
        sismember,
    ),
    Command::new(
        Spec::new("smismember", -3, Group::Set, Flags::READ_FAST)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "6.2.0",
                "O(N) where N is the number of elements being checked for membership",
                "Returns the membership associated with the given elements for a set",
            ),
        smismember,
    ),
    Command::new(
        Spec::new("scard", 2, Group::Set, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Get the number of members in a set"),
        scard,
    ),
    Command::new(
        Spec::new("smembers", 2, Group::Set, Flags::READONLY)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output_order"])
            .docs(
                "1.0.0",
                "O(N) where N is the set cardinality.",
                "Get all the members in a set",
            ),
        smembers,
    ),
    Command::new(
        Spec::new("sscan", -3, Group::Set, Flags::READONLY)
            .syntax("key cursor [MATCH pattern] [COUNT count]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "2.8.0",
                "O(1) for every call. O(N) for a complete iteration, including enough \
                 command calls for the cursor to return back to 0. N is the number of \
                 elements inside the collection..",
                "Incrementally iterate Set elements",
            ),
        sscan,
    ),
];

fn sadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, members) = (ctx.arg(1), ctx.args.skip(2));
    let added = ctx.txn.edit::<Set, _>(key, Absent::Create, |set| {
        members.iter().filter(|member| set.add(member)).count()
    })?;
    let added = added.unwrap_or(0);
    if added > 0 {
        ctx.txn.notify(Notify::SET, "sadd", key);
    }
    ctx.reply.integer(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, members) = (ctx.arg(1), ctx.args.skip(2));
    let removed = ctx.txn.edit::<Set, _>(key, Absent::Leave, |set| {
        let removed = members.iter().filter(|member| set.remove(member)).count();
        (removed, set.is_empty())
    })?;
    let (removed, is_over) = removed.unwrap_or((0, false));
    if removed > 0 {
        ctx.txn.notify_removal(Notify::SET, "srem", key, is_over);
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to, member) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let Some(is_there) = ctx
        .txn
        .inspect::<Set>(from)?
        .map(|set| set.contains(member))
    else {
        ctx.reply.integer(0);
        return Ok(());
    };
    ctx.txn.inspect::<Set>(to)?;
    if is_there && from != to {
        let is_over = ctx.txn.edit::<Set, _>(from, Absent::Leave, |set| {
            set.remove(member);
            set.is_empty()
        })?;
        ctx.txn
            .notify_removal(Notify::SET, "srem", from, is_over == Some(true));
        let added = ctx
            .txn
            .edit::<Set, _>(to, Absent::Create, |set| set.add(member))?;
        if added == Some(true) {
            ctx.txn.notify(Notify::SET, "sadd", to);
        }
    }
    ctx.reply.integer(i64::from(is_there));
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, member) = (ctx.arg(1), ctx.arg(2));
    let set = ctx.txn.read::<Set>(key)?;
    let is_member = set.is_some_and(|set| set.contains(member));
    ctx.reply.integer(i64::from(is_member));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, members) = (ctx.arg(1), ctx.args.skip(2));
    let set = ctx.txn.read::<Set>(key)?;
    ctx.reply.array(members.len());
    for member in members.iter() {
        let is_member = set.is_some_and(|set| set.contains(member));
        ctx.reply.integer(i64::from(is_member));
    }
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let len = ctx.txn.read::<Set>(ctx.args.get(1))?.map_or(0, Set::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.read::<Set>(ctx.args.get(1))? {
        None => ctx.reply.set(0),
        Some(set) => {
            ctx.reply.set(set.len());
            let mut text = itoa::Buffer::new();
            set.for_each(|member| ctx.reply.bulk(member.bytes(&mut text)));
        }
    }
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, options) = (ctx.arg(1), ctx.args.skip(3));
    let cursor = parse_cursor(ctx.arg(2)).ok_or(Error::InvalidCursor)?;
    let mut found: Vec<StrBuf> = Vec::new();
    let mut next = 0;
    if let Some(set) = ctx.txn.read::<Set>(key)? {
        let options = ScanOptions::parse_within(options)?;
        let mut text = itoa::Buffer::new();
        next = set.scan(cursor, options.count, |member| {
            let bytes = member.bytes(&mut text);
            if options.lets_through(bytes) {
                found.push(StrBuf::from_slice(bytes));
            }
        });
    }
    reply_scan(ctx.reply, next, &found);
    Ok(())
}
