//! Walks over the keys: SCAN, KEYS, RANDOMKEY.
//!
//! A cursor is a position in the order of the keys' hashes (stripe first), not in a table's memory. So an element that is
//! there from start to end is returned whatever the tables do in between, as SCAN promises
//! (<https://redis.io/docs/latest/commands/scan/>).
//!
//! KEYS and DBSIZE hold all stripes at once, so that what they see is one moment, also beside commands that take no lock.
//! SCAN promises no more than that sentence, and holds one stripe at a time.
//!
//! A walk notes which keys are locked exclusively in the stripes that it sees, also keys that are not there: a running
//! transaction may have removed them. If one of them is another's, the result is worth nothing; the layer above waits
//! for these keys and has the command run again.

use super::table::{Entry, Key, Keyspace, TableHash};
use super::txn::Txn;
use crate::base::glob::{self, Case};
use crate::value::Kind;

/// Bits of a position below the stripe's number.
const POSITION_BITS: u32 = 32;

/// What SCAN lets through.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanFilter<'a> {
    pub pattern: Option<&'a [u8]>,
    pub kind: Option<Kind>,
}

impl ScanFilter<'_> {
    fn lets_through(&self, entry: &Entry, now_ms: i64) -> bool {
        !entry.is_over(now_ms)
            && self.kind.is_none_or(|kind| entry.value.kind() == kind)
            && self
                .pattern
                .is_none_or(|pattern| glob::matches(pattern, &entry.key, Case::Sensitive))
    }
}

impl<'a> Txn<'a> {
    /// The keyspace for a walk over it, and where the walk notes what it finds locked.
    pub fn walk(&mut self) -> (&'a Keyspace, &mut Vec<u64>) {
        // A walk takes every stripe in turn, also the one that is held.
        self.leave();
        (self.keyspace(), &mut self.buffers.met)
    }
}

