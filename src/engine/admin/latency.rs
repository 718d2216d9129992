//! LATENCY: what was slow by event, and how long each command takes.

use super::{ADMIN, error, help, help_spec, text};
use crate::base::clock;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::config::Opt;
use crate::engine::registry::{EngineCtx, EngineHandler, Entry};
use crate::engine::shared::Shared;
use crate::engine::worker::Flow;
use crate::observe::CommandTotals;
use crate::observe::latency::{Sample, event};
use std::time::Duration;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("latency", -2, Group::Server, Flags::empty()).docs(
        "2.8.13",
        "Depends on subcommand.",
        "A container for latency diagnostics commands",
    ),
    &[
        sub(
            "latency|latest",
            2,
            "2.8.13",
            "Return the latest latency samples for all events.",
            latest,
        ),
        sub(
            "latency|history",
            3,
            "2.8.13",
            "Return timestamp-latency samples for the event.",
            history,
        )
        .syntax("event"),
        sub(
            "latency|graph",
            3,
            "2.8.13",
            "Return a latency graph for the event.",
            graph,
        )
        .syntax("event"),
        sub(
            "latency|doctor",
            2,
            "2.8.13",
            "Return a human readable latency analysis report.",
            doctor,
        ),
        Command::new(
            Spec::new("latency|reset", -2, Group::Server, ADMIN)
                .syntax("[event ...]")
                .docs(
                    "2.8.13",
                    "O(1)",
                    "Reset latency data for one or more events.",
                )
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            reset,
        ),
        Command::new(
            Spec::new("latency|histogram", -2, Group::Server, ADMIN)
                .syntax("[command ...]")
                .docs(
                    "7.0.0",
                    "O(N) where N is the number of commands with latency information being \
                     retrieved.",
                    "Return the cumulative distribution of latencies of a subset of commands \
                     or all.",
                )
                .tips(REPORT),
            histogram,
        ),
        Command::new(
            help_spec("latency|help", Group::Server, "2.8.13").docs(
                "2.8.13",
                "O(1)",
                "Show helpful text about the different subcommands.",
            ),
            latency_help,
        ),
    ],
)];

const REPORT: &[&str] = &[
    "nondeterministic_output",
    "request_policy:all_nodes",
    "response_policy:special",
];

const fn sub(
    name: &'static str,
    arity: i32,
    since: &'static str,
    summary: &'static str,
    run: EngineHandler,
) -> Command<EngineHandler> {
    let spec = Spec::new(name, arity, Group::Server, ADMIN).tips(REPORT);
    Command::new(spec.docs(since, "O(1)", summary), run)
}

/// Keeps the latency of a command for LATENCY, if it reaches the threshold.
pub fn note_latency(shared: &Shared, spec: &Spec, threshold_ms: i64, took: Duration) {
    let name = if spec.flags.contains(Flags::FAST) {
        event::FAST_COMMAND
    } else {
        event::COMMAND
    };
    note_event(shared, name, threshold_ms, took);
}

/// Keeps the latency of an event for LATENCY, if it reaches the threshold.
pub fn note_event(shared: &Shared, name: &'static str, threshold_ms: i64, took: Duration) {
    let sample = Sample {
        unix_time_s: (clock::unix_ms() / 1000) as u64,
        latency_ms: took.as_millis() as u64,
    };
    shared.observer.latency.note(name, sample, threshold_ms);
}

fn latest(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let rows = ctx.worker.shared.observer.latency.latest();
    ctx.reply.array(rows.len());
    for row in rows {
        ctx.reply.array(4);
        ctx.reply.bulk(row.event.as_bytes());
        for number in [row.last.unix_time_s, row.last.latency_ms, row.max_ms] {
            ctx.reply.integer(number as i64);
        }
    }
    Ok(Flow::Done)
}

fn history(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let event = text(ctx.args.get(2));
    let samples = ctx.worker.shared.observer.latency.history(&event);
    ctx.reply.array(samples.len());
    for sample in samples {
        ctx.reply.array(2);
        ctx.reply.integer(sample.unix_time_s as i64);
        ctx.reply.integer(sample.latency_ms as i64);
    }
    Ok(Flow::Done)
}

fn graph(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let event = text(ctx.args.get(2));
    let latency = &ctx.worker.shared.observer.latency;
    let row = latency.latest().into_iter().find(|row| row.event == event);
    let Some(row) = row else {
        return Err(error(format!(
            "ERR No samples available for event '{event}'"
        )));
    };
    let now_s = (ctx.worker.now_ms / 1000) as u64;
    let drawn = super::latency_graph::draw(&row, &latency.history(&event), now_s);
    ctx.reply.verbatim("txt", drawn.as_bytes());
    Ok(Flow::Done)
}

fn doctor(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let threshold_ms = shared
        .config
        .settings()
        .number(Opt::LatencyMonitorThreshold);
    let advice = shared.observer.latency.doctor(threshold_ms);
    ctx.reply.verbatim("txt", advice.as_bytes());
    Ok(Flow::Done)
}

fn reset(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let named: Vec<_> = ctx.args.iter().skip(2).map(text).collect();
    let named: Vec<&str> = named.iter().map(AsRef::as_ref).collect();
    let count = ctx.worker.shared.observer.latency.reset(&named);
    ctx.reply.integer(count as i64);
    Ok(Flow::Done)
}

fn histogram(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let names = ctx.args.skip(2);
    let chosen: Vec<&Entry> = if names.is_empty() {
        shared.registry.entries().iter().collect()
    } else {
        let found = names
            .iter()
            .filter_map(|name| super::command::lookup(&shared.registry, name));
        found.collect()
    };
    let mut rows: Vec<(&str, CommandTotals)> = Vec::new();
    for entry in chosen {
        for entry in std::iter::once(entry).chain(&entry.subcommands) {
            let totals = shared.observer.command(entry.number as usize);
            if totals.calls > 0 {
                rows.push((entry.spec.name, totals));
            }
        }
    }
    ctx.reply.map(rows.len());
    for (name, totals) in rows {
        let pairs = totals.cumulative_us();
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.integer(totals.calls as i64);
        ctx.reply.bulk(b"histogram_usec");
        ctx.reply.map(pairs.len());
        for (up_to_us, calls) in pairs {
            ctx.reply.integer(up_to_us as i64);
            ctx.reply.integer(calls as i64);
        }
    }
    Ok(Flow::Done)
}

fn latency_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "LATENCY", HELP)
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
    "    If no commands are specified then all histograms are replied.",
];
