//! The turns of library functions that may run for long: like Lua's own instructions, they give way when their slice is
//! over, and end when their script has to.
//!
//! A function calls [`turn`] every so often, between two steps, with all that it still needs on its Lua stack or in the
//! [`Core`], and does what the answer says: goes on, or suspends itself with a continuation, or returns [`doom`].
//!
//! Unsafe code: these are calls on the state of a running script. The rule of [`super::call`] holds.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi;

use super::core::{Core, Stop, core_of};
use super::host::AbortReason;
use super::watchdog;

/// What a long-running function does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    GoOn,
    /// The slice is over: return `lua_yieldk` with a continuation.
    Suspend,
    /// The run is over: return [`doom`].
    End,
}

/// # Safety
/// `lua` must be the state of a running script, and no reference to its core in use.
pub(super) unsafe fn turn(lua: *mut ffi::lua_State) -> Turn {
    // SAFETY: as the caller promised.
    unsafe {
        let core = core_of(lua);
        if is_over(core) {
            return Turn::End;
        }
        // The watchdog's signal handler sets the hook, where the script has none of its own.
        let is_due = if core.keeps_hook() {
            watchdog::is_due()
        } else {
            ffi::lua_gethookmask(lua) != 0
        };
        if !is_due {
            return Turn::GoOn;
        }
        if ffi::lua_isyieldable(lua) != 0 {
            core.stop = Some(Stop::Preempted);
            return Turn::Suspend;
        }
        if is_overdue(core) {
            return Turn::End;
        }
    }
    Turn::GoOn
}

/// Ends a run whose [`Core::stop`] is final, from inside a function that Lua called.
///
/// Yields if Lua can: the coroutine is then never resumed. Where it cannot (a metamethod that a library function called)
/// an error is raised, and again at every instruction, so that no `pcall` helps, until it can.
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
        let mut is_over = is_over(core);
        if ffi::lua_isyieldable(lua) != 0 {
            calm(lua);
            if !is_over {
                core.stop = Some(Stop::Preempted);
            }
            ffi::lua_yieldk(lua, 0, 0, None);
            return;
        }
        is_over = is_over || is_overdue(core);
        if is_over {
            ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, 1);
            ffi::lua_pushnil(lua);
            ffi::lua_error(lua);
        }
        ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, COUNT_PINNED);
    }
}

/// Takes back the hook that ends slices.
///
/// # Safety
/// `lua` must be a state of a VM.
pub(super) unsafe fn calm(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe { ffi::lua_sethook(lua, None, 0, 0) };
}

/// What becomes of a script that Lua cannot suspend though its slice is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    /// Resume it: it is asked again after some instructions.
    GoesOn,
    /// The run is over: return [`doom`].
    Ends,
}

/// # Safety
/// As for [`turn`]; `lua` is the coroutine that has yielded.
pub(super) unsafe fn go_on_pinned(lua: *mut ffi::lua_State) -> Pinned {
    // SAFETY: as the caller promised.
    unsafe {
        let core = core_of(lua);
        if is_over(core) || is_overdue(core) {
            return Pinned::Ends;
        }
        if !core.keeps_hook() {
            ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, COUNT_PINNED);
        }
    }
    Pinned::GoesOn
}

/// Instructions until the next try, where Lua could not suspend the script.
const COUNT_PINNED: c_int = 1000;

/// Whether the run has ended already, or is killed.
pub(super) fn is_over(core: &mut Core) -> bool {
    if core.stop.as_ref().is_some_and(Stop::is_final) {
        return true;
    }
    if core.is_killed() {
        core.stop = Some(Stop::Abort(AbortReason::Killed));
        return true;
    }
    false
}

/// Whether the host ends a script whose slice is over where Lua cannot suspend it.
pub(super) fn is_overdue(core: &mut Core) -> bool {
    let Some(host) = core.host else {
        return false;
    };
    // SAFETY: set for the time of the resume; no command is being run, so nobody else uses the host.
    let host = unsafe { &mut *host };
    let reason =
        catch_unwind(AssertUnwindSafe(|| host.overdue())).unwrap_or(Some(AbortReason::Panicked));
    let Some(reason) = reason else {
        return false;
    };
    core.stop = Some(Stop::Abort(reason));
    true
}
