//! The base library as Lua 5.1 has it.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`crate::script::call`] holds.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use mlua::ffi;

use super::wording;
use crate::script::convert::string_at;
use crate::script::core::core_of;
use crate::script::sandbox::{pairs_of_stand_in, set_functions};

const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 6] = [
    (c"assert", assert),
    (c"error", error),
    (c"ipairs", ipairs),
    (c"tonumber", tonumber),
    (c"collectgarbage", collectgarbage),
    (c"gcinfo", gcinfo),
];

/// Replaces what differs in the table of globals at `globals`, and adds what is gone.
///
/// # Safety
/// As for [`crate::script::sandbox::build`]; the base library has been opened.
pub(super) unsafe fn adapt(lua: *mut ffi::lua_State, globals: c_int) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_pushvalue(lua, globals);
        set_functions(lua, &FUNCTIONS);
        ffi::lua_getfield(lua, ffi::LUA_REGISTRYINDEX, ffi::LUA_LOADED_TABLE);
        ffi::lua_getfield(lua, -1, c"_G".as_ptr());
        ffi::lua_getfield(lua, -1, c"next".as_ptr());
        ffi::lua_pushcclosure(lua, pairs, 1);
        ffi::lua_setfield(lua, globals, c"pairs".as_ptr());
        ffi::lua_getfield(lua, globals, c"load".as_ptr());
        ffi::lua_pushcclosure(lua, loadstring, 1);
        ffi::lua_setfield(lua, globals, c"loadstring".as_ptr());
        ffi::lua_settop(lua, globals);
    }
}

unsafe extern "C-unwind" fn assert(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checkany(lua, 1);
        if ffi::lua_toboolean(lua, 1) != 0 {
            return ffi::lua_gettop(lua);
        }
        let message = ffi::luaL_optlstring(lua, 2, c"assertion failed!".as_ptr(), ptr::null_mut());
        ffi::luaL_error(lua, c"%s".as_ptr(), message)
    }
}

/// A number as the error gets its position too.
unsafe extern "C-unwind" fn error(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let level = ffi::luaL_optnumber(lua, 2, 1.0) as c_int;
        ffi::lua_settop(lua, 1);
        if ffi::lua_isstring(lua, 1) != 0 && level > 0 {
            ffi::luaL_where(lua, level);
            ffi::lua_pushvalue(lua, 1);
            ffi::lua_concat(lua, 2);
        }
        ffi::lua_error(lua)
    }
}

/// Lua 5.4 finds another name for the function in a `for`.
unsafe fn check_table(lua: *mut ffi::lua_State, name: &CStr) {
    // SAFETY: as in the callers.
    unsafe {
        let kind = ffi::lua_type(lua, 1);
        if kind != ffi::LUA_TTABLE {
            let found: *const c_char = ffi::lua_typename(lua, kind);
            let text = c"bad argument #1 to '%s' (table expected, got %s)";
            ffi::luaL_error(lua, text.as_ptr(), name.as_ptr(), found);
        }
    }
}

/// The upvalue is Lua's `next`. There is no `__pairs`.
unsafe extern "C-unwind" fn pairs(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        check_table(lua, c"pairs");
        if let Some(results) = pairs_of_stand_in(lua) {
            return results;
        }
        ffi::lua_pushvalue(lua, ffi::lua_upvalueindex(1));
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_pushnil(lua);
    }
    3
}

/// There is no `__index` for its elements.
unsafe extern "C-unwind" fn ipairs(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        check_table(lua, c"ipairs");
        ffi::lua_pushcclosure(lua, ipairs_next, 0);
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_pushinteger(lua, 0);
    }
    3
}

unsafe extern "C-unwind" fn ipairs_next(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        let index = ffi::luaL_checkinteger(lua, 2).wrapping_add(1);
        ffi::lua_pushinteger(lua, index);
        if ffi::lua_rawgeti(lua, 1, index) == ffi::LUA_TNIL {
            return 0;
        }
    }
    2
}

