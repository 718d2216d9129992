//! A shard's hands: takes requests, runs them, takes parked work up again.

use super::admission::Gatekeeper;
use super::client::Client;
use super::commit;
use super::evict::Eviction;
use super::memory::MemoryWatch;
use super::open::value_limits;
use super::outbox::Outbox;
use super::pubsub::{self, Subscribers};
use super::script_run::ScriptState;
use super::shared::Shared;
use super::tracking;
use super::work::{Kind, Token, Work, Works};
use crate::base::clock;
use crate::config::Opt;
use crate::keyspace::{Notify, Txn, TxnBuffers};
use crate::observe::latency::event;
use crate::observe::{ShardStats, allocator};
use crate::script::{AbortReason, Callee};
use aidb::{Durability, Sequence};
use std::time::{Duration, Instant};

/// What the connection does after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The reply is complete.
    Done,
    /// The reply comes later; until then nothing more of this client is run.
    Parked,
    /// Send what there is and close.
    Close,
}

/// `latency-monitor-threshold` and `latency-tracking`, read some times a second.
#[derive(Clone, Copy, Default)]
pub(super) struct LatencySettings {
    /// 0: no command enters the latency history.
    pub threshold_ms: i64,
    pub tracking: bool,
}

/// One shard's part of the engine. Belongs to its thread.
pub struct Worker {
    pub shared: &'static Shared,
    pub shard: u32,
    pub keeper: Gatekeeper,
    pub now_ms: i64,
    /// The same moment in microseconds.
    pub(super) now_us: i64,
    pub string_len_max: usize,
    pub(super) memory: MemoryWatch,
    pub(super) eviction: Eviction,
    /// `slowlog-log-slower-than`, read some times a second.
    pub(super) slower_than_us: i64,
    pub(super) latency: LatencySettings,
    pub(super) buffers: TxnBuffers,
    /// What clients are to be told besides their replies.
    pub(super) outbox: Outbox,
    /// Who of this shard's clients subscribed to what.
    pub(super) subscribers: Subscribers,
    pub(super) rng: fastrand::Rng,
    pub(super) works: Works,
    pub(super) scripts: ScriptState,
    /// Scripts that have used up a slice and want the next one.
    pub(super) runnable: Vec<Token>,
    /// Debugged scripts that stand still.
    pub(super) attended: Vec<Token>,
    /// The script that the command which ends now has run.
    pub(super) ended: Option<Callee>,
    /// The command that is running has answered with an error.
    pub(super) failed: bool,
    /// An EXEC is running: nothing in it may wait.
    pub(super) in_exec: bool,
    /// When that EXEC began, memory was short.
    pub(super) exec_oom: bool,
    /// A command of this pass answers only once everything is on disk, whatever the durability.
    pub(super) sync_asked: bool,
    /// When the last command ended, or the pass began: the start of the next command.
    pub(super) clock: Instant,
    /// A script has become slow, or something was parked while one is: perhaps somebody is to be told that it is busy.
    pub(super) busy_check: bool,
    /// The version of the rules by which this shard's subscribers were looked at.
    pub(super) acl_version: u64,
    /// Where the active expiry goes on.
    expire_cursor: usize,
    /// The generation of the settings that were read last.
    settings_seen: u64,
}

/// Stripes of which a shard looks for expired keys before it looks at the clock again.
const EXPIRE_STRIPES_PER_LOOK: usize = 16;
/// The writer of what no client asked for; the ids of clients begin with one.
pub(super) const NOBODY: u64 = 0;
/// Keys that are taken out of a table of tracked keys at a time, once its limit has been lowered.
const TRACKED_KEYS_PER_TICK: usize = 1000;
/// Expired keys that are removed from one stripe at a time.
const EXPIRE_KEYS_PER_STRIPE: usize = 128;

