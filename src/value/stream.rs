//! The stream.

/// A stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {}

impl Stream {
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    pub fn heap_bytes(&self) -> usize {
        0
    }
}
