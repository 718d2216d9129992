//! The world that a script sees: a few libraries, nothing that leads out, nothing that outlives the run.
//!
//! - Every table that scripts share (globals, libraries, the metatable of strings) is only reachable through an empty
//!   stand-in, whose metatable reads through to the real table and refuses writes. `rawset`, `rawget`, `next` and
//!   `setmetatable` are ours, since the originals would see the stand-in itself.
//! - `setmetatable` does not register `__gc`: no code of a script runs once its run is over. Lua 5.1 ignored it too.
//! - `load` takes text only: bytecode can break the interpreter ([`super::load`]). `string.dump` is absent.
//! - `pcall` hands a script the text of an error that Redis raised, not the table in which it travels.
//! - `coroutine` is ours: a script that is suspended or killed inside a coroutine of its own must not wake up in the code
//!   that resumed it ([`super::coroutine`]). `print` is absent, and so is `collectgarbage` (but for what scripts of Redis
//!   ask it in dialect `redis`).
//! - `math.random` starts anew with every run, from the run's seed.
//!
//! - What may run for long inside of one C call is ours, and gives way ([`super::turn`]): string patterns, and the table
//!   functions that loop. What is left of Lua's own does one pass over its arguments, which memory bounds.
//!
//! Unsafe code: these are functions that Lua calls, and the building of a state. The rule of [`super::call`] holds.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi;

use super::api::{self, RedisVersion};
use super::cache::Dialect;
use super::core::core_of;
use super::extensions;
use super::legacy::{self, wording};
use super::{coroutine, load, metamethods, strings, tables, xpcall};

/// Builds the world of a fresh state: leaves the stand-in of the globals on the stack, and below it the real table.
///
/// # Safety
/// `lua` must be the main state of a VM that is being built, its memory not limited.
pub(super) unsafe fn build(lua: *mut ffi::lua_State, dialect: Dialect, version: RedisVersion) {
    // SAFETY: as the caller promised; with unlimited memory none of these calls can raise an error.
    unsafe {
        ffi::lua_createtable(lua, 0, 64);
        let globals = ffi::lua_gettop(lua);
        ffi::luaL_requiref(lua, c"_G".as_ptr(), ffi::luaopen_base, 0);
        for name in BASE {
            ffi::lua_getfield(lua, -1, name.as_ptr());
            ffi::lua_setfield(lua, globals, name.as_ptr());
        }
        ffi::lua_settop(lua, globals);
        set_functions(lua, &REPLACED);

        for (name, open) in LIBRARIES {
            ffi::luaL_requiref(lua, name.as_ptr(), open, 0);
            for absent in ABSENT_FROM_LIBRARIES {
                ffi::lua_pushnil(lua);
                ffi::lua_setfield(lua, -2, absent.as_ptr());
            }
            if name == c"math" {
                set_functions(lua, &RANDOM);
            } else if name == c"string" {
                set_functions(lua, &strings::FUNCTIONS);
                if dialect == Dialect::Aikv {
                    ffi::lua_getfield(lua, -1, c"format".as_ptr());
                    ffi::lua_pushcclosure(lua, metamethods::format, 1);
                    ffi::lua_setfield(lua, -2, c"format".as_ptr());
                }
            } else if name == c"table" {
                set_functions(lua, &tables::FUNCTIONS);
            }
            legacy::adapt_library(lua, name, dialect);
            protect(lua);
            ffi::lua_setfield(lua, globals, name.as_ptr());
        }
        coroutine::push_library(lua, dialect);
        protect(lua);
        ffi::lua_setfield(lua, globals, c"coroutine".as_ptr());
        protect_string_metatable(lua, globals);
        if dialect == Dialect::Redis {
            legacy::adapt_globals(lua, globals);
        }
        api::push_table(lua, version);
        protect(lua);
        ffi::lua_pushvalue(lua, -1);
        ffi::lua_setfield(lua, globals, c"server".as_ptr());
        ffi::lua_setfield(lua, globals, c"redis".as_ptr());
        extensions::install(lua, globals, dialect);

        refuse_unknown_names(lua, globals);
        ffi::lua_pushvalue(lua, globals);
        protect(lua);
        ffi::lua_pushvalue(lua, -1);
        ffi::lua_setfield(lua, globals, c"_G".as_ptr());
        ffi::lua_pushvalue(lua, -1);
        ffi::lua_rawseti(lua, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_GLOBALS);
    }
}

