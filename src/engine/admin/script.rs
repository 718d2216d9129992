//! SCRIPT: the cache of scripts, and the end of those that run.

use super::{NOT_BUSY, is, ok, script_stats};
use crate::base::clock;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::config::Opt;
use crate::engine::debugging;
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::running::Kill;
use crate::engine::stored_scripts;
use crate::engine::waiting::BUSY_FUNCTION;
use crate::engine::worker::Flow;
use crate::script::{Script, Sha};

const SCRIPTING: Flags = Flags::NOSCRIPT;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("script", -2, Group::Scripting, Flags::empty()).docs(
        "2.6.0",
        "Depends on subcommand.",
        "A container for Lua scripts management commands",
    ),
    &[
        Command::new(
            Spec::new("script|debug", 3, Group::Scripting, SCRIPTING)
                .syntax("<mode: YES | SYNC | NO>")
                .docs("3.2.0", "O(1)", "Set the debug mode for executed scripts."),
            debug,
        ),
        Command::new(
            Spec::new("script|exists", -3, Group::Scripting, SCRIPTING)
                .syntax("sha1 ...")
                .docs(
                    "2.6.0",
                    "O(N) with N being the number of scripts to check (so checking a single \
                     script is an O(1) operation).",
                    "Check existence of scripts in the script cache.",
                )
                .tips(&[
                    "request_policy:all_shards",
                    "response_policy:agg_logical_and",
                ]),
            exists,
        ),
        Command::new(
            Spec::new("script|flush", -2, Group::Scripting, SCRIPTING)
                .syntax("[async: ASYNC | SYNC]@6.2.0")
                .docs(
                    "2.6.0",
                    "O(N) with N being the number of scripts in cache",
                    "Remove all the scripts from the script cache.",
                )
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .history(&[(
                    "6.2.0",
                    "Added the `ASYNC` and `SYNC` flushing mode modifiers.",
                )]),
            flush,
        ),
        Command::new(
            Spec::new(
                "script|help",
                2,
                Group::Scripting,
                Flags::LOADING.union(Flags::STALE),
            )
            .docs(
                "5.0.0",
                "O(1)",
                "Show helpful text about the different subcommands",
            ),
            help,
        ),
        Command::new(
            Spec::new(
                "script|kill",
                2,
                Group::Scripting,
                SCRIPTING.union(Flags::ALLOW_BUSY),
            )
            .docs("2.6.0", "O(1)", "Kill the script currently in execution.")
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            kill,
        ),
        script_stats::LIST,
        Command::new(
            Spec::new(
                "script|load",
                3,
                Group::Scripting,
                SCRIPTING.union(Flags::STALE),
            )
            .syntax("script")
            .docs(
                "2.6.0",
                "O(N) with N being the length in bytes of the script body.",
                "Load the specified Lua script into the script cache.",
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            load,
        ),
        script_stats::PS,
        Command::new(
            Spec::new("script|show", 3, Group::Scripting, SCRIPTING)
                .syntax("sha1")
                .docs(
                    "8.0.0",
                    "O(1).",
                    "Returns the body of a server-side Lua script in the script cache.",
                ),
            show,
        ),
        script_stats::STATS,
    ],
)];

fn load(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let script = Script::new(ctx.args.get(2)).map_err(|line| Error::Other(line.into()))?;
    let dialect = script
        .header
        .dialect
        .unwrap_or_else(|| ctx.worker.dialect());
    ctx.worker.check_script(&script, dialect)?;
    stored_scripts::keep(ctx.worker.shared, &script)?;
    let script = ctx.worker.shared.scripts.load(script);
    ctx.reply.bulk(&script.sha.to_hex());
    Ok(Flow::Done)
}

fn debug(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    debugging::set_mode(ctx.client, ctx.args.get(2))?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn exists(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let scripts = &ctx.worker.shared.scripts;
    ctx.reply.array(ctx.args.len() - 2);
    for sha in ctx.args.iter().skip(2) {
        let found = Sha::from_hex(sha).is_some_and(|sha| scripts.exists(&sha));
        ctx.reply.integer(i64::from(found));
    }
    Ok(Flow::Done)
}

fn flush(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let known = |mode: &[u8]| is(mode, "sync") || is(mode, "async");
    match ctx.args.len() {
        2 => {}
        3 if known(ctx.args.get(2)) => {}
        _ => {
            return Err(Error::text(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            ));
        }
    }
    stored_scripts::forget_all(ctx.worker.shared)?;
    ctx.worker.shared.scripts.flush();
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn show(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let found = Sha::from_hex(ctx.args.get(2)).and_then(|sha| ctx.worker.shared.scripts.get(&sha));
    let script = found.ok_or(Error::text("NOSCRIPT No matching script. Please use EVAL."))?;
    ctx.reply.bulk(script.body());
    Ok(Flow::Done)
}

fn kill(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let busy_us = shared.config.settings().number(Opt::BusyReplyThreshold) as u64 * 1000;
    match shared.running.kill(false, clock::monotonic_us(), busy_us) {
        Kill::Done => {
            debugging::wake_sessions(shared);
            ok(ctx)
        }
        Kill::Nothing => Err(NOT_BUSY),
        Kill::OtherKind => Err(BUSY_FUNCTION),
    }
}

fn help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    const LINES: [&str; 24] = [
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined",
        "    by the lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LIST",
        "    Return the scripts in the scripts cache: SHA1, length, kind, calls, first line.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        "PS",
        "    Return the scripts and functions that are suspended or wait, with their keys.",
        "SHOW <sha1>",
        "    Return the body of a script in the scripts cache.",
        "STATS [<sha1>|<function>]",
        "    Return what was counted of a script in the scripts cache or of a function, or of all:",
        "    calls, errors, memory, and where their time went.",
    ];
    ctx.reply.array(LINES.len() + 2);
    for line in LINES {
        ctx.reply.simple(line);
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
    Ok(Flow::Done)
}
