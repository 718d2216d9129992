//! Libraries of functions, which FCALL calls by name.
//!
//! A library is Lua code whose first line names it (`#!lua name=mylib`). When the code is run, it registers functions.
//!
//! Invariants:
//! - A call begins as if the library's code had just been run: it runs the code, and then the function that this registered
//!   ([`call`]), or puts back what that function can reach ([`instance`]). What the code keeps in local variables is
//!   therefore the run's own: no run sees what another did, on whatever thread it was.
//! - While the code runs there is nothing but `redis.register_function`, `redis.log` and constants ([`register`]), so that
//!   it can neither reach a key nor depend on anything but itself.
//! - What a library registers is known and kept from when it is loaded; a restart runs no code.
//! - A [`LibrarySet`] is replaced as a whole: whoever looks sees all of a change or nothing.

mod call;
mod header;
mod instance;
mod register;
mod set;

pub(super) use call::{enter, forget_callback, push_load_environment};
pub use header::LibraryHeader;
pub(super) use instance::{Instances, State, ready};
pub(super) use register::Registrations;
pub use set::{Conflict, Libraries, LibrarySet};

use super::cache::Script;
use super::callee::Callee;
use super::error::ScriptError;
use super::header::{Limits, ScriptFlags};
use super::pool::PooledVm;
use super::run::ScriptRun;
use super::stats::ScriptStats;
use std::sync::Arc;

/// A library that has been loaded.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    pub functions: Vec<Arc<Function>>,
    pub(super) script: Arc<Script>,
}

/// What a library says of one of its functions.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub description: Option<Box<[u8]>>,
    pub flags: ScriptFlags,
    pub stats: ScriptStats,
}

impl Function {
    pub fn new(name: String, description: Option<Box<[u8]>>, flags: ScriptFlags) -> Self {
        Self {
            name,
            description,
            flags,
            stats: ScriptStats::default(),
        }
    }
}

impl Library {
    /// A library whose code registers these functions.
    pub fn new(header: LibraryHeader, code: &[u8], functions: Vec<Function>) -> Self {
        let LibraryHeader { name, header } = header;
        let mut library = Self {
            name,
            functions: Vec::new(),
            script: Arc::new(Script::library(code, header)),
        };
        library.set_functions(functions);
        library
    }

    /// Readies the library's code to run, for what it registers.
    pub fn start(&self, vm: PooledVm) -> Result<ScriptRun, ScriptError> {
        let code = Callee::registrations(Arc::clone(&self.script));
        ScriptRun::start(vm, code, &[], &[], 0)
    }

    pub fn set_functions(&mut self, functions: Vec<Function>) {
        self.functions = functions.into_iter().map(Arc::new).collect();
    }

    /// Whether its first line says nothing that Redis does not know.
    pub fn is_portable(&self) -> bool {
        let header = &self.script.header;
        header.dialect.is_none() && header.limits == Limits::default()
    }

    pub fn code(&self) -> &[u8] {
        self.script.body()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let functions = self.functions.iter().map(|function| {
            let description = function.description.as_ref().map_or(0, |text| text.len());
            size_of::<Function>() + function.name.len() + description
        });
        size_of::<Self>() + self.name.len() + self.code().len() + functions.sum::<usize>()
    }
}
