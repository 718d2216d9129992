//! Estimates of how many there are.

use super::Shape;

pub const SHAPES: &[Shape] = &[];
