//! The sections of INFO that need nothing but what is observed here.

use super::info::{InfoBuilder, Section};
use super::{Observer, process};

const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

impl Observer {
    /// Writes Stats: counts since the start, and the figures per second.
    /// The figures of all shards; `more` adds those that are not counted here.
    pub fn write_stats(&self, info: &mut InfoBuilder, more: impl FnOnce(&mut Section<'_>)) {
        info.section("Stats", |section| {
            let totals = self.totals();
            let rates = self.rates.lock();
            section
                .field("total_connections_received", totals.connections_received)
                .field("total_commands_processed", totals.commands_processed)
                .field("instantaneous_ops_per_sec", rates.commands_per_second())
                .field("total_net_input_bytes", totals.net_input_bytes)
                .field("total_net_output_bytes", totals.net_output_bytes)
                .field(
                    "instantaneous_input_kbps",
                    format_args!("{:.2}", rates.input_kib_per_second()),
                )
                .field(
                    "instantaneous_output_kbps",
                    format_args!("{:.2}", rates.output_kib_per_second()),
                )
                .field("rejected_connections", totals.connections_rejected)
                .field("expired_keys", totals.expired_keys)
                .field("expired_subkeys", totals.expired_fields)
                .field("evicted_keys", totals.evicted_keys)
                .field("keyspace_hits", totals.keyspace_hits)
                .field("keyspace_misses", totals.keyspace_misses)
                .field(
                    "client_query_buffer_limit_disconnections",
                    totals.query_buffer_disconnections,
                )
                .field(
                    "client_output_buffer_limit_disconnections",
                    totals.output_buffer_disconnections,
                )
                .field("total_error_replies", self.errors.total())
                .field("total_reads_processed", totals.reads_processed)
                .field("total_writes_processed", totals.writes_processed);
            more(section);
        });
    }

    pub fn write_cpu(&self, info: &mut InfoBuilder) {
        info.section("CPU", |section| {
            let (all, thread) = (process::cpu_times(), process::thread_cpu_times());
            section
                .field("used_cpu_sys", format_args!("{:.6}", all.system_s))
                .field("used_cpu_user", format_args!("{:.6}", all.user_s))
                .field("used_cpu_sys_children", "0.000000")
                .field("used_cpu_user_children", "0.000000")
                .field(
                    "used_cpu_sys_this_thread",
                    format_args!("{:.6}", thread.system_s),
                )
                .field(
                    "used_cpu_user_this_thread",
                    format_args!("{:.6}", thread.user_s),
                );
        });
    }

    /// Writes Commandstats; `names` are the commands in the order of their counters.
    pub fn write_commandstats(&self, info: &mut InfoBuilder, names: &[&str]) {
        info.section("Commandstats", |section| {
            for (name, totals) in self.used_commands(names) {
                let usec_per_call = totals.duration_ns as f64 / 1_000.0 / totals.calls.max(1) as f64;
                section.field(
                    &format!("cmdstat_{name}"),
                    format_args!(
                        "calls={},usec={},usec_per_call={usec_per_call:.2},rejected_calls={},failed_calls={}",
                        totals.calls,
                        totals.duration_us(),
                        totals.rejected,
                        totals.failed
                    ),
                );
            }
        });
    }

    pub fn write_latencystats(&self, info: &mut InfoBuilder, names: &[&str]) {
        info.section("Latencystats", |section| {
            for (name, totals) in self
                .used_commands(names)
                .filter(|(_, totals)| totals.buckets.iter().any(|n| *n > 0))
            {
                let shown = PERCENTILES.map(|percent| {
                    format!(
                        "p{percent}={:.3}",
                        totals.percentile_ns(percent) as f64 / 1_000.0
                    )
                });
                section.field(&format!("latency_percentiles_usec_{name}"), shown.join(","));
            }
        });
    }

    pub fn write_errorstats(&self, info: &mut InfoBuilder) {
        info.section("Errorstats", |section| {
            for (kind, count) in self.errors.all() {
                section.field(&format!("errorstat_{kind}"), format_args!("count={count}"));
            }
        });
    }

    /// Writes Shards: how the work is spread.
    pub fn write_shards(&self, info: &mut InfoBuilder) {
        info.section("Shards", |section| {
            section.field("shards", self.shards.len());
            for (index, shard) in self.shards().enumerate() {
                section.field(
                    &format!("shard_{index}"),
                    format_args!(
                        "clients={},commands={},input_bytes={},output_bytes={},running_scripts={}",
                        shard.connected_clients.get(),
                        shard.commands_processed.get(),
                        shard.net_input_bytes.get(),
                        shard.net_output_bytes.get(),
                        shard.running_scripts.get()
                    ),
                );
            }
        });
    }

    fn used_commands<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> impl Iterator<Item = (&'a str, super::CommandTotals)> + 'a {
        let all = names
            .iter()
            .enumerate()
            .map(|(command, name)| (*name, self.command(command)));
        all.filter(|(_, totals)| !totals.is_empty())
    }
}
