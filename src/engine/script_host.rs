//! `redis.call`: a script's command on its way to the handlers that clients use.

use super::admission::{self, Wait};
use super::dispatch::OUT_OF_MEMORY;
use super::registry::{EngineCtx, EngineHandler, Entry, Run};
use super::script_run::Frame;
use super::tracking::{self, Tracker};
use super::worker::Worker;
use crate::base::clock;
use crate::command::{Access, Error, Flags, Handler, KeyFlags, Waiting};
use crate::config::UndeclaredKeys;
use crate::keyspace::Txn;
use crate::locks::{Extend, Mode, WaiterId};
use crate::resp::{Args, Reply};
use crate::script::{AbortReason, Called, Host, LogLevel, NOT_APPLIED, ReplyTokens, ScriptFlags};
use std::time::Duration;

/// The engine as one script sees it, for the time of one slice.
pub struct ScriptHost<'a> {
    pub worker: &'a mut Worker,
    pub frame: &'a mut Frame,
    /// The client's request.
    pub request: Args<'a>,
    /// The script's KEYS.
    pub declared: &'a [&'a [u8]],
}

impl Host for ScriptHost<'_> {
    fn call(&mut self, args: &[&[u8]], reply: &mut ReplyTokens) -> Called {
        let args = Args::from_slices(args);
        let entry = match self.worker.shared.registry.find(&args) {
            Ok(entry) => entry,
            Err(error) => {
                let known = self.worker.shared.registry.get(args.get(0));
                self.refuse(known, &as_scripts_read_it(&error), reply);
                return Called::Done;
            }
        };
        if let Some(error) = self.forbidden(entry, &args) {
            self.refuse(Some(entry), &error, reply);
            return Called::Done;
        }
        self.frame.has_written |= entry.spec.flags.contains(Flags::WRITE);
        let began = self.frame.profile.begin();
        match entry.run {
            Run::Data(handler) => {
                match self.admit(entry, &args) {
                    Ok(Called::Done) => {}
                    Ok(other) => return other,
                    Err(error) => {
                        self.refuse(Some(entry), &error, reply);
                        return Called::Done;
                    }
                }
                if let Some(tracker) = self.frame.tracker
                    && entry.spec.flags.contains(Flags::READONLY)
                {
                    self.note_reads(tracker, entry, &args);
                }
                self.run(handler, args, reply);
            }
            Run::Engine(handler) => self.engine_command(handler, args, reply),
            Run::Script(_) | Run::Exec | Run::Container => {
                self.refuse(Some(entry), &NOT_ALLOWED, reply);
                return Called::Done;
            }
        }
        let took_ns = self.frame.profile.add_command(began);
        self.note_called(entry, took_ns, reply);
        Called::Done
    }

    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool> {
        let args = Args::from_slices(args);
        let entry = self.worker.shared.registry.lookup(&args)?;
        let identity = self.frame.identity.as_ref();
        Some(identity.is_none_or(|identity| identity.rules_seen().check(entry, &args).is_ok()))
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.frame.log(level, message);
    }

    fn savepoint(&mut self) -> Option<u64> {
        let txn = self.txn();
        let point = txn.savepoint();
        drop(txn);
        self.frame.savepoints.add(point)
    }

    fn rollback_to(&mut self, savepoint: u64) -> bool {
        let Some(point) = self.frame.savepoints.go_back_to(savepoint) else {
            return false;
        };
        self.txn().rollback_to(point);
        self.worker.stats().script_savepoint_rollbacks.add(1);
        let stats = self.worker.run_stats(&self.frame.callee);
        stats.savepoint_rollbacks.add(1);
        true
    }

    fn overdue(&mut self) -> Option<AbortReason> {
        let now_us = clock::monotonic_us();
        let pinned_us = now_us - *self.frame.pinned_since_us.get_or_insert(now_us);
        if pinned_us >= PINNED_MAX.as_micros() as u64 {
            let line = format!(
                "ERR Script killed: it ran for longer than {} ms in a metamethod that a library function called, where Lua cannot suspend it. {NOT_APPLIED}",
                PINNED_MAX.as_millis()
            );
            return Some(AbortReason::Host(line));
        }
        self.worker.overstayed(self.frame, self.request)
    }
}

/// How long a script may keep its shard from others where Lua cannot suspend it.
const PINNED_MAX: Duration = Duration::from_secs(1);

const NOT_ALLOWED: Error = Error::text("ERR This Redis command is not allowed from script");

/// Scripts get their own words for requests that cannot be run.
fn as_scripts_read_it(error: &Error) -> Error {
    match error {
        Error::WrongArity(_) => {
            Error::text("ERR Wrong number of args calling Redis command from script")
        }
        _ => Error::text("ERR Unknown Redis command called from script"),
    }
}

