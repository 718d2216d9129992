//! Which shards have subscribers of which channel.

use super::{Kind, Name};
use crate::base::glob::{self, Case};
use dashmap::DashMap;
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many clients of each shard subscribed to something.
#[derive(Clone, Debug, Default)]
struct Counts(SmallVec<[(u32, u32); 4]>);

impl Counts {
    fn add(&mut self, shard: u32) {
        match self.0.iter_mut().find(|(of, _)| *of == shard) {
            Some((_, count)) => *count += 1,
            None => self.0.push((shard, 1)),
        }
    }

    /// Takes one away; tells whether none is left anywhere.
    fn remove(&mut self, shard: u32) -> bool {
        if let Some(at) = self.0.iter().position(|(of, _)| *of == shard) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.swap_remove(at);
            }
        }
        self.0.is_empty()
    }

    fn total(&self) -> usize {
        self.0.iter().map(|(_, count)| *count as usize).sum()
    }
}

type Table = DashMap<Name, Counts, ahash::RandomState>;

/// The subscriptions of all shards.
#[derive(Debug, Default)]
pub struct Channels {
    plain: Table,
    sharded: Table,
    patterns: RwLock<BTreeMap<Name, Counts>>,
    /// Names in the three tables, so that a publisher passes by with one load where nobody listens.
    names: AtomicUsize,
    pattern_names: AtomicUsize,
}

/// Who gets a message.
#[derive(Debug, Default)]
pub struct Receivers {
    /// A client counts once for its channel and once for each of its patterns that fits.
    pub clients: usize,
    pub shards: SmallVec<[u32; 8]>,
    pub patterns: Vec<Name>,
}

impl Receivers {
    fn add(&mut self, counts: &Counts) {
        self.clients += counts.total();
        for (shard, _) in &counts.0 {
            if !self.shards.contains(shard) {
                self.shards.push(*shard);
            }
        }
    }
}

impl Channels {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.load(Ordering::Relaxed) == 0
    }

    /// Who gets a message of this channel.
    pub fn receivers(&self, channel: &[u8], sharded: bool) -> Receivers {
        let mut receivers = Receivers::default();
        if self.is_empty() {
            return receivers;
        }
        let table = if sharded { &self.sharded } else { &self.plain };
        if let Some(counts) = table.get(channel) {
            receivers.add(&counts);
        }
        if !sharded && self.pattern_names.load(Ordering::Relaxed) > 0 {
            for (pattern, counts) in &*self.patterns.read() {
                if glob::matches(pattern, channel, Case::Sensitive) {
                    receivers.add(counts);
                    receivers.patterns.push(pattern.clone());
                }
            }
        }
        receivers
    }

    pub fn add(&self, kind: Kind, name: &Name, shard: u32) {
        let is_new = |counts: &Counts| usize::from(counts.0.is_empty());
        let added = if let Some(table) = self.table(kind) {
            let mut counts = table.entry(name.clone()).or_default();
            let added = is_new(&counts);
            counts.add(shard);
            added
        } else {
            let mut patterns = self.patterns.write();
            let counts = patterns.entry(name.clone()).or_default();
            let added = is_new(counts);
            counts.add(shard);
            self.pattern_names.fetch_add(added, Ordering::SeqCst);
            added
        };
        self.names.fetch_add(added, Ordering::SeqCst);
    }

    pub fn remove(&self, kind: Kind, name: &Name, shard: u32) {
        let removed = if let Some(table) = self.table(kind) {
            table.remove_if_mut(name, |_, counts| counts.remove(shard))
        } else {
            let mut patterns = self.patterns.write();
            let is_over = patterns.get_mut(name).is_some_and(|c| c.remove(shard));
            let removed = is_over.then(|| patterns.remove_entry(name)).flatten();
            let count = usize::from(removed.is_some());
            self.pattern_names.fetch_sub(count, Ordering::SeqCst);
            removed
        };
        let removed = usize::from(removed.is_some());
        self.names.fetch_sub(removed, Ordering::SeqCst);
    }

    /// Channels that somebody subscribed to, those that fit a pattern, in the order of their names.
    pub fn active(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Name> {
        let fits = |name: &Name| {
            pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive))
        };
        let table = self.table(kind).into_iter().flatten();
        let mut names: Vec<Name> = table
            .filter(|entry| fits(entry.key()))
            .map(|entry| entry.key().clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// How many clients subscribed to a channel by its name.
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        let counts = self.table(kind).and_then(|table| table.get(channel));
        counts.map_or(0, |counts| counts.total())
    }

    /// How many names of a kind there are.
    pub fn len(&self, kind: Kind) -> usize {
        match self.table(kind) {
            Some(table) => table.len(),
            None => self.pattern_names.load(Ordering::Relaxed),
        }
    }

    /// The table of a kind; patterns are looked through, not looked up, and have another.
    fn table(&self, kind: Kind) -> Option<&Table> {
        match kind {
            Kind::Channel => Some(&self.plain),
            Kind::Shard => Some(&self.sharded),
            Kind::Pattern => None,
        }
    }
}