const BASE: [&CStr; 11] = [
    c"_VERSION",
    c"assert",
    c"error",
    c"getmetatable",
    c"ipairs",
    c"pairs",
    c"rawequal",
    c"rawlen",
    c"select",
    c"tonumber",
    c"type",
];

const REPLACED: [(&CStr, ffi::lua_CFunction); 8] = [
    (c"load", load::load),
    (c"next", next),
    (c"pcall", pcall),
    (c"rawget", rawget),
    (c"rawset", rawset),
    (c"setmetatable", setmetatable),
    (c"tostring", metamethods::tostring),
    (c"xpcall", xpcall::xpcall),
];

const RANDOM: [(&CStr, ffi::lua_CFunction); 2] = [(c"random", random), (c"randomseed", randomseed)];

const LIBRARIES: [(&CStr, ffi::lua_CFunction); 4] = [
    (c"table", ffi::luaopen_table),
    (c"string", ffi::luaopen_string),
    (c"math", ffi::luaopen_math),
    (c"utf8", ffi::luaopen_utf8),
];

const ABSENT_FROM_LIBRARIES: [&CStr; 1] = [c"dump"];

/// The key under which the metatable of a stand-in holds the real table.
static REAL: u8 = 0;

const READ_ONLY: &CStr = c"Attempt to modify a readonly table";

/// Sets functions in the table on top.
///
/// # Safety
/// As for [`build`].
pub(super) unsafe fn set_functions(
    lua: *mut ffi::lua_State,
    functions: &[(&CStr, ffi::lua_CFunction)],
) {
    for (name, function) in functions {
        // SAFETY: as the caller promised.
        unsafe {
            ffi::lua_pushcclosure(lua, *function, 0);
            ffi::lua_setfield(lua, -2, name.as_ptr());
        }
    }
}

/// Replaces the table on top by its stand-in.
///
/// # Safety
/// As for [`build`].
pub(super) unsafe fn protect(lua: *mut ffi::lua_State) {
    // SAFETY: as `build` demands.
    unsafe {
        ffi::lua_createtable(lua, 0, 0);
        ffi::lua_createtable(lua, 0, 6);
        ffi::lua_pushvalue(lua, -3);
        ffi::lua_setfield(lua, -2, c"__index".as_ptr());
        ffi::lua_pushvalue(lua, -3);
        ffi::lua_rawsetp(lua, -2, ptr::from_ref(&REAL).cast());
        set_functions(lua, &[(c"__newindex", refuse_write), (c"__pairs", pairs)]);
        ffi::lua_pushboolean(lua, 0);
        ffi::lua_setfield(lua, -2, c"__metatable".as_ptr());
        ffi::lua_setmetatable(lua, -2);
        ffi::lua_rotate(lua, -2, 1);
        ffi::lua_settop(lua, -2);
    }
}

/// `getmetatable('')` shows a read-only table with the read-only library.
unsafe fn protect_string_metatable(lua: *mut ffi::lua_State, globals: c_int) {
    // SAFETY: as `build` demands.
    unsafe {
        ffi::lua_pushstring(lua, c"".as_ptr());
        ffi::lua_getmetatable(lua, -1);
        ffi::lua_createtable(lua, 0, 1);
        ffi::lua_getfield(lua, globals, c"string".as_ptr());
        ffi::lua_setfield(lua, -2, c"__index".as_ptr());
        protect(lua);
        ffi::lua_setfield(lua, -2, c"__metatable".as_ptr());
        ffi::lua_settop(lua, -3);
    }
}

/// Makes it an error to look for a name that is not in a table.
///
/// # Safety
/// As for [`build`].
pub(super) unsafe fn refuse_unknown_names(lua: *mut ffi::lua_State, globals: c_int) {
    // SAFETY: as `build` demands.
    unsafe {
        ffi::lua_createtable(lua, 0, 1);
        set_functions(lua, &[(c"__index", unknown_global)]);
        ffi::lua_setmetatable(lua, globals);
    }
}

