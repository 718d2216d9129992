//! The end of the journal: where the next frame goes, and what has not been written yet.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::{BUFFER_BYTES_KEPT, BUFFER_BYTES_MAX, BUFFER_BYTES_WANTED, Inventory, Journal, Sizes};
use crate::batch::WriteBatch;
use crate::frame::{self, PAYLOAD_BYTES_MAX};
use crate::fs::Reserved;
use crate::segment::{FRAMES_AT, FileKind, Segment, refusal};
use crate::{Error, Options, Result, Sequence};

/// A journal segment that takes no more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    pub number: u64,
    pub bytes: u64,
}

/// A file that stands for segments: for those after the run before it, up to `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub kind: FileKind,
    pub number: u64,
    pub sequence: Sequence,
    pub bytes: u64,
}

/// Bytes on their way to the files: `bytes` cut into one piece per segment.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
}

pub(super) struct Piece {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

pub(super) struct Tail {
    pub(super) pending: Pending,
    pub(super) last: Sequence,
    pub(super) segment: Arc<Segment>,
    /// Where the next frame goes in `segment`.
    position: u64,
    /// Up to where space is reserved in `segment`; `u64::MAX` where the file system cannot reserve.
    reserved: u64,
    spare: Option<(Arc<Segment>, u64)>,
    /// The oldest first.
    runs: Vec<Run>,
    closed: Vec<Closed>,
    closed_bytes: u64,
    /// Segments that a table stands for and that are still on disk.
    absorbed_bytes: u64,
    /// A segment was closed since the upkeep was last called.
    has_rotated: bool,
}

/// What there is to read: the runs, the closed segments after them, and the last sequence in them.
pub(crate) struct Snapshot {
    pub runs: Vec<Run>,
    pub closed: Vec<Closed>,
    pub last: Sequence,
}

impl Journal {
    /// Appends a batch to the shared buffer and gives it its place in the order.
    ///
    /// An error means that nothing was appended.
    pub(crate) fn append(&self, batch: &WriteBatch) -> Result<Sequence> {
        if batch.is_empty() {
            self.health.check()?;
            return Ok(self.appended());
        }
        if batch.byte_len() > PAYLOAD_BYTES_MAX {
            return Err(Error::BatchTooLarge {
                bytes: batch.byte_len(),
            });
        }
        let checksum = crc32c::crc32c(batch.payload());
        let mut tail = self.tail_with_room()?;
        self.make_place(&mut tail, (frame::HEADER_BYTES + batch.byte_len()) as u64)?;
        let sequence = self.push(&mut tail, frame::Kind::Batch, batch, checksum);
        let upkeep_due = self.upkeep_due(&mut tail);
        drop(tail);
        if upkeep_due {
            self.call_upkeep();
        }
        Ok(sequence)
    }

    /// Appends the mark of a journal closed in good order.
    pub(super) fn append_close(&self) -> Result<()> {
        let mut tail = self.tail_with_room()?;
        self.make_place(&mut tail, frame::HEADER_BYTES as u64)?;
        let empty = WriteBatch::new();
        self.push(
            &mut tail,
            frame::Kind::Close,
            &empty,
            crc32c::crc32c(empty.payload()),
        );
        Ok(())
    }

    /// True when the buffer has grown so much that it should be written before more is appended.
    pub(crate) fn needs_write_out(&self) -> bool {
        self.tail.lock().pending.bytes.len() >= BUFFER_BYTES_WANTED
    }

    /// Takes what is in the buffer and leaves `empty` in its place; returns the last sequence taken.
    pub(super) fn take_pending(&self, empty: &mut Pending) -> Sequence {
        debug_assert!(empty.bytes.is_empty() && empty.pieces.is_empty());
        let mut tail = self.tail.lock();
        mem::swap(&mut tail.pending, empty);
        self.note_segment_bytes(&tail);
        tail.last
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let tail = self.tail.lock();
        Sizes {
            journal_bytes: tail.bytes(),
            closed_bytes: tail.closed_bytes,
            table_bytes: tail.runs.iter().map(|run| run.bytes).sum(),
            tables: tail.runs.len(),
            absorbed: tail.runs.last().map_or(0, |run| run.sequence),
            segments: tail.closed.len() + 1,
            buffered_bytes: tail.pending.bytes.len(),
        }
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.tail.lock().runs.clone()
    }

