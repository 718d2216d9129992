//! The shard layer.

pub mod net;
