//! From a configuration to running shards, and from a signal back to nothing.

use super::net::{self, ListenerSocket};
use super::serve;
use crate::config::{Config, Opt, Settings};
use crate::engine::{Message, Shared, listen_to_changes, open};
use crate::observe::{log, process};
use glommio::{LocalExecutorBuilder, Placement};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Descriptors that the server needs besides those of its clients.
const OWN_DESCRIPTORS: u64 = 64;
/// Buffers of glommio's for files, which nobody here uses. They are locked in memory, 10 MiB by default.
const EXECUTOR_IO_BYTES: usize = 64 << 10;
/// glommio falls asleep beside its first task when this timer fires before that task ran, which has happened to threads
/// that lost their core in between. A shard's task never yields and needs no such timer.
const PREEMPT_TIMER: Duration = Duration::from_hours(24);

/// Serves until SIGTERM, SIGINT or SHUTDOWN.
pub fn run(config: Config) -> Result<(), String> {
    let settings = config.settings().clone();
    let log = start_log(&settings)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    raise_descriptor_limit(settings.number(Opt::Maxclients) as u64 + OWN_DESCRIPTORS);
    let cpus = allowed_cpus();
    let shards = match settings.size(Opt::Shards) {
        0 => default_shards(cpus.len()),
        shards => shards,
    };
    net::probe(shards).map_err(|error| error.to_string())?;
    let mut listeners = listen(&settings, shards)?;
    let port = listeners.port;
    let shared = open(config, shards, port)?;
    listen_to_changes(shared, log);
    watch_signals(shared)?;
    let mut threads = Vec::with_capacity(shards);
    for shard in 0..shards {
        let own = listeners.take(shard)?;
        threads.push(start_shard(
            shared,
            shard as u32,
            cpus[shard % cpus.len()],
            own,
        )?);
    }
    for (_, started) in &threads {
        // An error tells that the shard has ended; joining it tells why.
        let _ = started.recv();
    }
    banner(shared, &settings, &listeners);
    let mut outcome = Ok(());
    for (thread, _) in threads {
        let ended = thread
            .join()
            .unwrap_or_else(|_| Err("a shard panicked".to_owned()));
        outcome = outcome.and(ended);
    }
    listeners.remove_unix_socket();
    tracing::info!("closing the journal");
    shared.journal.close().map_err(|error| error.to_string())?;
    tracing::info!("bye");
    outcome
}

type Served = Result<(), String>;

/// A thread that serves until the server ends.
fn start_shard(
    shared: &'static Shared,
    shard: u32,
    cpu: usize,
    listeners: Vec<ListenerSocket>,
) -> Result<(JoinHandle<Served>, mpsc::Receiver<()>), String> {
    let (starts, started) = mpsc::channel();
    let run = move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .preempt_timer(PREEMPT_TIMER)
            .io_memory(EXECUTOR_IO_BYTES)
            .make()
            .map_err(|error| {
                let error = net::explain_setup(error.into());
                format!("cannot start shard {shard}: {error}")
            });
        let served = executor.and_then(|executor| {
            executor.run(async move {
                let _ = starts.send(());
                serve::serve(shared, shard, listeners)
            })
        });
        // One shard that ends takes the others along: half a server helps nobody.
        shared.tell_all(|| Message::Shutdown);
        served
    };
    let thread = std::thread::Builder::new()
        .name(format!("shard-{shard}"))
        .spawn(run);
    let thread = thread.map_err(|error| format!("cannot start shard {shard}: {error}"))?;
    Ok((thread, started))
}

fn start_log(settings: &Settings) -> Result<log::LogControl, String> {
    let file = settings.text(Opt::Logfile);
    let file = (!file.is_empty()).then(|| PathBuf::from(&*file));
    log::init(settings.log_level(), file.as_deref())
        .map_err(|error| format!("cannot start the log: {error}"))
}

/// The first signal asks the shards to end, the second ends the process. A file that reaches the process's limit
/// (`ulimit -f`) is for the journal to refuse, not a reason to die.
fn watch_signals(shared: &'static Shared) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGXFSZ])
        .map_err(|error| format!("cannot listen to signals: {error}"))?;
    let watch = move || {
        let stops = signals.forever().filter(|signal| *signal != SIGXFSZ);
        for (count, signal) in stops.enumerate() {
            tracing::info!(signal, "asked to stop");
            if count > 0 {
                std::process::exit(1);
            }
            shared.stopping.store(true, Ordering::SeqCst);
            shared.tell_all(|| Message::Shutdown);
        }
    };
    let thread = std::thread::Builder::new()
        .name("signals".into())
        .spawn(watch);
    thread
        .map(drop)
        .map_err(|error| format!("cannot listen to signals: {error}"))
}

/// The sockets that the shards will accept from.
struct Listeners {
    /// For each address one socket a shard.
    tcp: Vec<Vec<ListenerSocket>>,
    addresses: Vec<SocketAddr>,
    unix: Option<(PathBuf, ListenerSocket)>,
    port: u16,
}