impl Worker {
    pub fn new(shared: &'static Shared, shard: u32) -> Self {
        let mut worker = Self {
            shared,
            shard,
            keeper: Gatekeeper { shared, shard },
            now_ms: 0,
            now_us: 0,
            string_len_max: 0,
            memory: MemoryWatch::default(),
            eviction: Eviction::default(),
            slower_than_us: -1,
            latency: LatencySettings::default(),
            buffers: TxnBuffers::default(),
            outbox: Outbox::new(shared, shard),
            subscribers: Subscribers::default(),
            rng: fastrand::Rng::new(),
            works: Works::default(),
            scripts: ScriptState::new(shared, shard),
            runnable: Vec::new(),
            attended: Vec::new(),
            ended: None,
            failed: false,
            in_exec: false,
            exec_oom: false,
            sync_asked: false,
            clock: Instant::now(),
            busy_check: false,
            acl_version: shared.acl.version(),
            expire_cursor: 0,
            settings_seen: 0,
        };
        shared
            .keyspace
            .look_at_locks(|visit| shared.locks.visit_exclusive(visit));
        shared
            .keyspace
            .freed_aside()
            .measure_with(allocator::thread_balance);
        worker.set_clock(clock::unix_us());
        worker.read_settings();
        worker.measure_memory();
        worker
    }

    /// Called once at the beginning of each pass.
    pub fn begin_pass(&mut self) {
        self.set_clock(clock::unix_us());
        self.evict_in_passing();
        self.clock = Instant::now();
    }

    /// Lets commands see this time from now on. Returns what they saw before.
    pub(super) fn set_clock(&mut self, now_us: i64) -> i64 {
        self.now_ms = now_us.div_euclid(1000);
        std::mem::replace(&mut self.now_us, now_us)
    }

    /// Ends a pass: leaves the gate and writes out what was committed. Replies may leave once this has returned, and where
    /// it returns a sequence, once the journal has made that durable.
    pub fn end_pass(&mut self) -> Result<Option<Sequence>, aidb::Error> {
        let journal = &self.shared.journal;
        self.shared.gate.leave(self.shard);
        self.note_counts();
        self.publish_memory();
        let appended = journal.appended();
        let sync_asked = std::mem::take(&mut self.sync_asked);
        match journal.durability() {
            _ if sync_asked && journal.synced() < appended => {
                journal.health()?;
                journal.request_sync();
                Ok(Some(appended))
            }
            Durability::Always => {
                if journal.synced() >= appended {
                    return Ok(None);
                }
                journal.health()?;
                journal.request_sync();
                journal.slow_down();
                Ok(Some(appended))
            }
            Durability::EverySec | Durability::No => {
                if journal.written() < appended {
                    journal.write_out()?;
                    journal.slow_down();
                }
                Ok(None)
            }
        }
    }

    /// Counts a wait for gate or locks that is over; how long it took, in microseconds.
    pub(super) fn note_waited(&self, since_us: u64) -> u64 {
        let waited_us = clock::monotonic_us().saturating_sub(since_us);
        self.stats().lock_waits.add(1);
        self.stats().lock_wait_ns.add(waited_us * 1000);
        self.stats().lock_wait_us_max.raise_to(waited_us);
        self.note_event(event::LOCK_WAIT, Duration::from_micros(waited_us));
        waited_us
    }

