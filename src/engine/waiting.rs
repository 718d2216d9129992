//! What ends a wait besides its grant: time, another client's word, a slow script.

use super::client::{Client, ClientFlags};
use super::shared::PauseMode;
use super::work::{Kind, Timer, TimerReply, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::Error;
use crate::resp::{Reply, RespWriter};

const BUSY: Error = Error::text(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);
const UNBLOCKED: Error = Error::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");

impl Worker {
    /// Clients that CLIENT PAUSE holds back.
    pub fn paused(&self) -> Vec<Token> {
        let paused = self
            .works
            .iter()
            .filter(|(_, work)| matches!(work.kind, Kind::Paused { .. }));
        paused.map(|(token, _)| token).collect()
    }

    /// Work whose time has come: timers, and what CLIENT PAUSE held back until now.
    pub fn due(&self) -> Vec<Token> {
        let now_us = clock::monotonic_us();
        let paused = self.shared.pause.mode(self.now_ms) != PauseMode::Off;
        let is_due = |kind: &Kind| match kind {
            Kind::Timer(timer) => timer.due_us.is_some_and(|due_us| due_us <= now_us),
            Kind::Paused { .. } => !paused,
            Kind::Plain { .. } | Kind::Exec { .. } | Kind::Script(_) => false,
        };
        let due = self.works.iter().filter(|(_, work)| is_due(&work.kind));
        due.map(|(token, _)| token).collect()
    }

    /// Ends the wait of a client for what a slow script holds.
    pub fn answer_busy(&mut self, token: Token, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(work) = self.works.take(token) else {
            return Flow::Parked;
        };
        self.cancel(work.kind);
        client.parked = None;
        let mark = out.len();
        self.answer_error(client, out, mark, &BUSY);
        Self::apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
    }

    /// CLIENT UNBLOCK: ends a client's wait as its timeout would, or with an error.
    pub fn unblock(&mut self, client: &mut Client, with_error: bool, out: &mut Vec<u8>) -> Flow {
        let Some(token) = client.parked else {
            return Flow::Parked;
        };
        let timer = match self.works.get(token).map(|work| &work.kind) {
            Some(Kind::Timer(timer)) if timer.reply == TimerReply::NoReplicas => *timer,
            _ => return Flow::Parked,
        };
        self.works.take(token);
        client.parked = None;
        let mark = out.len();
        let flow = self.timer_over(timer, client, out);
        if with_error {
            self.answer_error(client, out, mark, &UNBLOCKED);
        }
        Self::apply_reply_mode(client, out, mark, flow);
        flow
    }

    /// Answers a client whose time has come.
    pub(super) fn timer_over(&mut self, timer: Timer, client: &Client, out: &mut Vec<u8>) -> Flow {
        self.end_timer(timer);
        client.info.set_flag(ClientFlags::BLOCKED, false);
        let mut reply = RespWriter::new(out, client.protocol);
        match timer.reply {
            TimerReply::Ok => reply.ok(),
            TimerReply::NoReplicas => reply.integer(0),
        }
        Flow::Done
    }

    /// Takes a wait out of the count of blocked clients.
    pub(super) fn end_timer(&mut self, timer: Timer) {
        if timer.reply == TimerReply::NoReplicas {
            let shard = self.shared.observer.shard(self.shard as usize);
            shard.blocked_clients.lower();
        }
    }

    /// Scripts that have used up a slice and want the next one.
    pub fn take_runnable(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.runnable)
    }

    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Whether a script is in the middle of its run.
    pub fn started_scripts(&self) -> bool {
        let mut kinds = self.works.iter().map(|(_, work)| &work.kind);
        kinds.any(|kind| matches!(kind, Kind::Script(script) if script.has_started()))
    }
}
