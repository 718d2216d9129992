//! FUNCTION: libraries of functions, and the end of functions that run.

use super::{NOT_BUSY, error, help, is, ok, text};
use crate::base::clock;
use crate::base::glob::{self, Case};
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::config::Opt;
use crate::engine::functions::{self, Restore};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::running::Kill;
use crate::engine::waiting::BUSY_SCRIPT;
use crate::engine::worker::Flow;
use crate::resp::Reply;
use crate::script::Library;
use crate::value::rdb::{self, FunctionsError};
use std::sync::Arc;

const FUNCTION: Flags = Flags::NOSCRIPT;
const CHANGES: Flags = FUNCTION.union(Flags::WRITE);
const ADDS: Flags = CHANGES.union(Flags::DENYOOM);
const WHILE_BUSY: Flags = FUNCTION.union(Flags::ALLOW_BUSY);
const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    complexity: &'static str,
    summary: &'static str,
    run: EngineHandler,
) -> Command<EngineHandler> {
    sub_with_tips(name, arity, flags, complexity, summary, &[], run)
}

const fn sub_with_tips(
    name: &'static str,
    arity: i32,
    flags: Flags,
    complexity: &'static str,
    summary: &'static str,
    tips: &'static [&'static str],
    run: EngineHandler,
) -> Command<EngineHandler> {
    let spec = Spec::new(name, arity, Group::Scripting, flags);
    Command::new(spec.docs("7.0.0", complexity, summary).tips(tips), run)
}

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("function", -2, Group::Scripting, Flags::empty()).docs(
        "7.0.0",
        "Depends on subcommand.",
        "A container for function commands",
    ),
    &[
        sub_with_tips(
            "function|load",
            -3,
            ADDS,
            "O(1) (considering compilation time is redundant)",
            "Create a function with the given arguments (name, code, description)",
            EVERYWHERE,
            load,
        )
        .syntax("[REPLACE] function-code"),
        sub_with_tips(
            "function|delete",
            3,
            CHANGES,
            "O(1)",
            "Delete a function by name",
            EVERYWHERE,
            delete,
        )
        .syntax("library-name"),
        sub_with_tips(
            "function|flush",
            -2,
            CHANGES,
            "O(N) where N is the number of functions deleted",
            "Deleting all functions",
            EVERYWHERE,
            flush,
        )
        .syntax("[async: ASYNC | SYNC]"),
        sub_with_tips(
            "function|list",
            -2,
            FUNCTION,
            "O(N) where N is the number of functions",
            "List information about all the functions",
            &["nondeterministic_output_order"],
            list,
        )
        .syntax("[LIBRARYNAME library-name-pattern] [WITHCODE]"),
        sub_with_tips(
            "function|stats",
            2,
            WHILE_BUSY,
            "O(1)",
            "Return information about the function currently running (name, description, duration)",
            &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            stats,
        ),
        sub_with_tips(
            "function|kill",
            2,
            WHILE_BUSY,
            "O(1)",
            "Kill the function currently in execution.",
            &["request_policy:all_shards", "response_policy:one_succeeded"],
            kill,
        ),
        sub(
            "function|dump",
            2,
            FUNCTION,
            "O(N) where N is the number of functions",
            "Dump all functions into a serialized binary payload",
            dump,
        ),
        sub_with_tips(
            "function|restore",
            -3,
            ADDS,
            "O(N) where N is the number of functions on the payload",
            "Restore all the functions on the given payload",
            EVERYWHERE,
            restore,
        )
        .syntax("serialized-value [policy: FLUSH | APPEND | REPLACE]"),
        Command::new(
            super::help_spec("function|help", Group::Scripting, "7.0.0"),
            function_help,
        ),
    ],
)];

/// What FUNCTION calls the engine of Lua.
const ENGINE: &[u8] = b"LUA";

fn load(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let code_at = ctx.args.len() - 1;
    let mut replace = false;
    for option in ctx.args.iter().take(code_at).skip(2) {
        if !is(option, "replace") {
            return Err(error(format!("ERR Unknown option given: {}", text(option))));
        }
        replace = true;
    }
    let code = ctx.args.get(code_at);
    let name = ctx.worker.load_function_library(code, replace)?;
    ctx.reply.bulk(name.as_bytes());
    Ok(Flow::Done)
}

fn delete(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    functions::delete(ctx.worker.shared, ctx.args.get(2))?;
    ok(ctx)
}

