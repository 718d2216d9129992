//! From a configuration to what the shards share: the store is opened, the keyspace loaded from it.

use super::acl::{self, Acl};
use super::blocked::Waiters;
use super::client::Clients;
use super::message::Message;
use super::registry::Registry;
use super::running::Running;
use super::shared::{Host, Pause, Shared};
use super::unfinished::UnfinishedCalls;
use super::{stored_functions, stored_scripts};
use crate::base::{clock, mailbox::Mailbox};
use crate::config::{Config, Durability, Opt, Settings};
use crate::keyspace::{DATABASES_MAX, Keyspace, Loader, record_group};
use crate::locks::{Gate, KeyLockManager};
use crate::observe::{Observer, allocator, log::LogControl};
use crate::script::{Libraries, ScriptCache, Watchdog};
use crate::value::Limits;
use aidb::{DB, Load, Op, Options, Part, Recovery};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// What a data directory holds.
pub(super) struct Loaded {
    pub keyspace: &'static Keyspace,
    pub scripts: ScriptCache,
    pub libraries: Libraries,
    pub journal: DB,
}

/// Opens the store and loads everything from it.
pub(super) fn load(settings: &Settings) -> Result<Loaded, String> {
    let databases = settings.size(Opt::Databases);
    if databases > DATABASES_MAX {
        return Err(format!("databases: there can be {DATABASES_MAX} at most"));
    }
    let keyspace: &'static Keyspace = Box::leak(Box::new(Keyspace::new(databases)));
    let scripts = ScriptCache::default();
    let (journal, libraries) = recover(settings, keyspace, &scripts)?;
    Ok(Loaded {
        keyspace,
        scripts,
        libraries,
        journal,
    })
}

/// Opens the store, loads the keyspace from it, and puts together what the shards share.
pub fn open(config: Config, shards: usize, port: u16) -> Result<&'static Shared, String> {
    let settings = config.settings();
    let mut registry = Registry::new();
    for (name, new) in config.renames() {
        registry.rename(name, new)?;
    }
    let acl = Acl::open(&registry, &config)?;
    let Loaded {
        keyspace,
        scripts,
        libraries,
        journal,
    } = load(settings)?;
    let mailboxes: std::io::Result<Box<[_]>> =
        (0..shards).map(|_| Mailbox::new().map(Arc::new)).collect();
    let mailboxes = mailboxes.map_err(|error| format!("cannot make a mailbox: {error}"))?;
    let host = Arc::new(Host {
        keyspace,
        mailboxes,
    });
    let slice = Duration::from_micros(settings.number(Opt::ScriptSliceUs) as u64);
    let watchdog = Watchdog::start(slice)
        .map_err(|error| format!("cannot start the watchdog of scripts: {error}"))?;
    let observer = Observer::new(shards, registry.specs().len());
    let shared = Shared {
        keyspace,
        journal,
        locks: KeyLockManager::new(host.clone()),
        gate: Gate::new(shards, host.clone()),
        waiters: Waiters::new(keyspace),
        host,
        registry,
        acl,
        observer,
        memory: super::memory::MemoryUse::new(shards),
        scripts,
        libraries,
        watchdog,
        clients: Clients::default(),
        running: Running::default(),
        unfinished: UnfinishedCalls::new(shards),
        pause: Pause::default(),
        channels: super::pubsub::Channels::default(),
        tracking: super::tracking::Tracking::default(),
        backups: super::backups::Backups::default(),
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

/// Has options that CONFIG SET changes take effect, and tells the shards of durable commits.
pub fn listen_to_changes(shared: &'static Shared, log: LogControl) {
    let tell = |_| shared.tell_all(|| Message::Durable);
    shared.journal.on_durable(Box::new(tell));
    let durability = |settings: &Settings| {
        let durability = journal_durability(settings.durability());
        shared.journal.set_durability(durability);
        Ok(())
    };
    shared
        .config
        .on_change(Opt::Durability, Box::new(durability));
    let level = move |settings: &Settings| log.set_level(settings.log_level());
    shared.config.on_change(Opt::Loglevel, Box::new(level));
    acl::listen_to_password(shared);
}

/// The sizes at which values change their form.
pub(super) fn value_limits(settings: &Settings) -> Limits {
    Limits {
        hash_max_listpack_entries: settings.size(Opt::HashMaxListpackEntries),
        hash_max_listpack_value: settings.size(Opt::HashMaxListpackValue),
        list_max_listpack_size: settings.number(Opt::ListMaxListpackSize),
        set_max_intset_entries: settings.size(Opt::SetMaxIntsetEntries),
        zset_max_listpack_entries: settings.size(Opt::ZsetMaxListpackEntries),
        zset_max_listpack_value: settings.size(Opt::ZsetMaxListpackValue),
        hll_sparse_max_bytes: settings.size(Opt::HllSparseMaxBytes),
        stream_node_max_bytes: settings.size(Opt::StreamNodeMaxBytes),
        stream_node_max_entries: settings.size(Opt::StreamNodeMaxEntries),
    }
}

fn journal_durability(durability: Durability) -> aidb::Durability {
    match durability {
        Durability::Always => aidb::Durability::Always,
        Durability::Everysec => aidb::Durability::EverySec,
        Durability::No => aidb::Durability::No,
    }
}

fn recover(
    settings: &Settings,
    keyspace: &'static Keyspace,
    scripts: &ScriptCache,
) -> Result<(DB, Libraries), String> {
    let dir = settings.text(Opt::Dir);
    std::fs::create_dir_all(&*dir).map_err(|error| format!("cannot create {dir}: {error}"))?;
    let options = Options {
        durability: journal_durability(settings.durability()),
        segment_size: settings.size(Opt::JournalSegmentSize) as u64,
        journal_max_bytes: settings.size(Opt::JournalMaxSize) as u64,
        group: record_group,
        after_upkeep: allocator::purge,
        ..Options::default()
    };
    let start = Instant::now();
    let mut replay = Replay {
        loader: Loader::new(keyspace, value_limits(settings)),
        parts: Vec::new(),
        functions: Mutex::default(),
        scripts,
    };
    let (journal, recovery) =
        DB::open_with(&*dir, options, &mut replay).map_err(|error| error.to_string())?;
    for part in &replay.parts {
        part.check_whole().map_err(|error| error.to_string())?;
    }
    replay
        .loader
        .finish(clock::unix_ms())
        .map_err(|error| error.to_string())?;
    let libraries = Libraries::from(replay.functions.into_inner().finish()?);
    report(&recovery, start.elapsed());
    Ok((journal, libraries))
}

/// Takes the records of the store.
struct Replay<'a> {
    loader: Loader<'a>,
    /// Those that load at the same time.
    parts: Vec<Loader<'a>>,
    functions: Mutex<stored_functions::Loaded>,
    scripts: &'a ScriptCache,
}

