//! A Lua state with its compiled scripts, ready to run one script at a time.
//!
//! Unsafe code: mlua's raw interface, because resuming a pooled coroutine and pushing keys through the safe one costs
//! as much as the rest of a short script. Outside of a resume memory is not limited (see [`super::core::Memory`]), so
//! Lua has no reason to raise an error there, and none could be caught.

use std::collections::HashMap;
use std::ffi::c_int;
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use mlua::ffi;

use super::api::RedisVersion;
use super::budget::{self, Budget};
use super::cache::{Dialect, Script, Sha};
use super::callee::{Callee, Entry};
use super::convert::push_bytes;
use super::core::{Core, KillHandle, Kills, Memory, allocate};
use super::error::{self, ScriptError};
use super::extensions::Extensions;
use super::host::Host;
use super::library::{self, Function as LibraryFunction, Instances, Registrations, State};
use super::pattern::Machine;
use super::pool::PoolOptions;
use super::sandbox;
use super::savepoint;
use super::tokens::ReplyTokens;
use super::turn::calm;
use super::watchdog::Registration;
use super::whole;
use crate::resp::{Protocol, Reply};

/// A Lua virtual machine of one dialect. It stays on the thread that made it.
pub struct Vm {
    lua: *mut ffi::lua_State,
    /// Shared with Lua's callbacks, hence not a box; made by `new`, freed by `drop`.
    core: *mut Core,
    memory: Rc<Memory>,
    dialect: Dialect,
    version: RedisVersion,
    /// `KEYS` and `ARGV` are there as globals.
    shows_arguments: bool,
    /// Functions of libraries whose state is kept.
    instances: Instances,
    /// What the function at the bottom of the coroutine's stack is called with.
    arguments: c_int,
    /// Where scripts run. Null after a run that did not end by itself: what it left is never resumed.
    coroutine: *mut ffi::lua_State,
    slots: Slots,
    functions: HashMap<Sha, Function, BuildHasherDefault<ShaHasher>>,
    /// Counts runs; also the clock of the function cache.
    runs: u64,
    /// Memory in use after the last full collection.
    live: usize,
}

/// What the registry holds for us.
struct Slots {
    globals: c_int,
    environment: c_int,
    coroutine: c_int,
}

struct Function {
    slot: c_int,
    used_at: u64,
}

/// Compiled scripts in one VM; the one unused for longest goes first.
const FUNCTIONS_MAX: usize = 1024;
/// Garbage that may pile up over runs. A full collection of a small heap takes about as long as a thousand short
/// scripts allocate that much.
const GARBAGE_MAX: usize = 512 * 1024;
/// A VM that holds more than this after a collection is not kept.
const LIVE_KEPT_MAX: usize = 8 * 1024 * 1024;
/// Percent of the live heap at which Lua begins to collect within a run. The first value is in force while we collect
/// between runs, so that short runs never pay for a cycle; the second in a run that allocates more.
const PAUSE_BETWEEN_RUNS: c_int = 1000;
const PAUSE_IN_RUN: c_int = 200;

