//! EVAL and its like: a script as a transaction.
//!
//! The script's commands run inside the transaction that the worker's buffers hold. When the script ends well, they become
//! one write batch; when it ends in any other way, they are taken back. Until then the script keeps its locks.
//!
//! - A script with KEYS has them locked before it starts.
//! - A key that it did not declare is locked when it is first used: at once, or by waiting where the key is above all that
//!   the script holds, or else by starting again with all locks in order. Nobody can see a re-run: nothing was committed,
//!   clock and random seed are kept, and what the script logs waits for the commit.
//! - A script without KEYS takes the whole keyspace when it first touches it.

use super::Message;
use super::admission::{Grants, Wait};
use super::client::Client;
use super::dispatch::OUT_OF_MEMORY;
use super::registry::Entry;
use super::running::{RunningCallee, RunningScript};
use super::savepoints::Savepoints;
use super::script_host::ScriptHost;
use super::shared::Shared;
use super::tracking::{self, Tracker};
use super::work::{Kind, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::config::{self, Opt};
use crate::keyspace::TxnBuffers;
use crate::locks::{Footprint, Mode};
use crate::observe::{Observer, shortened};
use crate::resp::{Args, OwnedArgs, Reply, RespWriter};
use crate::script::{
    AbortReason, Callee, Dialect, LogLevel, NOT_APPLIED, PoolOptions, RedisVersion, Script,
    ScriptError, ScriptFlags, ScriptRun, Sha, Step, VmPool,
};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// After so many starts in vain a script gets the whole keyspace.
const RERUNS_MAX: u32 = 8;
/// Lines that one script may log; more are dropped.
const LOG_LINES_MAX: usize = 1000;

pub(super) const TOO_MANY_SCRIPTS: Error =
    Error::text("BUSY too many scripts are unfinished on this shard (script-pool-size)");

/// What `redis.REDIS_VERSION` and `redis.REDIS_VERSION_NUM` say.
const VERSION: RedisVersion = RedisVersion {
    text: super::REDIS_VERSION,
    number: 0x0007_0204,
};

/// How a script or a function was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    by: By,
    read_only: bool,
}

/// What the first argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Body,
    Sha,
    Function,
}

impl Invocation {
    pub fn is_read_only(self) -> bool {
        self.read_only
    }
}

const EVAL_FLAGS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::MAY_REPLICATE)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLE_KEYS);
const FCALL_FLAGS: Flags = EVAL_FLAGS.difference(Flags::MAY_REPLICATE);
const EVAL_RO_FLAGS: Flags = Flags::NOSCRIPT
    .union(Flags::READONLY)
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLE_KEYS);
const KEYS_READ: &[KeySpec] = &[KeySpec::counted(2, KeyFlags::READ)];
const KEYS_USED: &[KeySpec] = &[KeySpec::counted(2, KeyFlags::MODIFY)];
const DEPENDS: &str = "Depends on the script that is executed.";

const fn eval(
    name: &'static str,
    read_only: bool,
    by: By,
    since: &'static str,
    summary: &'static str,
) -> Command<Invocation> {
    let (flags, keys) = if read_only {
        (EVAL_RO_FLAGS, KEYS_READ)
    } else {
        (EVAL_FLAGS, KEYS_USED)
    };
    let spec = Spec::new(name, -3, Group::Scripting, flags).docs(since, DEPENDS, summary);
    Command::new(spec.keys(keys), Invocation { by, read_only })
}

const fn fcall(name: &'static str, read_only: bool, summary: &'static str) -> Command<Invocation> {
    let (flags, keys) = if read_only {
        (EVAL_RO_FLAGS, KEYS_READ)
    } else {
        (FCALL_FLAGS, KEYS_USED)
    };
    let depends = "Depends on the function that is executed.";
    let spec = Spec::new(name, -3, Group::Scripting, flags).docs("7.0.0", depends, summary);
    let by = By::Function;
    Command::new(spec.keys(keys), Invocation { by, read_only })
}

pub static COMMANDS: &[Command<Invocation>] = &[
    eval(
        "eval",
        false,
        By::Body,
        "2.6.0",
        "Executes a server-side Lua script.",
    ),
    eval(
        "evalsha",
        false,
        By::Sha,
        "2.6.0",
        "Executes a server-side Lua script by SHA1 digest.",
    ),
    eval(
        "eval_ro",
        true,
        By::Body,
        "7.0.0",
        "Executes a read-only server-side Lua script.",
    ),
    eval(
        "evalsha_ro",
        true,
        By::Sha,
        "7.0.0",
        "Executes a read-only server-side Lua script by SHA1 digest.",
    ),
    fcall("fcall", false, "Invoke a function"),
    fcall("fcall_ro", true, "Invoke a read-only function"),
];

