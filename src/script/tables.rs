//! `table.concat`, `insert`, `remove`, `move` and `sort`, in place of Lua's own: their loops give way.
//!
//! A loop of these may be as long as a metamethod says that a table is. `sort` can be suspended also inside of its
//! comparator; it merges, so it keeps the order of equal elements, and there is no order that confuses it.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::cmp::Ordering;
use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::cache::Dialect;
use super::core::core_of;
use super::joiner::Joiner;
use super::metamethods;
use super::turn::{Turn, doom, turn};

/// In place of what the library has under these names.
pub(super) const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 5] = [
    (c"concat", concat),
    (c"insert", insert),
    (c"remove", remove),
    (c"move", r#move),
    (c"sort", sort),
];

/// Rounds of a loop between two looks at the clock.
const ROUNDS_PER_LOOK: i64 = 1024;

/// What a function does with its table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
    ReadWrite,
}

/// Checks that an argument is a table, or something that its metatable makes one.
unsafe fn check_table(lua: *mut ffi::lua_State, index: c_int, usage: Use, with_len: bool) {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_type(lua, index) == ffi::LUA_TTABLE {
            return;
        }
        let top = ffi::lua_gettop(lua);
        let has = |name: &CStr| {
            ffi::lua_pushstring(lua, name.as_ptr());
            ffi::lua_rawget(lua, top + 1) != ffi::LUA_TNIL
        };
        let serves = ffi::lua_getmetatable(lua, index) != 0
            && (usage == Use::Write || has(c"__index"))
            && (usage == Use::Read || has(c"__newindex"))
            && (!with_len || has(c"__len"));
        if !serves {
            ffi::luaL_checktype(lua, index, ffi::LUA_TTABLE);
        }
        ffi::lua_settop(lua, top);
    }
}

unsafe fn check_len(lua: *mut ffi::lua_State, usage: Use) -> i64 {
    // SAFETY: as in `check_table`.
    unsafe {
        check_table(lua, 1, usage, true);
        ffi::luaL_len(lua, 1)
    }
}

/// Every so many rounds, whether to leave the loop with this result: `context` is what the continuation needs.
#[inline]
unsafe fn pause(
    lua: *mut ffi::lua_State,
    round: i64,
    context: i64,
    again: ffi::lua_KFunction,
) -> Option<c_int> {
    if round % ROUNDS_PER_LOOK != 0 {
        return None;
    }
    // SAFETY: as in `check_table`; whoever gets a result returns it at once.
    unsafe {
        match turn(lua) {
            Turn::GoOn => None,
            Turn::Suspend => Some(ffi::lua_yieldk(lua, 0, context as isize, Some(again))),
            Turn::End => Some(doom(lua)),
        }
    }
}

/// The stack: table, position, value.
unsafe extern "C-unwind" fn insert(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let end = check_len(lua, Use::ReadWrite).wrapping_add(1);
        match ffi::lua_gettop(lua) {
            2 => {
                ffi::lua_seti(lua, 1, end);
                0
            }
            3 => {
                let position = ffi::luaL_checkinteger(lua, 2);
                if (position as u64).wrapping_sub(1) >= end as u64
                    && core_of(lua).dialect == Dialect::Aikv
                {
                    return ffi::luaL_argerror(lua, 2, c"position out of bounds".as_ptr());
                }
                insert_on(lua, 0, end as isize)
            }
            _ => ffi::luaL_error(lua, c"wrong number of arguments to 'insert'".as_ptr()),
        }
    }
}

/// Moves up what is below `hole`, down to the position.
unsafe extern "C-unwind" fn insert_on(lua: *mut ffi::lua_State, _: c_int, hole: isize) -> c_int {
    // SAFETY: as in `insert`.
    unsafe {
        let position = ffi::lua_tointegerx(lua, 2, ptr::null_mut());
        let mut hole = hole as i64;
        while hole > position {
            ffi::lua_geti(lua, 1, hole - 1);
            ffi::lua_seti(lua, 1, hole);
            hole -= 1;
            if let Some(result) = pause(lua, hole, hole, insert_on) {
                return result;
            }
        }
        ffi::lua_settop(lua, 3);
        ffi::lua_seti(lua, 1, position);
    }
    0
}

