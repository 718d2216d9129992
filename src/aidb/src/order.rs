//! The order of records in a table, and what a deleted prefix takes from those that follow.
//!
//! Records are ordered by the hash of their group, then by their names. A group is what the owner of the data deletes as
//! one, by its prefix, so a deleted group stands right before what it may take away, and a merge needs no look elsewhere.
//! A hash in front makes the order of most records a comparison of two numbers, and cuts any data into even shares.

use std::collections::{BTreeSet, HashMap};

use crate::Op;

/// See [`crate::Options::group`].
pub type Group = fn(&[u8]) -> Option<usize>;

/// Where a record stands in a table: 0 for the prefixes that reach over groups, which come first; else one more than the
/// hash of its group.
pub(crate) type Rank = u64;

/// One more than the highest rank.
pub(crate) const RANK_END: Rank = (1 << 32) + 1;

#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub group: Group,
}

impl Order {
    pub(crate) fn rank(self, op: Op<'_>) -> Rank {
        let (name, group_len) = match op {
            Op::Put { key, .. } | Op::Delete { key } => {
                (key, (self.group)(key).unwrap_or(key.len()))
            }
            Op::DeletePrefix { prefix } => match (self.group)(prefix) {
                Some(group_len) => (prefix, group_len),
                None => return 0,
            },
        };
        u64::from(crc32c::crc32c(&name[..group_len])) + 1
    }
}

/// A record's name, and its class among those with that name: a deleted prefix comes first, because what a table has
/// besides is newer.
pub(crate) fn name(op: Op<'_>) -> (&[u8], u8) {
    match op {
        Op::DeletePrefix { prefix } => (prefix, 0),
        Op::Put { key, .. } | Op::Delete { key } => (key, 1),
    }
}

/// Prefixes that were deleted, each with its age: the higher the newer. Asked for names in their order.
#[derive(Default)]
pub(crate) struct Covers {
    /// Those that reach over groups.
    pub wide: Wide,
    /// Those of the group that is being read; each begins with the one before it.
    near: Vec<(Vec<u8>, u64)>,
}

/// Prefixes by their bytes.
#[derive(Default)]
pub(crate) struct Wide {
    ages: HashMap<Box<[u8]>, u64, ahash::RandomState>,
    /// The lengths of these prefixes: as many looks a name needs.
    lengths: BTreeSet<usize>,
}

impl Covers {
    /// Whether a prefix of the name was deleted by something newer than `age`.
    pub(crate) fn take_away(&mut self, name: &[u8], age: u64) -> bool {
        while self
            .near
            .last()
            .is_some_and(|(prefix, _)| !name.starts_with(prefix))
        {
            self.near.pop();
        }
        self.near.iter().any(|(_, newer)| *newer > age) || self.wide.take_away(name, age)
    }

    /// Notes a deleted prefix of one group, about which [`Covers::take_away`] was asked just now.
    pub(crate) fn push(&mut self, prefix: &[u8], age: u64) {
        self.near.push((prefix.to_vec(), age));
    }
}

impl Wide {
    pub(crate) fn note(&mut self, prefix: &[u8], age: u64) {
        if let Some(newest) = self.ages.get_mut(prefix) {
            *newest = age.max(*newest);
            return;
        }
        self.lengths.insert(prefix.len());
        self.ages.insert(prefix.into(), age);
    }

    /// All prefixes, in the order of their bytes.
    pub(crate) fn sorted(&self) -> Vec<&[u8]> {
        let mut prefixes: Vec<&[u8]> = self.ages.keys().map(|prefix| &**prefix).collect();
        prefixes.sort_unstable();
        prefixes
    }

    fn take_away(&self, name: &[u8], age: u64) -> bool {
        self.lengths
            .iter()
            .take_while(|&&length| length <= name.len())
            .any(|&length| {
                self.ages
                    .get(&name[..length])
                    .is_some_and(|newer| *newer > age)
            })
    }
}
