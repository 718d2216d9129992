//! From Lua values to JSON.
//!
//! A table whose keys are all positive integers is an array, with null in its holes; every other, and an empty one, is an
//! object.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::config::{Config, InvalidNumbers, config_of};
use super::{EMPTY_ARRAY, NULL, PLACES_KEPT_MAX, push_array_metatable};
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::numbers::{self, GeneralText};
use crate::script::extensions::{BYTES_PER_STEP, STEPS_PER_LOOK, arguments, give_way};
use crate::script::joiner::Joiner;

/// Where an encoding stands. The tables that are open are on the Lua stack, each with what its [`Place`] says.
#[derive(Default)]
pub struct Encoding {
    places: Vec<Place>,
    /// Set while the table on top is looked through, with the key on top of it.
    measured: Option<Measure>,
}

impl Encoding {
    pub fn trim(&mut self) {
        self.places.clear();
        self.places.shrink_to(PLACES_KEPT_MAX);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Array {
        next: i64,
        len: i64,
    },
    /// The last key is on top of the table.
    Object {
        is_first: bool,
    },
}

#[derive(Clone, Copy, Default)]
struct Measure {
    items: i64,
    highest: c_int,
    is_marked: bool,
}

/// The slots that a table may need, as Redis asks for them.
const SLOTS_PER_TABLE: usize = 3;

pub unsafe extern "C-unwind" fn encode(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) != 1 {
            return arguments::refuse(lua, 1, c"expected 1 argument");
        }
        let core = core_of(lua);
        core.joined.clear();
        core.extensions.json.encoding.places.clear();
        core.extensions.json.encoding.measured = None;
        let config = *config_of(lua);
        add_value(lua, &config);
        encode_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn encode_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    let mut steps = 0;
    // SAFETY: called by `encode`, or by Lua after a suspension, with the stack that the places describe.
    unsafe {
        let config = *config_of(lua);
        loop {
            steps += 1;
            if steps >= STEPS_PER_LOOK {
                steps = 0;
                if let Some(result) = give_way(lua, encode_on) {
                    return result;
                }
            }
            let encoding = &mut core_of(lua).extensions.json.encoding;
            if encoding.measured.is_some() {
                measure_on(lua, &config);
                continue;
            }
            match encoding.places.last_mut() {
                None => break,
                Some(Place::Array { next, len }) if *next > *len => close(lua, b"]"),
                Some(Place::Array { next, .. }) => {
                    let index = *next;
                    *next += 1;
                    if index > 1 {
                        Joiner::add(lua, b",");
                    }
                    ffi::lua_rawgeti(lua, -1, index);
                    steps += add_value(lua, &config);
                }
                Some(Place::Object { is_first }) => {
                    let is_first = std::mem::replace(is_first, false);
                    if ffi::lua_next(lua, -2) == 0 {
                        close(lua, b"}");
                        continue;
                    }
                    if !is_first {
                        Joiner::add(lua, b",");
                    }
                    steps += add_key(lua, &config);
                    steps += add_value(lua, &config);
                }
            }
        }
        push_bytes(lua, &core_of(lua).joined);
    }
    1
}

/// Leaves the table on top.
unsafe fn close(lua: *mut ffi::lua_State, bracket: &[u8]) {
    // SAFETY: as in `encode_on`.
    unsafe {
        Joiner::add(lua, bracket);
        core_of(lua).extensions.json.encoding.places.pop();
        ffi::lua_settop(lua, -2);
    }
}

#[cold]
unsafe fn refuse(lua: *mut ffi::lua_State, index: c_int, why: &CStr) -> c_int {
    // SAFETY: as in `encode_on`; whoever calls this does not go on.
    unsafe {
        let name = ffi::luaL_typename(lua, index);
        ffi::luaL_error(lua, c"Cannot serialise %s: %s".as_ptr(), name, why.as_ptr())
    }
}