/// The stack: table, size, removed value.
unsafe extern "C-unwind" fn remove(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let size = check_len(lua, Use::ReadWrite);
        let position = ffi::luaL_optinteger(lua, 2, size);
        if core_of(lua).dialect == Dialect::Redis && !(1..=size).contains(&position) {
            return 0;
        }
        if position != size && (position as u64).wrapping_sub(1) > size as u64 {
            return ffi::luaL_argerror(lua, 2, c"position out of bounds".as_ptr());
        }
        ffi::lua_settop(lua, 1);
        ffi::lua_pushinteger(lua, size);
        ffi::lua_geti(lua, 1, position);
        remove_on(lua, 0, position as isize)
    }
}

/// Moves down what is above `hole`.
unsafe extern "C-unwind" fn remove_on(lua: *mut ffi::lua_State, _: c_int, hole: isize) -> c_int {
    // SAFETY: as in `remove`.
    unsafe {
        let size = ffi::lua_tointegerx(lua, 2, ptr::null_mut());
        let mut hole = hole as i64;
        while hole < size {
            ffi::lua_geti(lua, 1, hole + 1);
            ffi::lua_seti(lua, 1, hole);
            hole += 1;
            if let Some(result) = pause(lua, hole, hole, remove_on) {
                return result;
            }
        }
        ffi::lua_pushnil(lua);
        ffi::lua_seti(lua, 1, hole);
    }
    1
}

/// The stack: source, first, last, target index, target, whether to go upwards.
unsafe extern "C-unwind" fn r#move(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let first = ffi::luaL_checkinteger(lua, 2);
        let last = ffi::luaL_checkinteger(lua, 3);
        let to = ffi::luaL_checkinteger(lua, 4);
        let target = if ffi::lua_type(lua, 5) > ffi::LUA_TNIL {
            5
        } else {
            1
        };
        check_table(lua, 1, Use::Read, false);
        check_table(lua, target, Use::Write, false);
        if last < first {
            ffi::lua_pushvalue(lua, target);
            return 1;
        }
        if first <= 0 && last >= i64::MAX.wrapping_add(first) {
            return ffi::luaL_argerror(lua, 3, c"too many elements to move".as_ptr());
        }
        let count = last - first + 1;
        if to > i64::MAX - count + 1 {
            return ffi::luaL_argerror(lua, 4, c"destination wrap around".as_ptr());
        }
        let upwards = to > last
            || to <= first
            || (target != 1 && ffi::lua_compare(lua, 1, target, ffi::LUA_OPEQ) == 0);
        ffi::lua_settop(lua, target.max(4));
        if target == 1 {
            ffi::lua_pushvalue(lua, 1);
        }
        ffi::lua_pushboolean(lua, upwards.into());
        move_on(lua, 0, 0)
    }
}

unsafe extern "C-unwind" fn move_on(lua: *mut ffi::lua_State, _: c_int, moved: isize) -> c_int {
    // SAFETY: as in `move`.
    unsafe {
        let argument = |index| ffi::lua_tointegerx(lua, index, ptr::null_mut());
        let (first, last, to) = (argument(2), argument(3), argument(4));
        let upwards = ffi::lua_toboolean(lua, 6) != 0;
        let count = last - first + 1;
        let mut moved = moved as i64;
        while moved < count {
            let offset = if upwards { moved } else { count - 1 - moved };
            ffi::lua_geti(lua, 1, first + offset);
            ffi::lua_seti(lua, 5, to + offset);
            moved += 1;
            if let Some(result) = pause(lua, moved, moved, move_on) {
                return result;
            }
        }
        ffi::lua_settop(lua, 5);
    }
    1
}

/// The joiner of `concat` while it is suspended or an element is looked up.
#[derive(Clone, Copy)]
struct Concat {
    joiner: Joiner,
    /// Elements are looked up by code of the script.
    has_metatable: bool,
}

/// The stack of `concat`: table, separator, first, last, the joiner's block, the state.
const BLOCK: c_int = 5;
const STATE: c_int = 6;

unsafe extern "C-unwind" fn concat(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let len = check_len(lua, Use::Read);
        let mut separator_len = 0;
        let separator = ffi::luaL_optlstring(lua, 2, c"".as_ptr(), &raw mut separator_len);
        let first = ffi::luaL_optinteger(lua, 3, 1);
        let last = ffi::luaL_optinteger(lua, 4, len);
        ffi::lua_settop(lua, 2);
        if ffi::lua_type(lua, 2) == ffi::LUA_TNIL {
            ffi::lua_pushlstring(lua, separator, separator_len);
            ffi::lua_replace(lua, 2);
        }
        ffi::lua_pushinteger(lua, first);
        ffi::lua_pushinteger(lua, last);
        ffi::lua_pushnil(lua);
        let has_metatable = ffi::lua_getmetatable(lua, 1) != 0;
        ffi::lua_settop(lua, BLOCK);
        let joiner = Joiner::new(core_of(lua), BLOCK);
        let concat = Concat {
            joiner,
            has_metatable,
        };
        concat_elements(lua, first, concat, false)
    }
}

