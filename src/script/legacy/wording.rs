//! Errors of Lua 5.4 in the words of Lua 5.1, as clients of Redis know them.
//!
//! Lua makes these texts deep inside, so they are rewritten where an error reaches a script (`pcall`, `xpcall`,
//! `coroutine.resume`, `loadstring`) or leaves it. What a script says itself is left alone, unless it sounds just like Lua.
//!
//! Unsafe code: it works on the Lua stack.

use std::ffi::c_int;

use memchr::memmem;
use mlua::ffi;

use crate::script::cache::Dialect;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;

/// Rewrites the error on top of the stack, if it is a string and the dialect asks for that.
///
/// # Safety
/// `lua` must be a state of a VM with a value on its stack. Lua may raise an error for want of memory, so
/// nothing with a destructor may be alive unless memory is not limited.
pub(in crate::script) unsafe fn translate_top(lua: *mut ffi::lua_State) {
    // SAFETY: as the caller promised. The new text is in the core, which outlives an error; the old one is on the stack.
    unsafe {
        let core = core_of(lua);
        if core.dialect != Dialect::Redis || ffi::lua_type(lua, -1) != ffi::LUA_TSTRING {
            return;
        }
        core.joined.clear();
        if translate(string_at(lua, -1), &mut core.joined) && ffi::lua_checkstack(lua, 1) != 0 {
            push_bytes(lua, &core.joined);
            let below: c_int = -2;
            ffi::lua_replace(lua, below);
        }
        core_of(lua).joined.clear();
    }
}

/// What Lua says it could not do to a value.
const ATTEMPTS: [&str; 5] = [
    "call ",
    "index ",
    "perform arithmetic on ",
    "concatenate ",
    "get length of ",
];
/// What names a value in both versions; others are left out.
const KINDS: [&str; 5] = ["local ", "global ", "field ", "method ", "upvalue "];
/// What the strings of 5.4 say of an operator that does not take them.
const OPERATORS: [&str; 7] = ["add", "sub", "mul", "div", "mod", "pow", "unm"];
/// What is only put another way.
const PHRASES: [(&str, &str); 9] = [
    ("<eof> expected", "'<eof>' expected"),
    ("<name> expected", "'<name>' expected"),
    ("near <eof>", "near '<eof>'"),
    (
        "attempt to yield across a C-call boundary",
        "attempt to yield across metamethod/C-call boundary",
    ),
    (
        "invalid conversion specification: ",
        "invalid format (width or precision too long)",
    ),
    ("invalid conversion '", "invalid option '"),
    ("(value out of range)", "(invalid value)"),
    ("invalid capture index %", "invalid capture index"),
    (
        "(string/function/table expected, got ",
        "(string/function/table expected)",
    ),
];

/// Writes the text anew; tells whether it had to.
fn translate(text: &[u8], out: &mut Vec<u8>) -> bool {
    attempt(text, out) || for_loop(text, out) || long_string(text, out) || phrases(text, out)
}

fn split<'a>(text: &'a [u8], by: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(text, by.as_bytes())?;
    Some((&text[..at], &text[at + by.len()..]))
}

fn join(out: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
    for part in parts {
        out.extend_from_slice(part);
    }
    true
}

/// `attempt to index a nil value (local 'x')`.
fn attempt(text: &[u8], out: &mut Vec<u8>) -> bool {
    const ATTEMPT: &str = "attempt to ";
    let Some((head, what)) = split(text, ATTEMPT) else {
        return false;
    };
    let verb = ATTEMPTS
        .iter()
        .find(|verb| what.starts_with(verb.as_bytes()));
    let Some(verb) = verb else {
        return arithmetic(head, what, out);
    };
    let Some((value, name)) = split(&what[verb.len()..], " (") else {
        return false;
    };
    let Some(name) = name.strip_suffix(b")") else {
        return false;
    };
    let (head, verb) = ([head, ATTEMPT.as_bytes()], verb.as_bytes());
    join(out, &head);
    if KINDS.iter().any(|kind| name.starts_with(kind.as_bytes())) {
        join(out, &[verb, name, b" (", value, b")"])
    } else {
        join(out, &[verb, value])
    }
}

