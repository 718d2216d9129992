//! `cjson`: values as JSON, as lua-cjson 2.1 of Redis 7 reads and writes it.
//!
//! Dialect `aikv` differs where Lua 5.4 can do better: integers stay integers, floats may be written with 17 digits, and
//! an empty array is kept apart from an empty object. It has the metatable `cjson.array_mt`: what carries it and has no
//! keys but indexes is an array, even if it is empty. `cjson.empty_array` is one too.
//!
//! Unsafe code: these are functions that Lua calls, and the building of a state. The rule of `call.rs` holds.

mod config;
mod decode;
mod encode;
mod token;

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use mlua::ffi;

pub use config::Config;

use super::{push_functions, set_texts};
use crate::script::cache::Dialect;
use crate::script::core::core_of;
use crate::script::sandbox::protect;

/// What the library keeps between its steps, and between its calls.
#[derive(Default)]
pub struct Json {
    /// The settings of the global `cjson`. An instance of `cjson.new` has its own.
    pub config: Config,
    encoding: encode::Encoding,
    decoding: decode::Decoding,
}

impl Json {
    pub fn trim(&mut self) {
        self.encoding.trim();
        self.decoding.trim();
    }
}

/// Tables that were open in an unusually deep value.
const PLACES_KEPT_MAX: usize = 256;

const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 10] = [
    (c"encode", encode::encode),
    (c"decode", decode::decode),
    (c"encode_sparse_array", config::encode_sparse_array),
    (c"encode_max_depth", config::encode_max_depth),
    (c"decode_max_depth", config::decode_max_depth),
    (c"encode_number_precision", config::encode_number_precision),
    (c"encode_keep_buffer", config::encode_keep_buffer),
    (c"encode_invalid_numbers", config::encode_invalid_numbers),
    (c"decode_invalid_numbers", config::decode_invalid_numbers),
    (c"new", new),
];

const FUNCTIONS_OF_AIKV: [(&CStr, ffi::lua_CFunction); 1] = [(
    c"decode_array_with_array_mt",
    config::decode_array_with_array_mt,
)];

/// The key under which the registry holds `array_mt`.
static ARRAY_METATABLE: u8 = 0;

/// `cjson.null`.
const NULL: *mut c_void = ptr::null_mut();
/// `cjson.empty_array`, which only has to be no other pointer.
const EMPTY_ARRAY: *mut c_void = ptr::without_provenance_mut(1);

/// Makes the metatable of arrays, which all scripts share and none can change.
///
/// # Safety
/// As for [`super::install`].
pub unsafe fn prepare(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_createtable(lua, 0, 0);
        protect(lua);
        let key = ptr::from_ref(&ARRAY_METATABLE).cast();
        ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, key);
    }
}

unsafe fn push_array_metatable(lua: *mut ffi::lua_State) {
    let key = ptr::from_ref(&ARRAY_METATABLE).cast();
    // SAFETY: called from a function that Lua called, or while a state is being built; there is a slot.
    unsafe { ffi::lua_rawgetp(lua, ffi::LUA_REGISTRYINDEX, key) };
}

/// Pushes the table `cjson`, or an instance of it whose settings are the userdata at an index.
///
/// # Safety
/// As for [`super::install`], or called from a function that Lua called.
pub unsafe fn push_library(lua: *mut ffi::lua_State, dialect: Dialect, settings: Option<c_int>) {
    // SAFETY: as the caller promised.
    unsafe {
        push_functions(lua, &[]);
        push_closures(lua, &FUNCTIONS, settings);
        if dialect == Dialect::Aikv {
            push_closures(lua, &FUNCTIONS_OF_AIKV, settings);
            push_array_metatable(lua);
            ffi::lua_setfield(lua, -2, c"array_mt".as_ptr());
            ffi::lua_pushlightuserdata(lua, EMPTY_ARRAY);
            ffi::lua_setfield(lua, -2, c"empty_array".as_ptr());
        }
        ffi::lua_pushlightuserdata(lua, NULL);
        ffi::lua_setfield(lua, -2, c"null".as_ptr());
        set_texts(lua, &[(c"_NAME", "cjson"), (c"_VERSION", "2.1.0")]);
    }
}

unsafe fn push_closures(
    lua: *mut ffi::lua_State,
    functions: &[(&CStr, ffi::lua_CFunction)],
    settings: Option<c_int>,
) {
    for (name, function) in functions {
        // SAFETY: as for `push_library`.
        unsafe {
            if let Some(index) = settings {
                ffi::lua_pushvalue(lua, index);
            }
            let upvalues = settings.is_some().into();
            ffi::lua_pushcclosure(lua, *function, upvalues);
            ffi::lua_setfield(lua, -2, name.as_ptr());
        }
    }
}

unsafe extern "C-unwind" fn new(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. Lua aligns the block for any type.
    unsafe {
        ffi::lua_settop(lua, 0);
        let settings = ffi::lua_newuserdatauv(lua, size_of::<Config>(), 0);
        settings.cast::<Config>().write(Config::default());
        push_library(lua, core_of(lua).dialect, Some(1));
    }
    1
}
