//! Sorted sets.

use super::Shape;

pub const SHAPES: &[Shape] = &[];
