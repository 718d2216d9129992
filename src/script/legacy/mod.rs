//! Names of Lua 5.1 that scripts for Redis use. Dialect `redis` has them, dialect `aikv` does not.
//!
//! Numbers are integers or floats here, but look alike ([`super::whole`]), and an argument that has to be whole is cut, not
//! refused. What remains of Lua 5.4 is listed in `docs/scripting.md`. `setfenv`, `getfenv` and `module` are absent, as in
//! Redis 7.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::cache::Dialect;
use super::sandbox::set_functions;

mod base;
mod text;
pub(super) mod wording;

/// Gives the library on top the names of its dialect.
///
/// # Safety
/// As for [`super::sandbox::build`].
pub(super) unsafe fn adapt_library(lua: *mut ffi::lua_State, name: &CStr, dialect: Dialect) {
    // SAFETY: as the caller promised.
    unsafe {
        match dialect {
            // The vendored Lua is built with its compatibility names of 5.3.
            Dialect::Aikv if name == c"math" => {
                for absent in MATH_51 {
                    ffi::lua_pushnil(lua);
                    ffi::lua_setfield(lua, -2, absent.as_ptr());
                }
            }
            Dialect::Redis if name == c"math" => {
                text::cut_arguments(lua, c"random", 1, 2);
                set_functions(lua, &[(c"log", log)]);
                wrap(lua, c"fmod", fmod);
                alias(lua, c"fmod", c"mod");
            }
            Dialect::Redis if name == c"string" => {
                alias(lua, c"gmatch", c"gfind");
                text::adapt(lua);
            }
            Dialect::Redis if name == c"table" => {
                set_functions(lua, &TABLE_51);
                text::cut_arguments(lua, c"concat", 3, 4);
                text::cut_arguments(lua, c"remove", 2, 2);
                wrap(lua, c"insert", insert);
                wrap(lua, c"unpack", unpack);
            }
            _ => {}
        }
    }
}

/// Adds what the base library of Lua 5.1 has, and `unpack`.
///
/// # Safety
/// As for [`super::sandbox::build`]; the libraries are there.
pub(super) unsafe fn adapt_globals(lua: *mut ffi::lua_State, globals: c_int) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_getfield(lua, globals, c"table".as_ptr());
        ffi::lua_getfield(lua, -1, c"unpack".as_ptr());
        ffi::lua_setfield(lua, globals, c"unpack".as_ptr());
        ffi::lua_settop(lua, globals);
        base::adapt(lua, globals);
    }
}

const MATH_51: [&CStr; 7] = [
    c"cosh", c"sinh", c"tanh", c"pow", c"frexp", c"ldexp", c"log10",
];

const TABLE_51: [(&CStr, ffi::lua_CFunction); 5] = [
    (c"getn", getn),
    (c"setn", setn),
    (c"maxn", maxn),
    (c"foreach", foreach),
    (c"foreachi", foreachi),
];

unsafe fn alias(lua: *mut ffi::lua_State, name: &CStr, also: &CStr) {
    // SAFETY: as `adapt_library` demands.
    unsafe {
        ffi::lua_getfield(lua, -1, name.as_ptr());
        ffi::lua_setfield(lua, -2, also.as_ptr());
    }
}

/// Puts a function before the one of this name, which becomes its upvalue.
unsafe fn wrap(lua: *mut ffi::lua_State, name: &CStr, function: ffi::lua_CFunction) {
    // SAFETY: as `adapt_library` demands.
    unsafe {
        ffi::lua_getfield(lua, -1, name.as_ptr());
        ffi::lua_pushcclosure(lua, function, 1);
        ffi::lua_setfield(lua, -2, name.as_ptr());
    }
}

/// Goes on as the function that [`wrap`] has found, in the same call.
unsafe fn original(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called from a function that `wrap` made; what it found is a function of Rust or C without upvalues.
    unsafe {
        match ffi::lua_tocfunction(lua, ffi::lua_upvalueindex(1)) {
            Some(function) => function(lua),
            None => 0,
        }
    }
}

/// There is no base.
unsafe extern "C-unwind" fn log(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let value = ffi::luaL_checknumber(lua, 1);
        ffi::lua_pushnumber(lua, value.ln());
    }
    1
}

