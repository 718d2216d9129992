//! `load`: takes text only, whatever mode the script asks for, and no more of it than a script may be long, since it is
//! compiled in one step.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use mlua::ffi;

use super::core::core_of;

/// The stack: a string or a function that gives pieces, name, mode, environment; then the last piece.
const ENVIRONMENT: c_int = 4;
const PIECE: c_int = 5;

const TOO_LONG: &std::ffi::CStr = c"the chunk is longer than script-source-limit (%I bytes)";

/// What a function has given so far.
struct Pieces {
    bytes: usize,
}

pub(super) unsafe extern "C-unwind" fn load(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. The record outlives the call that uses it.
    unsafe {
        let has_environment = ffi::lua_type(lua, ENVIRONMENT) != ffi::LUA_TNONE;
        let mut len = 0;
        let status = if ffi::lua_isstring(lua, 1) != 0 {
            let text = ffi::lua_tolstring(lua, 1, &raw mut len);
            let name = ffi::luaL_optlstring(lua, 2, text, ptr::null_mut());
            let limit = core_of(lua).source_limit;
            ffi::lua_settop(lua, ENVIRONMENT);
            if len > limit {
                ffi::lua_pushfstring(lua, TOO_LONG.as_ptr(), limit as i64);
                ffi::LUA_ERRSYNTAX
            } else {
                ffi::luaL_loadbufferx(lua, text, len, name, c"t".as_ptr())
            }
        } else {
            let name = ffi::luaL_optlstring(lua, 2, c"=(load)".as_ptr(), ptr::null_mut());
            ffi::luaL_checktype(lua, 1, ffi::LUA_TFUNCTION);
            ffi::lua_settop(lua, PIECE);
            let mut pieces = Pieces { bytes: 0 };
            let data = (&raw mut pieces).cast::<c_void>();
            ffi::lua_load(lua, next_piece, data, name, c"t".as_ptr())
        };
        if status != ffi::LUA_OK {
            ffi::lua_pushnil(lua);
            ffi::lua_rotate(lua, -2, 1);
            return 2;
        }
        if has_environment {
            ffi::lua_pushvalue(lua, ENVIRONMENT);
            if ffi::lua_setupvalue(lua, -2, 1).is_null() {
                ffi::lua_settop(lua, -2);
            }
        }
    }
    1
}

/// Calls the function for its next piece. An error ends `lua_load`, and is what `load` gives.
unsafe extern "C-unwind" fn next_piece(
    lua: *mut ffi::lua_State,
    data: *mut c_void,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: called by `lua_load`, which `load` called with this record.
    unsafe {
        ffi::luaL_checkstack(lua, 2, c"too many nested functions".as_ptr());
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_callk(lua, 0, 1, 0, None);
        if ffi::lua_type(lua, -1) == ffi::LUA_TNIL {
            ffi::lua_settop(lua, -2);
            *len = 0;
            return ptr::null();
        }
        if ffi::lua_isstring(lua, -1) == 0 {
            ffi::luaL_error(lua, c"reader function must return a string".as_ptr());
        }
        ffi::lua_replace(lua, PIECE);
        let piece = ffi::lua_tolstring(lua, PIECE, len);
        let pieces = &mut *data.cast::<Pieces>();
        pieces.bytes += *len;
        let limit = core_of(lua).source_limit;
        if pieces.bytes > limit {
            ffi::lua_pushfstring(lua, TOO_LONG.as_ptr(), limit as i64);
            ffi::lua_error(lua);
        }
        piece
    }
}
