//! `coroutine`, in place of Lua's own, which would take the suspension of a script for a yield of its coroutine.
//!
//! What suspends a script (the end of its slice, a lock, its own end) yields in the innermost coroutine and says so in
//! [`Core::stop`](super::core::Core). `resume` and `wrap` see that and yield in turn, with a continuation, until the run
//! itself has yielded; when the run is resumed, each continuation resumes its coroutine. So a script inside of coroutines
//! waits, gives way and is killed like any other, and code outside of a coroutine cannot tell that something inside was
//! suspended.
//!
//! Where the resuming code cannot be suspended (a metamethod that a library function called), a slice goes on as it does
//! there anyway, and a script that needs a lock is started again.
//!
//! `coroutine.close` is absent, and no variable is closed when a coroutine fails: no code of a script runs after its end.
//!
//! Unsafe code: these are functions that Lua calls. The rule of [`super::call`] holds.

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::budget;
use super::cache::Dialect;
use super::core::{Stop, core_of};
use super::debugger;
use super::legacy::wording;
use super::sandbox::set_functions;
use super::turn::{Pinned, calm, doom, go_on_pinned};
use super::watchdog;

const FUNCTIONS: [(&CStr, ffi::lua_CFunction); 6] = [
    (c"create", create),
    (c"resume", resume),
    (c"running", running),
    (c"status", status),
    (c"wrap", wrap),
    (c"yield", r#yield),
];

/// Pushes the library.
///
/// # Safety
/// As for [`super::sandbox::build`].
pub(super) unsafe fn push_library(lua: *mut ffi::lua_State, dialect: Dialect) {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_createtable(lua, 0, 8);
        set_functions(lua, &FUNCTIONS);
        if dialect == Dialect::Aikv {
            set_functions(lua, &[(c"isyieldable", isyieldable)]);
        }
    }
}

/// Where a coroutine stands, seen from a running one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Suspended,
    /// It has resumed another one.
    Normal,
    Dead,
}

impl State {
    fn name(self) -> &'static CStr {
        match self {
            Self::Running => c"running",
            Self::Suspended => c"suspended",
            Self::Normal => c"normal",
            Self::Dead => c"dead",
        }
    }
}

unsafe fn state(lua: *mut ffi::lua_State, co: *mut ffi::lua_State) -> State {
    // SAFETY: both are states of this VM; an all-zero record is what `lua_getstack` fills in.
    unsafe {
        if lua == co {
            return State::Running;
        }
        match ffi::lua_status(co) {
            ffi::LUA_YIELD => State::Suspended,
            ffi::LUA_OK => {
                let mut frame: ffi::lua_Debug = std::mem::zeroed();
                if ffi::lua_getstack(co, 0, &raw mut frame) != 0 {
                    State::Normal
                } else if ffi::lua_gettop(co) == 0 {
                    State::Dead
                } else {
                    State::Suspended
                }
            }
            _ => State::Dead,
        }
    }
}

/// Whether this is where the script itself runs, in no coroutine of its own.
unsafe fn is_outermost(lua: *mut ffi::lua_State) -> bool {
    // SAFETY: as in `resume`.
    unsafe { core_of(lua).outermost == lua }
}

unsafe fn check_coroutine(lua: *mut ffi::lua_State) -> *mut ffi::lua_State {
    // SAFETY: called from a function that Lua called; nothing with a destructor is alive.
    unsafe {
        let co = ffi::lua_tothread(lua, 1);
        if co.is_null() {
            match core_of(lua).dialect {
                Dialect::Aikv => ffi::luaL_checktype(lua, 1, ffi::LUA_TTHREAD),
                Dialect::Redis => {
                    ffi::luaL_argerror(lua, 1, c"coroutine expected".as_ptr());
                }
            }
        }
        co
    }
}

