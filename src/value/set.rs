//! The set.

/// A set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {}

impl Set {
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn encoding(&self) -> &'static str {
        "hashtable"
    }

    pub fn heap_bytes(&self) -> usize {
        0
    }
}
