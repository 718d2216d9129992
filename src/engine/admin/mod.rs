//! Connection and server commands: one file a family.

mod connection;

use super::client::Client;
use super::registry::EngineHandler;
use super::shared::Shared;
use crate::command::Command;
use crate::resp::Args;
use std::time::Duration;

/// The families of commands of this layer.
pub fn families() -> impl Iterator<Item = &'static Command<EngineHandler>> {
    [connection::COMMANDS].into_iter().flatten()
}

/// What MONITOR shows of a request.
pub fn monitor_line(client: &Client, args: &Args<'_>) -> Vec<u8> {
    let _ = (client, args);
    Vec::new()
}

/// Keeps a slow command in the slow log.
pub fn note_slow(shared: &Shared, client: &Client, args: &Args<'_>, took: Duration) {
    let _ = (shared, client, args, took);
}
