//! Values between Redis and Lua, in both dialects.
//!
//! Unsafe code: it works on the Lua stack. It only uses calls that run no Lua code, and it runs while memory is
//! not limited (see [`super::core::Memory`]), so no error of Lua can leave these functions.

use std::ffi::{CStr, c_int};
use std::io::Write;

use mlua::ffi;

use super::cache::Dialect;
use super::tokens::{ReplyTokens, Token};
use crate::resp::{Protocol, Reply};

/// Tables that a script returns may be nested this deep.
pub const NESTING_MAX: usize = 128;
/// A script's reply may have so many elements: a small table that contains itself often enough could describe more
/// than fits into any memory.
pub const REPLY_ELEMENTS_MAX: usize = 4 << 20;

/// A value that no reply can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unshowable {
    TooDeep,
    TooMany,
}

impl Unshowable {
    pub fn text(self) -> String {
        match self {
            Self::TooDeep => format!("ERR Script reply is nested deeper than {NESTING_MAX} tables"),
            Self::TooMany => {
                format!("ERR Script reply has more than {REPLY_ELEMENTS_MAX} elements")
            }
        }
    }
}

/// Pushes a command's reply.
///
/// # Safety
/// `lua` must be a live state with memory unlimited.
pub(super) unsafe fn push_reply(lua: *mut ffi::lua_State, reply: &ReplyTokens, dialect: Dialect) {
    let mut push = Push {
        lua,
        reply,
        dialect,
        next: 0,
    };
    // SAFETY: as the caller promised.
    unsafe { push.value(0) };
    debug_assert_eq!(push.next, reply.tokens().len(), "one whole reply");
}

struct Push<'a> {
    lua: *mut ffi::lua_State,
    reply: &'a ReplyTokens,
    dialect: Dialect,
    next: usize,
}

impl Push<'_> {
    /// Pushes the next value with all its elements. A reply that ends early is filled up with nil.
    unsafe fn value(&mut self, depth: usize) {
        let lua = self.lua;
        let token = self.reply.tokens().get(self.next).copied();
        self.next += 1;
        // SAFETY: as `push_reply` demands; each value needs a constant number of stack slots, which are asked for.
        unsafe {
            if depth > NESTING_MAX || ffi::lua_checkstack(lua, SLOTS_PER_LEVEL) == 0 {
                ffi::lua_pushnil(lua);
                return;
            }
            match token {
                None => ffi::lua_pushnil(lua),
                Some(Token::Null) if self.reply.protocol() == Protocol::Resp3 => {
                    ffi::lua_pushnil(lua);
                }
                Some(Token::Null) => ffi::lua_pushboolean(lua, 0),
                Some(Token::Integer(value)) => ffi::lua_pushinteger(lua, value),
                Some(Token::Boolean(value)) => ffi::lua_pushboolean(lua, value.into()),
                Some(Token::Bulk(text)) => push_bytes(lua, self.reply.text(text)),
                Some(Token::Simple(text)) => self.status(c"ok", self.reply.text(text)),
                Some(Token::Error(text)) => self.status(c"err", self.reply.text(text)),
                Some(Token::Double(value)) => {
                    ffi::lua_createtable(lua, 0, 1);
                    ffi::lua_pushnumber(lua, value);
                    set_field(lua, c"double");
                }
                Some(Token::BigNumber(text)) => {
                    push_single_field(lua, c"big_number", self.reply.text(text));
                }
                Some(Token::Verbatim { format, text }) => {
                    ffi::lua_createtable(lua, 0, 1);
                    ffi::lua_createtable(lua, 0, 2);
                    push_bytes(lua, &format);
                    set_field(lua, c"format");
                    push_bytes(lua, self.reply.text(text));
                    set_field(lua, c"string");
                    set_field(lua, c"verbatim_string");
                }
                Some(Token::Array(len)) => self.array(len, depth),
                Some(Token::Map(pairs)) => {
                    ffi::lua_createtable(lua, 0, 1);
                    ffi::lua_createtable(lua, 0, self.at_most(pairs));
                    for _ in 0..pairs {
                        self.value(depth + 1);
                        self.value(depth + 1);
                        set_if_key(lua);
                    }
                    set_field(lua, c"map");
                }
                Some(Token::Set(len)) => {
                    ffi::lua_createtable(lua, 0, 1);
                    ffi::lua_createtable(lua, 0, self.at_most(len));
                    for _ in 0..len {
                        self.value(depth + 1);
                        ffi::lua_pushboolean(lua, 1);
                        set_if_key(lua);
                    }
                    set_field(lua, c"set");
                }
            }
        }
    }

    unsafe fn array(&mut self, len: usize, depth: usize) {
        let lua = self.lua;
        // SAFETY: as in `value`.
        unsafe {
            ffi::lua_createtable(lua, self.at_most(len), 0);
            for index in 1..=len as i64 {
                self.value(depth + 1);
                ffi::lua_rawseti(lua, -2, index);
            }
        }
    }

    /// A status or an error: a table in Redis's dialect, its text in ours.
    unsafe fn status(&self, field: &CStr, text: &[u8]) {
        // SAFETY: as in `value`.
        unsafe {
            match self.dialect {
                Dialect::Aikv => push_bytes(self.lua, text),
                Dialect::Redis => push_single_field(self.lua, field, text),
            }
        }
    }

    /// An announced length as a size for a table: what is not in the reply needs no room.
    fn at_most(&self, len: usize) -> c_int {
        len.min(self.reply.tokens().len()) as c_int
    }
}

