//! The hook of a debugged script, and what it sees where the script stops.
//!
//! Unsafe code: Lua calls the hook. While it looks at the stack, memory is not limited, so that nothing can fail.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::Debugger;
use crate::script::budget::give_way;
use crate::script::convert::push_bytes;
use crate::script::core::{Stop, core_of};
use crate::script::turn::is_over;

/// Instructions between two looks at the slice.
const STEP: c_int = 1000;
/// What scripts are compiled as; other code is none of the user's.
const SOURCE: &[u8] = b"@user_script";
/// Calls that are looked at where the script stops.
const LEVELS_MAX: c_int = 64;
/// Variables that are kept for the user.
const VARIABLES_MAX: usize = 1000;

/// The key of the table of variables in the registry: name, value, name, value, the innermost call first, and between
/// calls `false`.
static VARIABLES: u8 = 0;

/// Has a script watched that is about to start.
///
/// # Safety
/// `lua` must be the coroutine of a VM, outside of a resume.
pub(in crate::script) unsafe fn attach(lua: *mut ffi::lua_State, debugger: Box<Debugger>) {
    // SAFETY: as the caller promised.
    unsafe {
        let core = core_of(lua);
        core.debugger = Some(debugger);
        core.budget = None;
        attach_coroutine(lua);
    }
}

/// Has a coroutine of the script watched too, if it is debugged.
///
/// # Safety
/// `lua` must be a state of a VM that does not run yet.
pub(in crate::script) unsafe fn attach_coroutine(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        if core_of(lua).debugger.is_some() {
            ffi::lua_sethook(
                lua,
                Some(hook),
                ffi::LUA_MASKLINE | ffi::LUA_MASKCOUNT,
                STEP,
            );
        }
    }
}

unsafe extern "C-unwind" fn hook(lua: *mut ffi::lua_State, event: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls this between two instructions, where no call of ours is active in this state; nothing with a
    // destructor is alive where it may raise an error.
    unsafe {
        let is_over = is_over(core_of(lua));
        if is_over || (*event).event != ffi::LUA_HOOKLINE {
            give_way(lua, is_over);
        } else if stops(lua, event) {
            core_of(lua).stop = Some(Stop::Debugger);
            ffi::lua_yieldk(lua, 0, 0, None);
        }
    }
}

/// Whether the script stops at this line; then all that the user may ask about it is written down.
unsafe fn stops(lua: *mut ffi::lua_State, event: *mut ffi::lua_Debug) -> bool {
    // SAFETY: as in `hook`, which has room on the stack.
    unsafe {
        let core = core_of(lua);
        let Some(debugger) = &mut core.debugger else {
            return false;
        };
        if !debugger.stops_at((*event).currentline)
            || ffi::lua_getinfo(lua, c"Sl".as_ptr(), event) == 0
            || !is_of_script(&*event)
            || ffi::lua_isyieldable(lua) == 0
        {
            return false;
        }
        core.memory.unlimit();
        debugger.stop_at((*event).currentline);
        debugger.trace = trace(lua);
        debugger.variables = keep_variables(lua);
        core.memory.limit();
    }
    true
}

unsafe fn is_of_script(frame: &ffi::lua_Debug) -> bool {
    // SAFETY: the record was filled in for its source.
    let source = unsafe { std::slice::from_raw_parts(frame.source.cast::<u8>(), frame.srclen) };
    source == SOURCE
}

/// Who has called whom, as far as it is code of the script.
unsafe fn trace(lua: *mut ffi::lua_State) -> Vec<(Vec<u8>, usize)> {
    let mut trace = Vec::new();
    // SAFETY: as in `hook`; an all-zero record is what `lua_getstack` fills in.
    unsafe {
        let mut frame: ffi::lua_Debug = std::mem::zeroed();
        for level in 0..LEVELS_MAX {
            if ffi::lua_getstack(lua, level, &raw mut frame) == 0
                || ffi::lua_getinfo(lua, c"Snl".as_ptr(), &raw mut frame) == 0
            {
                break;
            }
            if is_of_script(&frame) {
                let name = if frame.name.is_null() {
                    b"top level".to_vec()
                } else {
                    CStr::from_ptr(frame.name).to_bytes().to_vec()
                };
                trace.push((name, usize::try_from(frame.currentline).unwrap_or(0)));
            }
        }
    }
    trace
}

/// Keeps the local variables of all calls in a table; how many entries it has.
unsafe fn keep_variables(lua: *mut ffi::lua_State) -> usize {
    let mut entries = 0;
    // SAFETY: as in `hook`; memory is not limited, and the table has no metatable.
    unsafe {
        ffi::lua_createtable(lua, 16, 0);
        let mut frame: ffi::lua_Debug = std::mem::zeroed();
        for level in 0..LEVELS_MAX {
            if ffi::lua_getstack(lua, level, &raw mut frame) == 0 {
                break;
            }
            let mut number = 1;
            while entries < VARIABLES_MAX * 2 {
                let name = ffi::lua_getlocal(lua, &raw const frame, number);
                if name.is_null() {
                    break;
                }
                number += 1;
                let name = CStr::from_ptr(name).to_bytes();
                if name.starts_with(b"(") {
                    // What Lua keeps for itself.
                    ffi::lua_settop(lua, -2);
                    continue;
                }
                push_bytes(lua, name);
                ffi::lua_rawseti(lua, -3, entries as i64 + 1);
                ffi::lua_rawseti(lua, -2, entries as i64 + 2);
                entries += 2;
            }
            ffi::lua_pushboolean(lua, 0);
            ffi::lua_rawseti(lua, -2, entries as i64 + 1);
            entries += 1;
        }
        ffi::lua_rawsetp(
            lua,
            ffi::LUA_REGISTRYINDEX,
            ptr::from_ref(&VARIABLES).cast(),
        );
    }
    entries
}

/// Forgets what the table of variables holds.
///
/// # Safety
/// `lua` must be the main state of a VM, outside of a resume.
pub(super) unsafe fn forget_variables(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_pushnil(lua);
        ffi::lua_rawsetp(
            lua,
            ffi::LUA_REGISTRYINDEX,
            ptr::from_ref(&VARIABLES).cast(),
        );
    }
}

/// Calls `visit` with name and index of each variable that was kept, and whether it is of the innermost call, until it
/// says that it has seen enough.
///
/// # Safety
/// As for [`forget_variables`]; `visit` must leave the stack as it was.
pub(super) unsafe fn visit_variables(
    lua: *mut ffi::lua_State,
    entries: usize,
    mut visit: impl FnMut(&[u8], c_int, bool) -> bool,
) {
    // SAFETY: as the caller promised; names are strings, which stay in the table.
    unsafe {
        let top = ffi::lua_gettop(lua);
        let kind = ffi::lua_rawgetp(
            lua,
            ffi::LUA_REGISTRYINDEX,
            ptr::from_ref(&VARIABLES).cast(),
        );
        let mut is_innermost = true;
        let mut at = 1;
        while kind == ffi::LUA_TTABLE && at <= entries as i64 {
            if ffi::lua_rawgeti(lua, top + 1, at) != ffi::LUA_TSTRING {
                is_innermost = false;
                at += 1;
                ffi::lua_settop(lua, top + 1);
                continue;
            }
            let name = crate::script::convert::string_at(lua, top + 2);
            ffi::lua_rawgeti(lua, top + 1, at + 1);
            at += 2;
            if visit(name, top + 3, is_innermost) {
                break;
            }
            ffi::lua_settop(lua, top + 1);
        }
        ffi::lua_settop(lua, top);
    }
}
