//! The values that keys hold: pure data structures without I/O, clock or locks.
//!
//! Invariants: a value never knows its key, its expiry or who may see it; a value's encoding (what `OBJECT ENCODING` shows)
//! follows from how it was made and changed, as in Redis. Depends on `base` only.

pub mod bits;
mod lzf;
pub mod rdb;
mod string;

pub use string::{Str, StrBuf};

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Str(Str),
}

/// The type names that `TYPE` and `SCAN ... TYPE` use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Str,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Str => "string",
        }
    }
}

impl Kind {
    const ALL: &[Kind] = &[Kind::Str];

    pub fn from_name(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::Str(_) => Kind::Str,
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Str(s) => s.encoding(),
        }
    }

    /// Bytes on the heap, as the allocator was asked for them.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Str(s) => s.heap_bytes(),
        }
    }
}
