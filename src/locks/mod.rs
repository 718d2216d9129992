//! The locks layer.
