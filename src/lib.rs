//! `AiKv`: a Redis-protocol server whose Lua scripts are parallel, durable transactions.
//!
//! The way of one request:
//!
//! ```text
//! socket -> shard/net -> resp/decode -> engine/dispatch -> command/admit -> locks -> command/execute(Txn)
//!        -> engine/commit (one WriteBatch -> aidb journal) -> resp/encode -> shard/net -> socket
//! ```
//!
//! Each folder may import only the folders above it in this list; `tests/tidy.rs` checks it.

pub mod base;
pub mod command;
pub mod config;
pub mod engine;
pub mod keyspace;
pub mod locks;
pub mod observe;
pub mod resp;
pub mod script;
pub mod shard;
pub mod value;

/// The tests have the allocator of the binary, and with it its figures.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
