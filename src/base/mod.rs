//! The base layer.

pub mod float;
pub mod glob;
mod natural;
pub mod number;
