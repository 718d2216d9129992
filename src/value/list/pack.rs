//! A node's entries, encoded as in a listpack, with room on both sides: a push at the front moves nothing.

use crate::value::listpack::entry::{self, END, Encoded};
use crate::value::listpack::{Item, Iter, Listpack, allocation};
use std::ops::Range;

/// What a listpack has besides its entries.
pub const LISTPACK_OVERHEAD: usize = Listpack::BYTES_EMPTY;
const LISTPACK_HEADER_LEN: usize = LISTPACK_OVERHEAD - 1;

/// While this part of the entries' length is free, room for one more is made by sliding, not by growing.
const FREE_PART: usize = 8;
/// At the front it grows by this part. At the back the allocator's steps are enough, because it may grow in place.
const GROWTH_PART: usize = 4;
/// One of which less than this part is in use is made smaller.
const SHRINK_PART: usize = 4;
const SHRINK_CAPACITY_MIN: usize = 128;

/// Entries in `bytes[start..]`.
#[derive(Clone, Default)]
pub struct Pack {
    bytes: Vec<u8>,
    start: u32,
    count: u32,
}

impl Pack {
    /// Takes over a listpack's allocation.
    pub fn from_listpack(listpack: Listpack) -> Self {
        let count = listpack.len() as u32;
        let mut bytes = listpack.into_bytes();
        bytes.pop();
        Self {
            bytes,
            start: LISTPACK_HEADER_LEN as u32,
            count,
        }
    }

    /// Appends the entries as a listpack.
    pub fn put_listpack(&self, out: &mut Vec<u8>) {
        let len = self.listpack_len() as u32;
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(self.entries());
        out.push(END);
    }

