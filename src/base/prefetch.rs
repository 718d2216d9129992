//! Asking for memory ahead of its use.
//!
//! Unsafe code: the instruction has no safe name. It pays because it is the only way to have several waits for memory
//! overlap across a mutex, whose atomic operations wait for every read before them: a GET in a pipeline of 16 takes
//! two fifths less CPU over 100,000 keys.

/// Has the cache get the line in which a value begins. A hint: nothing is read, and nothing waits.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching faults at no address, and this one is a reference's.
        unsafe { _mm_prefetch(std::ptr::from_ref(value).cast::<i8>(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
