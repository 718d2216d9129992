//! Connection and server commands: one file a family.
//!
//! Invariants:
//! - A handler here may change its own client and shard; what belongs to another shard it asks for by [`Message`].
//! - It reads keys of nobody: a command that does (MEMORY USAGE, DEBUG OBJECT) is a data command and is admitted as one.
//! - What INFO and CLIENT LIST show was counted or measured; a field of Redis that has no meaning here is left out.
//!
//! Depends on all of `engine`.
//!
//! [`Message`]: super::Message

#![allow(
    clippy::unnecessary_wraps,
    reason = "all handlers have one signature, also those that cannot fail"
)]

mod client;
mod client_filter;
mod command;
mod command_docs;
mod command_keys;
mod config;
mod connection;
mod debug;
mod function;
mod info;
mod latency;
mod latency_graph;
mod memory;
mod monitor;
mod script;
mod script_stats;
mod server;
mod slowlog;
mod wait;

use super::acl;
use super::registry::{EngineCtx, EngineHandler, Run};
use super::worker::Flow;
use crate::command::{Command, Error, Flags, Group, Spec};

pub use client::client_line;
pub use command::CATEGORIES as ACL_CATEGORIES;
pub use latency::{note_event, note_latency};
pub use monitor::{monitor_line, note_slow, stop_monitoring};

/// The version of Redis whose protocol and commands this server follows; clients choose their features by it.
pub const REDIS_VERSION: &str = "7.2.4";

/// The families of commands of this layer.
pub fn families() -> impl Iterator<Item = &'static Command<EngineHandler>> {
    [
        acl::COMMANDS,
        connection::COMMANDS,
        client::COMMANDS,
        command::COMMANDS,
        config::COMMANDS,
        function::COMMANDS,
        info::COMMANDS,
        latency::COMMANDS,
        monitor::COMMANDS,
        script::COMMANDS,
        server::COMMANDS,
        slowlog::COMMANDS,
        wait::COMMANDS,
    ]
    .into_iter()
    .flatten()
}

/// The families that also hold data commands.
pub fn mixed_families() -> impl Iterator<Item = &'static Command<Run>> {
    [debug::COMMANDS, memory::COMMANDS].into_iter().flatten()
}

/// The answer of SCRIPT KILL and FUNCTION KILL where nothing runs.
const NOT_BUSY: Error = Error::text("NOTBUSY No scripts in execution right now.");

/// The flags that the families share.
pub const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
const ANYTIME_FAST: Flags = ANYTIME.union(Flags::FAST);
pub const SESSION: Flags = ANYTIME.union(Flags::NOSCRIPT);
pub const ADMIN: Flags = SESSION.union(Flags::ADMIN);

/// A container's HELP.
const fn help_spec(name: &'static str, group: Group, since: &'static str) -> Spec {
    Spec::new(name, 2, group, ANYTIME).docs(
        since,
        "O(1)",
        "Show helpful text about the different subcommands",
    )
}

/// Answers HELP as Redis lays it out.
pub fn help(ctx: &mut EngineCtx<'_>, command: &str, lines: &[&str]) -> Result<Flow, Error> {
    let first = format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let last = ["HELP", "    Prints this help."];
    ctx.reply.array(1 + lines.len() + last.len());
    ctx.reply.simple(&first);
    for line in lines.iter().chain(&last) {
        ctx.reply.simple(line);
    }
    Ok(Flow::Done)
}

pub fn ok(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// An error line that is made up at run time.
pub fn error(line: String) -> Error {
    Error::Other(line.into())
}

/// Bytes of a request as part of a line of text.
pub fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests;
