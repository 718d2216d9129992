//! Locks that keep no shard from another's keys, so that a test can show that the tests of isolation would notice. Only a
//! build with debug assertions has them, and only where the environment asks for them.

use super::footprint::Fingerprint;

/// Where the table keeps a lock. Told to lie, it says another place to each thread.
#[cfg(debug_assertions)]
pub(super) fn place(fingerprint: Fingerprint) -> Fingerprint {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static LIES: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("AIKV_TEST_BROKEN_LOCKS").is_some());
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static THREAD: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    if *LIES {
        fingerprint ^ THREAD.with(|thread| thread.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    } else {
        fingerprint
    }
}

#[cfg(not(debug_assertions))]
#[inline]
pub(super) const fn place(fingerprint: Fingerprint) -> Fingerprint {
    fingerprint
}
