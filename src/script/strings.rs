//! `string.find`, `match`, `gmatch`, `gsub` and `rep`, in place of Lua's own, which nothing can interrupt.
//!
//! - A match that uses up its slice is suspended, and so is a callback of `gsub`, also while it waits for a lock.
//! - The search under way is in the core, because nothing else runs in this VM while a function is suspended in it. A
//!   callback may use the core for searches of its own: what `gsub` needs afterwards is on its stack.
//!
//! Dialect `redis` has the rules of Lua 5.1 where a script can tell: an empty match right behind another one counts, a `%`
//! in a replacement stands before any character, and a start beyond the end of a string is its end.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::cache::Dialect;
use super::convert::{push_bytes, string_at};
use super::core::core_of;
use super::joiner::Joiner;
use super::metamethods;
use super::pattern::{Captured, Fault, Machine, Progress, Search, has_specials};
use super::turn::{Turn, doom, turn};

/// In place of what the library has under these names.
pub(super) const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 5] = [
    (c"find", find),
    (c"match", r#match),
    (c"gmatch", gmatch),
    (c"gsub", gsub),
    (c"rep", rep),
];

/// Steps of the matcher between two looks at the clock, in one search or many: about a tenth of a millisecond.
const STEPS_PER_LOOK: u32 = 20_000;
/// What a search costs besides, and what is done with its match.
const STEPS_PER_SEARCH: u32 = 10;

/// How a search went on.
enum Sought {
    Found(usize, usize),
    Missed,
    /// Return this to Lua.
    Leave(c_int),
}

/// Goes on with the core's search until it is over or has to give way; `again` takes it up then.
#[inline]
unsafe fn seek(
    lua: *mut ffi::lua_State,
    search: &Search<'_>,
    context: isize,
    again: ffi::lua_KFunction,
) -> Sought {
    loop {
        // SAFETY: called from a function that Lua called; text and pattern are strings on its stack.
        unsafe {
            let core = core_of(lua);
            let mut budget = core.steps_left;
            if budget > 0 {
                let progress = core.machine.search(search, &mut budget);
                core.steps_left = budget.saturating_sub(STEPS_PER_SEARCH);
                match progress {
                    Ok(Progress::Found { start, end }) => return Sought::Found(start, end),
                    Ok(Progress::Missed) => return Sought::Missed,
                    Ok(Progress::Pending) => {}
                    Err(fault) => return Sought::Leave(raise(lua, fault)),
                }
            }
            core.steps_left = STEPS_PER_LOOK;
            match turn(lua) {
                Turn::GoOn => {}
                Turn::Suspend => {
                    return Sought::Leave(ffi::lua_yieldk(lua, 0, context, Some(again)));
                }
                Turn::End => return Sought::Leave(doom(lua)),
            }
        }
    }
}

#[cold]
unsafe fn raise(lua: *mut ffi::lua_State, fault: Fault) -> c_int {
    let text = match fault {
        Fault::EndsWithEscape => c"malformed pattern (ends with '%%')",
        Fault::OpenSet => c"malformed pattern (missing ']')",
        Fault::NoBalanceArguments => c"malformed pattern (missing arguments to '%%b')",
        Fault::NoFrontierSet => c"missing '[' after '%%f' in pattern",
        Fault::TooManyCaptures => c"too many captures",
        Fault::NothingToClose => c"invalid pattern capture",
        Fault::UnfinishedCapture => c"unfinished capture",
        Fault::TooComplex => c"pattern too complex",
        Fault::NoSuchCapture(number) => {
            // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
            return unsafe { ffi::luaL_error(lua, c"invalid capture index %%%d".as_ptr(), number) };
        }
    };
    // SAFETY: as above; each text is a format without arguments.
    unsafe { ffi::luaL_error(lua, text.as_ptr()) }
}

/// The pattern without its anchor, and whether it has one.
#[inline]
fn anchored(pattern: &[u8]) -> (&[u8], bool) {
    match pattern {
        [b'^', rest @ ..] => (rest, true),
        _ => (pattern, false),
    }
}

/// The argument that says where to begin, counted from 0; it may be beyond the end of the text.
#[inline]
unsafe fn start_argument(lua: *mut ffi::lua_State, index: c_int, len: usize) -> usize {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    let position = unsafe { ffi::luaL_optinteger(lua, index, 1) };
    match position {
        1.. => position as usize - 1,
        0 => 0,
        _ => len.saturating_sub(position.unsigned_abs() as usize),
    }
}

/// Checks that an argument is a string; a number becomes one in place.
#[inline]
unsafe fn check_string<'a>(lua: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: as in `start_argument`; the string is on the stack while the slice is used.
    unsafe {
        let mut len = 0;
        let start = ffi::luaL_checklstring(lua, index, &raw mut len);
        std::slice::from_raw_parts(start.cast(), len)
    }
}