    /// All runs and closed segments, after the open segment was closed, unless it is empty; the spare for that must be
    /// there.
    pub(crate) fn close_segment(&self) -> Option<Snapshot> {
        let mut tail = self.tail.lock();
        if tail.position > FRAMES_AT && !tail.rotate() {
            return None;
        }
        Some(tail.snapshot())
    }

    /// As [`Journal::close_segment`], also where the open segment is empty: runs want a successor, and an empty journal a
    /// segment.
    pub(crate) fn close_any_segment(&self) -> Option<Snapshot> {
        let mut tail = self.tail.lock();
        tail.rotate().then(|| tail.snapshot())
    }

    /// All runs and closed segments.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.tail.lock().snapshot()
    }

    /// Notes that `run` has taken the place of other runs, or of the segments after all runs.
    pub(crate) fn install_run(&self, run: Run) {
        let mut tail = self.tail.lock();
        let first = run.kind.first(run.number);
        let is_covered = |number: u64| (first..=run.number).contains(&number);
        tail.runs.retain(|old| !is_covered(old.number));
        tail.closed.retain(|closed| !is_covered(closed.number));
        let closed_bytes = tail.closed.iter().map(|closed| closed.bytes).sum();
        tail.absorbed_bytes += tail.closed_bytes - closed_bytes;
        tail.closed_bytes = closed_bytes;
        let place = tail.runs.partition_point(|old| old.number < first);
        tail.runs.insert(place, run);
    }

    /// Notes that the segments that tables stand for are removed.
    pub(crate) fn note_removed(&self) {
        let mut tail = self.tail.lock();
        tail.absorbed_bytes = 0;
        self.note_segment_bytes(&tail);
    }

    /// Whether enough is closed to be absorbed: about a segment, which mostly ends a little before its size. Small ones, of
    /// which each start leaves one, are read as fast at the next start as what they would become.
    pub(crate) fn absorb_due(&self) -> bool {
        self.options.journal_max_bytes > 0
            && self.tail.lock().closed_bytes >= self.options.segment_size / 2
    }

    /// The number of the next segment, if a spare for it should be made now.
    pub(super) fn spare_due(&self) -> Option<u64> {
        let tail = self.tail.lock();
        (tail.spare.is_none() && tail.position >= self.options.segment_size / 2)
            .then_some(tail.segment.number + 1)
    }

    /// The number of the next segment, if there is no spare for it.
    pub(super) fn spare_missing(&self) -> Option<u64> {
        let tail = self.tail.lock();
        tail.spare.is_none().then_some(tail.segment.number + 1)
    }

    pub(super) fn set_spare(&self, segment: Segment, reserved: u64) {
        let mut tail = self.tail.lock();
        assert!(tail.spare.is_none() && segment.number == tail.segment.number + 1);
        tail.spare = Some((Arc::new(segment), reserved));
    }

    /// Extends the reservation ahead of the appends, without the lock over the system call.
    pub(super) fn reserve_ahead(&self) -> Result<()> {
        let (segment, from) = {
            let tail = self.tail.lock();
            if !tail.reservation_low(&self.options) {
                return Ok(());
            }
            (Arc::clone(&tail.segment), tail.reserved)
        };
        let step = self.options.reserve_step;
        let answer = segment
            .file
            .reserve(from, step)
            .map_err(|error| refusal(error, &segment.path, step))?;
        let mut tail = self.tail.lock();
        if tail.segment.number == segment.number {
            tail.reserved = match answer {
                Reserved::Yes => tail.reserved.max(from + step),
                Reserved::Unsupported => u64::MAX,
            };
        }
        Ok(())
    }

    /// Where the open segment ends, once nothing more is appended.
    pub(super) fn open_segment(&self) -> (Arc<Segment>, u64) {
        let tail = self.tail.lock();
        (Arc::clone(&tail.segment), tail.position)
    }

