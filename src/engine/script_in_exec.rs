//! A script inside EXEC: it has the locks and the transaction of the EXEC while it runs, and never waits.

use super::admission::Grants;
use super::client::Client;
use super::script_end::{abort_error, script_error};
use super::script_run::{Frame, Invocation, parts};
use super::worker::Worker;
use crate::keyspace::{Savepoint, Txn};
use crate::resp::Args;
use crate::script::{Callee, ScriptRun, Step};

/// A script that EXEC runs.
pub struct ScriptInExec {
    frame: Frame,
    run: Option<ScriptRun>,
    /// The transaction before the script.
    savepoint: Savepoint,
    /// Where the script's reply begins in that of the EXEC.
    mark: usize,
}

/// Where an EXEC, or a script in it, stands.
pub enum InExec {
    Over,
    /// A script's slice is over.
    Suspended,
    /// A script wants a key that cannot be had in order.
    NeedsGate,
}

impl Worker {
    /// Readies a script inside EXEC, whose reply begins at `base`; the script has the grants until it leaves. `None`: it
    /// cannot be run, and has answered why.
    pub(super) fn script_enter_exec(
        &mut self,
        invocation: Invocation,
        grants: &mut Grants,
        client: &Client,
        args: &Args<'_>,
        base: usize,
        out: &mut Vec<u8>,
    ) -> Option<ScriptInExec> {
        let mut frame = match self.frame(invocation, client, args, 0) {
            Ok((_, frame)) => frame,
            Err(error) => {
                let mark = out.len();
                self.answer_error(client, out, mark, &error);
                return None;
            }
        };
        frame.in_exec = true;
        frame.grants = std::mem::take(grants);
        let txn = Txn::new(self.shared.keyspace, &mut self.buffers, 0, self.now_ms);
        Some(ScriptInExec {
            frame,
            run: None,
            savepoint: txn.savepoint(),
            mark: out.len() - base,
        })
    }

    /// Lets a script inside EXEC go on for a slice.
    pub(super) fn script_go_in_exec(
        &mut self,
        script: &mut ScriptInExec,
        client: &mut Client,
        args: &Args<'_>,
        base: usize,
        out: &mut Vec<u8>,
    ) -> InExec {
        let ScriptInExec { frame, run, .. } = script;
        let Ok(parts) = parts(args) else {
            unreachable!("it was taken apart before it began");
        };
        let error = match self.script_step(frame, run, client, &parts, out) {
            Ok(Step::Done) => {
                Self::flush_log(frame);
                self.note_error_reply(frame, &out[base + script.mark..]);
                return InExec::Over;
            }
            Ok(Step::RolledBack) => {
                Self::flush_log(frame);
                self.note_error_reply(frame, &out[base + script.mark..]);
                self.note_rolled_back(&script.frame);
                self.script_undo_in_exec(script);
                return InExec::Over;
            }
            Ok(Step::WaitForLock | Step::Restart | Step::Stopped) => return InExec::NeedsGate,
            Ok(Step::Preempted) => {
                self.keeper.keep(&mut frame.grants);
                match self.overstayed(frame, *args) {
                    None => {
                        self.show_unfinished(frame, &parts.keys);
                        return InExec::Suspended;
                    }
                    Some(reason) => abort_error(&reason, run),
                }
            }
            Ok(Step::Failed(error)) => script_error(&error),
            Ok(Step::Aborted(reason)) => self.aborted(&reason, run),
            Err(error) => error,
        };
        *run = None;
        self.script_undo_in_exec(script);
        self.answer_script_error(&script.frame, client, out, base + script.mark, &error);
        InExec::Over
    }

    /// Takes back what a script did, and nothing of the commands before it.
    fn script_undo_in_exec(&mut self, script: &ScriptInExec) {
        let mut txn = Txn::new(self.shared.keyspace, &mut self.buffers, 0, self.now_ms);
        txn.rollback_to(script.savepoint);
        drop(txn);
        self.stats().scripts_rolled_back.add(1);
    }

    /// Ends a script inside EXEC, which has the grants again.
    pub(super) fn script_leave_exec(
        &mut self,
        mut script: ScriptInExec,
        grants: &mut Grants,
    ) -> Callee {
        drop(script.run.take());
        *grants = std::mem::take(&mut script.frame.grants);
        self.end_frame(&mut script.frame);
        script.frame.callee
    }
}
