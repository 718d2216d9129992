//! Scripts: from a body and its arguments to a reply.
//!
//! A [`ScriptRun`] is one execution in a VM of the shard's [`VmPool`]; the engine resumes it until it ends, and
//! implements [`Host`], through which the script's commands reach the keyspace. The [`ScriptCache`] is shared by all
//! shards, the [`Watchdog`] ends time slices.
//!
//! Invariants:
//! - Nothing that one run does can be seen by another ([`sandbox`]).
//! - A run that is not resumed never runs again, not even a finalizer: this is how scripts are killed.
//! - No error of Lua passes over a Rust value with a destructor. Errors are possible only inside of a resume, and
//!   there only in functions that hold none ([`call`]); everywhere else memory is not limited, so nothing fails.
//! - Nothing that a script can call runs for longer than one pass over its arguments without a chance to suspend or to
//!   end the script ([`turn`]).
//! - No hook is set while a script is younger than a slice ([`watchdog`]).
//! - A command's reply reaches Lua without being encoded ([`ReplyTokens`]).
//!
//! Depends on `resp`, `observe` and `base`.

mod api;
mod budget;
mod cache;
mod call;
mod callee;
mod convert;
mod core;
mod coroutine;
mod debugger;
mod error;
mod extensions;
mod header;
mod host;
mod joiner;
mod legacy;
mod library;
mod load;
mod metamethods;
mod pattern;
mod pool;
mod run;
mod sandbox;
mod savepoint;
mod stats;
mod strings;
mod tables;
mod tokens;
mod turn;
mod vm;
mod watchdog;
mod whole;
mod xpcall;

#[cfg(test)]
mod tests;

pub use api::RedisVersion;
pub use cache::{Dialect, EVAL_SCRIPTS_MAX, Script, ScriptCache, Sha};
pub use callee::Callee;
pub use convert::{NESTING_MAX, REPLY_ELEMENTS_MAX};
pub use core::KillHandle;
pub use debugger::errand::Next as DebuggerNext;
pub use debugger::{Command as DebuggerCommand, Debugger};
pub use error::{NOT_APPLIED, ScriptError};
pub use header::{Header, Limits, ScriptFlags};
pub use host::{AbortReason, Called, Host, LogLevel};
pub use library::{Conflict, Function, Libraries, Library, LibraryHeader, LibrarySet};
pub use pool::{PoolOptions, PooledVm, VmPool};
pub use run::{ScriptRun, Step};
pub use stats::{LastError, RunStats, RunTotals, ScriptStats};
pub use tokens::ReplyTokens;
pub use vm::Vm;
pub use watchdog::{Registration, Watchdog};
