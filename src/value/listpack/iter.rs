//! Walking over a listpack's entries, from both ends.

use super::item::{Item, int_of};
use super::{Pos, entry};

/// The items between two places of a listpack.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    #[inline]
    pub(in crate::value) fn new(bytes: &'a [u8], front: usize, back: usize) -> Self {
        Self { bytes, front, back }
    }

    /// Where the next item is.
    #[inline]
    pub fn pos(&self) -> Pos {
        Pos(self.front)
    }

    /// Where the first entry begins that holds these bytes, among every `step`-th one.
    #[inline]
    pub(super) fn find(&self, wanted: &[u8], step: usize) -> Option<usize> {
        debug_assert!(step > 0, "a walk goes on");
        // Only an entry that is an integer asks whether these bytes read as one, and only the first of them.
        let mut number = None;
        let mut at = self.front;
        while at < self.back {
            let (item, mut next) = entry::read(self.bytes, at);
            let found = match item {
                Item::Bytes(bytes) => bytes == wanted,
                Item::Int(int) => *number.get_or_insert_with(|| int_of(wanted)) == Some(int),
            };
            if found {
                return Some(at);
            }
            for _ in 1..step {
                if next < self.back {
                    next = entry::next(self.bytes, next);
                }
            }
            at = next;
        }
        None
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (item, next) = entry::read(self.bytes, self.front);
        self.front = next;
        Some(item)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = entry::previous(self.bytes, self.back);
        Some(entry::read(self.bytes, self.back).0)
    }
}

impl std::iter::FusedIterator for Iter<'_> {}
