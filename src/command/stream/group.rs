//! Consumer groups: XGROUP, XACK.

use super::{is, no_group_for_key, no_subcommand, parse_id, parse_id_or_edge, reply_help};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Notify, Txn};
use crate::value::Stream;
use crate::value::stream::{GroupKey, StreamId};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::container(
        Spec::new("xgroup", -2, Group::Stream, Flags::empty()).docs(
            "5.0.0",
            "Depends on subcommand.",
            "A container for consumer groups commands",
        ),
        SUBCOMMANDS,
    ),
    Command::new(
        Spec::new("xack", -4, Group::Stream, Flags::WRITE_FAST)
            .syntax("key group id ...")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "5.0.0",
                "O(1) for each message ID processed.",
                "Marks a pending message as correctly processed, effectively removing it \
                 from the pending entries list of the consumer group. Return value of the \
                 command is the number of messages successfully acknowledged, that is, \
                 the IDs we were actually able to resolve in the PEL.",
            ),
        xack,
    ),
];

static SUBCOMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("xgroup|create", -5, Group::Stream, Flags::WRITE_DENYOOM)
            .syntax(
                "key groupname <id: id | $:new_id> [MKSTREAM] \
                 [ENTRIESREAD entries_read:integer]",
            )
            .keys(&[KeySpec::one(2, KeyFlags::EXTEND)])
            .docs("5.0.0", "O(1)", "Create a consumer group.")
            .history(&[("7.0.0", "Added the `entries_read` named argument.")]),
        create,
    ),
    Command::new(
        Spec::new("xgroup|setid", -5, Group::Stream, Flags::WRITE)
            .syntax("key groupname <id: id | $:new_id> [ENTRIESREAD entries_read:integer]")
            .keys(&[KeySpec::one(2, KeyFlags::ALTER)])
            .docs(
                "5.0.0",
                "O(1)",
                "Set a consumer group to an arbitrary last delivered ID value.",
            )
            .history(&[("7.0.0", "Added the optional `entries_read` argument.")]),
        setid,
    ),
    Command::new(
        Spec::new("xgroup|destroy", 4, Group::Stream, Flags::WRITE)
            .syntax("key groupname")
            .keys(&[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "5.0.0",
                "O(N) where N is the number of entries in the group's pending entries \
                 list (PEL).",
                "Destroy a consumer group.",
            ),
        destroy,
    ),
    Command::new(
        Spec::new(
            "xgroup|createconsumer",
            5,
            Group::Stream,
            Flags::WRITE_DENYOOM,
        )
        .syntax("key groupname consumername")
        .keys(&[KeySpec::one(2, KeyFlags::EXTEND)])
        .docs("6.2.0", "O(1)", "Create a consumer in a consumer group."),
        createconsumer,
    ),
    Command::new(
        Spec::new("xgroup|delconsumer", 5, Group::Stream, Flags::WRITE)
            .syntax("key groupname consumername")
            .keys(&[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs("5.0.0", "O(1)", "Delete a consumer from a consumer group."),
        delconsumer,
    ),
    Command::new(
        Spec::new(
            "xgroup|help",
            2,
            Group::Stream,
            Flags::LOADING.union(Flags::STALE),
        )
        .docs(
            "5.0.0",
            "O(1)",
            "Show helpful text about the different subcommands",
        ),
        help,
    ),
];

fn create(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const EXISTS: Error = Error::text("BUSYGROUP Consumer Group name already exists");
    let (make_stream, entries_read) = options(ctx, true)?;
    let (key, name, args) = (ctx.arg(2), ctx.arg(3), ctx.args);
    let stream = ctx.txn.inspect::<Stream>(key)?;
    if stream.is_none() && !make_stream {
        return Err(NO_KEY);
    }
    if args.len() > 8 {
        return Err(no_subcommand("XGROUP", &args[1]));
    }
    let id = match args.get(4) {
        b"$" => stream.map_or(StreamId::MIN, Stream::last_id),
        id => parse_id(id, 0)?,
    };
    if stream.is_some_and(|stream| stream.find_group(name).is_some()) {
        return Err(EXISTS);
    }
    ctx.txn.edit::<Stream, _>(key, Absent::Create, |stream| {
        stream.add_group(name, id, entries_read);
    })?;
    ctx.txn.notify(Notify::STREAM, "xgroup-create", key);
    ctx.reply.ok();
    Ok(())
}

fn setid(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (_, entries_read) = options(ctx, false)?;
    let (key, name) = (ctx.arg(2), ctx.arg(3));
    let (stream, group) = find(&mut ctx.txn, key, name)?;
    let last_id = stream.last_id();
    if !matches!(ctx.args.len(), 5 | 7) {
        return Err(no_subcommand("XGROUP", ctx.arg(1)));
    }
    let id = match ctx.arg(4) {
        b"$" => last_id,
        id => parse_id_or_edge(id, 0)?,
    };
    ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        stream.move_group(name, group, id, entries_read);
    })?;
    ctx.txn.notify(Notify::STREAM, "xgroup-setid", key);
    ctx.reply.ok();
    Ok(())
}

