//! What becomes of a script whose slice is over, and of one that has ended.

use super::Message;
use super::admission::Grants;
use super::client::Client;
use super::running::{RunningCallee, RunningScript};
use super::script_run::Frame;
use super::worker::Worker;
use crate::base::clock;
use crate::command::Error;
use crate::config::Opt;
use crate::observe::shortened;
use crate::resp::{Args, Reply, RespWriter};
use crate::script::{AbortReason, LogLevel, NOT_APPLIED, ScriptError, ScriptRun};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a slow script keeps from others.
pub enum Busy {
    Keys(Vec<u64>),
    Everything,
}

impl Busy {
    /// What a script holds.
    pub fn of(grants: &Grants) -> Option<Self> {
        if grants.is_alone() {
            return Some(Busy::Everything);
        }
        let held = grants.locks.as_ref()?.footprint();
        Some(Busy::Keys(held.iter().map(|(f, _)| f).collect()))
    }

    pub fn keys(&self) -> Option<&[u64]> {
        match self {
            Busy::Keys(keys) => Some(keys),
            Busy::Everything => None,
        }
    }
}

impl Worker {
    /// Gives up what a script holds.
    pub(super) fn script_let_go(&mut self, frame: &mut Frame) {
        frame.profile.had_gate |= frame.grants.is_alone();
        self.keeper.release(std::mem::take(&mut frame.grants));
    }

    /// Counts a script that was ended while it ran; what its client reads.
    pub(super) fn aborted(&self, reason: &AbortReason, run: &mut Option<ScriptRun>) -> Error {
        if let AbortReason::OutOfInstructions(_) = reason {
            self.stats().scripts_killed.add(1);
            self.stats().scripts_out_of_instructions.add(1);
        }
        abort_error(reason, run)
    }

    pub(super) fn note_rolled_back(&self, frame: &Frame) {
        self.run_stats(&frame.callee).rollbacks.add(1);
        self.stats().script_rollbacks.add(1);
    }

    pub(super) fn note_rerun(&self, frame: &Frame) {
        self.run_stats(&frame.callee).reruns.add(1);
        self.stats().script_reruns.add(1);
    }

    /// Ends a script of which nothing is to remain.
    pub(super) fn script_undo(&mut self, frame: &mut Frame, run: &mut Option<ScriptRun>) {
        self.take_back(frame, run);
        self.end_frame(frame);
        self.stats().scripts_rolled_back.add(1);
    }

    /// Takes back what a run did, which is over, and lets its locks go.
    pub(super) fn take_back(&mut self, frame: &mut Frame, run: &mut Option<ScriptRun>) {
        frame.end_run(run);
        self.rollback();
        self.script_let_go(frame);
        // Where Lua could not suspend the script, it has queued for a lock in vain.
        if let Some(wait) = frame.wait.take() {
            self.keeper.cancel(wait);
        }
    }

    /// After a slice: whether the script has to end, and why.
    pub(super) fn overstayed(
        &mut self,
        frame: &mut Frame,
        request: Args<'_>,
    ) -> Option<AbortReason> {
        let settings = self.shared.config.settings();
        let ran = Duration::from_micros(clock::monotonic_us() - frame.started_us);
        let running = self.enter_running(frame, request);
        if running.killed.load(Ordering::Acquire) {
            self.stats().scripts_killed.add(1);
            return Some(AbortReason::Killed);
        }
        if let Some((limit, name)) = self.time_limit(frame)
            && ran >= limit
        {
            return Some(self.timed_out("it ran", limit, name));
        }
        // A script that holds nothing keeps nobody waiting.
        if let Some(limit) = settings.timeout_ms(Opt::BusyReplyThreshold)
            && ran >= limit
            && frame.busy.is_none()
            && let Some(busy) = Busy::of(&frame.grants)
        {
            let is_function = frame.callee.is_function();
            self.shared.running.mark_busy(busy.keys(), is_function);
            frame.busy = Some(busy);
            let name = &running.callee.name;
            self.shared.tell_all(|| Message::Busy);
            tracing::warn!(%name, client = frame.client, "a script is slow: clients that wait for its keys get BUSY");
        }
        None
    }

    /// How long a script may take, and what says so.
    pub(super) fn time_limit(&self, frame: &Frame) -> Option<(Duration, &'static str)> {
        let of_server = self.shared.config.settings().timeout_ms(Opt::ScriptTimeout);
        let of_script = frame.callee.limits().timeout();
        let limits = [
            (of_script, "the timeout of its first line"),
            (of_server, "script-timeout"),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(limit, name)| Some((limit?, name)));
        limits.min()
    }

    pub(super) fn timed_out(&self, what: &str, limit: Duration, name: &str) -> AbortReason {
        self.stats().scripts_killed.add(1);
        self.stats().scripts_timed_out.add(1);
        let limit_ms = limit.as_millis();
        AbortReason::Host(format!(
            "ERR Script killed: {what} for longer than {name} ({limit_ms} ms). {NOT_APPLIED}"
        ))
    }

    /// Lets others know of a script, so that they can end it.
    pub(super) fn enter_running(&self, frame: &mut Frame, request: Args<'_>) -> Arc<RunningScript> {
        let running = frame.running.get_or_insert_with(|| {
            let callee = RunningCallee {
                name: frame.callee.name().into_owned(),
                is_function: frame.callee.is_function(),
                command: shortened(request.iter()),
            };
            let running = &self.shared.running;
            running.enter(self.shard, frame.client, callee, frame.started_us)
        });
        Arc::clone(running)
    }

    /// Forgets what the others know of a script that has ended.
    pub(super) fn end_frame(&mut self, frame: &mut Frame) {
        self.stats().scripts_run.add(1);
        self.note_run(frame);
        if let Some(unfinished) = frame.unfinished.take() {
            self.shared.unfinished.leave(&unfinished);
            self.stats().running_scripts.lower();
        }
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
        self.run_stats(&frame.callee).errors.add(1);
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        frame.callee.stats().note_error(&text, clock::unix_ms());
        if frame.last_error.is_empty() || !line.starts_with(frame.last_error.as_bytes()) {
            self.shared.observer.errors.count(line);
        }
    }

    pub(super) fn flush_log(frame: &mut Frame) {
        for (level, message) in frame.log.drain(..) {
            write_log(level, &message);
        }
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
