//! SCRIPT DEBUG: sessions in which a client goes through its script line by line.
//!
//! While the script stands still it is a piece of work like any that waits, but its client is not parked: what it sends is
//! for the debugger. Everybody else goes on, on the same shard too; who wants a key of the session is told that it is busy.
//! A session holds the script's KEYS and, as it meets them, other keys, also where the script has no KEYS.
//!
//! - YES takes everything back at the end, SYNC commits it, if the script ends well.
//! - A client that goes away, `abort` and SCRIPT KILL end the session, and what the script did is taken back.
//! - The time in which the script stands still does not count for its timeout.

use super::Message;
use super::admission::Grants;
use super::client::Client;
use super::script_end::Busy;
use super::script_run::{Frame, ScriptWork};
use super::shared::Shared;
use super::work::{Kind, Token, Work};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::Error;
use crate::config::UndeclaredKeys;
use crate::locks::Footprint;
use crate::resp::{Args, Protocol, Reply, RespWriter};
use crate::script::{AbortReason, Debugger, DebuggerCommand, DebuggerNext, ScriptRun};
use std::sync::atomic::Ordering;

/// What a client has asked for with SCRIPT DEBUG.
#[derive(Clone, Copy, Debug)]
pub struct DebugMode {
    /// SYNC: the script's changes stay.
    pub commits: bool,
    /// The work whose script stands still for this client.
    pub session: Option<Token>,
}

/// A session, as its script's transaction knows it.
pub struct Session {
    commits: bool,
    /// Away while there is a run, which has it.
    debugger: Option<Box<Debugger>>,
    /// Since when the script stands still.
    stopped_us: Option<u64>,
    /// The script goes on only to end, and why.
    ends: Option<AbortReason>,
}

const ABORTED: &str = "ERR script aborted for user request";
const NOT_BY_SHA: Error = Error::text("ERR Please use EVAL instead of EVALSHA for debugging");

impl Session {
    /// The session of a client that is about to run a script, if it debugs.
    pub fn begin(client: &Client, body: &[u8], by_sha: bool) -> Result<Option<Box<Self>>, Error> {
        let Some(mode) = client.debug else {
            return Ok(None);
        };
        if by_sha {
            return Err(NOT_BY_SHA);
        }
        Ok(Some(Box::new(Self {
            commits: mode.commits,
            debugger: Some(Box::new(Debugger::new(body))),
            stopped_us: None,
            ends: None,
        })))
    }

    /// Hands the debugger to a run that is about to start.
    pub fn enter(&mut self, run: &mut ScriptRun) {
        if let Some(debugger) = self.debugger.take() {
            run.attach_debugger(debugger);
        }
    }

    /// Takes it back from a run that is over.
    pub fn leave(&mut self, run: &mut ScriptRun) {
        self.debugger = run.detach_debugger();
    }

    /// The next run begins from the first line.
    pub fn restart(&mut self) {
        if let Some(debugger) = &mut self.debugger {
            debugger.restarted();
        }
    }

    pub fn ends(&mut self) -> Option<AbortReason> {
        self.ends.take()
    }
}

impl Worker {
    /// Ends the transaction of a script that has ended well.
    pub(super) fn conclude(&mut self, frame: &Frame) -> Result<(), Error> {
        match &frame.session {
            Some(session) if !session.commits => {
                self.rollback();
                Ok(())
            }
            _ => self.commit(),
        }
    }

    /// Tells the client why its script stands still.
    pub(super) fn stop_session(
        &mut self,
        frame: &mut Frame,
        run: &mut Option<ScriptRun>,
        request: Args<'_>,
        out: &mut Vec<u8>,
    ) {
        let debugger = run.as_mut().and_then(ScriptRun::debugger);
        write_lines(debugger.map(Debugger::take_log).unwrap_or_default(), out);
        if let Some(session) = &mut frame.session {
            session.stopped_us = Some(clock::monotonic_us());
        }
        self.enter_running(frame, request);
        let is_function = frame.callee.is_function();
        if let Some(busy) = frame.busy.take() {
            self.shared.running.unmark_busy(busy.keys(), is_function);
        }
        if let Some(busy) = Busy::of(&frame.grants) {
            self.shared.running.mark_busy(busy.keys(), is_function);
            frame.busy = Some(busy);
            self.shared.tell_all(|| Message::Busy);
        }
    }

    /// Keeps a script that stands still; its client has the word.
    pub(super) fn attend(
        &mut self,
        client: &mut Client,
        token: Token,
        work: Box<ScriptWork>,
    ) -> Flow {
        let Some(mode) = &mut client.debug else {
            unreachable!("only a client that debugs has a session");
        };
        mode.session = Some(token);
        let work = Work {
            conn: client.conn,
            since_us: clock::monotonic_us(),
            kind: Kind::Script(work),
        };
        self.works.park(token, work);
        self.attended.push(token);
        Flow::Done
    }

