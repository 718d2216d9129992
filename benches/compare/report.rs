//! The page of results.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::beside::Delays;
use crate::cases::Case;
use crate::{CLIENTS, Kind, LOAD_CORE, Result, SERVER_CORE, cases};

/// What one run of one case cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measurement {
    /// Of the threads that serve requests.
    pub serving_us: f64,
    /// Of everything, the rewrites of the journal too.
    pub whole_us: f64,
    pub switches: f64,
    pub requests_per_s: f64,
}

/// What was counted of one server in one run, per request.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub server: &'static str,
    pub pipeline: u32,
    /// `None` where they cannot be counted.
    pub syscalls: Option<f64>,
    pub switches: f64,
}

pub fn line(case: &Case, measured: Measurement) -> String {
    let Measurement {
        serving_us,
        whole_us,
        switches,
        requests_per_s,
    } = measured;
    format!(
        "{} pipeline {}: {serving_us:.2} us CPU serving, {whole_us:.2} in all, {switches:.2} switches, {requests_per_s:.0}/s",
        case.name, case.pipeline
    )
}

/// The head of the page and its first table. `rows` holds, for each case and round, redis-server and `AiKv`.
pub fn page(args: &Args, chosen: &[Case], rows: &[Vec<[Measurement; 2]>]) -> Result<String> {
    let mut page = head(args)?;
    if !chosen.is_empty() {
        page.push_str(
            "\n| case | pipeline | serving CPU us/request, Redis | AiKv | ratio | whole CPU, Redis | AiKv | ratio \
             | requests/s, Redis | AiKv | ratio |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (case, rounds) in chosen.iter().zip(rows) {
            page.push_str(&row(case, rounds));
        }
    }
    Ok(page)
}

/// `counted` holds, for each round, what was counted of each server at each depth of pipelining.
pub fn put_syscalls(page: &mut String, counted: &[Vec<Counted>]) {
    let Some(first) = counted.first() else {
        return;
    };
    let _ = write!(
        page,
        "\n## System calls\n\nOf all threads of the server, and switches of the threads that serve, per SET with {CLIENTS} \
         clients.\n\n| server | pipeline | system calls/request | switches/request |\n|---|---|---|---|\n"
    );
    for (index, row) in first.iter().enumerate() {
        let rounds = || counted.iter().map(|round| round[index]);
        let calls: Vec<f64> = rounds().filter_map(|it| it.syscalls).collect();
        let calls = if calls.is_empty() {
            "not counted".to_owned()
        } else {
            format!("{:.3}", median(calls.into_iter()))
        };
        let switches = median(rounds().map(|it| it.switches));
        let _ = writeln!(
            page,
            "| {} | {} | {calls} | {switches:.3} |",
            row.server, row.pipeline
        );
    }
}

/// `scaled` holds, for each round, the scripts a second with one shard and with two, on different keys and on one.
pub fn put_scaling(page: &mut String, scaled: &[[[f64; 2]; 2]]) {
    if scaled.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "\n## Two shards against one\n\nScripts that burn CPU, {CLIENTS} clients; server and load share both cores.\n\n\
         | keys | one shard, scripts/s | two shards | ratio |\n|---|---|---|---|\n"
    );
    for (index, keys) in ["different", "one for all"].iter().enumerate() {
        let rounds = || scaled.iter().map(|round| round[index]);
        let [one, two] = [0, 1].map(|side| median(rounds().map(|round| round[side])));
        let ratio = median(rounds().map(|[one, two]| two / one));
        let _ = writeln!(page, "| {keys} | {one:.0} | {two:.0} | {ratio:.2} |");
    }
}

