//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! EXEC locks the keys of all queued commands at once and commits them as one write batch. A command that fails does not
//! undo the others (<https://redis.io/docs/latest/develop/interact/transactions/>).

use super::admission;
use super::client::{Client, ClientFlags};
use super::registry::{EngineCtx, Entry, Run};
use super::script_run;
use super::work::Kind;
use super::worker::{Flow, Worker};
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::locks::{Footprint, Mode};
use crate::resp::{Args, OwnedArgs, Reply, RespWriter};
use std::sync::atomic::Ordering;

const TRANSACTION: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);

pub static COMMANDS: &[Command<Run>] = &[
    Command::new(
        Spec::new(
            "multi",
            1,
            Group::Transactions,
            TRANSACTION.union(Flags::FAST).union(Flags::ALLOW_BUSY),
        )
        .docs("1.2.0", "O(1)", "Mark the start of a transaction block"),
        Run::Engine(multi),
    ),
    Command::new(
        Spec::new(
            "exec",
            1,
            Group::Transactions,
            TRANSACTION.union(Flags::SKIP_SLOWLOG),
        )
        .docs(
            "1.2.0",
            "Depends on commands in the transaction",
            "Execute all commands issued after MULTI",
        ),
        Run::Exec,
    ),
    Command::new(
        Spec::new(
            "discard",
            1,
            Group::Transactions,
            TRANSACTION.union(Flags::FAST).union(Flags::ALLOW_BUSY),
        )
        .docs(
            "2.0.0",
            "O(N), when N is the number of queued commands",
            "Discard all commands issued after MULTI",
        ),
        Run::Engine(discard),
    ),
    Command::new(
        Spec::new(
            "watch",
            -2,
            Group::Transactions,
            TRANSACTION.union(Flags::FAST).union(Flags::ALLOW_BUSY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::RO)])
        .docs(
            "2.2.0",
            "O(1) for every key.",
            "Watch the given keys to determine execution of the MULTI/EXEC block",
        ),
        Run::Engine(watch),
    ),
    Command::new(
        Spec::new(
            "unwatch",
            1,
            Group::Transactions,
            TRANSACTION.union(Flags::FAST).union(Flags::ALLOW_BUSY),
        )
        .docs("2.2.0", "O(1)", "Forget about all watched keys"),
        Run::Engine(unwatch),
    ),
];

/// Commands that one transaction may queue: as many as a request may have arguments.
const QUEUED_MAX: usize = 1024 * 1024;

/// A command that EXEC will run.
pub struct Queued {
    pub entry: &'static Entry,
    pub args: OwnedArgs,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.entry.spec.name, self.args)
    }
}

/// What a client has queued since MULTI.
#[derive(Debug, Default)]
pub struct MultiState {
    pub commands: Vec<Queued>,
    /// A command could not be queued: EXEC will refuse.
    pub aborted: bool,
    /// EXEC will refuse where memory is short.
    pub denies_oom: bool,
}

/// Whether a command is run at once also inside MULTI.
pub fn runs_inside(entry: &Entry) -> bool {
    matches!(
        entry.spec.name,
        "multi" | "exec" | "discard" | "watch" | "quit" | "reset"
    )
}

impl Worker {
    /// Queues a command for EXEC.
    pub(super) fn queue(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) {
        let denies_oom = self.denies_oom(entry, &args);
        let Some(multi) = client.multi.as_mut() else {
            return;
        };
        let refused = if entry.spec.flags.contains(Flags::NO_MULTI) {
            Some(Error::text("ERR Command not allowed inside a transaction"))
        } else if multi.commands.len() >= QUEUED_MAX {
            Some(Error::text("ERR too many commands in a transaction"))
        } else {
            None
        };
        if let Some(error) = refused {
            multi.aborted = true;
            let mark = out.len();
            self.answer_error(client, out, mark, &error);
            return;
        }
        if !multi.aborted {
            multi.denies_oom |= denies_oom;
            multi.commands.push(Queued {
                entry,
                args: OwnedArgs::from(args),
            });
        }
        client
            .info
            .queued
            .store(multi.commands.len() as i64, Ordering::Relaxed);
        RespWriter::new(out, client.protocol).simple("QUEUED");
    }