unsafe fn push_captured(
    lua: *mut ffi::lua_State,
    text: &[u8],
    number: usize,
    whole: (usize, usize),
) {
    // SAFETY: called from a function that Lua called, which has room on the stack.
    unsafe {
        match core_of(lua).machine.capture(number, whole) {
            Ok(Captured::Text { start, end }) => push_bytes(lua, &text[start..end]),
            Ok(Captured::Position(at)) => ffi::lua_pushinteger(lua, at as i64 + 1),
            Err(fault) => {
                raise(lua, fault);
            }
        }
    }
}

/// Pushes the captures, and where there are none, the whole match if that is asked for.
unsafe fn push_captures(
    lua: *mut ffi::lua_State,
    text: &[u8],
    whole: (usize, usize),
    or_whole: bool,
) -> c_int {
    // SAFETY: as in `push_captured`.
    unsafe {
        let count = core_of(lua).machine.captures_len();
        let count = count.max(usize::from(or_whole));
        ffi::luaL_checkstack(lua, count as c_int, c"too many captures".as_ptr());
        for number in 0..count {
            push_captured(lua, text, number, whole);
        }
        count as c_int
    }
}

unsafe extern "C-unwind" fn find(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let text = check_string(lua, 1);
        let pattern = check_string(lua, 2);
        let start = start_argument(lua, 3, text.len());
        let Some(start) = inside(lua, start, text.len()) else {
            ffi::lua_pushnil(lua);
            return 1;
        };
        if ffi::lua_toboolean(lua, 4) == 0 && has_specials(pattern) {
            core_of(lua).machine.begin(start);
            return find_on(lua, 0, 0);
        }
        match find_plain(&text[start..], pattern) {
            None => {
                ffi::lua_pushnil(lua);
                1
            }
            Some(offset) => {
                ffi::lua_pushinteger(lua, (start + offset) as i64 + 1);
                ffi::lua_pushinteger(lua, (start + offset + pattern.len()) as i64);
                2
            }
        }
    }
}

/// Texts up to this length are searched without the preparation that keeps a search in long ones linear.
const SHORT_TEXT_MAX: usize = 128;

#[inline]
fn find_plain(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if text.len() > SHORT_TEXT_MAX {
        return memchr::memmem::find(text, wanted);
    }
    let Some(first) = wanted.first() else {
        return Some(0);
    };
    let mut offset = 0;
    while let Some(at) = memchr::memchr(*first, &text[offset..]) {
        offset += at;
        if text[offset..].starts_with(wanted) {
            return Some(offset);
        }
        offset += 1;
    }
    None
}

