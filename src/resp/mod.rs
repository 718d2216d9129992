//! The resp layer.
