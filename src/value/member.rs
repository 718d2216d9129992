//! [`Member`]: the bytes of one element of a large collection.

use super::dense::Keyed;
use crate::base::small_bytes::SmallBytes;

/// Short ones stand in place: looking for one touches nothing but the table.
pub type Member = SmallBytes;

impl Keyed for Member {
    #[inline]
    fn key(&self) -> &[u8] {
        self.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        SmallBytes::heap_bytes(self)
    }
}
