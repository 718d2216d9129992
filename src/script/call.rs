//! `redis.call` and `redis.pcall`: the hot path.
//!
//! Unsafe code, measured: going through mlua's safe API doubles the cost of a call. The rule that keeps it sound: Lua
//! leaves a failed function with a longjmp, so whenever Lua may raise an error, no value with a destructor lives on
//! the Rust stack; what must live longer is kept in the [`Core`]. While the reply is pushed, memory is not limited,
//! and nothing can fail.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;

use super::cache::Dialect;
use super::convert::{push_bytes, push_reply, push_single_field, string_at};
use super::core::{Core, Stop, core_of};
use super::host::{AbortReason, Called};
use super::joiner::raise_out_of_memory;
use super::turn::doom;
use crate::base::number::DoubleText;

/// `redis.call`: an error reply is raised.
pub(super) unsafe extern "C-unwind" fn redis_call(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with a state of a VM.
    unsafe { call(lua, OnError::Raise) }
}

/// `redis.pcall`: an error reply is returned.
pub(super) unsafe extern "C-unwind" fn redis_pcall(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with a state of a VM.
    unsafe { call(lua, OnError::Return) }
}

/// `redis.acl_check_cmd`.
pub(super) unsafe extern "C-unwind" fn acl_check_cmd(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with a state of a VM; where it fails nothing with a destructor is alive.
    unsafe {
        let core = core_of(lua);
        if let Err(text) = collect_arguments(lua, core) {
            return fail(lua, core, text.as_bytes(), OnError::Raise);
        }
        let answer = match core.host {
            Some(host) => {
                let args = &core.args;
                catch_unwind(AssertUnwindSafe(|| (*host).may_call(args)))
            }
            None => Ok(None),
        };
        core.args.clear();
        match answer {
            Ok(Some(may)) => {
                ffi::lua_pushboolean(lua, may.into());
                1
            }
            Ok(None) => fail(lua, core, UNKNOWN_TO_ACL.as_bytes(), OnError::Raise),
            Err(panic) => {
                drop(panic);
                core.stop = Some(Stop::Abort(AbortReason::Panicked));
                doom(lua)
            }
        }
    }
}

const UNKNOWN_TO_ACL: &str = "ERR Invalid command passed to redis.acl_check_cmd()";

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnError {
    Raise,
    Return,
}

/// The most bytes that a number takes as text.
const NUMBER_LEN_MAX: usize = 24;
/// Room on the Lua stack for an error.
const ERROR_SLOTS: c_int = 8;

const NO_ARGUMENTS: &str = "ERR Please specify at least one argument for this redis lib call";
const BAD_ARGUMENT: &str = "ERR Lua redis lib command arguments must be strings or integers";

unsafe fn call(lua: *mut ffi::lua_State, on_error: OnError) -> c_int {
    // SAFETY: `lua` belongs to a VM; `core` is the only reference to its core until this function is left.
    let core = unsafe { core_of(lua) };
    if core.stop.as_ref().is_some_and(Stop::is_final) {
        // SAFETY: nothing with a destructor is alive.
        return unsafe { doom(lua) };
    }
    core.tokens.clear();
    // SAFETY: the arguments are on the stack of this call; where it fails nothing with a destructor is alive.
    unsafe {
        if let Err(text) = collect_arguments(lua, core) {
            return fail(lua, core, text.as_bytes(), on_error);
        }
    }
    if let Some(debugger) = &mut core.debugger {
        debugger.begin_call(&core.args);
    }
    match ask_host(core) {
        Called::Done => {
            if let Some(debugger) = &mut core.debugger {
                debugger.end_call(&core.tokens);
            }
            // SAFETY: nothing with a destructor is alive.
            unsafe { answer(lua, core, on_error) }
        }
        Called::WaitForLock => {
            // SAFETY: as above; yielding leaves the arguments on the stack for `again`.
            unsafe {
                if ffi::lua_isyieldable(lua) == 0 {
                    core.stop = Some(Stop::Restart);
                    return doom(lua);
                }
                core.stop = Some(Stop::WaitForLock);
                let again = match on_error {
                    OnError::Raise => call_again,
                    OnError::Return => pcall_again,
                };
                ffi::lua_yieldk(lua, 0, 0, Some(again))
            }
        }
        Called::Restart => {
            core.stop = Some(Stop::Restart);
            // SAFETY: nothing with a destructor is alive.
            unsafe { doom(lua) }
        }
        Called::Abort(reason) => {
            core.stop = Some(Stop::Abort(reason));
            // SAFETY: the reason has moved into the core.
            unsafe { doom(lua) }
        }
    }
}

