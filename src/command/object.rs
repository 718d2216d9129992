//! OBJECT: how a value is kept.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::value::{Str, Value};

pub static COMMANDS: &[Command<Handler>] = &[Command::container(
    Spec::new("object", -2, Group::Generic, Flags::empty()).docs(
        "2.2.3",
        "Depends on subcommand.",
        "A container for object introspection commands",
    ),
    &[
        Command::new(
            Spec::new("object|encoding", 3, Group::Generic, Flags::READONLY)
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::RO)])
                .docs(
                    "2.2.3",
                    "O(1)",
                    "Inspect the internal encoding of a Redis object",
                )
                .tips(&["nondeterministic_output"]),
            encoding,
        ),
        Command::new(
            Spec::new("object|freq", 3, Group::Generic, Flags::READONLY)
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::RO)])
                .docs(
                    "4.0.0",
                    "O(1)",
                    "Get the logarithmic access frequency counter of a Redis object",
                )
                .tips(&["nondeterministic_output"]),
            freq,
        ),
        Command::new(
            Spec::new(
                "object|help",
                2,
                Group::Generic,
                Flags::LOADING.union(Flags::STALE),
            )
            .docs(
                "6.2.0",
                "O(1)",
                "Show helpful text about the different subcommands",
            ),
            help,
        ),
        Command::new(
            Spec::new("object|idletime", 3, Group::Generic, Flags::READONLY)
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::RO)])
                .docs(
                    "2.2.3",
                    "O(1)",
                    "Get the time since a Redis object was last accessed",
                )
                .tips(&["nondeterministic_output"]),
            idletime,
        ),
        Command::new(
            Spec::new("object|refcount", 3, Group::Generic, Flags::READONLY)
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::RO)])
                .docs(
                    "2.2.3",
                    "O(1)",
                    "Get the number of references to the value of the key",
                )
                .tips(&["nondeterministic_output"]),
            refcount,
        ),
    ],
)];

fn encoding(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.peek(ctx.args.get(2)) {
        Some(value) => ctx.reply.bulk(value.encoding().as_bytes()),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn freq(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_TRACKED: Error = Error::text(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
         when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    let Some(access) = ctx.txn.access(ctx.args.get(2)) else {
        ctx.reply.null();
        return Ok(());
    };
    let rule = ctx.txn.access_rule();
    if !rule.counts {
        return Err(NOT_TRACKED);
    }
    ctx.reply.integer(access.count(ctx.now_ms(), rule).into());
    Ok(())
}

fn help(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    ];
    ctx.reply.array(LINES.len());
    for line in LINES {
        ctx.reply.simple(line);
    }
    Ok(())
}

fn idletime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_TRACKED: Error = Error::text(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    match ctx.txn.access(ctx.args.get(2)) {
        Some(_) if ctx.txn.access_rule().counts => return Err(NOT_TRACKED),
        Some(access) => ctx.reply.integer(access.idle_s(ctx.now_ms()).into()),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn refcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    /// What Redis answers for the small integers that all its keys share, which clients may take for "an integer".
    const SHARED: i64 = i32::MAX as i64;
    const SHARED_BELOW: i64 = 10_000;
    match ctx.txn.peek(ctx.args.get(2)) {
        Some(Value::Str(Str::Int(0..SHARED_BELOW))) => ctx.reply.integer(SHARED),
        Some(_) => ctx.reply.integer(1),
        None => ctx.reply.null(),
    }
    Ok(())
}
