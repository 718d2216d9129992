//! Serving those who wait.

use super::{Grants, Stage, Waiter, Worker};
use crate::command::{Awaited, Flags, Waiting};
use crate::engine::Message;
use crate::engine::registry::Run;
use crate::engine::tracking;
use crate::engine::work::Token;
use crate::keyspace::Txn;
use crate::locks::{Footprint, Wake};
use crate::resp::{Reply, RespWriter};
use crate::value::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The answer to a command that has waited, for its shard to hand over.
#[derive(Debug)]
pub struct Served {
    pub token: Token,
    pub reply: Vec<u8>,
    /// The reply is an error.
    pub failed: bool,
    pub took: Duration,
}

/// Keys that have changed and are to be looked at, in the order of the changes.
#[derive(Default)]
struct Todo {
    fingerprints: VecDeque<u64>,
}

/// So many of the latest keys are compared before one is noted again. Looking at a key twice does no harm.
const COMPARED: usize = 8;

impl Todo {
    fn note(&mut self, fingerprint: u64) {
        let mut latest = self.fingerprints.iter().rev().take(COMPARED);
        if latest.all(|f| *f != fingerprint) {
            self.fingerprints.push_back(fingerprint);
        }
    }
}

impl Worker {
    /// Called after a commit, while its locks are held: serves those who waited for what was changed.
    #[inline]
    pub(in crate::engine) fn serve_waiters(&mut self, grants: &mut Grants) {
        if !self.buffers.readied.is_empty() {
            self.serve_readied(grants);
        }
    }

    /// Called after a commit whose keys were not locked: has the first waiter of each look for itself.
    #[inline]
    pub(in crate::engine) fn call_waiters(&mut self) {
        if !self.buffers.readied.is_empty() {
            let readied = std::mem::take(&mut self.buffers.readied);
            debug_assert!(!readied.everything, "that needs the whole keyspace");
            for fingerprint in readied.fingerprints {
                self.call_first(fingerprint);
            }
        }
    }

    #[cold]
    fn serve_readied(&mut self, grants: &mut Grants) {
        let mut todo = Todo::default();
        self.gather(&mut todo, None);
        while let Some(fingerprint) = todo.fingerprints.pop_front() {
            for awaited in Awaited::ALL {
                self.serve_queue(fingerprint, awaited, grants, &mut todo);
            }
        }
    }

    /// Notes what the last commit has changed, but for the key that is being looked at.
    fn gather(&mut self, todo: &mut Todo, current: Option<u64>) {
        if self.buffers.readied.is_empty() {
            return;
        }
        let readied = std::mem::take(&mut self.buffers.readied);
        if readied.everything {
            todo.fingerprints.extend(self.shared.waiters.settle());
            return;
        }
        for fingerprint in readied.fingerprints {
            if Some(fingerprint) != current {
                todo.note(fingerprint);
            }
        }
    }

    /// Serves the waiters of a key while it holds what they wait for.
    fn serve_queue(
        &mut self,
        fingerprint: u64,
        awaited: Awaited,
        grants: &mut Grants,
        todo: &mut Todo,
    ) {
        let shared = self.shared;
        let mut after = 0;
        while let Some(waiter) = shared.waiters.next(fingerprint, awaited, after) {
            after = waiter.number;
            let mut state = waiter.state.lock();
            let argument = match state.stage {
                Stage::Over => continue,
                // It sees to those behind it when it is done.
                Stage::Called(_) => return,
                Stage::Waiting => state.argument_of(fingerprint),
            };
            let Some(argument) = argument else { continue };
            // The key is locked before it is looked at, so that nobody is in the middle of changing it.
            let key = Footprint::single(fingerprint, waiter.mode);
            let locked = self.extend(grants, &key);
            let is_met = locked && self.is_met(&waiter, argument);
            self.gather(todo, Some(fingerprint));
            if locked && !is_met {
                return;
            }
            if !locked || !self.extend(grants, &self.needs(&waiter, argument)) {
                self.call_up(&waiter, &mut state.stage, argument);
                return;
            }
            let served = self.retry(&waiter, argument);
            self.gather(todo, Some(fingerprint));
            if let Some(served) = served {
                state.stage = Stage::Over;
                shared.waiters.leave(&waiter, &state);
                drop(state);
                shared.tell(waiter.id.shard, Message::Served(Box::new(served)));
            }
        }
    }