const SLOTS_PER_LEVEL: c_int = 6;

/// # Safety
/// As for [`push_reply`].
pub(super) unsafe fn push_bytes(lua: *mut ffi::lua_State, bytes: &[u8]) {
    // SAFETY: Lua copies the bytes.
    unsafe { ffi::lua_pushlstring(lua, bytes.as_ptr().cast(), bytes.len()) };
}

/// Pushes `{field = text}`.
///
/// # Safety
/// As for [`push_reply`].
pub(super) unsafe fn push_single_field(lua: *mut ffi::lua_State, field: &CStr, text: &[u8]) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_createtable(lua, 0, 1);
        push_bytes(lua, text);
        set_field(lua, field);
    }
}

/// `t[field] = top` for a new table below the top, which has no metatable: no Lua code runs.
unsafe fn set_field(lua: *mut ffi::lua_State, field: &CStr) {
    // SAFETY: as the caller promised.
    unsafe { ffi::lua_setfield(lua, -2, field.as_ptr()) };
}

/// `t[key] = value` for the key and value on top, left out if Lua has no such key (nil, NaN).
unsafe fn set_if_key(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised.
    unsafe {
        let is_nan = ffi::lua_type(lua, -2) == ffi::LUA_TNUMBER
            && ffi::lua_tonumberx(lua, -2, std::ptr::null_mut()).is_nan();
        if is_nan || ffi::lua_type(lua, -2) == ffi::LUA_TNIL {
            ffi::lua_settop(lua, -3);
        } else {
            ffi::lua_rawset(lua, -3);
        }
    }
}

/// Writes what the script returned, the value at `index`, as its reply. Nothing is written if there is an error.
///
/// # Safety
/// As for [`push_reply`].
pub(super) unsafe fn write_result(
    lua: *mut ffi::lua_State,
    index: c_int,
    rules: Rules,
    out: &mut dyn Reply,
) -> Result<(), Unshowable> {
    // SAFETY: as the caller promised.
    unsafe {
        if ffi::lua_type(lua, index) == ffi::LUA_TTABLE {
            let mut budget = REPLY_ELEMENTS_MAX;
            measure(lua, index, 1, &mut budget)?;
        }
        write_value(lua, index, rules, out);
    }
    Ok(())
}

/// What decides how a Lua value is shown.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub dialect: Dialect,
    /// What the script chose with `redis.setresp`.
    pub protocol: Protocol,
}