/// With numbers in place of text for other bases than ten too; `nan` and `inf` are numbers.
unsafe extern "C-unwind" fn tonumber(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let base = ffi::luaL_optnumber(lua, 2, 10.0) as i64;
        if base == 10 {
            ffi::luaL_checkany(lua, 1);
            match ffi::lua_type(lua, 1) {
                ffi::LUA_TNUMBER => ffi::lua_pushvalue(lua, 1),
                ffi::LUA_TSTRING => {
                    let text = string_at(lua, 1);
                    if ffi::lua_stringtonumber(lua, text.as_ptr().cast()) == text.len() + 1 {
                        return 1;
                    }
                    match not_finite(text) {
                        Some(number) => ffi::lua_pushnumber(lua, number),
                        None => ffi::lua_pushnil(lua),
                    }
                }
                _ => ffi::lua_pushnil(lua),
            }
            return 1;
        }
        let mut len = 0;
        let text = ffi::luaL_checklstring(lua, 1, &raw mut len);
        if !(2..=36).contains(&base) {
            return ffi::luaL_argerror(lua, 2, c"base out of range".as_ptr());
        }
        let text = std::slice::from_raw_parts(text.cast::<u8>(), len);
        match digits(text, base as u32) {
            Some(number) => ffi::lua_pushnumber(lua, number),
            None => ffi::lua_pushnil(lua),
        }
        whole(lua);
    }
    1
}

/// Makes a float on top an integer where it is one.
unsafe fn whole(lua: *mut ffi::lua_State) {
    // SAFETY: as in the callers.
    unsafe {
        let mut is_whole = 0;
        let number = ffi::lua_tointegerx(lua, -1, &raw mut is_whole);
        if is_whole != 0 {
            ffi::lua_pushinteger(lua, number);
            ffi::lua_replace(lua, -2);
        }
    }
}

fn not_finite(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (sign, word) = match text.split_first()? {
        (b'-', word) => (-1.0, word),
        (b'+', word) => (1.0, word),
        _ => (1.0, text),
    };
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    if is(b"inf") || is(b"infinity") {
        Some(sign * f64::INFINITY)
    } else {
        is(b"nan").then_some(f64::NAN)
    }
}

fn digits(text: &[u8], base: u32) -> Option<f64> {
    let text = text.trim_ascii();
    let (sign, text) = match text.split_first()? {
        (b'-', rest) => (-1.0, rest),
        (b'+', rest) => (1.0, rest),
        _ => (1.0, text),
    };
    let text = match (base, text) {
        (16, [b'0', b'x' | b'X', rest @ ..]) => rest,
        _ => text,
    };
    let mut number = 0.0;
    for byte in text {
        let digit = char::from(*byte).to_digit(base)?;
        number = number * f64::from(base) + f64::from(digit);
    }
    (!text.is_empty()).then_some(sign * number)
}

/// The upvalue is the `load` that takes text only.
unsafe extern "C-unwind" fn loadstring(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checklstring(lua, 1, ptr::null_mut());
        let count = ffi::lua_gettop(lua).min(2);
        ffi::lua_settop(lua, count);
        ffi::lua_pushvalue(lua, ffi::lua_upvalueindex(1));
        ffi::lua_rotate(lua, 1, 1);
        ffi::lua_callk(lua, count, ffi::LUA_MULTRET, 0, None);
        let results = ffi::lua_gettop(lua);
        if results == 2 {
            wording::translate_top(lua);
        }
        results
    }
}

/// Only counts: Lua collects by itself, and what a script asks of the collector would act on the next script too.
unsafe extern "C-unwind" fn collectgarbage(lua: *mut ffi::lua_State) -> c_int {
    let options = [
        c"stop".as_ptr(),
        c"restart".as_ptr(),
        c"collect".as_ptr(),
        c"count".as_ptr(),
        c"step".as_ptr(),
        c"setpause".as_ptr(),
        c"setstepmul".as_ptr(),
        ptr::null(),
    ];
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        match ffi::luaL_checkoption(lua, 1, c"collect".as_ptr(), options.as_ptr()) {
            3 => ffi::lua_pushnumber(lua, core_of(lua).memory.used() as f64 / 1024.0),
            4 => ffi::lua_pushboolean(lua, 1),
            _ => ffi::lua_pushinteger(lua, 0),
        }
    }
    1
}

unsafe extern "C-unwind" fn gcinfo(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { ffi::lua_pushinteger(lua, (core_of(lua).memory.used() / 1024) as i64) };
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_c_does() {
        assert_eq!(digits(b" ff ", 16), Some(255.0));
        assert_eq!(digits(b"0xff", 16), Some(255.0));
        assert_eq!(digits(b"-11", 2), Some(-3.0));
        assert_eq!(digits(b"12", 2), None);
        assert_eq!(digits(b"", 2), None);
        assert_eq!(digits(b"-", 2), None);
        assert_eq!(not_finite(b" -Inf "), Some(f64::NEG_INFINITY));
        assert_eq!(not_finite(b"infinity"), Some(f64::INFINITY));
        assert!(not_finite(b"NaN").unwrap().is_nan());
        assert_eq!(not_finite(b"infinite"), None);
        assert_eq!(not_finite(b""), None);
    }
}
