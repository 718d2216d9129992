//! Data from Redis, and back to it: `aikv import` and `aikv export`, on a data directory that no server uses.
//!
//! Invariants:
//! - A file is read to its end and checked whole before anything of it is kept: a damaged one changes nothing.
//! - What a file holds is never in memory twice, but for the one value that is being read.
//! - A file that is exported gets its name when all of it is on disk.
//!
//! Depends on `value::rdb` for the format, and on `engine::open` for the directory.

mod export;
mod import;
mod progress;
mod source;

pub use export::export;
pub use import::{Conflict, import};
