//! INFO: what the server knows of itself, under Redis's names where it means the same, and under ours.

use super::{ANYTIME, REDIS_VERSION};
use crate::base::clock;
use crate::command::{Command, Error, Group, Spec};
use crate::config::Opt;
use crate::engine::pubsub::Kind;
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::shared::Shared;
use crate::engine::worker::Flow;
use crate::observe::{InfoBuilder, Section, Selection, process};

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::new(
    Spec::new("info", -1, Group::Server, ANYTIME)
        .syntax("[section ...]")
        .categories(&["@dangerous"])
        .docs(
            "1.0.0",
            "O(1)",
            "Get information and statistics about the server",
        )
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .history(&[(
            "7.0.0",
            "Added support for taking multiple section arguments.",
        )]),
    info,
)];

fn info(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let sections: Vec<&[u8]> = ctx.args.iter().skip(1).collect();
    // What this pass has met so far counts, too.
    ctx.worker.note_counts();
    ctx.worker.publish_memory();
    let text = text(ctx.worker.shared, Selection::parse(&sections));
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Flow::Done)
}

fn text(shared: &Shared, selection: Selection) -> String {
    let observer = &shared.observer;
    let names: Vec<&str> = shared
        .registry
        .specs()
        .iter()
        .map(|spec| spec.name)
        .collect();
    let mut info = InfoBuilder::new(selection);
    info.section("Server", |section| put_server(section, shared))
        .section("Clients", |section| put_clients(section, shared))
        .section("Memory", |section| put_memory(section, shared))
        .section("Persistence", |section| put_persistence(section, shared))
        .section("Storage", |section| put_storage(section, shared));
    observer.write_stats(&mut info, |section| {
        put_exceeded(section, shared);
        put_listeners(section, shared);
    });
    info.section("Replication", |section| {
        section.field("role", "master").field("connected_slaves", 0);
    });
    observer.write_cpu(&mut info);
    info.section("Modules", |_| {});
    observer.write_commandstats(&mut info, &names);
    observer.write_errorstats(&mut info);
    observer.write_latencystats(&mut info, &names);
    info.section("Cluster", |section| {
        section.field("cluster_enabled", 0);
    });
    info.section("Keyspace", |section| put_keyspace(section, shared));
    observer.write_shards(&mut info);
    info.section("Scripting", |section| put_scripting(section, shared))
        .section("Locks", |section| put_locks(section, shared));
    info.finish()
}

fn put_server(section: &mut Section<'_>, shared: &Shared) {
    let now_us = clock::unix_us();
    let uptime_s = (now_us / 1000 - shared.started_ms).max(0) / 1000;
    let hz = shared.config.settings().number(Opt::Hz);
    let path = |path: Option<&std::path::Path>| {
        path.map_or_else(String::new, |path| path.display().to_string())
    };
    section
        .field("redis_version", REDIS_VERSION)
        .field("aikv_version", env!("CARGO_PKG_VERSION"))
        .field("redis_mode", "standalone")
        .field("os", process::os())
        .field("arch_bits", usize::BITS)
        .field("monotonic_clock", "POSIX clock_gettime")
        .field("multiplexing_api", "io_uring")
        .field("process_id", std::process::id())
        .field("run_id", &shared.run_id)
        .field("tcp_port", shared.port)
        .field("server_time_usec", now_us)
        .field("uptime_in_seconds", uptime_s)
        .field("uptime_in_days", uptime_s / 86_400)
        .field("hz", hz)
        .field("configured_hz", hz)
        .field("executable", path(std::env::current_exe().ok().as_deref()))
        .field("config_file", path(shared.config.file()));
}

fn put_clients(section: &mut Section<'_>, shared: &Shared) {
    let totals = shared.observer.totals();
    section
        .field("connected_clients", shared.clients.len())
        .field(
            "maxclients",
            shared.config.settings().number(Opt::Maxclients),
        )
        .field("blocked_clients", totals.blocked_clients)
        .field("pubsub_clients", totals.pubsub_clients)
        .field("tracking_clients", shared.tracking.client_count());
}

/// Who listens to what.
fn put_listeners(section: &mut Section<'_>, shared: &Shared) {
    let (channels, tracking) = (&shared.channels, &shared.tracking);
    section
        .field("pubsub_channels", channels.len(Kind::Channel))
        .field("pubsub_patterns", channels.len(Kind::Pattern))
        .field("pubsubshard_channels", channels.len(Kind::Shard))
        .field("tracking_total_keys", tracking.key_count())
        .field("tracking_total_items", tracking.item_count())
        .field("tracking_total_prefixes", tracking.prefix_count())
        .field("evicted_scripts", shared.scripts.evicted());
}