/// `attempt to add a 'number' with a 'string'`. Lua 5.1 names the second value, or the first if that is no number; whether
/// a string was one cannot be seen any more.
fn arithmetic(head: &[u8], what: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((operator, values)) = split(what, " a '") else {
        return false;
    };
    if !OPERATORS.iter().any(|known| known.as_bytes() == operator) {
        return false;
    }
    let Some((first, second)) = split(values, "' with a '") else {
        return false;
    };
    let second = second.strip_suffix(b"'").unwrap_or(second);
    let named = match (first, second) {
        (b"number" | b"string", b"number") => first,
        (b"number" | b"string", _) => second,
        _ => first,
    };
    let attempt = b"attempt to perform arithmetic on a ";
    join(out, &[head, attempt, named, b" value"])
}

/// `bad 'for' limit (number expected, got nil)`.
fn for_loop(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((head, what)) = split(text, "bad 'for' ") else {
        return false;
    };
    let Some((what, _)) = split(what, " (number expected, got ") else {
        return false;
    };
    // Lua 5.1 calls the first one "initial value" too.
    join(out, &[head, b"'for' ", what, b" must be a number"])
}

/// `unfinished long string (starting at line 1) near <eof>`.
fn long_string(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((head, rest)) = split(text, " (starting at line ") else {
        return false;
    };
    let Some((_, tail)) = split(rest, ") near ") else {
        return false;
    };
    let tail: &[u8] = if tail == b"<eof>" { b"'<eof>'" } else { tail };
    join(out, &[head, b" near ", tail])
}

fn phrases(text: &[u8], out: &mut Vec<u8>) -> bool {
    let found = PHRASES
        .iter()
        .find_map(|(theirs, ours)| Some((split(text, theirs)?, theirs, ours)));
    let Some(((head, tail), theirs, ours)) = found else {
        return false;
    };
    join(out, &[head, ours.as_bytes()]);
    // What follows such a beginning are details that Lua 5.1 does not tell.
    if !theirs.ends_with([' ', '%']) {
        // A second phrase in the same line: `'<name>' expected near '<eof>'`.
        if let Some((between, rest)) = split(tail, "near <eof>") {
            return join(out, &[between, b"near '<eof>'", rest]);
        }
        join(out, &[tail]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> String {
        let mut out = Vec::new();
        if !translate(text.as_bytes(), &mut out) {
            assert!(out.is_empty());
            return text.into();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn errors_get_the_words_of_lua_5_1() {
        let cases = [
            (
                "x:1: attempt to call a nil value (global 'f')",
                "x:1: attempt to call global 'f' (a nil value)",
            ),
            (
                "x:1: attempt to index a nil value (field '?')",
                "x:1: attempt to index field '?' (a nil value)",
            ),
            (
                "x:1: attempt to perform arithmetic on a nil value (upvalue 'n')",
                "x:1: attempt to perform arithmetic on upvalue 'n' (a nil value)",
            ),
            (
                "attempt to call a number value (for iterator 'for iterator')",
                "attempt to call a number value",
            ),
            (
                "attempt to add a 'number' with a 'string'",
                "attempt to perform arithmetic on a string value",
            ),
            (
                "attempt to unm a 'string' with a 'string'",
                "attempt to perform arithmetic on a string value",
            ),
            (
                "attempt to mul a 'table' with a 'string'",
                "attempt to perform arithmetic on a table value",
            ),
            (
                "x:1: bad 'for' initial value (number expected, got string)",
                "x:1: 'for' initial value must be a number",
            ),
            (
                "x:1: <name> expected near <eof>",
                "x:1: '<name>' expected near '<eof>'",
            ),
            (
                "x:1: <eof> expected near 'end'",
                "x:1: '<eof>' expected near 'end'",
            ),
            (
                "x:1: unfinished long string (starting at line 1) near <eof>",
                "x:1: unfinished long string near '<eof>'",
            ),
            (
                "invalid conversion specification: '%100d'",
                "invalid format (width or precision too long)",
            ),
            (
                "invalid conversion '%y' to 'format'",
                "invalid option '%y' to 'format'",
            ),
            (
                "invalid capture index %2 in replacement string",
                "invalid capture index",
            ),
            (
                "bad argument #3 to 'gsub' (string/function/table expected, got boolean)",
                "bad argument #3 to 'gsub' (string/function/table expected)",
            ),
        ];
        for (ours, theirs) in cases {
            assert_eq!(translated(ours), theirs);
        }
    }

    #[test]
    fn what_a_script_says_stays() {
        for text in [
            "",
            "attempt to ",
            "attempt to call",
            "attempt to call me (maybe",
            "attempt to compare number with nil",
            "attempt to add a 'number'",
            "attempt to add a 'x",
            "bad 'for' luck",
            "my own error",
        ] {
            assert_eq!(translated(text), text);
        }
    }
}
