//! Making room: keys are evicted by `maxmemory-policy` until no more than `maxmemory` is in use.
//!
//! - A command that may need memory makes room before it runs, for half a millisecond at most
//!   (`maxmemory-eviction-tenacity`). What is still over then is evicted between the passes of the shards; the command runs.
//! - A key that a transaction has locked is passed over.
//! - Each key is a transaction of its own, with its record in the journal, so no crash brings back a part of one.
//! - Where nothing can be evicted, commands that may need memory are refused.

use super::client::Client;
use super::commit;
use super::dispatch::OUT_OF_MEMORY;
use super::registry::{Entry, Run};
use super::shared::PauseMode;
use super::worker::{NOBODY, Worker};
use crate::command::{Error, Flags};
use crate::config::{Opt, Settings};
use crate::keyspace::{AccessRule, EvictionPool, Policy, Sampling, Txn};
use crate::locks::Mode;
use crate::observe::latency::event;
use crate::resp::Args;
use std::time::{Duration, Instant};

/// Keys that are evicted before one looks at the clock.
const KEYS_PER_LOOK: usize = 16;
/// Candidates in a row that turn out to be locked, gone or used before an eviction gives up for now.
const VAIN_MAX: usize = 64;

/// Whether there is memory for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Too much is in use, and eviction goes on.
    Soon,
    /// Too much is in use, and nothing can be evicted.
    None,
}

/// A shard's part of the eviction.
#[derive(Debug, Default)]
pub struct Eviction {
    pool: EvictionPool,
    policy: Policy,
    samples: usize,
    /// How long a command waits for room; `None`: as long as it takes.
    time_max: Option<Duration>,
    /// More is in use than allowed, and there are keys to evict: the shard does not sleep.
    pub(super) is_pending: bool,
    /// In this pass eviction has come to an end before there was enough room.
    stuck: Option<Room>,
}

impl Eviction {
    /// Takes over what has been set; returns how accesses are to be noted.
    pub fn read_settings(&mut self, settings: &Settings) -> AccessRule {
        self.policy = Policy::named(&settings.display(Opt::MaxmemoryPolicy.spec()));
        self.samples = settings.size(Opt::MaxmemorySamples);
        self.time_max = time_max(settings.number(Opt::MaxmemoryEvictionTenacity));
        AccessRule {
            counts: self.policy.counts(),
            log_factor: settings.number(Opt::LfuLogFactor) as u32,
            decay_min: settings.number(Opt::LfuDecayTime) as u32,
        }
    }
}

/// As Redis has it: 50 us for each step up to ten, then 15 % more for each.
fn time_max(tenacity: i64) -> Option<Duration> {
    const STEP_US: f64 = 50.0;
    const LINEAR_MAX: i64 = 10;
    const ENDLESS: i64 = 100;
    let us = match tenacity {
        ENDLESS.. => return None,
        ..=LINEAR_MAX => STEP_US * tenacity as f64,
        _ => STEP_US * LINEAR_MAX as f64 * 1.15_f64.powf((tenacity - LINEAR_MAX) as f64),
    };
    Some(Duration::from_micros(us as u64))
}

impl Worker {
    /// Called at the beginning of a pass: goes on with what is over the limit.
    pub(super) fn evict_in_passing(&mut self) {
        self.eviction.stuck = None;
        self.eviction.is_pending = false;
        if self.memory.is_limited() {
            self.look_at_memory();
            if self.make_room() == Room::Enough {
                self.note_exceeded(false);
            }
        }
    }

    /// Before a command: makes room if it may need memory. The error is that of Redis where there is none.
    #[inline]
    pub(super) fn check_memory(
        &mut self,
        entry: &Entry,
        client: &Client,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        if !self.memory.is_limited() {
            return Ok(());
        }
        self.check_limited_memory(entry, client, args)
    }

    fn check_limited_memory(
        &mut self,
        entry: &Entry,
        client: &Client,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let queues = client.multi.is_some()
            && !matches!(entry.spec.name, "exec" | "discard" | "quit" | "reset");
        let needs_memory = queues
            || entry.spec.flags.contains(Flags::DENYOOM)
            || matches!(entry.run, Run::Exec | Run::Script(_));
        if !needs_memory || self.make_room() != Room::None {
            return Ok(());
        }
        let refused = match entry.run {
            Run::Exec => client.multi.as_ref().is_some_and(|multi| multi.denies_oom),
            _ => queues || self.denies_oom(entry, args),
        };
        if refused { Err(OUT_OF_MEMORY) } else { Ok(()) }
    }

