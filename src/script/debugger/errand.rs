//! What the user of the debugger has run or shown while the script stands still.
//!
//! Code runs on a coroutine of its own, in the place of the script's, when the run is resumed: so it gives way, waits for
//! keys and ends the run like the script's own.
//!
//! Unsafe code: it works on Lua's stacks, outside of a resume, while memory is not limited.

use std::ffi::c_int;

use mlua::ffi;

use super::watch::{attach, attach_coroutine, forget_variables, visit_variables};
use super::{Command, Debugger, show};
use crate::script::call::redis_call;
use crate::script::convert::{push_bytes, string_at};
use crate::script::core::core_of;
use crate::script::legacy::wording;
use crate::script::vm::Vm;

/// What follows from a line of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has been answered: the script goes on standing still.
    Stays,
    /// Resume the run.
    Runs,
    /// End the run.
    Ends,
}

/// Code of the user that runs in the place of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) enum Errand {
    /// Its value is shown.
    Eval,
    /// One command.
    Command,
}

impl Vm {
    /// Debugs the run that is about to start.
    pub(in crate::script) fn attach_debugger(&mut self, debugger: Box<Debugger>) {
        // SAFETY: outside of a resume; the coroutine has been readied.
        unsafe { attach(self.outermost(), debugger) };
    }

    pub(in crate::script) fn detach_debugger(&mut self) -> Option<Box<Debugger>> {
        let debugger = self.core().debugger.take()?;
        self.end_errand_coroutine();
        // SAFETY: outside of a resume.
        unsafe { forget_variables(self.state()) };
        Some(debugger)
    }

    /// Does what the user asks for. Only while a debugged script stands still.
    pub(in crate::script) fn debug(&mut self, command: Command<'_>) -> Next {
        let Some(debugger) = &mut self.core().debugger else {
            return Next::Ends;
        };
        match command {
            Command::Step => debugger.go_on(true),
            Command::Continue => debugger.go_on(false),
            Command::Abort => return Next::Ends,
            Command::Print(name) => {
                match name {
                    Some(name) => self.print(name),
                    None => self.print_all(),
                }
                return Next::Stays;
            }
            Command::Eval(words) => return self.begin_eval(&words.join(&b' ')),
            Command::Redis(args) => self.begin_command(args),
            other => {
                debugger.answer(other);
                return Next::Stays;
            }
        }
        Next::Runs
    }

    /// The innermost variable of this name, or KEYS or ARGV.
    fn print(&mut self, name: &[u8]) {
        let lua = self.state();
        let entries = self.core().debugger.as_ref().map_or(0, |d| d.variables);
        let mut line = None;
        let mut show_value = |index: c_int| {
            let mut text = b"<value> ".to_vec();
            // SAFETY: outside of a resume.
            unsafe { show::value(lua, index, &mut text) };
            line = Some(text);
        };
        // SAFETY: outside of a resume; the globals are a table without an `__index` that calls code for these names.
        unsafe {
            let mut is_found = false;
            visit_variables(lua, entries, |known, index, _| {
                is_found = known == name;
                if is_found {
                    show_value(index);
                }
                is_found
            });
            if !is_found && matches!(name, b"KEYS" | b"ARGV") {
                self.push_global(name);
                show_value(-1);
                ffi::lua_settop(lua, -2);
            }
        }
        if let Some(debugger) = &mut self.core().debugger {
            match line {
                Some(line) => debugger.tell_cut(line),
                None => debugger.tell_text("No such variable."),
            }
        }
    }

    /// All variables of the innermost call.
    fn print_all(&mut self) {
        let lua = self.state();
        let entries = self.core().debugger.as_ref().map_or(0, |d| d.variables);
        let mut lines = Vec::new();
        // SAFETY: outside of a resume.
        unsafe {
            visit_variables(lua, entries, |name, index, is_innermost| {
                if is_innermost {
                    let mut line = [b"<value> ", name, b" = "].concat();
                    show::value(lua, index, &mut line);
                    lines.push(line);
                }
                !is_innermost
            });
        }
        if let Some(debugger) = &mut self.core().debugger {
            if lines.is_empty() {
                debugger.tell_text("No local variables in the current context.");
            }
            for line in lines {
                debugger.tell_cut(line);
            }
        }
    }

