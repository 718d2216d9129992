//! From the buffer to the files: one write(2) carries what everybody has appended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Journal;
use super::tail::Pending;
use crate::segment::Segment;
use crate::{Error, Result, Sequence};

#[derive(Default)]
pub(super) struct Writer {
    outgoing: Pending,
    /// Segments that have been written to since they were last synced, in order.
    unsynced: Vec<Arc<Segment>>,
}

impl Journal {
    /// Returns once everything that was appended before the call is written.
    ///
    /// The first to come writes for all; who comes meanwhile waits for the mutex and mostly finds its work done.
    pub(crate) fn write_out(&self) -> Result<Sequence> {
        let target = self.appended();
        self.health.check()?;
        if self.written() >= target {
            return Ok(self.written());
        }
        match self.write_for_all(target) {
            Err(error @ Error::Io { .. }) => Err(self.poison(&error)),
            result => result,
        }
    }

    fn write_for_all(&self, target: Sequence) -> Result<Sequence> {
        let mut writer = self.writer.lock();
        self.health.check()?;
        if self.written() >= target {
            return Ok(self.written());
        }
        let writer = &mut *writer;
        let last = self.take_pending(&mut writer.outgoing);
        let mut rest = writer.outgoing.bytes.as_slice();
        for piece in &writer.outgoing.pieces {
            let (bytes, after) = rest.split_at(piece.bytes);
            rest = after;
            let segment = &piece.segment;
            if writer
                .unsynced
                .last()
                .is_none_or(|last| last.number != segment.number)
            {
                writer.unsynced.push(Arc::clone(segment));
            }
            if let Err(error) = segment.file.write_all_at(piece.offset, bytes) {
                let error = Error::io("write", &segment.path, error);
                // Before the mutex is free: whoever comes next must not write after the gap.
                self.health.poison(&error);
                return Err(error);
            }
        }
        debug_assert!(rest.is_empty());
        writer.outgoing.clear();
        self.written.store(last, Ordering::Release);
        Ok(last)
    }

    /// What has to be synced so that everything up to the returned sequence is on disk.
    pub(super) fn unsynced(&self) -> (Vec<Arc<Segment>>, Sequence) {
        let writer = self.writer.lock();
        (writer.unsynced.clone(), self.written())
    }

    /// Forgets the segments that were synced when nothing could be written to them any more: all before `open`.
    pub(super) fn forget_synced_before(&self, open: u64) {
        self.writer
            .lock()
            .unsynced
            .retain(|segment| segment.number >= open);
    }
}
