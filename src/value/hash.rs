//! The hash: fields with values.

use super::Limits;
use super::string::StrBuf;

/// A hash. Fields stand in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hash {
    fields: Vec<(StrBuf, StrBuf)>,
}

/// What setting a field did.
#[derive(Debug, PartialEq)]
pub enum HashSet {
    Added,
    /// The value that it had.
    Replaced(StrBuf),
}

impl Hash {
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.find(field).map(|at| &*self.fields[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(field, value)| (&**field, &**value))
    }

    pub fn set(&mut self, field: &[u8], value: &[u8], _limits: &Limits) -> HashSet {
        let value = StrBuf::from_slice(value);
        if let Some(at) = self.find(field) {
            return HashSet::Replaced(std::mem::replace(&mut self.fields[at].1, value));
        }
        self.fields.push((StrBuf::from_slice(field), value));
        HashSet::Added
    }

    /// Removes a field; returns its place and its value.
    pub fn remove(&mut self, field: &[u8]) -> Option<(usize, StrBuf)> {
        let at = self.find(field)?;
        Some((at, self.fields.remove(at).1))
    }

    /// Puts a field back where it was.
    pub fn insert_at(&mut self, at: usize, field: StrBuf, value: StrBuf) {
        self.fields.insert(at, (field, value));
    }

    pub fn encoding(&self) -> &'static str {
        "hashtable"
    }

    pub fn heap_bytes(&self) -> usize {
        self.fields.capacity() * size_of::<(StrBuf, StrBuf)>()
    }

    fn find(&self, field: &[u8]) -> Option<usize> {
        self.fields
            .iter()
            .position(|(present, _)| **present == *field)
    }
}
