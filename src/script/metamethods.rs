//! Metamethods that library functions call: `__tostring` in `tostring` and `string.format`, `__index` in `table.concat` and
//! `string.gsub`, `__lt` in `table.sort`.
//!
//! Where Lua calls a metamethod from a function that is not Lua code, the script cannot be suspended in it. So these
//! functions look for the metamethod and call it as they would call a callback, with a continuation. What is not here (the
//! `__len` of a table that is no table, `__index` in `table.unpack`) goes on for a second at most ([`super::turn`]).
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi;

use super::convert::string_at;

pub(super) unsafe extern "C-unwind" fn tostring(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checkany(lua, 1);
        ffi::lua_settop(lua, 1);
        if ffi::luaL_getmetafield(lua, 1, c"__tostring".as_ptr()) == ffi::LUA_TNIL {
            ffi::luaL_tolstring(lua, 1, ptr::null_mut());
            return 1;
        }
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_callk(lua, 1, 1, 0, Some(tostring_on));
        tostring_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn tostring_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: what the metamethod gave is on top.
    unsafe {
        check_text(lua);
        ffi::lua_tolstring(lua, -1, ptr::null_mut());
    }
    1
}

/// Checks what `__tostring` has given.
unsafe fn check_text(lua: *mut ffi::lua_State) {
    // SAFETY: as in the callers.
    unsafe {
        if ffi::lua_isstring(lua, -1) == 0 {
            ffi::luaL_error(lua, c"'__tostring' must return a string".as_ptr());
        }
    }
}

/// `string.format`; the upvalue is Lua's own, which finds text where a `%s` stands for a value with `__tostring`.
pub(super) unsafe extern "C-unwind" fn format(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { format_from(lua, 2) }
}

/// The number of the argument whose text is on top.
unsafe extern "C-unwind" fn format_on(
    lua: *mut ffi::lua_State,
    _: c_int,
    argument: isize,
) -> c_int {
    // SAFETY: as in `format`; what the metamethod gave is on top.
    unsafe {
        let argument = argument as c_int;
        check_text(lua);
        ffi::lua_replace(lua, argument);
        format_from(lua, argument + 1)
    }
}

unsafe fn format_from(lua: *mut ffi::lua_State, first: c_int) -> c_int {
    // SAFETY: as in `format`; the upvalue is a function of C without upvalues.
    unsafe {
        for argument in first..=ffi::lua_gettop(lua) {
            let kind = ffi::lua_type(lua, argument);
            if (kind == ffi::LUA_TTABLE || kind == ffi::LUA_TUSERDATA)
                && ffi::lua_type(lua, 1) == ffi::LUA_TSTRING
                && conversion(string_at(lua, 1), argument - 1) == Some(b's')
                && ffi::luaL_getmetafield(lua, argument, c"__tostring".as_ptr()) != ffi::LUA_TNIL
            {
                ffi::lua_pushvalue(lua, argument);
                ffi::lua_callk(lua, 1, 1, argument as isize, Some(format_on));
                check_text(lua);
                ffi::lua_replace(lua, argument);
            }
        }
        match ffi::lua_tocfunction(lua, ffi::lua_upvalueindex(1)) {
            Some(original) => original(lua),
            None => 0,
        }
    }
}

/// What a format does with its argument of this number, counted from 1.
fn conversion(format: &[u8], wanted: c_int) -> Option<u8> {
    let mut rest = format;
    let mut argument = 0;
    loop {
        let percent = rest.iter().position(|byte| *byte == b'%')?;
        rest = &rest[percent + 1..];
        let is_flag = |byte: &u8| b"-+ #0123456789.".contains(byte);
        let at = rest.iter().position(|byte| !is_flag(byte))?;
        let conversion = rest[at];
        rest = &rest[at + 1..];
        argument += c_int::from(conversion != b'%');
        if argument == wanted {
            return Some(conversion);
        }
    }
}

/// Pushes what a table has under the key on top, which stays there; an `__index` that is a function is called with the
/// continuation, which finds its result on top.
///
/// # Safety
/// Called from a function that Lua called; nothing with a destructor is alive. Does not return where the script is suspended.
pub(super) unsafe fn get(
    lua: *mut ffi::lua_State,
    table: c_int,
    context: isize,
    again: ffi::lua_KFunction,
) {
    // SAFETY: as the caller promised.
    unsafe {
        if ffi::lua_type(lua, table) == ffi::LUA_TTABLE {
            ffi::lua_pushvalue(lua, -1);
            if ffi::lua_rawget(lua, table) != ffi::LUA_TNIL {
                return;
            }
            ffi::lua_settop(lua, -2);
        }
        match ffi::luaL_getmetafield(lua, table, c"__index".as_ptr()) {
            ffi::LUA_TNIL => {}
            ffi::LUA_TFUNCTION => {
                ffi::lua_pushvalue(lua, table);
                ffi::lua_pushvalue(lua, -3);
                ffi::lua_callk(lua, 2, 1, context, Some(again));
                return;
            }
            _ => ffi::lua_settop(lua, -2),
        }
        ffi::lua_pushvalue(lua, -1);
        ffi::lua_gettable(lua, table);
    }
}

/// Pushes whether the second value from the top is less than the one on top; `__lt` is called with the continuation, which
/// finds its result on top.
///
/// # Safety
/// As for [`get`].
pub(super) unsafe fn less(lua: *mut ffi::lua_State, context: isize, again: ffi::lua_KFunction) {
    // SAFETY: as the caller promised.
    unsafe {
        let kinds = (ffi::lua_type(lua, -2), ffi::lua_type(lua, -1));
        let is_plain = kinds.0 == kinds.1 && matches!(kinds.0, ffi::LUA_TNUMBER | ffi::LUA_TSTRING);
        let has_method = !is_plain
            && (ffi::luaL_getmetafield(lua, -2, c"__lt".as_ptr()) != ffi::LUA_TNIL
                || ffi::luaL_getmetafield(lua, -1, c"__lt".as_ptr()) != ffi::LUA_TNIL);
        if !has_method {
            let is_less = ffi::lua_compare(lua, -2, -1, ffi::LUA_OPLT);
            ffi::lua_pushboolean(lua, is_less);
            return;
        }
        ffi::lua_rotate(lua, -3, 1);
        ffi::lua_callk(lua, 2, 1, context, Some(again));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_format_does_with_an_argument() {
        let format = b"%5.1f%%%s %-10s%";
        let found = (1..=4).map(|argument| conversion(format, argument));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [Some(b'f'), Some(b's'), Some(b's'), None]
        );
        assert_eq!(conversion(b"%", 1), None);
    }
}
