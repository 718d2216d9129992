//! What a client is told about a script that failed, in the words of Redis 7.
//!
//! Unsafe code: reads the stack of a coroutine that ended with an error, which Lua leaves as it was.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::cache::Script;
use super::callee::{Callee, Entry};
use super::convert::string_at;
use super::joiner::OUT_OF_MEMORY;
use super::legacy::wording;

/// Why a script did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The whole error line, without `-`.
    pub message: Vec<u8>,
    /// Where it happened, if that was in a script's code.
    pub line: Option<u32>,
}

impl ScriptError {
    pub(super) fn without_position(message: impl Into<Vec<u8>>) -> Self {
        Self {
            message: message.into(),
            line: None,
        }
    }

    /// Something that is not even compiled.
    pub fn too_long(what: &str, limit: usize) -> Self {
        Self::without_position(format!(
            "ERR Error compiling {what}: it is longer than script-source-limit ({limit} bytes)"
        ))
    }
}

/// What is compiled, in the words of Redis.
pub(super) fn compiled(script: &Script) -> &'static str {
    if script.is_library() {
        "function"
    } else {
        "script (new function)"
    }
}

/// # Safety
/// The error message must be on top of the stack of `lua`.
pub(super) unsafe fn from_compiler(lua: *mut ffi::lua_State, script: &Script) -> ScriptError {
    let mut message = format!("ERR Error compiling {}: ", compiled(script)).into_bytes();
    // SAFETY: as the caller promised; memory is not limited.
    unsafe {
        wording::translate_top(lua);
        message.extend_from_slice(string_at(lua, -1));
    }
    ScriptError::without_position(message)
}

/// # Safety
/// `lua` must be a coroutine whose last resume gave an error, its memory not limited.
pub(super) unsafe fn from_failed(
    lua: *mut ffi::lua_State,
    callee: &Callee,
    memory_limit: usize,
) -> ScriptError {
    // SAFETY: as the caller promised: the error value is on top.
    let (mut message, position) = unsafe { (error_text(lua), position(lua)) };
    if message.strip_prefix(b"ERR ") == Some(OUT_OF_MEMORY.to_bytes()) {
        let why = format!(
            ": the script needs more than script-memory-limit ({memory_limit} bytes). {NOT_APPLIED}"
        );
        message.extend_from_slice(why.as_bytes());
    }
    let Some((source, line)) = position else {
        return ScriptError::without_position(message);
    };
    message.extend_from_slice(shown(&source, line, callee).as_bytes());
    ScriptError {
        message,
        line: u32::try_from(line).ok(),
    }
}

/// What every reply to a script that was ended says.
pub const NOT_APPLIED: &str = "Nothing it did was applied.";

/// The innermost line of Lua code that is being run, as the end of an error line.
///
/// # Safety
/// `lua` must be a coroutine that is suspended or has ended with an error.
pub(super) unsafe fn place(lua: *mut ffi::lua_State, callee: &Callee) -> String {
    // SAFETY: as the caller promised.
    let position = unsafe { position(lua) };
    position.map_or_else(String::new, |(source, line)| shown(&source, line, callee))
}

/// Of a library's code that is run for what it registers, the message says where it was.
fn shown(source: &[u8], line: c_int, callee: &Callee) -> String {
    if matches!(callee.entry, Entry::Registrations) {
        return String::new();
    }
    let (name, source) = (callee.name(), String::from_utf8_lossy(source));
    format!(" script: {name}, on {source}:{line}.")
}

unsafe fn error_text(lua: *mut ffi::lua_State) -> Vec<u8> {
    // SAFETY: as for `from_failed`. The table is read without metamethods; a number may become a string in place.
    unsafe {
        let text: &[u8] = match ffi::lua_type(lua, -1) {
            ffi::LUA_TTABLE => {
                ffi::lua_checkstack(lua, 2);
                ffi::lua_pushstring(lua, c"err".as_ptr());
                match ffi::lua_rawget(lua, -2) {
                    ffi::LUA_TSTRING => return string_at(lua, -1).to_vec(),
                    ffi::LUA_TNUMBER => {
                        ffi::lua_tolstring(lua, -1, std::ptr::null_mut());
                        return string_at(lua, -1).to_vec();
                    }
                    _ => {}
                }
                b"(error object is a table value)"
            }
            ffi::LUA_TSTRING => {
                wording::translate_top(lua);
                string_at(lua, -1)
            }
            ffi::LUA_TNUMBER => {
                ffi::lua_tolstring(lua, -1, std::ptr::null_mut());
                string_at(lua, -1)
            }
            ffi::LUA_TNIL => b"nil",
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, -1) != 0 => b"true",
            ffi::LUA_TBOOLEAN => b"false",
            other => CStr::from_ptr(ffi::lua_typename(lua, other)).to_bytes(),
        };
        [b"ERR ", text].concat()
    }
}

/// The innermost line of Lua code.
unsafe fn position(lua: *mut ffi::lua_State) -> Option<(Vec<u8>, c_int)> {
    // SAFETY: as for `from_failed`; an all-zero record is what `lua_getstack` fills in.
    unsafe {
        let mut frame: ffi::lua_Debug = std::mem::zeroed();
        for level in 0.. {
            if ffi::lua_getstack(lua, level, &raw mut frame) == 0
                || ffi::lua_getinfo(lua, c"Sl".as_ptr(), &raw mut frame) == 0
            {
                break;
            }
            if frame.currentline > 0 {
                let source = std::slice::from_raw_parts(frame.source.cast::<u8>(), frame.srclen);
                return Some((source.to_vec(), frame.currentline));
            }
        }
    }
    None
}
