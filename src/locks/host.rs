//! What the locks need from the layer above, and the words both sides share.

use std::sync::Arc;

use super::footprint::Fingerprint;

/// Names a piece of suspended work: the shard that runs it and that shard's own token for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId {
    pub shard: u32,
    pub token: u64,
}

/// The mailboxes of the shards.
pub trait Wake: Send + Sync {
    /// Tells the waiter's shard that what it waited for is granted. Called from any thread, under
    /// none of our locks; must not block.
    fn wake(&self, waiter: WaiterId);
}

/// The keyspace's counts of held locks, one per stripe.
pub trait LockHost: Wake {
    /// One more lock is held in the fingerprint's stripe. Takes the stripe's mutex.
    fn raise(&self, fingerprint: Fingerprint);

    /// One lock less is held in the fingerprint's stripe. Takes the stripe's mutex.
    fn lower(&self, fingerprint: Fingerprint);
}

/// What a ticket was when it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Still queued: its waiter will not be woken.
    WhileQueued,
    /// Granted in the meantime: its waiter was woken or is about to be.
    AfterGrant,
}

impl<T: Wake + ?Sized> Wake for Arc<T> {
    fn wake(&self, waiter: WaiterId) {
        (**self).wake(waiter);
    }
}

impl<T: LockHost + ?Sized> LockHost for Arc<T> {
    fn raise(&self, fingerprint: Fingerprint) {
        (**self).raise(fingerprint);
    }

    fn lower(&self, fingerprint: Fingerprint) {
        (**self).lower(fingerprint);
    }
}
