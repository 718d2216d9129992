//! A walk over the fields of a hash.

use super::super::dense::{self, Dense};
use super::super::listpack::{self, Item};
use super::Pair;

/// The fields with their values, in their order.
#[derive(Clone)]
pub struct Iter<'a>(Form<'a>);

#[derive(Clone)]
enum Form<'a> {
    Compact {
        pairs: usize,
        items: listpack::Iter<'a>,
    },
    Large(dense::Iter<'a, Pair>),
}

impl<'a> Iter<'a> {
    pub(super) fn compact(pairs: usize, items: listpack::Iter<'a>) -> Self {
        Self(Form::Compact { pairs, items })
    }

    pub(super) fn large(table: &'a Dense<Pair>) -> Self {
        Self(Form::Large(table.iter()))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Compact { pairs, items } => {
                let pair = (items.next()?, items.next()?);
                *pairs -= 1;
                Some(pair)
            }
            Form::Large(entries) => {
                let pair = entries.next()?;
                Some((Item::Bytes(pair.field()), Item::Bytes(pair.value())))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match &self.0 {
            Form::Compact { pairs, .. } => *pairs,
            Form::Large(entries) => entries.len(),
        };
        (len, Some(len))
    }
}

impl ExactSizeIterator for Iter<'_> {}