unsafe fn write_value(lua: *mut ffi::lua_State, index: c_int, rules: Rules, out: &mut dyn Reply) {
    // SAFETY: as `write_result` demands.
    unsafe {
        match ffi::lua_type(lua, index) {
            ffi::LUA_TSTRING => out.bulk(string_at(lua, index)),
            ffi::LUA_TNUMBER => write_number(lua, index, rules.dialect, out),
            ffi::LUA_TBOOLEAN => {
                let value = ffi::lua_toboolean(lua, index) != 0;
                match (rules.protocol, rules.dialect) {
                    (Protocol::Resp3, _) => out.boolean(value),
                    (_, Dialect::Redis) if !value => out.null(),
                    _ => out.integer(value.into()),
                }
            }
            ffi::LUA_TTABLE if ffi::lua_checkstack(lua, SLOTS_TO_WRITE) == 0 => out.null(),
            ffi::LUA_TTABLE => {
                let index = ffi::lua_absindex(lua, index);
                if !is_plain_array(lua, index) && write_tagged(lua, index, rules, out) {
                    return;
                }
                let len = array_len(lua, index);
                out.array(len);
                for position in 1..=len as i64 {
                    ffi::lua_rawgeti(lua, index, position);
                    write_value(lua, -1, rules, out);
                    ffi::lua_settop(lua, -2);
                }
            }
            _ => out.null(),
        }
    }
}

/// What writing a table needs beside its elements: the fields that may give it a meaning, a key, a value.
const SLOTS_TO_WRITE: c_int = 16;

unsafe fn write_number(
    lua: *mut ffi::lua_State,
    index: c_int,
    dialect: Dialect,
    out: &mut dyn Reply,
) {
    // SAFETY: the value is a number, which these calls leave as it is.
    let value = unsafe {
        if ffi::lua_isinteger(lua, index) != 0 {
            return out.integer(ffi::lua_tointegerx(lua, index, std::ptr::null_mut()));
        }
        ffi::lua_tonumberx(lua, index, std::ptr::null_mut())
    };
    let in_range = value >= i64::MIN as f64 && value < -(i64::MIN as f64);
    match dialect {
        Dialect::Redis if in_range => out.integer(value as i64),
        // What the conversion in C gives on x86, for NaN too.
        Dialect::Redis => out.integer(i64::MIN),
        Dialect::Aikv if in_range && value.fract() == 0.0 => out.integer(value as i64),
        Dialect::Aikv => write_shortest(value, out),
    }
}

/// The shortest decimal that reads back as the same number.
fn write_shortest(value: f64, out: &mut dyn Reply) {
    let mut buffer = [0_u8; 32];
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    let written = if value.is_finite() && !(1e-5..1e17).contains(&value.abs()) {
        write!(cursor, "{value:e}")
    } else {
        write!(cursor, "{value}")
    };
    let len = cursor.position() as usize;
    debug_assert!(written.is_ok(), "17 digits, a sign, an exponent");
    buffer[..len].make_ascii_lowercase();
    out.bulk(&buffer[..len]);
}

/// A table with one of the fields that give it a meaning: tells whether it was one.
unsafe fn write_tagged(
    lua: *mut ffi::lua_State,
    table: c_int,
    rules: Rules,
    out: &mut dyn Reply,
) -> bool {
    // SAFETY: as `write_result` demands; every branch leaves the stack as high as it was, through the last line.
    unsafe {
        let top = ffi::lua_gettop(lua);
        let found = if field(lua, table, c"err") == ffi::LUA_TSTRING {
            out.error_bytes(string_at(lua, -1));
            true
        } else if field(lua, table, c"ok") == ffi::LUA_TSTRING {
            out.simple_bytes(string_at(lua, -1));
            true
        } else if field(lua, table, c"double") == ffi::LUA_TNUMBER {
            out.double(ffi::lua_tonumberx(lua, -1, std::ptr::null_mut()));
            true
        } else if field(lua, table, c"map") == ffi::LUA_TTABLE {
            let map = ffi::lua_gettop(lua);
            out.map(pair_count(lua, map));
            ffi::lua_pushnil(lua);
            while ffi::lua_next(lua, map) != 0 {
                write_value(lua, -2, rules, out);
                write_value(lua, -1, rules, out);
                ffi::lua_settop(lua, -2);
            }
            true
        } else if field(lua, table, c"set") == ffi::LUA_TTABLE {
            let set = ffi::lua_gettop(lua);
            out.set(pair_count(lua, set));
            ffi::lua_pushnil(lua);
            while ffi::lua_next(lua, set) != 0 {
                ffi::lua_settop(lua, -2);
                write_value(lua, -1, rules, out);
            }
            true
        } else if field(lua, table, c"big_number") == ffi::LUA_TSTRING {
            out.big_number(&one_line(string_at(lua, -1)));
            true
        } else if field(lua, table, c"verbatim_string") == ffi::LUA_TTABLE {
            write_verbatim(lua, ffi::lua_gettop(lua), out)
        } else {
            false
        };
        ffi::lua_settop(lua, top);
        found
    }
}

