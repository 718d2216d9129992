//! `xpcall`, whose handler is called when the error has come to `xpcall`, not where it was raised.
//!
//! Where Lua itself calls a handler, nothing can suspend the script, and after an error in a hook, such as the one that ends a
//! script, nothing can end it either: hooks are off until the handler returns. What a script can see is the same, since
//! there is no library that looks at the stack: a handler that fails is called with its own error, and so on, up to the
//! number of calls at which Lua gives up.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::c_int;

use memchr::memmem;
use mlua::ffi;

use super::cache::Dialect;
use super::convert::string_at;
use super::core::core_of;
use super::legacy::wording;

/// The stack: function, handler, true; then the results, or the error.
const HANDLER: c_int = 2;

/// So often Lua calls a handler that fails.
const CALLS_MAX: isize = 221;
/// Handlers inside of each other; Lua has as much room on its own stack.
const HANDLERS_MAX: u32 = 190;

pub(super) unsafe extern "C-unwind" fn xpcall(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the continuations make it possible to suspend the script inside.
    unsafe {
        match core_of(lua).dialect {
            Dialect::Aikv => ffi::luaL_checktype(lua, HANDLER, ffi::LUA_TFUNCTION),
            Dialect::Redis => {
                ffi::luaL_checkany(lua, HANDLER);
                ffi::lua_settop(lua, HANDLER);
            }
        }
        let arguments = ffi::lua_gettop(lua) - HANDLER;
        ffi::lua_pushboolean(lua, 1);
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_rotate(lua, HANDLER + 1, 2);
        let status = ffi::lua_pcallk(lua, arguments, ffi::LUA_MULTRET, 0, 0, Some(returned));
        returned(lua, status, 0)
    }
}

unsafe extern "C-unwind" fn returned(lua: *mut ffi::lua_State, status: c_int, _: isize) -> c_int {
    // SAFETY: called by Lua, or by `xpcall`, with the results or the error on top.
    unsafe {
        match status {
            ffi::LUA_OK | ffi::LUA_YIELD => ffi::lua_gettop(lua) - HANDLER,
            // For want of memory nothing more is called.
            ffi::LUA_ERRMEM => failed(lua),
            _ => handle(lua, 1),
        }
    }
}

/// Calls the handler with the error on top; how often it has been called is counted.
unsafe fn handle(lua: *mut ffi::lua_State, mut call: isize) -> c_int {
    // SAFETY: as in `returned`.
    unsafe {
        loop {
            if call > CALLS_MAX || core_of(lua).handlers >= HANDLERS_MAX {
                ffi::lua_pushstring(lua, c"error in error handling".as_ptr());
                return failed(lua);
            }
            wording::translate_top(lua);
            ffi::lua_pushvalue(lua, HANDLER);
            ffi::lua_rotate(lua, -2, 1);
            core_of(lua).handlers += 1;
            let status = ffi::lua_pcallk(lua, 1, 1, 0, call, Some(handled));
            left_handler(lua);
            if status == ffi::LUA_OK || status == ffi::LUA_ERRMEM {
                return failed(lua);
            }
            call = next_call(lua, call);
        }
    }
}

/// After a handler during which the script was suspended.
unsafe extern "C-unwind" fn handled(lua: *mut ffi::lua_State, status: c_int, call: isize) -> c_int {
    // SAFETY: called by Lua, with the handler's result or its error on top.
    unsafe {
        left_handler(lua);
        match status {
            ffi::LUA_OK | ffi::LUA_YIELD | ffi::LUA_ERRMEM => failed(lua),
            _ => handle(lua, next_call(lua, call)),
        }
    }
}

unsafe fn left_handler(lua: *mut ffi::lua_State) {
    // SAFETY: as in `returned`.
    let core = unsafe { core_of(lua) };
    core.handlers = core.handlers.saturating_sub(1);
}

/// The number of the call after one that has failed: the last one, if there was no room for what the handler called. Where
/// handlers call `xpcall` themselves, each of them would try again, and each of those.
unsafe fn next_call(lua: *mut ffi::lua_State, call: isize) -> isize {
    // SAFETY: as in `returned`; the error is on top.
    unsafe {
        let is_overflow = ffi::lua_type(lua, -1) == ffi::LUA_TSTRING
            && memmem::find(string_at(lua, -1), b"stack overflow").is_some();
        if is_overflow { CALLS_MAX + 1 } else { call + 1 }
    }
}

/// False, and what is on top.
unsafe fn failed(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `returned`.
    unsafe {
        ffi::lua_pushboolean(lua, 0);
        ffi::lua_rotate(lua, -2, 1);
    }
    2
}