impl ScriptHost<'_> {
    /// The script's transaction.
    fn txn(&mut self) -> Txn<'_> {
        let worker = &mut *self.worker;
        Txn::new(
            worker.shared.keyspace,
            &mut worker.buffers,
            0,
            worker.now_ms,
        )
    }

    /// Answers a command that is not even tried, and counts that.
    #[cold]
    fn refuse(&mut self, entry: Option<&Entry>, error: &Error, reply: &mut ReplyTokens) {
        if let Some(entry) = entry {
            let stats = self.worker.stats();
            stats.command(entry.number as usize).rejected();
        }
        let line = error.line();
        self.frame.note_error(&self.worker.shared.observer, &line);
        reply.refuse(&line);
    }

    /// Counts a command that has answered.
    #[inline]
    fn note_called(&mut self, entry: &Entry, took_ns: u64, reply: &ReplyTokens) {
        let stats = self.worker.stats();
        let error = reply.error_text();
        let weight = self.frame.profile.weight;
        let command = stats.command(entry.number as usize);
        command.ran_in_script(took_ns, weight, error.is_some());
        if weight > 0 && self.worker.latency.tracking {
            command.track_latency_of(took_ns, weight);
        }
        stats.commands_processed.add(1);
        if let Some(error) = error {
            let line = String::from_utf8_lossy(error);
            self.frame.note_error(&self.worker.shared.observer, &line);
        }
    }

    fn forbidden(&self, entry: &Entry, args: &Args<'_>) -> Option<Error> {
        if entry.spec.flags.contains(Flags::NOSCRIPT) {
            return Some(NOT_ALLOWED);
        }
        if let Some(identity) = &self.frame.identity {
            let client = self.frame.client;
            let permitted = self.worker.permit_in_script(entry, client, identity, args);
            if let Err(error) = permitted {
                return Some(error);
            }
        }
        if self.frame.read_only && entry.spec.flags.contains(Flags::WRITE) {
            return Some(Error::text(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        // What has begun to write goes on: it could not be stopped without losing what it did.
        let may_grow = self.frame.has_written || self.frame.callee.has(ScriptFlags::ALLOW_OOM);
        if self.frame.oom && entry.spec.flags.contains(Flags::DENYOOM) && !may_grow {
            return Some(OUT_OF_MEMORY);
        }
        None
    }

    /// Runs a command whose keys are admitted.
    fn run(&mut self, handler: Handler, args: Args<'_>, reply: &mut ReplyTokens) {
        let db = self.worker.shared.keyspace.physical(self.frame.db);
        if let Err(error) = self
            .worker
            .call(handler, db, args, reply, Waiting::in_script())
        {
            reply.clear();
            reply.error(&error.line());
        }
        let met = self.worker.take_met(&self.frame.grants);
        debug_assert!(met.is_empty(), "who walks has the keyspace");
    }

    /// Sees to it that the script holds what the command touches.
    fn admit(&mut self, entry: &Entry, args: &Args<'_>) -> Result<Called, Error> {
        if self.frame.grants.is_alone() {
            return Ok(Called::Done);
        }
        let flags = entry.spec.flags;
        if entry.spec.keys.is_empty() && !flags.intersects(Flags::KEYSPACE | Flags::GATE) {
            return Ok(Called::Done);
        }
        if !self.frame.declares_keys {
            return Ok(self.take_all());
        }
        let untold = entry.spec.untold_keys.and_then(|find| find(args));
        if let Some(at) = untold {
            self.check_undeclared(args.get(at))?;
        }
        // Who walks over the keyspace keeps others from adding to it: what is not there yet has no lock of its own.
        if untold.is_some() || flags.intersects(Flags::GATE | Flags::KEYSPACE) {
            self.frame.wants_all = true;
            return Ok(Called::Restart);
        }
        let shared = self.worker.shared;
        let own = shared.keyspace.physical(self.frame.db);
        if let Some((at, access)) = entry.spec.single_key() {
            let fingerprint = shared.keyspace.fingerprint(own, args.get(at));
            return self.lock(fingerprint, self.mode(access), args.get(at));
        }
        let footprint = admission::footprint(shared.keyspace, self.frame.db, entry.spec, args);
        // Where the keys cannot be told, the handler finds the fault and names it.
        let Ok(footprint) = footprint else {
            return Ok(Called::Done);
        };
        for (fingerprint, mode) in footprint.iter() {
            let mode = if self.frame.read_only {
                Mode::Shared
            } else {
                mode
            };
            if self.frame.grants.covers(fingerprint, mode) {
                continue;
            }
            let mut name: &[u8] = b"";
            entry.spec.visit_keys(args, |index, keys| {
                let is_it = shared.keyspace.fingerprint(own, args.get(index)) == fingerprint;
                if is_it && !keys.flags.contains(KeyFlags::NOT_KEY) {
                    name = args.get(index);
                }
            })?;
            match self.lock(fingerprint, mode, name)? {
                Called::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Called::Done)
    }

    fn mode(&self, access: Access) -> Mode {
        if self.frame.read_only {
            Mode::Shared
        } else {
            admission::mode(access)
        }
    }

    /// The whole keyspace, for a script without KEYS.
    fn take_all(&mut self) -> Called {
        if self.frame.in_exec {
            return Called::Restart;
        }
        match self.worker.keeper.admit_alone(self.frame.token) {
            Ok(grants) => {
                self.frame.grants = grants;
                Called::Done
            }
            Err(wait) => {
                self.frame.wait = Some(wait);
                Called::WaitForLock
            }
        }
    }

    /// One key: held already, or taken now, or waited for, or a reason to start again.
    #[inline]
    fn lock(&mut self, fingerprint: u64, mode: Mode, key: &[u8]) -> Result<Called, Error> {
        if self.frame.grants.covers(fingerprint, mode) {
            return Ok(Called::Done);
        }
        self.lock_undeclared(fingerprint, mode, key)
    }

    /// Whether a script may use a key, or what a pattern leads to, that it did not declare.
    fn check_undeclared(&self, name: &[u8]) -> Result<(), Error> {
        let settings = self.worker.shared.config.settings();
        if settings.undeclared_keys() == UndeclaredKeys::Allow {
            return Ok(());
        }
        let line = format!(
            "ERR Script attempted to access a key that it did not declare in KEYS: '{}'",
            name.escape_ascii()
        );
        Err(Error::Other(line.into()))
    }

    fn lock_undeclared(
        &mut self,
        fingerprint: u64,
        mode: Mode,
        key: &[u8],
    ) -> Result<Called, Error> {
        self.check_undeclared(key)?;
        self.frame.note_undeclared(fingerprint, key);
        Ok(self.extend(fingerprint, mode))
    }

    /// Takes one more lock, or says what has to be done for that.
    fn extend(&mut self, fingerprint: u64, mode: Mode) -> Called {
        let shared = self.worker.shared;
        if self.frame.in_exec {
            let held = self.frame.grants.locks.as_mut();
            let got = held.is_some_and(|held| shared.locks.try_extend(held, fingerprint, mode));
            return if got { Called::Done } else { Called::Restart };
        }
        // Whoever is queued for a lock holds the gate.
        self.worker.keeper.keep(&mut self.frame.grants);
        let Some(held) = self.frame.grants.locks.take() else {
            unreachable!("a script with KEYS holds locks while it runs");
        };
        let waiter = WaiterId {
            shard: self.worker.shard,
            token: self.frame.token,
        };
        match shared.locks.extend(held, fingerprint, mode, waiter) {
            Extend::Granted(held) => {
                self.frame.grants.locks = Some(held);
                Called::Done
            }
            Extend::Queued(ticket) => {
                let Some(hold) = self.frame.grants.gate.take() else {
                    unreachable!("kept above");
                };
                self.frame.wait = Some(Wait::Locks(hold, ticket));
                Called::WaitForLock
            }
            Extend::Refused(held) => {
                let mut all = held.footprint().clone();
                all.insert(fingerprint, mode);
                self.frame.extra = self.frame.extra.union(&all);
                self.frame.grants.locks = Some(held);
                Called::Restart
            }
        }
    }

    /// A script that reads may return anything that its keys hold: its client hears of all that it declared.
    #[cold]
    fn note_reads(&mut self, tracker: Tracker, entry: &Entry, args: &Args<'_>) {
        let outbox = &mut self.worker.outbox;
        for key in self.declared {
            tracking::remember(outbox, tracker, key);
        }
        tracking::remember_keys(outbox, tracker, entry.spec, args);
    }

    /// Runs a command of the engine as the scripts' own session.
    fn engine_command(&mut self, handler: EngineHandler, args: Args<'_>, reply: &mut ReplyTokens) {
        let Some(mut client) = self.worker.scripts.client.take() else {
            unreachable!("a script does not run inside a script");
        };
        client.db = self.frame.db;
        client.protocol = reply.protocol();
        let worker = &mut *self.worker;
        let mut ctx = EngineCtx {
            worker,
            client: &mut client,
            args,
            reply: &mut *reply,
            from_script: true,
        };
        let result = handler(&mut ctx);
        self.frame.db = client.db;
        self.worker.scripts.client = Some(client);
        if let Err(error) = result {
            reply.clear();
            reply.error(&error.line());
        }
    }
}
