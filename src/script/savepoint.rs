//! `redis.rollback`, `redis.savepoint` and `redis.rollback_to`: a script takes back what it did, or a part of it.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi;

use super::api::raise;
use super::core::{Stop, core_of};
use super::host::{AbortReason, Host};
use super::turn::doom;

/// What a script holds: a name, and the run in which it means something.
#[derive(Clone, Copy)]
#[repr(C)]
struct Mark {
    run_number: u64,
    name: u64,
}

/// Makes the registry slots that this needs.
///
/// # Safety
/// `lua` must be the main state of a VM that is being built, its memory not limited.
pub(super) unsafe fn prepare(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised; with unlimited memory none of these calls can raise an error.
    unsafe {
        ffi::lua_pushboolean(lua, 0);
        core_of(lua).rollback_slot = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
        ffi::lua_createtable(lua, 0, 2);
        ffi::lua_pushstring(lua, c"savepoint".as_ptr());
        ffi::lua_setfield(lua, -2, c"__name".as_ptr());
        // What `getmetatable` shows instead of it.
        ffi::lua_pushboolean(lua, 0);
        ffi::lua_setfield(lua, -2, c"__metatable".as_ptr());
        core_of(lua).savepoint_slot = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
    }
}

/// Ends the script with its argument as the reply, and has everything taken back that it did.
pub(super) unsafe extern "C-unwind" fn rollback(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; setting a slot of the registry that is there needs no memory.
    unsafe {
        if is_over(lua) {
            return doom(lua);
        }
        ffi::lua_settop(lua, 1);
        let core = core_of(lua);
        ffi::lua_rawseti(lua, ffi::LUA_REGISTRYINDEX, core.rollback_slot.into());
        core.stop = Some(Stop::RolledBack);
        doom(lua)
    }
}

/// A value that stands for what the script has done so far.
pub(super) unsafe extern "C-unwind" fn savepoint(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive where it may raise an error.
    unsafe {
        if is_over(lua) {
            return doom(lua);
        }
        let mark = ffi::lua_newuserdatauv(lua, size_of::<Mark>(), 0).cast::<Mark>();
        let core = core_of(lua);
        ffi::lua_rawgeti(lua, ffi::LUA_REGISTRYINDEX, core.savepoint_slot.into());
        ffi::lua_setmetatable(lua, -2);
        match ask(lua, |host| host.savepoint()) {
            Some(Some(name)) => mark.write(Mark {
                run_number: core.run_number,
                name,
            }),
            Some(None) => {
                return raise(
                    lua,
                    "ERR redis.savepoint() was called too often in one script.",
                );
            }
            None => return panicked(lua),
        }
    }
    1
}

/// Takes back what was done since the savepoint.
pub(super) unsafe extern "C-unwind" fn rollback_to(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if is_over(lua) {
            return doom(lua);
        }
        let Some(mark) = only_mark(lua) else {
            return raise(lua, "ERR redis.rollback_to() requires a savepoint.");
        };
        if mark.run_number != core_of(lua).run_number {
            return raise(lua, "ERR This savepoint is of another run.");
        }
        match ask(lua, |host| host.rollback_to(mark.name)) {
            Some(true) => 0,
            Some(false) => raise(
                lua,
                "ERR This savepoint is gone: the script has rolled back to an earlier one.",
            ),
            None => panicked(lua),
        }
    }
}

unsafe fn is_over(lua: *mut ffi::lua_State) -> bool {
    // SAFETY: `lua` is the state of a running script.
    unsafe { core_of(lua).stop.as_ref().is_some_and(Stop::is_final) }
}

/// The savepoint that is the only argument.
unsafe fn only_mark(lua: *mut ffi::lua_State) -> Option<Mark> {
    // SAFETY: a userdata with this metatable was made by `savepoint`, and written before anybody could see it.
    unsafe {
        if ffi::lua_gettop(lua) != 1
            || ffi::lua_type(lua, 1) != ffi::LUA_TUSERDATA
            || ffi::lua_getmetatable(lua, 1) == 0
        {
            return None;
        }
        let slot = core_of(lua).savepoint_slot;
        ffi::lua_rawgeti(lua, ffi::LUA_REGISTRYINDEX, slot.into());
        (ffi::lua_rawequal(lua, -1, -2) != 0)
            .then(|| ffi::lua_touserdata(lua, 1).cast::<Mark>().read())
    }
}

/// Asks the host; `None`: it panicked.
unsafe fn ask<R>(lua: *mut ffi::lua_State, question: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
    // SAFETY: the host is set for the time of the resume, and nobody else uses it while the script calls this.
    unsafe {
        let host = core_of(lua).host?;
        catch_unwind(AssertUnwindSafe(|| question(&mut *host))).ok()
    }
}

unsafe fn panicked(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: nothing with a destructor is alive in the callers.
    unsafe {
        core_of(lua).stop = Some(Stop::Abort(AbortReason::Panicked));
        doom(lua)
    }
}
