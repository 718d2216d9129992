//! The values that keys hold: pure data structures without I/O, clock or locks.
//!
//! Invariants: a value never knows its key, its expiry or who may see it; a value's encoding (what `OBJECT ENCODING` shows)
//! follows from how it was made and changed, as in Redis; a [`Value`] is 32 bytes, so what is small stands in its key's
//! entry and only what is large is behind a pointer. Depends on `base` only.

pub mod bits;
pub mod dense;
pub mod geo;
mod hash;
pub mod hll;
mod intset;
mod limits;
mod list;
pub mod listpack;
mod lzf;
mod member;
pub mod rdb;
mod set;
pub mod stream;
mod string;
mod zset;

pub use hash::{Hash, HashSet, Removed as HashRemoved, Times as HashTimes};
pub use limits::Limits;
pub use list::{End, List, Side, Undo as ListUndo};
pub use listpack::{Item, Listpack};
pub use member::Member;
pub use set::{Probe, Set, SetChange, SetMember};
pub use stream::Stream;
pub use string::{Str, StrBuf};
pub use zset::{ZSet, ZSetChange, order as zset_order};

/// A key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Str(Str),
    List(List),
    Hash(Hash),
    Set(Set),
    ZSet(ZSet),
    Stream(Stream),
}

const _: () = assert!(size_of::<Value>() == 32, "a key's entry stays small");

/// The type names that `TYPE` and `SCAN ... TYPE` use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Str,
    List,
    Hash,
    Set,
    ZSet,
    Stream,
}

impl Kind {
    const ALL: &[Kind] = &[
        Kind::Str,
        Kind::List,
        Kind::Hash,
        Kind::Set,
        Kind::ZSet,
        Kind::Stream,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Str => "string",
            Kind::List => "list",
            Kind::Hash => "hash",
            Kind::Set => "set",
            Kind::ZSet => "zset",
            Kind::Stream => "stream",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::Str(_) => Kind::Str,
            Value::List(_) => Kind::List,
            Value::Hash(_) => Kind::Hash,
            Value::Set(_) => Kind::Set,
            Value::ZSet(_) => Kind::ZSet,
            Value::Stream(_) => Kind::Stream,
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Str(string) => string.encoding(),
            Value::List(list) => list.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::ZSet(zset) => zset.encoding(),
            Value::Stream(stream) => stream.encoding(),
        }
    }

    /// Elements of a collection; a string is one.
    pub fn elements(&self) -> usize {
        match self {
            Value::Str(_) => 1,
            Value::List(list) => list.len(),
            Value::Hash(hash) => hash.len(),
            Value::Set(set) => set.len(),
            Value::ZSet(zset) => zset.len(),
            Value::Stream(stream) => stream.len(),
        }
    }

    /// Whether parts of the value have ended by then.
    #[inline]
    pub fn is_due(&self, now_ms: i64) -> bool {
        matches!(self, Value::Hash(hash) if hash.is_due(now_ms))
    }

    /// Whether nothing of the value is left by then.
    pub fn is_over(&self, now_ms: i64) -> bool {
        matches!(self, Value::Hash(hash) if hash.is_over(now_ms))
    }

    /// Whether parts of the value end before the key does.
    #[inline]
    pub fn has_times(&self) -> bool {
        matches!(self, Value::Hash(hash) if hash.times().is_some())
    }

    /// Bytes on the heap, as the allocator was asked for them.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Str(string) => string.heap_bytes(),
            Value::List(list) => list.heap_bytes(),
            Value::Hash(hash) => hash.heap_bytes(),
            Value::Set(set) => set.heap_bytes(),
            Value::ZSet(zset) => zset.heap_bytes(),
            Value::Stream(stream) => stream.heap_bytes(),
        }
    }
}