/// For how long more memory than allowed has been in use.
fn put_exceeded(section: &mut Section<'_>, shared: &Shared) {
    let (total_ms, current_ms) = shared.memory.exceeded_ms();
    section
        .field("total_eviction_exceeded_time", total_ms)
        .field("current_eviction_exceeded_time", current_ms);
}

fn put_memory(section: &mut Section<'_>, shared: &Shared) {
    let (stats, uncounted) = shared.memory.measure(shared);
    let resident = process::resident_bytes();
    let libraries = shared.libraries.current();
    let settings = shared.config.settings();
    let (totals, scripts) = (shared.observer.totals(), &shared.scripts);
    let ratio = |part: u64, whole: u64| format!("{:.2}", part as f64 / whole.max(1) as f64);
    section
        .size("used_memory", stats.allocated)
        .size("used_memory_rss", resident)
        .size("used_memory_peak", stats.peak)
        .field(
            "used_memory_peak_perc",
            format_args!(
                "{:.2}%",
                100.0 * stats.allocated as f64 / stats.peak.max(1) as f64
            ),
        )
        .field("allocator_allocated", stats.allocated)
        .field("allocator_active", stats.active)
        .field("allocator_resident", stats.resident)
        .size("total_system_memory", process::system_memory_bytes())
        .size("maxmemory", settings.number(Opt::Maxmemory) as u64)
        .field(
            "maxmemory_policy",
            settings.display(Opt::MaxmemoryPolicy.spec()),
        )
        .field("allocator_frag_ratio", ratio(stats.active, stats.allocated))
        .field(
            "allocator_frag_bytes",
            stats.active.saturating_sub(stats.allocated),
        )
        .field("allocator_rss_ratio", ratio(stats.resident, stats.active))
        .field(
            "allocator_rss_bytes",
            stats.resident.saturating_sub(stats.active),
        )
        .field("mem_fragmentation_ratio", ratio(resident, stats.allocated))
        .field(
            "mem_fragmentation_bytes",
            resident.saturating_sub(stats.allocated),
        )
        .field("used_memory_vm_total", totals.script_vm_bytes)
        .field("used_memory_lua", totals.script_vm_bytes)
        .field("used_memory_scripts_eval", scripts.bytes())
        .field("number_of_cached_scripts", scripts.len())
        .field("number_of_functions", libraries.function_count())
        .field("number_of_libraries", libraries.len())
        .field("used_memory_functions", libraries.heap_bytes())
        .field("mem_not_counted_for_evict", uncounted)
        .field("mem_aof_buffer", shared.journal.stats().buffered_bytes)
        .field("mem_allocator", "jemalloc");
}

fn put_persistence(section: &mut Section<'_>, shared: &Shared) {
    let stats = shared.journal.stats();
    let backup = shared.backups.last();
    let word = |fine: bool| if fine { "ok" } else { "err" };
    let rewrite_s = stats
        .last_rewrite_at
        .map_or(-1, |_| stats.last_rewrite_took.as_secs() as i64);
    section
        .field("loading", 0)
        .field(
            "rdb_bgsave_in_progress",
            u8::from(shared.backups.is_running()),
        )
        .field("rdb_last_save_time", last_save_s(shared))
        .field(
            "rdb_last_bgsave_status",
            word(backup.as_ref().is_none_or(|last| last.error.is_none())),
        )
        .field(
            "rdb_last_bgsave_time_sec",
            backup
                .as_ref()
                .map_or(-1, |last| last.took.as_secs() as i64),
        )
        .field("aof_enabled", 1)
        .field(
            "aof_rewrite_in_progress",
            u8::from(stats.rewrite_in_progress),
        )
        .field("aof_last_rewrite_time_sec", rewrite_s)
        .field(
            "aof_last_bgrewrite_status",
            word(stats.last_rewrite_ok != Some(false)),
        )
        .field("aof_rewrites", stats.rewrites)
        .field("aof_last_write_status", word(stats.healthy))
        .field("aof_current_size", stats.journal_bytes + stats.table_bytes)
        .field("aof_base_size", stats.table_bytes)
        .field("aof_buffer_length", stats.buffered_bytes)
        .field("journal_segments", stats.segments)
        .field("journal_appended", shared.journal.appended())
        .field("journal_written", shared.journal.written())
        .field("journal_synced", shared.journal.synced())
        .field("journal_syncs", stats.syncs)
        .field("journal_last_sync_usec", stats.last_sync_took.as_micros());
    for (name, reason) in [
        ("journal_failure", &stats.reason),
        ("journal_rewrite_failure", &stats.last_rewrite_error),
        ("backup_failure", &backup.and_then(|last| last.error)),
    ] {
        if let Some(reason) = reason {
            section.field(name, reason);
        }
    }
}

