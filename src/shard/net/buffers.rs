//! The buffers that the kernel picks from when data arrives: one pool for all connections of a shard, so that an idle
//! connection holds no memory.
//!
//! Unsafe: the pool is memory shared with the kernel. A buffer belongs to the kernel from [`recycle`] until a
//! completion names it, and to us from then until it is recycled.
//!
//! [`recycle`]: ReceiveBuffers::recycle

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4096;
/// Buffers that the kernel has from the start. It goes through all that it has in turn, so each of them soon takes memory.
const LENT_FIRST: u16 = 32;

pub(super) struct ReceiveBuffers {
    entries: Region,
    data: Region,
    count: u16,
    buffer_bytes: usize,
    tail: u16,
    /// Buffers below this number are the kernel's, or come back to it; the others have not been needed yet.
    lent: u16,
}

impl ReceiveBuffers {
    /// `count` is rounded up to a power of two, as the kernel wants it, and is at most 2^15.
    pub fn new(ring: &mut Ring, count: u16, buffer_bytes: u32) -> io::Result<ReceiveBuffers> {
        let count = count.clamp(1, 1 << 15).next_power_of_two();
        let buffer_bytes = buffer_bytes as usize;
        let mut buffers = ReceiveBuffers {
            entries: Region::new(usize::from(count) * size_of::<BufRingEntry>()),
            data: Region::new(usize::from(count) * buffer_bytes),
            count,
            buffer_bytes,
            tail: 0,
            lent: 0,
        };
        // SAFETY: the region holds `count` entries; `Net` drops its ring before its buffers.
        unsafe { ring.register_buffers(buffers.entries.start.as_ptr() as u64, count, GROUP)? };
        buffers.lend_up_to(LENT_FIRST);
        Ok(buffers)
    }

    /// Lets the kernel have more of the buffers, if there are any: those that it has were not enough.
    pub fn lend_more(&mut self) {
        self.lend_up_to(self.lent.saturating_mul(2));
    }

    fn lend_up_to(&mut self, lent: u16) {
        let lent = lent.min(self.count);
        for id in self.lent..lent {
            self.recycle(id);
        }
        self.lent = lent;
    }

    /// A pool that the kernel does not know.
    pub fn none() -> ReceiveBuffers {
        ReceiveBuffers {
            entries: Region::new(1),
            data: Region::new(1),
            count: 0,
            buffer_bytes: 0,
            tail: 0,
            lent: 0,
        }
    }

    /// The first `len` bytes of the buffer that a completion named.
    pub fn get(&self, id: u16, len: usize) -> &[u8] {
        assert!(
            id < self.count && len <= self.buffer_bytes,
            "buffer {id} with {len} bytes"
        );
        // SAFETY: within the region by the assertion; the kernel does not write a buffer that it has handed out, and
        // `recycle` needs `&mut self`.
        unsafe { slice::from_raw_parts(self.address(id), len) }
    }

    /// Gives a buffer (back) to the kernel.
    pub fn recycle(&mut self, id: u16) {
        assert!(id < self.count, "buffer {id}");
        let slot = usize::from(self.tail & (self.count - 1));
        #[expect(clippy::cast_ptr_alignment, reason = "a region starts on a page")]
        let ring = self.entries.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `slot` is within the `count` entries; the kernel reads only entries before the published tail.
        let entry = unsafe { &mut *ring.add(slot) };
        entry.set_addr(self.address(id) as u64);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, which `set_*` above leave alone; the kernel reads
        // it with an acquire load.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn address(&self, id: u16) -> *const u8 {
        // SAFETY: every caller has checked `id < count`, and the region has `count * buffer_bytes` bytes.
        unsafe {
            self.data
                .start
                .as_ptr()
                .add(usize::from(id) * self.buffer_bytes)
        }
    }
}

/// Zeroed pages.
struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

impl Region {
    fn new(bytes: usize) -> Region {
        assert!(bytes > 0, "a region has at least one byte");
        let layout =
            Layout::from_size_align(bytes, PAGE_BYTES).expect("a pool that fits into memory");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Region { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