impl Load for Replay<'_> {
    fn apply(&mut self, op: Op<'_>) -> Result<(), String> {
        apply(&mut self.loader, &self.functions, self.scripts, op)
    }

    fn split(&mut self, count: usize) -> Vec<Part<'_>> {
        self.parts = (0..count).map(|_| self.loader.another()).collect();
        let (functions, scripts) = (&self.functions, self.scripts);
        let part = |loader| -> Part<'_> {
            let loader: &mut Loader<'_> = loader;
            Box::new(move |op| apply(loader, functions, scripts, op))
        };
        self.parts.iter_mut().map(part).collect()
    }
}

fn apply(
    loader: &mut Loader<'_>,
    functions: &Mutex<stored_functions::Loaded>,
    scripts: &ScriptCache,
    op: Op<'_>,
) -> Result<(), String> {
    if is_of_key(op) {
        return loader.apply(op).map_err(|error| error.to_string());
    }
    if functions.lock().apply(op) || stored_scripts::replay(scripts, op)? {
        return Ok(());
    }
    loader.apply(op).map_err(|error| error.to_string())
}

/// Whether a record is that of a key, as most are; the others need not be fast.
fn is_of_key(op: Op<'_>) -> bool {
    let (Op::Put { key: name, .. } | Op::Delete { key: name } | Op::DeletePrefix { prefix: name }) =
        op;
    record_group(name).is_some()
}

fn report(recovery: &Recovery, took: Duration) {
    let Recovery {
        records,
        bytes,
        tables,
        segments,
        clean,
        cut,
        ..
    } = recovery;
    let took_ms = took.as_millis() as u64;
    tracing::info!(
        records,
        bytes,
        tables,
        segments,
        clean,
        took_ms,
        "tables and journal read"
    );
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