    /// EXEC: runs what was queued, or parks it until it has its locks.
    pub(super) fn exec(&mut self, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(multi) = client.multi.take() else {
            let mark = out.len();
            self.answer_error(client, out, mark, &Error::text("ERR EXEC without MULTI"));
            return Flow::Done;
        };
        leave_multi(client);
        if multi.aborted {
            self.unwatch(client);
            let error = Error::text("EXECABORT Transaction discarded because of previous errors.");
            let mark = out.len();
            self.answer_error(client, out, mark, &error);
            return Flow::Done;
        }
        let commands = multi.commands;
        let token = self.works.reserve();
        let admitted = if needs_gate(&commands) {
            self.keeper.admit_alone(token)
        } else {
            let footprint = || self.exec_footprint(client, &commands);
            self.keeper.admit(footprint, token)
        };
        match admitted {
            Ok(grants) => self.exec_granted(grants, client, commands, out),
            Err(wait) => self.park(client, token, Kind::Exec { commands, wait }),
        }
    }

    /// The keys of all commands, and the watched ones, which nobody may change once they are found unchanged.
    pub(super) fn exec_footprint(&self, client: &Client, commands: &[Queued]) -> Footprint {
        let mut db = client.db;
        let watched = client.watching.iter();
        let mut all: Vec<_> = watched.map(|key| (*key, Mode::Shared)).collect();
        for Queued { entry, args } in commands {
            let args = args.as_args();
            if entry.spec.name == "select"
                && let Some(selected) = parse_i64(args.get(1)).and_then(|n| usize::try_from(n).ok())
                && selected < self.shared.keyspace.databases()
            {
                db = selected;
            }
            // Where the keys cannot be told, the handler will answer with the fault.
            if let Ok(keys) = admission::footprint(self.shared.keyspace, db, entry.spec, &args) {
                all.extend(keys.iter());
            }
        }
        all.into_iter().collect()
    }

    /// Forgets what the client watches.
    pub(super) fn unwatch(&mut self, client: &mut Client) {
        for fingerprint in client.watching.drain(..) {
            self.shared
                .keyspace
                .unwatch(fingerprint, &client.watch_flag);
        }
        client.watch_flag.store(false, Ordering::SeqCst);
    }
}

/// Whether commands need the keyspace for themselves, also because they walk over it: what is not there yet has no lock.
fn needs_gate(commands: &[Queued]) -> bool {
    commands.iter().any(|Queued { entry, args }| {
        let args = args.as_args();
        let undeclared = matches!(entry.run, Run::Script(_)) && !script_run::declares_keys(&args);
        let walks = entry.spec.flags.contains(Flags::KEYSPACE);
        entry.spec.needs_gate(&args) || undeclared || walks
    })
}

/// Leaves MULTI as CLIENT LIST shows it.
fn leave_multi(client: &mut Client) {
    client.multi = None;
    client.info.queued.store(-1, Ordering::Relaxed);
    client.info.set_flag(ClientFlags::MULTI, false);
}

fn multi(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.client.multi.is_some() {
        return Err(Error::text("ERR MULTI calls can not be nested"));
    }
    ctx.client.multi = Some(Box::default());
    ctx.client.info.queued.store(0, Ordering::Relaxed);
    ctx.client.info.set_flag(ClientFlags::MULTI, true);
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// Ends MULTI and WATCH, for DISCARD and for RESET.
pub fn discard_all(worker: &mut Worker, client: &mut Client) {
    leave_multi(client);
    worker.unwatch(client);
}

fn discard(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.client.multi.is_none() {
        return Err(Error::text("ERR DISCARD without MULTI"));
    }
    discard_all(ctx.worker, ctx.client);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn watch(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.client.multi.is_some() {
        return Err(Error::text("ERR WATCH inside MULTI is not allowed"));
    }
    let keyspace = ctx.worker.shared.keyspace;
    let db = keyspace.physical(ctx.client.db);
    for key in ctx.args.iter().skip(1) {
        let fingerprint = keyspace.fingerprint(db, key);
        if !ctx.client.watching.contains(&fingerprint) {
            keyspace.watch(fingerprint, &ctx.client.watch_flag);
            ctx.client.watching.push(fingerprint);
        }
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

#[allow(clippy::unnecessary_wraps, reason = "all handlers have one signature")]
fn unwatch(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.worker.unwatch(ctx.client);
    ctx.reply.ok();
    Ok(Flow::Done)
}
