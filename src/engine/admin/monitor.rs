//! MONITOR and the slow log's entries: requests shown to others, passwords left out.

use super::{ADMIN, is};
use crate::base::clock;
use crate::base::quote::quote;
use crate::command::{Command, Error, Group, Spec};
use crate::config::Opt;
use crate::engine::client::{Client, ClientFlags};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::shared::Shared;
use crate::engine::worker::{Flow, Worker};
use crate::observe::SlowLogEntry;
use crate::resp::Args;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::new(
    Spec::new("monitor", 1, Group::Server, ADMIN).docs(
        "1.0.0",
        "",
        "Listen for all requests received by the server in real time",
    ),
    monitor,
)];

fn monitor(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let info = &ctx.client.info;
    if !info.flags().contains(ClientFlags::MONITOR) {
        info.set_flag(ClientFlags::MONITOR, true);
        ctx.worker.shared.monitors.fetch_add(1, Ordering::Relaxed);
    }
    super::ok(ctx)
}

/// Ends MONITOR, for RESET and for a client that leaves.
pub fn stop_monitoring(worker: &Worker, client: &Client) {
    if client.info.flags().contains(ClientFlags::MONITOR) {
        client.info.set_flag(ClientFlags::MONITOR, false);
        worker.shared.monitors.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What MONITOR shows of a request: `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`.
pub fn monitor_line(spec: &Spec, client: &Client, args: &Args<'_>) -> Vec<u8> {
    let now_us = clock::unix_us();
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let address = &client.info.address;
    let unix = client.info.flags().contains(ClientFlags::UNIX_SOCKET);
    let peer = if unix {
        address.trim_end_matches(":0")
    } else {
        address
    };
    let mut line = Vec::new();
    // Writing to a vector does not fail.
    let _ = write!(
        line,
        "+{seconds}.{micros:06} [{} {}{peer}]",
        client.db,
        if unix { "unix:" } else { "" }
    );
    for arg in shown(spec, args) {
        line.push(b' ');
        quote(&mut line, arg);
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Keeps a slow command in the slow log.
pub fn note_slow(shared: &Shared, spec: &Spec, client: &Client, args: &Args<'_>, took: Duration) {
    let entry = SlowLogEntry {
        id: 0,
        unix_time_s: (clock::unix_ms() / 1000) as u64,
        duration_us: took.as_micros() as u64,
        args: shown(spec, args).map(<[u8]>::to_vec).collect(),
        client_addr: client.info.address.clone(),
        client_name: client.info.texts.lock().name.clone(),
    };
    let len_max = shared.config.settings().size(Opt::SlowlogMaxLen);
    shared.observer.slow_log.record(entry, len_max);
}

/// The arguments, each password and what is told of users replaced as Redis does. What the command is called does not
/// matter: it may have been renamed.
fn shown<'a>(spec: &Spec, args: &Args<'a>) -> impl Iterator<Item = &'a [u8]> {
    const HIDDEN: &[u8] = b"(redacted)";
    let args = *args;
    let hello_auth = (2..args.len()).find(|at| is(args.get(*at), "auth"));
    let name = spec.name;
    args.iter().enumerate().map(move |(index, arg)| {
        let secret = match name {
            "auth" => index > 0,
            "acl|setuser" | "acl|getuser" | "acl|deluser" => index > 1,
            "hello" => hello_auth.is_some_and(|at| index == at + 1 || index == at + 2),
            "config|set" => index > 2 && is(args.get(index - 1), Opt::Requirepass.spec().name),
            _ => false,
        };
        if secret { HIDDEN } else { arg }
    })
}
