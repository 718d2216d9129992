//! A look at the requests that a client has sent ahead.
//!
//! A command waits for memory several times: for the index of its key, for the entry, for what lies behind. One after the
//! other, the commands of a pipeline wait for all that in turn. So before they run, the memory of some of them is asked
//! for together. Nothing is decided here.

use super::Client;
use super::worker::Worker;
use crate::locks::Footprint;
use crate::resp::Peek;
use smallvec::SmallVec;

/// Requests whose waits overlap.
const TOGETHER: usize = 16;

impl Worker {
    /// Has the cache get what the next requests in `bytes` will look at. Returns the bytes up to which there is no need to
    /// look again.
    pub fn look_ahead(&self, client: &Client, bytes: &[u8]) -> usize {
        if client.multi.is_some() {
            return bytes.len();
        }
        let keyspace = self.shared.keyspace;
        let db = keyspace.physical(client.db);
        let mut fingerprints = SmallVec::<[u64; TOGETHER]>::new();
        let (mut at, mut last) = (0, None);
        for _ in 0..TOGETHER {
            let Some(peek) = Peek::at(&bytes[at..]) else {
                at = bytes.len();
                break;
            };
            at += peek.consumed;
            if last == Some(peek.key) {
                if fingerprints.len() == 1 {
                    // Most likely all are about one key, which needs to be fetched but once.
                    return bytes.len();
                }
                continue;
            }
            last = Some(peek.key);
            fingerprints.push(keyspace.fingerprint(db, peek.key));
        }
        if fingerprints.len() > 1 {
            keyspace.warm(db, &fingerprints);
        }
        at
    }

    /// Has the cache get what a command of several keys will look at.
    pub(super) fn warm_keys(&self, client: &Client, footprint: &Footprint) {
        if footprint.len() < 2 {
            return;
        }
        let keyspace = self.shared.keyspace;
        let fingerprints = footprint.iter().map(|(fingerprint, _)| fingerprint);
        let fingerprints: SmallVec<[u64; TOGETHER]> = fingerprints.take(TOGETHER).collect();
        keyspace.warm(keyspace.physical(client.db), &fingerprints);
    }
}