unsafe extern "C-unwind" fn find_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: called by `find`, or by Lua after a suspension, with its arguments on the stack.
    unsafe {
        let text = string_at(lua, 1);
        let search = search_of(text, string_at(lua, 2));
        match seek(lua, &search, 0, find_on) {
            Sought::Leave(result) => result,
            Sought::Missed => {
                ffi::lua_pushnil(lua);
                1
            }
            Sought::Found(start, end) => {
                ffi::lua_pushinteger(lua, start as i64 + 1);
                ffi::lua_pushinteger(lua, end as i64);
                2 + push_captures(lua, text, (start, end), false)
            }
        }
    }
}

unsafe extern "C-unwind" fn r#match(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let text = check_string(lua, 1);
        check_string(lua, 2);
        let start = start_argument(lua, 3, text.len());
        let Some(start) = inside(lua, start, text.len()) else {
            ffi::lua_pushnil(lua);
            return 1;
        };
        core_of(lua).machine.begin(start);
        match_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn match_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: as in `find_on`.
    unsafe {
        let text = string_at(lua, 1);
        let search = search_of(text, string_at(lua, 2));
        match seek(lua, &search, 0, match_on) {
            Sought::Leave(result) => result,
            Sought::Missed => {
                ffi::lua_pushnil(lua);
                1
            }
            Sought::Found(start, end) => push_captures(lua, text, (start, end), true),
        }
    }
}

/// A start that the text has; Lua 5.1 takes its end for all that are beyond.
#[inline]
unsafe fn inside(lua: *mut ffi::lua_State, start: usize, len: usize) -> Option<usize> {
    // SAFETY: called from a function that Lua called.
    let dialect = unsafe { core_of(lua).dialect };
    match dialect {
        _ if start <= len => Some(start),
        Dialect::Redis => Some(len),
        Dialect::Aikv => None,
    }
}

#[inline]
fn search_of<'a>(text: &'a [u8], pattern: &'a [u8]) -> Search<'a> {
    let (pattern, is_anchored) = anchored(pattern);
    Search {
        text,
        pattern,
        is_anchored,
        shunned_end: None,
    }
}

/// The iterator's upvalues: text, pattern, where to go on, where the last match ended (-1: there was none).
unsafe extern "C-unwind" fn gmatch(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let text = check_string(lua, 1);
        check_string(lua, 2);
        // Lua 5.1 has no third argument.
        let start = match core_of(lua).dialect {
            Dialect::Aikv => start_argument(lua, 3, text.len()).min(text.len() + 1),
            Dialect::Redis => 0,
        };
        ffi::lua_settop(lua, 2);
        ffi::lua_pushinteger(lua, start as i64);
        ffi::lua_pushinteger(lua, -1);
        ffi::lua_pushcclosure(lua, gmatch_next, 4);
    }
    1
}

unsafe extern "C-unwind" fn gmatch_next(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the upvalues are those that `gmatch` gave.
    unsafe {
        let text = string_at(lua, ffi::lua_upvalueindex(1));
        let start = ffi::lua_tointegerx(lua, ffi::lua_upvalueindex(3), ptr::null_mut()) as usize;
        if start > text.len() {
            return 0;
        }
        core_of(lua).machine.begin(start);
        gmatch_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn gmatch_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: as in `gmatch_next`.
    unsafe {
        let text = string_at(lua, ffi::lua_upvalueindex(1));
        let last = ffi::lua_tointegerx(lua, ffi::lua_upvalueindex(4), ptr::null_mut());
        let search = Search {
            text,
            pattern: string_at(lua, ffi::lua_upvalueindex(2)),
            is_anchored: false,
            shunned_end: usize::try_from(last).ok(),
        };
        let (start, end) = match seek(lua, &search, 0, gmatch_on) {
            Sought::Leave(result) => return result,
            Sought::Missed => return 0,
            Sought::Found(start, end) => (start, end),
        };
        let (next, last) = match core_of(lua).dialect {
            Dialect::Aikv => (end, end as i64),
            Dialect::Redis => (end + usize::from(start == end), -1),
        };
        ffi::lua_pushinteger(lua, next as i64);
        ffi::lua_replace(lua, ffi::lua_upvalueindex(3));
        ffi::lua_pushinteger(lua, last);
        ffi::lua_replace(lua, ffi::lua_upvalueindex(4));
        push_captures(lua, text, (start, end), true)
    }
}

/// Where a `gsub` stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Substitution {
    joiner: Joiner,
    /// The text before this is done with.
    done: usize,
    /// The end of the last match.
    last_end: Option<usize>,
    count: i64,
    count_max: i64,
    is_changed: bool,
    is_over: bool,
    /// The match whose value is being looked for.
    found: (usize, usize),
}

