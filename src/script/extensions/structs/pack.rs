//! From Lua values to structures.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::c_int;

use mlua::ffi;

use super::{INTEGER_SIZE_MAX, Item, Pass};
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::{arguments, numbers};
use crate::script::joiner::Joiner;

/// Adds an integer's lowest bytes.
unsafe fn add_integer(lua: *mut ffi::lua_State, index: c_int, size: usize, is_big: bool) {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        let value = match numbers::integer_at(lua, index) {
            Some(value) if core_of(lua).dialect == Dialect::Aikv => value as u64,
            _ => numbers::to_u64(arguments::number(lua, index)),
        };
        let mut bytes = [0; INTEGER_SIZE_MAX];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        if is_big {
            bytes[..size].reverse();
        }
        Joiner::add(lua, &bytes[..size]);
    }
}

unsafe fn add_float<const LEN: usize>(
    lua: *mut ffi::lua_State,
    mut little_endian: [u8; LEN],
    is_big: bool,
) {
    if is_big {
        little_endian.reverse();
    }
    // SAFETY: as in `add_integer`.
    unsafe { Joiner::add(lua, &little_endian) };
}

pub unsafe extern "C-unwind" fn pack(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        arguments::text(lua, 1);
        // A missing argument is nil in the words of an error.
        ffi::lua_pushnil(lua);
        let core = core_of(lua);
        core.joined.clear();
        core.extensions.pass = Pass::new();
        pack_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn pack_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: called by `pack`, or by Lua after a suspension; the format is a string.
    unsafe {
        let format = string_at(lua, 1);
        let mut pass = core_of(lua).extensions.pass;
        while let Some(Item {
            option,
            mut size,
            padding,
        }) = pass.next(lua, format)
        {
            Joiner::add(lua, &[0; INTEGER_SIZE_MAX][..padding]);
            pass.position += padding;
            let argument = pass.argument;
            match option {
                b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                    add_integer(lua, argument, size, pass.is_big);
                    pass.argument += 1;
                }
                b'x' => Joiner::add(lua, &[0]),
                b'f' => {
                    let value = arguments::number(lua, argument) as f32;
                    add_float(lua, value.to_le_bytes(), pass.is_big);
                    pass.argument += 1;
                }
                b'd' => {
                    let value = arguments::number(lua, argument);
                    add_float(lua, value.to_le_bytes(), pass.is_big);
                    pass.argument += 1;
                }
                b'c' | b's' => {
                    let text = arguments::text(lua, argument);
                    pass.argument += 1;
                    if size == 0 {
                        size = text.len();
                    }
                    if text.len() < size {
                        return arguments::refuse(lua, pass.argument, c"string too short");
                    }
                    Joiner::add(lua, &text[..size]);
                    if option == b's' {
                        Joiner::add(lua, &[0]);
                        size += 1;
                    }
                }
                _ => pass.control(lua, format, option),
            }
            pass.position += size;
            if let Some(result) = pass.pause(lua, pack_on) {
                return result;
            }
        }
        push_bytes(lua, &core_of(lua).joined);
    }
    1
}
