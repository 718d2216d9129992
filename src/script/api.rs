//! The table `redis`, apart from `call` and `pcall`.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds here too: no destructor is alive
//! where Lua may raise an error.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi;

use super::cache::Sha;
use super::call::{acl_check_cmd, redis_call, redis_pcall};
use super::convert::{push_bytes, push_single_field, string_at};
use super::core::{Stop, core_of};
use super::debugger::errand::show_arguments;
use super::host::{AbortReason, LogLevel};
use super::sandbox::set_functions;
use super::savepoint::{rollback, rollback_to, savepoint};
use super::turn::doom;
use crate::resp::{Protocol, trim_line_ends};

/// What `redis.REDIS_VERSION` and `redis.REDIS_VERSION_NUM` say.
#[derive(Clone, Copy, Debug)]
pub struct RedisVersion {
    pub text: &'static str,
    /// `0x00MMmmpp`.
    pub number: u32,
}

const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 15] = [
    (c"call", redis_call),
    (c"pcall", redis_pcall),
    (c"acl_check_cmd", acl_check_cmd),
    (c"error_reply", error_reply),
    (c"status_reply", status_reply),
    (c"sha1hex", sha1hex),
    (c"log", log),
    (c"setresp", setresp),
    (c"rollback", rollback),
    (c"savepoint", savepoint),
    (c"rollback_to", rollback_to),
    (c"replicate_commands", replicate_commands),
    (c"set_repl", set_repl),
    (c"breakpoint", breakpoint),
    (c"debug", debug),
];

const LOG_LEVELS: [(&CStr, i64); 4] = [
    (c"LOG_DEBUG", LogLevel::Debug as i64),
    (c"LOG_VERBOSE", LogLevel::Verbose as i64),
    (c"LOG_NOTICE", LogLevel::Notice as i64),
    (c"LOG_WARNING", LogLevel::Warning as i64),
];

const REPL_FLAGS: [(&CStr, i64); 5] = [
    (c"REPL_NONE", 0),
    (c"REPL_AOF", 1),
    (c"REPL_SLAVE", 2),
    (c"REPL_REPLICA", 2),
    (c"REPL_ALL", 3),
];

/// Pushes the table `redis`.
///
/// # Safety
/// `lua` must be the state of a VM that is being built.
pub(super) unsafe fn push_table(lua: *mut ffi::lua_State, version: RedisVersion) {
    // SAFETY: the state is fresh and its memory is not limited.
    unsafe {
        ffi::lua_createtable(
            lua,
            0,
            (FUNCTIONS.len() + REPL_FLAGS.len() + LOG_LEVELS.len() + 2) as c_int,
        );
        set_functions(lua, &FUNCTIONS);
        set_constants(lua, &REPL_FLAGS, version);
        set_constants(lua, &LOG_LEVELS, version);
    }
}

/// Pushes the table `redis` that the code of a library sees, apart from `register_function`.
///
/// # Safety
/// `lua` must be the state of a VM outside of a resume, its memory not limited.
pub(super) unsafe fn push_load_table(lua: *mut ffi::lua_State, version: RedisVersion) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_createtable(lua, 0, 8);
        set_functions(lua, &[(c"log", log)]);
        set_constants(lua, &LOG_LEVELS, version);
    }
}

/// Sets numbers in the table on top, and what the server says of its version.
unsafe fn set_constants(
    lua: *mut ffi::lua_State,
    constants: &[(&CStr, i64)],
    version: RedisVersion,
) {
    // SAFETY: as in `push_table` and `push_load_table`.
    unsafe {
        for (name, value) in constants {
            ffi::lua_pushinteger(lua, *value);
            ffi::lua_setfield(lua, -2, name.as_ptr());
        }
        push_bytes(lua, version.text.as_bytes());
        ffi::lua_setfield(lua, -2, c"REDIS_VERSION".as_ptr());
        ffi::lua_pushinteger(lua, version.number.into());
        ffi::lua_setfield(lua, -2, c"REDIS_VERSION_NUM".as_ptr());
    }
}

/// Raises `{err = text}`, which the client sees as it is.
///
/// # Safety
/// Called from a function that Lua called; nothing with a destructor is alive.
pub(super) unsafe fn raise(lua: *mut ffi::lua_State, text: &str) -> c_int {
    // SAFETY: nothing with a destructor is alive in the callers.
    unsafe {
        if let Some(debugger) = &mut core_of(lua).debugger {
            debugger.tell_error(text.as_bytes());
        }
        push_single_field(lua, c"err", text.as_bytes());
        ffi::lua_error(lua)
    }
}

unsafe fn only_string<'a>(lua: *mut ffi::lua_State) -> Option<&'a [u8]> {
    // SAFETY: the argument stays on the stack during the call.
    unsafe {
        (ffi::lua_gettop(lua) == 1 && ffi::lua_type(lua, 1) == ffi::LUA_TSTRING)
            .then(|| string_at(lua, 1))
    }
}

const WRONG_ARGUMENTS: &[u8] = b"ERR wrong number or type of arguments";

