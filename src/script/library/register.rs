//! `redis.register_function`.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::super::call`] holds: no destructor is alive where
//! Lua may raise an error, so what has been registered is kept in the core.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;

use mlua::ffi;

use super::super::api::raise;
use super::super::convert::string_at;
use super::super::core::core_of;
use super::super::header::{ScriptFlags, flag_by_name};
use super::super::joiner::raise_out_of_memory;
use super::Function;

pub(super) const BAD_NAME: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether a library or a function may be named so.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(is_part)
}

/// What the run of a library's code registers.
#[derive(Default)]
pub struct Registrations {
    /// The library's code is being run.
    pub is_open: bool,
    /// The only one that is of interest; it goes to [`CALLBACK`].
    pub wanted: Option<Arc<Function>>,
    /// Whether the wanted one's state is to be kept, if it can be.
    pub keeps: bool,
    /// Whether it could be.
    pub kept: Option<bool>,
    /// All of them by their names in lowercase, where none is wanted.
    pub all: BTreeMap<String, Function>,
    /// Bytes in `all`.
    bytes: usize,
}

impl Registrations {
    /// A library's code is being run for the sake of one of its functions.
    pub fn is_for_call(&self) -> bool {
        self.is_open && self.wanted.is_some()
    }

    pub fn open(&mut self, wanted: Option<Arc<Function>>, keeps: bool) {
        *self = Self {
            is_open: true,
            wanted,
            keeps,
            ..Self::default()
        };
    }
}

/// The key in Lua's registry under which the wanted function is kept until it is called.
pub(super) static CALLBACK: u8 = 0;

/// Where the parts of a registration are put on the stack, above the arguments.
const NAME: c_int = 3;
const DESCRIPTION: c_int = 4;
const CALLBACK_AT: c_int = 5;
const SLOTS: c_int = 5;

pub(super) unsafe extern "C-unwind" fn register_function(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; only slices of its strings are alive.
    unsafe {
        if !core_of(lua).registrations.is_open {
            let text = "ERR redis.register_function can only be called on FUNCTION LOAD command";
            return raise(lua, text);
        }
        let read = match ffi::lua_gettop(lua) {
            1 => read_named(lua),
            2 => read_positional(lua),
            _ => Err("ERR wrong number of arguments to redis.register_function"),
        };
        match read {
            Ok(flags) => keep(lua, flags),
            Err(text) => raise(lua, text),
        }
    }
}

/// `register_function(name, callback)`.
unsafe fn read_positional(lua: *mut ffi::lua_State) -> Result<ScriptFlags, &'static str> {
    // SAFETY: as in `register_function`; a number becomes a string in its slot.
    unsafe {
        ffi::lua_settop(lua, SLOTS);
        if ffi::lua_isstring(lua, 1) == 0 {
            return Err("ERR first argument to redis.register_function must be a string");
        }
        if ffi::lua_type(lua, 2) != ffi::LUA_TFUNCTION {
            return Err("ERR second argument to redis.register_function must be a function");
        }
        ffi::lua_copy(lua, 1, NAME);
        ffi::lua_copy(lua, 2, CALLBACK_AT);
    }
    Ok(ScriptFlags::empty())
}

