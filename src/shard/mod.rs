//! Threads and sockets: one shard a core, each with its clients, its ring, its mailbox and its share of the background
//! work.
//!
//! Invariants:
//! - A connection belongs to one shard from accept to close. No waker of an async task leaves its thread; shards talk by
//!   mailbox only.
//! - A pass is: what the ring and the mailbox have brought, one slice of each script that is not done, one write of the
//!   journal, then all replies. No reply leaves before what it tells of is as durable as `durability` says.
//! - Nothing a client sends can stop the pass: input, output, work per turn and waiting are bounded.
//!
//! Depends on `engine`, `resp`, `config`, `observe`, `base`.

mod connection;
mod door;
pub mod net;
mod serve;
mod start;

pub use start::run;
