//! Changes to lists.
//!
//! ```text
//! element = position:u64be (an i64 with its sign bit flipped, so that the order is right)    value = the element
//! ```
//!
//! The positions of a list are contiguous. A push or a pop at an end is one record; a change in the middle writes the
//! shorter side again, with its new positions.

use super::super::stored::Stored;
use super::{Collection, Edit, variant};
use crate::value::{End, Limits, List, ListUndo, Side};
use std::ops::Range;

/// What undoes a change to a list.
pub type ListChange = ListUndo;

impl Edit<'_, List> {
    /// Adds an element at an end.
    #[inline]
    pub fn push(&mut self, end: End, bytes: &[u8]) {
        let size = self.limits().list_max_listpack_size;
        let undo = self.value.push(end, bytes, size);
        let position = match end {
            End::Front => self.value.head(),
            End::Back => self.position(self.value.len() - 1),
        };
        self.put_record(&name(position), bytes);
        self.changed(undo);
    }

    /// Removes the element at an end of a list that is not empty.
    #[inline]
    pub fn pop(&mut self, end: End) {
        let position = match end {
            End::Front => self.value.head(),
            End::Back => self.position(self.value.len() - 1),
        };
        let undo = self.value.pop(end);
        self.delete_record(&name(position));
        self.changed(undo);
    }

    /// Puts another element in the place of the one at an index below the length.
    pub fn set(&mut self, index: usize, bytes: &[u8]) {
        let size = self.limits().list_max_listpack_size;
        let undo = self.value.set(index, bytes, size);
        self.put_record(&name(self.position(index)), bytes);
        self.changed(undo);
    }

    /// Inserts an element beside the one at an index below the length.
    pub fn insert(&mut self, index: usize, side: Side, bytes: &[u8]) {
        let size = self.limits().list_max_listpack_size;
        let head = self.value.head();
        let undo = self.value.insert(index, side, bytes, size);
        let new_index = index + usize::from(side == Side::After);
        let moved = if self.value.head() == head {
            new_index..self.value.len()
        } else {
            0..new_index + 1
        };
        self.put_records(moved);
        self.changed(undo);
    }

    /// Removes up to `count` elements that are equal to `wanted`, those nearest to an end. Returns how many there were.
    pub fn remove_equal(&mut self, wanted: &[u8], end: End, count: usize) -> usize {
        let (head, len) = (self.value.head(), self.value.len());
        let Self {
            value,
            buffers,
            is_new,
            ..
        } = self;
        let removal = value.remove_equal(wanted, end, count, |undo| {
            if !*is_new {
                buffers.changes.push(undo.into());
            }
        });
        let count = removal.count;
        if count == 0 || self.value.is_empty() {
            // With the last element its key goes, and all records with it.
        } else if removal.moves_front(len) {
            self.delete_records(head..head + count as i64);
            self.put_records(0..removal.last + 1 - count);
        } else {
            let end = head + len as i64;
            self.delete_records(end - count as i64..end);
            self.put_records(removal.first..self.value.len());
        }
        count
    }

    /// Removes up to `count` elements at an end.
    pub fn cut(&mut self, end: End, count: usize) {
        let count = count.min(self.value.len());
        let first = match end {
            End::Front => 0,
            End::Back => self.value.len() - count,
        };
        let first = self.position(first);
        let undo = self.value.cut(end, count);
        if !self.value.is_empty() {
            self.delete_records(first..first + count as i64);
        }
        self.changed(undo);
    }

    #[inline]
    fn position(&self, index: usize) -> i64 {
        self.value.head() + index as i64
    }

    fn delete_records(&mut self, positions: Range<i64>) {
        positions.for_each(|position| self.delete_record(&name(position)));
    }

    /// Logs the elements at these indices.
    fn put_records(&mut self, indices: Range<usize>) {
        let first = self.position(indices.start);
        let Self {
            value,
            buffers,
            prefix_len,
            ..
        } = self;
        let items = value.iter_from(indices.start).take(indices.len());
        for (position, item) in (first..).zip(items) {
            let key = &mut buffers.record_key;
            key.truncate(*prefix_len);
            key.extend_from_slice(&name(position));
            buffers.batch.put(key, item.bytes(&mut itoa::Buffer::new()));
        }
    }
}

/// The name of the element at a position.
#[inline]
fn name(position: i64) -> [u8; 8] {
    (position as u64 ^ SIGN_BIT).to_be_bytes()
}

fn position(name: &[u8]) -> Option<i64> {
    let name = u64::from_be_bytes(name.try_into().ok()?);
    Some((name ^ SIGN_BIT) as i64)
}

const SIGN_BIT: u64 = 1 << 63;

impl Collection for List {
    variant!(List, ListChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: ListChange) {
        self.take_back(change);
    }
}

impl Stored for List {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_LIST
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        for (position, item) in (self.head()..).zip(self.iter()) {
            put(&name(position), item.bytes(&mut itoa::Buffer::new()));
        }
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        self.put_at(position(element)?, value, limits.list_max_listpack_size);
        Some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        self.delete_at(position(element)?);
        Some(())
    }

    fn load_finish(&mut self, limits: &Limits) {
        self.settle(limits.list_max_listpack_size);
    }
}