impl Vm {
    pub(super) fn new(dialect: Dialect, options: &PoolOptions) -> Self {
        let version = options.version;
        let memory = Rc::new(Memory::new(options.memory_limit));
        let core = Box::into_raw(Box::new(Core {
            memory: Rc::clone(&memory),
            dialect,
            source_limit: options.source_limit,
            host: None,
            outermost: ptr::null_mut(),
            budget: None,
            debugger: None,
            errand: None,
            errand_arguments: 0,
            rollback_slot: 0,
            savepoint_slot: 0,
            stop: None,
            tokens: ReplyTokens::default(),
            args: Vec::new(),
            numbers: Vec::new(),
            machine: Machine::default(),
            handlers: 0,
            steps_left: 0,
            substitution: None,
            joined: Vec::new(),
            integers: Vec::new(),
            floats: Vec::new(),
            registrations: Registrations::default(),
            extensions: Extensions::default(),
            random: fastrand::Rng::with_seed(0),
            kills: Arc::new(Kills::default()),
            run_number: 0,
        }));
        // SAFETY: `memory` outlives the state, which is closed in `drop`. The extra space is ours to use.
        let (lua, slots) = unsafe {
            let lua = ffi::lua_newstate(allocate, Rc::as_ptr(&memory).cast_mut().cast());
            assert!(!lua.is_null(), "memory is not limited");
            *ffi::lua_getextraspace(lua).cast::<*mut Core>() = core;
            sandbox::build(lua, dialect, version);
            let environment = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
            let globals = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
            ffi::lua_pushboolean(lua, 0);
            let coroutine = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
            savepoint::prepare(lua);
            let slots = Slots {
                globals,
                environment,
                coroutine,
            };
            (lua, slots)
        };
        let mut vm = Self {
            lua,
            core,
            memory,
            dialect,
            version,
            shows_arguments: false,
            instances: Instances::default(),
            arguments: 0,
            coroutine: ptr::null_mut(),
            slots,
            functions: HashMap::default(),
            runs: 0,
            live: 0,
        };
        vm.collect();
        vm
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Compiles a script, or finds that it cannot be. A script that has been compiled stays compiled.
    pub fn check(&mut self, script: &Script) -> Result<(), ScriptError> {
        self.function(script).map(drop)
    }

    /// Bytes that this VM holds.
    pub fn memory_used(&self) -> usize {
        self.memory.used()
    }

    /// Bytes that the run has added to them at most.
    pub(super) fn memory_grown(&self) -> usize {
        self.memory.grown()
    }

    pub(super) fn account(&self) -> Rc<Memory> {
        Rc::clone(&self.memory)
    }

    /// Readies the coroutine to run a script or function from its beginning.
    pub(super) fn prepare(
        &mut self,
        callee: &Callee,
        keys: &[&[u8]],
        argv: &[&[u8]],
        seed: u64,
    ) -> Result<(), ScriptError> {
        self.runs += 1;
        self.detach_debugger();
        self.memory.begin();
        let function = self.function(&callee.script)?;
        let runs = self.runs;
        let core = self.core();
        core.run_number = runs;
        core.stop = None;
        core.handlers = 0;
        core.budget = callee.limits().instructions_max.map(Budget::new);
        let is_counted = core.budget.is_some();
        core.random.seed(seed);
        core.extensions.begin_run();
        core.tokens.set_protocol(Protocol::Resp2);
        match &callee.entry {
            Entry::Script => self.ready_script(function, keys, argv),
            Entry::Registrations => self.ready_library(function, None, keys, argv),
            Entry::Function(wanted) => {
                // A budget counts the instructions of the library's code, too.
                let state = if is_counted {
                    Some(State::Unfit)
                } else {
                    self.instances.get(wanted, runs)
                };
                if let Some(State::Kept(slot)) = state {
                    self.ready_function(slot, keys, argv);
                } else {
                    let keeps = state.is_none();
                    self.ready_library(function, Some((wanted, keeps)), keys, argv);
                }
            }
        }
        Ok(())
    }

    /// Leaves the script on the coroutine's stack, and its arguments in globals.
    fn ready_script(&mut self, function: c_int, keys: &[&[u8]], argv: &[&[u8]]) {
        self.arguments = 0;
        self.shows_arguments = true;
        // SAFETY: outside of a resume; the fields that are set exist already or the table has no `__newindex`.
        unsafe {
            let thread = self.coroutine();
            ffi::lua_rawgeti(thread, ffi::LUA_REGISTRYINDEX, self.slots.globals.into());
            push_list(thread, keys);
            ffi::lua_setfield(thread, -2, c"KEYS".as_ptr());
            push_list(thread, argv);
            ffi::lua_setfield(thread, -2, c"ARGV".as_ptr());
            ffi::lua_settop(thread, 0);
            ffi::lua_rawgeti(thread, ffi::LUA_REGISTRYINDEX, function.into());
            // The last run may have assigned `_ENV`.
            ffi::lua_rawgeti(
                thread,
                ffi::LUA_REGISTRYINDEX,
                self.slots.environment.into(),
            );
            ffi::lua_setupvalue(thread, 1, 1);
            budget::start(thread);
        }
    }

    /// Leaves on the coroutine's stack what runs a library's code, with its arguments; the globals of scripts are not there.
    fn ready_library(
        &mut self,
        code: c_int,
        wanted: Option<(&Arc<LibraryFunction>, bool)>,
        keys: &[&[u8]],
        argv: &[&[u8]],
    ) {
        const ARGUMENTS: c_int = 3;
        let keeps = wanted.is_some_and(|(_, keeps)| keeps);
        let wanted = wanted.map(|(wanted, _)| Arc::clone(wanted));
        self.core().registrations.open(wanted, keeps);
        self.hide_arguments();
        self.arguments = ARGUMENTS;
        // SAFETY: as in `ready_script`.
        unsafe {
            let thread = self.coroutine();
            library::forget_callback(thread);
            ffi::lua_settop(thread, 0);
            ffi::lua_pushcclosure(thread, library::enter, 0);
            ffi::lua_rawgeti(thread, ffi::LUA_REGISTRYINDEX, code.into());
            library::push_load_environment(thread, self.version);
            ffi::lua_setupvalue(thread, -2, 1);
            push_list(thread, keys);
            push_list(thread, argv);
            budget::start(thread);
        }
    }

    /// Leaves on the coroutine's stack a function whose state is kept, with its arguments.
    fn ready_function(&mut self, slot: c_int, keys: &[&[u8]], argv: &[&[u8]]) {
        const ARGUMENTS: c_int = 2;
        self.core().registrations.is_open = false;
        self.arguments = ARGUMENTS;
        self.hide_arguments();
        // SAFETY: as in `ready_script`; the slot is this VM's.
        unsafe {
            let thread = self.coroutine();
            library::ready(thread, slot);
            push_list(thread, keys);
            push_list(thread, argv);
        }
    }

    /// Takes the globals away in which a script finds its arguments.
    fn hide_arguments(&mut self) {
        if !std::mem::take(&mut self.shows_arguments) {
            return;
        }
        // SAFETY: as in `ready_script`.
        unsafe {
            ffi::lua_rawgeti(self.lua, ffi::LUA_REGISTRYINDEX, self.slots.globals.into());
            for name in [c"KEYS", c"ARGV"] {
                ffi::lua_pushnil(self.lua);
                ffi::lua_setfield(self.lua, -2, name.as_ptr());
            }
            ffi::lua_settop(self.lua, 0);
        }
    }

    /// Takes over what a run has found out of its function.
    #[cold]
    fn note_instance(&mut self, is_fit: bool) {
        let runs = self.runs;
        if let Some(function) = self.core().registrations.wanted.take() {
            // SAFETY: outside of a resume.
            unsafe { self.instances.add(self.lua, function, is_fit, runs) };
        }
    }

    /// Runs until the script ends or yields; Lua's status. `watch` must belong to this thread.
    pub(super) fn resume(&mut self, host: &mut dyn Host, watch: &Registration) -> c_int {
        // SAFETY: the lifetime is erased only for this call: the field is cleared before it returns, and Lua's errors
        // end in `lua_resume`.
        unsafe {
            (*self.core).host = Some(erase_lifetime(ptr::from_mut(host)));
            let mut results = 0;
            let is_counted = (*self.core).keeps_hook();
            let (thread, arguments) = match (*self.core).errand {
                None => (self.coroutine, std::mem::take(&mut self.arguments)),
                Some((_, thread, _)) => {
                    let arguments = std::mem::take(&mut (*self.core).errand_arguments);
                    (thread, arguments)
                }
            };
            whole::begin(self.dialect);
            watch.enter(thread, is_counted);
            self.memory.limit();
            let status = ffi::lua_resume(thread, ptr::null_mut(), arguments, &raw mut results);
            self.memory.unlimit();
            watch.leave();
            // Instructions are counted over all slices of a run.
            let counts_on = is_counted && status == ffi::LUA_YIELD;
            if !counts_on && ffi::lua_gethookmask(thread) != 0 {
                calm(thread);
            }
            (*self.core).host = None;
            if let Some(is_fit) = (*self.core).registrations.kept.take() {
                self.note_instance(is_fit);
            }
            status
        }
    }

    /// Writes what the script returned. Only after [`Self::resume`] gave `LUA_OK`.
    pub(super) fn write_result(&mut self, out: &mut dyn Reply) -> Result<(), String> {
        let rules = self.rules();
        let thread = self.coroutine;
        // SAFETY: the stack of a coroutine that has ended holds its results, and the first is what counts.
        unsafe {
            let shown = super::convert::write_result(thread, 1, rules, out);
            ffi::lua_settop(thread, 0);
            shown.map_err(super::convert::Unshowable::text)
        }
    }

    /// Writes what the script gave to `redis.rollback`. Only after that has ended it.
    pub(super) fn write_rollback_reply(&mut self, out: &mut dyn Reply) -> Result<(), String> {
        let (rules, slot) = (self.rules(), self.core().rollback_slot);
        // SAFETY: outside of a resume; the slot holds a value, and the stack of the main state is ours.
        unsafe {
            ffi::lua_rawgeti(self.lua, ffi::LUA_REGISTRYINDEX, slot.into());
            let shown = super::convert::write_result(self.lua, 1, rules, out);
            ffi::lua_settop(self.lua, 0);
            ffi::lua_pushboolean(self.lua, 0);
            ffi::lua_rawseti(self.lua, ffi::LUA_REGISTRYINDEX, slot.into());
            shown.map_err(super::convert::Unshowable::text)
        }
    }

    fn rules(&mut self) -> super::convert::Rules {
        super::convert::Rules {
            dialect: self.dialect,
            protocol: self.core().tokens.protocol(),
        }
    }

    /// Reads the error with which the script ended.
    pub(super) fn failure(&mut self, callee: &Callee) -> ScriptError {
        // SAFETY: `resume` gave an error, and has left its stack as it was.
        unsafe { error::from_failed(self.coroutine, callee, self.memory.limit_of_scripts()) }
    }

    /// Where the coroutine stands, as the end of an error line; empty where that is no line of a script.
    pub(super) fn place(&mut self, callee: &Callee) -> String {
        if self.coroutine.is_null() {
            return String::new();
        }
        // SAFETY: outside of a resume; the coroutine is suspended, or ended with an error and left as it was.
        unsafe { error::place(self.coroutine, callee) }
    }

    /// Forgets a coroutine that has not ended by itself. It is never resumed or closed, so none of its code runs.
    pub(super) fn abandon(&mut self) {
        if !self.coroutine.is_null() {
            self.coroutine = ptr::null_mut();
            // SAFETY: outside of a resume.
            unsafe {
                ffi::lua_pushboolean(self.lua, 0);
                ffi::lua_rawseti(
                    self.lua,
                    ffi::LUA_REGISTRYINDEX,
                    self.slots.coroutine.into(),
                );
            }
        }
    }

    /// Between runs: collects garbage if there is enough of it. False: this VM is not worth keeping.
    pub(super) fn settle(&mut self) -> bool {
        if self.core().holds_much() {
            self.core().trim();
        }
        if self.memory.used() <= self.live + GARBAGE_MAX {
            return true;
        }
        self.collect();
        self.core().trim();
        self.live <= LIVE_KEPT_MAX
    }

    /// The main state, where nothing runs.
    pub(super) fn state(&self) -> *mut ffi::lua_State {
        self.lua
    }

    /// Where the script runs.
    pub(super) fn outermost(&self) -> *mut ffi::lua_State {
        self.coroutine
    }

    /// Pushes a global of scripts on the main state. Only outside of a resume.
    pub(super) fn push_global(&self, name: &[u8]) {
        // SAFETY: outside of a resume; the table is read without metamethods.
        unsafe {
            ffi::lua_rawgeti(self.lua, ffi::LUA_REGISTRYINDEX, self.slots.globals.into());
            push_bytes(self.lua, name);
            ffi::lua_rawget(self.lua, -2);
            ffi::lua_rotate(self.lua, -2, 1);
            ffi::lua_settop(self.lua, -2);
        }
    }

    pub(super) fn core(&mut self) -> &mut Core {
        // SAFETY: made in `new`; callbacks use it only during a resume, which holds `self` exclusively.
        unsafe { &mut *self.core }
    }

    pub(super) fn kill_handle(&mut self) -> KillHandle {
        let core = self.core();
        KillHandle {
            kills: Arc::clone(&core.kills),
            run_number: core.run_number,
        }
    }

    fn collect(&mut self) {
        // SAFETY: outside of a resume; no finalizer of a script exists.
        unsafe {
            ffi::lua_gc(self.lua, ffi::LUA_GCSETPAUSE, PAUSE_BETWEEN_RUNS);
            ffi::lua_gc(self.lua, ffi::LUA_GCCOLLECT);
            ffi::lua_gc(self.lua, ffi::LUA_GCSETPAUSE, PAUSE_IN_RUN);
        }
        self.live = self.memory.used();
    }

    fn coroutine(&mut self) -> *mut ffi::lua_State {
        if self.coroutine.is_null() {
            // SAFETY: outside of a resume; the registry keeps the coroutine alive.
            unsafe {
                self.coroutine = ffi::lua_newthread(self.lua);
                ffi::lua_rawseti(
                    self.lua,
                    ffi::LUA_REGISTRYINDEX,
                    self.slots.coroutine.into(),
                );
                (*self.core).outermost = self.coroutine;
            }
        }
        self.coroutine
    }

    /// The registry slot of the compiled script.
    fn function(&mut self, script: &Script) -> Result<c_int, ScriptError> {
        if let Some(function) = self.functions.get_mut(&script.sha) {
            function.used_at = self.runs;
            return Ok(function.slot);
        }
        let slot = self.compile(script)?;
        if self.functions.len() >= FUNCTIONS_MAX {
            self.evict_function();
        }
        let function = Function {
            slot,
            used_at: self.runs,
        };
        self.functions.insert(script.sha, function);
        Ok(slot)
    }

    #[cold]
    fn compile(&mut self, script: &Script) -> Result<c_int, ScriptError> {
        let code = script.code();
        let limit = self.core().source_limit;
        if code.len() > limit {
            return Err(ScriptError::too_long(error::compiled(script), limit));
        }
        let name = if script.is_library() {
            c"@user_function"
        } else {
            c"@user_script"
        };
        // SAFETY: outside of a resume; the compiler runs protected, so memory may be limited for it.
        unsafe {
            self.memory.limit();
            let status = ffi::luaL_loadbufferx(
                self.lua,
                code.as_ptr().cast(),
                code.len(),
                name.as_ptr(),
                c"t".as_ptr(),
            );
            self.memory.unlimit();
            if status == ffi::LUA_OK {
                return Ok(ffi::luaL_ref(self.lua, ffi::LUA_REGISTRYINDEX));
            }
            let error = error::from_compiler(self.lua, script);
            ffi::lua_settop(self.lua, 0);
            Err(error)
        }
    }

    fn evict_function(&mut self) {
        let oldest = self
            .functions
            .iter()
            .min_by_key(|(_, function)| function.used_at);
        if let Some((&sha, _)) = oldest
            && let Some(function) = self.functions.remove(&sha)
        {
            // SAFETY: outside of a resume; the slot is in use by this function only.
            unsafe { ffi::luaL_unref(self.lua, ffi::LUA_REGISTRYINDEX, function.slot) };
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: nothing runs; after the state is closed nobody uses the core.
        unsafe {
            ffi::lua_close(self.lua);
            drop(Box::from_raw(self.core));
        }
    }
}

#[expect(
    clippy::transmute_ptr_to_ptr,
    reason = "a cast may not change the lifetime inside a trait object"
)]
unsafe fn erase_lifetime(host: *mut (dyn Host + '_)) -> *mut dyn Host {
    // SAFETY: the caller sees to it that the result is not used for longer than `host` could be.
    unsafe { std::mem::transmute::<*mut (dyn Host + '_), *mut (dyn Host + 'static)>(host) }
}

/// Pushes a table of strings.
unsafe fn push_list(lua: *mut ffi::lua_State, items: &[&[u8]]) {
    // SAFETY: the caller is outside of a resume and has a few free slots.
    unsafe {
        ffi::lua_createtable(lua, items.len() as c_int, 0);
        for (index, item) in (1..).zip(items) {
            push_bytes(lua, item);
            ffi::lua_rawseti(lua, -2, index);
        }
    }
}

/// A SHA1 is as good a hash as any: takes its first eight bytes.
#[derive(Default)]
struct ShaHasher(u64);

impl Hasher for ShaHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*head);
        }
    }

    /// The length prefix of the array says nothing.
    fn write_usize(&mut self, _len: usize) {}
}
