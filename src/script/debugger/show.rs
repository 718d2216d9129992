//! Values as the debugger shows them.
//!
//! Unsafe code: reads Lua's values, without metamethods, while memory is not limited.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use crate::base::number::DoubleText;
use crate::base::quote::quote;
use crate::resp::{Protocol, Reply};
use crate::script::convert::string_at;
use crate::script::extensions::numbers::GeneralText;
use crate::script::tokens::{ReplyTokens, Token};

/// Tables are shown to this depth.
const DEPTH_MAX: usize = 10;
/// No more is shown of one value.
const SHOWN_LEN_MAX: usize = 1 << 20;
/// Digits of a number, as C's `%g` has them.
const PRECISION: c_int = 6;
/// The Lua stack that one level takes.
const SLOTS_PER_LEVEL: c_int = 4;

/// The value at `index`.
///
/// # Safety
/// `lua` must be a state of a VM whose memory is not limited.
pub(in crate::script) unsafe fn value(lua: *mut ffi::lua_State, index: c_int, out: &mut Vec<u8>) {
    // SAFETY: as the caller promised.
    unsafe { value_at(lua, ffi::lua_absindex(lua, index), 0, out) };
}

unsafe fn value_at(lua: *mut ffi::lua_State, index: c_int, depth: usize, out: &mut Vec<u8>) {
    // SAFETY: as `value` demands; nothing here converts a value or calls Lua code.
    unsafe {
        if depth == DEPTH_MAX {
            out.extend_from_slice(b"<max recursion level reached! Nested table?>");
            return;
        }
        match ffi::lua_type(lua, index) {
            ffi::LUA_TSTRING => quoted(string_at(lua, index), out),
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(lua, index) != 0 => {
                out.extend_from_slice(b"true");
            }
            ffi::LUA_TBOOLEAN => out.extend_from_slice(b"false"),
            ffi::LUA_TNUMBER => {
                let value = ffi::lua_tonumberx(lua, index, std::ptr::null_mut());
                out.extend_from_slice(GeneralText::new(value, PRECISION).as_bytes());
            }
            ffi::LUA_TNIL => out.extend_from_slice(b"nil"),
            ffi::LUA_TTABLE => table(lua, index, depth + 1, out),
            kind => {
                let name = match kind {
                    ffi::LUA_TLIGHTUSERDATA => c"light-userdata",
                    _ => CStr::from_ptr(ffi::lua_typename(lua, kind)),
                };
                let pointer = ffi::lua_topointer(lua, index);
                let text = format!("\"{}@{pointer:p}\"", name.to_string_lossy());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// With its keys, unless they are 1, 2, 3 and so on.
unsafe fn table(lua: *mut ffi::lua_State, index: c_int, depth: usize, out: &mut Vec<u8>) {
    // SAFETY: as `value` demands.
    unsafe {
        if ffi::lua_checkstack(lua, SLOTS_PER_LEVEL) == 0 {
            out.extend_from_slice(b"{...}");
            return;
        }
        let is_array = is_array(lua, index);
        out.push(b'{');
        let mut is_first = true;
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, index) != 0 {
            if !is_first {
                out.extend_from_slice(b"; ");
            }
            is_first = false;
            let value = ffi::lua_gettop(lua);
            if !is_array {
                out.push(b'[');
                value_at(lua, value - 1, depth, out);
                out.extend_from_slice(b"]=");
            }
            value_at(lua, value, depth, out);
            ffi::lua_settop(lua, value - 1);
            if out.len() > SHOWN_LEN_MAX {
                ffi::lua_settop(lua, value - 2);
                out.extend_from_slice(b"; ...");
                break;
            }
        }
        out.push(b'}');
    }
}

unsafe fn is_array(lua: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: as in `table`.
    unsafe {
        let mut expected = 0;
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, index) != 0 {
            ffi::lua_settop(lua, -2);
            expected += 1;
            let is_next = ffi::lua_isinteger(lua, -1) != 0
                && ffi::lua_tointegerx(lua, -1, std::ptr::null_mut()) == expected;
            if !is_next {
                ffi::lua_settop(lua, -2);
                return false;
            }
        }
    }
    true
}

/// In quotes, and not all of what is very long.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    quote(out, &text[..text.len().min(SHOWN_LEN_MAX)]);
}

/// What a command has answered.
pub(super) fn reply(reply: &ReplyTokens, out: &mut Vec<u8>) {
    let mut next = 0;
    item(reply, &mut next, out);
}

fn item(reply: &ReplyTokens, next: &mut usize, out: &mut Vec<u8>) {
    let Some(token) = reply.tokens().get(*next).copied() else {
        return;
    };
    *next += 1;
    if out.len() > SHOWN_LEN_MAX {
        // The rest is passed over.
        return;
    }
    let with_sign =
        |sign: &[u8], text: &[u8], out: &mut Vec<u8>| quoted(&[sign, text].concat(), out);
    match token {
        Token::Null if reply.protocol() == Protocol::Resp3 => out.extend_from_slice(b"(null)"),
        Token::Null => out.extend_from_slice(b"NULL"),
        Token::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Token::Boolean(true) => out.extend_from_slice(b"#true"),
        Token::Boolean(false) => out.extend_from_slice(b"#false"),
        Token::Double(value) => {
            out.extend_from_slice(b"(double) ");
            out.extend_from_slice(DoubleText::new(value).as_bytes());
        }
        Token::Simple(text) => with_sign(b"+", reply.text(text), out),
        Token::Error(text) => with_sign(b"-", reply.text(text), out),
        Token::Bulk(text) | Token::BigNumber(text) | Token::Verbatim { text, .. } => {
            quoted(reply.text(text), out);
        }
        Token::Array(len) => items(reply, next, len, [b"[", b"]"], out),
        Token::Set(len) => items(reply, next, len, [b"~(", b")"], out),
        Token::Map(pairs) => {
            out.push(b'{');
            for pair in 0..pairs {
                if pair > 0 {
                    out.push(b',');
                }
                item(reply, next, out);
                out.extend_from_slice(b" => ");
                item(reply, next, out);
            }
            out.push(b'}');
        }
    }
}

fn items(
    reply: &ReplyTokens,
    next: &mut usize,
    len: usize,
    [open, close]: [&[u8]; 2],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(open);
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        if out.len() > SHOWN_LEN_MAX {
            out.extend_from_slice(b"...");
            break;
        }
        item(reply, next, out);
    }
    out.extend_from_slice(close);
}
