//! The listpack: byte strings and integers behind each other in one allocation, byte for byte as Redis has them.
//!
//! ```text
//! listpack = length:u32le count:u16le entry* 0xff     (the length of it all; a count of 0xffff: too many, go and count)
//! ```
//!
//! It is the compact form of hashes, sets, sorted sets and streams and what a list's nodes are made of, so that their
//! serialization is a copy. What reads as an integer is stored as one: [`Item::from`] makes it so.
//!
//! Invariants: the bytes are always a whole listpack; what a stranger sent becomes one only through the full check of
//! [`Listpack::from_bytes`], so that nothing here reads outside or panics later. A [`Pos`] is good until the next change.
//! Depends on `base` only.

pub(super) mod entry;
mod item;
mod iter;
#[cfg(test)]
mod tests;

pub use item::Item;
pub use iter::Iter;

use entry::{END, Encoded};

const HEADER_LEN: usize = 6;
const COUNT_AT: usize = 4;
/// This count says that there are so many entries or more.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// A sequence of byte strings and integers.
#[derive(Clone)]
pub struct Listpack {
    bytes: Vec<u8>,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(usize);

impl Listpack {
    /// The length beyond which no caller lets a listpack grow, as in Redis.
    pub const BYTES_MAX: usize = 1 << 30;
    /// The length of one without entries.
    pub const BYTES_EMPTY: usize = HEADER_LEN + 1;

    pub fn new() -> Self {
        Self::with_capacity(Self::BYTES_EMPTY)
    }

    /// An empty listpack that does not allocate again before it is `bytes` long.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut own = Vec::with_capacity(allocation(bytes.max(Self::BYTES_EMPTY)));
        own.extend_from_slice(&[Self::BYTES_EMPTY as u8, 0, 0, 0, 0, 0, END]);
        Self { bytes: own }
    }

