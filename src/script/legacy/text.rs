//! The string library as Lua 5.1 has it, and arguments that are cut to whole numbers.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`crate::script::call`] holds.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::{original, wrap};
use crate::script::convert::string_at;
use crate::script::core::core_of;
use crate::script::joiner::Joiner;

/// Replaces what differs in the library on top of the stack.
///
/// # Safety
/// As for [`super::adapt_library`].
pub(super) unsafe fn adapt(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        cut_arguments(lua, c"sub", 2, 3);
        cut_arguments(lua, c"byte", 2, 3);
        cut_arguments(lua, c"char", 1, c_int::MAX);
        wrap(lua, c"rep", rep);
        wrap(lua, c"format", format);
    }
}

/// Has the arguments from the `first` to the `last` of a function of the library on top cut to whole numbers.
///
/// # Safety
/// As for [`super::adapt_library`].
pub(super) unsafe fn cut_arguments(
    lua: *mut ffi::lua_State,
    name: &CStr,
    first: c_int,
    last: c_int,
) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_getfield(lua, -1, name.as_ptr());
        ffi::lua_pushinteger(lua, first.into());
        ffi::lua_pushinteger(lua, last.into());
        ffi::lua_pushcclosure(lua, with_cut_arguments, 3);
        ffi::lua_setfield(lua, -2, name.as_ptr());
    }
}

unsafe extern "C-unwind" fn with_cut_arguments(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the upvalues are those that `cut_arguments` gave.
    unsafe {
        let limit = |upvalue| {
            ffi::lua_tointegerx(lua, ffi::lua_upvalueindex(upvalue), ptr::null_mut()) as c_int
        };
        cut(lua, limit(2), limit(3));
        original(lua)
    }
}

/// Cuts the arguments from the `first` to the `last` to whole numbers, where they are numbers and not whole.
///
/// # Safety
/// Called from a function that Lua called.
pub(super) unsafe fn cut(lua: *mut ffi::lua_State, first: c_int, last: c_int) {
    // SAFETY: as the caller promised.
    unsafe {
        for index in first..=last.min(ffi::lua_gettop(lua)) {
            let kind = ffi::lua_type(lua, index);
            if kind != ffi::LUA_TNUMBER && kind != ffi::LUA_TSTRING {
                continue;
            }
            let mut is_number = 0;
            let number = ffi::lua_tonumberx(lua, index, &raw mut is_number);
            let is_integer = in_range(number) && number.fract() == 0.0;
            if is_number != 0 && !is_integer {
                ffi::lua_pushinteger(lua, as_integer(number));
                ffi::lua_replace(lua, index);
            }
        }
    }
}

/// As C does it on x86 and ARM in range; beyond, and for NaN, as on x86.
fn as_integer(number: f64) -> i64 {
    if in_range(number) {
        number as i64
    } else {
        i64::MIN
    }
}

fn in_range(number: f64) -> bool {
    number >= i64::MIN as f64 && number < -(i64::MIN as f64)
}

/// There is no separator.
unsafe extern "C-unwind" fn rep(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) > 2 {
            ffi::lua_settop(lua, 2);
        }
        cut(lua, 2, 2);
        original(lua)
    }
}

/// Numbers are cut where they have to be whole, and `%s` takes strings and numbers only.
unsafe extern "C-unwind" fn format(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. The format stays on the stack while it is read.
    unsafe {
        ffi::luaL_checklstring(lua, 1, ptr::null_mut());
        let template = string_at(lua, 1);
        let mut argument = 1;
        let mut at = 0;
        let mut quotes = false;
        while let Some(percent) = template[at..].iter().position(|byte| *byte == b'%') {
            at += percent + 1;
            let flags = template[at..]
                .iter()
                .take_while(|byte| b"-+ #0123456789.".contains(byte));
            at += flags.count();
            let Some(conversion) = template.get(at) else {
                break;
            };
            at += 1;
            if *conversion == b'%' {
                continue;
            }
            argument += 1;
            if argument > ffi::lua_gettop(lua) {
                return ffi::luaL_argerror(lua, argument, c"no value".as_ptr());
            }
            match conversion {
                b'd' | b'i' | b'u' | b'c' | b'x' | b'X' | b'o' => cut(lua, argument, argument),
                b's' => {
                    ffi::luaL_checklstring(lua, argument, ptr::null_mut());
                }
                b'q' => {
                    ffi::luaL_checklstring(lua, argument, ptr::null_mut());
                    quotes = true;
                }
                b'a' | b'A' | b'p' => {
                    let text = c"invalid option '%%%c' to 'format'";
                    return ffi::luaL_error(lua, text.as_ptr(), c_int::from(*conversion));
                }
                _ => {}
            }
        }
        if quotes {
            quote_arguments(lua);
        }
        original(lua)
    }
}

/// Replaces each `%q` by `%s`, and its argument by what it stands for.
unsafe fn quote_arguments(lua: *mut ffi::lua_State) {
    // SAFETY: as in `format`, which has looked at all arguments.
    unsafe {
        let template = string_at(lua, 1);
        let slot = ffi::lua_gettop(lua) + 1;
        ffi::lua_pushnil(lua);
        let (mut at, mut argument) = (0, 1);
        while at < template.len() {
            if template[at] == b'%' {
                at += 1;
                let flags = template[at..]
                    .iter()
                    .take_while(|byte| b"-+ #0123456789.".contains(byte));
                at += flags.count();
                match template.get(at) {
                    Some(b'%') | None => {}
                    Some(b'q') => {
                        argument += 1;
                        quote(lua, argument, slot);
                    }
                    Some(_) => argument += 1,
                }
            }
            at += 1;
        }
        let joiner = Joiner::new(core_of(lua), slot);
        let mut rest = template;
        while let Some(percent) = rest.iter().position(|byte| *byte == b'%') {
            let flags = rest[percent + 1..]
                .iter()
                .take_while(|byte| b"-+ #0123456789.".contains(byte));
            let end = percent + 1 + flags.count();
            Joiner::add(lua, &rest[..end]);
            rest = &rest[end..];
            if let Some((conversion, after)) = rest.split_first() {
                Joiner::add(
                    lua,
                    &[if *conversion == b'q' {
                        b's'
                    } else {
                        *conversion
                    }],
                );
                rest = after;
            }
        }
        Joiner::add(lua, rest);
        joiner.finish(lua);
        ffi::lua_replace(lua, 1);
        ffi::lua_settop(lua, slot - 1);
    }
}

unsafe fn quote(lua: *mut ffi::lua_State, argument: c_int, slot: c_int) {
    // SAFETY: as in `quote_arguments`; the argument is a string or a number, which has become one in place.
    unsafe {
        let text = string_at(lua, argument);
        let joiner = Joiner::new(core_of(lua), slot);
        Joiner::add(lua, b"\"");
        for byte in text {
            match byte {
                b'"' | b'\\' | b'\n' => Joiner::add(lua, &[b'\\', *byte]),
                b'\r' => Joiner::add(lua, b"\\r"),
                0 => Joiner::add(lua, b"\\000"),
                _ => Joiner::add(lua, &[*byte]),
            }
        }
        Joiner::add(lua, b"\"");
        joiner.finish(lua);
        ffi::lua_replace(lua, argument);
    }
}
