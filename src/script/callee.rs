//! What a run executes.

use super::cache::{Dialect, Script};
use super::header::{Limits, ScriptFlags};
use super::library::Function;
use super::stats::ScriptStats;
use std::borrow::Cow;
use std::sync::Arc;

/// A script, or a function of a library.
#[derive(Clone, Debug)]
pub struct Callee {
    pub(super) script: Arc<Script>,
    pub(super) entry: Entry,
}

/// What of a callee's code is run.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// All of it, as a script.
    Script,
    /// A library's code, for what it registers.
    Registrations,
    /// A library's code, and then this function.
    Function(Arc<Function>),
}

impl Callee {
    pub(super) fn function(library: Arc<Script>, function: Arc<Function>) -> Self {
        Self {
            script: library,
            entry: Entry::Function(function),
        }
    }

    pub(super) fn registrations(library: Arc<Script>) -> Self {
        Self {
            script: library,
            entry: Entry::Registrations,
        }
    }

    /// What it says about itself. `None`: a script without a first line that does.
    pub fn flags(&self) -> Option<ScriptFlags> {
        match &self.entry {
            Entry::Function(function) => Some(function.flags),
            _ => self.script.header.flags,
        }
    }

    pub fn has(&self, flag: ScriptFlags) -> bool {
        self.flags().is_some_and(|flags| flags.contains(flag))
    }

    /// `None`: what the server is configured for.
    pub fn dialect(&self) -> Option<Dialect> {
        self.script.header.dialect
    }

    pub fn limits(&self) -> Limits {
        self.script.header.limits
    }

    pub fn stats(&self) -> &ScriptStats {
        match &self.entry {
            Entry::Function(function) => &function.stats,
            Entry::Script | Entry::Registrations => &self.script.stats,
        }
    }

    pub fn is_function(&self) -> bool {
        matches!(self.entry, Entry::Function(_))
    }

    /// By which error lines name it: the SHA1 of a script, the name of a function.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.entry {
            Entry::Function(function) => Cow::Borrowed(&function.name),
            _ => Cow::Owned(String::from_utf8_lossy(&self.script.sha.to_hex()).into_owned()),
        }
    }
}

impl From<Arc<Script>> for Callee {
    fn from(script: Arc<Script>) -> Self {
        Self {
            script,
            entry: Entry::Script,
        }
    }
}
