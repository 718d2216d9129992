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

use super::acl::Identity;
use super::admission::{Grants, Wait};
use super::client::Client;
use super::debugging::Session;
use super::profile::{Profile, since_ns};
use super::registry::Entry;
use super::running::RunningScript;
use super::savepoints::Savepoints;
use super::script_end::{Busy, abort_error, script_error};
use super::script_flags::check_flags;
use super::script_host::ScriptHost;
use super::shared::Shared;
use super::tracking::{self, Tracker};
use super::unfinished::{NAMES_MAX, State, Status, Unfinished, Whole};
use super::work::{Kind, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::config::{self, Opt, Settings};
use crate::keyspace::{Key, TxnBuffers};
use crate::locks::{Footprint, Mode};
use crate::observe::Observer;
use crate::resp::{Args, OwnedArgs, RespWriter};
use crate::script::{
    Callee, Dialect, LogLevel, PoolOptions, RedisVersion, Script, ScriptError, ScriptFlags,
    ScriptRun, Sha, Step, VmPool, Watchdog,
};
use smallvec::SmallVec;
use std::sync::Arc;
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
    pub(super) by: By,
    read_only: bool,
}

/// What the first argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
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
const NOTE: &str = "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const NOTE_RO: &str =
    "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";
const DEPENDS: &str = "Depends on the script that is executed.";

const fn eval(
    name: &'static str,
    read_only: bool,
    by: By,
    since: &'static str,
    summary: &'static str,
) -> Command<Invocation> {
    let (flags, keys) = match (read_only, by) {
        (true, _) => (EVAL_RO_FLAGS, KEYS_READ),
        (false, By::Function) => (FCALL_FLAGS, KEYS_USED),
        (false, By::Body | By::Sha) => (EVAL_FLAGS, KEYS_USED),
    };
    let (syntax, complexity) = match by {
        By::Body => ("script numkeys [key ...] [arg ...]", DEPENDS),
        By::Sha => ("sha1 numkeys [key ...] [arg ...]", DEPENDS),
        By::Function => (
            "function numkeys [key ...] [arg ...]",
            "Depends on the function that is executed.",
        ),
    };
    let spec = Spec::new(name, -3, Group::Scripting, flags);
    let spec = spec.syntax(syntax).docs(since, complexity, summary);
    let notes: &[&str] = match (by, read_only) {
        (By::Sha, _) => &[],
        (_, true) => &[NOTE_RO],
        (_, false) => &[NOTE],
    };
    let spec = spec.keys(keys).key_notes(notes);
    Command::new(spec, Invocation { by, read_only })
}

const SUMMARY: &str = "Execute a Lua script server side";
const SUMMARY_RO: &str = "Execute a read-only Lua script server side";

pub static COMMANDS: &[Command<Invocation>] = &[
    eval("eval", false, By::Body, "2.6.0", SUMMARY),
    eval("evalsha", false, By::Sha, "2.6.0", SUMMARY),
    eval("eval_ro", true, By::Body, "7.0.0", SUMMARY_RO),
    eval("evalsha_ro", true, By::Sha, "7.0.0", SUMMARY_RO),
    eval("fcall", false, By::Function, "7.0.0", "Invoke a function"),
    eval(
        "fcall_ro",
        true,
        By::Function,
        "7.0.0",
        "Invoke a read-only function",
    ),
];

/// What a shard needs to run scripts.
pub struct ScriptState {
    pub(super) pool: VmPool,
    /// The session that commands of scripts see. Away while one of them runs.
    pub(super) client: Option<Box<Client>>,
}

impl ScriptState {
    pub fn new(shared: &'static Shared, shard: u32) -> Self {
        let client = Client::new(
            shared.clients.internal(shard, shared.acl.stranger()),
            u64::MAX,
            true,
        );
        Self {
            pool: vm_pool(shared.config.settings(), &shared.watchdog),
            client: Some(Box::new(client)),
        }
    }
}

/// VMs as the options want them.
pub(super) fn vm_pool(settings: &Settings, watchdog: &Watchdog) -> VmPool {
    let options = PoolOptions {
        version: VERSION,
        memory_limit: settings.size(Opt::ScriptMemoryLimit),
        source_limit: settings.size(Opt::ScriptSourceLimit),
        vms_max: settings.size(Opt::ScriptPoolSize),
    };
    VmPool::new(options, watchdog)
}

/// The dialect of scripts that choose none.
pub(super) fn dialect(settings: &Settings) -> Dialect {
    match settings.dialect() {
        config::Dialect::Aikv => Dialect::Aikv,
        config::Dialect::Redis => Dialect::Redis,
    }
}