unsafe extern "C-unwind" fn status_reply(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; only slices of its own are alive.
    unsafe {
        match only_string(lua) {
            Some(text) => push_single_field(lua, c"ok", text),
            None => push_single_field(lua, c"err", WRONG_ARGUMENTS),
        }
    }
    1
}

/// A leading `-` is dropped; a text of one word is given the code `ERR`.
unsafe extern "C-unwind" fn error_reply(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; only slices of its own are alive.
    unsafe {
        let Some(text) = only_string(lua) else {
            push_single_field(lua, c"err", WRONG_ARGUMENTS);
            return 1;
        };
        let text = trim_line_ends(text.strip_prefix(b"-").unwrap_or(text));
        if text.contains(&b' ') {
            push_single_field(lua, c"err", text);
        } else {
            ffi::lua_createtable(lua, 0, 1);
            push_bytes(lua, b"ERR ");
            push_bytes(lua, text);
            ffi::lua_concat(lua, 2);
            ffi::lua_setfield(lua, -2, c"err".as_ptr());
        }
    }
    1
}

unsafe extern "C-unwind" fn sha1hex(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the argument is converted to a string in its own slot.
    unsafe {
        if ffi::lua_gettop(lua) != 1 {
            return raise(lua, "ERR wrong number of arguments");
        }
        let mut len = 0;
        let start = ffi::lua_tolstring(lua, 1, &raw mut len);
        let text: &[u8] = if start.is_null() {
            b""
        } else {
            std::slice::from_raw_parts(start.cast(), len)
        };
        push_bytes(lua, &Sha::of(text).to_hex());
    }
    1
}

unsafe extern "C-unwind" fn log(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; what `write_log` allocates is freed before it returns.
    unsafe {
        let count = ffi::lua_gettop(lua);
        if count < 2 {
            return raise(lua, "ERR redis.log() requires two arguments or more.");
        }
        if ffi::lua_type(lua, 1) != ffi::LUA_TNUMBER {
            return raise(lua, "ERR First argument must be a number (log level).");
        }
        let number = ffi::lua_tonumberx(lua, 1, std::ptr::null_mut()) as i64;
        let Some(level) = LogLevel::from_number(number) else {
            return raise(lua, "ERR Invalid debug level.");
        };
        for index in 2..=count {
            // Numbers become strings in place, which may raise an error: before anything is allocated.
            ffi::lua_tolstring(lua, index, std::ptr::null_mut());
        }
        // What a library's code says is said once, when it is loaded, not by each call.
        if core_of(lua).registrations.is_for_call() || write_log(lua, level, count) {
            return 0;
        }
        core_of(lua).stop = Some(Stop::Abort(AbortReason::Panicked));
        doom(lua)
    }
}

/// Raises no error of Lua. Tells whether the host survived.
unsafe fn write_log(lua: *mut ffi::lua_State, level: LogLevel, count: c_int) -> bool {
    let mut message = Vec::new();
    // SAFETY: the strings stay on the stack; the host is set while scripts run.
    unsafe {
        for index in 2..=count {
            if ffi::lua_type(lua, index) == ffi::LUA_TSTRING {
                if index > 2 {
                    message.push(b' ');
                }
                message.extend_from_slice(string_at(lua, index));
            }
        }
        let Some(host) = core_of(lua).host else {
            return false;
        };
        catch_unwind(AssertUnwindSafe(|| (*host).log(level, &message))).is_ok()
    }
}

unsafe extern "C-unwind" fn setresp(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) != 1 {
            return raise(lua, "ERR redis.setresp() requires one argument.");
        }
        let protocol = match ffi::lua_tonumberx(lua, 1, std::ptr::null_mut()) as i64 {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return raise(lua, "ERR RESP version must be 2 or 3."),
        };
        core_of(lua).tokens.set_protocol(protocol);
    }
    0
}

/// Effects are what is recorded here, always; this answers as Redis 7 does.
unsafe extern "C-unwind" fn replicate_commands(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { ffi::lua_pushboolean(lua, 1) };
    1
}

/// There is nothing that could leave a write out; the argument is checked as Redis does.
unsafe extern "C-unwind" fn set_repl(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) != 1 {
            return raise(lua, "ERR redis.set_repl() requires two arguments.");
        }
        let flags = ffi::lua_tonumberx(lua, 1, std::ptr::null_mut()) as i64;
        if !(0..=3).contains(&flags) {
            return raise(
                lua,
                "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            );
        }
    }
    0
}

/// Stops a script that is debugged at its next line. Tells whether it is.
unsafe extern "C-unwind" fn breakpoint(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let debugger = &mut core_of(lua).debugger;
        if let Some(debugger) = debugger {
            debugger.break_at_next_line();
        }
        ffi::lua_pushboolean(lua, debugger.is_some().into());
    }
    1
}

/// Shows values to the user of the debugger.
unsafe extern "C-unwind" fn debug(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; memory is not limited while the text is made, which is gone when this returns.
    unsafe {
        let core = core_of(lua);
        if let Some(debugger) = &mut core.debugger {
            core.memory.unlimit();
            debugger.tell_debug(&show_arguments(lua));
            core.memory.limit();
        }
    }
    0
}
