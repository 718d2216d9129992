//! The striped table of entries.

use crate::base::small_bytes::SmallBytes;
use ahash::RandomState;
use crossbeam::utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::awaited::AwaitedKeys;
use super::entries::Entries;
pub use super::entries::{Entry, TableHash};
use super::sizes::Sizes;
use super::watch::WatchTable;

/// A key's name.
pub type Key = SmallBytes;

/// Databases that a keyspace can have: their number is one byte in every record.
pub const DATABASES_MAX: usize = 256;

/// Enough that the shards of a large machine seldom meet, few enough that their heads stay in the second-level cache.
const STRIPES_BITS: u32 = 10;
const STRIPES: usize = 1 << STRIPES_BITS;
/// The stripe comes from these bits of the hash: the lower ones tell the entries of a stripe apart ([`TableHash`]).
pub(super) const STRIPE_SHIFT: u32 = 40;

/// So many keys are warmed without an allocation.
const WARMED_TOGETHER: usize = 16;

/// One database's share of a stripe.
#[derive(Debug, Default)]
pub struct Table {
    pub entries: Entries,
    /// Parts of some value (fields of a hash) may have an expiry of their own: set with the first, and taken back when a
    /// look over all entries finds none.
    pub has_times: bool,
}

impl Table {
    /// Whether something in it may end by itself.
    pub fn is_volatile(&self) -> bool {
        self.entries.volatile() > 0 || self.has_times
    }

    #[inline]
    pub fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        self.entries.find_mut(TableHash::of(hash), key)
    }

    /// Adds an entry whose key is not there; returns its slot.
    pub fn insert(&mut self, entry: Entry) -> usize {
        self.has_times |= entry.value.has_times();
        self.entries.insert(entry)
    }

    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        self.entries.remove(TableHash::of(hash), key)
    }
}

/// The keys of one slice of the hash space.
#[derive(Debug)]
pub struct Stripe {
    first: Table,
    /// Databases 1 and up; most servers never use them.
    others: Option<Box<[Table]>>,
    /// Key locks held in this stripe.
    pub locks: u32,
}

impl Stripe {
    #[inline]
    pub fn table(&self, db: u8) -> Option<&Table> {
        match db {
            0 => Some(&self.first),
            _ => self
                .others
                .as_ref()
                .map(|tables| &tables[usize::from(db) - 1]),
        }
    }

    #[inline]
    pub fn table_mut(&mut self, db: u8, databases: usize) -> &mut Table {
        match db {
            0 => &mut self.first,
            _ => &mut self
                .others
                .get_or_insert_with(|| (1..databases).map(|_| Table::default()).collect())
                [usize::from(db) - 1],
        }
    }

    /// The tables of the databases that were ever used, with their numbers.
    pub fn tables(&self) -> impl Iterator<Item = (u8, &Table)> {
        let others = self.others.iter().flatten();
        (0..).zip(std::iter::once(&self.first).chain(others))
    }

    pub fn is_volatile(&self) -> bool {
        self.tables().any(|(_, table)| table.is_volatile())
    }
}

/// How many keys a database holds, and how many of them have an expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbSize {
    pub keys: usize,
    pub volatile: usize,
}

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    pub(super) sizes: Sizes,
    stripes: Box<[CachePadded<Mutex<Stripe>>]>,
    hasher: RandomState,
    /// The physical database behind each logical one.
    physical: Box<[AtomicU8]>,
    pub(super) watched: WatchTable,
    /// Some client keeps copies of keys and wants to hear of changes.
    tracked: AtomicBool,
    pub awaited: AwaitedKeys,
    /// Tells which fingerprints are locked exclusively: the layer above knows.
    locked: OnceLock<LockView>,
    freed_aside: Arc<FreedAside>,
}

/// The threads that free large values.
#[derive(Debug, Default)]
pub struct FreedAside {
    running: AtomicUsize,
    /// What they have changed of the memory in use, as the meter tells.
    balance: AtomicI64,
    /// Tells a thread how much it has allocated, less what it has freed: the layer above knows.
    meter: OnceLock<fn() -> i64>,
}

impl FreedAside {
    /// Whether one is at work.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Has the threads tell what they free. Only the first call counts.
    pub fn measure_with(&self, meter: fn() -> i64) {
        let _ = self.meter.set(meter);
    }

    /// What those that have been at work have changed of the memory in use: a negative number.
    pub fn balance(&self) -> i64 {
        self.balance.load(Ordering::Relaxed)
    }

    /// Drops a value on a thread of its own.
    pub fn free(self: &Arc<Self>, garbage: impl Send + 'static) {
        self.running.fetch_add(1, Ordering::Relaxed);
        let garbage = Garbage(Some(garbage), self.clone());
        // Where no thread can be had, the closure is dropped here, and the value with it. That counts twice, until all is
        // measured anew.
        let _ = std::thread::Builder::new()
            .name("free".into())
            .spawn(move || drop(garbage));
    }
}