/// What is left of a division by zero is no error, but no number.
unsafe extern "C-unwind" fn fmod(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::luaL_checknumber(lua, 2) == 0.0 {
            let value = ffi::luaL_checknumber(lua, 1);
            ffi::lua_pushnumber(lua, value % 0.0);
            return 1;
        }
        original(lua)
    }
}

unsafe extern "C-unwind" fn insert(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) == 3 {
            text::cut(lua, 2, 2);
        }
        original(lua)
    }
}

unsafe extern "C-unwind" fn unpack(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        text::cut(lua, 2, 3);
        original(lua)
    }
}

unsafe extern "C-unwind" fn setn(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::luaL_error(lua, c"'setn' is obsolete".as_ptr())
    }
}

unsafe extern "C-unwind" fn getn(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::lua_pushinteger(lua, ffi::lua_rawlen(lua, 1) as i64);
    }
    1
}

unsafe extern "C-unwind" fn maxn(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        let mut highest: f64 = 0.0;
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, 1) != 0 {
            ffi::lua_settop(lua, -2);
            if ffi::lua_type(lua, -1) == ffi::LUA_TNUMBER {
                highest = highest.max(ffi::lua_tonumberx(lua, -1, ptr::null_mut()));
            }
        }
        if highest.fract() == 0.0 && highest.abs() < i64::MAX as f64 {
            ffi::lua_pushinteger(lua, highest as i64);
        } else {
            ffi::lua_pushnumber(lua, highest);
        }
    }
    1
}

/// The stack: table, function, key.
unsafe extern "C-unwind" fn foreach(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(lua, 2, ffi::LUA_TFUNCTION);
        ffi::lua_settop(lua, 2);
        ffi::lua_pushnil(lua);
        foreach_next(lua)
    }
}

unsafe fn foreach_next(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `foreach`; what is on top is the key after which to go on.
    unsafe {
        while ffi::lua_next(lua, 1) != 0 {
            ffi::lua_pushvalue(lua, 2);
            ffi::lua_pushvalue(lua, -3);
            ffi::lua_pushvalue(lua, -3);
            ffi::lua_callk(lua, 2, 1, 0, Some(foreach_on));
            if ffi::lua_type(lua, -1) != ffi::LUA_TNIL {
                return 1;
            }
            ffi::lua_settop(lua, 3);
        }
    }
    0
}

/// After a call during which the script was suspended.
unsafe extern "C-unwind" fn foreach_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: Lua goes on with the stack that `foreach_next` made, and the call's result on top.
    unsafe {
        if ffi::lua_type(lua, -1) != ffi::LUA_TNIL {
            return 1;
        }
        ffi::lua_settop(lua, 3);
        foreach_next(lua)
    }
}

unsafe extern "C-unwind" fn foreachi(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(lua, 2, ffi::LUA_TFUNCTION);
        ffi::lua_settop(lua, 2);
        foreachi_from(lua, 1)
    }
}

unsafe fn foreachi_from(lua: *mut ffi::lua_State, first: i64) -> c_int {
    // SAFETY: as in `foreachi`.
    unsafe {
        for index in first..=ffi::lua_rawlen(lua, 1) as i64 {
            ffi::lua_pushvalue(lua, 2);
            ffi::lua_pushinteger(lua, index);
            ffi::lua_rawgeti(lua, 1, index);
            ffi::lua_callk(lua, 2, 1, index as isize, Some(foreachi_on));
            if ffi::lua_type(lua, -1) != ffi::LUA_TNIL {
                return 1;
            }
            ffi::lua_settop(lua, 2);
        }
    }
    0
}

/// After a call during which the script was suspended.
unsafe extern "C-unwind" fn foreachi_on(lua: *mut ffi::lua_State, _: c_int, index: isize) -> c_int {
    // SAFETY: Lua goes on with the stack that `foreachi_from` made, and the call's result on top.
    unsafe {
        if ffi::lua_type(lua, -1) != ffi::LUA_TNIL {
            return 1;
        }
        ffi::lua_settop(lua, 2);
        foreachi_from(lua, index as i64 + 1)
    }
}
