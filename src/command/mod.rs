//! The command layer.
