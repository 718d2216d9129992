//! Where library functions of ours gather the string that they return.
//!
//! The bytes are in the [`Core`], which a short call finds warm. Before anything happens that may call such a function
//! again (a callback, a metamethod) they are spilled into a block of Lua's memory on the function's own stack, which goes
//! with it if it ends in an error.
//!
//! Unsafe code: it works on the Lua stack. The rule of [`super::call`] holds.

use std::ffi::c_int;
use std::ptr;

use mlua::ffi;

use super::convert::push_bytes;
use super::core::{Core, core_of};

/// A string under way: what is spilled already, at which index of the stack; the rest is in the core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joiner {
    slot: c_int,
    spilled: usize,
}

/// The smallest block that bytes are spilled into.
const BLOCK_LEN_MIN: usize = 256;

impl Joiner {
    /// Begins a string. The value at `slot` is the joiner's until it is done.
    pub fn new(core: &mut Core, slot: c_int) -> Self {
        core.joined.clear();
        Self { slot, spilled: 0 }
    }

    /// Adds bytes; raises Lua's error where they are more than the script may have.
    ///
    /// # Safety
    /// `lua` must be the state of a running script; `bytes` may be of its strings.
    #[inline]
    pub unsafe fn add(lua: *mut ffi::lua_State, bytes: &[u8]) {
        // SAFETY: as the caller promised. The reference to the core is gone before the error is raised.
        unsafe {
            let core = core_of(lua);
            let len = core.joined.len() + bytes.len();
            if !core.memory.has_room_for(len) {
                // As Lua does before it gives up.
                ffi::lua_gc(lua, ffi::LUA_GCCOLLECT);
                if !core.memory.has_room_for(len) {
                    raise_out_of_memory(lua);
                }
            }
            core.joined.extend_from_slice(bytes);
        }
    }

    /// Moves what is gathered to the stack, so that others may use the core.
    ///
    /// # Safety
    /// As for [`Self::add`]; the slot is valid.
    pub unsafe fn spill(&mut self, lua: *mut ffi::lua_State) {
        // SAFETY: as the caller promised. The block is only written within its length; making a new one may raise an
        // error, and leaves the old one where it is.
        unsafe {
            let len = core_of(lua).joined.len();
            if len == 0 {
                return;
            }
            let needed = self.spilled + len;
            let capacity = if self.spilled == 0 {
                0
            } else {
                ffi::lua_rawlen(lua, self.slot)
            };
            if needed > capacity {
                let larger = needed.max(capacity * 2).max(BLOCK_LEN_MIN);
                let block = ffi::lua_newuserdatauv(lua, larger, 0).cast::<u8>();
                if self.spilled > 0 {
                    let old = ffi::lua_touserdata(lua, self.slot).cast::<u8>();
                    ptr::copy_nonoverlapping(old, block, self.spilled);
                }
                ffi::lua_replace(lua, self.slot);
            }
            let block = ffi::lua_touserdata(lua, self.slot).cast::<u8>();
            let core = core_of(lua);
            ptr::copy_nonoverlapping(core.joined.as_ptr(), block.add(self.spilled), len);
            core.joined.clear();
            self.spilled = needed;
        }
    }

    /// After others may have used the core: their leftovers are not ours.
    pub fn reclaim(core: &mut Core) {
        core.joined.clear();
    }

    /// Pushes the whole string.
    ///
    /// # Safety
    /// As for [`Self::spill`].
    pub unsafe fn finish(mut self, lua: *mut ffi::lua_State) {
        // SAFETY: as the caller promised; the core's bytes stay where they are while Lua copies them.
        unsafe {
            if self.spilled == 0 {
                push_bytes(lua, &core_of(lua).joined);
                return;
            }
            self.spill(lua);
            let block = ffi::lua_touserdata(lua, self.slot);
            ffi::lua_pushlstring(lua, block.cast(), self.spilled);
        }
    }
}

/// Raises the error that Lua raises itself, which names no position.
///
/// # Safety
/// Called from a function that Lua called; nothing with a destructor is alive.
pub(super) unsafe fn raise_out_of_memory(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the caller promised.
    unsafe {
        ffi::lua_pushstring(lua, OUT_OF_MEMORY.as_ptr());
        ffi::lua_error(lua)
    }
}

/// What Lua says where memory is refused.
pub(super) const OUT_OF_MEMORY: &std::ffi::CStr = c"not enough memory";
