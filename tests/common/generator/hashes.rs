//! Hashes.

use super::Shape;

pub const SHAPES: &[Shape] = &[];