/// What a shard needs to run scripts.
pub struct ScriptState {
    pub(super) pool: VmPool,
    /// The session that commands of scripts see. Away while one of them runs.
    pub(super) client: Option<Box<Client>>,
}

impl ScriptState {
    pub fn new(shared: &'static Shared, shard: u32) -> Self {
        let settings = shared.config.settings();
        let options = PoolOptions {
            version: VERSION,
            memory_limit: settings.size(Opt::ScriptMemoryLimit),
            vms_max: settings.size(Opt::ScriptPoolSize),
        };
        let client = Client::new(shared.clients.internal(shard), u64::MAX, true);
        Self {
            pool: VmPool::new(options, &shared.watchdog),
            client: Some(Box::new(client)),
        }
    }
}

/// A script's transaction without its Lua side.
pub struct Frame {
    pub callee: Callee,
    pub token: Token,
    pub client: u64,
    /// The logical database that the script is in.
    pub db: usize,
    pub read_only: bool,
    pub declares_keys: bool,
    /// Runs inside EXEC, where it cannot wait.
    pub in_exec: bool,
    /// The next run gets the whole keyspace.
    pub wants_all: bool,
    /// Locks for the next run besides those of KEYS.
    pub extra: Footprint,
    pub grants: Grants,
    pub wait: Option<Wait>,
    pub log: Vec<(LogLevel, Vec<u8>)>,
    pub savepoints: Savepoints,
    /// The last error of a command. It has been counted, also if the script passes it on.
    last_error: String,
    /// The client, where it keeps copies of what it reads.
    pub tracker: Option<Tracker>,
    first_db: usize,
    seed: u64,
    rng: fastrand::Rng,
    now_us: i64,
    started_us: u64,
    reruns: u32,
    running: Option<Arc<RunningScript>>,
    /// Since when, in this slice, Lua has not been able to suspend the script.
    pub(super) pinned_since_us: Option<u64>,
    /// What the others were told that it keeps from them.
    busy: Option<Busy>,
}

/// What a slow script keeps from others.
enum Busy {
    Keys(Vec<u64>),
    Everything,
}

impl Busy {
    fn keys(&self) -> Option<&[u64]> {
        match self {
            Busy::Keys(keys) => Some(keys),
            Busy::Everything => None,
        }
    }
}

/// A script that waits, or whose slice is over.
pub struct ScriptWork {
    entry: &'static Entry,
    args: OwnedArgs,
    frame: Frame,
    run: Option<ScriptRun>,
    buffers: TxnBuffers,
}

impl ScriptWork {
    /// Whether the script has begun, so that others may have seen it wait or be slow.
    pub fn has_started(&self) -> bool {
        self.run.is_some()
    }

    pub fn wait(&self) -> Option<&Wait> {
        self.frame.wait.as_ref()
    }
}

/// Where a script stands after it was let run.
enum Stand {
    Over,
    Waits,
    /// Its slice is over.
    Runnable,
}