unsafe extern "C-unwind" fn create(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive. The new state carries the core's address too.
    unsafe {
        if ffi::lua_type(lua, 1) != ffi::LUA_TFUNCTION {
            match core_of(lua).dialect {
                Dialect::Aikv => ffi::luaL_checktype(lua, 1, ffi::LUA_TFUNCTION),
                Dialect::Redis => {
                    return ffi::luaL_argerror(lua, 1, c"Lua function expected".as_ptr());
                }
            }
        }
        let co = ffi::lua_newthread(lua);
        ffi::lua_pushvalue(lua, 1);
        ffi::lua_xmove(lua, co, 1);
        // It has inherited the hook of the one that runs.
        calm(co);
        budget::start_coroutine(co);
        debugger::attach_coroutine(co);
    }
    1
}

unsafe extern "C-unwind" fn wrap(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `create`.
    unsafe {
        create(lua);
        ffi::lua_pushcclosure(lua, wrapped, 1);
    }
    1
}

/// The stack: the coroutine, then what it is given.
unsafe extern "C-unwind" fn resume(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let co = check_coroutine(lua);
        let count = ffi::lua_gettop(lua) - 1;
        let outcome = begin(lua, co, count, resume_on);
        resumed(lua, co, outcome)
    }
}

unsafe extern "C-unwind" fn resume_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: Lua goes on with the stack as it was, the coroutine at 1.
    unsafe {
        let co = ffi::lua_tothread(lua, 1);
        let outcome = run(lua, co, 0, resume_on);
        resumed(lua, co, outcome)
    }
}

unsafe fn resumed(lua: *mut ffi::lua_State, co: *mut ffi::lua_State, outcome: Outcome) -> c_int {
    // SAFETY: as in `resume`.
    unsafe {
        match outcome {
            Outcome::Leave(result) => result,
            Outcome::Gave(count) => {
                ffi::lua_pushboolean(lua, 1);
                ffi::lua_xmove(co, lua, count);
                count + 1
            }
            Outcome::Failed => {
                ffi::lua_pushboolean(lua, 0);
                ffi::lua_rotate(lua, -2, 1);
                2
            }
        }
    }
}

/// A function of `wrap`; the coroutine is its upvalue.
unsafe extern "C-unwind" fn wrapped(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let co = ffi::lua_tothread(lua, ffi::lua_upvalueindex(1));
        let count = ffi::lua_gettop(lua);
        let outcome = begin(lua, co, count, wrapped_on);
        unwrapped(lua, co, outcome)
    }
}

unsafe extern "C-unwind" fn wrapped_on(lua: *mut ffi::lua_State, _: c_int, _: isize) -> c_int {
    // SAFETY: Lua goes on in the same function.
    unsafe {
        let co = ffi::lua_tothread(lua, ffi::lua_upvalueindex(1));
        let outcome = run(lua, co, 0, wrapped_on);
        unwrapped(lua, co, outcome)
    }
}

unsafe fn unwrapped(lua: *mut ffi::lua_State, co: *mut ffi::lua_State, outcome: Outcome) -> c_int {
    // SAFETY: as in `wrapped`.
    unsafe {
        match outcome {
            Outcome::Leave(result) => result,
            Outcome::Gave(count) => {
                ffi::lua_xmove(co, lua, count);
                count
            }
            Outcome::Failed => {
                if ffi::lua_type(lua, -1) == ffi::LUA_TSTRING {
                    ffi::luaL_where(lua, 1);
                    ffi::lua_rotate(lua, -2, 1);
                    ffi::lua_concat(lua, 2);
                }
                ffi::lua_error(lua)
            }
        }
    }
}

/// How a coroutine has left.
#[derive(Clone, Copy)]
enum Outcome {
    /// It has returned or yielded so many values, which are on its stack.
    Gave(c_int),
    /// The error is on top of the resuming stack.
    Failed,
    /// Return this to Lua: the script is being suspended.
    Leave(c_int),
}

/// Resumes a coroutine with so many values from the top of the stack, if it can be resumed.
unsafe fn begin(
    lua: *mut ffi::lua_State,
    co: *mut ffi::lua_State,
    count: c_int,
    again: ffi::lua_KFunction,
) -> Outcome {
    // SAFETY: as in `resume`.
    unsafe {
        let state = state(lua, co);
        let refused = match (state, core_of(lua).dialect) {
            (State::Suspended, _) if ffi::lua_checkstack(co, count) == 0 => {
                c"too many arguments to resume"
            }
            (State::Suspended, _) => {
                ffi::lua_xmove(lua, co, count);
                return run(lua, co, count, again);
            }
            (State::Dead, _) => c"cannot resume dead coroutine",
            (_, Dialect::Aikv) => c"cannot resume non-suspended coroutine",
            (State::Running, Dialect::Redis) => c"cannot resume running coroutine",
            (State::Normal, Dialect::Redis) => c"cannot resume normal coroutine",
        };
        ffi::lua_pushstring(lua, refused.as_ptr());
        Outcome::Failed
    }
}