/// `register_function{function_name=, callback=, flags=, description=}`.
unsafe fn read_named(lua: *mut ffi::lua_State) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::empty();
    // SAFETY: as in `register_function`; keys of the table are not converted, which would confuse the walk over it.
    unsafe {
        if ffi::lua_type(lua, 1) != ffi::LUA_TTABLE {
            return Err(
                "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            );
        }
        ffi::lua_settop(lua, SLOTS);
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, 1) != 0 {
            match ffi::lua_type(lua, -2) {
                ffi::LUA_TSTRING => {}
                ffi::LUA_TNUMBER => {
                    return Err("ERR unknown argument given to redis.register_function");
                }
                _ => {
                    return Err(
                        "ERR named argument key given to redis.register_function is not a string",
                    );
                }
            }
            let key = string_at(lua, -2);
            if key.eq_ignore_ascii_case(b"function_name") {
                if ffi::lua_isstring(lua, -1) == 0 {
                    return Err(
                        "ERR function_name argument given to redis.register_function must be a string",
                    );
                }
                ffi::lua_copy(lua, -1, NAME);
            } else if key.eq_ignore_ascii_case(b"description") {
                if ffi::lua_isstring(lua, -1) == 0 {
                    return Err(
                        "ERR description argument given to redis.register_function must be a string",
                    );
                }
                ffi::lua_copy(lua, -1, DESCRIPTION);
            } else if key.eq_ignore_ascii_case(b"callback") {
                if ffi::lua_type(lua, -1) != ffi::LUA_TFUNCTION {
                    return Err(
                        "ERR callback argument given to redis.register_function must be a function",
                    );
                }
                ffi::lua_copy(lua, -1, CALLBACK_AT);
            } else if key.eq_ignore_ascii_case(b"flags") {
                flags = read_flags(lua)?;
            } else {
                return Err("ERR unknown argument given to redis.register_function");
            }
            ffi::lua_settop(lua, -2);
        }
        if ffi::lua_type(lua, NAME) == ffi::LUA_TNIL {
            return Err("ERR redis.register_function must get a function name argument");
        }
        if ffi::lua_type(lua, CALLBACK_AT) == ffi::LUA_TNIL {
            return Err("ERR redis.register_function must get a callback argument");
        }
    }
    Ok(flags)
}

/// The flags that the table on top lists.
unsafe fn read_flags(lua: *mut ffi::lua_State) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::empty();
    // SAFETY: as in `register_function`.
    unsafe {
        if ffi::lua_type(lua, -1) != ffi::LUA_TTABLE {
            return Err(
                "ERR flags argument to redis.register_function must be a table representing function flags",
            );
        }
        for index in 1.. {
            let known = match ffi::lua_rawgeti(lua, -1, index) {
                ffi::LUA_TNIL => None,
                ffi::LUA_TSTRING => {
                    Some(flag_by_name(string_at(lua, -1)).ok_or("ERR unknown flag given")?)
                }
                _ => return Err("ERR unknown flag given"),
            };
            ffi::lua_settop(lua, -2);
            match known {
                Some(flag) => flags |= flag,
                None => break,
            }
        }
    }
    Ok(flags)
}

/// Keeps what has been read into the slots.
unsafe fn keep(lua: *mut ffi::lua_State, flags: ScriptFlags) -> c_int {
    // SAFETY: as in `register_function`. What may raise an error comes first; from where a string is allocated on,
    // nothing does.
    unsafe {
        ffi::lua_tolstring(lua, NAME, ptr::null_mut());
        let name = string_at(lua, NAME);
        if !is_name(name) {
            return raise(lua, BAD_NAME);
        }
        let mut description: Option<&[u8]> = None;
        if ffi::lua_type(lua, DESCRIPTION) != ffi::LUA_TNIL {
            ffi::lua_tolstring(lua, DESCRIPTION, ptr::null_mut());
            description = Some(string_at(lua, DESCRIPTION));
        }
        let core = core_of(lua);
        if let Some(wanted) = &core.registrations.wanted {
            if wanted.name.as_bytes() == name {
                ffi::lua_pushvalue(lua, CALLBACK_AT);
                ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, ptr::from_ref(&CALLBACK).cast());
            }
            return 0;
        }
        match core.registrations.add(name, description, flags) {
            Added::Yes if core.memory.has_room_for(core.registrations.bytes) => 0,
            Added::Yes => raise_out_of_memory(lua),
            Added::Twice => raise(lua, "ERR Function already exists in the library"),
        }
    }
}

enum Added {
    Yes,
    Twice,
}

impl Registrations {
    fn add(&mut self, name: &[u8], description: Option<&[u8]>, flags: ScriptFlags) -> Added {
        let name = String::from_utf8_lossy(name).into_owned();
        let lower = name.to_ascii_lowercase();
        if self.all.contains_key(&lower) {
            return Added::Twice;
        }
        let description = description.map(Box::from);
        let function = Function::new(name, description, flags);
        self.bytes += size_of::<Function>() + 2 * lower.len();
        self.bytes += function.description.as_ref().map_or(0, |text| text.len());
        self.all.insert(lower, function);
        Added::Yes
    }
}

/// The functions of `redis` while a library's code is run.
pub(super) const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 1] =
    [(c"register_function", register_function)];