/// The stack of `gsub`: text, pattern, replacement, then the state while a callback runs, and the joiner's block.
const REPLACEMENT: c_int = 3;
const STATE: c_int = 4;
const BLOCK: c_int = 5;

/// Why the continuation of `gsub` is called.
const SEARCH_GOES_ON: isize = 0;
const CALLBACK_RETURNED: isize = 1;

unsafe extern "C-unwind" fn gsub(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let text = check_string(lua, 1);
        check_string(lua, 2);
        let kind = ffi::lua_type(lua, REPLACEMENT);
        let count_max = ffi::luaL_optinteger(lua, 4, text.len() as i64 + 1);
        match kind {
            ffi::LUA_TNUMBER => {
                ffi::lua_tolstring(lua, REPLACEMENT, ptr::null_mut());
            }
            ffi::LUA_TSTRING | ffi::LUA_TFUNCTION | ffi::LUA_TTABLE => {}
            _ => {
                let name = ffi::luaL_typename(lua, REPLACEMENT);
                let format = c"string/function/table expected, got %s".as_ptr();
                let message = ffi::lua_pushfstring(lua, format, name);
                return ffi::luaL_argerror(lua, REPLACEMENT, message);
            }
        }
        ffi::lua_settop(lua, REPLACEMENT);
        ffi::lua_pushnil(lua);
        ffi::lua_pushnil(lua);
        let core = core_of(lua);
        let joiner = Joiner::new(core, BLOCK);
        core.machine.begin(0);
        core.substitution = Some(Substitution {
            joiner,
            done: 0,
            last_end: None,
            count: 0,
            count_max,
            is_changed: false,
            is_over: count_max <= 0,
            found: (0, 0),
        });
        gsub_on(lua, 0, SEARCH_GOES_ON)
    }
}

unsafe extern "C-unwind" fn gsub_on(lua: *mut ffi::lua_State, _: c_int, context: isize) -> c_int {
    // SAFETY: called by `gsub`, or by Lua after a suspension or a callback, with the stack that `gsub` made; after a
    // callback its state is the userdata that `call_replacement` made, and the result is on top.
    unsafe {
        let text = string_at(lua, 1);
        let (pattern, is_anchored) = anchored(string_at(lua, 2));
        let mut state = if context == CALLBACK_RETURNED {
            let mut state = load_state(lua);
            accept_value(lua, text, &mut state);
            begin_next(lua, text, is_anchored, &mut state);
            state
        } else {
            let state = core_of(lua).substitution;
            let Some(state) = state else {
                unreachable!("set by `gsub`");
            };
            state
        };
        while !state.is_over {
            let search = Search {
                text,
                pattern,
                is_anchored,
                shunned_end: state.last_end,
            };
            core_of(lua).substitution = Some(state);
            match seek(lua, &search, SEARCH_GOES_ON, gsub_on) {
                Sought::Leave(result) => return result,
                Sought::Missed => break,
                Sought::Found(start, end) => state.found = (start, end),
            }
            Joiner::add(lua, &text[state.done..state.found.0]);
            state.count += 1;
            match ffi::lua_type(lua, REPLACEMENT) {
                ffi::LUA_TSTRING => {
                    add_template(lua, text, state.found);
                    state.is_changed = true;
                }
                ffi::LUA_TTABLE if ffi::lua_getmetatable(lua, REPLACEMENT) == 0 => {
                    push_captured(lua, text, 0, state.found);
                    ffi::lua_rawget(lua, REPLACEMENT);
                    accept_value(lua, text, &mut state);
                }
                _ => {
                    call_replacement(lua, text, &mut state);
                    accept_value(lua, text, &mut state);
                }
            }
            begin_next(lua, text, is_anchored, &mut state);
        }
        if state.is_changed {
            Joiner::add(lua, &text[state.done..]);
            state.joiner.finish(lua);
        } else {
            ffi::lua_pushvalue(lua, 1);
        }
        ffi::lua_pushinteger(lua, state.count);
    }
    2
}

