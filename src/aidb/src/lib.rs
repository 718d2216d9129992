//! A durable, atomic key-value store.
//!
//! A [`WriteBatch`] reaches the disk all or none, and in the order in which the batches were appended. The journal is a
//! row of segments, which are absorbed in the background into tables: sorted, each key once; tables are merged so that
//! there are few. [`DB::open`] hands what was kept to its caller, who holds the data: this release has no index of its own.
//!
//! - `batch`: records and their encoding; `frame`: a batch on disk; `segment`: the files they are in
//! - `journal`: appending, writing, syncing, and the threads that do it
//! - `recovery`: reading it all again, and what a bad frame means; `check`: the same by hand
//! - `tables`: making tables of segments and of tables, and when; `background`: the threads that do it
//! - `order`: the order of records in a table, and what a deleted prefix takes away; `chunk`: sorting by it
//! - `table`: one table on disk; `merge`: several read as one
//! - `backup`: a second database from the same files
//! - `fs`: every access to a file, real or faulty
//!
//! `docs/aidb-format.md` draws every byte. The crate depends on no other part of the project.

mod background;
mod backup;
mod batch;
mod check;
mod chunk;
mod db;
mod error;
mod frame;
pub mod fs;
mod journal;
mod merge;
mod options;
mod order;
mod recovery;
mod segment;
mod table;
mod tables;

pub use background::UpkeepStats;
pub use backup::{Backup, backup, restore};
pub use batch::{Op, SavePoint, WriteBatch};
pub use check::{CheckReport, check, require_database};
pub use db::{DB, Stats};
pub use error::{Error, Result};
pub use frame::PAYLOAD_BYTES_MAX;
pub use options::{Durability, Options};
pub use order::Group;
pub use recovery::{Cut, Load, Part, Recovery};

/// The place of a batch in the order of all batches; the first is 1.
pub type Sequence = u64;
