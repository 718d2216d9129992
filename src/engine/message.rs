//! What other threads tell a shard.

use super::blocked::Served;
use super::outbox::Delivery;
use std::sync::Arc;

/// A message in a shard's mailbox.
#[derive(Debug)]
pub enum Message {
    /// What the parked work with this token waited for is granted.
    Wake(u64),
    /// A blocked command has its answer.
    Served(Box<Served>),
    /// The journal has made more commits durable.
    Durable,
    /// Close this client.
    Kill { client: u64 },
    /// End the wait of this client (CLIENT UNBLOCK), with an error if so asked.
    Unblock { client: u64, with_error: bool },
    /// A line for the monitors of this shard.
    Monitor(Arc<[u8]>),
    /// A script has become slow: who waits for what it holds is to be told.
    Busy,
    /// Something for clients of this shard.
    Deliver(Delivery),
    /// An option was changed.
    Configured,
    /// The rules of users were changed.
    AclChanged,
    /// Clients may go on after CLIENT PAUSE.
    Unpause,
    /// Stop accepting, finish what runs, end.
    Shutdown,
}
