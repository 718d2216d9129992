//! The base layer.

pub mod eventfd;
pub mod mailbox;
