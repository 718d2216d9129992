//! Lua's patterns, as a machine that can stop in the middle of a match and go on later.
//!
//! `string.find` and its relatives of the Lua library run to their end inside of one C call, and a pattern that
//! backtracks may need longer than anybody lives. This matcher counts its steps, and gives back control when it was
//! given no more of them.
//!
//! Invariants:
//! - A result, an error and its text are those of Lua 5.4, also where a pattern is malformed behind the point at which
//!   the match fails (which is no error), and where it is nested too deeply.
//! - The machine's memory is bounded: as deep as Lua's matcher recurses, and no deeper.
//! - Between two looks at the budget, no more is done than one pass over the text.
//! - A machine keeps no reference to text or pattern; whoever goes on with it hands in the same ones.
//!
//! Depends on nothing of ours.

mod class;
mod machine;

#[cfg(test)]
mod tests;

pub use machine::{Captured, Fault, Machine, Progress, Search, has_specials};
