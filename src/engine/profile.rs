//! Where the time of a call of a script goes, and what is counted of it.
//!
//! The first calls of a script are timed, and then one of so many by chance, which stands for them all: the clock costs as much
//! as a tenth of a short command. How long a call took as a whole, and how long it waited, is known of every call.

use super::script_run::Frame;
use super::worker::Worker;
use crate::script::{Callee, RunStats};
use std::time::Instant;

/// So many calls of a script on a shard are all timed.
const TIMED_FIRST: u64 = 64;
/// Of the calls after them one in so many.
const TIMED_ONE_IN: u64 = 16;

/// The times of one call.
#[derive(Debug, Default)]
pub struct Profile {
    /// How many calls this one stands for; 0: it is not timed.
    pub weight: u64,
    /// In all resumes, commands included.
    run_ns: u64,
    commands_ns: u64,
    waited_ns: u64,
    /// Bytes that it had in Lua at most.
    pub memory_peak: usize,
    pub had_gate: bool,
}

impl Profile {
    /// Decides whether a call is timed. `chance` is a random number.
    pub fn new(stats: &RunStats, chance: u64) -> Self {
        let weight = if stats.calls.get() < TIMED_FIRST {
            1
        } else if chance.is_multiple_of(TIMED_ONE_IN) {
            TIMED_ONE_IN
        } else {
            0
        };
        Self {
            weight,
            ..Self::default()
        }
    }

    /// The time at which something begins, if it is timed.
    #[inline]
    pub fn begin(&self) -> Option<Instant> {
        (self.weight > 0).then(Instant::now)
    }

    /// Adds a resume that began then.
    #[inline]
    pub fn add_run(&mut self, began: Option<Instant>) {
        self.run_ns += since_ns(began);
    }

    /// Adds a command that began then; how long it took.
    #[inline]
    pub fn add_command(&mut self, began: Option<Instant>) -> u64 {
        let took_ns = since_ns(began);
        self.commands_ns += took_ns;
        took_ns
    }

    pub fn add_wait(&mut self, waited_us: u64) {
        self.waited_ns += (waited_us * 1000).max(1);
    }
}

#[inline]
pub fn since_ns(began: Option<Instant>) -> u64 {
    began.map_or(0, |began| began.elapsed().as_nanos() as u64)
}

impl Worker {
    /// What this shard counts of a script.
    pub(super) fn run_stats<'c>(&self, callee: &'c Callee) -> &'c RunStats {
        callee.stats().of(self.shard as usize, self.shared.shards())
    }

    /// Counts a call that has ended.
    pub(super) fn note_run(&self, frame: &Frame) {
        let stats = self.run_stats(&frame.callee);
        let profile = &frame.profile;
        stats.calls.add(1);
        stats.memory_peak.raise_to(profile.memory_peak as u64);
        if profile.waited_ns > 0 {
            stats.waiting.record(profile.waited_ns, 1);
        }
        if profile.had_gate {
            stats.gates.add(1);
            self.stats().script_gates.add(1);
        }
        if profile.weight > 0 {
            let lua_ns = profile.run_ns.saturating_sub(profile.commands_ns);
            stats.lua.record(lua_ns, profile.weight);
            stats.commands.record(profile.commands_ns, profile.weight);
        }
    }
}
