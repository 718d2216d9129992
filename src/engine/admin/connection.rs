//! PING, ECHO, SELECT.

use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;

pub static COMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        Spec::new("ping", -1, Group::Connection, Flags::FAST).docs(
            "1.0.0",
            "O(1)",
            "Returns the server's liveliness response.",
        ),
        ping,
    ),
    Command::new(
        Spec::new(
            "echo",
            2,
            Group::Connection,
            Flags::FAST.union(Flags::LOADING).union(Flags::STALE),
        )
        .docs("1.0.0", "O(1)", "Returns the given string."),
        echo,
    ),
    Command::new(
        Spec::new(
            "select",
            2,
            Group::Connection,
            Flags::FAST.union(Flags::LOADING).union(Flags::STALE),
        )
        .docs("1.0.0", "O(1)", "Changes the selected database."),
        select,
    ),
];

fn ping(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    match ctx.args.len() {
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(ctx.args.get(1)),
        _ => return Err(Error::WrongArity("ping".into())),
    }
    Ok(Flow::Done)
}

fn echo(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.bulk(ctx.args.get(1));
    Ok(Flow::Done)
}

fn select(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let db = parse_i64(ctx.args.get(1)).ok_or(Error::InvalidDbIndex)?;
    let databases = ctx.worker.shared.keyspace.databases();
    match usize::try_from(db) {
        Ok(db) if db < databases => ctx.client.select(db),
        _ => return Err(Error::DbIndexOutOfRange),
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}
