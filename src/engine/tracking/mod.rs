//! Client-side caching: clients keep copies of what they read, and hear when a copy is void (CLIENT TRACKING).
//!
//! A key that a tracking client reads enters the [`Tracking`] table with the client. A commit that changes the key takes it
//! out and posts an [`Invalidation`] to the shards of its trackers. With BCAST a client names prefixes instead of reading,
//! and hears of every changed key that begins with one, once a pass.
//!
//! Invariants:
//! - No change is missed: a key enters the table before its value is read, under the same lock or stripe as the read, and
//!   a commit looks into the table before it lets go of the key. A client may hear of a change that it has seen already.
//! - An invalidation that reaches a client follows the reply whose value it voids.
//! - The table holds at most `tracking-table-max-keys` keys; one that has to go is void for its trackers.
//! - Where nobody tracks, a commit pays one load, and a command one look at its own client.
//!
//! Depends on `keyspace` for effects, and on the rest of `engine`.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all handlers have one signature, also those that cannot fail"
)]

mod commands;
mod invalidation;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use commands::{
    NO_REDIRECT, caching, forget_caching, getredir, note_reads, reader, remember, remember_keys,
    stop, tracking, trackinginfo,
};
pub use invalidation::{Broadcast, Invalidation, tell, tell_redirected};
pub use state::TrackingState;
pub use table::{Tracker, Tracking};