    fn tail_with_room(&self) -> Result<MutexGuard<'_, Tail>> {
        loop {
            self.health.check()?;
            let tail = self.tail.lock();
            if tail.pending.bytes.len() < BUFFER_BYTES_MAX {
                return Ok(tail);
            }
            drop(tail);
            self.write_out()?;
        }
    }

    /// Turns to the spare when the segment is full, and makes sure that the disk has room for `bytes` more.
    fn make_place(&self, tail: &mut Tail, bytes: u64) -> Result<()> {
        if tail.position > FRAMES_AT && tail.position + bytes > self.options.segment_size {
            // Without a spare the segment grows on: an appender does not wait for a file to be made.
            tail.rotate();
        }
        let needed = (tail.position + bytes).saturating_sub(tail.reserved);
        if needed == 0 {
            return Ok(());
        }
        let step = needed.next_multiple_of(self.options.reserve_step);
        let segment = &tail.segment;
        match segment.file.reserve(tail.reserved, step) {
            Ok(Reserved::Yes) => tail.reserved += step,
            Ok(Reserved::Unsupported) => tail.reserved = u64::MAX,
            Err(error) => return Err(refusal(error, &segment.path, needed)),
        }
        Ok(())
    }

    #[inline]
    fn push(
        &self,
        tail: &mut Tail,
        kind: frame::Kind,
        batch: &WriteBatch,
        checksum: u32,
    ) -> Sequence {
        let sequence = tail.last + 1;
        let header = frame::Header {
            payload_bytes: batch.byte_len() as u32,
            sequence,
            synced: self.synced(),
            records: batch.len() as u32,
            kind,
        };
        let header = header.encode(checksum, tail.segment.salt);
        tail.push_bytes(&header, batch.payload());
        tail.last = sequence;
        self.appended.store(sequence, Ordering::Release);
        sequence
    }

    fn upkeep_due(&self, tail: &mut Tail) -> bool {
        let spare_due = tail.spare.is_none() && tail.position >= self.options.segment_size / 2;
        let has_rotated = mem::take(&mut tail.has_rotated);
        spare_due || has_rotated || tail.reservation_low(&self.options)
    }

    fn note_segment_bytes(&self, tail: &Tail) {
        self.segment_bytes.store(tail.bytes(), Ordering::Relaxed);
    }
}

impl Tail {
    pub(super) fn new(segment: Arc<Segment>, reserved: u64, inventory: Inventory) -> Tail {
        Tail {
            pending: Pending::default(),
            last: inventory.last,
            segment,
            position: FRAMES_AT,
            reserved,
            spare: None,
            runs: inventory.runs,
            closed_bytes: inventory.closed.iter().map(|closed| closed.bytes).sum(),
            closed: inventory.closed,
            absorbed_bytes: 0,
            has_rotated: false,
        }
    }

    /// All segments that are on disk.
    fn bytes(&self) -> u64 {
        self.absorbed_bytes + self.closed_bytes + self.position
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            runs: self.runs.clone(),
            closed: self.closed.clone(),
            last: self.last,
        }
    }

    fn reservation_low(&self, options: &Options) -> bool {
        self.reserved != u64::MAX && self.reserved - self.position < options.reserve_step / 2
    }

    /// Goes on in the spare segment. False, and nothing done, if there is none.
    fn rotate(&mut self) -> bool {
        let Some((spare, reserved)) = self.spare.take() else {
            return false;
        };
        let full = mem::replace(&mut self.segment, spare);
        full.end.store(self.position, Ordering::Release);
        self.closed.push(Closed {
            number: full.number,
            bytes: self.position,
        });
        self.closed_bytes += self.position;
        self.has_rotated = true;
        self.position = FRAMES_AT;
        self.reserved = reserved;
        true
    }

    #[inline]
    fn push_bytes(&mut self, header: &[u8], payload: &[u8]) {
        let bytes = header.len() + payload.len();
        self.pending.bytes.reserve(bytes);
        self.pending.bytes.extend_from_slice(header);
        self.pending.bytes.extend_from_slice(payload);
        match self.pending.pieces.last_mut() {
            Some(piece) if piece.segment.number == self.segment.number => piece.bytes += bytes,
            _ => {
                let segment = Arc::clone(&self.segment);
                self.pending.pieces.push(Piece {
                    segment,
                    offset: self.position,
                    bytes,
                });
            }
        }
        self.position += bytes as u64;
    }
}

impl Pending {
    /// Empties it for the next round, and gives back what a burst made it hold.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
    }
}
