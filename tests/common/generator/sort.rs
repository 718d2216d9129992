//! SORT.

use super::Shape;

pub const SHAPES: &[Shape] = &[];
