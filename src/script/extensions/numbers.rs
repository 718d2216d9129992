//! Numbers between C, Lua and the formats of the script libraries.
//!
//! In Redis every number is a double, which prints with 14 digits and without a point if it has no fraction. Lua 5.4 has
//! integers beside them. In dialect `redis` a number that a library gives is an integer where Lua 5.4 would otherwise print
//! it with a `.0` that Lua 5.1 does not print, and numbers are doubles to the libraries. In dialect `aikv` integers have 64
//! bits on the whole way.
//!
//! Unsafe code: the printing and reading of C, which is what Redis uses, and calls on the Lua stack.

use std::ffi::{c_char, c_int};
use std::ptr;

use mlua::ffi;

use crate::script::cache::Dialect;

/// Digits with which Lua prints.
pub const LUA_PRECISION: c_int = 14;

/// From here on 14 digits are not enough for an integer, and Lua 5.1 prints an exponent.
const PRINTED_AS_INTEGER_BELOW: f64 = 1e14;

/// A double as C's `%.*g` prints it.
pub struct GeneralText {
    buffer: [u8; TEXT_LEN_MAX],
    len: usize,
}

/// `-1.7976931348623157e+308` has 24.
const TEXT_LEN_MAX: usize = 40;
/// The digits that tell every double from its neighbours.
pub const PRECISION_MAX: c_int = 17;

impl GeneralText {
    pub fn new(value: f64, precision: c_int) -> Self {
        debug_assert!((1..=PRECISION_MAX).contains(&precision));
        let mut text = Self {
            buffer: [0; TEXT_LEN_MAX],
            len: 0,
        };
        if precision >= LUA_PRECISION && is_printed_as_integer(value) {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(value as i64).as_bytes();
            text.buffer[..digits.len()].copy_from_slice(digits);
            text.len = digits.len();
            return text;
        }
        // SAFETY: at most as much is written as the buffer has.
        let len = unsafe {
            let buffer = text.buffer.as_mut_ptr().cast::<c_char>();
            libc::snprintf(buffer, TEXT_LEN_MAX, c"%.*g".as_ptr(), precision, value)
        };
        text.len = usize::try_from(len).map_or(0, |len| len.min(TEXT_LEN_MAX - 1));
        text
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Whether 14 digits show it whole, without point and exponent.
#[inline]
fn is_printed_as_integer(value: f64) -> bool {
    value.abs() < PRINTED_AS_INTEGER_BELOW
        && value.fract() == 0.0
        && (value != 0.0 || value.is_sign_positive())
}

/// The conversion to `int64_t` on the processors that Redis mostly runs on.
#[inline]
pub fn to_i64(value: f64) -> i64 {
    if value >= i64::MIN as f64 && value < -(i64::MIN as f64) {
        value as i64
    } else {
        i64::MIN
    }
}

/// The same to `uint64_t`, negative numbers in two's complement.
#[inline]
pub fn to_u64(value: f64) -> u64 {
    const TWO_TO_63: f64 = -(i64::MIN as f64);
    if value >= TWO_TO_63 {
        (to_i64(value - TWO_TO_63) as u64) ^ (1 << 63)
    } else {
        to_i64(value) as u64
    }
}

/// The number, or what reads as one, at an index.
///
/// # Safety
/// `lua` must be the state of a running script.
#[inline]
pub unsafe fn float_at(lua: *mut ffi::lua_State, index: c_int) -> f64 {
    // SAFETY: as the caller promised; the value is left as it is.
    unsafe { ffi::lua_tonumberx(lua, index, ptr::null_mut()) }
}

/// The value at an index if it is of Lua's type integer.
///
/// # Safety
/// As for [`float_at`].
#[inline]
pub unsafe fn integer_at(lua: *mut ffi::lua_State, index: c_int) -> Option<i64> {
    // SAFETY: as the caller promised; the value is left as it is.
    unsafe {
        (ffi::lua_isinteger(lua, index) != 0)
            .then(|| ffi::lua_tointegerx(lua, index, ptr::null_mut()))
    }
}

/// Pushes a double that a library has read.
///
/// # Safety
/// As for [`float_at`]; there is a slot.
#[inline]
pub unsafe fn push_float(lua: *mut ffi::lua_State, value: f64, dialect: Dialect) {
    // SAFETY: as the caller promised.
    unsafe {
        if dialect == Dialect::Redis && is_printed_as_integer(value) {
            ffi::lua_pushinteger(lua, value as i64);
        } else {
            ffi::lua_pushnumber(lua, value);
        }
    }
}

/// Pushes an integer that a library has read.
///
/// # Safety
/// As for [`push_float`].
#[inline]
pub unsafe fn push_integer(lua: *mut ffi::lua_State, value: i64, dialect: Dialect) {
    // SAFETY: as the caller promised.
    unsafe {
        match dialect {
            Dialect::Redis => push_float(lua, value as f64, dialect),
            Dialect::Aikv => ffi::lua_pushinteger(lua, value),
        }
    }
}

/// Reads a number as C's `strtod` does; it and the bytes that it takes, which are none if there is no number.
///
/// # Safety
/// A byte that is no part of a number, such as zero, must stand behind `text`.
pub unsafe fn read_float(text: &[u8]) -> (f64, usize) {
    let start = text.as_ptr().cast::<c_char>();
    let mut end = ptr::null_mut();
    // SAFETY: as the caller promised. Nothing here sets a locale.
    unsafe {
        let value = libc::strtod(start, &raw mut end);
        (value, end.cast_const().offset_from(start) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_c() {
        for (value, precision, text) in [
            (1.0, 14, "1"),
            (-7.0, 14, "-7"),
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (1e14, 14, "1e+14"),
            (1e15, 14, "1e+15"),
            (0.1, 14, "0.1"),
            (0.1, 17, "0.10000000000000001"),
            (123.456, 3, "123"),
            (1234.0, 3, "1.23e+03"),
            (f64::INFINITY, 14, "inf"),
            (f64::MIN, 14, "-1.7976931348623e+308"),
        ] {
            assert_eq!(
                GeneralText::new(value, precision).as_bytes(),
                text.as_bytes(),
                "{value} {precision}"
            );
        }
    }

    #[test]
    fn conversions_are_those_of_the_processor() {
        assert_eq!(to_i64(-1.9), -1);
        assert_eq!(to_i64(1e30), i64::MIN);
        assert_eq!(to_i64(f64::NAN), i64::MIN);
        assert_eq!(to_u64(-1.0), u64::MAX);
        assert_eq!(
            to_u64(18_446_744_073_709_549_568.0),
            18_446_744_073_709_549_568
        );
        assert_eq!(to_u64(1e30), 0);
        assert_eq!(to_u64(f64::NAN), 1 << 63);
    }
}
