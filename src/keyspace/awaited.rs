//! Keys that clients wait for data in: a filter that lets a commit pass by where nobody waits.
//!
//! Who waits is the business of the layer above. Here stands only how many wait in each slice of the hash space, so that
//! a commit can tell with one or two loads that it need not look further. Where it cannot, it gathers the fingerprints
//! that it changed (see `Readied`), and the layer above looks them up.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Slices of the hash space. Two keys in one slice cost a look-up in vain, no more.
const SLICES: usize = 4096;

/// How many clients wait in each slice.
#[derive(Debug)]
pub struct AwaitedKeys {
    count: AtomicUsize,
    slices: Box<[AtomicU32]>,
}

/// What a transaction's commits have changed of what may be waited for: of each commit first the keys that got a value, in
/// that order.
#[derive(Debug, Default)]
pub struct Readied {
    pub fingerprints: Vec<u64>,
    /// Whole databases were emptied or changed places.
    pub everything: bool,
}

impl Default for AwaitedKeys {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            slices: (0..SLICES).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl AwaitedKeys {
    /// One more client waits on this key. The caller has the key locked: whoever changes the key next sees it.
    pub fn add(&self, fingerprint: u64) {
        self.slice(fingerprint).fetch_add(1, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn remove(&self, fingerprint: u64) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        let before = self.slice(fingerprint).fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "each leaves a queue that it entered");
    }

    /// Nobody waits for anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// `false`: nobody waits on this key.
    #[inline]
    pub fn may_contain(&self, fingerprint: u64) -> bool {
        !self.is_empty() && self.slice(fingerprint).load(Ordering::Relaxed) > 0
    }

    fn slice(&self, fingerprint: u64) -> &AtomicU32 {
        &self.slices[fingerprint as usize % SLICES]
    }
}

impl Readied {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty() && !self.everything
    }

    pub(super) fn note(&mut self, fingerprint: u64) {
        /// So many of the latest are compared, because a new key is mostly edited too.
        const COMPARED: usize = 4;
        let mut latest = self.fingerprints.iter().rev().take(COMPARED);
        if latest.all(|latest| *latest != fingerprint) {
            self.fingerprints.push(fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expiry, Keyspace, Txn, TxnBuffers};
    use crate::value::{Str, StrBuf, Value};

    fn put(txn: &mut Txn<'_>, key: &[u8]) {
        let value = Value::Str(Str::Bytes(StrBuf::from_slice(b"x")));
        txn.put(key, value, Expiry::Never);
    }

    #[test]
    fn a_commit_tells_of_what_is_waited_for_and_a_rollback_does_not() {
        let keyspace = Keyspace::new(2);
        let mirror = Keyspace::new(2);
        let mut buffers = TxnBuffers::default();
        let waited = keyspace.fingerprint(0, b"waited");
        keyspace.awaited.add(waited);
        assert!(keyspace.awaited.may_contain(waited));

        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1);
        put(&mut txn, b"waited");
        txn.rollback();
        put(&mut txn, b"other");
        txn.commit_to_mirror(&mirror);
        drop(txn);
        assert!(!buffers.readied.fingerprints.contains(&waited));

        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1);
        put(&mut txn, b"waited");
        put(&mut txn, b"waited");
        txn.rename(b"waited", 1, b"moved");
        txn.commit_to_mirror(&mirror);
        drop(txn);
        assert_eq!(std::mem::take(&mut buffers.readied).fingerprints, [waited]);

        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1);
        txn.swap_db(0, 1);
        txn.commit_to_mirror(&mirror);
        drop(txn);
        assert!(std::mem::take(&mut buffers.readied).everything);

        keyspace.awaited.remove(waited);
        assert!(keyspace.awaited.is_empty());
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1);
        put(&mut txn, b"waited");
        txn.commit_to_mirror(&mirror);
        drop(txn);
        assert!(buffers.readied.is_empty());
    }

    #[test]
    fn keys_are_told_of_in_the_order_in_which_they_got_their_values() {
        let keyspace = Keyspace::new(1);
        let mirror = Keyspace::new(1);
        let mut buffers = TxnBuffers::default();
        let [old, new] = [&b"old"[..], b"new"].map(|key| keyspace.fingerprint(0, key));
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, 1);
        put(&mut txn, b"old");
        txn.commit_to_mirror(&mirror);
        keyspace.awaited.add(old);
        keyspace.awaited.add(new);
        txn.remove(b"old");
        put(&mut txn, b"new");
        put(&mut txn, b"old");
        txn.commit_to_mirror(&mirror);
        drop(txn);
        let told = std::mem::take(&mut buffers.readied).fingerprints;
        assert_eq!(told, [new, old]);
    }
}
