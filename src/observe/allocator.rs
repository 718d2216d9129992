//! What the allocator knows: how much it has given out and how much it keeps.
//!
//! This file is `unsafe` for the calls into jemalloc, which is written in C.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes, as jemalloc counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorStats {
    /// Given out to the program.
    pub allocated: u64,
    /// In pages that hold something given out.
    pub active: u64,
    /// In pages that the kernel has backed with memory.
    pub resident: u64,
    /// The most that was given out when somebody looked, which a shard does some times a second.
    pub peak: u64,
}

/// The largest `allocated` that was seen.
static PEAK: AtomicU64 = AtomicU64::new(0);

/// The figures of now.
pub fn stats() -> AllocatorStats {
    refresh();
    let allocated = read(c"stats.allocated");
    let peak = PEAK.fetch_max(allocated, Ordering::Relaxed).max(allocated);
    AllocatorStats {
        allocated,
        active: read(c"stats.active"),
        resident: read(c"stats.resident"),
        peak,
    }
}

/// Bytes that this thread has got from the allocator, less those that it has given back. What another thread has got and
/// this one gives back counts here, too, so it may be negative.
///
/// Reading it costs two loads, where [`stats`] asks every arena; the sum over all threads is what is allocated.
#[inline]
pub fn thread_balance() -> i64 {
    thread_local! {
        static COUNTERS: [*const u64; 2] = [
            thread_counter(c"thread.allocatedp"),
            thread_counter(c"thread.deallocatedp"),
        ];
    }
    COUNTERS.with(|counters| {
        let [allocated, freed] = counters.map(|counter| {
            // SAFETY: jemalloc's counters of a thread live as long as it, the pointers never leave it, and nobody but the
            // allocator, called by this same thread, writes to them.
            unsafe { counter.as_ref() }.copied().unwrap_or_default()
        });
        allocated.wrapping_sub(freed).cast_signed()
    })
}

/// Where jemalloc counts for the calling thread; null if this build does not count.
fn thread_counter(name: &CStr) -> *const u64 {
    let mut counter: *const u64 = std::ptr::null();
    let mut len = size_of::<*const u64>();
    // SAFETY: the name ends with a zero; the control gives a pointer, whose size `len` tells.
    unsafe {
        let target = (&raw mut counter).cast();
        tikv_jemalloc_sys::mallctl(name.as_ptr(), target, &raw mut len, std::ptr::null_mut(), 0);
    }
    counter
}

/// Gives unused pages of all arenas back to the kernel.
pub fn purge() {
    /// jemalloc's `MALLCTL_ARENAS_ALL` is 4096.
    const PURGE_ALL: &CStr = c"arena.4096.purge";
    // SAFETY: the name ends with a zero, and this control takes and gives no value.
    unsafe {
        let none = std::ptr::null_mut();
        tikv_jemalloc_sys::mallctl(PURGE_ALL.as_ptr(), none, none.cast(), none, 0);
    }
}

/// The allocator's own report.
pub fn report() -> String {
    unsafe extern "C" fn append(text: *mut c_void, part: *const c_char) {
        // SAFETY: jemalloc hands back the pointer it was given below, which lives through the call, and a C string.
        let (text, part) = unsafe { (&mut *text.cast::<Vec<u8>>(), CStr::from_ptr(part)) };
        text.extend_from_slice(part.to_bytes());
    }
    let mut text: Vec<u8> = Vec::new();
    // SAFETY: `text` outlives the call, which is the only user of the pointer; no options is a null pointer.
    unsafe {
        let target = (&raw mut text).cast::<c_void>();
        tikv_jemalloc_sys::malloc_stats_print(Some(append), target, std::ptr::null());
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// jemalloc's figures are snapshots; this takes a new one.
fn refresh() {
    let mut epoch: u64 = 1;
    // SAFETY: the name ends with a zero, and the control reads one `u64`, whose size is given.
    unsafe {
        let none = std::ptr::null_mut();
        let value = (&raw mut epoch).cast();
        tikv_jemalloc_sys::mallctl(
            c"epoch".as_ptr(),
            none,
            none.cast(),
            value,
            size_of::<u64>(),
        );
    }
}

/// A figure of the snapshot; zero if this build of jemalloc does not count.
fn read(name: &CStr) -> u64 {
    let mut value: usize = 0;
    let mut len = size_of::<usize>();
    // SAFETY: the name ends with a zero; the figures are of the type `size_t`, which `value` has and `len` tells.
    unsafe {
        let target = (&raw mut value).cast();
        tikv_jemalloc_sys::mallctl(name.as_ptr(), target, &raw mut len, std::ptr::null_mut(), 0);
    }
    value as u64
}
