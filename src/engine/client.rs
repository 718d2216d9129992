//! A client's session, and what others may know of it.

use super::acl::{Identity, User};
use super::debugging::DebugMode;
use super::multi::MultiState;
use super::pubsub::Subscriptions;
use super::tracking::{NO_REDIRECT, TrackingState};
use crate::keyspace::WatchFlag;
use crate::resp::Protocol;
use bitflags::bitflags;
use dashmap::DashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

bitflags! {
    /// What CLIENT LIST shows as letters.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ClientFlags: u32 {
        const BLOCKED = 1 << 0;
        const MULTI = 1 << 1;
        const MONITOR = 1 << 2;
        const UNIX_SOCKET = 1 << 3;
        const NO_EVICT = 1 << 4;
        const NO_TOUCH = 1 << 5;
        const CLOSE_ASAP = 1 << 6;
        const PUBSUB = 1 << 7;
        const TRACKING = 1 << 8;
        /// The client that invalidations are redirected to is gone.
        const BROKEN_REDIRECT = 1 << 9;
        const TRACKS_PREFIXES = 1 << 10;
    }
}

impl ClientFlags {
    /// The letters of CLIENT LIST, `N` where none applies.
    pub fn letters(self) -> String {
        let letters = [
            (Self::MONITOR, 'O'),
            (Self::PUBSUB, 'P'),
            (Self::MULTI, 'x'),
            (Self::BLOCKED, 'b'),
            (Self::TRACKING, 't'),
            (Self::BROKEN_REDIRECT, 'R'),
            (Self::TRACKS_PREFIXES, 'B'),
            (Self::CLOSE_ASAP, 'A'),
            (Self::UNIX_SOCKET, 'U'),
            (Self::NO_EVICT, 'e'),
            (Self::NO_TOUCH, 'T'),
        ];
        let shown: String = letters
            .iter()
            .filter(|(f, _)| self.contains(*f))
            .map(|(_, letter)| letter)
            .collect();
        if shown.is_empty() { "N".into() } else { shown }
    }
}

/// What any shard may read of a client. Its own shard alone writes the numbers, so plain stores do.
#[derive(Debug)]
pub struct ClientInfo {
    pub id: u64,
    pub shard: u32,
    pub address: String,
    pub local_address: String,
    pub fd: i32,
    pub created_ms: i64,
    pub flags: AtomicU32,
    pub db: AtomicUsize,
    pub resp: AtomicU32,
    pub last_active_ms: AtomicI64,
    /// Commands queued by MULTI; -1 outside of one.
    pub queued: AtomicI64,
    pub query_buffer: AtomicUsize,
    pub query_buffer_free: AtomicUsize,
    pub output_bytes: AtomicUsize,
    pub commands: AtomicU64,
    /// The registry's number of the last command; `u32::MAX`: none yet.
    pub last_command: AtomicU32,
    /// The connection, as the shard names it.
    conn: AtomicU64,
    /// Subscriptions to channels, patterns and shard channels.
    pub subscriptions: [AtomicUsize; 3],
    /// The client that hears of void copies in its place; 0: none, -1: it does not track.
    pub redirect: AtomicI64,
    pub texts: Mutex<ClientTexts>,
    pub user: Mutex<Arc<User>>,
}

/// The names that a client gives itself.
#[derive(Clone, Debug, Default)]
pub struct ClientTexts {
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
}

impl ClientInfo {
    #[inline]
    pub fn note_command(&self, number: u32, now_ms: i64) {
        self.last_command.store(number, Ordering::Relaxed);
        self.last_active_ms.store(now_ms, Ordering::Relaxed);
    }

    pub fn conn(&self) -> u64 {
        self.conn.load(Ordering::Relaxed)
    }

    pub fn flags(&self) -> ClientFlags {
        ClientFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    pub fn set_flag(&self, flag: ClientFlags, on: bool) {
        let mut flags = self.flags();
        flags.set(flag, on);
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }
}

/// Everybody who is connected.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<ClientInfo>, ahash::RandomState>,
    next_id: AtomicU64,
}

/// Where a client came from.
#[derive(Debug)]
pub struct Peer {
    pub address: String,
    pub local_address: String,
    pub fd: i32,
    pub unix: bool,
    /// The client is on this machine, by what its address tells.
    pub local: bool,
}