unsafe fn write_verbatim(lua: *mut ffi::lua_State, table: c_int, out: &mut dyn Reply) -> bool {
    // SAFETY: as `write_result` demands.
    unsafe {
        if field(lua, table, c"format") != ffi::LUA_TSTRING
            || field(lua, table, c"string") != ffi::LUA_TSTRING
        {
            return false;
        }
        out.verbatim(&format_of_three(string_at(lua, -2)), string_at(lua, -1));
        true
    }
}

/// The protocol gives a format three letters: longer ones are cut, shorter ones filled up, as Redis does.
fn format_of_three(format: &[u8]) -> String {
    let letters = format.iter().copied().chain(std::iter::repeat(b' '));
    let letters = letters.map(|byte| {
        if byte.is_ascii_graphic() {
            byte as char
        } else {
            ' '
        }
    });
    letters.take(3).collect()
}

fn one_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}

/// Pushes `table[name]` without metamethods; its type.
unsafe fn field(lua: *mut ffi::lua_State, table: c_int, name: &CStr) -> c_int {
    // SAFETY: as `write_result` demands.
    unsafe {
        ffi::lua_pushstring(lua, name.as_ptr());
        ffi::lua_rawget(lua, table)
    }
}

/// # Safety
/// The value at `index` must be a string, and stay on the stack while the slice is used.
pub(super) unsafe fn string_at<'a>(lua: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: a string is not converted, so nothing moves.
    unsafe {
        let start = ffi::lua_tolstring(lua, index, &raw mut len);
        std::slice::from_raw_parts(start.cast(), len)
    }
}

/// Nothing but elements `1..=n`: then it has no field that gives it a meaning.
unsafe fn is_plain_array(lua: *mut ffi::lua_State, table: c_int) -> bool {
    // SAFETY: as `write_result` demands; `#t` is either 0, where nil begins, or a key that is there.
    unsafe {
        match ffi::lua_rawlen(lua, table) {
            0 => ffi::lua_pushnil(lua),
            len => ffi::lua_pushinteger(lua, len as i64),
        }
        if ffi::lua_next(lua, table) == 0 {
            return true;
        }
        ffi::lua_settop(lua, -3);
        false
    }
}

/// Elements before the first nil.
unsafe fn array_len(lua: *mut ffi::lua_State, table: c_int) -> usize {
    let mut len = 0;
    // SAFETY: as `write_result` demands.
    unsafe {
        while ffi::lua_rawgeti(lua, table, len + 1) != ffi::LUA_TNIL {
            ffi::lua_settop(lua, -2);
            len += 1;
        }
        ffi::lua_settop(lua, -2);
    }
    len as usize
}

unsafe fn pair_count(lua: *mut ffi::lua_State, table: c_int) -> usize {
    let mut pairs = 0;
    // SAFETY: as `write_result` demands.
    unsafe {
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, table) != 0 {
            ffi::lua_settop(lua, -2);
            pairs += 1;
        }
    }
    pairs
}

/// Checks depth and size of a table before anything of it is written. Counts every entry, also those that are not
/// shown, since looking at them takes time too.
unsafe fn measure(
    lua: *mut ffi::lua_State,
    table: c_int,
    depth: usize,
    budget: &mut usize,
) -> Result<(), Unshowable> {
    // SAFETY: as `write_result` demands.
    unsafe {
        if depth > NESTING_MAX || ffi::lua_checkstack(lua, SLOTS_PER_LEVEL) == 0 {
            return Err(Unshowable::TooDeep);
        }
        let table = ffi::lua_absindex(lua, table);
        ffi::lua_pushnil(lua);
        while ffi::lua_next(lua, table) != 0 {
            *budget = budget.checked_sub(1).ok_or(Unshowable::TooMany)?;
            for side in [-1, -2] {
                if ffi::lua_type(lua, side) == ffi::LUA_TTABLE {
                    measure(lua, side, depth + 1, budget)?;
                }
            }
            ffi::lua_settop(lua, -2);
        }
    }
    Ok(())
}