impl Listeners {
    fn take(&mut self, shard: usize) -> Result<Vec<ListenerSocket>, String> {
        debug_assert!(
            self.tcp.iter().all(|sockets| !sockets.is_empty()),
            "one for each shard"
        );
        let mut own: Vec<_> = self.tcp.iter_mut().filter_map(Vec::pop).collect();
        if let Some((path, socket)) = &self.unix {
            let clone = socket.try_clone();
            let failed = |error| format!("shard {shard} cannot share {}: {error}", path.display());
            own.push(clone.map_err(failed)?);
        }
        Ok(own)
    }

    fn remove_unix_socket(&self) {
        if let Some((path, _)) = &self.unix {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn listen(settings: &Settings, shards: usize) -> Result<Listeners, String> {
    let backlog = settings.number(Opt::TcpBacklog) as i32;
    let mut port = settings.number(Opt::Port) as u16;
    let (mut tcp, mut addresses) = (Vec::new(), Vec::new());
    let bind = settings.text(Opt::Bind);
    for word in bind.split_whitespace() {
        // As in Redis, an address with a leading '-' may be unavailable.
        let (host, optional) = word
            .strip_prefix('-')
            .map_or((word, false), |host| (host, true));
        match listen_tcp(host, port, backlog, shards) {
            Ok((address, sockets)) => {
                port = address.port();
                tcp.push(sockets);
                addresses.push(address);
            }
            Err(error) if optional => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
    }
    let path = settings.text(Opt::Unixsocket);
    let unix = if path.is_empty() {
        None
    } else {
        Some(listen_unix(settings, &path, backlog)?)
    };
    if tcp.is_empty() && unix.is_none() {
        return Err("there is nothing to listen on: set 'bind' or 'unixsocket'".to_owned());
    }
    Ok(Listeners {
        tcp,
        addresses,
        unix,
        port,
    })
}

fn listen_tcp(
    host: &str,
    port: u16,
    backlog: i32,
    shards: usize,
) -> Result<(SocketAddr, Vec<ListenerSocket>), String> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let failed = |error| format!("cannot listen on {host}:{port}: {error}");
    let mut found = (host, port).to_socket_addrs().map_err(failed)?;
    let address = found
        .next()
        .ok_or_else(|| format!("{host} has no address"))?;
    let sockets = ListenerSocket::tcp(address, backlog, shards).map_err(failed)?;
    let address = sockets
        .first()
        .and_then(ListenerSocket::local_addr)
        .unwrap_or(address);
    Ok((address, sockets))
}

fn listen_unix(
    settings: &Settings,
    path: &str,
    backlog: i32,
) -> Result<(PathBuf, ListenerSocket), String> {
    let mode = settings.number(Opt::Unixsocketperm) as u32;
    let socket = ListenerSocket::unix(Path::new(path), (mode != 0).then_some(mode), backlog);
    let socket = socket.map_err(|error| format!("cannot listen on {path}: {error}"))?;
    Ok((PathBuf::from(path), socket))
}

fn banner(shared: &Shared, settings: &Settings, listeners: &Listeners) {
    let addresses: Vec<String> = listeners
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let unix = listeners
        .unix
        .as_ref()
        .map(|(path, _)| path.display().to_string());
    let listening = addresses
        .into_iter()
        .chain(unix)
        .collect::<Vec<_>>()
        .join(", ");
    let keys: usize = (0..shared.keyspace.databases())
        .map(|db| shared.keyspace.size(db as u8).keys)
        .sum();
    println!("AiKv {} ready", env!("CARGO_PKG_VERSION"));
    println!("  listening   {listening}");
    println!("  port        {}", listeners.port);
    println!("  shards      {}", shared.shards());
    println!("  directory   {} ({keys} keys)", settings.text(Opt::Dir));
    println!("  durability  {}", shown(settings, "durability"));
    println!("  dialect     {}", shown(settings, "lua-dialect"));
    println!("  pid         {}", std::process::id());
}

fn shown(settings: &Settings, name: &str) -> String {
    crate::config::table::find(name)
        .map(|spec| settings.display(spec))
        .unwrap_or_default()
}

/// The processors that this process may run on.
fn allowed_cpus() -> Vec<usize> {
    let allowed = process::allowed_cpus();
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// One shard a processor, unless a control group (`cpu.max`, `cpu.cfs_quota_us`) allows the time of fewer: shards that
/// share a processor's time wait for each other.
fn default_shards(cpus: usize) -> usize {
    let paid_for = std::thread::available_parallelism().map_or(cpus, NonZero::get);
    cpus.min(paid_for)
}

fn raise_descriptor_limit(wanted: u64) {
    let got = process::raise_descriptor_limit(wanted);
    if got < wanted {
        tracing::warn!(
            wanted,
            got,
            "the limit of open files (ulimit -n) allows fewer clients than maxclients"
        );
    }
}
