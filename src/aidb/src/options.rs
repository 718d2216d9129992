use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::fs::{FileSystem, RealFileSystem};
use crate::order::Group;

/// When a batch counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Durability {
    /// After an fsync: survives the loss of power.
    Always,
    /// After a write, with an fsync once a second: survives the end of the process, may lose a second to a power cut.
    EverySec,
    /// After a write; the operating system decides when it reaches the disk.
    No,
}

#[derive(Clone)]
pub struct Options {
    pub durability: Durability,
    /// A segment that has reached this size is followed by a new one as soon as that is ready.
    pub segment_size: u64,
    /// Disk space is reserved ahead of the appends in steps of this size.
    pub reserve_step: u64,
    /// The journal's segments stay below this size together: they are absorbed into tables ahead of it, and writers are
    /// slowed near it. 0: nothing is absorbed by itself.
    pub journal_max_bytes: u64,
    /// The records that the absorber holds in memory at a time. With more it makes tables in parts.
    pub absorb_memory_bytes: usize,
    /// The length of the group with which a key or a prefix begins; nothing if it holds no whole one. Records of a group lie
    /// together in tables, and the deletion of a prefix that holds a whole group costs next to nothing. What it says of some
    /// bytes it must say of everything that begins with them, and of a directory's records always the same.
    pub group: Group,
    /// Called at the end of a rewrite or an absorption, which has just freed what it knew: an allocator may want to give
    /// that back.
    pub after_upkeep: fn(),
    /// Where the salts of the segments come from.
    pub seed: u64,
    /// Without background threads the owner calls [`crate::DB::maintain`]: every run is then the same, as tests need.
    pub background: bool,
    pub fs: Arc<dyn FileSystem>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::EverySec,
            segment_size: 64 << 20,
            reserve_step: 4 << 20,
            journal_max_bytes: 256 << 20,
            absorb_memory_bytes: 64 << 20,
            group: |_| None,
            after_upkeep: || {},
            seed: RandomState::new().hash_one(0),
            background: true,
            fs: Arc::new(RealFileSystem),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("segment_size", &self.segment_size)
            .field("reserve_step", &self.reserve_step)
            .field("journal_max_bytes", &self.journal_max_bytes)
            .field("absorb_memory_bytes", &self.absorb_memory_bytes)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}

impl Durability {
    pub(crate) fn from_u8(value: u8) -> Durability {
        match value {
            0 => Durability::Always,
            1 => Durability::EverySec,
            _ => Durability::No,
        }
    }
}