fn flush(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.args.len() > 3 {
        return Err(wrong_subcommand(ctx));
    }
    let mode = ctx.args.try_get(2);
    if mode.is_some_and(|mode| !is(mode, "sync") && !is(mode, "async")) {
        return Err(Error::text(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    functions::flush(ctx.worker.shared)?;
    ok(ctx)
}

fn list(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let mut pattern = None;
    let mut with_code = false;
    let mut options = ctx.args.skip(2).iter();
    while let Some(option) = options.next() {
        if !with_code && is(option, "withcode") {
            with_code = true;
        } else if pattern.is_none() && is(option, "libraryname") {
            let given = options.next();
            let missing = Error::text("ERR library name argument was not given");
            pattern = Some(given.ok_or(missing)?);
        } else {
            return Err(error(format!("ERR Unknown argument {}", text(option))));
        }
    }
    let set = ctx.worker.shared.libraries.current();
    let is_wanted = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches(pattern, library.name.as_bytes(), Case::Ignored))
    };
    ctx.reply.array(set.iter().filter(is_wanted).count());
    for library in set.iter().filter(is_wanted) {
        put_library(ctx.reply, library, with_code);
    }
    Ok(Flow::Done)
}

fn put_library(reply: &mut dyn Reply, library: &Library, with_code: bool) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(ENGINE);
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(function.name.as_bytes());
        reply.bulk(b"description");
        match &function.description {
            Some(description) => reply.bulk(description),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|name| reply.simple(name));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(library.code());
    }
}

/// Where several functions run, the one that has run longest is shown.
fn stats(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let set = shared.libraries.current();
    ctx.reply.map(2);
    ctx.reply.bulk(b"running_script");
    match shared.running.oldest_function() {
        None => ctx.reply.null(),
        Some(running) => {
            let ran_us = clock::monotonic_us().saturating_sub(running.started_us);
            ctx.reply.map(3);
            ctx.reply.bulk(b"name");
            ctx.reply.bulk(running.callee.name.as_bytes());
            ctx.reply.bulk(b"command");
            ctx.reply.array(running.callee.command.len());
            for arg in &running.callee.command {
                ctx.reply.bulk(arg);
            }
            ctx.reply.bulk(b"duration_ms");
            ctx.reply.integer((ran_us / 1000) as i64);
        }
    }
    ctx.reply.bulk(b"engines");
    ctx.reply.map(1);
    ctx.reply.bulk(ENGINE);
    ctx.reply.map(2);
    ctx.reply.bulk(b"libraries_count");
    ctx.reply.integer(set.len() as i64);
    ctx.reply.bulk(b"functions_count");
    ctx.reply.integer(set.function_count() as i64);
    Ok(Flow::Done)
}

fn kill(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let busy_us = shared.config.settings().number(Opt::BusyReplyThreshold) as u64 * 1000;
    match shared.running.kill(true, clock::monotonic_us(), busy_us) {
        Kill::Done => ok(ctx),
        Kill::Nothing => Err(NOT_BUSY),
        Kill::OtherKind => Err(BUSY_SCRIPT),
    }
}

fn dump(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let set = ctx.worker.shared.libraries.current();
    let dump = rdb::dump_functions(set.iter().map(|library| library.code()));
    ctx.reply.bulk(&dump);
    Ok(Flow::Done)
}

fn restore(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.args.len() > 4 {
        return Err(wrong_subcommand(ctx));
    }
    let policy = match ctx.args.try_get(3) {
        None => Restore::Append,
        Some(policy) if is(policy, "append") => Restore::Append,
        Some(policy) if is(policy, "replace") => Restore::Replace,
        Some(policy) if is(policy, "flush") => Restore::Flush,
        Some(_) => {
            return Err(Error::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let len_max = ctx.worker.string_len_max;
    let codes = rdb::restore_functions(ctx.args.get(2), len_max);
    let codes = codes.map_err(|error| match error {
        FunctionsError::Footer => Error::text("ERR DUMP payload version or checksum are wrong"),
        FunctionsError::Type => Error::text("ERR given type is not a function"),
        FunctionsError::Content => Error::text("ERR Failed loading library payload"),
    })?;
    ctx.worker.restore_function_libraries(&codes, policy)?;
    ok(ctx)
}

/// What Redis answers to too many arguments of a subcommand that takes some or none.
fn wrong_subcommand(ctx: &EngineCtx<'_>) -> Error {
    let name = text(ctx.args.get(1));
    error(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."
    ))
}

fn function_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "FUNCTION", HELP)
}

const HELP: &[&str] = &[
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
];
