//! Compares `AiKv` with redis-server on this machine: CPU per request, throughput and memory.
//!
//! `cargo bench --bench compare` starts each server in turn on core 0, loads it from core 1 with redis-benchmark, and
//! prints the medians of alternating rounds. Machines are noisy, so only the ratios within a round are compared.

mod args;
mod beside;
mod cases;
mod memory;
mod report;
mod server;
mod usage;

use std::error::Error;
use std::process::{Command, ExitCode};

use args::Args;
use cases::Case;
use report::{Counted, Measurement};
use server::{Kind, Server};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Cores of the two sides, so that neither takes time from the other.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const BOTH_CORES: &str = "0,1";
const CLIENTS: &str = "50";

fn main() -> ExitCode {
    let outcome = Args::parse(std::env::args().skip(1)).and_then(|args| compare(&args));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<()> {
    let chosen: Vec<Case> = cases::all().filter(|case| args.wants(case.name)).collect();
    let kept = memory::ALL.iter().filter(|data| args.wants(data.name));
    let kept: Vec<&memory::Data> = kept.collect();
    let scaling = args.wants(cases::SCALING_NAME);
    let beside = args.wants(cases::BESIDE_NAME);
    let calls = args.wants(cases::SYSCALLS_NAME);
    if chosen.is_empty() && kept.is_empty() && !scaling && !beside && !calls {
        return Err("no case has such a name".into());
    }
    let mut rows = vec![Vec::new(); chosen.len()];
    let mut scaled = Vec::new();
    let mut delayed = Vec::new();
    let mut called = Vec::new();
    for round in 0..args.rounds {
        if !chosen.is_empty() {
            for (row, pair) in rows.iter_mut().zip(measure_round(args, &chosen, round)?) {
                row.push(pair);
            }
        }
        if scaling {
            scaled.push(measure_scaling(args, round)?);
        }
        if beside {
            delayed.push(beside::measure_round(args, round)?);
        }
        if calls {
            called.push(measure_syscalls(args)?);
        }
    }
    // Memory is not noisy: once is enough.
    let mut resident = Vec::new();
    for data in kept {
        let bytes = [&args.redis, &args.aikv].map(|binary| memory::measure(binary, data));
        let [redis, aikv] = bytes;
        resident.push((data.name, [redis?, aikv?]));
        eprintln!("{}: {:?} bytes", data.name, resident[resident.len() - 1].1);
    }
    let mut page = report::page(args, &chosen, &rows)?;
    report::put_syscalls(&mut page, &called);
    report::put_scaling(&mut page, &scaled);
    report::put_delays(&mut page, &delayed);
    report::put_memory(&mut page, &resident);
    println!("{page}");
    if let Some(path) = &args.write {
        std::fs::write(path, page)?;
    }
    Ok(())
}

/// One round: each case once on each server. Who goes first alternates.
fn measure_round(args: &Args, chosen: &[Case], round: usize) -> Result<Vec<[Measurement; 2]>> {
    let mut pairs = vec![[Measurement::default(); 2]; chosen.len()];
    let mut order = [(0, &args.redis), (1, &args.aikv)];
    if round % 2 == 1 {
        order.reverse();
    }
    for (case, pair) in chosen.iter().zip(&mut pairs) {
        for (side, binary) in order {
            // A server of its own, so that no case pays for the background work of another.
            let server = Server::start(binary, SERVER_CORE, 1)?;
            server.fill(cases::KEYS, &["SET", "key:%n", cases::VALUE])?;
            let requests = case.requests(args.requests);
            pair[side] = measure(&server, case, requests, LOAD_CORE)?;
            eprintln!(
                "round {} {}: {}",
                round + 1,
                server.kind.name(),
                report::line(case, pair[side])
            );
            server.stop()?;
        }
    }
    Ok(pairs)
}

/// System calls and switches of the server per request, unpipelined and not, in runs of their own: counting takes time.
fn measure_syscalls(args: &Args) -> Result<Vec<Counted>> {
    let cases: Vec<Case> = cases::all().filter(|case| case.name == "SET").collect();
    let mut counted = Vec::new();
    for case in &cases {
        for binary in [&args.redis, &args.aikv] {
            let server = Server::start(binary, SERVER_CORE, 1)?;
            server.fill(cases::KEYS, &["SET", "key:%n", cases::VALUE])?;
            let requests = case.requests(args.requests);
            let counter = server.count_syscalls();
            let before = server.usage()?;
            load(&server, case, requests, LOAD_CORE, &case.command(""))?;
            let used = server.usage()? - before;
            let calls = counter.and_then(usage::Syscalls::end);
            counted.push(Counted {
                server: server.kind.name(),
                pipeline: case.pipeline,
                syscalls: calls.map(|calls| calls as f64 / requests as f64),
                switches: used.switches as f64 / requests as f64,
            });
            server.stop()?;
        }
    }
    Ok(counted)
}

/// Throughput of scripts that burn CPU, with one shard and with two: on different keys, and on one.
fn measure_scaling(args: &Args, round: usize) -> Result<[[f64; 2]; 2]> {
    let mut throughput = [[0.0; 2]; 2];
    let mut order = [1, 2];
    if round % 2 == 1 {
        order.reverse();
    }
    for shards in order {
        let server = Server::start(&args.aikv, BOTH_CORES, shards)?;
        let requests = (args.requests / cases::BURN_REQUESTS_DIVISOR).max(1_000);
        for (case, row) in [cases::BURN, cases::BURN_ONE_KEY]
            .iter()
            .zip(&mut throughput)
        {
            let measured = measure(&server, case, requests, BOTH_CORES)?;
            eprintln!(
                "round {} {shards} shards: {}",
                round + 1,
                report::line(case, measured)
            );
            row[shards - 1] = measured.requests_per_s;
        }
        server.stop()?;
    }
    Ok(throughput)
}

/// Loads a server with one case and reads what it cost.
fn measure(server: &Server, case: &Case, requests: u64, cores: &str) -> Result<Measurement> {
    let sha = case.script().map(|script| server.load_script(script));
    let command = case.command(&sha.transpose()?.unwrap_or_default());
    if let Some((times, words)) = case.fill(requests) {
        server.fill(times, words)?;
    }
    server.probe(&command)?;
    server.wait_until_no_rewrite()?;
    let before = server.usage()?;
    let requests_per_s = load(server, case, requests, cores, &command)?;
    let serving_done = server.usage()?;
    // A rewrite that the case has begun is its own.
    server.wait_until_no_rewrite()?;
    let used = server.usage()? - before;
    let each = |total: u64| total as f64 / requests as f64;
    Ok(Measurement {
        serving_us: each((serving_done - before).serving_ns) / 1e3,
        whole_us: each(used.whole_ns) / 1e3,
        switches: each((serving_done - before).switches),
        requests_per_s,
    })
}

/// Has redis-benchmark send a command; returns how many requests a second were answered.
fn load(
    server: &Server,
    case: &Case,
    requests: u64,
    cores: &str,
    command: &[String],
) -> Result<f64> {
    let output = Command::new("taskset")
        .args(["-c", cores, "redis-benchmark"])
        .args(["-h", "127.0.0.1", "--csv", "-c", CLIENTS])
        .args(["-p", &server.port.to_string(), "-n", &requests.to_string()])
        .args(["-P", &case.pipeline.to_string()])
        .args(["-r", &cases::KEYS.to_string()])
        .args(command)
        .output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("redis-benchmark: {}", error.trim()).into());
    }
    throughput(&String::from_utf8_lossy(&output.stdout))
}

/// The second column of the last line: `"SET ...","123456.78",...`.
fn throughput(csv: &str) -> Result<f64> {
    let row = csv.lines().next_back().unwrap_or_default();
    let column = row
        .split("\",\"")
        .nth(1)
        .ok_or_else(|| format!("redis-benchmark printed: {csv}"))?;
    Ok(column.trim_matches('"').parse()?)
}