    /// The counters of this shard.
    pub(super) fn stats(&self) -> &'static ShardStats {
        self.shared.observer.shard(self.shard as usize)
    }

    /// Counts what the transactions of the pass have met, those of suspended scripts excepted.
    pub(super) fn note_counts(&mut self) {
        let counts = std::mem::take(&mut self.buffers.counts);
        if !self.buffers.resized.is_empty() {
            self.shared.keyspace.resize(&mut self.buffers.resized);
        }
        let stats = self.stats();
        stats.keyspace_hits.add(counts.hits);
        stats.keyspace_misses.add(counts.misses);
        stats.expired_keys.add(counts.expired);
        stats.expired_fields.add(counts.expired_fields);
        stats.evicted_keys.add(counts.evicted);
    }

    /// The connection whose work has this token.
    pub fn conn_of(&self, token: Token) -> Option<u64> {
        self.works.get(token).map(|work| work.conn)
    }

    /// Takes up what was parked under a token. Tokens that mean nothing any more are passed over.
    pub fn resume(&mut self, token: Token, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(Work { kind, since_us, .. }) = self.works.take(token) else {
            return Flow::Parked;
        };
        debug_assert!(
            client.parked == Some(token) || client.session() == Some(token),
            "a client waits for one piece of work"
        );
        client.parked = None;
        let mark = out.len();
        self.clock = Instant::now();
        self.failed = false;
        self.outbox.writer = client.id();
        let flow = match kind {
            Kind::Plain { entry, args, wait } => {
                match self.advance_plain(wait, token, entry, client, &args) {
                    Ok(grants) => {
                        self.note_waited(since_us);
                        self.plain_granted(entry, grants, client, &args, out)
                    }
                    Err(wait) => {
                        let kind = Kind::Plain { entry, args, wait };
                        return self.put_back(token, client, since_us, kind);
                    }
                }
            }
            Kind::Exec { commands, wait } => {
                match self.advance_exec(wait, token, client, &commands) {
                    Ok(grants) => {
                        self.note_waited(since_us);
                        self.exec_admitted(grants, client, commands, out)
                    }
                    Err(wait) => {
                        let kind = Kind::Exec { commands, wait };
                        return self.put_back(token, client, since_us, kind);
                    }
                }
            }
            Kind::ExecRun(exec) => self.exec_resume(exec, client, out),
            Kind::Paused { entry, args } => self.execute_paused(entry, client, &args, out),
            Kind::Timer(timer) => self.timer_over(timer, client, out),
            Kind::Script(mut work) => {
                if client.session() == Some(token) {
                    self.dismiss(token, client);
                    work.frame.note_stood_still();
                    work.frame.call_off(AbortReason::Killed);
                }
                self.script_resume(token, work, client, since_us, out)
            }
            Kind::Blocked(blocked) => self.blocked_resume(token, blocked, client, since_us, out),
        };
        Self::apply_reply_mode(client, out, mark, flow);
        self.tell_self(client, out, mark);
        flow
    }

    /// Gives up the parked work of a client that has left. `false`: a script is running and has to end first.
    pub fn abandon(&mut self, client: &mut Client) -> bool {
        let Some(token) = client.parked.or(client.session()) else {
            self.leave(client);
            return true;
        };
        let work = self.works.get(token);
        let is_attended = client.parked.is_none();
        if !is_attended && work.is_some_and(|work| work.kind.has_started_script()) {
            return false;
        }
        if let Some(work) = self.works.take(token) {
            self.cancel(work.kind);
        }
        client.parked = None;
        self.dismiss(token, client);
        self.leave(client);
        true
    }

    /// The number of clients that wait for something here.
    pub fn parked(&self) -> usize {
        self.works.len()
    }

    /// Background work of the shard, some times a second.
    pub fn tick(&mut self) {
        self.set_clock(clock::unix_us());
        self.follow_settings();
        self.expire_cycle();
        self.note_counts();
        let vms = self.scripts.pool.memory() as u64;
        self.stats().script_vm_bytes.set(vms);
        self.shared.gate.leave(self.shard);
        if self.shard == 0 {
            self.measure_memory();
            self.shrink_tracking();
        }
    }

    /// Has [`busy_waiters`](Self::busy_waiters) look at everything: a script has become slow.
    pub fn look_for_busy(&mut self) {
        self.busy_check = true;
    }

    /// Clients that wait for what a slow script holds: the tokens of their work, with the connections.
    pub fn busy_waiters(&mut self) -> Vec<(Token, u64)> {
        if !std::mem::take(&mut self.busy_check) || !self.shared.running.any_busy() {
            return Vec::new();
        }
        let busy = self
            .works
            .iter()
            .filter(|(_, work)| self.waits_for_busy(&work.kind));
        busy.map(|(token, work)| (token, work.conn)).collect()
    }

    /// Parks work again under the token it had.
    pub(super) fn put_back(
        &mut self,
        token: Token,
        client: &mut Client,
        since_us: u64,
        kind: Kind,
    ) -> Flow {
        let work = Work {
            conn: client.conn,
            since_us,
            kind,
        };
        self.busy_check |= self.shared.running.any_busy();
        self.works.park(token, work);
        client.parked = Some(token);
        Flow::Parked
    }

    pub(super) fn cancel(&mut self, kind: Kind) {
        match kind {
            Kind::Plain { wait, .. } | Kind::Exec { wait, .. } => self.keeper.cancel(wait),
            Kind::Paused { .. } => {}
            Kind::Timer(timer) => self.end_timer(timer),
            Kind::ExecRun(exec) => self.exec_cancel(exec),
            Kind::Script(work) => self.script_cancel(work),
            Kind::Blocked(blocked) => self.cancel_blocked(*blocked),
        }
    }

    /// What a client leaves behind.
    fn leave(&mut self, client: &mut Client) {
        super::multi::discard_all(self, client);
        super::admin::stop_monitoring(self, client);
        pubsub::leave_all(self, client);
        tracking::stop(self, client);
        self.shared.clients.leave(client.id());
    }

    /// Takes over what CONFIG SET has changed, if it has. Called before requests that have just arrived, so that whoever
    /// has read the answer to a CONFIG SET finds it done on every shard.
    pub fn follow_settings(&mut self) {
        if self.shared.config.generation() != self.settings_seen {
            self.read_settings();
        }
    }

    fn read_settings(&mut self) {
        self.settings_seen = self.shared.config.generation();
        let settings = self.shared.config.settings();
        self.string_len_max = settings.size(Opt::ProtoMaxBulkLen);
        self.buffers.access = self.eviction.read_settings(settings);
        self.buffers.limits = value_limits(settings);
        let events = settings.number(Opt::NotifyKeyspaceEvents) as u16;
        let events = Notify::from_bits_truncate(events);
        self.buffers.effects().set_notify_classes(events);
        self.slower_than_us = settings.number(Opt::SlowlogLogSlowerThan);
        self.latency = LatencySettings {
            threshold_ms: settings.number(Opt::LatencyMonitorThreshold),
            tracking: settings.flag(Opt::LatencyTracking),
        };
        self.read_memory_limit();
    }

    /// Has the table of tracked keys follow its limit, also where nobody reads.
    fn shrink_tracking(&mut self) {
        let keys_max = self
            .shared
            .config
            .settings()
            .size(Opt::TrackingTableMaxKeys);
        let tracking = &self.shared.tracking;
        self.outbox.writer = NOBODY;
        tracking.shrink(keys_max, TRACKED_KEYS_PER_TICK, &mut self.outbox);
    }

    /// Removes expired keys from this shard's stripes, for a bounded time: a millisecond for each step of
    /// `active-expire-effort`, longer while a quarter of what is looked at turns out to be expired.
    fn expire_cycle(&mut self) {
        if !self
            .shared
            .active_expire
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            return;
        }
        let settings = self.shared.config.settings();
        let budget = Duration::from_millis(settings.number(Opt::ActiveExpireEffort) as u64);
        let start = Instant::now();
        let stripes = self.shared.keyspace.expire_stripes();
        let (mut looked, mut removed) = (0, 0);
        while looked < stripes {
            for _ in 0..EXPIRE_STRIPES_PER_LOOK {
                looked += self.shared.shards();
                self.expire_cursor = (self.expire_cursor + self.shared.shards()) % stripes;
                removed += self.expire_stripe((self.expire_cursor + self.shard as usize) % stripes);
            }
            let longer = if removed > looked * EXPIRE_KEYS_PER_STRIPE / 4 {
                25
            } else {
                1
            };
            if start.elapsed() > budget * longer {
                break;
            }
        }
    }

    fn expire_stripe(&mut self, index: usize) -> usize {
        if !self.shared.gate.enter(self.shard) {
            return 0;
        }
        let mut txn = Txn::new(self.shared.keyspace, &mut self.buffers, 0, self.now_ms);
        let removed = txn.expire_stripe(index, EXPIRE_KEYS_PER_STRIPE);
        // Where the journal refuses, the keys stay, still expired, until it takes them.
        self.outbox.writer = NOBODY;
        let removed = match commit::commit(&mut txn, &mut self.outbox) {
            Ok(()) => removed,
            Err(_) => 0,
        };
        drop(txn);
        self.call_waiters();
        removed
    }
}