struct Garbage<T>(Option<T>, Arc<FreedAside>);

impl<T> Drop for Garbage<T> {
    fn drop(&mut self) {
        let meter = self.1.meter.get();
        let before = meter.map_or(0, |meter| meter());
        drop(self.0.take());
        let change = meter.map_or(0, |meter| meter()) - before;
        self.1.balance.fetch_add(change, Ordering::Relaxed);
        self.1.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[inline]
fn warm_each(
    stripes: &[(MutexGuard<'_, Stripe>, TableHash)],
    db: u8,
    warm: impl Fn(&Entries, TableHash),
) {
    for (stripe, hash) in stripes {
        if let Some(table) = stripe.table(db) {
            warm(&table.entries, *hash);
        }
    }
}

/// Tells of every fingerprint that is locked exclusively.
struct LockView(Box<VisitLocks>);

type VisitLocks = dyn Fn(&mut dyn FnMut(u64)) + Send + Sync;

impl std::fmt::Debug for LockView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockView")
    }
}

impl Keyspace {
    pub fn new(databases: usize) -> Self {
        assert!(
            (1..=DATABASES_MAX).contains(&databases),
            "a database's number is one byte"
        );
        let stripe = || {
            let stripe = Stripe {
                first: Table::default(),
                others: None,
                locks: 0,
            };
            CachePadded::new(Mutex::new(stripe))
        };
        Self {
            sizes: Sizes::new(databases),
            stripes: (0..STRIPES).map(|_| stripe()).collect(),
            hasher: RandomState::new(),
            physical: (0..databases).map(|db| AtomicU8::new(db as u8)).collect(),
            watched: WatchTable::default(),
            tracked: AtomicBool::new(false),
            awaited: AwaitedKeys::default(),
            locked: OnceLock::new(),
            freed_aside: Arc::default(),
        }
    }

    pub fn databases(&self) -> usize {
        self.physical.len()
    }

    /// The physical database behind the logical one. Constant while anyone is inside the keyspace gate.
    #[inline]
    pub fn physical(&self, db: usize) -> u8 {
        self.physical[db].load(Ordering::Relaxed)
    }

    /// The logical database that a physical one is behind.
    pub fn logical(&self, physical: u8) -> usize {
        let found = (0..self.databases()).find(|db| self.physical(*db) == physical);
        found.unwrap_or_else(|| unreachable!("each physical database is behind a logical one"))
    }

    /// Whether commits tell which keys they changed. Whoever asks has taken the stripe or the lock of a key after those
    /// who read it, so it sees what they set before they read.
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Large values that are on their way back to the allocator.
    pub fn freed_aside(&self) -> &Arc<FreedAside> {
        &self.freed_aside
    }

    /// Has commits tell which keys they changed, or not.
    pub fn set_tracked(&self, tracked: bool) {
        self.tracked.store(tracked, Ordering::Relaxed);
    }

    pub(super) fn set_physical(&self, db: usize, physical: u8) {
        self.physical[db].store(physical, Ordering::Relaxed);
    }

    /// The hash of a key in a physical database: its place here, and its name in the lock table.
    #[inline]
    pub fn fingerprint(&self, db: u8, key: &[u8]) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u8(db);
        hasher.write(key);
        hasher.finish()
    }

    pub(super) const fn stripes() -> usize {
        STRIPES
    }

    #[inline]
    pub(super) fn stripe_of(hash: u64) -> usize {
        (hash >> STRIPE_SHIFT) as usize & (STRIPES - 1)
    }

    #[inline]
    pub(super) fn lock_stripe(&self, index: usize) -> MutexGuard<'_, Stripe> {
        self.stripes[index].lock()
    }

