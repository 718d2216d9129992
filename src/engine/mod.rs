//! From a decoded request to its reply: who may run, in what order, and what becomes of the result.
//!
//! One [`Worker`] a shard takes requests from connections, admits them (gate, key locks), runs their handlers and commits.
//! A request that cannot go on is *parked*: the worker keeps it as a piece of [work](work) under a token, the connection
//! reads no further, and a message with the token takes it up again.
//!
//! Invariants:
//! - Plain commands, MULTI/EXEC and scripts are admitted by the same code and run the same handlers on the same `Txn`.
//! - Whoever runs a handler holds what [`admission`] granted for all keys that the handler touches, and commits or rolls
//!   back before it gives that up.
//! - Nothing here blocks the thread but `write(2)` at the end of a pass.
//! - A panic in a handler is caught, rolled back and answered; the shard goes on.
//!
//! Depends on everything but `shard`.

mod acl;
mod admin;
pub mod admission;
mod ahead;
mod backups;
mod blocked;
mod check;
mod client;
mod commit;
#[cfg(test)]
mod conversations;
#[cfg(test)]
mod count_tests;
mod debugging;
#[cfg(test)]
mod debugging_tests;
mod dispatch;
mod each_key;
mod evict;
#[cfg(test)]
mod evict_tests;
mod exec;
#[cfg(test)]
mod exec_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod function_tests;
mod functions;
mod memory;
mod message;
mod multi;
mod open;
mod outbox;
mod plain;
mod profile;
mod pubsub;
pub mod registry;
mod running;
#[cfg(test)]
mod savepoint_tests;
mod savepoints;
mod script_end;
mod script_flags;
mod script_host;
mod script_in_exec;
mod script_run;
#[cfg(test)]
mod script_stats_tests;
mod script_wait;
mod shared;
mod stored_functions;
mod stored_scripts;
#[cfg(test)]
mod testing;
mod tracking;
mod transfer;
mod unfinished;
mod waiting;
mod work;
mod worker;

pub use admin::REDIS_VERSION;
pub use aidb::Sequence;
pub use backups::{backup, restore};
pub use check::check;
pub use client::{Client, ClientFlags, ClientInfo, Clients, Peer};
pub use message::Message;
pub use open::{listen_to_changes, open};
pub use outbox::{Delivery, Outputs};
pub use running::Running;
pub use shared::{Host, Pause, PauseMode, Shared};
pub use transfer::{Conflict, export, import};
pub use worker::{Flow, Worker};