/// After a match: where the next search begins.
#[inline]
unsafe fn begin_next(
    lua: *mut ffi::lua_State,
    text: &[u8],
    is_anchored: bool,
    state: &mut Substitution,
) {
    let (start, end) = state.found;
    state.done = end;
    state.is_over = is_anchored || state.count >= state.count_max;
    // SAFETY: called from a function that Lua called.
    unsafe {
        match core_of(lua).dialect {
            Dialect::Aikv => state.last_end = Some(end),
            Dialect::Redis if start < end => {}
            Dialect::Redis if end == text.len() => state.is_over = true,
            Dialect::Redis => {
                Joiner::add(lua, &text[end..=end]);
                state.done += 1;
            }
        }
        core_of(lua).machine.begin(state.done);
    }
}

/// Pushes what a function, or a table with a metatable, has for the match. Does not return where the function is
/// suspended: Lua calls the continuation then.
unsafe fn call_replacement(lua: *mut ffi::lua_State, text: &[u8], state: &mut Substitution) {
    // SAFETY: as in `gsub_on`. The state is written to a block of its size before anything else can run.
    unsafe {
        ffi::lua_settop(lua, BLOCK);
        state.joiner.spill(lua);
        if ffi::lua_type(lua, STATE) == ffi::LUA_TNIL {
            ffi::lua_newuserdatauv(lua, size_of::<Substitution>(), 0);
            ffi::lua_replace(lua, STATE);
        }
        let kept = ffi::lua_touserdata(lua, STATE).cast::<Substitution>();
        kept.write_unaligned(*state);
        if ffi::lua_type(lua, REPLACEMENT) == ffi::LUA_TTABLE {
            push_captured(lua, text, 0, state.found);
            metamethods::get(lua, REPLACEMENT, CALLBACK_RETURNED, gsub_on);
        } else {
            ffi::lua_pushvalue(lua, REPLACEMENT);
            let count = push_captures(lua, text, state.found, true);
            ffi::lua_callk(lua, count, 1, CALLBACK_RETURNED, Some(gsub_on));
        }
        Joiner::reclaim(core_of(lua));
    }
}

unsafe fn load_state(lua: *mut ffi::lua_State) -> Substitution {
    // SAFETY: `call_replacement` wrote it before the callback that has now returned.
    unsafe {
        Joiner::reclaim(core_of(lua));
        ffi::lua_touserdata(lua, STATE)
            .cast::<Substitution>()
            .read_unaligned()
    }
}

/// Adds the value on top in place of the match, or the match itself where the value is nil or false.
unsafe fn accept_value(lua: *mut ffi::lua_State, text: &[u8], state: &mut Substitution) {
    // SAFETY: as in `gsub_on`.
    unsafe {
        if ffi::lua_toboolean(lua, -1) == 0 {
            let (start, end) = state.found;
            Joiner::add(lua, &text[start..end]);
        } else if ffi::lua_isstring(lua, -1) == 0 {
            let name = ffi::luaL_typename(lua, -1);
            ffi::luaL_error(lua, c"invalid replacement value (a %s)".as_ptr(), name);
        } else {
            let mut len = 0;
            let value = ffi::lua_tolstring(lua, -1, &raw mut len);
            Joiner::add(lua, std::slice::from_raw_parts(value.cast(), len));
            state.is_changed = true;
        }
        ffi::lua_settop(lua, BLOCK);
    }
}

