//! `bit`: operations on 32 bits, with the results of `LuaBitOp`, which are signed.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{arguments, numbers};
use crate::script::cache::Dialect;
use crate::script::convert::push_bytes;
use crate::script::core::core_of;

pub const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 12] = [
    (c"tobit", tobit),
    (c"tohex", tohex),
    (c"bnot", bnot),
    (c"band", band),
    (c"bor", bor),
    (c"bxor", bxor),
    (c"lshift", lshift),
    (c"rshift", rshift),
    (c"arshift", arshift),
    (c"rol", rol),
    (c"ror", ror),
    (c"bswap", bswap),
];

/// Added to a double of less than 51 bits, it leaves the rounded integer in the lowest bits.
const TWO_TO_52_AND_51: f64 = 6_755_399_441_055_744.0;

/// The lowest 32 bits of a number. Beyond 51 bits a double gives what it gives in Redis.
#[inline]
unsafe fn bits(lua: *mut ffi::lua_State, index: c_int) -> u32 {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        if core_of(lua).dialect == Dialect::Aikv
            && let Some(value) = numbers::integer_at(lua, index)
        {
            return value as u32;
        }
        let value = arguments::number(lua, index) + TWO_TO_52_AND_51;
        value.to_bits() as u32
    }
}

#[inline]
unsafe fn answer(lua: *mut ffi::lua_State, bits: u32) -> c_int {
    // SAFETY: as for `bits`.
    unsafe { ffi::lua_pushinteger(lua, i64::from(bits as i32)) };
    1
}

unsafe extern "C-unwind" fn tobit(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { answer(lua, bits(lua, 1)) }
}

unsafe extern "C-unwind" fn bnot(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { answer(lua, !bits(lua, 1)) }
}

unsafe extern "C-unwind" fn bswap(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { answer(lua, bits(lua, 1).swap_bytes()) }
}

/// The order in which arguments are looked at decides which one an error names.
#[inline]
unsafe fn fold(lua: *mut ffi::lua_State, operation: impl Fn(u32, u32) -> u32) -> c_int {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        let mut result = bits(lua, 1);
        for index in (2..=ffi::lua_gettop(lua)).rev() {
            result = operation(result, bits(lua, index));
        }
        answer(lua, result)
    }
}

unsafe extern "C-unwind" fn band(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { fold(lua, |a, b| a & b) }
}

unsafe extern "C-unwind" fn bor(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { fold(lua, |a, b| a | b) }
}

unsafe extern "C-unwind" fn bxor(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { fold(lua, |a, b| a ^ b) }
}

/// Only the lowest five bits of the distance count.
#[inline]
unsafe fn shift(lua: *mut ffi::lua_State, operation: impl Fn(u32, u32) -> u32) -> c_int {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        let value = bits(lua, 1);
        let distance = bits(lua, 2) & 31;
        answer(lua, operation(value, distance))
    }
}

unsafe extern "C-unwind" fn lshift(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { shift(lua, |value, distance| value << distance) }
}

unsafe extern "C-unwind" fn rshift(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { shift(lua, |value, distance| value >> distance) }
}

unsafe extern "C-unwind" fn arshift(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { shift(lua, |value, distance| (value as i32 >> distance) as u32) }
}

unsafe extern "C-unwind" fn rol(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { shift(lua, u32::rotate_left) }
}

unsafe extern "C-unwind" fn ror(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { shift(lua, u32::rotate_right) }
}

const DIGITS_MAX: usize = 8;

/// As many digits as are wanted, in capitals if that number is negative.
unsafe extern "C-unwind" fn tohex(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let mut value = bits(lua, 1);
        let wanted = match ffi::lua_type(lua, 2) {
            ffi::LUA_TNONE => DIGITS_MAX as i32,
            _ => bits(lua, 2) as i32,
        };
        let digits: &[u8; 16] = if wanted < 0 {
            b"0123456789ABCDEF"
        } else {
            b"0123456789abcdef"
        };
        let count = (wanted.unsigned_abs() as usize).min(DIGITS_MAX);
        let mut text = [0; DIGITS_MAX];
        for digit in text[..count].iter_mut().rev() {
            *digit = digits[value as usize % 16];
            value /= 16;
        }
        push_bytes(lua, &text[..count]);
    }
    1
}
