//! The patterns of SORT, which lead from an element to a key or to a field of a hash.

use crate::keyspace::Txn;
use crate::value::Value;
use smallvec::SmallVec;

/// `#`, which is the element itself; or a text whose first `*` stands for the element, perhaps with `->field` behind.
#[derive(Clone, Copy)]
pub struct Pattern<'a> {
    text: &'a [u8],
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Element,
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
    /// Without a `*` there is no key.
    Nothing,
}

impl<'a> Pattern<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        // Redis searches as C does: up to a zero.
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        let form = match memchr::memchr(b'*', &text[..end]) {
            _ if &text[..end] == b"#" => Form::Element,
            None => Form::Nothing,
            Some(star) => {
                let arrow = memchr::memmem::find(&text[star + 1..end], b"->");
                let arrow = arrow.map(|at| star + 1 + at).filter(|at| at + 2 < end);
                Form::Key {
                    before: &text[..star],
                    after: &text[star + 1..arrow.unwrap_or(text.len())],
                    field: arrow.map(|at| &text[at + 2..]),
                }
            }
        };
        Self { text, form }
    }

    pub fn has_star(&self) -> bool {
        memchr::memchr2(b'*', 0, self.text).is_some_and(|at| self.text[at] == b'*')
    }

    /// What the pattern leads to from an element.
    pub fn look_up<R>(
        &self,
        txn: &mut Txn<'_>,
        element: &[u8],
        visit: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        let Form::Key {
            before,
            after,
            field,
        } = self.form
        else {
            return visit(matches!(self.form, Form::Element).then_some(element));
        };
        let mut key = SmallVec::<[u8; 64]>::new();
        for part in [before, element, after] {
            key.extend_from_slice(part);
        }
        let mut text = itoa::Buffer::new();
        match (txn.get(&key), field) {
            (Some(Value::Str(string)), None) => visit(Some(string.bytes(&mut text))),
            (Some(Value::Hash(hash)), Some(field)) => {
                visit(hash.get(field).map(|value| value.bytes(&mut text)))
            }
            _ => visit(None),
        }
    }
}
