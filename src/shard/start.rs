//! From a configuration to running shards, and from a signal back to nothing.

use super::net::{self, ListenerSocket};
use super::rouse::Start;
use super::serve;
use crate::base::{clock, mailbox::Mailbox};
use crate::config::{Config, Durability, Opt, Settings};
use crate::engine::registry::Registry;
use crate::engine::{Clients, Host, Message, Pause, Running, Shared};
use crate::keyspace::{DATABASES_MAX, Keyspace, Loader};
use crate::locks::{Gate, KeyLockManager};
use crate::observe::{Observer, log};
use crate::script::{ScriptCache, Watchdog};
use aidb::{CheckReport, DB, Options, Recovery};
use glommio::{LocalExecutorBuilder, Placement};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Descriptors that the server needs besides those of its clients.
const OWN_DESCRIPTORS: u64 = 64;
/// Late wake-ups of a shard's timers beside a busy main task; glommio's own default is 100 ms.
const PREEMPT_TIMER: Duration = Duration::from_millis(1);

/// Serves until SIGTERM, SIGINT or SHUTDOWN.
pub fn run(config: Config) -> Result<(), String> {
    let settings = config.settings().clone();
    let log = start_log(&settings)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    net::probe().map_err(|error| error.to_string())?;
    raise_descriptor_limit(settings.number(Opt::Maxclients) as u64 + OWN_DESCRIPTORS);
    let cpus = allowed_cpus();
    let shards = match settings.size(Opt::Shards) {
        0 => cpus.len(),
        shards => shards,
    };
    let mut listeners = listen(&settings, shards)?;
    let port = listeners.port;
    let shared = open(config, shards, port)?;
    listen_to_changes(shared, log);
    watch_signals(shared)?;
    let mut threads = Vec::with_capacity(shards);
    for shard in 0..shards {
        let own = listeners.take(shard)?;
        threads.push(start_shard(shared, shard as u32, cpus[shard % cpus.len()], own)?);
    }
    for (thread, start) in &threads {
        start.wait(thread);
    }
    banner(shared, &settings, &listeners);
    let mut outcome = Ok(());
    for (thread, _) in threads {
        let ended = thread.join().unwrap_or_else(|_| Err("a shard panicked".to_owned()));
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
) -> Result<(JoinHandle<Served>, Arc<Start>), String> {
    let start = Arc::new(Start::default());
    let starting = start.clone();
    let run = move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .preempt_timer(PREEMPT_TIMER)
            .make()
            .map_err(|error| format!("cannot start shard {shard}: {error}"));
        let served = executor.and_then(|executor| {
            starting.begin();
            executor.run(async {
                starting.finish();
                serve::serve(shared, shard, listeners).await
            })
        });
        // One shard that ends takes the others along: half a server helps nobody.
        shared.tell_all(|| Message::Shutdown);
        served
    };
    let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(run);
    let thread = thread.map_err(|error| format!("cannot start shard {shard}: {error}"))?;
    Ok((thread, start))
}

/// Shows what is wrong with a data directory. With `repair` the operator is asked whether damage shall be cut off.
pub fn check(dir: &Path, repair: bool) -> Result<(), String> {
    let mut confirm = |report: &CheckReport| {
        show(report);
        repair && ask("Cut the journal off at the bad place? What follows it is lost. [y/N] ")
    };
    let report = aidb::check(dir, &aidb::fs::RealFileSystem, &mut confirm);
    let report = report.map_err(|error| error.to_string())?;
    if report.repaired {
        println!("repaired: the journal ends before the bad place");
        return Ok(());
    }
    match report.damage {
        Some(damage) => Err(format!("{damage} (aikv check --repair cuts it off)")),
        None => {
            show(&report);
            println!("the directory is sound");
            Ok(())
        }
    }
}

fn show(report: &CheckReport) {
    let Recovery { batches, records, bytes, segments, last, clean, cut } = &report.recovery;
    println!("{segments} segments, {bytes} bytes, {batches} batches with {records} records, the last is number {last}");
    println!("closed in good order: {}", if *clean { "yes" } else { "no" });
    if let Some(cut) = cut {
        println!(
            "bad place: {} at offset {}: {}; {} bytes from there on, {} intact frames among them",
            cut.file.display(),
            cut.offset,
            cut.what,
            cut.bytes,
            cut.later_frames
        );
    }
}

fn ask(question: &str) -> bool {
    print!("{question}");
    let mut answer = String::new();
    let asked = std::io::stdout().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
    asked.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn start_log(settings: &Settings) -> Result<log::LogControl, String> {
    let file = settings.text(Opt::Logfile);
    let file = (!file.is_empty()).then(|| PathBuf::from(&*file));
    log::init(settings.log_level(), file.as_deref())
        .map_err(|error| format!("cannot start the log: {error}"))
}

fn journal_durability(durability: Durability) -> aidb::Durability {
    match durability {
        Durability::Always => aidb::Durability::Always,
        Durability::Everysec => aidb::Durability::EverySec,
        Durability::No => aidb::Durability::No,
    }
}

/// Opens the store, loads the keyspace from it, and puts together what the shards share.
fn open(config: Config, shards: usize, port: u16) -> Result<&'static Shared, String> {
    let settings = config.settings();
    let databases = settings.size(Opt::Databases);
    if databases > DATABASES_MAX {
        return Err(format!("databases: there can be {DATABASES_MAX} at most"));
    }
    let keyspace: &'static Keyspace = Box::leak(Box::new(Keyspace::new(databases)));
    let journal = recover(settings, keyspace)?;
    let mailboxes: std::io::Result<Box<[_]>> =
        (0..shards).map(|_| Mailbox::new().map(Arc::new)).collect();
    let mailboxes = mailboxes.map_err(|error| format!("cannot make a mailbox: {error}"))?;
    let host = Arc::new(Host { keyspace, mailboxes });
    let registry = Registry::new();
    let slice = Duration::from_micros(settings.number(Opt::ScriptSliceUs) as u64);
    let watchdog = Watchdog::start(slice)
        .map_err(|error| format!("cannot start the watchdog of scripts: {error}"))?;
    let observer = Observer::new(shards, registry.specs().len());
    let shared = Shared {
        keyspace,
        journal,
        locks: KeyLockManager::new(host.clone()),
        gate: Gate::new(shards, host.clone()),
        host,
        registry,
        observer,
        scripts: ScriptCache::default(),
        watchdog,
        clients: Clients::default(),
        running: Running::default(),
        pause: Pause::default(),
        monitors: AtomicUsize::new(0),
        active_expire: AtomicBool::new(true),
        stopping: AtomicBool::new(false),
        started_ms: clock::unix_ms(),
        run_id: (0..40).map(|_| fastrand::digit(16)).collect(),
        port,
        config,
    };
    Ok(Box::leak(Box::new(shared)))
}

