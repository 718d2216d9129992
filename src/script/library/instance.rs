//! Functions that are called again without their library's code being run again.
//!
//! After the code has been run, what a function can reach are the variables around it and around the functions in them. Where
//! these hold nothing that could be changed in itself (numbers, strings, functions, read-only tables), the variables' values
//! are all there is to its state. They are kept, and put back before each call: the next run begins as if the code had
//! just been run. Where a variable holds a table, the code is run for every call.
//!
//! Unsafe code: [`keep`] is called by functions that Lua calls, where the rule of [`super::super::call`] holds; the rest works
//! on a VM outside of a resume.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use mlua::ffi;

use super::super::sandbox::is_stand_in;
use super::Function;

/// What is known of functions that have been called in one VM.
#[derive(Default)]
pub struct Instances {
    /// By the address of the function, which each entry keeps from being given to another.
    known: HashMap<*const Function, Known, ahash::RandomState>,
}

struct Known {
    function: Arc<Function>,
    state: State,
    used_at: u64,
}

/// How a function can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The slot of Lua's registry with its table: the function, then triples of a function, the number of a variable around it,
    /// and that variable's value.
    Kept(c_int),
    /// Its library's code has to be run.
    Unfit,
}

/// The one that has not been called for longest goes first.
const FUNCTIONS_MAX: usize = 512;
/// More variables than this are not kept: to put them back would cost as much as to run the code.
const VARIABLES_MAX: usize = 64;

/// The key in Lua's registry of the table that [`keep`] has made.
static KEPT: u8 = 0;

impl Instances {
    pub fn get(&mut self, function: &Arc<Function>, now: u64) -> Option<State> {
        let known = self.known.get_mut(&Arc::as_ptr(function))?;
        known.used_at = now;
        Some(known.state)
    }

    /// Takes over what [`keep`] has found out of a function.
    ///
    /// # Safety
    /// `lua` must be the state of the VM, outside of a resume.
    pub unsafe fn add(
        &mut self,
        lua: *mut ffi::lua_State,
        function: Arc<Function>,
        is_fit: bool,
        now: u64,
    ) {
        if self.known.len() >= FUNCTIONS_MAX {
            let oldest = self.known.values().min_by_key(|known| known.used_at);
            if let Some(oldest) = oldest.map(|known| Arc::as_ptr(&known.function))
                && let Some(known) = self.known.remove(&oldest)
                && let State::Kept(slot) = known.state
            {
                // SAFETY: as the caller promised; the slot is this entry's only.
                unsafe { ffi::luaL_unref(lua, ffi::LUA_REGISTRYINDEX, slot) };
            }
        }
        let state = if is_fit {
            let key = ptr::from_ref(&KEPT).cast();
            // SAFETY: as the caller promised.
            let slot = unsafe {
                ffi::lua_rawgetp(lua, ffi::LUA_REGISTRYINDEX, key);
                let slot = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushnil(lua);
                ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, key);
                slot
            };
            State::Kept(slot)
        } else {
            State::Unfit
        };
        let key = Arc::as_ptr(&function);
        let known = Known {
            function,
            state,
            used_at: now,
        };
        self.known.insert(key, known);
    }
}

/// Puts the variables back, and leaves the function alone on the stack.
///
/// # Safety
/// `lua` must be a state of the VM that the slot is of, outside of a resume.
pub(in super::super) unsafe fn ready(lua: *mut ffi::lua_State, slot: c_int) {
    // SAFETY: as the caller promised; the table is as `keep` made it.
    unsafe {
        ffi::lua_settop(lua, 0);
        ffi::lua_rawgeti(lua, ffi::LUA_REGISTRYINDEX, slot.into());
        ffi::lua_rawgeti(lua, 1, LEN);
        let len = ffi::lua_tointegerx(lua, -1, ptr::null_mut());
        ffi::lua_settop(lua, 1);
        let mut at = 2;
        while at <= len {
            ffi::lua_rawgeti(lua, 1, at);
            ffi::lua_rawgeti(lua, 1, at + 1);
            let number = ffi::lua_tointegerx(lua, -1, ptr::null_mut());
            ffi::lua_settop(lua, -2);
            ffi::lua_rawgeti(lua, 1, at + 2);
            ffi::lua_setupvalue(lua, 2, number as c_int);
            ffi::lua_settop(lua, 1);
            at += 3;
        }
        ffi::lua_rawgeti(lua, 1, 1);
        ffi::lua_copy(lua, 2, 1);
        ffi::lua_settop(lua, 1);
    }
}

