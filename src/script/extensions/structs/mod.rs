//! `struct`: C structures in strings.
//!
//! A format is a row of options: `>` and `<` choose the byte order, `!n` the largest alignment, `x` is a byte of padding,
//! `b h l i` are signed integers and `B H L I T` unsigned ones (`i` and `I` take their size behind them), `f` and `d`
//! floats, `cn` a string of that length, `s` one that ends with a zero.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

mod pack;
mod unpack;

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{arguments, give_way};
use crate::script::convert::string_at;
use crate::script::core::core_of;

pub const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 3] = [
    (c"pack", pack::pack),
    (c"unpack", unpack::unpack),
    (c"size", size),
];

/// Where a pass over a format stands. It is in the core while the function is suspended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// The next byte of the format.
    at: usize,
    /// Where to look at the clock.
    look_at: usize,
    is_big: bool,
    align_max: usize,
    /// The place in the structure.
    position: usize,
    /// The next argument to pack.
    argument: c_int,
    /// Values that have been unpacked.
    results: c_int,
}

/// An option, with the size of what it stands for and the padding before that.
#[derive(Clone, Copy)]
struct Item {
    option: u8,
    size: usize,
    padding: usize,
}

/// Integers may have so many bytes.
const INTEGER_SIZE_MAX: usize = 32;
/// The alignment of `!` without a number.
const ALIGN_DEFAULT: usize = 8;
/// Bytes of the format between two looks at the clock.
const BYTES_PER_LOOK: usize = 4096;

impl Pass {
    fn new() -> Self {
        Self {
            align_max: 1,
            look_at: BYTES_PER_LOOK,
            argument: 2,
            ..Self::default()
        }
    }

    /// Reads the next option; none: the format is over, which it is at a zero too.
    unsafe fn next(&mut self, lua: *mut ffi::lua_State, format: &[u8]) -> Option<Item> {
        let option = *format.get(self.at).filter(|option| **option != 0)?;
        self.at += 1;
        // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
        let size = unsafe {
            match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'f' => 4,
                b'd' | b'l' | b'L' | b'T' => 8,
                b'c' => self.number(lua, format, 1),
                b'i' | b'I' => {
                    let size = self.number(lua, format, 4);
                    if size > INTEGER_SIZE_MAX {
                        ffi::luaL_error(
                            lua,
                            c"integral size %d is larger than limit of %d".as_ptr(),
                            size as c_int,
                            INTEGER_SIZE_MAX as c_int,
                        );
                    }
                    size
                }
                _ => 0,
            }
        };
        let padding = self.padding(option, size);
        Some(Item {
            option,
            size,
            padding,
        })
    }

    /// The number at this place of the format.
    unsafe fn number(&mut self, lua: *mut ffi::lua_State, format: &[u8], default: c_int) -> usize {
        let mut value: Option<c_int> = None;
        while let Some(digit) = format.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            let digit = c_int::from(digit - b'0');
            let longer = value
                .unwrap_or(0)
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(digit));
            if longer.is_none() {
                // SAFETY: as in `next`.
                unsafe { ffi::luaL_error(lua, c"integral size overflow".as_ptr()) };
            }
            value = longer;
            self.at += 1;
        }
        value.unwrap_or(default) as usize
    }

    fn padding(&self, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        // A size may be no power of two; it is treated as if it were.
        let align = size.min(self.align_max);
        let mask = align - 1;
        align.wrapping_sub(self.position & mask) & mask
    }

    /// Follows an option that stands for no value.
    unsafe fn control(&mut self, lua: *mut ffi::lua_State, format: &[u8], option: u8) {
        // SAFETY: as in `next`.
        unsafe {
            match option {
                b' ' => {}
                b'>' => self.is_big = true,
                b'<' => self.is_big = false,
                b'!' => {
                    let align = self.number(lua, format, ALIGN_DEFAULT as c_int);
                    if !align.is_power_of_two() {
                        let text = c"alignment %d is not a power of 2".as_ptr();
                        ffi::luaL_error(lua, text, align as c_int);
                    }
                    self.align_max = align;
                }
                _ => {
                    let text = c"invalid format option '%c'".as_ptr();
                    let why = ffi::lua_pushfstring(lua, text, c_int::from(option));
                    ffi::luaL_argerror(lua, 1, why);
                }
            }
        }
    }

    /// Every so often, whether to leave the function with this result.
    #[inline]
    unsafe fn pause(
        &mut self,
        lua: *mut ffi::lua_State,
        again: ffi::lua_KFunction,
    ) -> Option<c_int> {
        if self.at < self.look_at {
            return None;
        }
        self.look_at = self.at + BYTES_PER_LOOK;
        // SAFETY: as in `next`; whoever gets a result returns it at once.
        unsafe {
            core_of(lua).extensions.pass = *self;
            give_way(lua, again)
        }
    }
}

unsafe extern "C-unwind" fn size(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        arguments::text(lua, 1);
        core_of(lua).extensions.pass = Pass::new();
        size_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn size_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: called by `size`, or by Lua after a suspension.
    unsafe {
        let format = string_at(lua, 1);
        let mut pass = core_of(lua).extensions.pass;
        while let Some(item) = pass.next(lua, format) {
            match (item.option, item.size) {
                (b's', _) => {
                    return arguments::refuse(lua, 1, c"option 's' has no fixed size");
                }
                (b'c', 0) => {
                    return arguments::refuse(lua, 1, c"option 'c0' has no fixed size");
                }
                // A letter or digit that is no option has the size 0.
                (b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z', _) => {}
                (option, _) => pass.control(lua, format, option),
            }
            pass.position += item.padding + item.size;
            if let Some(result) = pass.pause(lua, size_on) {
                return result;
            }
        }
        ffi::lua_pushinteger(lua, pass.position as i64);
    }
    1
}