fn destroy(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, name) = (ctx.arg(2), ctx.arg(3));
    let removed = ctx
        .txn
        .edit::<Stream, _>(key, Absent::Leave, |stream| stream.remove_group(name))?;
    let removed = removed.ok_or(NO_KEY)?;
    if removed {
        ctx.txn.notify(Notify::STREAM, "xgroup-destroy", key);
    }
    ctx.reply.integer(i64::from(removed));
    Ok(())
}

fn createconsumer(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, name, consumer) = (ctx.arg(2), ctx.arg(3), ctx.arg(4));
    let (stream, group) = find(&mut ctx.txn, key, name)?;
    let is_new = stream.group(group).find_consumer(consumer).is_none();
    if is_new {
        ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
            stream.add_consumer(name, group, consumer);
        })?;
        ctx.txn.notify(Notify::STREAM, "xgroup-createconsumer", key);
    }
    ctx.reply.integer(i64::from(is_new));
    Ok(())
}

fn delconsumer(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, name, consumer) = (ctx.arg(2), ctx.arg(3), ctx.arg(4));
    let (stream, group) = find(&mut ctx.txn, key, name)?;
    let Some(consumer) = stream.group(group).find_consumer(consumer) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let edited = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        stream.remove_consumer(name, group, consumer)
    })?;
    ctx.txn.notify(Notify::STREAM, "xgroup-delconsumer", key);
    ctx.reply.integer(edited.unwrap_or(0) as i64);
    Ok(())
}

fn help(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        &[
            "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
            "HELP",
            "    Prints this help.",
        ],
    );
    Ok(())
}

const NO_KEY: Error = Error::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
     MKSTREAM option to create an empty stream automatically.",
);

/// The stream and the group that a subcommand is about.
fn find<'t>(
    txn: &'t mut Txn<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<(&'t Stream, GroupKey), Error> {
    let stream = txn.inspect::<Stream>(key)?.ok_or(NO_KEY)?;
    match stream.find_group(name) {
        Some(group) => Ok((stream, group)),
        None => Err(no_group_for_key(key, name)),
    }
}

/// The options of CREATE and SETID: whether to make the stream, and how many entries the group has read.
fn options(ctx: &Ctx<'_>, is_create: bool) -> Result<(bool, Option<u64>), Error> {
    const NEGATIVE: Error = Error::text("ERR value for ENTRIESREAD must be positive or -1");
    let (mut make_stream, mut entries_read) = (false, None);
    let mut options = ctx.args.skip(5).iter();
    while let Some(option) = options.next() {
        if is_create && is(option, "mkstream") {
            make_stream = true;
        } else if is(option, "entriesread") && options.len() > 0 {
            let read = options
                .next()
                .and_then(parse_i64)
                .ok_or(Error::NotInteger)?;
            entries_read = match read {
                -1 => None,
                read => Some(u64::try_from(read).map_err(|_| NEGATIVE)?),
            };
        } else {
            return Err(no_subcommand("XGROUP", ctx.arg(1)));
        }
    }
    Ok((make_stream, entries_read))
}

fn xack(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    let stream = ctx.txn.read::<Stream>(key)?;
    let Some(group) = stream.and_then(|stream| stream.find_group(name)) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let ids = ctx.args.skip(3);
    let ids = ids.iter().map(|id| parse_id(id, 0));
    let ids = ids.collect::<Result<Vec<StreamId>, Error>>()?;
    let edited = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        let was_pending = |id: &&StreamId| stream.acknowledge(name, group, **id);
        ids.iter().filter(was_pending).count()
    })?;
    ctx.reply.integer(edited.unwrap_or(0) as i64);
    Ok(())
}
