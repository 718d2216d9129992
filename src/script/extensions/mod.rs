//! The libraries that Redis adds to Lua: `cjson`, `cmsgpack`, `struct`, `bit`; and `os.clock`, the one function of `os`.
//!
//! Results and error texts are those of Redis 7 in dialect `redis`. In dialect `aikv` integers keep their 64 bits, and an
//! empty array stays one ([`json`]).
//!
//! Invariants:
//! - What data can claim (lengths, depths, sizes) is checked before anything is made of it. Nothing here recurses.
//! - A function that walks over a value gives way every so often ([`give_way`]). What it needs afterwards is in [`Extensions`]
//!   and on its stack: nothing else runs in the VM until it goes on, and it calls no code of the script.
//! - A run begins with the settings that a fresh server has ([`Extensions::begin_run`]).
//! - What is gathered for a result is charged to the script ([`Joiner`](super::joiner::Joiner)).
//!
//! Unsafe code: these are functions that Lua calls, and the building of a state. The rule of `call.rs` holds.

mod arguments;
mod bits;
mod json;
mod msgpack;
pub(super) mod numbers;
mod structs;

use std::ffi::{CStr, c_int};
use std::time::Duration;

use mlua::ffi;

use super::cache::Dialect;
use super::convert::push_bytes;
use super::sandbox::{protect, set_functions};
use super::turn::{Turn, doom, turn};

/// What the functions under way, and those to come, need.
#[derive(Default)]
pub struct Extensions {
    json: json::Json,
    packing: msgpack::Packing,
    unpacking: msgpack::Unpacking,
    pass: structs::Pass,
}

impl Extensions {
    /// Settings that the last run has changed are back at their defaults.
    pub fn begin_run(&mut self) {
        self.json.config = json::Config::default();
    }

    /// Gives back what an unusually deep value took.
    pub fn trim(&mut self) {
        self.json.trim();
        self.unpacking.trim();
    }
}

/// Adds the libraries to the globals, read only.
///
/// # Safety
/// As for [`super::sandbox::build`]; `globals` is the index of the table.
pub unsafe fn install(lua: *mut ffi::lua_State, globals: c_int, dialect: Dialect) {
    // SAFETY: as the caller promised.
    unsafe {
        json::prepare(lua);
        json::push_library(lua, dialect, None);
        provide(lua, globals, c"cjson");
        push_functions(lua, &msgpack::FUNCTIONS);
        set_texts(lua, &msgpack::TEXTS);
        provide(lua, globals, c"cmsgpack");
        push_functions(lua, &structs::FUNCTIONS);
        provide(lua, globals, c"struct");
        push_functions(lua, &bits::FUNCTIONS);
        provide(lua, globals, c"bit");
        if dialect == Dialect::Redis {
            push_functions(lua, &[(c"clock", clock)]);
            provide(lua, globals, c"os");
        }
    }
}

unsafe fn push_functions(lua: *mut ffi::lua_State, functions: &[(&CStr, ffi::lua_CFunction)]) {
    // SAFETY: as for `install`.
    unsafe {
        ffi::lua_createtable(lua, 0, functions.len() as c_int);
        set_functions(lua, functions);
    }
}

/// Sets fields of the table on top.
unsafe fn set_texts(lua: *mut ffi::lua_State, texts: &[(&CStr, &str)]) {
    for (name, text) in texts {
        // SAFETY: as for `install`.
        unsafe {
            push_bytes(lua, text.as_bytes());
            ffi::lua_setfield(lua, -2, name.as_ptr());
        }
    }
}

/// Makes the table on top a library of the globals.
unsafe fn provide(lua: *mut ffi::lua_State, globals: c_int, name: &CStr) {
    // SAFETY: as for `install`.
    unsafe {
        protect(lua);
        ffi::lua_setfield(lua, globals, name.as_ptr());
    }
}

/// A step of a walk costs one, and so many bytes of text cost one more.
const BYTES_PER_STEP: usize = 64;
/// Steps between two looks at the clock: some tens of microseconds.
const STEPS_PER_LOOK: usize = 512;

/// Whether to leave a function with this result, all of whose state is in the [`Extensions`] and on its stack.
///
/// # Safety
/// As for [`turn`]; whoever gets a result returns it at once.
#[inline]
unsafe fn give_way(lua: *mut ffi::lua_State, again: ffi::lua_KFunction) -> Option<c_int> {
    // SAFETY: as the caller promised.
    unsafe {
        match turn(lua) {
            Turn::GoOn => None,
            Turn::Suspend => Some(ffi::lua_yieldk(lua, 0, 0, Some(again))),
            Turn::End => Some(doom(lua)),
        }
    }
}

/// The processor time that this thread has used.
pub(super) fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists, and is written to the record.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The processor time of the thread in seconds: the difference of two is what a script is after.
unsafe extern "C-unwind" fn clock(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { ffi::lua_pushnumber(lua, processor_time().as_secs_f64()) };
    1
}
