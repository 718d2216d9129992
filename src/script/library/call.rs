//! The run of a library's code, and of a function that it registers.
//!
//! Unsafe code: these are functions that Lua calls, and the building of the table that a library's code sees. The rule of
//! [`super::super::call`] holds.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi;

use super::super::api::{self, RedisVersion, raise};
use super::super::core::core_of;
use super::super::sandbox;
use super::instance;
use super::register::{CALLBACK, FUNCTIONS};

/// The key in Lua's registry of what a library's code sees as globals.
static LOAD_ENVIRONMENT: u8 = 0;

const NOT_REGISTERED: &str = "ERR The library did not register this function when its code was run";

/// Where [`enter`] has its arguments.
const CODE: c_int = 1;
const KEYS: c_int = 2;
const ARGV: c_int = 3;

/// Pushes the stand-in of what a library's code sees as globals: `redis` alone, with what does not touch the keyspace.
///
/// # Safety
/// `lua` must be a state of a VM outside of a resume, its memory not limited.
pub(in super::super) unsafe fn push_load_environment(
    lua: *mut ffi::lua_State,
    version: RedisVersion,
) {
    let key = ptr::from_ref(&LOAD_ENVIRONMENT).cast();
    // SAFETY: as the caller promised; with unlimited memory none of these calls can raise an error.
    unsafe {
        if ffi::lua_rawgetp(lua, ffi::LUA_REGISTRYINDEX, key) != ffi::LUA_TNIL {
            return;
        }
        ffi::lua_settop(lua, -2);
        ffi::lua_createtable(lua, 0, 1);
        api::push_load_table(lua, version);
        sandbox::set_functions(lua, &FUNCTIONS);
        sandbox::refuse_unknown_names(lua, ffi::lua_gettop(lua));
        sandbox::protect(lua);
        ffi::lua_setfield(lua, -2, c"redis".as_ptr());
        sandbox::refuse_unknown_names(lua, ffi::lua_gettop(lua));
        sandbox::protect(lua);
        ffi::lua_pushvalue(lua, -1);
        ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, key);
    }
}

/// Forgets the function that an earlier run has left, perhaps without having called it.
///
/// # Safety
/// As for [`push_load_environment`].
pub(in super::super) unsafe fn forget_callback(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_pushnil(lua);
        ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, ptr::from_ref(&CALLBACK).cast());
    }
}

/// The coroutine's function for libraries. Its arguments: the compiled code, and where a function is to be called, tables of
/// keys and arguments.
pub(in super::super) unsafe extern "C-unwind" fn enter(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the continuation makes it possible to suspend the code.
    unsafe {
        ffi::lua_pushvalue(lua, CODE);
        ffi::lua_callk(lua, 0, 0, 0, Some(registered));
        registered(lua, ffi::LUA_OK, 0)
    }
}

/// The library's code has been run.
unsafe extern "C-unwind" fn registered(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: called by Lua or by `enter`, with the arguments on the stack; nothing with a destructor is alive.
    unsafe {
        let registrations = &mut core_of(lua).registrations;
        registrations.is_open = false;
        if registrations.wanted.is_none() {
            return 0;
        }
        show_everything(lua);
        let callback = ptr::from_ref(&CALLBACK).cast();
        if ffi::lua_rawgetp(lua, ffi::LUA_REGISTRYINDEX, callback) != ffi::LUA_TFUNCTION {
            return raise(lua, NOT_REGISTERED);
        }
        if core_of(lua).registrations.keeps {
            let kept = instance::keep(lua);
            core_of(lua).registrations.kept = Some(kept);
        }
        ffi::lua_pushvalue(lua, KEYS);
        ffi::lua_pushvalue(lua, ARGV);
        ffi::lua_callk(lua, 2, 1, 0, Some(called));
        1
    }
}

unsafe extern "C-unwind" fn called(_: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    1
}

/// Gives the library's functions the globals of scripts. They all share the variable `_ENV` of the code around them. One that
/// the code has put in its place stays.
unsafe fn show_everything(lua: *mut ffi::lua_State) {
    // SAFETY: as in `registered`. The registry keeps the globals' stand-in where Lua looks for globals.
    unsafe {
        ffi::lua_getupvalue(lua, CODE, 1);
        let seen = ptr::from_ref(&LOAD_ENVIRONMENT).cast();
        ffi::lua_rawgetp(lua, ffi::LUA_REGISTRYINDEX, seen);
        let is_untouched = ffi::lua_rawequal(lua, -1, -2) != 0;
        ffi::lua_settop(lua, -3);
        if is_untouched {
            ffi::lua_rawgeti(lua, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_GLOBALS);
            ffi::lua_setupvalue(lua, CODE, 1);
        }
    }
}
