//! What ends a wait besides its grant: time, another client's word, a slow script.

use super::client::Client;
use super::shared::PauseMode;
use super::work::{Kind, Token};
use super::worker::{Flow, Worker};
use crate::command::Error;

const BUSY: Error = Error::text(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);

impl Worker {
    /// Clients that CLIENT PAUSE holds back.
    pub fn paused(&self) -> Vec<Token> {
        let paused = self.works.iter().filter(|(_, work)| matches!(work.kind, Kind::Paused { .. }));
        paused.map(|(token, _)| token).collect()
    }

    /// Work whose time has come.
    pub fn due(&self) -> Vec<Token> {
        match self.shared.pause.mode(self.now_ms) {
            PauseMode::Off => self.paused(),
            PauseMode::Writes | PauseMode::All => Vec::new(),
        }
    }

    /// Ends the wait of a client for what a slow script holds.
    pub fn answer_busy(&mut self, token: Token, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(work) = self.works.take(token) else { return Flow::Parked };
        self.cancel(work.kind);
        client.parked = None;
        let mark = out.len();
        self.answer_error(client, out, mark, &BUSY);
        self.apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
    }

    /// CLIENT UNBLOCK: no command of this layer blocks on data yet, so there is nothing to end.
    pub fn unblock(&mut self, _: &mut Client, _with_error: bool, _: &mut Vec<u8>) -> Flow {
        Flow::Parked
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