fn recover(settings: &Settings, keyspace: &'static Keyspace) -> Result<DB, String> {
    let dir = settings.text(Opt::Dir);
    std::fs::create_dir_all(&*dir).map_err(|error| format!("cannot create {dir}: {error}"))?;
    let options = Options {
        durability: journal_durability(settings.durability()),
        segment_size: settings.size(Opt::JournalSegmentSize) as u64,
        rewrite_min_bytes: settings.size(Opt::JournalRewriteMinSize) as u64,
        rewrite_growth_percent: settings.number(Opt::JournalRewritePercentage) as u32,
        ..Options::default()
    };
    let start = Instant::now();
    let mut loader = Loader::new(keyspace);
    let mut replay = |op: aidb::Op<'_>| loader.apply(op).map_err(|error| error.to_string());
    let (journal, recovery) =
        DB::open(&*dir, options, &mut replay).map_err(|error| error.to_string())?;
    loader.finish(clock::unix_ms()).map_err(|error| error.to_string())?;
    report(&recovery, start.elapsed());
    Ok(journal)
}

fn report(recovery: &Recovery, took: Duration) {
    let Recovery { records, bytes, segments, clean, cut, .. } = recovery;
    tracing::info!(records, bytes, segments, clean, took_ms = took.as_millis() as u64, "journal replayed");
    if let Some(cut) = cut {
        tracing::warn!(
            file = %cut.file.display(),
            offset = cut.offset,
            bytes = cut.bytes,
            later_frames = cut.later_frames,
            "the end of the journal was cut off: {}",
            cut.what
        );
    }
}

/// Has options that CONFIG SET changes take effect.
fn listen_to_changes(shared: &'static Shared, log: log::LogControl) {
    shared.journal.on_durable(Box::new(|_| shared.tell_all(|| Message::Durable)));
    let durability = |settings: &Settings| {
        shared.journal.set_durability(journal_durability(settings.durability()));
        Ok(())
    };
    shared.config.on_change(Opt::Durability, Box::new(durability));
    let level = move |settings: &Settings| log.set_level(settings.log_level());
    shared.config.on_change(Opt::Loglevel, Box::new(level));
}

/// The first signal asks the shards to end, the second ends the process.
fn watch_signals(shared: &'static Shared) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| format!("cannot listen to signals: {error}"))?;
    let watch = move || {
        for (count, signal) in signals.forever().enumerate() {
            tracing::info!(signal, "asked to stop");
            if count > 0 {
                std::process::exit(1);
            }
            shared.stopping.store(true, Ordering::SeqCst);
            shared.tell_all(|| Message::Shutdown);
        }
    };
    let thread = std::thread::Builder::new().name("signals".into()).spawn(watch);
    thread.map(drop).map_err(|error| format!("cannot listen to signals: {error}"))
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
        debug_assert!(self.tcp.iter().all(|sockets| !sockets.is_empty()), "one for each shard");
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
        let (host, optional) = word.strip_prefix('-').map_or((word, false), |host| (host, true));
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
    let unix = if path.is_empty() { None } else { Some(listen_unix(settings, &path, backlog)?) };
    if tcp.is_empty() && unix.is_none() {
        return Err("there is nothing to listen on: set 'bind' or 'unixsocket'".to_owned());
    }
    Ok(Listeners { tcp, addresses, unix, port })
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
    let address = found.next().ok_or_else(|| format!("{host} has no address"))?;
    let sockets = ListenerSocket::tcp(address, backlog, shards).map_err(failed)?;
    let address = sockets.first().and_then(ListenerSocket::local_addr).unwrap_or(address);
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
    let addresses: Vec<String> = listeners.addresses.iter().map(ToString::to_string).collect();
    let unix = listeners.unix.as_ref().map(|(path, _)| path.display().to_string());
    let listening = addresses.into_iter().chain(unix).collect::<Vec<_>>().join(", ");
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
    crate::config::table::find(name).map(|spec| settings.display(spec)).unwrap_or_default()
}

/// The processors that this process may run on.
fn allowed_cpus() -> Vec<usize> {
    let allowed = crate::observe::process::allowed_cpus();
    if allowed.is_empty() { vec![0] } else { allowed }
}

fn raise_descriptor_limit(wanted: u64) {
    let got = crate::observe::process::raise_descriptor_limit(wanted);
    if got < wanted {
        tracing::warn!(wanted, got, "the limit of open files (ulimit -n) allows fewer clients than maxclients");
    }
}