/// Adds a replacement string, with captures in place of `%0` to `%9`.
unsafe fn add_template(lua: *mut ffi::lua_State, text: &[u8], whole: (usize, usize)) {
    // SAFETY: as in `gsub_on`.
    unsafe {
        let mut rest = string_at(lua, REPLACEMENT);
        while let Some(escape) = memchr::memchr(b'%', rest) {
            Joiner::add(lua, &rest[..escape]);
            let code = rest.get(escape + 1).copied();
            match code {
                Some(b'0') => Joiner::add(lua, &text[whole.0..whole.1]),
                Some(digit @ b'1'..=b'9') => {
                    add_captured(lua, text, usize::from(digit - b'1'), whole);
                }
                Some(b'%') => Joiner::add(lua, b"%"),
                _ if core_of(lua).dialect == Dialect::Redis => {
                    // The byte behind the last one of a string is a zero, and Lua 5.1 takes it.
                    Joiner::add(lua, &[code.unwrap_or(0)]);
                }
                _ => {
                    let text = c"invalid use of '%c' in replacement string".as_ptr();
                    ffi::luaL_error(lua, text, c_int::from(b'%'));
                }
            }
            rest = rest.get(escape + 2..).unwrap_or_default();
        }
        Joiner::add(lua, rest);
    }
}

unsafe fn add_captured(
    lua: *mut ffi::lua_State,
    text: &[u8],
    number: usize,
    whole: (usize, usize),
) {
    // SAFETY: as in `gsub_on`.
    unsafe {
        let machine: &Machine = &core_of(lua).machine;
        match machine.capture(number, whole) {
            Ok(Captured::Text { start, end }) => Joiner::add(lua, &text[start..end]),
            Ok(Captured::Position(at)) => {
                Joiner::add(lua, itoa::Buffer::new().format(at + 1).as_bytes());
            }
            Err(fault) => {
                raise(lua, fault);
            }
        }
    }
}

/// Strings up to this length are put together without a block of Lua's memory.
const SHORT_LEN_MAX: usize = 512;

/// Lua's own copies the string as often as it is wanted, a byte at a time if it is that short.
unsafe extern "C-unwind" fn rep(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. Only whole lengths of the block are written and read.
    unsafe {
        let text = check_string(lua, 1);
        let count = ffi::luaL_checkinteger(lua, 2);
        let mut separator_len = 0;
        let separator =
            ffi::luaL_optlstring(lua, 3, c"".as_ptr(), &raw mut separator_len).cast::<u8>();
        let unit = text.len() + separator_len;
        if count <= 0 || unit == 0 {
            push_bytes(lua, b"");
            return 1;
        }
        let Some(total) = usize::try_from(count)
            .ok()
            .and_then(|count| unit.checked_mul(count))
            .filter(|total| *total < isize::MAX as usize)
        else {
            return ffi::luaL_error(lua, c"resulting string too large".as_ptr());
        };
        let total = total - separator_len;
        let mut short = [0_u8; SHORT_LEN_MAX];
        let block = if total <= SHORT_LEN_MAX {
            short.as_mut_ptr()
        } else {
            ffi::lua_newuserdatauv(lua, total, 0).cast()
        };
        ptr::copy_nonoverlapping(text.as_ptr(), block, text.len());
        let mut filled = text.len();
        if total > filled {
            ptr::copy_nonoverlapping(separator, block.add(filled), separator_len);
            filled = unit;
        }
        while filled < total {
            let more = filled.min(total - filled);
            ptr::copy_nonoverlapping(block, block.add(filled), more);
            filled += more;
        }
        ffi::lua_pushlstring(lua, block.cast(), total);
    }
    1
}