impl Clients {
    /// Enters a new client; ids ascend and are never used again.
    pub fn enter(&self, shard: u32, peer: Peer, now_ms: i64, user: Arc<User>) -> Arc<ClientInfo> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let info = Arc::new(Self::info(id, shard, peer, now_ms, user));
        self.by_id.insert(info.id, info.clone());
        info
    }

    /// The session of a shard's scripts, which nobody sees.
    pub fn internal(&self, shard: u32, user: Arc<User>) -> Arc<ClientInfo> {
        let nowhere = Peer {
            address: String::new(),
            local_address: String::new(),
            fd: -1,
            unix: false,
            local: true,
        };
        Arc::new(Self::info(0, shard, nowhere, 0, user))
    }

    fn info(id: u64, shard: u32, peer: Peer, now_ms: i64, user: Arc<User>) -> ClientInfo {
        let flags = if peer.unix {
            ClientFlags::UNIX_SOCKET
        } else {
            ClientFlags::empty()
        };
        ClientInfo {
            id,
            shard,
            address: peer.address,
            local_address: peer.local_address,
            fd: peer.fd,
            created_ms: now_ms,
            flags: AtomicU32::new(flags.bits()),
            db: AtomicUsize::new(0),
            resp: AtomicU32::new(2),
            last_active_ms: AtomicI64::new(now_ms),
            queued: AtomicI64::new(-1),
            query_buffer: AtomicUsize::new(0),
            query_buffer_free: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            commands: AtomicU64::new(0),
            last_command: AtomicU32::new(u32::MAX),
            conn: AtomicU64::new(u64::MAX),
            subscriptions: Default::default(),
            redirect: AtomicI64::new(NO_REDIRECT),
            texts: Mutex::default(),
            user: Mutex::new(user),
        }
    }

    pub fn leave(&self, id: u64) {
        self.by_id.remove(&id);
    }

    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.by_id.get(&id).map(|info| info.clone())
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Everybody, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<ClientInfo>> {
        let mut all: Vec<_> = self
            .by_id
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        all.sort_unstable_by_key(|info| info.id);
        all
    }
}

/// What CLIENT REPLY asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command's reply is left out.
    SkipNext,
    /// This command's reply is left out.
    Skip,
}

/// A client's session, owned by its connection.
#[derive(Debug)]
pub struct Client {
    pub info: Arc<ClientInfo>,
    /// The connection, as its shard names it.
    pub conn: u64,
    pub protocol: Protocol,
    /// The logical database.
    pub db: usize,
    pub authenticated: bool,
    pub identity: Identity,
    pub reply_mode: ReplyMode,
    pub multi: Option<Box<MultiState>>,
    pub watching: Vec<u64>,
    /// Raised when a watched key was changed.
    pub watch_flag: WatchFlag,
    /// The token of the work that answers next; until then nothing more is run.
    pub parked: Option<u64>,
    /// CLIENT NO-TOUCH: reading leaves no trace in OBJECT IDLETIME.
    pub no_touch: bool,
    /// `None`: there are none.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// CLIENT TRACKING; `None`: off.
    pub tracking: Option<Box<TrackingState>>,
    /// SCRIPT DEBUG; `None`: NO.
    pub debug: Option<DebugMode>,
}

impl Client {
    pub fn new(info: Arc<ClientInfo>, conn: u64, authenticated: bool) -> Self {
        info.conn.store(conn, Ordering::Relaxed);
        let identity = Identity::new(info.user.lock().clone());
        Self {
            identity,
            info,
            conn,
            protocol: Protocol::Resp2,
            db: 0,
            authenticated,
            reply_mode: ReplyMode::On,
            multi: None,
            watching: Vec::new(),
            watch_flag: Arc::new(AtomicBool::new(false)),
            parked: None,
            no_touch: false,
            subscriptions: None,
            tracking: None,
            debug: None,
        }
    }

    pub fn id(&self) -> u64 {
        self.info.id
    }

    /// Makes the client another user.
    pub fn become_user(&mut self, user: Arc<User>, authenticated: bool) {
        *self.info.user.lock() = user.clone();
        self.identity = Identity::new(user);
        self.authenticated = authenticated;
    }

    /// The work whose script stands still for this client, in the debugger.
    #[inline]
    pub fn session(&self) -> Option<u64> {
        self.debug.and_then(|mode| mode.session)
    }

    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.info.db.store(db, Ordering::Relaxed);
    }

    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.info.resp.store(number, Ordering::Relaxed);
    }
}