    /// All stripes in their order, so that what is seen of them is one moment. A transaction waits only for a stripe behind
    /// those that it holds, so this does not wait in a circle.
    pub(super) fn lock_all_stripes(&self) -> Vec<MutexGuard<'_, Stripe>> {
        self.stripes.iter().map(|stripe| stripe.lock()).collect()
    }

    /// Has the cache get what will be looked at of some keys, so that the waits for it overlap. Whoever looks at one key
    /// after the other waits for each.
    pub fn warm(&self, db: u8, fingerprints: &[u64]) {
        // Taken once for all three looks: an atomic operation waits for every read before it. Who holds a stripe has its
        // lines, and is not to be kept from its work; nor is anybody waited for here, so it does no harm to hold several.
        let stripes: SmallVec<[_; WARMED_TOGETHER]> = fingerprints
            .iter()
            .filter_map(|fingerprint| {
                let stripe = self.stripes[Self::stripe_of(*fingerprint)].try_lock()?;
                Some((stripe, TableHash::of(*fingerprint)))
            })
            .collect();
        warm_each(&stripes, db, Entries::warm_index);
        warm_each(&stripes, db, Entries::warm_entry);
        warm_each(&stripes, db, Entries::warm_content);
    }

    /// Takes the stripes of some keys, in ascending order, and has the cache get what will be looked at in them.
    pub(super) fn lock_warmed(
        &self,
        db: u8,
        fingerprints: &[u64],
    ) -> Vec<(usize, MutexGuard<'_, Stripe>)> {
        let places = fingerprints
            .iter()
            .map(|fingerprint| (Self::stripe_of(*fingerprint), TableHash::of(*fingerprint)));
        let mut places: SmallVec<[_; WARMED_TOGETHER]> = places.collect();
        places.sort_unstable();
        let mut stripes: Vec<(usize, MutexGuard<'_, Stripe>)> = Vec::with_capacity(places.len());
        for (index, _) in &places {
            if stripes.last().is_none_or(|(last, _)| last != index) {
                stripes.push((*index, self.lock_stripe(*index)));
            }
        }
        for warm in [
            Entries::warm_index,
            Entries::warm_entry,
            Entries::warm_content,
        ] {
            let mut stripes = stripes.iter().peekable();
            for (index, hash) in &places {
                while stripes.next_if(|(held, _)| held != index).is_some() {}
                if let Some((_, stripe)) = stripes.peek()
                    && let Some(table) = stripe.table(db)
                {
                    warm(&table.entries, *hash);
                }
            }
        }
        stripes
    }

    /// One more key lock is held in the stripe of `fingerprint`.
    pub fn raise(&self, fingerprint: u64) {
        self.lock_stripe(Self::stripe_of(fingerprint)).locks += 1;
    }

    /// One key lock less is held in the stripe of `fingerprint`.
    pub fn lower(&self, fingerprint: u64) {
        let mut stripe = self.lock_stripe(Self::stripe_of(fingerprint));
        debug_assert!(stripe.locks > 0, "each lowering follows its raising");
        stripe.locks -= 1;
    }

    /// Lets walks over the keys see which of them are locked. Only the first call counts.
    pub fn look_at_locks(&self, view: impl Fn(&mut dyn FnMut(u64)) + Send + Sync + 'static) {
        let _ = self.locked.set(LockView(Box::new(view)));
    }

    /// Adds to `met` what is locked exclusively in a stripe whose mutex is held: whatever the stripe shows, or does not
    /// show, of these keys may be the middle of a transaction.
    pub(super) fn note_locked(&self, index: usize, stripe: &Stripe, met: &mut Vec<u64>) {
        if stripe.locks > 0
            && let Some(LockView(visit_all)) = self.locked.get()
        {
            visit_all(&mut |fingerprint| {
                if Self::stripe_of(fingerprint) == index {
                    met.push(fingerprint);
                }
            });
        }
    }

    /// The same for the whole keyspace.
    pub(super) fn note_all_locked(&self, stripes: &[MutexGuard<'_, Stripe>], met: &mut Vec<u64>) {
        if stripes.iter().any(|stripe| stripe.locks > 0)
            && let Some(LockView(visit_all)) = self.locked.get()
        {
            visit_all(&mut |fingerprint| met.push(fingerprint));
        }
    }

    /// How many keys a physical database has, as far as nothing is in `met` afterwards that belongs to others.
    pub fn count(&self, db: u8, met: &mut Vec<u64>) -> usize {
        let stripes = self.lock_all_stripes();
        self.note_all_locked(&stripes, met);
        let tables = stripes.iter().filter_map(|stripe| stripe.table(db));
        tables.map(|table| table.entries.len()).sum()
    }

    /// The sizes of a physical database, with what transactions have not committed yet: by a walk over all stripes.
    pub fn size(&self, db: u8) -> DbSize {
        let mut size = DbSize::default();
        for index in 0..STRIPES {
            if let Some(table) = self.lock_stripe(index).table(db) {
                size.keys += table.entries.len();
                size.volatile += table.entries.volatile();
            }
        }
        size
    }

    /// Heap bytes of the tables and their values, by a walk over everything: for `MEMORY STATS`.
    pub fn heap_bytes(&self) -> usize {
        let mut bytes = 0;
        for index in 0..STRIPES {
            let stripe = self.lock_stripe(index);
            for db in 0..self.databases() {
                let Some(table) = stripe.table(db as u8) else {
                    continue;
                };
                bytes += table.entries.heap_bytes();
                bytes += table.entries.iter().map(entry_heap_bytes).sum::<usize>();
            }
        }
        bytes
    }
}

/// Heap bytes behind an entry.
pub fn entry_heap_bytes(entry: &Entry) -> usize {
    entry.key.heap_bytes() + entry.value.heap_bytes()
}