/// Keeps the state of the function on top, if it can be kept. The stack is left as it was.
///
/// # Safety
/// Called from a function that Lua called; nothing with a destructor is alive.
pub(super) unsafe fn keep(lua: *mut ffi::lua_State) -> bool {
    // SAFETY: as the caller promised; only addresses are kept beside Lua.
    unsafe {
        if ffi::lua_checkstack(lua, STACK) == 0 {
            return false;
        }
        let function = ffi::lua_gettop(lua);
        ffi::lua_createtable(lua, 4, 0);
        ffi::lua_pushvalue(lua, function);
        ffi::lua_rawseti(lua, function + 1, 1);
        ffi::lua_createtable(lua, 2, 0);
        ffi::lua_pushvalue(lua, function);
        ffi::lua_rawseti(lua, function + 2, 1);
        let is_fit = walk(lua, function + 1, function + 2);
        if is_fit {
            ffi::lua_pushvalue(lua, function + 1);
            ffi::lua_rawsetp(lua, ffi::LUA_REGISTRYINDEX, ptr::from_ref(&KEPT).cast());
        }
        ffi::lua_settop(lua, function);
        is_fit
    }
}

/// Where the table says up to where it goes: the values of variables may be nil.
const LEN: i64 = 0;

/// What [`keep`] puts on the stack at most.
const STACK: c_int = 10;

/// Addresses that have been met.
struct Met {
    all: [*const c_void; VARIABLES_MAX],
    len: usize,
}

impl Met {
    const fn new() -> Self {
        Self {
            all: [ptr::null(); VARIABLES_MAX],
            len: 0,
        }
    }

    /// Whether it is met for the first time; `None`: there are too many.
    fn add(&mut self, address: *const c_void) -> Option<bool> {
        if self.all[..self.len].contains(&address) {
            return Some(false);
        }
        *self.all.get_mut(self.len)? = address;
        self.len += 1;
        Some(true)
    }
}

/// Visits all variables around the functions of the list at `found`, which grows by the functions that are met in them, and
/// appends them to the table at `kept`.
unsafe fn walk(lua: *mut ffi::lua_State, kept: c_int, found: c_int) -> bool {
    let (mut variables, mut functions) = (Met::new(), Met::new());
    // SAFETY: as in `keep`.
    unsafe {
        let (function, value) = (found + 1, found + 2);
        let (mut found_len, mut kept_len) = (1, 1);
        let mut at = 0;
        while at < found_len {
            at += 1;
            ffi::lua_rawgeti(lua, found, at);
            for number in 1.. {
                if ffi::lua_getupvalue(lua, function, number).is_null() {
                    break;
                }
                // What a function of the server keeps may be changed by calling it.
                if ffi::lua_iscfunction(lua, function) != 0 {
                    return false;
                }
                match variables.add(ffi::lua_upvalueid(lua, function, number)) {
                    None => return false,
                    Some(false) => {
                        ffi::lua_settop(lua, function);
                        continue;
                    }
                    Some(true) => {}
                }
                match ffi::lua_type(lua, value) {
                    ffi::LUA_TNIL | ffi::LUA_TBOOLEAN | ffi::LUA_TNUMBER | ffi::LUA_TSTRING => {}
                    ffi::LUA_TFUNCTION => match functions.add(ffi::lua_topointer(lua, value)) {
                        None => return false,
                        Some(false) => {}
                        Some(true) => {
                            found_len += 1;
                            ffi::lua_pushvalue(lua, value);
                            ffi::lua_rawseti(lua, found, found_len);
                        }
                    },
                    ffi::LUA_TTABLE if is_stand_in(lua, value) => {}
                    _ => return false,
                }
                ffi::lua_pushvalue(lua, function);
                ffi::lua_rawseti(lua, kept, kept_len + 1);
                ffi::lua_pushinteger(lua, number.into());
                ffi::lua_rawseti(lua, kept, kept_len + 2);
                ffi::lua_rawseti(lua, kept, kept_len + 3);
                kept_len += 3;
            }
            ffi::lua_settop(lua, found);
        }
        ffi::lua_pushinteger(lua, kept_len);
        ffi::lua_rawseti(lua, kept, LEN);
    }
    true
}