/// The journal's way into the tables.
fn put_storage(section: &mut Section<'_>, shared: &Shared) {
    let stats = shared.journal.stats();
    let upkeep = &stats.upkeep;
    section
        .field("storage_journal_bytes", stats.journal_bytes)
        .field(
            "storage_journal_max_bytes",
            shared.config.settings().size(Opt::JournalMaxSize),
        )
        .field(
            "storage_upkeep_in_progress",
            u8::from(shared.journal.upkeep_in_progress()),
        )
        .field("storage_tables", stats.tables)
        .field("storage_table_bytes", stats.table_bytes)
        .field("storage_absorbed", stats.absorbed)
        .field(
            "storage_absorb_lag",
            shared.journal.appended() - stats.absorbed,
        )
        .field("storage_absorptions", upkeep.absorptions)
        .field("storage_absorbed_records", upkeep.absorbed_records)
        .field("storage_absorbed_bytes", upkeep.absorbed_bytes)
        .field("storage_absorbing_usec", upkeep.absorbing_for.as_micros())
        .field("storage_merges", upkeep.merges)
        .field("storage_merged_bytes", upkeep.merged_bytes)
        .field("storage_merging_usec", upkeep.merging_for.as_micros())
        .field("storage_merge_debt_bytes", stats.merge_debt_bytes)
        .field("storage_slowed_writes", stats.slowed)
        .field("storage_slowed_usec", stats.slowed_for.as_micros());
    for (name, reason) in [
        ("storage_absorb_failure", &upkeep.absorb_error),
        ("storage_merge_failure", &upkeep.merge_error),
    ] {
        if let Some(reason) = reason {
            section.field(name, reason);
        }
    }
}

/// When the last SAVE or backup was made, or the server began: Unix time in seconds.
pub fn last_save_s(shared: &Shared) -> i64 {
    let saved = shared.backups.saved_s();
    saved.unwrap_or(shared.started_ms / 1000)
}

fn put_keyspace(section: &mut Section<'_>, shared: &Shared) {
    let keyspace = shared.keyspace;
    for db in 0..keyspace.databases() {
        let physical = keyspace.physical(db);
        let size = keyspace.committed_size(physical);
        if size.keys > 0 {
            let ttl_ms = match size.volatile {
                0 => 0,
                _ => keyspace.average_ttl_ms(physical, clock::unix_ms()),
            };
            section.field(
                &format!("db{db}"),
                format_args!(
                    "keys={},expires={},avg_ttl={ttl_ms}",
                    size.keys, size.volatile
                ),
            );
        }
    }
}

fn put_scripting(section: &mut Section<'_>, shared: &Shared) {
    let (totals, scripts) = (shared.observer.totals(), &shared.scripts);
    section
        .field("cached_scripts", scripts.len())
        .field("loaded_scripts", scripts.loaded())
        .field("script_source_bytes", scripts.bytes())
        .field("script_vm_bytes", totals.script_vm_bytes)
        .field("running_scripts", totals.running_scripts)
        .field("scripts_run", totals.scripts_run)
        .field("scripts_rolled_back", totals.scripts_rolled_back)
        .field("scripts_killed", totals.scripts_killed)
        .field("scripts_timed_out", totals.scripts_timed_out)
        .field(
            "scripts_out_of_instructions",
            totals.scripts_out_of_instructions,
        )
        .field("script_rollbacks", totals.script_rollbacks)
        .field(
            "script_savepoint_rollbacks",
            totals.script_savepoint_rollbacks,
        )
        .field("script_gates", totals.script_gates)
        .field("script_reruns", totals.script_reruns)
        .field("slow_scripts", shared.running.all().len());
}

fn put_locks(section: &mut Section<'_>, shared: &Shared) {
    let (locks, gate) = (shared.locks.stats(), shared.gate.stats());
    let totals = shared.observer.totals();
    section
        .field("locks_held", locks.held)
        .field("locks_waiting", locks.waiting)
        .field("lock_acquisitions", locks.acquisitions)
        .field("lock_queued", locks.waits)
        .field("lock_waits", totals.lock_waits)
        .field("lock_wait_usec", totals.lock_wait_ns / 1000)
        .field("lock_wait_usec_max", totals.lock_wait_us_max)
        .field("lock_longest_queue", locks.longest_queue)
        .field("gate_owned", u8::from(gate.owned))
        .field("gate_held", gate.held)
        .field("gate_waiting_exclusive", gate.waiting_exclusive)
        .field("gate_waiting_shared", gate.waiting_shared)
        .field("gate_exclusive_grants", gate.exclusive_grants)
        .field("gate_waits", gate.waits);
}
