//! What all shards share. Made once at the start and never dropped: it lives as long as the process.

use super::acl::Acl;
use super::backups::Backups;
use super::blocked::Waiters;
use super::client::Clients;
use super::memory::MemoryUse;
use super::message::Message;
use super::pubsub::Channels;
use super::registry::Registry;
use super::running::Running;
use super::tracking::Tracking;
use super::unfinished::UnfinishedCalls;
use crate::base::mailbox::Mailbox;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::locks::{Gate, KeyLockManager, LockHost, WaiterId, Wake};
use crate::observe::Observer;
use crate::script::{Libraries, ScriptCache, Watchdog};
use aidb::DB;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};

/// The locks' way to the stripes' counts and to the shards.
pub struct Host {
    pub keyspace: &'static Keyspace,
    pub mailboxes: Box<[Arc<Mailbox<Message>>]>,
}

impl Wake for Host {
    fn wake(&self, waiter: WaiterId) {
        self.mailboxes[waiter.shard as usize].push(Message::Wake(waiter.token));
    }
}

impl LockHost for Host {
    fn raise(&self, fingerprint: u64) {
        self.keyspace.raise(fingerprint);
    }

    fn lower(&self, fingerprint: u64) {
        self.keyspace.lower(fingerprint);
    }
}

/// Which commands CLIENT PAUSE holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseMode {
    Off,
    Writes,
    All,
}

/// CLIENT PAUSE: until when, and what.
#[derive(Debug, Default)]
pub struct Pause {
    until_ms: AtomicI64,
    mode: AtomicU8,
}

impl Pause {
    #[inline]
    pub fn mode(&self, now_ms: i64) -> PauseMode {
        match self.mode.load(Ordering::Relaxed) {
            0 => PauseMode::Off,
            _ if self.until_ms.load(Ordering::Relaxed) <= now_ms => PauseMode::Off,
            1 => PauseMode::Writes,
            _ => PauseMode::All,
        }
    }

    pub fn until_ms(&self) -> i64 {
        self.until_ms.load(Ordering::Relaxed)
    }

    pub fn set(&self, mode: PauseMode, until_ms: i64) {
        self.until_ms.store(until_ms, Ordering::Relaxed);
        let number = match mode {
            PauseMode::Off => 0,
            PauseMode::Writes => 1,
            PauseMode::All => 2,
        };
        self.mode.store(number, Ordering::Relaxed);
    }
}

/// The server but for its threads.
pub struct Shared {
    pub keyspace: &'static Keyspace,
    pub journal: DB,
    pub locks: KeyLockManager<Arc<Host>>,
    pub gate: Gate<Arc<Host>>,
    pub waiters: Waiters,
    pub host: Arc<Host>,
    pub config: Config,
    pub registry: Registry,
    pub acl: Acl,
    pub observer: Observer,
    pub memory: MemoryUse,
    pub scripts: ScriptCache,
    pub libraries: Libraries,
    pub watchdog: Watchdog,
    pub clients: Clients,
    pub running: Running,
    pub unfinished: UnfinishedCalls,
    pub pause: Pause,
    /// The subscriptions of all shards.
    pub channels: Channels,
    /// Copies of keys that clients keep.
    pub tracking: Tracking,
    pub backups: Backups,
    /// Clients that MONITOR.
    pub monitors: AtomicUsize,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// The server is on its way down: no new commands.
    pub stopping: AtomicBool,
    pub started_ms: i64,
    pub run_id: String,
    /// The TCP port that is listened on; 0: none.
    pub port: u16,
}

impl Shared {
    pub fn shards(&self) -> usize {
        self.host.mailboxes.len()
    }

    /// Posts a message to every shard.
    pub fn tell_all(&self, message: impl Fn() -> Message) {
        for mailbox in &self.host.mailboxes {
            mailbox.push(message());
        }
    }

    pub fn tell(&self, shard: u32, message: Message) {
        self.host.mailboxes[shard as usize].push(message);
    }
}