    /// Readies code to run: as an expression, or else as statements.
    fn begin_eval(&mut self, code: &[u8]) -> Next {
        let thread = self.begin_errand(Errand::Eval);
        // SAFETY: outside of a resume; the compiler runs protected, so memory may be limited for it.
        unsafe {
            let memory = std::rc::Rc::clone(&self.core().memory);
            for code in [&[b"return ", code].concat(), code] {
                ffi::lua_settop(thread, 0);
                memory.limit();
                let status = ffi::luaL_loadbufferx(
                    thread,
                    code.as_ptr().cast(),
                    code.len(),
                    c"@ldb_eval".as_ptr(),
                    c"t".as_ptr(),
                );
                memory.unlimit();
                if status == ffi::LUA_OK {
                    return Next::Runs;
                }
            }
        }
        self.end_errand(ffi::LUA_ERRSYNTAX);
        Next::Stays
    }

    fn begin_command(&mut self, args: &[&[u8]]) {
        let thread = self.begin_errand(Errand::Command);
        // SAFETY: outside of a resume.
        unsafe {
            ffi::lua_pushcclosure(thread, redis_call, 0);
            let count = c_int::try_from(args.len()).unwrap_or(c_int::MAX);
            if ffi::lua_checkstack(thread, count) != 0 {
                for arg in args {
                    push_bytes(thread, arg);
                }
                self.core().errand_arguments = count;
            }
        }
        if let Some(debugger) = &mut self.core().debugger {
            // So that the command and its reply are told.
            debugger.go_on(true);
        }
    }

    /// A coroutine for an errand, which is resumed in the place of the script's.
    fn begin_errand(&mut self, errand: Errand) -> *mut ffi::lua_State {
        self.end_errand_coroutine();
        let lua = self.state();
        // SAFETY: outside of a resume; the registry keeps the coroutine alive.
        unsafe {
            let thread = ffi::lua_newthread(lua);
            let slot = ffi::luaL_ref(lua, ffi::LUA_REGISTRYINDEX);
            let core = self.core();
            core.errand = Some((errand, thread, slot));
            core.errand_arguments = 0;
            core.outermost = thread;
            attach_coroutine(thread);
            thread
        }
    }

    /// The user's code has ended, with this status of Lua.
    pub(in crate::script) fn end_errand(&mut self, status: c_int) {
        let Some((errand, thread, _)) = self.core().errand else {
            return;
        };
        let mut line = Vec::new();
        // SAFETY: outside of a resume; results, or the error, are on the coroutine's stack.
        unsafe {
            if status == ffi::LUA_OK {
                line.extend_from_slice(b"<retval> ");
                if ffi::lua_gettop(thread) == 0 {
                    line.extend_from_slice(b"nil");
                } else {
                    show::value(thread, 1, &mut line);
                }
            } else {
                line.extend_from_slice(b"<error> ");
                error_text(thread, &mut line);
            }
        }
        if let Some(debugger) = &mut self.core().debugger {
            match errand {
                Errand::Eval => debugger.tell_cut(line),
                // It has told of its call itself.
                Errand::Command => debugger.go_on(false),
            }
        }
        self.end_errand_coroutine();
    }

    fn end_errand_coroutine(&mut self) {
        if let Some((_, _, slot)) = self.core().errand.take() {
            let lua = self.state();
            // SAFETY: outside of a resume; the slot is in use by this coroutine only.
            unsafe { ffi::luaL_unref(lua, ffi::LUA_REGISTRYINDEX, slot) };
            self.core().outermost = self.outermost();
        }
    }
}

/// The text of the error on top of the stack.
unsafe fn error_text(lua: *mut ffi::lua_State, out: &mut Vec<u8>) {
    // SAFETY: as in `end_errand`; the table is read without metamethods.
    unsafe {
        ffi::lua_checkstack(lua, 3);
        if ffi::lua_type(lua, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushstring(lua, c"err".as_ptr());
            ffi::lua_rawget(lua, -2);
        }
        if ffi::lua_type(lua, -1) == ffi::LUA_TSTRING {
            wording::translate_top(lua);
            out.extend_from_slice(string_at(lua, -1));
        } else {
            show::value(lua, -1, out);
        }
    }
}

/// What `redis.debug` was given, as it is shown.
///
/// # Safety
/// `lua` must be the state of a running script whose memory is not limited.
pub(in crate::script) unsafe fn show_arguments(lua: *mut ffi::lua_State) -> Vec<u8> {
    let mut text = Vec::new();
    // SAFETY: as the caller promised.
    unsafe {
        for index in 1..=ffi::lua_gettop(lua) {
            if index > 1 {
                text.extend_from_slice(b", ");
            }
            show::value(lua, index, &mut text);
        }
        debug_assert!(core_of(lua).debugger.is_some());
    }
    text
}