unsafe extern "C-unwind" fn call_again(
    lua: *mut ffi::lua_State,
    _status: c_int,
    _context: isize,
) -> c_int {
    // SAFETY: Lua continues the call with the stack as it was.
    unsafe { call(lua, OnError::Raise) }
}

unsafe extern "C-unwind" fn pcall_again(
    lua: *mut ffi::lua_State,
    _status: c_int,
    _context: isize,
) -> c_int {
    // SAFETY: Lua continues the call with the stack as it was.
    unsafe { call(lua, OnError::Return) }
}

/// Runs the command; a panic ends the run.
fn ask_host(core: &mut Core) -> Called {
    let called = match core.host {
        Some(host) => {
            let (args, tokens) = (&core.args, &mut core.tokens);
            // SAFETY: set for the time of the resume, which this call is part of; nobody else uses the host.
            let host = unsafe { &mut *host };
            catch_unwind(AssertUnwindSafe(|| host.call(args, tokens)))
                .unwrap_or(Called::Abort(AbortReason::Panicked))
        }
        None => Called::Abort(AbortReason::Panicked),
    };
    core.args.clear();
    called
}

/// Fills `core.args` without copying strings. Numbers are written as Redis writes them.
unsafe fn collect_arguments(lua: *mut ffi::lua_State, core: &mut Core) -> Result<(), &'static str> {
    core.args.clear();
    core.numbers.clear();
    // SAFETY: indexes up to the top are valid, and nothing here converts or moves a value. Strings stay on the stack
    // for as long as `core.args` is used; `numbers` has room for all numbers before the first is written.
    unsafe {
        let count = ffi::lua_gettop(lua);
        if count == 0 {
            return Err(NO_ARGUMENTS);
        }
        let mut has_room = false;
        for index in 1..=count {
            match ffi::lua_type(lua, index) {
                ffi::LUA_TSTRING => core.args.push(string_at(lua, index)),
                ffi::LUA_TNUMBER => {
                    if !has_room {
                        core.numbers.reserve(count as usize * NUMBER_LEN_MAX);
                        has_room = true;
                    }
                    let start = core.numbers.len();
                    append_number(lua, index, &mut core.numbers);
                    let len = core.numbers.len() - start;
                    let text = core.numbers.as_ptr().add(start);
                    core.args.push(std::slice::from_raw_parts(text, len));
                }
                _ => {
                    core.args.clear();
                    return Err(BAD_ARGUMENT);
                }
            }
        }
    }
    Ok(())
}

unsafe fn append_number(lua: *mut ffi::lua_State, index: c_int, numbers: &mut Vec<u8>) {
    // SAFETY: the value is a number, which these calls leave as it is.
    unsafe {
        if ffi::lua_isinteger(lua, index) != 0 {
            let value = ffi::lua_tointegerx(lua, index, ptr::null_mut());
            numbers.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        } else {
            let value = ffi::lua_tonumberx(lua, index, ptr::null_mut());
            numbers.extend_from_slice(DoubleText::new(value).as_bytes());
        }
    }
}

unsafe fn answer(lua: *mut ffi::lua_State, core: &mut Core, on_error: OnError) -> c_int {
    // SAFETY: the reply is pushed with unlimited memory, so no error can arise before the last statements, where only
    // references are alive.
    unsafe {
        core.memory.unlimit();
        if let Some(text) = core.tokens.error_text()
            && on_error == OnError::Raise
        {
            ffi::lua_settop(lua, 0);
            push_single_field(lua, c"err", text);
            core.memory.limit();
            ffi::lua_error(lua);
        }
        push_reply(lua, &core.tokens, core.dialect);
        core.memory.limit();
        if core.memory.is_exceeded() {
            return raise_out_of_memory(lua);
        }
        1
    }
}

/// Answers with an error of our own, which begins with its code.
unsafe fn fail(lua: *mut ffi::lua_State, core: &mut Core, text: &[u8], on_error: OnError) -> c_int {
    // SAFETY: as in `answer`.
    unsafe {
        if ffi::lua_checkstack(lua, ERROR_SLOTS) == 0 {
            ffi::lua_settop(lua, 0);
        }
        if let Some(debugger) = &mut core.debugger {
            debugger.tell_error(text);
        }
        core.memory.unlimit();
        match (on_error, core.dialect) {
            (OnError::Return, Dialect::Aikv) => push_bytes(lua, text),
            _ => push_single_field(lua, c"err", text),
        }
        core.memory.limit();
        match on_error {
            OnError::Return => 1,
            OnError::Raise => ffi::lua_error(lua),
        }
    }
}