    /// Takes bytes of unknown origin; `None` unless they are a listpack from end to end.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let count = u16::from_le_bytes([header[4], header[5]]);
        if len as usize != bytes.len() {
            return None;
        }
        let (mut at, mut seen) = (HEADER_LEN, 0_usize);
        while *bytes.get(at)? != END {
            at = entry::check(&bytes, at)?;
            seen += 1;
        }
        let whole = at + 1 == bytes.len();
        let counted = count == COUNT_UNKNOWN || usize::from(count) == seen;
        (whole && counted).then_some(Self { bytes })
    }

    /// The bytes as DUMP wants them.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many entries there are. Constant time up to 65,534 of them.
    #[inline]
    pub fn len(&self) -> usize {
        match self.count() {
            COUNT_UNKNOWN => self.iter().count(),
            count => usize::from(count),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == Self::BYTES_EMPTY
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether the listpack may take so many bytes more, counted as Redis does.
    #[inline]
    pub fn has_room(&self, more: usize) -> bool {
        more <= Self::BYTES_MAX && self.bytes.len() + more <= Self::BYTES_MAX
    }

    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes, HEADER_LEN, self.end())
    }

    /// The items from a position on.
    #[inline]
    pub fn iter_from(&self, pos: Pos) -> Iter<'_> {
        Iter::new(&self.bytes, pos.0, self.end())
    }

    /// The items before a position.
    #[inline]
    pub fn iter_before(&self, pos: Pos) -> Iter<'_> {
        Iter::new(&self.bytes, HEADER_LEN, pos.0)
    }

    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        self.pos(index).map(|pos| self.at(pos))
    }

    #[inline]
    pub fn first(&self) -> Option<Item<'_>> {
        self.iter().next()
    }

    #[inline]
    pub fn last(&self) -> Option<Item<'_>> {
        self.iter().next_back()
    }

    /// The position of the entry at an index, from the nearer end.
    pub fn pos(&self, index: usize) -> Option<Pos> {
        let len = self.len();
        if index >= len {
            return None;
        }
        Some(self.boundary(index, len))
    }

    #[inline]
    pub fn first_pos(&self) -> Option<Pos> {
        (!self.is_empty()).then_some(Pos(HEADER_LEN))
    }

    #[inline]
    pub fn last_pos(&self) -> Option<Pos> {
        (!self.is_empty()).then(|| Pos(entry::previous(&self.bytes, self.end())))
    }

    /// The item at a position.
    #[inline]
    pub fn at(&self, pos: Pos) -> Item<'_> {
        entry::read(&self.bytes, pos.0).0
    }

    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        let next = entry::next(&self.bytes, pos.0);
        (next < self.end()).then_some(Pos(next))
    }

    #[inline]
    pub fn previous(&self, pos: Pos) -> Option<Pos> {
        (pos.0 > HEADER_LEN).then(|| Pos(entry::previous(&self.bytes, pos.0)))
    }

    /// The first entry that holds these bytes, looking at every `step`-th one: 2 finds a field among fields and values.
    #[inline]
    pub fn find(&self, wanted: &[u8], step: usize) -> Option<Pos> {
        self.iter().find(wanted, step).map(Pos)
    }

    #[inline]
    pub fn push_back<'a>(&mut self, item: impl Into<Item<'a>>) {
        self.insert_bytes(self.end(), item.into());
    }

    #[inline]
    pub fn push_front<'a>(&mut self, item: impl Into<Item<'a>>) {
        self.insert_bytes(HEADER_LEN, item.into());
    }

    /// Appends all, with one update of the header.
    pub fn extend<'a, I: Into<Item<'a>>>(&mut self, items: impl IntoIterator<Item = I>) {
        let mut added = 0;
        for item in items {
            let encoded = Encoded::new(item.into());
            self.replace_bytes(self.end(), 0, &encoded);
            added += 1;
        }
        self.update_header(added, 0);
    }

    /// Appends the entries of another listpack.
    pub fn append(&mut self, other: &Self) {
        let end = self.end();
        self.resize_at(end, 0, other.end() - HEADER_LEN);
        let entries = &other.bytes[HEADER_LEN..other.end()];
        self.bytes[end..end + entries.len()].copy_from_slice(entries);
        self.update_header(other.len(), 0);
    }

    /// Inserts an item that will have this index. The caller knows that the index is at most the length.
    pub fn insert<'a>(&mut self, index: usize, item: impl Into<Item<'a>>) {
        let at = self.boundary(index, self.len());
        self.insert_bytes(at.0, item.into());
    }

    /// Inserts an item before the entry at a position.
    pub fn insert_before<'a>(&mut self, pos: Pos, item: impl Into<Item<'a>>) {
        self.insert_bytes(pos.0, item.into());
    }

    /// Inserts an item after the entry at a position.
    pub fn insert_after<'a>(&mut self, pos: Pos, item: impl Into<Item<'a>>) {
        self.insert_bytes(entry::next(&self.bytes, pos.0), item.into());
    }

    /// Puts an item in the place of another. The caller knows that the index is below the length.
    pub fn replace<'a>(&mut self, index: usize, item: impl Into<Item<'a>>) {
        let at = self.boundary(index, self.len());
        self.replace_at(at, item);
    }

    /// Puts an item in the place of the one at a position.
    #[inline]
    pub fn replace_at<'a>(&mut self, pos: Pos, item: impl Into<Item<'a>>) {
        let encoded = Encoded::new(item.into());
        let old_len = entry::next(&self.bytes, pos.0) - pos.0;
        self.replace_bytes(pos.0, old_len, &encoded);
        self.update_header(0, 0);
    }

    /// Removes up to `count` entries from an index on. Returns how many there were.
    pub fn remove(&mut self, index: usize, count: usize) -> usize {
        let len = self.len();
        let count = count.min(len.saturating_sub(index));
        if count > 0 {
            let from = self.boundary(index, len);
            let to = self.boundary(index + count, len);
            self.remove_bytes(from.0, to.0, count);
        }
        count
    }

    /// Removes up to `count` entries from a position on. Returns how many there were.
    pub fn remove_at(&mut self, pos: Pos, count: usize) -> usize {
        let (mut to, mut removed) = (pos.0, 0);
        while removed < count && to < self.end() {
            to = entry::next(&self.bytes, to);
            removed += 1;
        }
        self.remove_bytes(pos.0, to, removed);
        removed
    }

    /// Cuts off the entries from an index on and returns them. The caller knows that the index is at most the length.
    #[must_use]
    pub fn split_off(&mut self, index: usize) -> Self {
        let len = self.len();
        let at = self.boundary(index, len);
        let entries = &self.bytes[at.0..self.end()];
        let mut tail = Self::with_capacity(entries.len() + Self::BYTES_EMPTY);
        tail.bytes.truncate(HEADER_LEN);
        tail.bytes.extend_from_slice(entries);
        tail.bytes.push(END);
        tail.update_header(len - index, 0);
        self.remove_bytes(at.0, self.end(), len - index);
        tail
    }

    #[inline]
    fn count(&self) -> u16 {
        u16::from_le_bytes([self.bytes[COUNT_AT], self.bytes[COUNT_AT + 1]])
    }

    /// Where the byte after the last entry is.
    #[inline]
    fn end(&self) -> usize {
        self.bytes.len() - 1
    }

    /// Where the entry at an index begins, from the nearer end of `len` entries; the end for the index after the last.
    fn boundary(&self, index: usize, len: usize) -> Pos {
        assert!(index <= len, "the caller knows how many there are");
        if index < len / 2 {
            let mut at = HEADER_LEN;
            for _ in 0..index {
                at = entry::next(&self.bytes, at);
            }
            Pos(at)
        } else {
            let mut at = self.end();
            for _ in index..len {
                at = entry::previous(&self.bytes, at);
            }
            Pos(at)
        }
    }

    #[inline]
    fn insert_bytes(&mut self, at: usize, item: Item<'_>) {
        self.replace_bytes(at, 0, &Encoded::new(item));
        self.update_header(1, 0);
    }

    /// Puts an entry where `old_len` bytes were. The header is not yet that of the new content.
    #[inline]
    fn replace_bytes(&mut self, at: usize, old_len: usize, encoded: &Encoded<'_>) {
        let len = encoded.len();
        self.resize_at(at, old_len, len);
        encoded.write(&mut self.bytes[at..at + len]);
    }

    fn remove_bytes(&mut self, from: usize, to: usize, count: usize) {
        self.resize_at(from, to - from, 0);
        self.update_header(0, count);
        let wanted = allocation(self.bytes.len());
        if self.bytes.capacity() >= 2 * wanted {
            self.bytes.shrink_to(wanted);
        }
    }

    /// Makes `new_len` bytes of room where `old_len` bytes were.
    #[inline]
    fn resize_at(&mut self, at: usize, old_len: usize, new_len: usize) {
        if old_len == new_len {
            return;
        }
        let before = self.bytes.len();
        let after = before - old_len + new_len;
        if after > self.bytes.capacity() {
            self.bytes.reserve_exact(allocation(after) - before);
        }
        if after > before {
            self.bytes.resize(after, 0);
        }
        self.bytes.copy_within(at + old_len..before, at + new_len);
        self.bytes.truncate(after);
    }

    #[inline]
    fn update_header(&mut self, added: usize, removed: usize) {
        let len = self.bytes.len();
        assert!(u32::try_from(len).is_ok(), "the caller asks has_room()");
        self.bytes[..COUNT_AT].copy_from_slice(&(len as u32).to_le_bytes());
        let count = self.count();
        if count != COUNT_UNKNOWN {
            let count = usize::from(count) + added - removed;
            let count = u16::try_from(count).unwrap_or(COUNT_UNKNOWN);
            self.bytes[COUNT_AT..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// What the allocator would give for so many bytes anyway: steps of 16 at first, then four to each doubling. It grows
/// by a seventh at the least, so that appending stays linear.
#[inline]
pub(super) fn allocation(bytes: usize) -> usize {
    const STEPS_PER_DOUBLING: usize = 4;
    const STEP_MIN: usize = 16;
    let step = (bytes.next_power_of_two() / 2 / STEPS_PER_DOUBLING).max(STEP_MIN);
    bytes.next_multiple_of(step)
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes || self.iter().eq(other.iter())
    }
}

impl Eq for Listpack {}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a, I: Into<Item<'a>>> FromIterator<I> for Listpack {
    fn from_iter<T: IntoIterator<Item = I>>(items: T) -> Self {
        let mut listpack = Self::new();
        listpack.extend(items);
        listpack
    }
}
