//! A durable, atomic key-value journal.
//!
//! A [`WriteBatch`] reaches the disk all or none, and in the order in which the batches were appended. The journal is a
//! row of segments; a rewrite in the background replaces them by a base with each live key once. [`DB::open`] hands
//! what was kept to its caller, who holds the data: this release has no index of its own.
//!
//! - `batch`: records and their encoding; `frame`: a batch on disk; `segment`: the files they are in
//! - `journal`: appending, writing, syncing, and the threads that do it
//! - `recovery`: reading it all again, and what a bad frame means; `check`: the same by hand
//! - `rewrite`: making the journal small again, with `latest`, an index of what it says last of each key
//! - `backup`: a second database from the same files
//! - `fs`: every access to a file, real or faulty
//!
//! `docs/aidb-format.md` draws every byte. The crate depends on no other part of the project.

mod backup;
mod batch;
mod check;
mod db;
mod error;
mod frame;
pub mod fs;
mod journal;
mod latest;
mod options;
mod recovery;
mod rewrite;
mod segment;

pub use backup::{Backup, backup, restore};
pub use batch::{Op, SavePoint, WriteBatch};
pub use check::{CheckReport, check, require_database};
pub use db::{DB, Stats};
pub use error::{Error, Result};
pub use frame::PAYLOAD_BYTES_MAX;
pub use options::{Durability, Options};
pub use recovery::{Cut, Recovery};

/// The place of a batch in the order of all batches; the first is 1.
pub type Sequence = u64;
