//! Bytes that seldom change, without an allocation while they are short: names of keys, members of sorted sets.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The most bytes that need no allocation: what makes it as large as three words.
const INLINE_MAX: usize = 22;

/// A string of bytes.
#[derive(Clone)]
pub struct SmallBytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

const _: () = assert!(size_of::<SmallBytes>() == 24, "it takes three words");

impl SmallBytes {
    #[inline]
    pub fn from_slice(slice: &[u8]) -> Self {
        if slice.len() > INLINE_MAX {
            return Self(Repr::Heap(slice.into()));
        }
        let mut bytes = [0; INLINE_MAX];
        bytes[..slice.len()].copy_from_slice(slice);
        let len = slice.len() as u8;
        Self(Repr::Inline { len, bytes })
    }

    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Bytes on the heap.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(bytes) => bytes.len(),
        }
    }
}

impl Default for SmallBytes {
    fn default() -> Self {
        Self::from_slice(b"")
    }
}

impl Deref for SmallBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Borrow<[u8]> for SmallBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for SmallBytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SmallBytes {}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Hash for SmallBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_slice().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_it_was_made_of() {
        assert_eq!(SmallBytes::default().as_slice(), b"");
        for len in 0..100 {
            let bytes: Vec<u8> = (0..len).collect();
            let small = SmallBytes::from_slice(&bytes);
            assert_eq!(small.as_slice(), bytes);
            assert_eq!(small.clone(), small);
            let heap_bytes = if len <= 22 { 0 } else { usize::from(len) };
            assert_eq!(small.heap_bytes(), heap_bytes);
            let longer = SmallBytes::from_slice(&[&bytes[..], b"\0"].concat());
            assert!(small < longer && small != longer);
        }
    }
}