    /// The length of the entries as a listpack: what the limits are about.
    #[inline]
    pub fn listpack_len(&self) -> usize {
        self.entries().len() + LISTPACK_OVERHEAD
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes, self.start(), self.bytes.len())
    }

    /// The items from an index on.
    pub fn iter_from(&self, at: usize) -> Iter<'_> {
        Iter::new(&self.bytes, self.boundary(at), self.bytes.len())
    }

    /// The items before an index.
    pub fn iter_before(&self, at: usize) -> Iter<'_> {
        Iter::new(&self.bytes, self.start(), self.boundary(at))
    }

    /// The item at an index below the count.
    #[inline]
    pub fn get(&self, at: usize) -> Item<'_> {
        entry::read(&self.bytes, self.boundary(at)).0
    }

    /// Inserts an item that will have this index. Beyond `bytes_max` no room is made for later ones.
    #[inline]
    pub fn insert(&mut self, at: usize, item: Item<'_>, bytes_max: usize) {
        let encoded = Encoded::new(item);
        let len = encoded.len();
        let place = if at == self.count() {
            self.make_room_behind(len);
            let end = self.bytes.len();
            self.bytes.resize(end + len, 0);
            end
        } else if at == 0 {
            self.make_room_before(len, bytes_max);
            self.start -= len as u32;
            self.start()
        } else {
            self.open(self.boundary(at), len)
        };
        encoded.write(&mut self.bytes[place..place + len]);
        self.count += 1;
    }

    /// Removes the item at an index.
    #[inline]
    pub fn remove(&mut self, at: usize) {
        self.take_out(at);
        self.shrink();
    }

    /// Puts another item in the place of one.
    pub fn replace(&mut self, at: usize, item: Item<'_>, bytes_max: usize) {
        let encoded = Encoded::new(item);
        let from = self.boundary(at);
        let to = entry::next(&self.bytes, from);
        if to - from == encoded.len() {
            encoded.write(&mut self.bytes[from..to]);
        } else {
            self.take_out(at);
            self.insert(at, item, bytes_max);
        }
    }

    /// Cuts off the entries from an index on and returns them.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let place = self.boundary(at);
        let tail = Self::of_entries(&self.bytes[place..], self.count() - at);
        self.bytes.truncate(place);
        self.count = at as u32;
        self.shrink();
        tail
    }

    /// Cuts off the entries before an index and returns them.
    #[must_use]
    pub fn split_off_front(&mut self, at: usize) -> Self {
        let place = self.boundary(at);
        let head = Self::of_entries(&self.bytes[self.start()..place], at);
        self.start = place as u32;
        self.count -= at as u32;
        self.shrink();
        head
    }

    /// A copy without the entries at these indices, which are ascending.
    pub fn without(&self, gone: &[usize]) -> Self {
        let mut rest = Self::of_entries(&[], 0);
        rest.bytes.reserve_exact(allocation(self.entries().len()));
        let (mut kept_from, mut place, mut at) = (self.start(), self.start(), 0);
        for index in gone {
            while at < *index {
                place = entry::next(&self.bytes, place);
                at += 1;
            }
            rest.bytes.extend_from_slice(&self.bytes[kept_from..place]);
            place = entry::next(&self.bytes, place);
            at += 1;
            kept_from = place;
        }
        rest.bytes.extend_from_slice(&self.bytes[kept_from..]);
        rest.count = (self.count() - gone.len()) as u32;
        rest.shrink();
        rest
    }

    /// Appends the entries of another.
    pub fn append(&mut self, other: &Self) {
        self.make_room_behind(other.entries().len());
        self.bytes.extend_from_slice(other.entries());
        self.count += other.count;
    }

    /// Puts the entries of another before its own.
    pub fn prepend(&mut self, other: &Self) {
        let len = other.entries().len();
        self.make_room_before(len, 0);
        let end = self.start();
        self.bytes[end - len..end].copy_from_slice(other.entries());
        self.start -= len as u32;
        self.count += other.count;
    }

    /// Gives back the room on both sides: nothing will be pushed here soon.
    pub fn seal(&mut self) {
        let wanted = allocation(self.entries().len());
        if wanted < self.bytes.capacity() {
            self.reallocate(wanted, 0);
        }
    }

    fn of_entries(entries: &[u8], count: usize) -> Self {
        let mut bytes = Vec::with_capacity(allocation(entries.len()));
        bytes.extend_from_slice(entries);
        Self {
            bytes,
            start: 0,
            count: count as u32,
        }
    }

    #[inline]
    fn start(&self) -> usize {
        self.start as usize
    }

    #[inline]
    fn entries(&self) -> &[u8] {
        &self.bytes[self.start()..]
    }

    /// Where the entry at an index begins, from the nearer end; the end for the index after the last.
    #[inline]
    fn boundary(&self, at: usize) -> usize {
        let count = self.count();
        debug_assert!(at <= count, "the list knows its nodes");
        if at < count / 2 {
            (0..at).fold(self.start(), |place, _| entry::next(&self.bytes, place))
        } else {
            let end = self.bytes.len();
            (at..count).fold(end, |place, _| entry::previous(&self.bytes, place))
        }
    }

    fn take_out(&mut self, at: usize) {
        let from = self.boundary(at);
        self.close(from..entry::next(&self.bytes, from));
        self.count -= 1;
    }

    /// Makes room in the middle, before the entry at `place`; returns where. The shorter side moves, if it can.
    fn open(&mut self, place: usize, len: usize) -> usize {
        let before = place - self.start();
        if before < self.bytes.len() - place && self.start() >= len {
            let start = self.start();
            self.bytes.copy_within(start..place, start - len);
            self.start -= len as u32;
        } else {
            self.make_room_behind(len);
            let place = self.start() + before;
            let end = self.bytes.len();
            self.bytes.resize(end + len, 0);
            self.bytes.copy_within(place..end, place + len);
        }
        self.start() + before
    }

    /// Closes the place of an entry; the shorter side moves.
    fn close(&mut self, gone: Range<usize>) {
        let (start, end) = (self.start(), self.bytes.len());
        if gone.start - start < end - gone.end {
            self.bytes
                .copy_within(start..gone.start, start + gone.len());
            self.start += gone.len() as u32;
        } else {
            self.bytes.copy_within(gone.end..end, gone.start);
            self.bytes.truncate(end - gone.len());
        }
    }

    /// Makes room for so many bytes behind the entries.
    #[inline]
    fn make_room_behind(&mut self, len: usize) {
        if self.bytes.capacity() - self.bytes.len() < len {
            self.find_room_behind(len);
        }
    }

    #[cold]
    fn find_room_behind(&mut self, len: usize) {
        let used = self.entries().len();
        let free = self.bytes.capacity() - used;
        if self.start > 0 && free >= len && free >= used / FREE_PART {
            let start = if free / 2 >= len { free / 2 } else { 0 };
            self.slide(start);
        } else {
            if self.start > 0 {
                self.slide(0);
            }
            self.bytes.reserve_exact(allocation(used + len) - used);
        }
    }

    /// Makes room for so many bytes before the entries.
    #[inline]
    fn make_room_before(&mut self, len: usize, bytes_max: usize) {
        if self.start() < len {
            self.find_room_before(len, bytes_max);
        }
    }

    #[cold]
    fn find_room_before(&mut self, len: usize, bytes_max: usize) {
        let used = self.entries().len();
        let free = self.bytes.capacity() - used;
        let wanted = (used + len + used / GROWTH_PART).min(bytes_max);
        let capacity = allocation(wanted.max(used + len));
        if free >= len && (free >= used / FREE_PART || capacity <= self.bytes.capacity()) {
            let start = if free / 2 >= len {
                free - free / 2
            } else {
                free
            };
            self.slide(start);
        } else {
            self.reallocate(capacity, capacity - used);
        }
    }

    /// Moves the entries to another place in the same allocation, which has the room.
    fn slide(&mut self, start: usize) {
        let (from, end) = (self.start(), self.bytes.len());
        let end_after = start + end - from;
        if end_after > end {
            self.bytes.resize(end_after, 0);
        }
        self.bytes.copy_within(from..end, start);
        self.bytes.truncate(end_after);
        self.start = start as u32;
    }

    /// Moves the entries to another allocation.
    fn reallocate(&mut self, capacity: usize, start: usize) {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.resize(start, 0);
        bytes.extend_from_slice(self.entries());
        self.bytes = bytes;
        self.start = start as u32;
    }

    /// Gives memory back after a removal.
    #[inline]
    fn shrink(&mut self) {
        let capacity = self.bytes.capacity();
        let used = self.entries().len();
        if capacity > SHRINK_CAPACITY_MIN && used < capacity / SHRINK_PART {
            let capacity = allocation(2 * used);
            self.reallocate(capacity, (capacity - used) / 2);
        }
    }
}