    /// A line of a client whose script stands still.
    #[cold]
    pub(super) fn debugger_line(
        &mut self,
        token: Token,
        client: &mut Client,
        args: &Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        client
            .info
            .last_active_ms
            .store(self.now_ms, Ordering::Relaxed);
        let Some(Work {
            kind: Kind::Script(mut work),
            since_us,
            ..
        }) = self.works.take(token)
        else {
            unreachable!("a session has a script");
        };
        self.dismiss(token, client);
        let words: Vec<&[u8]> = args.iter().collect();
        let command = DebuggerCommand::read(&words);
        let next = work
            .run
            .as_mut()
            .map_or(DebuggerNext::Ends, |run| run.debug(command));
        match next {
            DebuggerNext::Stays => {
                let debugger = work.run.as_mut().and_then(ScriptRun::debugger);
                write_lines(debugger.map(Debugger::take_log).unwrap_or_default(), out);
                return self.attend(client, token, work);
            }
            DebuggerNext::Runs => {}
            DebuggerNext::Ends => work.frame.call_off(AbortReason::Host(ABORTED.into())),
        }
        work.frame.note_stood_still();
        self.script_resume(token, work, client, since_us, out)
    }

    /// Sessions that SCRIPT KILL has ended.
    pub(super) fn killed_sessions(&self) -> impl Iterator<Item = Token> {
        let is_killed = |token: &Token| match self.works.get(*token) {
            Some(Work {
                kind: Kind::Script(work),
                ..
            }) => work.frame.is_killed(),
            _ => false,
        };
        self.attended.iter().copied().filter(is_killed)
    }

    /// A session is not waited for any more: its client does, or is gone.
    pub(super) fn dismiss(&mut self, token: Token, client: &mut Client) {
        self.attended.retain(|known| *known != token);
        if let Some(mode) = &mut client.debug {
            mode.session = None;
        }
    }

    /// What a client reads at the end of its session, before the script's reply, which begins at `mark`. It is the last
    /// that it reads.
    pub(super) fn end_session(
        client: &mut Client,
        session: Option<Box<Session>>,
        out: &mut Vec<u8>,
        mark: usize,
    ) -> Flow {
        let Some(mut session) = session else {
            return Flow::Done;
        };
        let reply = out.split_off(mark);
        let debugger = session.debugger.as_deref_mut();
        let mut lines = debugger.map(Debugger::take_log).unwrap_or_default();
        lines.push(b"<endsession>".to_vec());
        write_lines(lines, out);
        out.extend_from_slice(&reply);
        client.debug = None;
        Flow::Close
    }
}

impl Worker {
    /// Ties a script to the session of its client, if it debugs. Its keys are locked as it meets them.
    pub(super) fn debug_frame(&self, frame: &mut Frame, session: Option<Box<Session>>) {
        if session.is_some() {
            let settings = self.shared.config.settings();
            frame.declares_keys |= settings.undeclared_keys() == UndeclaredKeys::Allow;
            frame.session = session;
        }
    }

    /// Gives a script what it was granted. A session holds locks from its beginning, if only none, and adds to them.
    pub(super) fn hand_grants(&self, frame: &mut Frame, mut grants: Grants) {
        if frame.session.is_some() && grants.locks.is_none() && !grants.is_alone() {
            grants.locks = self.shared.locks.try_acquire(Footprint::default()).ok();
        }
        frame.grants = grants;
    }
}

impl Frame {
    /// Ends a run; its debugger stays.
    pub(super) fn end_run(&mut self, run: &mut Option<ScriptRun>) {
        if let (Some(session), Some(run)) = (&mut self.session, &mut *run) {
            session.leave(run);
        }
        *run = None;
    }

    /// Whether SCRIPT KILL has ended the script.
    fn is_killed(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.killed.load(Ordering::Acquire))
    }

    /// Has the script end when it goes on.
    pub(super) fn call_off(&mut self, reason: AbortReason) {
        if let Some(session) = &mut self.session {
            session.ends = Some(reason);
        }
    }

    /// Leaves out of the script's time that it stood still until now.
    pub(super) fn note_stood_still(&mut self) {
        let stopped_us = self
            .session
            .as_mut()
            .and_then(|session| session.stopped_us.take());
        if let Some(stopped_us) = stopped_us {
            self.started_us += clock::monotonic_us() - stopped_us;
        }
    }
}

/// SCRIPT DEBUG.
pub fn set_mode(client: &mut Client, mode: &[u8]) -> Result<(), Error> {
    let is = |name: &str| mode.eq_ignore_ascii_case(name.as_bytes());
    client.debug = match () {
        () if is("no") => None,
        () if is("yes") || is("sync") => Some(DebugMode {
            commits: is("sync"),
            session: None,
        }),
        () => return Err(Error::text("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    };
    Ok(())
}

/// Has the shards look for sessions that were killed.
pub fn wake_sessions(shared: &Shared) {
    shared.tell_all(|| Message::Busy);
}

/// One array of status lines.
fn write_lines(lines: Vec<Vec<u8>>, out: &mut Vec<u8>) {
    let mut reply = RespWriter::new(out, Protocol::Resp2);
    reply.array(lines.len());
    for mut line in lines {
        for byte in &mut line {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        reply.simple_bytes(&line);
    }
}
