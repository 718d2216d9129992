//! What several test binaries and the unit tests share. Plain `std`: nothing here knows the server's own code, so that a
//! fault of it cannot hide in its tests.

#![allow(
    dead_code,
    reason = "each test binary uses the part of it that it needs"
)]

pub mod comparison;
pub mod conversations;
pub mod generator;
pub mod isolation;
pub mod lua;
pub mod redis;
pub mod resp;
pub mod rng;
