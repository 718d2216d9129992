//! JSON, cut into tokens.
//!
//! Unsafe code: strings with escapes are gathered in the core, which may raise an error, and numbers are read by C. The
//! rule of `call.rs` holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::config::Config;
use crate::script::cache::Dialect;
use crate::script::core::core_of;
use crate::script::extensions::numbers::read_float;
use crate::script::joiner::Joiner;

#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(&'a [u8]),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static CStr),
}

impl Token<'_> {
    /// As an error names it.
    pub fn name(&self) -> &'static CStr {
        match self {
            Self::ObjectBegin => c"T_OBJ_BEGIN",
            Self::ObjectEnd => c"T_OBJ_END",
            Self::ArrayBegin => c"T_ARR_BEGIN",
            Self::ArrayEnd => c"T_ARR_END",
            Self::String(_) => c"T_STRING",
            Self::Integer(_) | Self::Float(_) => c"T_NUMBER",
            Self::Boolean(_) => c"T_BOOLEAN",
            Self::Null => c"T_NULL",
            Self::Colon => c"T_COLON",
            Self::Comma => c"T_COMMA",
            Self::End => c"T_END",
            Self::Error(what) => what,
        }
    }
}

const INVALID_TOKEN: Token<'_> = Token::Error(c"invalid token");
const INVALID_NUMBER: Token<'_> = Token::Error(c"invalid number");

/// A text up to its first zero, where it ends for the parser, and the place in it.
pub struct Scanner<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// The next token and where it begins; for an error, where that is.
    ///
    /// # Safety
    /// `lua` must be the state in which Lua called a function; a zero stands behind the text, which is a string of Lua. A
    /// string token is only valid until the next one is read.
    pub unsafe fn next(&mut self, lua: *mut ffi::lua_State, config: &Config) -> (Token<'a>, usize) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let single = match self.text.get(start) {
            None => return (Token::End, start),
            Some(b'{') => Token::ObjectBegin,
            Some(b'}') => Token::ObjectEnd,
            Some(b'[') => Token::ArrayBegin,
            Some(b']') => Token::ArrayEnd,
            Some(b',') => Token::Comma,
            Some(b':') => Token::Colon,
            Some(b'"') => {
                // SAFETY: as the caller promised.
                let token = unsafe { self.string(lua) };
                let start = if let Token::Error(_) = token {
                    self.at
                } else {
                    start
                };
                return (token, start);
            }
            // SAFETY: as the caller promised.
            Some(_) => return (unsafe { self.word(lua, config) }, start),
        };
        self.at += 1;
        (single, start)
    }

    unsafe fn word(&mut self, lua: *mut ffi::lua_State, config: &Config) -> Token<'a> {
        let rest = self.rest();
        let is_number = matches!(rest, [b'-' | b'0'..=b'9', ..]);
        if is_number && (config.decode_invalid || !is_invalid_number(rest)) {
            // SAFETY: as for `next`.
            return unsafe { self.number(core_of(lua).dialect) };
        }
        if is_number {
            return INVALID_NUMBER;
        }
        for (word, token) in [
            (&b"true"[..], Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        let may_be = matches!(rest, [b'+' | b'i' | b'I' | b'n' | b'N', ..]);
        if may_be && config.decode_invalid && is_invalid_number(rest) {
            // SAFETY: as for `next`.
            return unsafe { self.number(core_of(lua).dialect) };
        }
        INVALID_TOKEN
    }

    unsafe fn number(&mut self, dialect: Dialect) -> Token<'a> {
        let rest = self.rest();
        if let Some((value, len)) = read_integer(rest, dialect) {
            self.at += len;
            return match dialect {
                Dialect::Aikv => Token::Integer(value),
                Dialect::Redis => Token::Float(value as f64),
            };
        }
        // SAFETY: as for `next`.
        let (value, len) = unsafe { read_float(rest) };
        if len == 0 {
            return INVALID_NUMBER;
        }
        self.at += len;
        Token::Float(value)
    }

    /// Reads a string, of which the first quote is known to be there.
    unsafe fn string(&mut self, lua: *mut ffi::lua_State) -> Token<'a> {
        self.at += 1;
        let start = self.at;
        // SAFETY: as for `next`; bytes in the core stay where they are until the next string is read.
        unsafe {
            let mut is_gathered = false;
            loop {
                let rest = self.rest();
                let Some(len) = memchr::memchr2(b'"', b'\\', rest) else {
                    self.at = self.text.len();
                    return Token::Error(c"unexpected end of string");
                };
                self.at += len;
                if rest[len] == b'"' && !is_gathered {
                    self.at += 1;
                    return Token::String(&self.text[start..start + len]);
                }
                if !is_gathered {
                    core_of(lua).joined.clear();
                    is_gathered = true;
                }
                Joiner::add(lua, &rest[..len]);
                if rest[len] == b'"' {
                    self.at += 1;
                    let core = core_of(lua);
                    let text: *const [u8] = &raw const core.joined[..];
                    return Token::String(&*text);
                }
                if let Err(what) = self.escape(lua) {
                    return Token::Error(what);
                }
            }
        }
    }

    /// Reads an escape and adds what it stands for.
    unsafe fn escape(&mut self, lua: *mut ffi::lua_State) -> Result<(), &'static CStr> {
        let rest = self.rest();
        let plain = match rest.get(1) {
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0c,
            Some(b'r') => b'\r',
            Some(same @ (b'"' | b'\\' | b'/')) => *same,
            Some(b'u') => {
                let (character, len) = read_unicode(rest).ok_or(c"invalid unicode escape code")?;
                let mut utf8 = [0; 4];
                let utf8 = character.encode_utf8(&mut utf8).as_bytes();
                // SAFETY: as for `next`.
                unsafe { Joiner::add(lua, utf8) };
                self.at += len;
                return Ok(());
            }
            _ => return Err(c"invalid escape code"),
        };
        // SAFETY: as for `next`.
        unsafe { Joiner::add(lua, &[plain]) };
        self.at += 2;
        Ok(())
    }
}

