//! Messages from clients to clients: SUBSCRIBE, PUBLISH and their relatives, and keyspace events.
//!
//! A subscription stands in three places: in the client's session, in its shard's [`Subscribers`], and as a number in the
//! table of all shards ([`Channels`]). Whoever publishes looks into that table alone: it tells how many clients get the
//! message, and on which shards they are. Each of those shards gets it once, through its mailbox, encoded already.
//!
//! Invariants:
//! - The three places change together, on the client's own shard.
//! - A message waits for the commit of the transaction that it is part of, and is posted before the keys are let go. So
//!   messages of one publisher arrive in their order, and events of one key in the order of its changes.
//! - A client that publishes to itself reads the message before the reply to the request that it came from.
//!
//! Depends on `keyspace` for effects, and on the rest of `engine`.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all handlers have one signature, also those that cannot fail"
)]

mod channels;
mod commands;
mod message;
mod subscribers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use channels::Channels;
pub use commands::{COMMANDS, is_subscription, leave_all, may_run_subscribed};
pub use message::Published;
pub use subscribers::{Subscribers, Subscriptions};

/// The name of a channel, or a pattern of names.
pub type Name = Arc<[u8]>;

/// The three kinds of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    /// A channel of SSUBSCRIBE. In a cluster it would live where a key of its name lives.
    Shard,
}
