//! [`Chunks`]: a vector in pieces, which grows without copying what it holds.

/// The room that the first chunk starts with.
const ROOM_MIN: usize = 8;
/// The list of chunks gives memory back when it could hold so many times what it holds.
const SPARE_MAX: usize = 8;

/// A vector whose elements stand in chunks of `LEN`, a power of two.
#[derive(Clone, Debug)]
pub struct Chunks<T, const LEN: usize> {
    /// All but the last are full; one more may be empty, so that a vector which goes up and down allocates seldom.
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T, const LEN: usize> Chunks<T, LEN> {
    const BITS: u32 = {
        assert!(LEN.is_power_of_two() && LEN >= ROOM_MIN);
        LEN.trailing_zeros()
    };

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The element at an index below `len`.
    #[inline]
    pub fn at(&self, index: usize) -> &T {
        &self.chunks[index >> Self::BITS][index % LEN]
    }

    /// The element at an index below `len`.
    #[inline]
    pub fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index >> Self::BITS][index % LEN]
    }

    pub fn push(&mut self, element: T) {
        let at = self.len >> Self::BITS;
        if at == self.chunks.len() {
            // Only the first chunk starts small.
            let room = if at == 0 { ROOM_MIN } else { LEN };
            self.chunks.push(Vec::with_capacity(room));
        }
        let chunk = &mut self.chunks[at];
        if chunk.len() == chunk.capacity() {
            let room = LEN - chunk.len();
            chunk.reserve_exact(chunk.len().max(ROOM_MIN).min(room));
        }
        chunk.push(element);
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let at = last >> Self::BITS;
        self.chunks.truncate(at + 2);
        if self.chunks.capacity() > ROOM_MIN.max(self.chunks.len() * SPARE_MAX) {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
        self.len = last;
        self.chunks[at].pop()
    }

    #[inline]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            rest: self.len,
            chunk: [].iter(),
            chunks: self.chunks.iter(),
        }
    }

    /// Bytes on the heap, without those of the elements.
    pub fn heap_bytes(&self) -> usize {
        let room: usize = self.chunks.iter().map(Vec::capacity).sum();
        room * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

impl<T, const LEN: usize> Default for Chunks<T, LEN> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

/// The elements by index.
#[derive(Debug)]
pub struct Iter<'a, T> {
    rest: usize,
    chunk: std::slice::Iter<'a, T>,
    chunks: std::slice::Iter<'a, Vec<T>>,
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            rest: self.rest,
            chunk: self.chunk.clone(),
            chunks: self.chunks.clone(),
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(element) = self.chunk.next() {
                self.rest -= 1;
                return Some(element);
            }
            self.chunk = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest, Some(self.rest))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_vector(steps in prop::collection::vec(prop::option::weighted(0.6, any::<u8>()), 0..200)) {
            let (mut chunks, mut model) = (Chunks::<u8, 16>::default(), Vec::new());
            for step in steps {
                if let Some(element) = step {
                    chunks.push(element);
                    model.push(element);
                } else {
                    prop_assert_eq!(chunks.pop(), model.pop());
                }
                prop_assert_eq!(chunks.len(), model.len());
                prop_assert_eq!(chunks.iter().len(), model.len());
                prop_assert!(chunks.iter().eq(&model));
                let (chunks, at) = (&mut chunks.clone(), model.len() / 2);
                if at < model.len() {
                    *chunks.at_mut(at) ^= 1;
                    prop_assert_eq!(*chunks.at(at), model[at] ^ 1);
                    chunks.push(0);
                }
                prop_assert!(chunks.heap_bytes() <= (model.len() + 33) * 2 + 24 * 16);
            }
        }
    }
}