/// `delayed` holds, for each round, redis-server and `AiKv`.
pub fn put_delays(page: &mut String, delayed: &[[Delays; 2]]) {
    if delayed.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "\n## Beside a slow script\n\nGETs of other keys, one after the other, while one script of about two seconds runs on \
         the same shard: milliseconds.\n\n\
         | server | p50 | p99 | longest |\n|---|---|---|---|\n"
    );
    for (side, kind) in [Kind::Redis, Kind::Aikv].iter().enumerate() {
        let of = |delay: fn(&Delays) -> Duration| {
            median(
                delayed
                    .iter()
                    .map(|pair| delay(&pair[side]).as_secs_f64() * 1e3),
            )
        };
        let _ = writeln!(
            page,
            "| {} | {:.2} | {:.2} | {:.2} |",
            kind.name(),
            of(|delays| delays.p50),
            of(|delays| delays.p99),
            of(|delays| delays.longest)
        );
    }
}

pub fn put_memory(page: &mut String, resident: &[(&str, [u64; 2])]) {
    if resident.is_empty() {
        return;
    }
    page.push_str(
        "\n## Memory\n\nWhat the data adds to the resident memory of each server, read while none rewrites its journal or makes tables of it.\n\n\
         | data | MB, Redis | AiKv | ratio |\n|---|---|---|---|\n",
    );
    for (name, [redis, aikv]) in resident {
        let [redis, aikv] = [redis, aikv].map(|bytes| *bytes as f64 / 1e6);
        let name = name.trim_start_matches("memory: ");
        let ratio = aikv / redis;
        let _ = writeln!(page, "| {name} | {redis:.1} | {aikv:.1} | {ratio:.2} |");
    }
}

fn head(args: &Args) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, name)| name.trim());
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let flags: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let command = format!("cargo bench --bench compare -- {}", flags.join(" "));
    Ok(format!(
        "# {} against {}\n\n\
         - date: {}\n- machine: {model}, {cores} cores, Linux {}\n- servers: {}; {}\n- command: `{}`\n\n\
         Each server runs alone on core {SERVER_CORE}, AiKv with one shard; redis-benchmark runs on core {LOAD_CORE} \
         with {CLIENTS} connections and {} random keys.\nBoth write a journal that is synced once a second, and every case \
         has a new server. Serving CPU is that of the threads that serve\nrequests: Redis's main thread, AiKv's shard. Whole \
         CPU is that of all threads, and of the children that have ended, until a rewrite of\nthe journal that the case has \
         begun is over: Redis does that in a child, AiKv in a thread. Every figure is the median of\n{} alternating rounds; \
         a ratio is the median of the rounds' ratios, AiKv / Redis: below 1 is better for CPU, above 1 for\nthroughput.\n",
        Kind::Aikv.name(),
        Kind::Redis.name(),
        output("date", &["-u", "+%F"])?,
        kernel.trim(),
        version(&args.redis)?,
        version(&args.aikv)?,
        command.trim_end_matches([' ', '-']),
        cases::KEYS,
        args.rounds,
    ))
}

fn row(case: &Case, rounds: &[[Measurement; 2]]) -> String {
    let columns = |value: fn(&Measurement) -> f64| {
        let [redis, aikv] = [0, 1].map(|side| median(rounds.iter().map(|pair| value(&pair[side]))));
        (
            redis,
            aikv,
            median(
                rounds
                    .iter()
                    .map(|[redis, aikv]| value(aikv) / value(redis)),
            ),
        )
    };
    let (redis_serving, aikv_serving, serving_ratio) = columns(|measured| measured.serving_us);
    let (redis_whole, aikv_whole, whole_ratio) = columns(|measured| measured.whole_us);
    let (redis_rate, aikv_rate, rate_ratio) = columns(|measured| measured.requests_per_s);
    format!(
        "| {} | {} | {redis_serving:.2} | {aikv_serving:.2} | {serving_ratio:.2} | {redis_whole:.2} | {aikv_whole:.2} \
         | {whole_ratio:.2} | {redis_rate:.0} | {aikv_rate:.0} | {rate_ratio:.2} |\n",
        case.name, case.pipeline
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn version(binary: &Path) -> Result<String> {
    let text = output(&binary.to_string_lossy(), &["--version"])?;
    Ok(text.split(" sha=").next().unwrap_or_default().to_owned())
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