unsafe fn run(
    lua: *mut ffi::lua_State,
    co: *mut ffi::lua_State,
    mut count: c_int,
    again: ffi::lua_KFunction,
) -> Outcome {
    // SAFETY: as in `resume`; `co` is suspended, or has not begun, with `count` values for it on its stack.
    unsafe {
        loop {
            let mut results = 0;
            watchdog::follow(co);
            let status = ffi::lua_resume(co, lua, count, &raw mut results);
            watchdog::follow(lua);
            if core_of(lua).stop.is_some() {
                if let Some(result) = pass_on(lua, co, again) {
                    return Outcome::Leave(result);
                }
                count = 0;
                continue;
            }
            if status != ffi::LUA_OK && status != ffi::LUA_YIELD {
                ffi::lua_xmove(co, lua, 1);
                wording::translate_top(lua);
                return Outcome::Failed;
            }
            if ffi::lua_checkstack(lua, results + 1) == 0 {
                ffi::lua_settop(co, -results - 1);
                ffi::lua_pushstring(lua, c"too many results to resume".as_ptr());
                return Outcome::Failed;
            }
            return Outcome::Gave(results);
        }
    }
}

/// Suspends the resuming code because the script is suspended inside of its coroutine; `None`: it cannot be, and goes on.
unsafe fn pass_on(
    lua: *mut ffi::lua_State,
    co: *mut ffi::lua_State,
    again: ffi::lua_KFunction,
) -> Option<c_int> {
    // SAFETY: as in `run`; whoever gets a result returns it at once.
    unsafe {
        let core = core_of(lua);
        if !core.keeps_hook() {
            calm(co);
        }
        if core.stop.as_ref().is_some_and(Stop::is_final) {
            return Some(doom(lua));
        }
        if ffi::lua_isyieldable(lua) != 0 {
            return Some(ffi::lua_yieldk(lua, 0, 0, Some(again)));
        }
        if core.stop.take() == Some(Stop::WaitForLock) {
            core.stop = Some(Stop::Restart);
            return Some(doom(lua));
        }
        match go_on_pinned(co) {
            Pinned::GoesOn => None,
            Pinned::Ends => Some(doom(lua)),
        }
    }
}

unsafe extern "C-unwind" fn r#yield(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        if is_outermost(lua) {
            let text = match core_of(lua).dialect {
                Dialect::Aikv => c"attempt to yield from outside a coroutine",
                Dialect::Redis => c"attempt to yield across metamethod/C-call boundary",
            };
            ffi::lua_pushstring(lua, text.as_ptr());
            ffi::lua_error(lua);
        }
        ffi::lua_yieldk(lua, ffi::lua_gettop(lua), 0, None)
    }
}

unsafe extern "C-unwind" fn status(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let co = check_coroutine(lua);
        ffi::lua_pushstring(lua, state(lua, co).name().as_ptr());
    }
    1
}

unsafe extern "C-unwind" fn running(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; nothing with a destructor is alive.
    unsafe {
        let outermost = is_outermost(lua);
        match core_of(lua).dialect {
            Dialect::Aikv => {
                ffi::lua_pushthread(lua);
                ffi::lua_pushboolean(lua, outermost.into());
                2
            }
            Dialect::Redis if outermost => {
                ffi::lua_pushnil(lua);
                1
            }
            Dialect::Redis => {
                ffi::lua_pushthread(lua);
                1
            }
        }
    }
}

unsafe extern "C-unwind" fn isyieldable(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let can = !is_outermost(lua) && ffi::lua_isyieldable(lua) != 0;
        ffi::lua_pushboolean(lua, can.into());
    }
    1
}