unsafe extern "C-unwind" fn concat_on(lua: *mut ffi::lua_State, _: c_int, next: isize) -> c_int {
    // SAFETY: `concat_elements` has left the state where it is looked for.
    unsafe {
        let concat = load_concat(lua);
        ffi::lua_settop(lua, BLOCK);
        concat_elements(lua, next as i64, concat, false)
    }
}

/// After `__index`, whose result is on top.
unsafe extern "C-unwind" fn concat_found(
    lua: *mut ffi::lua_State,
    _: c_int,
    index: isize,
) -> c_int {
    // SAFETY: as in `concat_on`; the metamethod may have used the core.
    unsafe {
        Joiner::reclaim(core_of(lua));
        let concat = load_concat(lua);
        ffi::lua_replace(lua, STATE);
        ffi::lua_settop(lua, STATE);
        concat_elements(lua, index as i64, concat, true)
    }
}

unsafe fn load_concat(lua: *mut ffi::lua_State) -> Concat {
    // SAFETY: as in `concat_on`.
    unsafe {
        ffi::lua_touserdata(lua, STATE)
            .cast::<Concat>()
            .read_unaligned()
    }
}

/// Leaves the state where the continuations find it.
unsafe fn save_concat(lua: *mut ffi::lua_State, concat: Concat) {
    // SAFETY: as in `concat`, with nothing above the block; what is made has the size of what is written.
    unsafe {
        let state = ffi::lua_newuserdatauv(lua, size_of::<Concat>(), 0);
        state.cast::<Concat>().write_unaligned(concat);
    }
}

/// Goes on at an index, whose element may be on top already.
unsafe fn concat_elements(
    lua: *mut ffi::lua_State,
    first: i64,
    mut concat: Concat,
    mut is_found: bool,
) -> c_int {
    // SAFETY: as in `concat`.
    unsafe {
        let last = ffi::lua_tointegerx(lua, 4, ptr::null_mut());
        let mut index = first;
        while index <= last {
            if !std::mem::take(&mut is_found) {
                push_element(lua, index, &mut concat);
            }
            if ffi::lua_isstring(lua, -1) == 0 {
                let name = ffi::luaL_typename(lua, -1);
                return ffi::luaL_error(
                    lua,
                    c"invalid value (%s) at index %I in table for 'concat'".as_ptr(),
                    name,
                    index,
                );
            }
            add_string(lua, -1);
            ffi::lua_settop(lua, BLOCK);
            if index == last {
                break;
            }
            add_string(lua, 2);
            index += 1;
            if index % ROUNDS_PER_LOOK != 0 {
                continue;
            }
            match turn(lua) {
                Turn::GoOn => {}
                Turn::End => return doom(lua),
                Turn::Suspend => {
                    save_concat(lua, concat);
                    return ffi::lua_yieldk(lua, 0, index as isize, Some(concat_on));
                }
            }
        }
        concat.joiner.finish(lua);
    }
    1
}

/// Pushes an element. Where `__index` has it and the script is suspended there, [`concat_found`] goes on.
#[inline]
unsafe fn push_element(lua: *mut ffi::lua_State, index: i64, concat: &mut Concat) {
    // SAFETY: as in `concat`, with nothing above the block.
    unsafe {
        if ffi::lua_type(lua, 1) == ffi::LUA_TTABLE
            && (ffi::lua_rawgeti(lua, 1, index) != ffi::LUA_TNIL || !concat.has_metatable)
        {
            return;
        }
        ffi::lua_settop(lua, BLOCK);
        concat.joiner.spill(lua);
        save_concat(lua, *concat);
        ffi::lua_pushinteger(lua, index);
        metamethods::get(lua, 1, index as isize, concat_found);
        Joiner::reclaim(core_of(lua));
    }
}

/// Adds the string, or the number, at an index.
#[inline]
unsafe fn add_string(lua: *mut ffi::lua_State, index: c_int) {
    // SAFETY: as in `concat`; the string is on the stack.
    unsafe {
        let mut len = 0;
        let text = ffi::lua_tolstring(lua, index, &raw mut len);
        Joiner::add(lua, std::slice::from_raw_parts(text.cast(), len));
    }
}

