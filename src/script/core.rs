//! What a VM's callbacks share: its memory account, its host while it runs, why it stopped.
//!
//! Unsafe code: this is the allocator that Lua calls, and the way from a `lua_State` back to its owner.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::ffi;

use super::budget::Budget;
use super::cache::Dialect;
use super::debugger::Debugger;
use super::debugger::errand::Errand;
use super::extensions::Extensions;
use super::host::{AbortReason, Host};
use super::library::Registrations;
use super::pattern::Machine;
use super::strings::Substitution;
use super::tokens::ReplyTokens;

/// The part of a VM that its callbacks reach through [`core_of`]. Its address does not change.
pub(super) struct Core {
    pub memory: Rc<Memory>,
    pub dialect: Dialect,
    /// The longest source that is compiled.
    pub source_limit: usize,
    /// Set only while the coroutine is resumed.
    pub host: Option<*mut dyn Host>,
    /// Where the script runs, in no coroutine of its own; only compared with.
    pub outermost: *mut ffi::lua_State,
    /// The instructions that the script may still run, where its first line bounds them.
    pub budget: Option<Budget>,
    /// The registry slots of what a script rolled back with, and of the metatable of savepoints.
    pub rollback_slot: c_int,
    pub savepoint_slot: c_int,
    /// The session in which the script is debugged.
    pub debugger: Option<Box<Debugger>>,
    /// What the user of the debugger has run in the place of the script: its coroutine, and the registry slot of that.
    pub errand: Option<(Errand, *mut ffi::lua_State, c_int)>,
    pub errand_arguments: c_int,
    /// Why the coroutine has yielded, or must end whatever it does.
    pub stop: Option<Stop>,
    pub tokens: ReplyTokens,
    /// The arguments of the current `redis.call`. They borrow from the Lua stack and from `numbers`, and are cleared
    /// before the call returns.
    pub args: Vec<&'static [u8]>,
    pub numbers: Vec<u8>,
    /// The search that a string function has under way.
    pub machine: Machine,
    /// Handlers of errors that are being run, one inside the other.
    pub handlers: u32,
    /// Steps of searches until the next look at the clock.
    pub steps_left: u32,
    /// The `gsub` that is under way, while no callback of it runs.
    pub substitution: Option<Substitution>,
    /// What a [`super::joiner::Joiner`] has gathered.
    pub joined: Vec<u8>,
    /// Numbers that are being sorted.
    pub integers: Vec<i64>,
    pub floats: Vec<f64>,
    pub extensions: Extensions,
    pub random: fastrand::Rng,
    /// What the code of a library has registered.
    pub registrations: Registrations,
    pub kills: Arc<Kills>,
    pub run_number: u64,
}

const ARGS_KEPT_MAX: usize = 1024;
const NUMBERS_KEPT_MAX: usize = 16 * 1024;
const JOINED_KEPT_MAX: usize = 16 * 1024;
const JOINED_HELD_MAX: usize = 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    WaitForLock,
    Preempted,
    /// The debugger's user has the word.
    Debugger,
    Restart,
    /// The script wants all that it did taken back; its reply is in the registry.
    RolledBack,
    Abort(AbortReason),
}

impl Stop {
    /// The run is over whatever the script still does.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Restart | Self::RolledBack | Self::Abort(_))
    }
}

impl Core {
    /// Whether the script has a hook for the whole of its run, which also looks for the end of its slice.
    #[inline]
    pub fn keeps_hook(&self) -> bool {
        self.budget.is_some() || self.debugger.is_some()
    }

    pub fn is_killed(&self) -> bool {
        self.kills.highest.load(Ordering::Relaxed) >= self.run_number
    }

    /// Whether a call has left more behind than is worth keeping for the next one. It is not in Lua's memory account.
    pub fn holds_much(&self) -> bool {
        self.joined.capacity() > JOINED_HELD_MAX
    }

    /// Gives back what an unusually large call took.
    pub fn trim(&mut self) {
        self.args.shrink_to(ARGS_KEPT_MAX);
        self.numbers.shrink_to(NUMBERS_KEPT_MAX);
        self.joined.clear();
        self.joined.shrink_to(JOINED_KEPT_MAX);
        self.integers = Vec::new();
        self.floats = Vec::new();
        self.extensions.trim();
    }
}

