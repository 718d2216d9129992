//! The command table and the handlers of the commands that work on keys: one file a family.
//!
//! Invariants:
//! - A command is declared once, where its handler stands: name, arity, flags, keys, texts. COMMAND, the docs, admission
//!   and the lock footprint derive from that declaration.
//! - A handler never waits and never locks: whoever calls it has admitted its keys. It changes data through its `Txn` only,
//!   checks before it changes, and answers once, last.
//! - A handler does not know whether a client, `MULTI` or a script reads its answer.
//! - The text of an error stands in `error.rs`, once.
//!
//! Depends on `keyspace`, `value`, `resp`, `base`.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all handlers have one signature, also those that cannot fail"
)]

mod bitmap;
mod bitmap_field;
mod ctx;
pub mod docs;
pub mod error;
#[cfg(test)]
mod facts;
mod geo;
mod geo_query;
mod geo_search;
mod hash;
mod hash_expire;
#[cfg(test)]
mod hash_expire_tests;
mod hash_walk;
mod hll;
mod keys;
mod keys_dump;
mod keys_expire;
mod keys_scan;
mod list;
mod list_move;
mod list_range;
#[cfg(test)]
mod list_tests;
mod object;
#[cfg(test)]
mod oracle;
mod scan_options;
mod set;
mod set_algebra;
mod set_random;
mod sort;
mod sort_order;
mod sort_pattern;
mod spec;
mod stream;
mod string;
mod string_edit;
mod string_float;
mod string_lcs;
mod string_options;
mod syntax;
#[cfg(test)]
mod testing;
mod texts;
mod usage;
mod waiting;
mod zset;
mod zset_algebra;
mod zset_bounds;
mod zset_pop;
mod zset_range;

pub use ctx::{Ctx, Handler};
pub use error::Error;
pub use spec::{
    Access, Begin, Channels, Command, Find, Flags, Group, KeyFlags, KeySpec, OtherDb, Spec,
};
pub use syntax::{Argument, Kind, parse as parse_syntax};
pub use waiting::{Awaited, Waiting, Wish};

/// The commands that work on keys.
pub fn families() -> impl Iterator<Item = &'static Command<Handler>> {
    let families = [
        string::COMMANDS,
        string_edit::COMMANDS,
        string_float::COMMANDS,
        string_lcs::COMMANDS,
        bitmap::COMMANDS,
        bitmap_field::COMMANDS,
        keys::COMMANDS,
        keys_dump::COMMANDS,
        keys_expire::COMMANDS,
        keys_scan::COMMANDS,
        object::COMMANDS,
        list::COMMANDS,
        list_range::COMMANDS,
        list_move::COMMANDS,
        hash::COMMANDS,
        hash_walk::COMMANDS,
        hash_expire::COMMANDS,
        set::COMMANDS,
        set_algebra::COMMANDS,
        set_random::COMMANDS,
        zset::COMMANDS,
        zset_range::COMMANDS,
        zset_pop::COMMANDS,
        zset_algebra::COMMANDS,
        geo::COMMANDS,
        geo_search::COMMANDS,
        hll::COMMANDS,
        sort::COMMANDS,
    ];
    families.into_iter().chain(stream::commands()).flatten()
}