/// A script's arguments, taken apart.
pub struct Parts<'a> {
    args: Args<'a>,
    keys: SmallVec<[&'a [u8]; 8]>,
    argv: SmallVec<[&'a [u8]; 8]>,
}

/// Whether a request of EVAL and its like names keys; also if it is not well formed.
pub fn declares_keys(args: &Args<'_>) -> bool {
    args.try_get(2).is_none_or(|count| count != b"0")
}

pub(super) fn parts<'a>(args: &Args<'a>) -> Result<Parts<'a>, Error> {
    let count = parse_i64(args.get(2)).ok_or(Error::NotInteger)?;
    if count > args.len() as i64 - 3 {
        return Err(Error::text(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let count =
        usize::try_from(count).map_err(|_| Error::text("ERR Number of keys can't be negative"))?;
    Ok(Parts {
        args: *args,
        keys: (3..3 + count).map(|index| args.get(index)).collect(),
        argv: (3 + count..args.len())
            .map(|index| args.get(index))
            .collect(),
    })
}

impl Worker {
    /// Runs a script, or parks it.
    pub(super) fn script(
        &mut self,
        entry: &'static Entry,
        invocation: Invocation,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mark = out.len();
        let token = self.works.reserve();
        let (parts, mut frame) = match self.frame(invocation, client, &args, token) {
            Ok(frame) => frame,
            Err(error) => {
                self.answer_error(client, out, mark, &error);
                return Flow::Done;
            }
        };
        let mut run = None;
        let stand = self.script_go(&mut frame, &mut run, client, entry, &parts, out);
        if matches!(stand, Stand::Over) {
            return Flow::Done;
        }
        let buffers = self.buffers.take();
        let args = OwnedArgs::from(args);
        let work = Box::new(ScriptWork {
            entry,
            args,
            frame,
            run,
            buffers,
        });
        if matches!(stand, Stand::Runnable) {
            self.runnable.push(token);
        }
        self.park(client, token, Kind::Script(work))
    }

    /// Goes on with a parked script.
    pub(super) fn script_resume(
        &mut self,
        token: Token,
        mut work: Box<ScriptWork>,
        client: &mut Client,
        mut since_us: u64,
        out: &mut Vec<u8>,
    ) -> Flow {
        if let Some(wait) = work.frame.wait.take() {
            let request = work.args.as_args();
            let footprint = || {
                let keys = parts(&request).map(|parts| parts.keys).unwrap_or_default();
                self.script_footprint(&work.frame, &keys)
            };
            match self.keeper.advance(wait, token, footprint) {
                Ok(grants) => {
                    self.note_waited(since_us);
                    work.frame.grants = grants;
                }
                Err(wait) => work.frame.wait = Some(wait),
            }
        }
        if work.frame.wait.is_none() {
            self.note_counts();
            self.buffers = std::mem::take(&mut work.buffers);
            let ScriptWork {
                entry,
                args,
                frame,
                run,
                ..
            } = &mut *work;
            let request = args.as_args();
            let Ok(parts) = parts(&request) else {
                unreachable!("it was taken apart before it was parked");
            };
            let stand = self.script_go(frame, run, client, entry, &parts, out);
            drop(parts);
            if matches!(stand, Stand::Over) {
                let took_us = clock::monotonic_us() - frame.started_us;
                let took = Duration::from_micros(took_us);
                self.note_duration(entry, client, &args.as_args(), took);
                return Flow::Done;
            }
            work.buffers = self.buffers.take();
            match stand {
                Stand::Runnable => self.runnable.push(token),
                Stand::Waits | Stand::Over => since_us = clock::monotonic_us(),
            }
        }
        self.put_back(token, client, since_us, Kind::Script(work))
    }

    /// Ends a parked script: what it did is taken back before its locks go.
    pub(super) fn script_cancel(&mut self, mut work: Box<ScriptWork>) {
        drop(work.run.take());
        self.note_counts();
        self.buffers = std::mem::take(&mut work.buffers);
        match work.frame.wait.take() {
            Some(Wait::Locks(hold, ticket)) => {
                let withdrawn = self.shared.locks.withdraw(ticket);
                self.rollback();
                self.shared.locks.release(withdrawn.held);
                self.shared.gate.release(hold);
            }
            Some(wait) => {
                self.keeper.cancel(wait);
                // It may have published before it waited for its first key.
                self.rollback();
            }
            None => self.rollback(),
        }
        self.end_frame(&mut work.frame);
    }

    /// Takes a request apart, and readies the transaction of what it calls.
    pub(super) fn frame<'a>(
        &mut self,
        invocation: Invocation,
        client: &Client,
        args: &Args<'a>,
        token: Token,
    ) -> Result<(Parts<'a>, Frame), Error> {
        let (parts, callee) = if invocation.by == By::Function {
            let found = self.shared.libraries.callee(args.get(1));
            let callee = found.ok_or(Error::text("ERR Function not found"))?;
            let bad_number = |error| match error {
                Error::NotInteger => Error::text("ERR Bad number of keys provided"),
                other => other,
            };
            (parts(args).map_err(bad_number)?, callee)
        } else {
            let parts = parts(args)?;
            (parts, self.find_script(invocation.by, args.get(1))?)
        };
        if let Some(flags) = callee.flags() {
            if self.over_memory
                && !flags.intersects(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES)
            {
                return Err(OUT_OF_MEMORY);
            }
            if invocation.read_only && !flags.contains(ScriptFlags::NO_WRITES) {
                return Err(Error::text(
                    "ERR Can not execute a script with write flag using *_ro command.",
                ));
            }
        }
        let declares_keys = !parts.keys.is_empty();
        let seed = self.rng.u64(..);
        let frame = Frame {
            read_only: invocation.read_only || callee.has(ScriptFlags::NO_WRITES),
            callee,
            token,
            client: client.id(),
            db: client.db,
            declares_keys,
            in_exec: false,
            wants_all: false,
            extra: Footprint::default(),
            grants: Grants::default(),
            wait: None,
            log: Vec::new(),
            savepoints: Savepoints::default(),
            last_error: String::new(),
            tracker: tracking::reader(client),
            first_db: client.db,
            seed,
            rng: fastrand::Rng::with_seed(seed),
            now_us: if self.in_exec {
                self.now_us
            } else {
                clock::unix_us()
            },
            started_us: clock::monotonic_us(),
            reruns: 0,
            running: None,
            pinned_since_us: None,
            busy: None,
        };
        Ok((parts, frame))
    }

    /// The script of EVAL or EVALSHA.
    fn find_script(&self, by: By, named: &[u8]) -> Result<Callee, Error> {
        let scripts = &self.shared.scripts;
        let script = if by == By::Sha {
            let found = Sha::from_hex(named).and_then(|sha| scripts.get(&sha));
            found.ok_or(Error::text("NOSCRIPT No matching script. Please use EVAL."))?
        } else {
            let script = scripts.for_eval(named);
            script.map_err(|line| Error::Other(line.into()))?
        };
        Ok(script.into())
    }

    /// Lets a script run until it ends, waits or has used up its slice. The transaction is in the worker's buffers.
    fn script_go(
        &mut self,
        frame: &mut Frame,
        run: &mut Option<ScriptRun>,
        client: &mut Client,
        entry: &'static Entry,
        parts: &Parts<'_>,
        out: &mut Vec<u8>,
    ) -> Stand {
        let mark = out.len();
        loop {
            if run.is_none() && !self.admit_script(frame, parts) {
                return Stand::Waits;
            }
            let step = self.script_step(frame, run, client, parts, out);
            let error = match step {
                Ok(Step::Done) => match self.commit() {
                    Ok(()) => {
                        self.note_error_reply(frame, &out[mark..]);
                        self.serve_waiters(&mut frame.grants);
                        self.keeper.release(std::mem::take(&mut frame.grants));
                        Self::flush_log(frame);
                        *run = None;
                        self.end_frame(frame);
                        return Stand::Over;
                    }
                    Err(error) => error,
                },
                Ok(Step::RolledBack) => {
                    self.script_undo(frame, run);
                    Self::flush_log(frame);
                    self.note_error_reply(frame, &out[mark..]);
                    return Stand::Over;
                }
                Ok(Step::WaitForLock) => {
                    debug_assert!(frame.wait.is_some(), "the host said what for");
                    return Stand::Waits;
                }
                Ok(Step::Preempted) => {
                    self.keeper.keep(&mut frame.grants);
                    match self.overstayed(frame, parts.args) {
                        None => return Stand::Runnable,
                        Some(reason) => abort_error(&reason, run),
                    }
                }
                Ok(Step::Restart) => {
                    self.take_back(frame, run);
                    frame.restart();
                    self.stats().script_reruns.add(1);
                    continue;
                }
                Ok(Step::Failed(error)) => script_error(&error),
                Ok(Step::Aborted(reason)) => abort_error(&reason, run),
                Err(error) => error,
            };
            debug_assert!(entry.spec.flags.contains(Flags::NOSCRIPT));
            self.script_undo(frame, run);
            self.answer_script_error(frame, client, out, mark, &error);
            return Stand::Over;
        }
    }

    /// Ends a script of which nothing is to remain.
    fn script_undo(&mut self, frame: &mut Frame, run: &mut Option<ScriptRun>) {
        self.take_back(frame, run);
        self.end_frame(frame);
        self.stats().scripts_rolled_back.add(1);
    }

    /// Takes back what a run did, which is over, and lets its locks go.
    fn take_back(&mut self, frame: &mut Frame, run: &mut Option<ScriptRun>) {
        *run = None;
        self.rollback();
        self.keeper.release(std::mem::take(&mut frame.grants));
        // Where Lua could not suspend the script, it has queued for a lock in vain.
        if let Some(wait) = frame.wait.take() {
            self.keeper.cancel(wait);
        }
    }

    /// Takes the locks that a run begins with. `false`: it has to wait.
    fn admit_script(&mut self, frame: &mut Frame, parts: &Parts<'_>) -> bool {
        if frame.grants.gate.is_some() || frame.grants.locks.is_some() {
            return true;
        }
        let admitted = if frame.wants_all {
            self.keeper.admit_alone(frame.token)
        } else if frame.declares_keys {
            let footprint = self.script_footprint(frame, &parts.keys);
            self.keeper.admit(footprint, frame.token)
        } else {
            return true;
        };
        match admitted {
            Ok(grants) => {
                frame.grants = grants;
                true
            }
            Err(wait) => {
                frame.wait = Some(wait);
                false
            }
        }
    }

    /// What a run locks before it starts.
    fn script_footprint(&self, frame: &Frame, keys: &[&[u8]]) -> Footprint {
        let keyspace = self.shared.keyspace;
        let db = keyspace.physical(frame.first_db);
        let mode = if frame.read_only {
            Mode::Shared
        } else {
            Mode::Exclusive
        };
        let declared = keys.iter().map(|key| (keyspace.fingerprint(db, key), mode));
        let declared: Footprint = declared.collect();
        if frame.extra.is_empty() {
            declared
        } else {
            declared.union(&frame.extra)
        }
    }

    /// Starts a run where there is none, and lets it go on for a slice.
    pub(super) fn script_step(
        &mut self,
        frame: &mut Frame,
        run: &mut Option<ScriptRun>,
        client: &Client,
        parts: &Parts<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Error> {
        let run = if let Some(run) = run {
            run
        } else {
            let dialect = frame.callee.dialect().unwrap_or_else(|| self.dialect());
            let Some(vm) = self.scripts.pool.take(dialect) else {
                return Err(TOO_MANY_SCRIPTS);
            };
            let Parts { keys, argv, .. } = parts;
            let started = ScriptRun::start(vm, frame.callee.clone(), keys, argv, frame.seed);
            run.insert(started.map_err(|error| script_error(&error))?)
        };
        let now_us = self.set_clock(frame.now_us);
        std::mem::swap(&mut self.rng, &mut frame.rng);
        frame.pinned_since_us = None;
        let mut reply = RespWriter::new(out, client.protocol);
        let step = run.resume(
            &mut ScriptHost {
                worker: self,
                frame,
                request: parts.args,
                declared: &parts.keys,
            },
            &mut reply,
        );
        std::mem::swap(&mut self.rng, &mut frame.rng);
        self.set_clock(now_us);
        Ok(step)
    }

    /// After a slice: whether the script has to end, and why.
    pub(super) fn overstayed(
        &mut self,
        frame: &mut Frame,
        request: Args<'_>,
    ) -> Option<AbortReason> {
        let settings = self.shared.config.settings();
        let now_us = clock::monotonic_us();
        let ran = Duration::from_micros(now_us - frame.started_us);
        let running = frame.running.get_or_insert_with(|| {
            let callee = RunningCallee {
                name: frame.callee.name().into_owned(),
                is_function: frame.callee.is_function(),
                command: shortened(request.iter()),
            };
            let running = &self.shared.running;
            running.enter(self.shard, frame.client, callee, frame.started_us)
        });
        if running.killed.load(Ordering::Acquire) {
            self.stats().scripts_killed.add(1);
            return Some(AbortReason::Killed);
        }
        let of_server = settings.timeout_ms(Opt::ScriptTimeout);
        let of_script = frame.callee.limits().timeout();
        let limits = [
            (of_script, "the timeout of its first line"),
            (of_server, "script-timeout"),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(limit, name)| Some((limit?, name)));
        if let Some((limit, name)) = limits.min()
            && ran >= limit
        {
            self.stats().scripts_killed.add(1);
            let line = format!(
                "ERR Script killed: it ran for longer than {name} ({} ms). {NOT_APPLIED}",
                limit.as_millis()
            );
            return Some(AbortReason::Host(line));
        }
        if let Some(limit) = settings.timeout_ms(Opt::BusyReplyThreshold)
            && ran >= limit
            && frame.busy.is_none()
        {
            let busy = match frame.grants.locks.as_ref() {
                _ if frame.grants.is_alone() => Some(Busy::Everything),
                Some(held) => Some(Busy::Keys(
                    held.footprint().iter().map(|(f, _)| f).collect(),
                )),
                None => None,
            };
            if let Some(busy) = busy {
                let is_function = frame.callee.is_function();
                self.shared.running.mark_busy(busy.keys(), is_function);
                frame.busy = Some(busy);
            }
            let name = &running.callee.name;
            self.shared.tell_all(|| Message::Busy);
            tracing::warn!(%name, client = frame.client, "a script is slow: clients that wait for its keys get BUSY");
        }
        None
    }

    /// Forgets what the others know of a script that has ended.
    pub(super) fn end_frame(&mut self, frame: &mut Frame) {
        self.stats().scripts_run.add(1);
        if let Some(busy) = frame.busy.take() {
            let is_function = frame.callee.is_function();
            self.shared.running.unmark_busy(busy.keys(), is_function);
        }
        if let Some(running) = frame.running.take() {
            self.shared.running.leave(running.id);
        }
    }

    /// Answers with the error of a script.
    pub(super) fn answer_script_error(
        &mut self,
        frame: &Frame,
        client: &Client,
        out: &mut Vec<u8>,
        mark: usize,
        error: &Error,
    ) {
        out.truncate(mark);
        RespWriter::new(out, client.protocol).error(&error.line());
        self.note_error_reply(frame, &out[mark..]);
    }

    /// Counts the reply of a script if it is an error. One that a command gave was counted then.
    pub(super) fn note_error_reply(&mut self, frame: &Frame, reply: &[u8]) {
        let Some(line) = reply.strip_prefix(b"-") else {
            return;
        };
        self.failed = true;
        if frame.last_error.is_empty() || !line.starts_with(frame.last_error.as_bytes()) {
            self.shared.observer.errors.count(line);
        }
    }

    pub(super) fn flush_log(frame: &mut Frame) {
        for (level, message) in frame.log.drain(..) {
            write_log(level, &message);
        }
    }

    pub(super) fn check_script(&self, script: &Script, dialect: Dialect) -> Result<(), Error> {
        let vm = self.scripts.pool.take(dialect);
        let mut vm = vm.ok_or(TOO_MANY_SCRIPTS)?;
        vm.check(script).map_err(|error| script_error(&error))
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.shared.config.settings().dialect() {
            config::Dialect::Aikv => Dialect::Aikv,
            config::Dialect::Redis => Dialect::Redis,
        }
    }
}

impl Frame {
    /// Keeps a line until the commit.
    pub fn log(&mut self, level: LogLevel, message: &[u8]) {
        if self.log.len() < LOG_LINES_MAX {
            self.log.push((level, message.to_vec()));
        }
    }

    /// Counts the error of a command.
    #[cold]
    pub fn note_error(&mut self, observer: &Observer, line: &str) {
        observer.errors.count(line.as_bytes());
        line.clone_into(&mut self.last_error);
    }

    /// Readies the next run: as if the first had never been.
    fn restart(&mut self) {
        self.reruns += 1;
        self.wants_all |= self.reruns > RERUNS_MAX;
        self.db = self.first_db;
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.log.clear();
        self.savepoints = Savepoints::default();
    }
}

/// What `redis.log` was given, as a line of the server's log.
pub(super) fn write_log(level: LogLevel, message: &[u8]) {
    let message = String::from_utf8_lossy(message);
    match level {
        LogLevel::Debug | LogLevel::Verbose => {
            tracing::debug!(target: "script", "{message}");
        }
        LogLevel::Notice => tracing::info!(target: "script", "{message}"),
        LogLevel::Warning => tracing::warn!(target: "script", "{message}"),
    }
}

pub fn script_error(error: &ScriptError) -> Error {
    Error::Other(String::from_utf8_lossy(&error.message).into_owned().into())
}

/// What the client of a script reads that was ended: why, that nothing remains, and where the script was.
pub(super) fn abort_error(reason: &AbortReason, run: &mut Option<ScriptRun>) -> Error {
    let place = run.as_mut().map(ScriptRun::place).unwrap_or_default();
    match reason {
        AbortReason::Killed => {
            let line = format!("ERR Script killed by user with SCRIPT KILL. {NOT_APPLIED}{place}");
            Error::Other(line.into())
        }
        AbortReason::OutOfInstructions(limit) => {
            let line = format!(
                "ERR Script killed: it has used up its max-instructions ({limit}). {NOT_APPLIED}{place}"
            );
            Error::Other(line.into())
        }
        AbortReason::Panicked => super::commit::PANICKED,
        AbortReason::Host(line) => Error::Other(format!("{line}{place}").into()),
    }
}