    /// Whether a request is refused where memory is short. A script whose first line says what it does not need may run.
    pub(super) fn denies_oom(&self, entry: &Entry, args: &Args<'_>) -> bool {
        match entry.run {
            Run::Script(invocation) => self.script_denies_oom(invocation, args),
            _ => entry.spec.flags.contains(Flags::DENYOOM),
        }
    }

    /// Whether memory is short now, for one that has been admitted.
    pub(super) fn is_out_of_memory(&mut self) -> bool {
        self.is_over_memory() && self.make_room() == Room::None
    }

    /// Evicts keys until no more is in use than allowed, or time is up. The shard's buffers hold no transaction.
    pub(super) fn make_room(&mut self) -> Room {
        if !self.is_over_memory() {
            return Room::Enough;
        }
        if let Some(room) = self.eviction.stuck {
            return room;
        }
        self.look_at_memory();
        if !self.is_over_memory() {
            return Room::Enough;
        }
        let room = if self.shared.pause.mode(self.now_ms) != PauseMode::Off {
            // While clients are paused, nothing may change.
            self.stuck(Room::Soon)
        } else if self.eviction.policy == Policy::None {
            Room::None
        } else {
            self.evict()
        };
        self.note_exceeded(room != Room::Enough);
        self.eviction.is_pending = room == Room::Soon && self.eviction.stuck.is_none();
        room
    }

    fn stuck(&mut self, room: Room) -> Room {
        self.eviction.stuck = Some(room);
        room
    }

    fn evict(&mut self) -> Room {
        if !self.shared.gate.enter(self.shard) {
            return self.stuck(Room::Soon);
        }
        let start = Instant::now();
        let mut writer = std::mem::replace(&mut self.outbox.writer, NOBODY);
        let no_touch = std::mem::replace(&mut self.buffers.no_touch, false);
        let mut evicted = 0;
        let room = loop {
            if !self.is_over_memory() {
                break Room::Enough;
            }
            if self.is_about_to_shrink() {
                break self.stuck(Room::Soon);
            }
            match self.evict_key() {
                Ok(true) => {}
                Ok(false) => break self.stuck(Room::None),
                Err(Busy) => break self.stuck(Room::Soon),
            }
            self.look_at_memory();
            evicted += 1;
            if evicted % KEYS_PER_LOOK == 0 && self.is_late(start) {
                break Room::Soon;
            }
        };
        std::mem::swap(&mut self.outbox.writer, &mut writer);
        self.buffers.no_touch = no_touch;
        self.call_waiters();
        self.note_event(event::EVICTION_CYCLE, start.elapsed());
        room
    }

    /// Whether whoever waits for room has waited long enough.
    fn is_late(&self, start: Instant) -> bool {
        let max = self.eviction.time_max;
        max.is_some_and(|max| start.elapsed() > max)
    }

    /// Evicts one key. `false`: there is none that may go.
    fn evict_key(&mut self) -> Result<bool, Busy> {
        let shared = self.shared;
        for _ in 0..VAIN_MAX {
            let sampling = Sampling {
                policy: self.eviction.policy,
                samples: self.eviction.samples,
                rule: self.buffers.access,
                now_ms: self.now_ms,
            };
            let candidate = self
                .eviction
                .pool
                .next(shared.keyspace, sampling, &mut self.rng);
            let Some(candidate) = candidate else {
                return Ok(false);
            };
            let start = Instant::now();
            let fingerprint = candidate.fingerprint;
            let mut txn = Txn::new(shared.keyspace, &mut self.buffers, 0, self.now_ms);
            let is_locked = txn.enter(fingerprint) > 0
                && shared.locks.is_conflicting(fingerprint, Mode::Exclusive);
            let is_gone = !is_locked && txn.evict(&candidate, sampling.policy);
            if commit::commit(&mut txn, &mut self.outbox).is_err() {
                // The journal takes nothing more: the key stays, and nothing can be evicted.
                return Ok(false);
            }
            drop(txn);
            if is_gone {
                self.note_event(event::EVICTION_DEL, start.elapsed());
                return Ok(true);
            }
        }
        Err(Busy)
    }
}

/// Keys could be evicted, but for now all are in use.
struct Busy;
