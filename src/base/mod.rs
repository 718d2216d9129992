//! What every layer may use: numbers, patterns, wake-ups. No I/O policy, no state of the server.
//!
//! Invariants: nothing here knows a command, a key or a connection. The clock is read by the shard once a pass and handed
//! down as a value, so that every layer below it is a function of its arguments.

pub mod clock;
pub mod crc64;
pub mod eventfd;
pub mod float;
pub mod glob;
pub mod mailbox;
pub mod murmur;
mod natural;
pub mod number;
pub mod prefetch;
pub mod quote;
pub mod replace;
pub mod small_bytes;
