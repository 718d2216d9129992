//! The server's life: TIME, SAVE and its kin, SHUTDOWN, ROLE.

use super::info::last_save_s;
use super::{ADMIN, ANYTIME_FAST, SESSION, is, ok};
use crate::base::clock;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::Message;
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;
use bitflags::bitflags;
use std::sync::atomic::Ordering;

/// Commands that write to disk.
const DISK: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::NO_ASYNC_LOADING);
const OPERATOR: &[&str] = &["@admin", "@dangerous"];

pub static COMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        Spec::new("time", 1, Group::Server, ANYTIME_FAST)
            .docs("2.6.0", "O(1)", "Return the current server time")
            .tips(&["nondeterministic_output"]),
        time,
    ),
    Command::new(
        Spec::new("lastsave", 1, Group::Server, ANYTIME_FAST)
            .categories(OPERATOR)
            .docs(
                "1.0.0",
                "O(1)",
                "Get the UNIX time stamp of the last successful save to disk",
            )
            .tips(&["nondeterministic_output"]),
        lastsave,
    ),
    Command::new(
        Spec::new("save", 1, Group::Server, DISK.union(Flags::NO_MULTI)).docs(
            "1.0.0",
            "O(N) where N is the total number of keys in all databases",
            "Synchronously save the dataset to disk",
        ),
        save,
    ),
    Command::new(
        Spec::new("bgsave", -1, Group::Server, DISK)
            .syntax("[SCHEDULE]@3.2.2")
            .docs("1.0.0", "O(1)", "Asynchronously save the dataset to disk")
            .history(&[("3.2.2", "Added the `SCHEDULE` option.")]),
        bgsave,
    ),
    Command::new(
        Spec::new("bgrewriteaof", 1, Group::Server, DISK).docs(
            "1.0.0",
            "O(1)",
            "Asynchronously rewrite the append-only file",
        ),
        bgrewriteaof,
    ),
    Command::new(
        Spec::new(
            "shutdown",
            -1,
            Group::Server,
            ADMIN.union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY),
        )
        .syntax("[NOSAVE | SAVE] [NOW]@7.0.0 [FORCE]@7.0.0 [ABORT]@7.0.0")
        .docs(
            "1.0.0",
            "O(N) when saving, where N is the total number of keys in all databases \
             when saving data, otherwise O(1)",
            "Synchronously save the dataset to disk and then shut down the server",
        )
        .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")]),
        shutdown,
    ),
    Command::new(
        Spec::new("role", 1, Group::Server, SESSION.union(Flags::FAST))
            .categories(OPERATOR)
            .docs(
                "2.8.12",
                "O(1)",
                "Return the role of the instance in the context of replication",
            ),
        role,
    ),
];

fn time(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    // A script sees one time from its beginning to its end.
    let now_us = if ctx.from_script {
        ctx.worker.now_us
    } else {
        clock::unix_us()
    };
    ctx.reply.array(2);
    ctx.reply.bulk_int(now_us / 1_000_000);
    ctx.reply.bulk_int(now_us % 1_000_000);
    Ok(Flow::Done)
}

fn lastsave(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.integer(last_save_s(ctx.worker.shared));
    Ok(Flow::Done)
}

/// Everything is in the journal already; the reply leaves once it is on disk.
fn save(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    check_journal(ctx)?;
    ctx.worker.sync_asked = true;
    ctx.worker.shared.backups.note_saved(ctx.worker.now_ms);
    ok(ctx)
}

fn bgsave(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let scheduled = ctx.args.len() == 2 && is(ctx.args.get(1), "schedule");
    if ctx.args.len() > 1 && !scheduled {
        return Err(Error::Syntax);
    }
    check_journal(ctx)?;
    let shared = ctx.worker.shared;
    shared
        .backups
        .start(shared)
        .map_err(|_| Error::text("ERR Background save already in progress"))?;
    ctx.reply.simple("Background saving started");
    Ok(Flow::Done)
}

fn check_journal(ctx: &EngineCtx<'_>) -> Result<(), Error> {
    let health = ctx.worker.shared.journal.health();
    health.map_err(|error| crate::engine::commit::refusal(&error))
}

fn bgrewriteaof(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    match ctx.worker.shared.journal.rewrite() {
        Ok(()) => {
            ctx.reply
                .simple("Background append only file rewriting started");
            Ok(Flow::Done)
        }
        Err(aidb::Error::RewriteInProgress) => Err(Error::text(
            "ERR Background append only file rewriting already in progress",
        )),
        Err(error) => {
            tracing::warn!(%error, "the journal cannot be rewritten");
            Err(Error::text(
                "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
            ))
        }
    }
}

bitflags! {
    /// What SHUTDOWN was asked for.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Shutdown: u8 {
        const SAVE = 1 << 0;
        const NOSAVE = 1 << 1;
        const NOW = 1 << 2;
        const FORCE = 1 << 3;
        const ABORT = 1 << 4;
    }
}

impl Shutdown {
    fn parse(ctx: &EngineCtx<'_>) -> Result<Self, Error> {
        let mut options = Self::empty();
        for option in ctx.args.iter().skip(1) {
            let known = Self::all().iter_names().find(|(name, _)| is(option, name));
            options |= known.ok_or(Error::Syntax)?.1;
        }
        let contradicts = options.contains(Self::ABORT) && options != Self::ABORT
            || options.contains(Self::SAVE | Self::NOSAVE);
        if contradicts {
            Err(Error::Syntax)
        } else {
            Ok(options)
        }
    }
}

/// Ends the server. The journal is closed in good order whatever was asked for, so NOSAVE loses nothing; it and FORCE
/// only allow to stop although the journal has failed.
fn shutdown(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let options = Shutdown::parse(ctx)?;
    if options.contains(Shutdown::ABORT) {
        // Shards end as soon as they are told, so there is never one to call off.
        return Err(Error::text("ERR No shutdown in progress."));
    }
    let shared = ctx.worker.shared;
    if let Err(error) = shared.journal.health()
        && !options.intersects(Shutdown::NOSAVE | Shutdown::FORCE)
    {
        tracing::error!(%error, "SHUTDOWN refused: the journal has failed; SHUTDOWN FORCE stops nevertheless");
        return Err(Error::text("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    tracing::info!("a client asked for the shutdown");
    shared.stopping.store(true, Ordering::SeqCst);
    shared.tell_all(|| Message::Shutdown);
    Ok(Flow::Close)
}

fn role(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.integer(0);
    ctx.reply.array(0);
    Ok(Flow::Done)
}
