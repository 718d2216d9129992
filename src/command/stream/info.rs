//! XINFO: what a stream, its groups and their consumers are like.

use super::{
    info_full, is, no_group_for_key, no_subcommand, reply_entry, reply_help, reply_id, reply_known,
};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::resp::Reply;
use crate::value::Stream;

pub static COMMANDS: &[Command<Handler>] = &[Command::container(
    Spec::new("xinfo", -2, Group::Stream, Flags::empty()).docs(
        "5.0.0",
        "Depends on subcommand.",
        "A container for stream introspection commands",
    ),
    &[
        Command::new(
            Spec::new("xinfo|consumers", 4, Group::Stream, Flags::READONLY)
                .syntax("key groupname")
                .keys(&[KeySpec::one(2, KeyFlags::READ)])
                .tips(&["nondeterministic_output"])
                .docs("5.0.0", "O(1)", "List the consumers in a consumer group"),
            consumers,
        ),
        Command::new(
            Spec::new("xinfo|groups", 3, Group::Stream, Flags::READONLY)
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::READ)])
                .docs("5.0.0", "O(1)", "List the consumer groups of a stream")
                .history(&[("7.0.0", "Added the `entries-read` and `lag` fields")]),
            groups,
        ),
        Command::new(
            Spec::new("xinfo|stream", -3, Group::Stream, Flags::READONLY)
                .syntax("key [FULL <full: [COUNT count]>]")
                .keys(&[KeySpec::one(2, KeyFlags::READ)])
                .docs("5.0.0", "O(1)", "Get information about a stream")
                .history(&[
                    ("6.0.0", "Added the `FULL` modifier."),
                    (
                        "7.0.0",
                        "Added the `max-deleted-entry-id`, `entries-added`, \
                         `recorded-first-entry-id`, `entries-read` and `lag` fields",
                    ),
                ]),
            stream,
        ),
        Command::new(
            Spec::new(
                "xinfo|help",
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
    ],
)];

fn consumers(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, name, now_ms) = (ctx.arg(2), ctx.arg(3), ctx.now_ms());
    let stream = ctx.txn.read::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let group = stream
        .find_group(name)
        .ok_or_else(|| no_group_for_key(key, name))?;
    let consumers = stream.group(group).consumers();
    ctx.reply.array(consumers.len());
    for (_, consumer) in consumers {
        ctx.reply.map(4);
        ctx.reply.bulk(b"name");
        ctx.reply.bulk(&consumer.name);
        put(ctx.reply, "pending", consumer.pending().len() as i64);
        put(
            ctx.reply,
            "idle",
            now_ms.saturating_sub(consumer.seen_ms).max(0),
        );
        let inactive_ms = match consumer.active_ms {
            -1 => -1,
            active_ms => now_ms.saturating_sub(active_ms).max(0),
        };
        put(ctx.reply, "inactive", inactive_ms);
    }
    Ok(())
}

fn groups(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let stream = ctx.txn.read::<Stream>(ctx.args.get(2))?;
    let stream = stream.ok_or(Error::NoSuchKey)?;
    ctx.reply.array(stream.groups().len());
    for (name, _, group) in stream.groups() {
        ctx.reply.map(6);
        ctx.reply.bulk(b"name");
        ctx.reply.bulk(name);
        put(ctx.reply, "consumers", group.consumers().len() as i64);
        put(ctx.reply, "pending", group.pending().len() as i64);
        ctx.reply.bulk(b"last-delivered-id");
        reply_id(ctx.reply, group.last_id);
        ctx.reply.bulk(b"entries-read");
        reply_known(ctx.reply, group.entries_read.map(|read| read as i64));
        ctx.reply.bulk(b"lag");
        reply_known(ctx.reply, stream.lag(group));
    }
    Ok(())
}

fn stream(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const FIELDS: usize = 10;
    let key = ctx.arg(2);
    let Some(stream) = ctx.txn.read::<Stream>(key)? else {
        return Err(Error::NoSuchKey);
    };
    if ctx.args.len() > 3 {
        let count = full_count(ctx.args.skip(3).iter(), || {
            no_subcommand("XINFO", ctx.args.get(1))
        })?;
        info_full::reply(ctx.reply, stream, count);
        return Ok(());
    }
    ctx.reply.map(FIELDS);
    put_common(ctx.reply, stream);
    put(ctx.reply, "groups", stream.groups().len() as i64);
    for (name, entry) in [
        ("first-entry", stream.first()),
        ("last-entry", stream.last()),
    ] {
        ctx.reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => reply_entry(ctx.reply, entry),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// The first seven fields of both forms.
pub fn put_common(reply: &mut dyn Reply, stream: &Stream) {
    let counters = stream.counters();
    put(reply, "length", stream.len() as i64);
    put(reply, "radix-tree-keys", stream.nodes().len() as i64);
    put(reply, "radix-tree-nodes", stream.radix_nodes() as i64);
    reply.bulk(b"last-generated-id");
    reply_id(reply, counters.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, counters.max_deleted);
    put(reply, "entries-added", counters.added as i64);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, stream.first_id());
}

pub fn put(reply: &mut dyn Reply, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

/// How many entries of each kind `FULL [COUNT count]` asks for.
fn full_count<'a>(
    mut options: impl ExactSizeIterator<Item = &'a [u8]>,
    wrong: impl Fn() -> Error,
) -> Result<usize, Error> {
    const COUNT: usize = 10;
    let len = options.len();
    if !options.next().is_some_and(|word| is(word, "full")) || !matches!(len, 1 | 3) {
        return Err(wrong());
    }
    let Some(word) = options.next() else {
        return Ok(COUNT);
    };
    if !is(word, "count") {
        return Err(wrong());
    }
    let count = options
        .next()
        .and_then(parse_i64)
        .ok_or(Error::NotInteger)?;
    Ok(match count {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(COUNT),
    })
}

fn help(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        &[
            "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
            "HELP",
            "    Prints this help.",
        ],
    );
    Ok(())
}
