//! Scripts that wait for their keys, and what ends that besides the keys: their time, and the end of their client.

use super::admission::Wait;
use super::client::Client;
use super::script_end::abort_error;
use super::script_run::{Frame, ScriptWork};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::script::AbortReason;
use std::time::Duration;

impl Worker {
    /// When the wait of a script for its keys ends by itself.
    pub(super) fn wait_due_us(&self, frame: &Frame) -> Option<u64> {
        frame.wait.as_ref()?;
        let (limit, _) = self.time_limit(frame)?;
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Some(frame.started_us.saturating_add(limit_us))
    }

    /// Why a script has to end that still waits for its keys.
    pub(super) fn waited_too_long(&self, frame: &Frame) -> Option<AbortReason> {
        let (limit, name) = self.time_limit(frame)?;
        let took = Duration::from_micros(clock::monotonic_us() - frame.started_us);
        (took >= limit).then(|| self.timed_out("it waited for its keys", limit, name))
    }

    /// Ends a script that waits for its keys, and tells its client why.
    #[cold]
    pub(super) fn script_end_wait(
        &mut self,
        mut work: Box<ScriptWork>,
        client: &mut Client,
        reason: &AbortReason,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mark = out.len();
        let error = abort_error(reason, &mut work.run);
        // Counted while it is still known what it waited for and how it ended.
        self.answer_script_error(&work.frame, client, out, mark, &error);
        let session = work.frame.session.take();
        let took = Duration::from_micros(clock::monotonic_us() - work.frame.started_us);
        self.note_duration(work.entry, client, &work.args.as_args(), took);
        self.script_cancel(work);
        self.stats().scripts_rolled_back.add(1);
        Self::end_session(client, session, out, mark)
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
        self.script_let_go(&mut work.frame);
        self.end_frame(&mut work.frame);
    }
}
