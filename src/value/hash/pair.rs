//! [`Pair`]: a field with its value, as a large hash holds them.

use super::super::dense::Keyed;
use std::fmt;

/// Field and value together, in place: room for two of sixteen bytes each and some more.
const SHORT_LEN_MAX: usize = 37;
/// A field in place beside a value on the heap.
const FIELD_LEN_MAX: usize = 22;

#[derive(Clone)]
pub struct Pair(Form);

#[derive(Clone)]
enum Form {
    Short {
        field_len: u8,
        len: u8,
        bytes: [u8; SHORT_LEN_MAX],
    },
    /// Looking for the field touches nothing but the table.
    Split {
        field_len: u8,
        field: [u8; FIELD_LEN_MAX],
        value: Box<[u8]>,
    },
    /// A long field, and the value behind it.
    Long { field_len: usize, bytes: Box<[u8]> },
}

const _: () = assert!(
    size_of::<Pair>() == 40,
    "the lengths share a word with the tag"
);

impl Pair {
    pub fn new(field: &[u8], value: &[u8]) -> Self {
        let len = field.len() + value.len();
        if len <= SHORT_LEN_MAX {
            let mut bytes = [0; SHORT_LEN_MAX];
            bytes[..field.len()].copy_from_slice(field);
            bytes[field.len()..len].copy_from_slice(value);
            return Self(Form::Short {
                field_len: field.len() as u8,
                len: len as u8,
                bytes,
            });
        }
        if field.len() <= FIELD_LEN_MAX {
            let mut short = [0; FIELD_LEN_MAX];
            short[..field.len()].copy_from_slice(field);
            return Self(Form::Split {
                field_len: field.len() as u8,
                field: short,
                value: value.into(),
            });
        }
        Self(Form::Long {
            field_len: field.len(),
            bytes: [field, value].concat().into(),
        })
    }

    #[inline]
    pub fn field(&self) -> &[u8] {
        match &self.0 {
            Form::Short {
                field_len, bytes, ..
            } => &bytes[..usize::from(*field_len)],
            Form::Split {
                field_len, field, ..
            } => &field[..usize::from(*field_len)],
            Form::Long { field_len, bytes } => &bytes[..*field_len],
        }
    }

    #[inline]
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Form::Short {
                field_len,
                len,
                bytes,
            } => &bytes[usize::from(*field_len)..usize::from(*len)],
            Form::Split { value, .. } => value,
            Form::Long { field_len, bytes } => &bytes[*field_len..],
        }
    }

    pub fn set_value(&mut self, value: &[u8]) {
        match &mut self.0 {
            Form::Short {
                field_len,
                len,
                bytes,
            } if usize::from(*field_len) + value.len() <= SHORT_LEN_MAX => {
                let start = usize::from(*field_len);
                bytes[start..start + value.len()].copy_from_slice(value);
                *len = *field_len + value.len() as u8;
            }
            Form::Split { value: old, .. } if old.len() == value.len() => {
                old.copy_from_slice(value);
            }
            Form::Long { field_len, bytes } if bytes.len() - *field_len == value.len() => {
                bytes[*field_len..].copy_from_slice(value);
            }
            _ => *self = Self::new(self.field(), value),
        }
    }
}

impl Keyed for Pair {
    #[inline]
    fn key(&self) -> &[u8] {
        self.field()
    }

    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Short { .. } => 0,
            Form::Split { value, .. } => value.len(),
            Form::Long { bytes, .. } => bytes.len(),
        }
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.field() == other.field() && self.value() == other.value()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, value) = (self.field().escape_ascii(), self.value().escape_ascii());
        write!(f, "\"{field}\": \"{value}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_any_lengths_read_back_and_change() {
        let lens = [0, 1, 15, 21, 22, 23, 37, 38, 100];
        for field_len in lens {
            for (old_len, new_len) in lens.iter().flat_map(|a| lens.iter().map(move |b| (*a, *b))) {
                let field = vec![b'f'; field_len];
                let (old, new) = (vec![b'o'; old_len], vec![b'n'; new_len]);
                let mut pair = Pair::new(&field, &old);
                assert_eq!((pair.field(), pair.value()), (&*field, &*old));
                pair.set_value(&new);
                assert_eq!((pair.field(), pair.value()), (&*field, &*new));
                assert_eq!(pair.heap_bytes(), Pair::new(&field, &new).heap_bytes());
            }
        }
    }
}
