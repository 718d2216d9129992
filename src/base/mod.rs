//! The base layer.

pub mod number;
