//! The arguments of the script libraries, checked as Lua 5.1 checks them, and with its words.
//!
//! Lua 5.4 would refuse a float where an integer is wanted, knows "light userdata", and writes 5.0 where Lua 5.1 writes 5.
//!
//! Unsafe code: these look at the stack of a function that Lua called. The rule of `call.rs` holds: nothing with a
//! destructor may be alive in a caller.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::numbers::{self, GeneralText, LUA_PRECISION};
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;

/// Raises "bad argument".
///
/// # Safety
/// `lua` must be the state in which Lua called a function, which returns the result at once.
#[cold]
pub unsafe fn refuse(lua: *mut ffi::lua_State, index: c_int, why: &CStr) -> c_int {
    // SAFETY: as the caller promised.
    unsafe { ffi::luaL_argerror(lua, index, why.as_ptr()) }
}

/// # Safety
/// As for [`refuse`].
#[cold]
pub unsafe fn refuse_type(lua: *mut ffi::lua_State, index: c_int, wanted: &CStr) -> c_int {
    // SAFETY: as the caller promised.
    unsafe {
        let found = ffi::luaL_typename(lua, index);
        let format = c"%s expected, got %s".as_ptr();
        let why = ffi::lua_pushfstring(lua, format, wanted.as_ptr(), found);
        ffi::luaL_argerror(lua, index, why)
    }
}

/// A string. A number is taken as its text, which takes its place on the stack.
///
/// # Safety
/// As for [`refuse`]; the argument stays where it is while the slice is used.
#[inline]
pub unsafe fn text<'a>(lua: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: as the caller promised.
    unsafe {
        match ffi::lua_type(lua, index) {
            ffi::LUA_TSTRING => {}
            ffi::LUA_TNUMBER if core_of(lua).dialect == Dialect::Redis => {
                let text = GeneralText::new(numbers::float_at(lua, index), LUA_PRECISION);
                push_bytes(lua, text.as_bytes());
                ffi::lua_replace(lua, index);
            }
            ffi::LUA_TNUMBER => {
                ffi::lua_tolstring(lua, index, ptr::null_mut());
            }
            _ => {
                refuse_type(lua, index, c"string");
            }
        }
        string_at(lua, index)
    }
}

/// A number, or a string that reads as one.
///
/// # Safety
/// As for [`refuse`].
#[inline]
pub unsafe fn number(lua: *mut ffi::lua_State, index: c_int) -> f64 {
    // SAFETY: as the caller promised.
    unsafe {
        let mut is_number = 0;
        let value = ffi::lua_tonumberx(lua, index, &raw mut is_number);
        if is_number == 0 {
            refuse_type(lua, index, c"number");
        }
        value
    }
}

/// A number without what is behind its point.
///
/// # Safety
/// As for [`refuse`].
#[inline]
pub unsafe fn integer(lua: *mut ffi::lua_State, index: c_int) -> i64 {
    // SAFETY: as the caller promised.
    unsafe {
        match numbers::integer_at(lua, index) {
            Some(value) => value,
            None => numbers::to_i64(number(lua, index)),
        }
    }
}

/// As [`integer`]; nothing and nil are `default`.
///
/// # Safety
/// As for [`refuse`].
#[inline]
pub unsafe fn integer_or(lua: *mut ffi::lua_State, index: c_int, default: i64) -> i64 {
    // SAFETY: as the caller promised.
    unsafe {
        if ffi::lua_type(lua, index) <= ffi::LUA_TNIL {
            default
        } else {
            integer(lua, index)
        }
    }
}

/// Slots of the Lua stack that a function may use in Redis. Data that needs more is refused there, and here with the same
/// words.
const SLOTS_MAX: usize = 8000;

/// Whether `more` slots may be used where `used` are in use.
///
/// # Safety
/// As for [`refuse`].
#[inline]
pub unsafe fn has_slots(lua: *mut ffi::lua_State, used: usize, more: usize) -> bool {
    /// What is on our stack beside that, and what raising an error needs.
    const EXTRA: usize = 8;
    // SAFETY: as the caller promised.
    unsafe { used + more <= SLOTS_MAX && ffi::lua_checkstack(lua, (more + EXTRA) as c_int) != 0 }
}
