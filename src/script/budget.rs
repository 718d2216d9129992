//! The instructions that a script may run, where its first line says `max-instructions=N`: unlike time, the same number in
//! every run, on every machine.
//!
//! A hook counts them in steps. The watchdog leaves it in its place, since setting another would lose what is counted of
//! the step, and only says that the slice is over; the hook looks for that after each step.
//!
//! Unsafe code: Lua calls the hook. The rule of [`super::call`] holds.

use std::ffi::c_int;
use std::num::NonZeroU64;

use mlua::ffi;

use super::core::{Stop, core_of};
use super::host::AbortReason;
use super::turn::{is_over, is_overdue, slice_end};
use super::watchdog;

/// Instructions from one call of the hook to the next: a few microseconds.
const STEP: u64 = 1000;

/// What is left to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    limit: u64,
    /// After the step that is under way.
    left: u64,
    step: c_int,
}

impl Budget {
    pub fn new(limit: NonZeroU64) -> Self {
        let limit = limit.get();
        let step = limit.min(STEP);
        Self {
            limit,
            left: limit - step,
            step: step as c_int,
        }
    }

    /// Begins the next step, if one is left.
    fn next(&mut self) -> Option<c_int> {
        let step = self.left.min(STEP);
        self.left -= step;
        self.step = step as c_int;
        (step > 0).then_some(self.step)
    }
}

/// Has the instructions of a coroutine counted that is about to start, if they are bounded.
///
/// # Safety
/// `lua` must be the coroutine of a VM, outside of a resume.
pub(super) unsafe fn start(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        if let Some(budget) = core_of(lua).budget {
            ffi::lua_sethook(lua, Some(step_end), ffi::LUA_MASKCOUNT, budget.step);
        }
    }
}

/// Has the instructions of a script's own coroutine counted, one by one: what is left of a step cannot be read from one
/// coroutine and given to the next.
///
/// # Safety
/// `lua` must be a new coroutine of a running script.
pub(super) unsafe fn start_coroutine(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        if core_of(lua).budget.is_some() {
            ffi::lua_sethook(lua, Some(one_end), ffi::LUA_MASKCOUNT, 1);
        }
    }
}

unsafe extern "C-unwind" fn one_end(lua: *mut ffi::lua_State, _event: *mut ffi::lua_Debug) {
    // SAFETY: as in `step_end`.
    unsafe {
        let core = core_of(lua);
        let mut is_over = is_over(core);
        if let Some(budget) = &mut core.budget
            && !is_over
        {
            if budget.left == 0 {
                core.stop = Some(Stop::Abort(AbortReason::OutOfInstructions(budget.limit)));
                is_over = true;
            } else {
                budget.left -= 1;
            }
        }
        give_way(lua, is_over);
    }
}

unsafe extern "C-unwind" fn step_end(lua: *mut ffi::lua_State, _event: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls this between two instructions, where no call of ours is active in this state; nothing with a
    // destructor is alive.
    unsafe {
        let core = core_of(lua);
        let mut is_over = is_over(core);
        if let Some(budget) = &mut core.budget
            && !is_over
        {
            let step_before = budget.step;
            match budget.next() {
                None => {
                    core.stop = Some(Stop::Abort(AbortReason::OutOfInstructions(budget.limit)));
                    is_over = true;
                }
                Some(step) if step != step_before => {
                    ffi::lua_sethook(lua, Some(step_end), ffi::LUA_MASKCOUNT, step);
                }
                Some(_) => {}
            }
        }
        give_way(lua, is_over);
    }
}

/// Suspends the script where its slice is over, or its run. The last act of a hook that stays in its place.
///
/// # Safety
/// `lua` must be the state that the hook was called for; nothing with a destructor is alive.
pub(super) unsafe fn give_way(lua: *mut ffi::lua_State, is_over: bool) {
    // SAFETY: as in `step_end`, whose last act this is.
    unsafe {
        if !is_over && !watchdog::is_due() {
            return;
        }
        let core = core_of(lua);
        if ffi::lua_isyieldable(lua) != 0 {
            if !is_over {
                core.stop = Some(Stop::Preempted);
            }
            // Lua does not count the instruction again that it stops before.
            ffi::lua_yieldk(lua, 0, 0, None);
            return;
        }
        if is_over || is_overdue(core) {
            ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, 1);
            ffi::lua_pushnil(lua);
            ffi::lua_error(lua);
        }
    }
}
