//! From JSON to Lua values.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::config::{Config, config_of};
use super::token::{Scanner, Token, refuse};
use super::{NULL, PLACES_KEPT_MAX, push_array_metatable};
use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::extensions::{BYTES_PER_STEP, STEPS_PER_LOOK, arguments, give_way, numbers};

/// Where a decoding stands. The tables that are open are on the Lua stack above the text, those of objects with the key of
/// the value that comes next.
#[derive(Default)]
pub struct Decoding {
    at: usize,
    places: Vec<Place>,
    expected: Expected,
}

impl Decoding {
    pub fn trim(&mut self) {
        self.places.clear();
        self.places.shrink_to(PLACES_KEPT_MAX);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Array { next: i64 },
    Object,
}

#[derive(Clone, Copy, Default)]
enum Expected {
    #[default]
    Value,
    /// The array has just begun.
    ValueOrEnd,
    Key,
    /// The object has just begun.
    KeyOrEnd,
    /// What may come behind a value.
    Next,
}

pub unsafe extern "C-unwind" fn decode(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) != 1 {
            return arguments::refuse(lua, 1, c"expected 1 argument");
        }
        if let [0, _, ..] | [_, 0, ..] = arguments::text(lua, 1) {
            let text = c"JSON parser does not support UTF-16 or UTF-32".as_ptr();
            return ffi::luaL_error(lua, text);
        }
        let decoding = &mut core_of(lua).extensions.json.decoding;
        decoding.at = 0;
        decoding.places.clear();
        decoding.expected = Expected::Value;
        decode_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn decode_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    let mut steps = 0;
    // SAFETY: called by `decode`, or by Lua after a suspension, with the stack that the places describe.
    unsafe {
        let config = *config_of(lua);
        let whole = string_at(lua, 1);
        let len = memchr::memchr(0, whole).unwrap_or(whole.len());
        let mut scanner = Scanner {
            text: &whole[..len],
            at: core_of(lua).extensions.json.decoding.at,
        };
        loop {
            steps += 1;
            if steps >= STEPS_PER_LOOK {
                steps = 0;
                core_of(lua).extensions.json.decoding.at = scanner.at;
                if let Some(result) = give_way(lua, decode_on) {
                    return result;
                }
            }
            let before = scanner.at;
            let found = scanner.next(lua, &config);
            let decoding = &mut core_of(lua).extensions.json.decoding;
            match (decoding.expected, found.0) {
                (Expected::ValueOrEnd, Token::ArrayEnd)
                | (Expected::KeyOrEnd, Token::ObjectEnd) => {
                    close(lua, &config, true);
                }
                (Expected::Value | Expected::ValueOrEnd, _) => {
                    take_value(lua, &config, found, scanner.at);
                }
                (Expected::Key | Expected::KeyOrEnd, Token::String(key)) => {
                    push_bytes(lua, key);
                    core_of(lua).extensions.json.decoding.expected = Expected::Value;
                    let found = scanner.next(lua, &config);
                    if !matches!(found.0, Token::Colon) {
                        return refuse(lua, c"colon", found);
                    }
                }
                (Expected::Key | Expected::KeyOrEnd, _) => {
                    return refuse(lua, c"object key string", found);
                }
                (Expected::Next, token) => match (decoding.places.last(), token) {
                    (None, Token::End) => return 1,
                    (None, _) => return refuse(lua, c"the end", found),
                    (Some(Place::Array { .. }), Token::Comma) => {
                        decoding.expected = Expected::Value;
                    }
                    (Some(Place::Object), Token::Comma) => decoding.expected = Expected::Key,
                    (Some(Place::Array { .. }), Token::ArrayEnd)
                    | (Some(Place::Object), Token::ObjectEnd) => close(lua, &config, false),
                    (Some(place), _) => return refuse(lua, place.next_expected(), found),
                },
            }
            steps += (scanner.at - before) / BYTES_PER_STEP;
        }
    }
}

impl Place {
    fn next_expected(self) -> &'static CStr {
        match self {
            Self::Array { .. } => c"comma or array end",
            Self::Object => c"comma or object end",
        }
    }
}

/// Pushes a value and puts it where it belongs, or opens it.
unsafe fn take_value(
    lua: *mut ffi::lua_State,
    config: &Config,
    found: (Token<'_>, usize),
    at: usize,
) {
    // SAFETY: as in `decode_on`.
    unsafe {
        match found.0 {
            Token::String(text) => push_bytes(lua, text),
            Token::Integer(value) => ffi::lua_pushinteger(lua, value),
            Token::Float(value) => numbers::push_float(lua, value, core_of(lua).dialect),
            Token::Boolean(value) => ffi::lua_pushboolean(lua, value.into()),
            Token::Null => ffi::lua_pushlightuserdata(lua, NULL),
            Token::ArrayBegin => return open(lua, config, Place::Array { next: 1 }, at),
            Token::ObjectBegin => return open(lua, config, Place::Object, at),
            _ => {
                refuse(lua, c"value", found);
            }
        }
        deliver(lua);
    }
}

unsafe fn open(lua: *mut ffi::lua_State, config: &Config, place: Place, at: usize) {
    // SAFETY: as in `decode_on`. An object needs a slot more, for its key.
    unsafe {
        let (slots, expected) = match place {
            Place::Array { .. } => (2, Expected::ValueOrEnd),
            Place::Object => (3, Expected::KeyOrEnd),
        };
        let depth = core_of(lua).extensions.json.decoding.places.len() + 1;
        let used = ffi::lua_gettop(lua) as usize;
        if depth > config.decode_depth_max as usize || !arguments::has_slots(lua, used, slots) {
            let text = c"Found too many nested data structures (%d) at character %d".as_ptr();
            ffi::luaL_error(lua, text, depth as c_int, at as c_int);
        }
        ffi::lua_createtable(lua, 0, 0);
        let decoding = &mut core_of(lua).extensions.json.decoding;
        decoding.places.push(place);
        decoding.expected = expected;
    }
}

/// Leaves the table on top.
unsafe fn close(lua: *mut ffi::lua_State, config: &Config, is_empty: bool) {
    // SAFETY: as in `decode_on`.
    unsafe {
        let core = core_of(lua);
        let place = core.extensions.json.decoding.places.pop();
        let is_array = matches!(place, Some(Place::Array { .. }));
        if is_array && core.dialect == Dialect::Aikv && (is_empty || config.mark_arrays) {
            push_array_metatable(lua);
            ffi::lua_setmetatable(lua, -2);
        }
        deliver(lua);
    }
}

/// Puts the value on top into the table below it, or nowhere if it is the result.
unsafe fn deliver(lua: *mut ffi::lua_State) {
    // SAFETY: as in `decode_on`.
    unsafe {
        let decoding = &mut core_of(lua).extensions.json.decoding;
        decoding.expected = Expected::Next;
        match decoding.places.last_mut() {
            None => {}
            Some(Place::Object) => ffi::lua_rawset(lua, -3),
            Some(Place::Array { next }) => {
                let index = *next;
                *next += 1;
                ffi::lua_rawseti(lua, -2, index);
            }
        }
    }
}