/// Adds the value on top and takes it off, or opens it if it is a table. What it cost, in steps.
unsafe fn add_value(lua: *mut ffi::lua_State, config: &Config) -> usize {
    const NOT_SUPPORTED: &CStr = c"type not supported";
    let mut cost = 0;
    // SAFETY: as in `encode_on`.
    unsafe {
        match ffi::lua_type(lua, -1) {
            ffi::LUA_TSTRING => cost = add_text(lua, -1),
            ffi::LUA_TNUMBER => add_number(lua, -1, config),
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, -1) != 0 => Joiner::add(lua, b"true"),
            ffi::LUA_TBOOLEAN => Joiner::add(lua, b"false"),
            ffi::LUA_TNIL => Joiner::add(lua, b"null"),
            ffi::LUA_TLIGHTUSERDATA => match ffi::lua_touserdata(lua, -1) {
                NULL => Joiner::add(lua, b"null"),
                EMPTY_ARRAY if core_of(lua).dialect == Dialect::Aikv => Joiner::add(lua, b"[]"),
                _ => {
                    refuse(lua, -1, NOT_SUPPORTED);
                }
            },
            ffi::LUA_TTABLE => {
                open(lua, config);
                // A table may be large and hold next to nothing.
                return STEPS_PER_LOOK;
            }
            _ => {
                refuse(lua, -1, NOT_SUPPORTED);
            }
        }
        ffi::lua_settop(lua, -2);
    }
    cost
}

/// Begins to look through the table on top.
unsafe fn open(lua: *mut ffi::lua_State, config: &Config) {
    // SAFETY: as in `encode_on`.
    unsafe {
        let depth = core_of(lua).extensions.json.encoding.places.len() + 1;
        let used = ffi::lua_gettop(lua) as usize;
        if depth > config.encode_depth_max as usize
            || !arguments::has_slots(lua, used, SLOTS_PER_TABLE)
        {
            let text = c"Cannot serialise, excessive nesting (%d)".as_ptr();
            ffi::luaL_error(lua, text, depth as c_int);
        }
        let is_marked = is_marked(lua);
        core_of(lua).extensions.json.encoding.measured = Some(Measure {
            is_marked,
            ..Measure::default()
        });
        ffi::lua_pushnil(lua);
    }
}

/// Whether the table on top has the metatable of arrays, which it can only have in dialect `aikv`.
unsafe fn is_marked(lua: *mut ffi::lua_State) -> bool {
    // SAFETY: as in `encode_on`.
    unsafe {
        if ffi::lua_getmetatable(lua, -1) == 0 {
            return false;
        }
        push_array_metatable(lua);
        let is_marked = ffi::lua_rawequal(lua, -1, -2) != 0;
        ffi::lua_settop(lua, -3);
        is_marked
    }
}

/// Looks at the next key of the table. At the end, or at a key that no array has, it is clear what the table is.
unsafe fn measure_on(lua: *mut ffi::lua_State, config: &Config) {
    // SAFETY: as in `encode_on`; the key is on top of the table.
    unsafe {
        let has_pair = ffi::lua_next(lua, -2) != 0;
        let key = if has_pair && ffi::lua_type(lua, -2) == ffi::LUA_TNUMBER {
            numbers::float_at(lua, -2)
        } else {
            0.0
        };
        let Some(measure) = &mut core_of(lua).extensions.json.encoding.measured else {
            return;
        };
        if has_pair && key >= 1.0 && key.fract() == 0.0 {
            if key > f64::from(measure.highest) {
                // What is beyond is no length: the table becomes an object.
                measure.highest = if key <= f64::from(c_int::MAX) {
                    key as c_int
                } else {
                    c_int::MIN
                };
            }
            measure.items += 1;
            ffi::lua_settop(lua, -2);
            return;
        }
        let measure = *measure;
        if has_pair {
            ffi::lua_settop(lua, -3);
        }
        let is_array = !has_pair && is_array(lua, config, measure);
        let place = if is_array {
            Joiner::add(lua, b"[");
            Place::Array {
                next: 1,
                len: measure.highest.into(),
            }
        } else {
            Joiner::add(lua, b"{");
            ffi::lua_pushnil(lua);
            Place::Object { is_first: true }
        };
        let encoding = &mut core_of(lua).extensions.json.encoding;
        encoding.measured = None;
        encoding.places.push(place);
    }
}