/// A merge sort that can stop at every comparison: runs of `width` elements of `from` become runs of twice that in the
/// other table.
#[derive(Clone, Copy)]
struct Sort {
    len: i64,
    phase: Phase,
    width: i64,
    /// The next element of the left run and its end, the same of the right run, and where the next one goes.
    left: i64,
    left_end: i64,
    right: i64,
    right_end: i64,
    out: i64,
    from: c_int,
    to: c_int,
    rounds: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    CopyIn,
    Merge,
    CopyOut,
}

/// The stack of `sort`: table, comparator, two tables of our own, the state.
const COMPARATOR: c_int = 2;
const ONE: c_int = 3;
const OTHER: c_int = 4;
const SORT: c_int = 5;

/// Why the continuation of `sort` is called.
const GO_ON: isize = 0;
const COMPARED: isize = 1;

unsafe extern "C-unwind" fn sort(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. The block is as large as what is written to it.
    unsafe {
        let len = check_len(lua, Use::ReadWrite);
        if len < 2 {
            return 0;
        }
        if len >= i64::from(c_int::MAX) {
            return ffi::luaL_argerror(lua, 1, c"array too big".as_ptr());
        }
        if ffi::lua_type(lua, COMPARATOR) > ffi::LUA_TNIL {
            ffi::luaL_checktype(lua, COMPARATOR, ffi::LUA_TFUNCTION);
        }
        ffi::lua_settop(lua, COMPARATOR);
        if len <= NUMBERS_MAX && ffi::lua_type(lua, COMPARATOR) == ffi::LUA_TNIL {
            let core = core_of(lua);
            if sort_numbers(
                lua,
                len,
                &mut core.integers,
                integer_at,
                ffi::lua_pushinteger,
            ) || sort_numbers(lua, len, &mut core.floats, float_at, ffi::lua_pushnumber)
            {
                return 0;
            }
        }
        // A metamethod may claim any length; a table that has as many elements is worth the room.
        let room = len.min(ffi::lua_rawlen(lua, 1) as i64) as c_int;
        ffi::lua_createtable(lua, room, 0);
        ffi::lua_createtable(lua, room, 0);
        let state = ffi::lua_newuserdatauv(lua, size_of::<Sort>(), 0);
        state.cast::<Sort>().write_unaligned(Sort {
            len,
            phase: Phase::CopyIn,
            width: 1,
            left: 0,
            left_end: 0,
            right: 0,
            right_end: 0,
            out: 1,
            from: ONE,
            to: OTHER,
            rounds: 0,
        });
        sort_on(lua, 0, GO_ON)
    }
}

/// So many numbers are sorted at once, in a few milliseconds at most.
const NUMBERS_MAX: i64 = 20_000;

type Read<T> = unsafe fn(*mut ffi::lua_State, c_int) -> Option<T>;
type Push<T> = unsafe extern "C-unwind" fn(*mut ffi::lua_State, T);

/// Sorts a plain table of integers only, or of floats only. `false`: it is none, and nothing has happened.
unsafe fn sort_numbers<T: PartialOrd + Copy>(
    lua: *mut ffi::lua_State,
    len: i64,
    numbers: &mut Vec<T>,
    read: Read<T>,
    push: Push<T>,
) -> bool {
    // SAFETY: called from `sort`. The table has no metatable, and assigning to an element that is there allocates
    // nothing: no error is raised while the numbers are in use.
    unsafe {
        numbers.clear();
        if ffi::lua_type(lua, 1) != ffi::LUA_TTABLE || ffi::lua_getmetatable(lua, 1) != 0 {
            ffi::lua_settop(lua, COMPARATOR);
            return false;
        }
        for index in 1..=len {
            ffi::lua_rawgeti(lua, 1, index);
            let number = read(lua, -1);
            ffi::lua_settop(lua, COMPARATOR);
            match number {
                Some(number) => numbers.push(number),
                None => return false,
            }
        }
        numbers.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        for (index, number) in (1..).zip(&*numbers) {
            push(lua, *number);
            ffi::lua_rawseti(lua, 1, index);
        }
    }
    true
}

unsafe fn integer_at(lua: *mut ffi::lua_State, index: c_int) -> Option<i64> {
    // SAFETY: called from `sort_numbers` with a value on the stack.
    unsafe {
        (ffi::lua_isinteger(lua, index) != 0)
            .then(|| ffi::lua_tointegerx(lua, index, ptr::null_mut()))
    }
}