impl Keyspace {
    /// Looks at `count` keys or a few more from the cursor on, tells of those that pass, and returns the next cursor; 0 is
    /// the start and the end.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what SCAN is asked, one by one"
    )]
    pub fn scan(
        &self,
        db: u8,
        cursor: u64,
        count: usize,
        now_ms: i64,
        filter: ScanFilter<'_>,
        met: &mut Vec<u64>,
        mut visit: impl FnMut(&[u8]),
    ) -> u64 {
        let mut from = cursor;
        let mut left = count.max(1);
        while ((from >> POSITION_BITS) as usize) < Self::stripes() {
            let index = (from >> POSITION_BITS) as usize;
            let end = ((index as u64) + 1) << POSITION_BITS;
            let stripe = self.lock_stripe(index);
            self.note_locked(index, &stripe, met);
            let Some(table) = stripe.table(db).filter(|t| !t.entries.is_empty()) else {
                from = end;
                continue;
            };
            let mut due: Vec<(u64, &Entry)> = table
                .entries
                .iter()
                .map(|entry| (position(index, entry.hash), entry))
                .filter(|(at, _)| *at >= from)
                .collect();
            let next = if due.len() > left {
                let (_, (last, _), _) = due.select_nth_unstable_by_key(left - 1, |(at, _)| *at);
                let next = *last + 1;
                due.retain(|(at, _)| *at < next);
                next
            } else {
                end
            };
            for (_, entry) in &due {
                if filter.lets_through(entry, now_ms) {
                    visit(&entry.key);
                }
            }
            from = next;
            left = left.saturating_sub(due.len());
            if left == 0 {
                break;
            }
        }
        if ((from >> POSITION_BITS) as usize) < Self::stripes() {
            from
        } else {
            0
        }
    }

    /// Tells of every key that passes, as they are at one moment.
    pub fn keys(
        &self,
        db: u8,
        now_ms: i64,
        filter: ScanFilter<'_>,
        met: &mut Vec<u64>,
        mut visit: impl FnMut(&[u8]),
    ) {
        let stripes = self.lock_all_stripes();
        self.note_all_locked(&stripes, met);
        let tables = stripes.iter().filter_map(|stripe| stripe.table(db));
        let entries = tables.flat_map(|table| table.entries.iter());
        entries
            .filter(|e| filter.lets_through(e, now_ms))
            .for_each(|e| visit(&e.key));
    }

    /// Shows every entry that has not expired, until `visit` says false; returns whether it never did. For a keyspace that no
    /// transaction changes.
    pub fn each(&self, db: u8, now_ms: i64, mut visit: impl FnMut(&Entry) -> bool) -> bool {
        (0..Self::stripes()).all(|index| {
            let stripe = self.lock_stripe(index);
            let mut entries = stripe.table(db).into_iter().flat_map(|t| t.entries.iter());
            entries.all(|entry| entry.is_over(now_ms) || visit(entry))
        })
    }

    /// A key chosen with equal chances; one that has expired is passed over.
    pub fn random_key(
        &self,
        db: u8,
        now_ms: i64,
        rng: &mut fastrand::Rng,
        met: &mut Vec<u64>,
    ) -> Option<Key> {
        /// Where most keys have expired, the walk below finds one that has not.
        const TRIES: usize = 32;
        let total = self.size(db).keys;
        for _ in 0..TRIES {
            let mut skip = rng.usize(..total.max(1));
            for index in 0..Self::stripes() {
                let stripe = self.lock_stripe(index);
                let len = stripe.table(db).map_or(0, |t| t.entries.len());
                if skip >= len {
                    skip -= len;
                    continue;
                }
                let entry = stripe.table(db).and_then(|t| t.entries.get(skip));
                match entry.filter(|e| !e.is_over(now_ms)) {
                    Some(entry) => {
                        self.note_locked(index, &stripe, met);
                        return Some(entry.key.clone());
                    }
                    None => break,
                }
            }
        }
        let mut found = None;
        self.keys(db, now_ms, ScanFilter::default(), met, |key| {
            found.get_or_insert_with(|| Key::from_slice(key));
        });
        found
    }

    pub(super) fn swap_physical(&self, a: usize, b: usize) {
        let (at_a, at_b) = (self.physical(a), self.physical(b));
        self.set_physical(a, at_b);
        self.set_physical(b, at_a);
    }
}

/// A key's place in the order of a scan.
fn position(stripe: usize, hash: TableHash) -> u64 {
    (stripe as u64) << POSITION_BITS | u64::from(hash.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Expiry, TxnBuffers};
    use crate::value::{Str, Value};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn put(keyspace: &Keyspace, mirror: &Keyspace, name: &str) {
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(keyspace, &mut buffers, 0, 0);
        txn.put(name.as_bytes(), Value::Str(Str::new(b"x")), Expiry::Never);
        txn.commit_to_mirror(mirror);
    }

    /// Keys come one after the other; what a walk sees of them is a beginning, without gaps.
    #[test]
    fn a_walk_sees_one_moment() {
        const KEYS: usize = 1_500;
        let (keyspace, over) = (Keyspace::new(1), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mirror = Keyspace::new(1);
                (0..KEYS).for_each(|n| put(&keyspace, &mirror, &format!("{n}")));
                over.store(true, Ordering::Relaxed);
            });
            while !over.load(Ordering::Relaxed) {
                let (mut seen, mut met) = (Vec::new(), Vec::new());
                keyspace.keys(0, 0, ScanFilter::default(), &mut met, |key| {
                    let text = std::str::from_utf8(key).expect("a number");
                    seen.push(text.parse::<usize>().expect("a number"));
                });
                seen.sort_unstable();
                let last = seen.last().map_or(0, |last| last + 1);
                assert_eq!(seen.len(), last, "a key without one that came before it");
                let counted = keyspace.count(0, &mut met);
                assert!(counted >= last, "{counted} after {last}");
            }
        });
    }
}
