//! MEMORY: what keys and the server take.

use super::{help, help_spec, is, ok};
use crate::base::number::parse_i64;
use crate::command::{Command, Ctx, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::config::Opt;
use crate::engine::registry::{EngineCtx, EngineHandler, Run};
use crate::engine::worker::Flow;
use crate::observe::info::human_size;
use crate::observe::{allocator, process};
use std::fmt::Write;

/// A container whose USAGE is a data command: its key is admitted like any other.
pub static COMMANDS: &[Command<Run>] = &[Command::container(
    Spec::new("memory", -2, Group::Server, Flags::empty()).docs(
        "4.0.0",
        "Depends on subcommand.",
        "A container for memory diagnostics commands",
    ),
    &[
        Command::new(
            Spec::new("memory|usage", -3, Group::Server, Flags::READONLY)
                .syntax("key [SAMPLES count]")
                .keys(&[KeySpec::one(2, KeyFlags::RO)])
                .docs(
                    "4.0.0",
                    "O(N) where N is the number of samples.",
                    "Estimate the memory usage of a key",
                ),
            Run::Data(usage),
        ),
        sub(
            "memory|stats",
            "O(1)",
            "Show memory usage details",
            REPORT,
            stats,
        ),
        sub(
            "memory|doctor",
            "O(1)",
            "Outputs memory problems report",
            REPORT,
            doctor,
        ),
        sub(
            "memory|purge",
            SLOW,
            "Ask the allocator to release memory",
            &["request_policy:all_shards", "response_policy:all_succeeded"],
            purge,
        ),
        sub(
            "memory|malloc-stats",
            SLOW,
            "Show allocator internal stats",
            REPORT,
            malloc_stats,
        ),
        Command::new(
            help_spec("memory|help", Group::Server, "4.0.0"),
            Run::Engine(memory_help),
        ),
    ],
)];

const SLOW: &str = "Depends on how much memory is allocated, could be slow";
const REPORT: &[&str] = &[
    "nondeterministic_output",
    "request_policy:all_shards",
    "response_policy:special",
];

const fn sub(
    name: &'static str,
    complexity: &'static str,
    summary: &'static str,
    tips: &'static [&'static str],
    run: EngineHandler,
) -> Command<Run> {
    let spec = Spec::new(name, 2, Group::Server, Flags::empty());
    Command::new(
        spec.docs("4.0.0", complexity, summary).tips(tips),
        Run::Engine(run),
    )
}

/// Every element is counted, so SAMPLES changes nothing; it is checked as Redis does.
fn usage(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut options = ctx.args.skip(3).iter();
    while let Some(option) = options.next() {
        let samples = options
            .next()
            .filter(|_| is(option, "samples"))
            .ok_or(Error::Syntax)?;
        if parse_i64(samples).ok_or(Error::NotInteger)? < 0 {
            return Err(Error::Syntax);
        }
    }
    match ctx.txn.memory_bytes(ctx.arg(2)) {
        Some(bytes) => ctx.reply.integer(bytes as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn stats(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.worker.note_counts();
    let keyspace = ctx.worker.shared.keyspace;
    let memory = allocator::stats();
    let resident = process::resident_bytes();
    let functions = ctx.worker.shared.libraries.current().heap_bytes();
    let dataset = keyspace.heap_bytes() as u64;
    let keys: usize = (0..keyspace.databases())
        .map(|db| keyspace.committed_size(keyspace.physical(db)).keys)
        .sum();
    let bytes = [
        ("peak.allocated", memory.peak),
        ("total.allocated", memory.allocated),
        (
            "aof.buffer",
            ctx.worker.shared.journal.stats().buffered_bytes as u64,
        ),
        ("functions.caches", functions as u64),
        ("keys.count", keys as u64),
        ("keys.bytes-per-key", dataset / keys.max(1) as u64),
        ("dataset.bytes", dataset),
        ("allocator.allocated", memory.allocated),
        ("allocator.active", memory.active),
        ("allocator.resident", memory.resident),
        (
            "allocator-fragmentation.bytes",
            memory.active.saturating_sub(memory.allocated),
        ),
        (
            "allocator-rss.bytes",
            memory.resident.saturating_sub(memory.active),
        ),
        (
            "fragmentation.bytes",
            resident.saturating_sub(memory.allocated),
        ),
    ];
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let ratios = [
        (
            "dataset.percentage",
            100.0 * ratio(dataset, memory.allocated),
        ),
        (
            "peak.percentage",
            100.0 * ratio(memory.allocated, memory.peak),
        ),
        (
            "allocator-fragmentation.ratio",
            ratio(memory.active, memory.allocated),
        ),
        ("allocator-rss.ratio", ratio(memory.resident, memory.active)),
        ("fragmentation", ratio(resident, memory.allocated)),
    ];
    ctx.reply.map(bytes.len() + ratios.len());
    for (name, value) in bytes {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value as i64);
    }
    for (name, value) in ratios {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.double(value);
    }
    Ok(Flow::Done)
}

/// Memory in use below which its shape means nothing.
const SMALL_BYTES: u64 = 5 << 20;
/// Above these, memory is wasted rather than used.
const PEAK_RATIO_MAX: f64 = 1.5;
const FRAGMENTATION_RATIO_MAX: f64 = 1.4;

fn doctor(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let memory = allocator::stats();
    let limit = ctx.worker.shared.config.settings().size(Opt::Maxmemory) as u64;
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let mut report = String::new();
    // Writing to a String does not fail.
    let is_over = limit > 0 && memory.allocated > limit;
    if memory.allocated < SMALL_BYTES && !is_over {
        report.push_str("So little memory is in use that there is nothing to find.\n");
    } else {
        if is_over {
            let _ = writeln!(
                report,
                "- {} are in use, more than maxmemory ({}). Look at maxmemory-policy, and how long this has been so: \
                 INFO's current_eviction_exceeded_time.",
                human_size(memory.allocated),
                human_size(limit)
            );
        }
        if ratio(memory.peak, memory.allocated) > PEAK_RATIO_MAX {
            let _ = writeln!(
                report,
                "- The peak was {}, now {} are in use: what is resident may come from then. MEMORY PURGE gives it back.",
                human_size(memory.peak),
                human_size(memory.allocated)
            );
        }
        if ratio(memory.active, memory.allocated) > FRAGMENTATION_RATIO_MAX {
            let _ = writeln!(
                report,
                "- {} of pages hold only {}: values of many sizes came and went. A restart packs them again.",
                human_size(memory.active),
                human_size(memory.allocated)
            );
        }
        if report.is_empty() {
            report.push_str("No memory problem found.\n");
        }
    }
    ctx.reply.verbatim("txt", report.as_bytes());
    Ok(Flow::Done)
}

fn purge(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    allocator::purge();
    ok(ctx)
}

fn malloc_stats(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.verbatim("txt", allocator::report().as_bytes());
    Ok(Flow::Done)
}

fn memory_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "MEMORY", HELP)
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. All nested values",
    "    are counted; <count> is accepted and changes nothing.",
];