/// The character of a `\u` escape, or of the two that make a surrogate pair, and their length.
fn read_unicode(text: &[u8]) -> Option<(char, usize)> {
    const ESCAPE_LEN: usize = 6;
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..ESCAPE_LEN - 2)?;
        let mut value = 0;
        for digit in digits {
            value = value << 4 | char::from(*digit).to_digit(16)?;
        }
        Some(value)
    };
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, ESCAPE_LEN));
    }
    let second = unit(&text[ESCAPE_LEN..])?;
    let is_pair = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
    let code = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    char::from_u32(code)
        .filter(|_| is_pair)
        .map(|character| (character, 2 * ESCAPE_LEN))
}

/// A number that is no JSON, though C reads it.
fn is_invalid_number(text: &[u8]) -> bool {
    let digits = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        _ => text,
    };
    let starts_with = |word: &[u8; 3]| {
        let head = digits.first_chunk::<3>();
        head.is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    match digits {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        _ => starts_with(b"inf") || starts_with(b"nan"),
    }
}

/// Digits that a double holds exactly, and so does their sum on the way.
const EXACT_DIGITS_MAX: usize = 15;

/// Reads what is written as an integer, if the dialect can hold it exactly; it and its length.
fn read_integer(text: &[u8], dialect: Dialect) -> Option<(i64, usize)> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    let len = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let ends = !matches!(digits.get(len), Some(b'.' | b'e' | b'E' | b'x' | b'X'));
    let fits = len <= EXACT_DIGITS_MAX || dialect == Dialect::Aikv;
    if len == 0 || !ends || !fits {
        return None;
    }
    let mut value: i64 = 0;
    for digit in &digits[..len] {
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10)?;
        value = if is_negative {
            value.checked_sub(digit)?
        } else {
            value.checked_add(digit)?
        };
    }
    // A double knows a negative zero.
    let is_exact = value != 0 || !is_negative;
    is_exact.then_some((value, len + usize::from(is_negative)))
}

/// # Safety
/// As for [`Scanner::next`].
#[cold]
pub unsafe fn refuse(
    lua: *mut ffi::lua_State,
    expected: &CStr,
    (token, start): (Token<'_>, usize),
) -> c_int {
    // SAFETY: as the caller promised; a token has no destructor.
    unsafe {
        ffi::luaL_error(
            lua,
            c"Expected %s but found %s at character %d".as_ptr(),
            expected.as_ptr(),
            token.name().as_ptr(),
            (start + 1) as c_int,
        )
    }
}