/// Which run of a VM is to be killed: runs are numbered upwards, so a late kill cannot hit the next run.
#[derive(Default)]
pub(super) struct Kills {
    highest: AtomicU64,
}

/// Kills one run, from any thread. Does nothing if that run is over.
#[derive(Clone)]
pub struct KillHandle {
    pub(super) kills: Arc<Kills>,
    pub(super) run_number: u64,
}

impl KillHandle {
    pub fn kill(&self) {
        self.kills
            .highest
            .fetch_max(self.run_number, Ordering::Relaxed);
    }
}

/// A VM's memory account. Lua may be refused memory only where it can raise an error: while scripts run.
pub(super) struct Memory {
    used: Cell<usize>,
    /// The most that was in use since [`Self::begin`], and what was in use then.
    peak: Cell<usize>,
    began_with: Cell<usize>,
    limit: Cell<usize>,
    limit_of_scripts: usize,
}

impl Memory {
    pub fn new(limit_of_scripts: usize) -> Self {
        Self {
            used: Cell::new(0),
            peak: Cell::new(0),
            began_with: Cell::new(0),
            limit: Cell::new(usize::MAX),
            limit_of_scripts,
        }
    }

    pub fn limit_of_scripts(&self) -> usize {
        self.limit_of_scripts
    }

    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// A run begins.
    pub fn begin(&self) {
        self.began_with.set(self.used.get());
        self.peak.set(self.used.get());
    }

    /// What the run has had at most beyond what there was before it.
    pub fn grown(&self) -> usize {
        self.peak.get() - self.began_with.get()
    }

    /// From here on growth beyond the limit is refused.
    #[inline]
    pub fn limit(&self) {
        self.limit.set(self.limit_of_scripts);
    }

    /// From here on nothing is refused: Rust code is at work that an error of Lua would jump over.
    #[inline]
    pub fn unlimit(&self) {
        self.limit.set(usize::MAX);
    }

    /// Whether a script may have so many bytes more, which it gets beside Lua's allocator.
    #[inline]
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit.get()
    }

    #[inline]
    pub fn is_exceeded(&self) -> bool {
        self.used.get() > self.limit_of_scripts
    }
}

/// The owner of a Lua state.
///
/// # Safety
/// `lua` must belong to a VM of this module; the caller must not keep two of these references alive at once.
#[inline]
pub(super) unsafe fn core_of<'a>(lua: *mut ffi::lua_State) -> &'a mut Core {
    // SAFETY: every state of a VM carries the address of its core in its extra space (see `Vm::new`; Lua copies it
    // into each coroutine).
    unsafe { &mut **ffi::lua_getextraspace(lua).cast::<*mut Core>() }
}

/// Everything in Lua is aligned to 8 bytes; asking for more would leave the allocator's fast path.
const ALIGNMENT: usize = 8;

/// Lua's allocator: counts, and refuses what is over the limit.
pub(super) unsafe extern "C" fn allocate(
    account: *mut c_void,
    block: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    // SAFETY: `account` is the `Memory` of the core, which outlives the state; Lua passes for `block` what it got
    // from here, with its size (`old_size` means something else when `block` is null, and is not used then).
    unsafe {
        let memory = &*account.cast::<Memory>();
        let used = memory.used.get();
        let old_size = if block.is_null() { 0 } else { old_size };
        if new_size > old_size && used.saturating_add(new_size - old_size) > memory.limit.get() {
            return ptr::null_mut();
        }
        let now_used = used - old_size + new_size;
        memory.used.set(now_used);
        if now_used > memory.peak.get() {
            memory.peak.set(now_used);
        }
        let block = block.cast::<u8>();
        let layout = |size| Layout::from_size_align_unchecked(size, ALIGNMENT);
        let result = match (old_size, new_size) {
            (0, 0) => return ptr::null_mut(),
            (_, 0) => {
                dealloc(block, layout(old_size));
                return ptr::null_mut();
            }
            (0, _) => alloc(layout(new_size)),
            _ => realloc(block, layout(old_size), new_size),
        };
        if result.is_null() {
            handle_alloc_error(layout(new_size));
        }
        result.cast()
    }
}
