//! What ends a wait besides its grant: time, another client's word, a slow script.

use super::client::{Client, ClientFlags};
use super::shared::PauseMode;
use super::work::{Kind, Timer, TimerReply, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::Error;
use crate::resp::{Reply, RespWriter};
use std::time::Duration;

pub(super) const BUSY_SCRIPT: Error = Error::text(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);
pub(super) const BUSY_FUNCTION: Error = Error::text(
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
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
        if self.works.next_due_us().is_none()
            && !self.works.has_paused()
            && self.attended.is_empty()
        {
            return Vec::new();
        }
        let mut due: Vec<Token> = self.works.due(clock::monotonic_us()).collect();
        due.extend(self.killed_sessions());
        if self.works.has_paused() && self.shared.pause.mode(clock::unix_ms()) == PauseMode::Off {
            due.extend(self.paused());
        }
        due
    }

    /// How long until something is due; `None`: nothing will be.
    pub fn until_due(&self) -> Option<Duration> {
        let timer = self
            .works
            .next_due_us()
            .map(|due_us| Duration::from_micros(due_us.saturating_sub(clock::monotonic_us())));
        let pause = self.works.has_paused().then(|| {
            let ms = self.shared.pause.until_ms() - clock::unix_ms();
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        });
        timer.into_iter().chain(pause).min()
    }

    /// Ends the wait of a client for what a slow script holds.
    pub fn answer_busy(&mut self, token: Token, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(work) = self.works.take(token) else {
            return Flow::Parked;
        };
        self.cancel(work.kind);
        client.parked = None;
        let mark = out.len();
        let functions = self.shared.running.only_functions_are_busy();
        let busy = if functions {
            BUSY_FUNCTION
        } else {
            BUSY_SCRIPT
        };
        self.answer_error(client, out, mark, &busy);
        Self::apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
    }

    /// CLIENT UNBLOCK: ends a client's wait as its timeout would, or with an error.
    pub fn unblock(&mut self, client: &mut Client, with_error: bool, out: &mut Vec<u8>) -> Flow {
        let Some(token) = client.parked else {
            return Flow::Parked;
        };
        let mark = out.len();
        match self.works.get(token).map(|work| &work.kind) {
            Some(Kind::Timer(timer)) if timer.reply == TimerReply::NoReplicas => {
                let timer = *timer;
                self.works.take(token);
                client.parked = None;
                self.timer_over(timer, client, out);
            }
            Some(Kind::Blocked(_)) => {
                if !self.unblock_waiter(token, client, out) {
                    return Flow::Parked;
                }
            }
            _ => return Flow::Parked,
        }
        if with_error {
            self.answer_error(client, out, mark, &UNBLOCKED);
        }
        Self::apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
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

    /// Whether there is something to do in another pass at once.
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty() || self.busy_check || self.eviction.is_pending
    }

    /// Whether a script is in the middle of its run.
    pub fn started_scripts(&self) -> bool {
        let mut works = self.works.iter();
        works.any(|(token, work)| work.kind.has_started_script() && !self.attended.contains(&token))
    }
}