/// A float that has a place in an order.
unsafe fn float_at(lua: *mut ffi::lua_State, index: c_int) -> Option<f64> {
    // SAFETY: as in `integer_at`.
    unsafe {
        if ffi::lua_type(lua, index) != ffi::LUA_TNUMBER || ffi::lua_isinteger(lua, index) != 0 {
            return None;
        }
        let number = ffi::lua_tonumberx(lua, index, ptr::null_mut());
        (!number.is_nan()).then_some(number)
    }
}

unsafe extern "C-unwind" fn sort_on(lua: *mut ffi::lua_State, _: c_int, context: isize) -> c_int {
    // SAFETY: called by `sort`, or by Lua after a suspension or a comparison, whose result is then on top.
    unsafe {
        let kept = ffi::lua_touserdata(lua, SORT).cast::<Sort>();
        let mut sort = kept.read_unaligned();
        if context == COMPARED {
            let right_first = ffi::lua_toboolean(lua, -1) != 0;
            ffi::lua_settop(lua, SORT);
            sort.take(lua, right_first);
        }
        loop {
            sort.rounds += 1;
            if sort.rounds % ROUNDS_PER_LOOK == 0 {
                kept.write_unaligned(sort);
                match turn(lua) {
                    Turn::GoOn => {}
                    Turn::Suspend => return ffi::lua_yieldk(lua, 0, GO_ON, Some(sort_on)),
                    Turn::End => return doom(lua),
                }
            }
            match sort.phase {
                Phase::CopyIn => {
                    ffi::lua_geti(lua, 1, sort.out);
                    ffi::lua_rawseti(lua, ONE, sort.out);
                    sort.out += 1;
                    if sort.out > sort.len {
                        sort.phase = Phase::Merge;
                        sort.begin_pass();
                    }
                }
                Phase::CopyOut => {
                    if sort.out > sort.len {
                        return 0;
                    }
                    ffi::lua_rawgeti(lua, sort.from, sort.out);
                    ffi::lua_seti(lua, 1, sort.out);
                    sort.out += 1;
                }
                Phase::Merge if sort.left < sort.left_end && sort.right < sort.right_end => {
                    kept.write_unaligned(sort);
                    let has_comparator = ffi::lua_type(lua, COMPARATOR) != ffi::LUA_TNIL;
                    if has_comparator {
                        ffi::lua_pushvalue(lua, COMPARATOR);
                    }
                    ffi::lua_rawgeti(lua, sort.from, sort.right);
                    ffi::lua_rawgeti(lua, sort.from, sort.left);
                    if has_comparator {
                        ffi::lua_callk(lua, 2, 1, COMPARED, Some(sort_on));
                    } else {
                        metamethods::less(lua, COMPARED, sort_on);
                    }
                    let right_first = ffi::lua_toboolean(lua, -1) != 0;
                    ffi::lua_settop(lua, SORT);
                    sort.take(lua, right_first);
                }
                Phase::Merge if sort.left < sort.left_end => sort.take(lua, false),
                Phase::Merge if sort.right < sort.right_end => sort.take(lua, true),
                Phase::Merge => sort.next_runs(),
            }
        }
    }
}

impl Sort {
    /// Moves the next element of one run to its place.
    #[inline]
    unsafe fn take(&mut self, lua: *mut ffi::lua_State, from_right: bool) {
        let next = if from_right {
            &mut self.right
        } else {
            &mut self.left
        };
        // SAFETY: called from `sort_on`, whose tables these are.
        unsafe {
            ffi::lua_rawgeti(lua, self.from, *next);
            ffi::lua_rawseti(lua, self.to, self.out);
        }
        *next += 1;
        self.out += 1;
    }

    fn begin_pass(&mut self) {
        self.out = 1;
        self.begin_runs();
    }

    /// The two runs whose merged elements go to `out` and on.
    fn begin_runs(&mut self) {
        let end = self.len + 1;
        self.left = self.out;
        self.left_end = (self.left + self.width).min(end);
        self.right = self.left_end;
        self.right_end = (self.right + self.width).min(end);
    }

    fn next_runs(&mut self) {
        if self.out <= self.len {
            self.begin_runs();
            return;
        }
        (self.from, self.to) = (self.to, self.from);
        self.width *= 2;
        self.begin_pass();
        if self.width >= self.len {
            self.phase = Phase::CopyOut;
        }
    }
}