unsafe extern "C-unwind" fn unknown_global(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua with table and key; nothing with a destructor is alive.
    unsafe {
        let name = ffi::luaL_tolstring(lua, 2, ptr::null_mut());
        ffi::luaL_error(
            lua,
            c"Script attempted to access nonexistent global variable '%s'".as_ptr(),
            name,
        )
    }
}

unsafe extern "C-unwind" fn refuse_write(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe { ffi::luaL_error(lua, READ_ONLY.as_ptr()) }
}

/// If the value at `index` is a stand-in, pushes the real table.
unsafe fn push_real(lua: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: the callers are functions that Lua calls; the stack has room for what they need.
    unsafe {
        if ffi::lua_getmetatable(lua, index) == 0 {
            return false;
        }
        if ffi::lua_rawgetp(lua, -1, ptr::from_ref(&REAL).cast()) == ffi::LUA_TNIL {
            ffi::lua_settop(lua, -3);
            return false;
        }
        ffi::lua_rotate(lua, -2, 1);
        ffi::lua_settop(lua, -2);
        true
    }
}

/// Whether a value is a read-only table of the sandbox.
///
/// # Safety
/// `lua` must be a state of a VM, with two free slots.
pub(super) unsafe fn is_stand_in(lua: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: as the caller promised.
    unsafe {
        let is_one = push_real(lua, index);
        if is_one {
            ffi::lua_settop(lua, -2);
        }
        is_one
    }
}

/// Redis names no position here, since its check is inside of Lua's own functions.
unsafe fn refuse_stand_in(lua: *mut ffi::lua_State) {
    // SAFETY: as for `push_real`; nothing with a destructor is alive.
    unsafe {
        if push_real(lua, 1) {
            ffi::lua_pushstring(lua, READ_ONLY.as_ptr());
            ffi::lua_error(lua);
        }
    }
}

unsafe extern "C-unwind" fn pairs(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua with the stand-in.
    unsafe {
        ffi::lua_pushcclosure(lua, next, 0);
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_pushnil(lua);
    }
    3
}

/// `pairs` for a stand-in at 1; `None`: it is something else.
///
/// # Safety
/// Called from a function that Lua called.
pub(super) unsafe fn pairs_of_stand_in(lua: *mut ffi::lua_State) -> Option<c_int> {
    // SAFETY: as the caller promised.
    unsafe { push_real(lua, 1).then(|| pairs(lua)) }
}

unsafe extern "C-unwind" fn next(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::lua_settop(lua, 2);
        if push_real(lua, 1) {
            ffi::lua_copy(lua, -1, 1);
            ffi::lua_settop(lua, 2);
        }
        if ffi::lua_next(lua, 1) != 0 {
            return 2;
        }
        ffi::lua_pushnil(lua);
        1
    }
}

unsafe extern "C-unwind" fn rawget(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(lua, 2);
        ffi::lua_settop(lua, 2);
        let table = if push_real(lua, 1) { 3 } else { 1 };
        ffi::lua_pushvalue(lua, 2);
        ffi::lua_rawget(lua, table);
    }
    1
}

unsafe extern "C-unwind" fn rawset(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(lua, 2);
        ffi::luaL_checkany(lua, 3);
        ffi::lua_settop(lua, 3);
        refuse_stand_in(lua);
        ffi::lua_rawset(lua, 1);
    }
    1
}

