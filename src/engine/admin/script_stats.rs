//! SCRIPT STATS, LIST and PS: what became of the scripts that are in the cache, and what runs or waits now.

use crate::base::clock;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;
use crate::keyspace::Key;
use crate::observe::TimesTotals;
use crate::resp::Reply;
use crate::script::{Script, ScriptStats, Sha};
use std::sync::Arc;

const ANYTIME: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);

pub const STATS: Command<EngineHandler> = Command::new(
    Spec::new("script|stats", -2, Group::Scripting, ANYTIME)
        .syntax("[sha1 | function]")
        .docs(
            SINCE,
            "O(N) with N being the number of scripts in the cache and of functions.",
            "Returns how often scripts and functions ran, how they ended, and where their time went.",
        )
        .tips(&["nondeterministic_output"]),
    stats,
);
pub const LIST: Command<EngineHandler> = Command::new(
    Spec::new("script|list", 2, Group::Scripting, ANYTIME)
        .docs(
            SINCE,
            "O(N) with N being the number of scripts in the cache.",
            "Returns the scripts of the cache.",
        )
        .tips(&["nondeterministic_output_order"]),
    list,
);
pub const PS: Command<EngineHandler> = Command::new(
    Spec::new(
        "script|ps",
        2,
        Group::Scripting,
        ANYTIME.union(Flags::ALLOW_BUSY),
    )
    .docs(
        SINCE,
        "O(N) with N being the number of scripts that are suspended or wait.",
        "Returns the scripts and functions that are suspended or wait, with their keys.",
    )
    .tips(&["nondeterministic_output"]),
    ps,
);

/// The version of Redis that this server follows; Redis has no such commands.
const SINCE: &str = "7.2.4";

/// Bytes of a script's first line that SCRIPT LIST shows.
const LINE_LEN_MAX: usize = 128;

fn stats(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    match ctx.args.len() {
        2 => {
            let scripts = sorted(shared.scripts.all());
            let libraries = shared.libraries.current();
            ctx.reply.map(scripts.len() + libraries.function_count());
            for script in scripts {
                ctx.reply.bulk(&script.sha.to_hex());
                write_stats(ctx.reply, &script.stats);
            }
            for function in libraries.iter().flat_map(|library| &library.functions) {
                ctx.reply.bulk(function.name.as_bytes());
                write_stats(ctx.reply, &function.stats);
            }
        }
        3 => {
            let name = ctx.args.get(2);
            let script = Sha::from_hex(name).and_then(|sha| shared.scripts.get(&sha));
            let function = shared.libraries.callee(name);
            match (&script, &function) {
                (Some(script), _) => write_stats(ctx.reply, &script.stats),
                (None, Some(function)) => write_stats(ctx.reply, function.stats()),
                (None, None) => return Err(Error::text("NOSCRIPT No matching script.")),
            }
        }
        _ => return Err(Error::WrongArity("script|stats".into())),
    }
    Ok(Flow::Done)
}

fn write_stats(reply: &mut dyn Reply, stats: &ScriptStats) {
    let totals = stats.totals();
    let counts = [
        ("calls", totals.calls),
        ("errors", totals.errors),
        ("rollbacks", totals.rollbacks),
        ("savepoint_rollbacks", totals.savepoint_rollbacks),
        ("reruns", totals.reruns),
        ("gates", totals.gates),
        ("memory_peak_bytes", totals.memory_peak),
    ];
    let not_waited = totals.calls.saturating_sub(totals.waiting.count());
    let times = [
        ("total", &totals.total, 0),
        ("waiting", &totals.waiting, not_waited),
        ("lua", &totals.lua, 0),
        ("commands", &totals.commands, 0),
        ("commit", &totals.commit, 0),
    ];
    reply.map(counts.len() + times.len() + 2);
    for (name, count) in counts {
        reply.bulk(name.as_bytes());
        reply.integer(count as i64);
    }
    for (name, times, zeros) in times {
        write_times(reply, name, times, zeros);
    }
    let (line, at_ms) = match stats.last_error() {
        Some(error) => (Some(error.line), Some(error.at_ms)),
        None => (None, None),
    };
    reply.bulk(b"last_error");
    match line {
        Some(line) => reply.bulk(line.as_bytes()),
        None => reply.null(),
    }
    reply.bulk(b"last_error_unix_ms");
    match at_ms {
        Some(at_ms) => reply.integer(at_ms),
        None => reply.null(),
    }
}

fn write_times(reply: &mut dyn Reply, name: &str, times: &TimesTotals, zeros: u64) {
    reply.bulk(format!("{name}_ns").as_bytes());
    let figures = [
        ("p50", times.percentile_ns(zeros, 50.0)),
        ("p99", times.percentile_ns(zeros, 99.0)),
        ("max", times.max_ns),
    ];
    reply.map(figures.len());
    for (name, ns) in figures {
        reply.bulk(name.as_bytes());
        reply.integer(ns as i64);
    }
}

fn list(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let all = sorted(ctx.worker.shared.scripts.all());
    let reply = &mut *ctx.reply;
    reply.array(all.len());
    for script in all {
        let kind: &[u8] = if script.is_pinned() {
            b"loaded"
        } else {
            b"eval"
        };
        let body = script.body();
        let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        reply.map(5);
        reply.bulk(b"sha");
        reply.bulk(&script.sha.to_hex());
        reply.bulk(b"length");
        reply.integer(body.len() as i64);
        reply.bulk(b"kind");
        reply.bulk(kind);
        reply.bulk(b"calls");
        reply.integer(script.stats.totals().calls as i64);
        reply.bulk(b"first_line");
        reply.bulk(&line[..line.len().min(LINE_LEN_MAX)]);
    }
    Ok(Flow::Done)
}

fn ps(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let all = ctx.worker.shared.unfinished.all();
    let now_us = clock::monotonic_us();
    let reply = &mut *ctx.reply;
    reply.array(all.len());
    for call in all {
        let seen = call.seen();
        let kind: &[u8] = if call.callee.is_function() {
            b"function"
        } else {
            b"script"
        };
        let (name, took_us) = (call.callee.name(), now_us.saturating_sub(call.started_us));
        reply.map(9);
        let texts = [
            ("name", name.as_bytes()),
            ("kind", kind),
            ("state", seen.state.name().as_bytes()),
            ("whole_keyspace", seen.whole.name().as_bytes()),
        ];
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        let numbers = [
            ("client_id", call.client),
            ("shard", call.shard.into()),
            ("duration_us", took_us),
        ];
        for (name, number) in numbers {
            reply.bulk(name.as_bytes());
            reply.integer(number as i64);
        }
        write_keys(reply, "keys_held", &seen.held);
        write_keys(reply, "keys_waited_for", &seen.waited_for);
    }
    Ok(Flow::Done)
}

fn write_keys(reply: &mut dyn Reply, name: &str, keys: &[Key]) {
    reply.bulk(name.as_bytes());
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
}

fn sorted(mut scripts: Vec<Arc<Script>>) -> Vec<Arc<Script>> {
    scripts.sort_unstable_by_key(|script| script.sha);
    scripts
}