/// A script's transaction without its Lua side.
pub struct Frame {
    pub callee: Callee,
    pub token: Token,
    pub client: u64,
    /// Who the client was when the script began, unless it could do everything.
    pub identity: Option<Identity>,
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
    /// When it began, memory was short.
    pub oom: bool,
    /// It has called a command that writes.
    pub has_written: bool,
    pub grants: Grants,
    pub wait: Option<Wait>,
    pub log: Vec<(LogLevel, Vec<u8>)>,
    pub savepoints: Savepoints,
    pub profile: Profile,
    /// What SCRIPT PS shows, once it has waited or was suspended.
    pub unfinished: Option<Arc<Unfinished>>,
    /// The last error of a command. It has been counted, also if the script passes it on.
    pub(super) last_error: String,
    /// The names of keys that it did not declare.
    undeclared: Vec<(u64, Key)>,
    /// The client, where it keeps copies of what it reads.
    pub tracker: Option<Tracker>,
    first_db: usize,
    seed: u64,
    rng: fastrand::Rng,
    now_us: i64,
    pub(super) started_us: u64,
    reruns: u32,
    pub(super) running: Option<Arc<RunningScript>>,
    /// Since when, in this slice, Lua has not been able to suspend the script.
    pub(super) pinned_since_us: Option<u64>,
    /// What the others were told that it keeps from them.
    pub(super) busy: Option<Busy>,
    /// The session in which its client debugs it.
    pub(super) session: Option<Box<Session>>,
}

/// A script that waits, or whose slice is over.
pub struct ScriptWork {
    pub(super) entry: &'static Entry,
    pub(super) args: OwnedArgs,
    pub(super) frame: Frame,
    pub(super) run: Option<ScriptRun>,
    pub(super) buffers: TxnBuffers,
    /// When its wait ends by itself, on the monotonic clock.
    pub(super) due_us: Option<u64>,
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
    /// The user of the debugger has the word.
    Stopped,
}

