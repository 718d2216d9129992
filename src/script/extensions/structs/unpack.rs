//! From structures to Lua values.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{Item, Pass};
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::{arguments, numbers};

const TOO_SHORT: &CStr = c"data string too short";

unsafe fn push_integer(lua: *mut ffi::lua_State, bytes: &[u8], is_big: bool, is_signed: bool) {
    let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let mut value = if is_big {
        bytes.iter().fold(0, append)
    } else {
        bytes.iter().rev().fold(0, append)
    };
    // SAFETY: as in `add_integer`; the caller has asked for a slot.
    unsafe {
        let dialect = core_of(lua).dialect;
        if is_signed {
            // Beyond 64 bits the shift wraps, as it does on the processors that Redis mostly runs on.
            let sign = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
            if value & sign != 0 {
                value |= sign;
            }
            numbers::push_integer(lua, value as i64, dialect);
        } else if let Ok(value) = i64::try_from(value) {
            numbers::push_integer(lua, value, dialect);
        } else {
            ffi::lua_pushnumber(lua, value as f64);
        }
    }
}

fn ordered<const LEN: usize>(bytes: &[u8], is_big: bool) -> [u8; LEN] {
    let mut little_endian = [0; LEN];
    little_endian.copy_from_slice(bytes);
    if is_big {
        little_endian.reverse();
    }
    little_endian
}

pub unsafe extern "C-unwind" fn unpack(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        arguments::text(lua, 1);
        arguments::text(lua, 2);
        let position = arguments::integer_or(lua, 3, 1) as usize;
        if position == 0 {
            return arguments::refuse(lua, 3, c"offset must be 1 or greater");
        }
        core_of(lua).extensions.pass = Pass {
            position: position - 1,
            ..Pass::new()
        };
        unpack_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn unpack_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: called by `unpack`, or by Lua after a suspension, with the values so far on top.
    unsafe {
        let (format, data) = (string_at(lua, 1), string_at(lua, 2));
        let mut pass = core_of(lua).extensions.pass;
        while let Some(item) = pass.next(lua, format) {
            pass.position = pass.position.wrapping_add(item.padding);
            let Some(bytes) = window(data, pass.position, item.size) else {
                return arguments::refuse(lua, 2, TOO_SHORT);
            };
            if !arguments::has_slots(lua, ffi::lua_gettop(lua) as usize, 2) {
                let text = c"stack overflow (%s)".as_ptr();
                return ffi::luaL_error(lua, text, c"too many results".as_ptr());
            }
            let size = match item.option {
                b'c' | b's' => push_string(lua, &mut pass, data, item),
                option if push_number(lua, &mut pass, option, bytes) => item.size,
                b'x' => item.size,
                option => {
                    pass.control(lua, format, option);
                    item.size
                }
            };
            pass.position += size;
            if let Some(result) = pass.pause(lua, unpack_on) {
                return result;
            }
        }
        ffi::lua_pushinteger(lua, pass.position as i64 + 1);
        pass.results + 1
    }
}

/// Pushes the number that the bytes are. `false`: the option stands for none.
unsafe fn push_number(lua: *mut ffi::lua_State, pass: &mut Pass, option: u8, bytes: &[u8]) -> bool {
    // SAFETY: as in `unpack_on`, which has asked for a slot.
    unsafe {
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                push_integer(lua, bytes, pass.is_big, option.is_ascii_lowercase());
            }
            b'f' => {
                let value = f32::from_le_bytes(ordered(bytes, pass.is_big));
                numbers::push_float(lua, value.into(), core_of(lua).dialect);
            }
            b'd' => {
                let value = f64::from_le_bytes(ordered(bytes, pass.is_big));
                numbers::push_float(lua, value, core_of(lua).dialect);
            }
            _ => return false,
        }
    }
    pass.results += 1;
    true
}

/// Pushes a string; the bytes that it took.
unsafe fn push_string(lua: *mut ffi::lua_State, pass: &mut Pass, data: &[u8], item: Item) -> usize {
    let rest = &data[pass.position..];
    // SAFETY: as in `unpack_on`, which has asked for a slot.
    unsafe {
        let mut size = item.size;
        if item.option == b's' {
            let len = memchr::memchr(0, rest).unwrap_or_else(|| {
                ffi::luaL_error(lua, c"unfinished string in data".as_ptr());
                0
            });
            push_bytes(lua, &rest[..len]);
            size = len + 1;
        } else {
            if size == 0 {
                size = take_size(lua, pass);
            }
            let text = rest.get(..size).unwrap_or_else(|| {
                arguments::refuse(lua, 2, TOO_SHORT);
                &[]
            });
            push_bytes(lua, text);
        }
        pass.results += 1;
        size
    }
}

/// The bytes at a place of the data, which may be far outside.
#[inline]
fn window(data: &[u8], position: usize, size: usize) -> Option<&[u8]> {
    data.get(position..)?.get(..size)
}

/// Takes the value before a `c0` as the length of its string.
unsafe fn take_size(lua: *mut ffi::lua_State, pass: &mut Pass) -> usize {
    // SAFETY: as in `add_integer`.
    unsafe {
        if pass.results == 0 || ffi::lua_isnumber(lua, -1) == 0 {
            ffi::luaL_error(lua, c"format 'c0' needs a previous size".as_ptr());
        }
        let size = numbers::to_u64(numbers::float_at(lua, -1));
        ffi::lua_settop(lua, -2);
        pass.results -= 1;
        size as usize
    }
}
