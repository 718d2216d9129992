//! One execution of one script.
//!
//! Unsafe code: the hook that ends slices, and the way out of a script that must not go on.

use std::ffi::c_int;
use std::sync::Arc;

use mlua::ffi;

use super::cache::Script;
use super::core::{KillHandle, Stop, core_of};
use super::error::ScriptError;
use super::host::{AbortReason, Host};
use super::pool::PooledVm;
use crate::resp::Reply;

/// A script on its way. Dropping it ends the script where it stands: what is never resumed cannot notice its end.
pub struct ScriptRun {
    vm: PooledVm,
    script: Arc<Script>,
    is_over: bool,
}

/// Where a run stands after a resume. All but [`Step::WaitForLock`] and [`Step::Preempted`] end it.
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
    /// Start it again from the beginning, with the same seed.
    Restart,
    Aborted(AbortReason),
}

impl ScriptRun {
    /// Readies `script` to run. The `seed` decides what `math.random` gives.
    pub fn start(
        mut vm: PooledVm,
        script: Arc<Script>,
        keys: &[&[u8]],
        argv: &[&[u8]],
        seed: u64,
    ) -> Result<Self, ScriptError> {
        vm.prepare(&script, keys, argv, seed)?;
        Ok(Self {
            vm,
            script,
            is_over: false,
        })
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
            Some(Stop::Abort(reason)) => self.end(Step::Aborted(reason)),
            Some(Stop::WaitForLock) if status == ffi::LUA_YIELD => Step::WaitForLock,
            Some(Stop::Preempted) if status == ffi::LUA_YIELD => Step::Preempted,
            _ if status == ffi::LUA_OK => self.finish(out),
            _ => {
                let error = self.vm.failure(self.script.sha);
                self.end(Step::Failed(error))
            }
        }
    }

    /// Ends this run from any thread: the next resume, or the one that goes on, gives [`AbortReason::Killed`].
    pub fn kill_handle(&mut self) -> KillHandle {
        self.vm.kill_handle()
    }

    pub fn script(&self) -> &Arc<Script> {
        &self.script
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

/// Ends a run whose [`super::core::Core::stop`] is final, from inside a function that Lua called.
///
/// Yields if Lua can: the coroutine is then never resumed. Where it cannot (a comparator of `table.sort`, a callback
/// of `string.gsub`) an error is raised, and again at every instruction, so that no `pcall` helps, until it can.
///
/// # Safety
/// Nothing with a destructor may be alive in the caller, which must return the result at once.
pub(super) unsafe fn doom(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller promised.
    unsafe {
        if ffi::lua_isyieldable(lua) != 0 {
            return ffi::lua_yieldk(lua, 0, 0, None);
        }
        ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, 1);
        ffi::lua_settop(lua, 0);
        ffi::lua_pushnil(lua);
        ffi::lua_error(lua)
    }
}

/// The hook that the watchdog sets for the next instruction.
pub(super) unsafe extern "C-unwind" fn slice_end(
    lua: *mut ffi::lua_State,
    _event: *mut ffi::lua_Debug,
) {
    // SAFETY: Lua calls this between two instructions, where no call of ours is active in this state; nothing with a
    // destructor is alive.
    unsafe {
        let core = core_of(lua);
        if core.is_killed() && !core.stop.as_ref().is_some_and(Stop::is_final) {
            core.stop = Some(Stop::Abort(AbortReason::Killed));
        }
        let is_final = core.stop.as_ref().is_some_and(Stop::is_final);
        if ffi::lua_isyieldable(lua) != 0 {
            ffi::lua_sethook(lua, None, 0, 0);
            if !is_final {
                core.stop = Some(Stop::Preempted);
            }
            ffi::lua_yieldk(lua, 0, 0, None);
        } else if is_final {
            ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, 1);
            ffi::lua_pushnil(lua);
            ffi::lua_error(lua);
        } else {
            ffi::lua_sethook(lua, None, 0, 0);
        }
    }
}