/// Whether a table that has only indexes is dense enough to be an array.
unsafe fn is_array(lua: *mut ffi::lua_State, config: &Config, measure: Measure) -> bool {
    let highest = i64::from(measure.highest);
    if measure.is_marked {
        return highest >= 0;
    }
    let ratio = i64::from(config.sparse_ratio);
    if ratio > 0 && highest > measure.items * ratio && highest > i64::from(config.sparse_safe) {
        if !config.sparse_is_object {
            // SAFETY: as in `encode_on`.
            unsafe { refuse(lua, -1, c"excessively sparse array") };
        }
        return false;
    }
    highest > 0
}

/// Adds the key below the top. What it cost, in steps.
unsafe fn add_key(lua: *mut ffi::lua_State, config: &Config) -> usize {
    let mut cost = 0;
    // SAFETY: as in `encode_on`.
    unsafe {
        match ffi::lua_type(lua, -2) {
            ffi::LUA_TSTRING => cost = add_text(lua, -2),
            ffi::LUA_TNUMBER => {
                Joiner::add(lua, b"\"");
                add_number(lua, -2, config);
                Joiner::add(lua, b"\"");
            }
            _ => {
                refuse(lua, -2, c"table key must be a number or string");
            }
        }
        Joiner::add(lua, b":");
    }
    cost
}

unsafe fn add_number(lua: *mut ffi::lua_State, index: c_int, config: &Config) {
    // SAFETY: as in `encode_on`.
    unsafe {
        if core_of(lua).dialect == Dialect::Aikv
            && let Some(value) = numbers::integer_at(lua, index)
        {
            return Joiner::add(lua, itoa::Buffer::new().format(value).as_bytes());
        }
        let value = numbers::float_at(lua, index);
        if !value.is_finite() {
            match config.encode_invalid {
                InvalidNumbers::Refused => {
                    refuse(lua, index, c"must not be NaN or Inf");
                }
                InvalidNumbers::Null => return Joiner::add(lua, b"null"),
                InvalidNumbers::AsTheyAre if value.is_nan() => return Joiner::add(lua, b"nan"),
                InvalidNumbers::AsTheyAre => {}
            }
        }
        Joiner::add(lua, GeneralText::new(value, config.precision).as_bytes());
    }
}

/// What stands behind a backslash in place of a byte: 0 for a byte that stands for itself, `u` for one that is written
/// as its number.
static ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[0x7f] = b'u';
    escapes[8] = b'b';
    escapes[b'\t' as usize] = b't';
    escapes[b'\n' as usize] = b'n';
    escapes[0x0c] = b'f';
    escapes[b'\r' as usize] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes[b'/' as usize] = b'/';
    escapes
};

/// Adds the string at an index. What it cost, in steps.
unsafe fn add_text(lua: *mut ffi::lua_State, index: c_int) -> usize {
    // SAFETY: as in `encode_on`; the string stays on the stack.
    unsafe {
        let text = string_at(lua, index);
        Joiner::add(lua, b"\"");
        let mut rest = text;
        while let Some(at) = rest
            .iter()
            .position(|byte| ESCAPES[usize::from(*byte)] != 0)
        {
            Joiner::add(lua, &rest[..at]);
            let byte = rest[at];
            match ESCAPES[usize::from(byte)] {
                b'u' => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                    Joiner::add(lua, &[b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]]);
                }
                escape => Joiner::add(lua, &[b'\\', escape]),
            }
            rest = &rest[at + 1..];
        }
        Joiner::add(lua, rest);
        Joiner::add(lua, b"\"");
        text.len() / BYTES_PER_STEP
    }
}
