//! One execution of one script.

use mlua::ffi;

use super::callee::Callee;
use super::core::{KillHandle, Stop};
use super::debugger::errand::Next as DebuggerNext;
use super::debugger::{Command as DebuggerCommand, Debugger};
use super::error::ScriptError;
use super::host::{AbortReason, Host};
use super::library::Function;
use super::pool::PooledVm;
use crate::resp::Reply;

/// A script on its way. Dropping it ends the script where it stands: what is never resumed cannot notice its end.
pub struct ScriptRun {
    vm: PooledVm,
    callee: Callee,
    is_over: bool,
    /// Where the script stood when it was ended from outside.
    ended_at: Option<String>,
}

/// Where a run stands after a resume. All but [`Step::WaitForLock`], [`Step::Preempted`] and [`Step::Stopped`] end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The reply has been written.
    Done,
    /// Nothing has been written.
    Failed(ScriptError),
    /// The host wants a lock: resume when it has been granted.
    WaitForLock,
    /// The time slice is over: resume when others have had their turn.
    Preempted,
    /// A script that is debugged stands still until its user lets it go on ([`ScriptRun::debug`]).
    Stopped,
    /// Start it again from the beginning, with the same seed.
    Restart,
    /// The script has ended with `redis.rollback`: the reply has been written, and everything it did is to be taken back.
    RolledBack,
    Aborted(AbortReason),
}

impl ScriptRun {
    /// Readies a script or function to run. The `seed` decides what `math.random` gives.
    pub fn start(
        mut vm: PooledVm,
        callee: impl Into<Callee>,
        keys: &[&[u8]],
        argv: &[&[u8]],
        seed: u64,
    ) -> Result<Self, ScriptError> {
        let callee = callee.into();
        vm.prepare(&callee, keys, argv, seed)?;
        Ok(Self {
            vm,
            callee,
            is_over: false,
            ended_at: None,
        })
    }

    /// Has a script that is about to start debugged.
    pub fn attach_debugger(&mut self, debugger: Box<Debugger>) {
        self.vm.attach_debugger(debugger);
    }

    /// Takes the debugger away, when the run is over.
    pub fn detach_debugger(&mut self) -> Option<Box<Debugger>> {
        self.vm.detach_debugger()
    }

    pub fn debugger(&mut self) -> Option<&mut Debugger> {
        self.vm.core().debugger.as_deref_mut()
    }

    /// Does what the debugger's user asks for, after [`Step::Stopped`].
    pub fn debug(&mut self, command: DebuggerCommand<'_>) -> DebuggerNext {
        self.vm.debug(command)
    }

    /// The functions that a library's code has registered.
    pub fn registered(&mut self) -> Vec<Function> {
        let all = std::mem::take(&mut self.vm.core().registrations.all);
        all.into_values().collect()
    }

    /// Runs until the script ends or has to wait. Panics if the run is over.
    pub fn resume(&mut self, host: &mut dyn Host, out: &mut dyn Reply) -> Step {
        assert!(!self.is_over, "a run that is over cannot be resumed");
        if self.vm.core().is_killed() {
            return self.end(Step::Aborted(AbortReason::Killed));
        }
        let status = self.vm.resume_watched(host);
        match self.vm.core().stop.take() {
            Some(Stop::Restart) => self.end(Step::Restart),
            Some(Stop::RolledBack) => match self.vm.write_rollback_reply(out) {
                Ok(()) => self.end(Step::RolledBack),
                Err(text) => self.end(Step::Failed(ScriptError::without_position(text))),
            },
            Some(Stop::Abort(reason)) => self.end(Step::Aborted(reason)),
            Some(Stop::WaitForLock) if status == ffi::LUA_YIELD => Step::WaitForLock,
            Some(Stop::Preempted) if status == ffi::LUA_YIELD => Step::Preempted,
            Some(Stop::Debugger) if status == ffi::LUA_YIELD => Step::Stopped,
            _ if self.vm.core().errand.is_some() => {
                self.vm.end_errand(status);
                Step::Stopped
            }
            _ if status == ffi::LUA_OK => self.finish(out),
            _ => {
                let error = self.vm.failure(&self.callee);
                self.end(Step::Failed(error))
            }
        }
    }

    /// Ends this run from any thread: the next resume, or the one that goes on, gives [`AbortReason::Killed`].
    pub fn kill_handle(&mut self) -> KillHandle {
        self.vm.kill_handle()
    }

    /// Which script stands or stood where, for the end of an error line: ` script: <sha>, on @user_script:3.`, or nothing.
    pub fn place(&mut self) -> String {
        match &self.ended_at {
            Some(place) => place.clone(),
            None if self.is_over => String::new(),
            None => self.vm.place(&self.callee),
        }
    }

    /// Bytes that this run has had in Lua at most.
    pub fn memory_peak(&self) -> usize {
        self.vm.memory_grown()
    }

    pub fn callee(&self) -> &Callee {
        &self.callee
    }

    fn finish(&mut self, out: &mut dyn Reply) -> Step {
        match self.vm.write_result(out) {
            Ok(()) => {
                self.is_over = true;
                Step::Done
            }
            Err(text) => self.end(Step::Failed(ScriptError::without_position(text))),
        }
    }

    fn end(&mut self, step: Step) -> Step {
        if matches!(step, Step::Aborted(_)) {
            self.ended_at = Some(self.vm.place(&self.callee));
        }
        self.is_over = true;
        self.vm.abandon();
        step
    }
}

impl Drop for ScriptRun {
    fn drop(&mut self) {
        if !self.is_over {
            self.vm.abandon();
        }
    }
}
