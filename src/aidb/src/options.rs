use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::fs::{FileSystem, RealFileSystem};

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
    /// A journal smaller than this is not rewritten by itself.
    pub rewrite_min_bytes: u64,
    /// A rewrite starts when the journal has grown by this much over the live data; 0: never by itself.
    pub rewrite_growth_percent: u32,
    /// The memory that a rewrite may use for keys. With more keys it goes over the journal several times.
    pub rewrite_memory_bytes: usize,
    /// Called at the end of each rewrite, which has just freed what it knew of the keys: an allocator may want to give that
    /// back.
    pub after_rewrite: fn(),
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
            rewrite_min_bytes: 64 << 20,
            rewrite_growth_percent: 100,
            rewrite_memory_bytes: 256 << 20,
            after_rewrite: || {},
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
            .field("rewrite_min_bytes", &self.rewrite_min_bytes)
            .field("rewrite_growth_percent", &self.rewrite_growth_percent)
            .field("rewrite_memory_bytes", &self.rewrite_memory_bytes)
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