unsafe extern "C-unwind" fn setmetatable(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        ffi::luaL_checktype(lua, 1, ffi::LUA_TTABLE);
        let kind = ffi::lua_type(lua, 2);
        if kind != ffi::LUA_TNIL && kind != ffi::LUA_TTABLE {
            return ffi::luaL_argerror(lua, 2, c"nil or table expected".as_ptr());
        }
        ffi::lua_settop(lua, 2);
        refuse_stand_in(lua);
        if ffi::luaL_getmetafield(lua, 1, c"__metatable".as_ptr()) != ffi::LUA_TNIL {
            return ffi::luaL_error(lua, c"cannot change a protected metatable".as_ptr());
        }
        if kind == ffi::LUA_TNIL {
            ffi::lua_setmetatable(lua, 1);
            return 1;
        }
        // Lua registers a finalizer if the metatable has one at this moment.
        ffi::lua_pushstring(lua, c"__gc".as_ptr());
        let has_finalizer = ffi::lua_rawget(lua, 2) != ffi::LUA_TNIL;
        if has_finalizer {
            set_raw_gc(lua, |lua| ffi::lua_pushnil(lua));
        }
        ffi::lua_pushvalue(lua, 2);
        ffi::lua_setmetatable(lua, 1);
        if has_finalizer {
            set_raw_gc(lua, |lua| ffi::lua_pushvalue(lua, 3));
        }
        ffi::lua_settop(lua, 1);
    }
    1
}

/// Sets `__gc` of the metatable at 2 to what `push` pushes.
unsafe fn set_raw_gc(lua: *mut ffi::lua_State, push: impl Fn(*mut ffi::lua_State)) {
    // SAFETY: the key is in the table, or was a moment ago: setting it allocates nothing.
    unsafe {
        ffi::lua_pushstring(lua, c"__gc".as_ptr());
        push(lua);
        ffi::lua_rawset(lua, 2);
    }
}

unsafe extern "C-unwind" fn pcall(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the continuation makes it possible to suspend the script inside.
    unsafe {
        ffi::luaL_checkany(lua, 1);
        ffi::lua_pushboolean(lua, 1);
        ffi::lua_rotate(lua, 1, 1);
        let arguments = ffi::lua_gettop(lua) - 2;
        let status = ffi::lua_pcallk(lua, arguments, ffi::LUA_MULTRET, 0, 0, Some(pcall_finished));
        pcall_finished(lua, status, 0)
    }
}

unsafe extern "C-unwind" fn pcall_finished(
    lua: *mut ffi::lua_State,
    status: c_int,
    _context: isize,
) -> c_int {
    // SAFETY: called by Lua, or by `pcall`, with `true` at 1 and the results above it.
    unsafe {
        if status == ffi::LUA_OK || status == ffi::LUA_YIELD {
            return ffi::lua_gettop(lua);
        }
        ffi::lua_pushboolean(lua, 0);
        ffi::lua_pushvalue(lua, -2);
        if ffi::lua_type(lua, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushstring(lua, c"err".as_ptr());
            if ffi::lua_rawget(lua, -2) == ffi::LUA_TSTRING {
                ffi::lua_rotate(lua, -2, 1);
            }
            ffi::lua_settop(lua, -2);
        } else {
            wording::translate_top(lua);
        }
    }
    2
}

/// `math.random`, with the meanings of Lua 5.4.
unsafe extern "C-unwind" fn random(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let (low, high) = match ffi::lua_gettop(lua) {
            0 => {
                ffi::lua_pushnumber(lua, core_of(lua).random.f64());
                return 1;
            }
            1 => match ffi::luaL_checkinteger(lua, 1) {
                0 if core_of(lua).dialect == Dialect::Aikv => (i64::MIN, i64::MAX),
                high => (1, high),
            },
            2 => (
                ffi::luaL_checkinteger(lua, 1),
                ffi::luaL_checkinteger(lua, 2),
            ),
            _ => return ffi::luaL_error(lua, c"wrong number of arguments".as_ptr()),
        };
        if low > high {
            let argument = ffi::lua_gettop(lua);
            return ffi::luaL_argerror(lua, argument, c"interval is empty".as_ptr());
        }
        ffi::lua_pushinteger(lua, core_of(lua).random.i64(low..=high));
    }
    1
}

/// `math.randomseed`; without a number it changes nothing, since chance is handed in.
unsafe extern "C-unwind" fn randomseed(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if ffi::lua_gettop(lua) == 0 {
            return 0;
        }
        let seed = ffi::luaL_checknumber(lua, 1).to_bits();
        core_of(lua).random.seed(seed);
    }
    0
}
