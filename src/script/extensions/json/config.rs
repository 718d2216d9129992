//! The settings of `cjson`, and the functions that tell and change them.
//!
//! Unsafe code: these are functions that Lua calls. The rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use crate::script::cache::Dialect;
use crate::script::core::core_of;
use crate::script::extensions::{arguments, numbers};

/// Settings of an instance of `cjson`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Whether an array with too many holes becomes an object, or is an error.
    pub sparse_is_object: bool,
    /// Too many are so many indexes for each element; 0: any number is right.
    pub sparse_ratio: c_int,
    /// An array up to this index never has too many.
    pub sparse_safe: c_int,
    pub encode_depth_max: c_int,
    pub decode_depth_max: c_int,
    pub precision: c_int,
    /// Told and kept; buffers here belong to no instance.
    pub keep_buffer: bool,
    pub encode_invalid: InvalidNumbers,
    pub decode_invalid: bool,
    /// Whether all arrays that are decoded get `array_mt`, not only empty ones.
    pub mark_arrays: bool,
}

/// What is written for infinities and NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNumbers {
    Refused,
    AsTheyAre,
    Null,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sparse_is_object: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: numbers::LUA_PRECISION,
            keep_buffer: true,
            encode_invalid: InvalidNumbers::Refused,
            decode_invalid: true,
            mark_arrays: false,
        }
    }
}

/// The settings of the instance to which the running function belongs.
///
/// # Safety
/// `lua` must be the state in which Lua called a function of `cjson`; no two of these references may be alive at once.
#[inline]
pub unsafe fn config_of<'a>(lua: *mut ffi::lua_State) -> &'a mut Config {
    // SAFETY: as the caller promised. Functions of the global `cjson` have no upvalue, which reads as null; all others have
    // the block that `new` wrote.
    unsafe {
        let own = ffi::lua_touserdata(lua, ffi::lua_upvalueindex(1)).cast::<Config>();
        own.as_mut()
            .unwrap_or_else(|| &mut core_of(lua).extensions.json.config)
    }
}

/// Refuses more arguments than there may be.
unsafe fn expect(lua: *mut ffi::lua_State, arguments: c_int) {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) > arguments {
            arguments::refuse(lua, arguments + 1, c"found too many arguments");
        }
        ffi::lua_settop(lua, arguments);
    }
}

/// Sets an integer if the argument is there, and pushes it.
unsafe fn integer(
    lua: *mut ffi::lua_State,
    index: c_int,
    setting: &mut c_int,
    from: c_int,
    to: c_int,
) {
    // SAFETY: as in `expect`.
    unsafe {
        if ffi::lua_type(lua, index) != ffi::LUA_TNIL {
            let value = arguments::integer(lua, index) as c_int;
            if !(from..=to).contains(&value) {
                let text = c"expected integer between %d and %d".as_ptr();
                let why = ffi::lua_pushfstring(lua, text, from, to);
                // Whichever argument it is.
                ffi::luaL_argerror(lua, 1, why);
            }
            *setting = value;
        }
        ffi::lua_pushinteger(lua, i64::from(*setting));
    }
}

/// The place of a name among those that the argument may have.
unsafe fn choice(lua: *mut ffi::lua_State, index: c_int, names: &[&CStr]) -> usize {
    // SAFETY: as in `expect`; Lua's strings end with a zero.
    unsafe {
        let text = arguments::text(lua, index);
        // Names are told apart up to a zero.
        let name = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(place) = names.iter().position(|known| known.to_bytes() == name) {
            return place;
        }
        let why = ffi::lua_pushfstring(lua, c"invalid option '%s'".as_ptr(), text.as_ptr());
        ffi::luaL_argerror(lua, index, why);
        0
    }
}

/// Sets a switch if the argument is there, and pushes it.
unsafe fn switch(lua: *mut ffi::lua_State, index: c_int, setting: &mut bool) {
    // SAFETY: as in `expect`.
    unsafe {
        match ffi::lua_type(lua, index) {
            ffi::LUA_TNIL => {}
            ffi::LUA_TBOOLEAN => *setting = ffi::lua_toboolean(lua, index) != 0,
            _ => *setting = choice(lua, index, &[c"off", c"on"]) == 1,
        }
        ffi::lua_pushboolean(lua, (*setting).into());
    }
}

pub unsafe extern "C-unwind" fn encode_sparse_array(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 3);
        let config = config_of(lua);
        switch(lua, 1, &mut config.sparse_is_object);
        integer(lua, 2, &mut config.sparse_ratio, 0, c_int::MAX);
        integer(lua, 3, &mut config.sparse_safe, 0, c_int::MAX);
    }
    3
}

pub unsafe extern "C-unwind" fn encode_max_depth(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        integer(lua, 1, &mut config_of(lua).encode_depth_max, 1, c_int::MAX);
    }
    1
}

pub unsafe extern "C-unwind" fn decode_max_depth(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        integer(lua, 1, &mut config_of(lua).decode_depth_max, 1, c_int::MAX);
    }
    1
}

pub unsafe extern "C-unwind" fn encode_number_precision(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        let precision_max = match core_of(lua).dialect {
            Dialect::Redis => numbers::LUA_PRECISION,
            Dialect::Aikv => numbers::PRECISION_MAX,
        };
        integer(lua, 1, &mut config_of(lua).precision, 1, precision_max);
    }
    1
}

pub unsafe extern "C-unwind" fn encode_keep_buffer(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        switch(lua, 1, &mut config_of(lua).keep_buffer);
    }
    1
}

pub unsafe extern "C-unwind" fn encode_invalid_numbers(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        let setting = &mut config_of(lua).encode_invalid;
        match ffi::lua_type(lua, 1) {
            ffi::LUA_TNIL => {}
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, 1) != 0 => {
                *setting = InvalidNumbers::AsTheyAre;
            }
            ffi::LUA_TBOOLEAN => *setting = InvalidNumbers::Refused,
            _ => {
                *setting = match choice(lua, 1, &[c"off", c"on", c"null"]) {
                    0 => InvalidNumbers::Refused,
                    1 => InvalidNumbers::AsTheyAre,
                    _ => InvalidNumbers::Null,
                };
            }
        }
        match *setting {
            InvalidNumbers::Null => {
                ffi::lua_pushstring(lua, c"null".as_ptr());
            }
            InvalidNumbers::AsTheyAre => ffi::lua_pushboolean(lua, 1),
            InvalidNumbers::Refused => ffi::lua_pushboolean(lua, 0),
        }
    }
    1
}

pub unsafe extern "C-unwind" fn decode_invalid_numbers(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        switch(lua, 1, &mut config_of(lua).decode_invalid);
    }
    1
}

pub unsafe extern "C-unwind" fn decode_array_with_array_mt(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        expect(lua, 1);
        switch(lua, 1, &mut config_of(lua).mark_arrays);
    }
    1
}