    /// Runs a called waiter's command under its locks, and sees to those behind it.
    pub(super) fn run_called(
        &mut self,
        waiter: &Arc<Waiter>,
        argument: usize,
        grants: &mut Grants,
    ) -> Option<Served> {
        let served = if self.is_met(waiter, argument) {
            self.retry(waiter, argument)
        } else {
            None
        };
        let mut state = waiter.state.lock();
        if served.is_some() {
            state.stage = Stage::Over;
            self.shared.waiters.leave(waiter, &state);
        } else {
            state.stage = Stage::Waiting;
        }
        // Also at its other keys it may have held others up, or have missed what came in the meantime.
        let keys = state.keys.iter().map(|(fingerprint, _)| *fingerprint);
        self.buffers.readied.fingerprints.extend(keys);
        drop(state);
        self.serve_waiters(grants);
        served
    }

    /// Has the first waiters of a key look for themselves.
    pub(super) fn call_first(&mut self, fingerprint: u64) {
        for awaited in Awaited::ALL {
            let mut after = 0;
            while let Some(waiter) = self.shared.waiters.next(fingerprint, awaited, after) {
                after = waiter.number;
                let mut state = waiter.state.lock();
                let argument = state.argument_of(fingerprint);
                match (state.stage, argument) {
                    (Stage::Over, _) | (_, None) => continue,
                    (Stage::Called(_), _) => {}
                    (Stage::Waiting, Some(argument)) => {
                        self.call_up(&waiter, &mut state.stage, argument);
                    }
                }
                break;
            }
        }
    }

    /// Has a waiter's own shard run it again.
    fn call_up(&self, waiter: &Waiter, stage: &mut Stage, argument: usize) {
        *stage = Stage::Called(argument);
        self.shared.host.wake(waiter.id);
    }

    /// Whether the locks cover a footprint, perhaps after taking what of it is free.
    fn extend(&self, grants: &mut Grants, footprint: &Footprint) -> bool {
        footprint.iter().all(|(fingerprint, mode)| {
            grants.covers(fingerprint, mode)
                || grants
                    .locks
                    .as_mut()
                    .is_some_and(|held| self.shared.locks.try_extend(held, fingerprint, mode))
        })
    }

    /// Whether a locked key holds what the waiter waits for.
    fn is_met(&mut self, waiter: &Waiter, argument: usize) -> bool {
        let keyspace = self.shared.keyspace;
        let db = keyspace.physical(waiter.db);
        let mut txn = Txn::new(keyspace, &mut self.buffers, db, self.now_ms);
        let value = txn.peek(waiter.args.as_args().get(argument));
        let is_met = waiter.awaited.is_met_by(value.map(Value::kind));
        drop(txn);
        // A look may find that the key has expired. If the journal refuses that, the key stays, still expired.
        let _ = self.commit();
        is_met
    }

    /// Runs a waiter's command again, under its locks. `None`: it goes on waiting.
    fn retry(&mut self, waiter: &Waiter, argument: usize) -> Option<Served> {
        let Run::Data(handler) = waiter.entry.run else {
            unreachable!("only data commands wait for data");
        };
        let start = Instant::now();
        let db = self.shared.keyspace.physical(waiter.db);
        let no_touch = std::mem::replace(&mut self.buffers.no_touch, waiter.no_touch);
        let mut reply = Vec::new();
        let mut writer = RespWriter::new(&mut reply, waiter.protocol);
        let args = waiter.args.as_args();
        if let Some(tracker) = waiter.tracker
            && waiter.entry.spec.flags.contains(Flags::READONLY)
        {
            tracking::remember_keys(&mut self.outbox, tracker, waiter.entry.spec, &args);
        }
        let changer = std::mem::replace(&mut self.outbox.writer, waiter.client);
        let called = self.call_waiting(handler, db, args, &mut writer, Waiting::retry(argument));
        self.buffers.no_touch = no_touch;
        let result = called.and_then(|wish| self.commit().map(|()| wish));
        self.outbox.writer = changer;
        let failed = match result {
            Ok(Some(_)) => {
                debug_assert!(reply.is_empty(), "who goes on waiting has not answered");
                return None;
            }
            Ok(None) => false,
            Err(error) => {
                let line = error.line();
                self.shared.observer.errors.count(line.as_bytes());
                reply.clear();
                RespWriter::new(&mut reply, waiter.protocol).error(&line);
                true
            }
        };
        Some(Served {
            token: waiter.id.token,
            reply,
            failed,
            took: start.elapsed(),
        })
    }
}
