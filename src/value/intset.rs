//! [`IntSet`]: a small set of integers, sorted, in Redis's bytes, which DUMP copies.
//!
//! ```text
//! intset = width:u32le count:u32le integers      (each `width` bytes, 2, 4 or 8, little-endian, ascending)
//! ```
//!
//! The width is that of the widest integer that was ever in it: a removal does not narrow it.

/// A set of integers. An empty one may have no bytes at all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IntSet {
    bytes: Vec<u8>,
}

const HEADER_LEN: usize = 8;
const WIDTH_MIN: usize = 2;

/// Bytes of each integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Width(u8);

impl Width {
    fn of(value: i64) -> Self {
        Width(if i16::try_from(value).is_ok() {
            2
        } else if i32::try_from(value).is_ok() {
            4
        } else {
            8
        })
    }

    fn bytes(self) -> usize {
        usize::from(self.0)
    }
}

impl IntSet {
    /// Takes over bytes. `None`: they are not those of a set.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (width, rest) = bytes.split_first_chunk()?;
        let (count, integers) = rest.split_first_chunk()?;
        let width = u32::from_le_bytes(*width) as usize;
        let count = u32::from_le_bytes(*count) as usize;
        if !matches!(width, 2 | 4 | 8) || count == 0 || integers.len() != count * width {
            return None;
        }
        let set = Self {
            bytes: bytes.to_vec(),
        };
        let is_ascending = set.iter().zip(set.iter().skip(1)).all(|(a, b)| a < b);
        is_ascending.then_some(set)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(HEADER_LEN) / self.width().bytes()
    }

    pub fn width(&self) -> Width {
        Width(self.bytes.first().map_or(WIDTH_MIN as u8, |width| *width))
    }

    /// The integer at a position below `len`.
    #[inline]
    pub fn at(&self, position: usize) -> i64 {
        let width = self.width().bytes();
        read(&self.bytes[HEADER_LEN + position * width..], width)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = i64> + Clone {
        let width = self.width().bytes();
        let integers = self.bytes.get(HEADER_LEN..).unwrap_or(&[]);
        integers.chunks_exact(width).map(move |i| read(i, width))
    }

    pub fn contains(&self, value: i64) -> bool {
        self.find(value).is_ok()
    }

    /// The position of an integer, or the one where it would be.
    pub fn find(&self, value: i64) -> Result<usize, usize> {
        let len = self.len();
        if Width::of(value) > self.width() {
            return Err(if value < 0 { 0 } else { len });
        }
        // Most are added in ascending order.
        if len == 0 || value > self.at(len - 1) {
            return Err(len);
        }
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.at(middle).cmp(&value) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Adds an integer, which is not there, at the position that [`IntSet::find`] named.
    pub fn insert(&mut self, position: usize, value: i64) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; HEADER_LEN]);
            self.bytes[0] = WIDTH_MIN as u8;
        }
        let needed = Width::of(value);
        if needed > self.width() {
            self.set_width(needed);
        }
        let width = self.width().bytes();
        let at = HEADER_LEN + position * width;
        let end = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 8][..width]);
        self.bytes.copy_within(at..end, at + width);
        self.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.write_count();
    }

    /// Removes the integer at a position below `len`.
    pub fn remove(&mut self, position: usize) -> i64 {
        let value = self.at(position);
        let width = self.width().bytes();
        let at = HEADER_LEN + position * width;
        self.bytes.drain(at..at + width);
        self.write_count();
        value
    }

    /// Removes an integer that has just been added, and goes back to the width from before.
    pub fn take_back(&mut self, value: i64, width: Width) {
        let Ok(position) = self.find(value) else {
            unreachable!("later changes were taken back first");
        };
        self.remove(position);
        if width != self.width() {
            self.set_width(width);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Rewrites all integers in a width that fits them.
    fn set_width(&mut self, width: Width) {
        let mut bytes = Vec::with_capacity(HEADER_LEN + (self.len() + 1) * width.bytes());
        bytes.extend_from_slice(&self.bytes[..HEADER_LEN]);
        bytes[0] = width.0;
        for value in self.iter() {
            bytes.extend_from_slice(&value.to_le_bytes()[..width.bytes()]);
        }
        self.bytes = bytes;
    }

    fn write_count(&mut self) {
        let count = self.len() as u32;
        self.bytes[4..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
    }
}

impl std::fmt::Debug for IntSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The integer at the start of the bytes.
#[inline]
fn read(bytes: &[u8], width: usize) -> i64 {
    let first = |len: usize| &bytes[..len];
    match width {
        2 => i64::from(i16::from_le_bytes(first(2).try_into().unwrap_or_default())),
        4 => i64::from(i32::from_le_bytes(first(4).try_into().unwrap_or_default())),
        _ => i64::from_le_bytes(first(8).try_into().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What redis-server 7.0.15 keeps after SADD of 1 and 70000, and after SREM of 70000.
    #[test]
    fn bytes_are_those_of_redis() {
        let mut set = IntSet::default();
        set.insert(0, 1);
        assert_eq!(set.as_bytes(), b"\x02\0\0\0\x01\0\0\0\x01\0");
        set.insert(1, 70_000);
        let wide = b"\x04\0\0\0\x02\0\0\0\x01\0\0\0\x70\x11\x01\0";
        assert_eq!(set.as_bytes(), wide);
        set.remove(1);
        assert_eq!(set.as_bytes(), b"\x04\0\0\0\x01\0\0\0\x01\0\0\0");
    }

    #[test]
    fn bytes_of_no_set_are_refused() {
        for bytes in [
            b"".as_slice(),
            b"\x02\0\0\0\0\0\0\0",
            b"\x03\0\0\0\x01\0\0\0\x01\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
            b"\x02\0\0\0\xff\xff\xff\xff\x02\0\x01\0",
        ] {
            assert_eq!(IntSet::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -40..40_i64,
            2 => any::<i16>().prop_map(i64::from),
            1 => any::<i32>().prop_map(i64::from),
            1 => any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((any::<bool>(), integer()), 0..200)) {
            let (mut set, mut model) = (IntSet::default(), BTreeSet::new());
            for (adds, value) in steps {
                let before = set.clone();
                match (adds, set.find(value)) {
                    (true, Err(position)) => {
                        set.insert(position, value);
                        model.insert(value);
                        let mut undone = set.clone();
                        undone.take_back(value, before.width());
                        let is_first = before.as_bytes().is_empty();
                        prop_assert!(is_first || undone.as_bytes() == before.as_bytes());
                    }
                    (false, Ok(position)) => {
                        prop_assert_eq!(set.remove(position), value);
                        prop_assert!(model.remove(&value));
                        let mut undone = set.clone();
                        undone.insert(position, value);
                        prop_assert_eq!(undone.as_bytes(), before.as_bytes());
                    }
                    (_, found) => prop_assert_eq!(found.is_ok(), model.contains(&value)),
                }
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            if !model.is_empty() {
                prop_assert_eq!(IntSet::from_bytes(set.as_bytes()), Some(set));
            }
        }

        #[test]
        fn nonsense_is_survived(bytes: Vec<u8>, tail in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = IntSet::from_bytes(&bytes);
            let likely = [&[2, 0, 0, 0, (tail.len() / 2) as u8, 0, 0, 0], tail.as_slice()].concat();
            let _ = IntSet::from_bytes(&likely);
        }
    }
}
