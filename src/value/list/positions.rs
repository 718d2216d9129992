//! Positions of elements, and a list that is made of them in any order.

use super::{End, List};
use crate::value::listpack::Item;
use std::collections::BTreeMap;

impl List {
    /// The position of the first element.
    #[inline]
    pub fn head(&self) -> i64 {
        self.inner.head
    }

    /// An element as the store has it. The list is whole after [`List::settle`].
    pub fn put_at(&mut self, position: i64, bytes: &[u8], max_listpack_size: i64) {
        let inner = &mut *self.inner;
        if let Some(stray) = inner.strays.as_mut().and_then(|s| s.get_mut(&position)) {
            *stray = bytes.into();
            return;
        }
        if inner.len == 0 && inner.strays.is_none() {
            inner.head = position;
        }
        let offset = position.wrapping_sub(inner.head);
        if offset == inner.len as i64 && (offset > 0 || inner.strays.is_none()) {
            self.push(End::Back, bytes, max_listpack_size);
        } else if offset == -1 && inner.len > 0 {
            self.push(End::Front, bytes, max_listpack_size);
        } else if (0..inner.len as i64).contains(&offset) {
            self.set(offset as usize, bytes, max_listpack_size);
        } else {
            let strays = inner.strays.get_or_insert_default();
            strays.insert(position, bytes.into());
        }
    }

    /// There is no element at a position, whether there was one or not.
    pub fn delete_at(&mut self, position: i64) {
        let inner = &mut *self.inner;
        if let Some(strays) = &mut inner.strays
            && strays.remove(&position).is_some()
        {
            return;
        }
        let offset = position.wrapping_sub(inner.head);
        if !(0..inner.len as i64).contains(&offset) {
            return;
        }
        if offset == 0 {
            self.pop(End::Front);
        } else if offset as usize == inner.len - 1 {
            self.pop(End::Back);
        } else {
            self.scatter();
            if let Some(strays) = &mut self.inner.strays {
                strays.remove(&position);
            }
        }
    }

    /// All elements are there: those that lay apart are joined with the others.
    pub fn settle(&mut self, max_listpack_size: i64) {
        let Some(mut strays) = self.inner.strays.take() else {
            return;
        };
        if self.is_empty()
            && let Some((first, _)) = strays.first_key_value()
        {
            self.inner.head = *first;
        }
        let behind = strays.split_off(&self.inner.head);
        for (position, bytes) in strays.into_iter().rev() {
            debug_assert_eq!(position, self.inner.head - 1, "positions are contiguous");
            self.push(End::Front, &bytes, max_listpack_size);
        }
        for (position, bytes) in behind {
            let next = self.inner.head + self.len() as i64;
            debug_assert_eq!(position, next, "positions are contiguous");
            self.push(End::Back, &bytes, max_listpack_size);
        }
    }

    /// Takes the list apart: a change in its middle will follow.
    fn scatter(&mut self) {
        let text = |item: Item<'_>| item.to_vec().into_boxed_slice();
        let elements: BTreeMap<i64, _> = (self.head()..).zip(self.iter().map(text)).collect();
        let inner = &mut *self.inner;
        inner.strays.get_or_insert_default().extend(elements);
        inner.nodes.clear();
        inner.len = 0;
    }
}