/// A script's arguments, taken apart.
pub struct Parts<'a> {
    args: Args<'a>,
    pub(super) keys: SmallVec<[&'a [u8]; 8]>,
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
        let session = match invocation.by {
            By::Function => Ok(None),
            by => Session::begin(client, args.get(1), by == By::Sha),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                self.answer_error(client, out, mark, &error);
                return Flow::Done;
            }
        };
        let (parts, mut frame) = match self.frame(invocation, client, &args, token) {
            Ok(frame) => frame,
            Err(error) => {
                self.answer_error(client, out, mark, &error);
                return Self::end_session(client, session, out, mark);
            }
        };
        self.debug_frame(&mut frame, session);
        let mut run = None;
        let stand = self.script_go(&mut frame, &mut run, client, entry, &parts, out);
        if matches!(stand, Stand::Over) {
            self.ended = Some(frame.callee);
            return Self::end_session(client, frame.session, out, mark);
        }
        self.show_unfinished(&mut frame, &parts.keys);
        let buffers = self.buffers.take();
        let args = OwnedArgs::from(args);
        let work = Box::new(ScriptWork {
            entry,
            due_us: self.wait_due_us(&frame),
            args,
            frame,
            run,
            buffers,
        });
        match stand {
            Stand::Stopped => return self.attend(client, token, work),
            Stand::Runnable => self.runnable.push(token),
            Stand::Waits | Stand::Over => {}
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
                    let waited_us = self.note_waited(since_us);
                    work.frame.profile.add_wait(waited_us);
                    self.hand_grants(&mut work.frame, grants);
                }
                Err(wait) => work.frame.wait = Some(wait),
            }
        }
        if work.frame.wait.is_some()
            && let Some(reason) = self.waited_too_long(&work.frame)
        {
            let waited_us = self.note_waited(since_us);
            work.frame.profile.add_wait(waited_us);
            return self.script_end_wait(work, client, &reason, out);
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
            let mark = out.len();
            let stand = self.script_go(frame, run, client, entry, &parts, out);
            if !matches!(stand, Stand::Over) {
                self.show_unfinished(frame, &parts.keys);
            }
            drop(parts);
            if matches!(stand, Stand::Over) {
                self.ended = Some(frame.callee.clone());
                let took_us = clock::monotonic_us() - frame.started_us;
                let took = Duration::from_micros(took_us);
                self.note_duration(entry, client, &args.as_args(), took);
                return Self::end_session(client, frame.session.take(), out, mark);
            }
            work.buffers = self.buffers.take();
            match stand {
                Stand::Stopped => return self.attend(client, token, work),
                Stand::Runnable => self.runnable.push(token),
                Stand::Waits | Stand::Over => since_us = clock::monotonic_us(),
            }
        }
        work.due_us = self.wait_due_us(&work.frame);
        self.put_back(token, client, since_us, Kind::Script(work))
    }

    /// Takes a request apart, and readies the transaction of what it calls.
    pub(super) fn frame<'a>(
        &mut self,
        invocation: Invocation,
        client: &Client,
        args: &Args<'a>,
        token: Token,
    ) -> Result<(Parts<'a>, Frame), Error> {
        let now_us = if self.in_exec {
            self.now_us
        } else {
            clock::unix_us()
        };
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
            (parts, self.find_script(invocation.by, args.get(1), now_us)?)
        };
        let oom = self.is_refusing_growth();
        check_flags(invocation, &callee, oom)?;
        let declares_keys = !parts.keys.is_empty();
        let seed = self.rng.u64(..);
        let stats = self.run_stats(&callee);
        stats.used_at_us.set(now_us as u64);
        let profile = Profile::new(stats, seed);
        let frame = Frame {
            oom,
            has_written: false,
            read_only: invocation.read_only || callee.has(ScriptFlags::NO_WRITES),
            callee,
            token,
            client: client.id(),
            identity: client.identity.limited(),
            db: client.db,
            declares_keys,
            in_exec: false,
            wants_all: false,
            extra: Footprint::default(),
            grants: Grants::default(),
            wait: None,
            log: Vec::new(),
            savepoints: Savepoints::default(),
            profile,
            unfinished: None,
            last_error: String::new(),
            undeclared: Vec::new(),
            tracker: tracking::reader(client),
            first_db: client.db,
            seed,
            rng: fastrand::Rng::with_seed(seed),
            now_us,
            started_us: clock::monotonic_us_at(self.clock),
            reruns: 0,
            running: None,
            pinned_since_us: None,
            busy: None,
            session: None,
        };
        Ok((parts, frame))
    }

    /// Whether there is no memory for what needs more: in EXEC, whether there was none when it began.
    fn is_refusing_growth(&mut self) -> bool {
        if self.in_exec {
            self.exec_oom
        } else {
            self.is_out_of_memory()
        }
    }

    /// The script of EVAL or EVALSHA.
    pub(super) fn find_script(&self, by: By, named: &[u8], now_us: i64) -> Result<Callee, Error> {
        let scripts = &self.shared.scripts;
        let script = if by == By::Sha {
            let found = Sha::from_hex(named).and_then(|sha| scripts.get(&sha));
            found.ok_or(Error::text("NOSCRIPT No matching script. Please use EVAL."))?
        } else {
            let limit = self.shared.config.settings().size(Opt::ScriptSourceLimit);
            if named.len() > limit {
                // It does not get as far as to the cache.
                let error = ScriptError::too_long("script (new function)", limit);
                return Err(script_error(&error));
            }
            let script = scripts.for_eval(named, now_us);
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
                Ok(Step::Done) => match self.script_commit(frame) {
                    Ok(()) => {
                        self.note_error_reply(frame, &out[mark..]);
                        self.serve_waiters(&mut frame.grants);
                        self.script_let_go(frame);
                        Self::flush_log(frame);
                        frame.end_run(run);
                        self.end_frame(frame);
                        return Stand::Over;
                    }
                    Err(error) => error,
                },
                Ok(Step::RolledBack) => {
                    self.note_rolled_back(frame);
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
                Ok(Step::Stopped) => {
                    self.keeper.keep(&mut frame.grants);
                    self.stop_session(frame, run, parts.args, out);
                    return Stand::Stopped;
                }
                Ok(Step::Restart) => {
                    self.take_back(frame, run);
                    frame.restart();
                    self.note_rerun(frame);
                    continue;
                }
                Ok(Step::Failed(error)) => script_error(&error),
                Ok(Step::Aborted(reason)) => self.aborted(&reason, run),
                Err(error) => error,
            };
            debug_assert!(entry.spec.flags.contains(Flags::NOSCRIPT));
            self.script_undo(frame, run);
            self.answer_script_error(frame, client, out, mark, &error);
            return Stand::Over;
        }
    }

    /// Commits what a script has done.
    fn script_commit(&mut self, frame: &Frame) -> Result<(), Error> {
        if let Some(unfinished) = &frame.unfinished {
            unfinished.set_state(State::Committing);
        }
        let began = frame.profile.begin();
        let committed = self.conclude(frame);
        if began.is_some() {
            let stats = self.run_stats(&frame.callee);
            stats.commit.record(since_ns(began), frame.profile.weight);
        }
        committed
    }

    /// Shows a script to others that waits from now on, or whose slice is over.
    pub(super) fn show_unfinished(&self, frame: &mut Frame, keys: &[&[u8]]) {
        let db = self.shared.keyspace.physical(frame.first_db);
        let status = self.status(frame, keys);
        if let Some(unfinished) = &frame.unfinished {
            unfinished.set_status(status);
            return;
        }
        let (callee, shard) = (frame.callee.clone(), self.shard);
        let unfinished = Unfinished::new(callee, frame.client, shard, frame.started_us, status);
        for key in keys {
            let fingerprint = self.shared.keyspace.fingerprint(db, key);
            unfinished.add_name(fingerprint, key);
        }
        for (fingerprint, key) in &frame.undeclared {
            unfinished.add_name(*fingerprint, key);
        }
        let unfinished = Arc::new(unfinished);
        self.shared.unfinished.enter(unfinished.clone());
        self.stats().running_scripts.raise();
        frame.unfinished = Some(unfinished);
    }

    fn status(&self, frame: &Frame, keys: &[&[u8]]) -> Status {
        let held = frame.grants.locks.as_ref();
        let mut status = Status {
            state: State::Suspended,
            whole: Whole::No,
            held: held.map_or_else(Footprint::default, |held| held.footprint().clone()),
            queued: None,
            wanted: Footprint::default(),
        };
        if frame.grants.is_alone() {
            status.whole = Whole::Held;
        }
        if let Some(wait) = &frame.wait {
            status.state = State::Waiting;
            match wait {
                Wait::Gate(_) => status.wanted = self.script_footprint(frame, keys),
                Wait::Alone(_) => status.whole = Whole::WaitedFor,
                Wait::Locks(_, ticket) => status.queued = Some(ticket.queued()),
            }
        }
        status
    }

    /// Takes the locks that a run begins with. `false`: it has to wait.
    fn admit_script(&mut self, frame: &mut Frame, parts: &Parts<'_>) -> bool {
        if frame.grants.gate.is_some() || frame.grants.locks.is_some() {
            return true;
        }
        let admitted = if frame.wants_all {
            self.keeper.admit_alone(frame.token)
        } else if frame.declares_keys {
            let footprint = || self.script_footprint(frame, &parts.keys);
            self.keeper.admit(footprint, frame.token)
        } else {
            return true;
        };
        match admitted {
            Ok(grants) => {
                self.hand_grants(frame, grants);
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
            let run = run.insert(started.map_err(|error| script_error(&error))?);
            if let Some(session) = &mut frame.session {
                session.enter(run);
            }
            run
        };
        if let Some(reason) = frame.session.as_mut().and_then(|session| session.ends()) {
            return Ok(Step::Aborted(reason));
        }
        let now_us = self.set_clock(frame.now_us);
        std::mem::swap(&mut self.rng, &mut frame.rng);
        frame.pinned_since_us = None;
        let mut reply = RespWriter::new(out, client.protocol);
        if let Some(unfinished) = &frame.unfinished {
            unfinished.set_state(State::Running);
        }
        let began = frame.profile.begin();
        let step = run.resume(
            &mut ScriptHost {
                worker: self,
                frame,
                request: parts.args,
                declared: &parts.keys,
            },
            &mut reply,
        );
        frame.profile.add_run(began);
        frame.profile.memory_peak = frame.profile.memory_peak.max(run.memory_peak());
        std::mem::swap(&mut self.rng, &mut frame.rng);
        self.set_clock(now_us);
        Ok(step)
    }

    pub(super) fn check_script(&self, script: &Script, dialect: Dialect) -> Result<(), Error> {
        let vm = self.scripts.pool.take(dialect);
        let mut vm = vm.ok_or(TOO_MANY_SCRIPTS)?;
        vm.check(script).map_err(|error| script_error(&error))
    }

    pub(super) fn dialect(&self) -> Dialect {
        dialect(self.shared.config.settings())
    }
}

impl Frame {
    /// Keeps a line until the commit.
    pub fn log(&mut self, level: LogLevel, message: &[u8]) {
        if self.log.len() < LOG_LINES_MAX {
            self.log.push((level, message.to_vec()));
        }
    }

    /// Keeps the name of a key that the script did not declare.
    pub fn note_undeclared(&mut self, fingerprint: u64, key: &[u8]) {
        if let Some(unfinished) = &self.unfinished {
            unfinished.add_name(fingerprint, key);
        } else if self.undeclared.len() < NAMES_MAX {
            self.undeclared.push((fingerprint, Key::from_slice(key)));
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
        if let Some(session) = &mut self.session {
            session.restart();
        }
        self.reruns += 1;
        self.wants_all |= self.reruns > RERUNS_MAX;
        self.db = self.first_db;
        self.has_written = false;
        self.rng = fastrand::Rng::with_seed(self.seed);
        self.log.clear();
        self.savepoints = Savepoints::default();
    }
}
