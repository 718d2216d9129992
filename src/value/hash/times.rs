//! [`Times`]: when fields of a hash end.

use super::super::Member;
use super::super::dense::{Dense, KeyHash, Keyed};
use std::collections::BTreeSet;

/// The fields that have an expiry, each with it: Unix time in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    fields: Dense<Timed>,
    /// By time: each with its position in `fields`.
    order: BTreeSet<(i64, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Timed {
    field: Member,
    at_ms: i64,
}

impl Keyed for Timed {
    fn key(&self) -> &[u8] {
        self.field.as_slice()
    }

    fn heap_bytes(&self) -> usize {
        self.field.heap_bytes()
    }
}

impl Times {
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn get(&self, field: &[u8]) -> Option<i64> {
        self.fields.get(field).map(|timed| timed.at_ms)
    }

    /// The earliest time.
    pub fn first(&self) -> Option<i64> {
        self.order.first().map(|(at_ms, _)| *at_ms)
    }

    /// The latest time.
    pub fn last(&self) -> Option<i64> {
        self.order.last().map(|(at_ms, _)| *at_ms)
    }

    /// The field that ends first, if it ends by `now_ms`.
    pub fn due(&self, now_ms: i64) -> Option<&[u8]> {
        let (at_ms, position) = self.order.first()?;
        (*at_ms <= now_ms).then(|| self.fields.at(*position as usize).key())
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], i64)> {
        self.fields.iter().map(|timed| (timed.key(), timed.at_ms))
    }

    /// Sets when a field ends, or that it does not. Returns what was set before.
    pub fn set(&mut self, field: &[u8], at_ms: Option<i64>) -> Option<i64> {
        let hash = KeyHash::of(field);
        match (self.fields.find(hash, field), at_ms) {
            (None, None) => None,
            (None, Some(at_ms)) => {
                self.order.insert((at_ms, self.fields.len() as u32));
                let field = Member::from_slice(field);
                self.fields.push(hash, Timed { field, at_ms });
                None
            }
            (Some(position), Some(at_ms)) => {
                let timed = self.fields.at_mut(position);
                let old = std::mem::replace(&mut timed.at_ms, at_ms);
                self.order.remove(&(old, position as u32));
                self.order.insert((at_ms, position as u32));
                Some(old)
            }
            (Some(position), None) => Some(self.remove(position)),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        /// A B-tree's nodes are about three quarters full.
        const NODE_BYTES_PER_ENTRY: usize = size_of::<(i64, u32)>() * 4 / 3;
        self.fields.heap_bytes() + self.order.len() * NODE_BYTES_PER_ENTRY
    }

    fn remove(&mut self, position: usize) -> i64 {
        let last = self.fields.len() - 1;
        let moved_at_ms = self.fields.at(last).at_ms;
        let taken = self.fields.take(position);
        self.order.remove(&(taken.at_ms, position as u32));
        if position < last {
            self.order.remove(&(moved_at_ms, last as u32));
            self.order.insert((moved_at_ms, position as u32));
        }
        taken.at_ms
    }
}

impl PartialEq for Times {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn the_next_to_end_is_the_earliest(
            steps in prop::collection::vec((0..12_u8, prop::option::of(0..40_i64)), 0..200),
        ) {
            let (mut times, mut model) = (Times::default(), HashMap::new());
            for (field, at_ms) in steps {
                let before = match at_ms {
                    Some(at_ms) => model.insert(field, at_ms),
                    None => model.remove(&field),
                };
                prop_assert_eq!(times.set(&[field], at_ms), before);
                prop_assert_eq!(times.get(&[field]), at_ms);
                prop_assert_eq!(times.first(), model.values().min().copied());
                prop_assert_eq!(times.last(), model.values().max().copied());
                prop_assert_eq!(times.len(), model.len());
                prop_assert_eq!(times.iter().len(), model.len());
            }
            let mut now_ms = -1;
            while let Some(at_ms) = times.first() {
                prop_assert!(times.due(at_ms - 1).is_none());
                let field = times.due(at_ms).expect("it is due").to_vec();
                prop_assert_eq!(model.remove(&field[0]), Some(at_ms));
                prop_assert!(at_ms >= now_ms);
                now_ms = at_ms;
                times.set(&field, None);
            }
            prop_assert!(model.is_empty());
        }
    }
}
