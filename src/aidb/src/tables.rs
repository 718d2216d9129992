//! Makes tables: of closed segments, of other tables, and of a base.
//!
//! At every step a crash leaves a directory that opens: a table appears under its name by one rename, when all of it is on
//! disk, and only then what it stands for is removed. What a crash leaves over the next start removes.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::chunk::Chunk;
use crate::frame::Header;
use crate::fs::File;
use crate::journal::{Closed, Journal, Run, Snapshot, table_salt};
use crate::merge::{Beneath, Merge};
use crate::order::{Order, RANK_END, Rank};
use crate::recovery::{FrameReader, Next};
use crate::segment::{FileKind, SegmentHeader};
use crate::table::{Table, TableWriter};
use crate::{Error, Op, Result, Sequence};

/// Tables of about the same size that are merged into one.
const ALIKE_MIN: usize = 4;
/// More are not read at once.
const MERGED_MAX: usize = 16;
/// A chunk's places have 32 bits, and a frame may be large.
const CHUNK_BYTES_MAX: usize = 1 << 30;

type TakeRecord<'a> = dyn FnMut(Rank, Op<'_>) -> Result<()> + 'a;
/// Takes a frame's offset, header and payload.
type TakeFrame<'a> = dyn FnMut(u64, &Header, &[u8]) -> Result<()> + 'a;

/// What absorbing segments did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Absorbed {
    pub segments: usize,
    pub records: u64,
    pub journal_bytes: u64,
}

/// Turns the closed segments into a table, as it is called for: those that are closed now, or all after closing the open
/// one. Nothing if there are none.
pub(crate) fn absorb(journal: &Journal, all: bool, stop: &AtomicBool) -> Result<Absorbed> {
    journal.health.check()?;
    let snapshot = if all {
        journal.with_spare(Journal::close_segment)?
    } else {
        journal.snapshot()
    };
    let Snapshot { runs, closed, .. } = snapshot;
    let Some((first, number)) = ends(&closed) else {
        return Ok(Absorbed::default());
    };
    // What was appended may still be in the buffer.
    journal.write_out()?;
    let job = Job {
        journal,
        kind: FileKind::Table { first },
        number,
        beneath: if runs.is_empty() {
            Beneath::Nothing
        } else {
            Beneath::Something
        },
        stop,
    };
    let open = |closed: &Closed| job.open_input(FileKind::Journal, closed.number, closed.bytes);
    let inputs = closed.iter().map(open).collect::<Result<Vec<_>>>()?;
    let records = job.sort(&inputs, runs.last().map_or(0, |run| run.sequence))?;
    let old = closed
        .iter()
        .map(|closed| FileKind::Journal.path(&journal.dir, closed.number));
    // The last first: a gap between segments would read as a missing one.
    remove(journal, old.rev());
    journal.note_removed();
    Ok(Absorbed {
        segments: closed.len(),
        records,
        journal_bytes: closed.iter().map(|closed| closed.bytes).sum(),
    })
}

fn ends(closed: &[Closed]) -> Option<(u64, u64)> {
    Some((closed.first()?.number, closed.last()?.number))
}

/// The runs that should be merged now.
pub(crate) fn merge_due(runs: &[Run]) -> Option<Range<usize>> {
    let (oldest, newer) = runs.split_first()?;
    if oldest.kind == FileKind::Base {
        return Some(0..1);
    }
    let newer_bytes: u64 = newer.iter().map(|run| run.bytes).sum();
    if !newer.is_empty() && newer_bytes >= oldest.bytes && runs.len() <= MERGED_MAX {
        return Some(0..runs.len());
    }
    // The newest tables, as long as each is not much larger than all after it.
    let (mut start, mut bytes) = (runs.len(), 0);
    while start > 1 && runs.len() - start < MERGED_MAX {
        let run = &runs[start - 1];
        if start < runs.len() && run.bytes > 2 * bytes {
            break;
        }
        bytes += run.bytes;
        start -= 1;
    }
    (runs.len() - start >= ALIKE_MIN).then_some(start..runs.len())
}

/// The runs that are to be merged next until there is one table.
pub(crate) fn merge_due_for_one(runs: &[Run]) -> Option<Range<usize>> {
    match runs {
        [] => None,
        [one] => (one.kind == FileKind::Base).then_some(0..1),
        [oldest, ..] if oldest.kind == FileKind::Base => Some(0..1),
        _ => Some(runs.len().saturating_sub(MERGED_MAX)..runs.len()),
    }
}

/// The bytes of the runs that should be merged now.
pub(crate) fn merge_debt_bytes(runs: &[Run]) -> u64 {
    let which = merge_due(runs).unwrap_or(0..0);
    runs[which].iter().map(|run| run.bytes).sum()
}

/// Merges runs into one table.
pub(crate) fn merge(
    journal: &Journal,
    runs: &[Run],
    which: Range<usize>,
    stop: &AtomicBool,
) -> Result<()> {
    journal.health.check()?;
    let merged = &runs[which.clone()];
    let (Some(oldest), Some(newest)) = (merged.first(), merged.last()) else {
        return Ok(());
    };
    let job = Job {
        journal,
        kind: FileKind::Table {
            first: oldest.kind.first(oldest.number),
        },
        number: newest.number,
        beneath: if which.start == 0 {
            Beneath::Nothing
        } else {
            Beneath::Something
        },
        stop,
    };
    if oldest.kind == FileKind::Base {
        debug_assert_eq!(merged.len(), 1, "a base is made a table alone");
        let base = job.open_input(FileKind::Base, oldest.number, oldest.bytes)?;
        job.sort(&[base], oldest.sequence)?;
    } else {
        let open = |run: &Run| {
            let path = run.kind.path(&journal.dir, run.number);
            Table::open(&*journal.fs, path, run.kind, run.number)
        };
        let tables = merged.iter().map(open).collect::<Result<Vec<_>>>()?;
        job.merge(&tables, newest.sequence)?;
    }
    let old = merged
        .iter()
        .map(|run| run.kind.path(&journal.dir, run.number));
    remove(journal, old);
    Ok(())
}

/// What cannot be removed now the next start removes; the new table stands either way.
fn remove(journal: &Journal, paths: impl Iterator<Item = PathBuf>) {
    let _files = journal.files.lock();
    for path in paths {
        let _ = journal.fs.remove(&path);
    }
    let _ = journal.fs.sync_dir(&journal.dir);
}

/// A table that is being made.
struct Job<'a> {
    journal: &'a Journal,
    kind: FileKind,
    number: u64,
    beneath: Beneath,
    stop: &'a AtomicBool,
}

/// Frames with records in the order in which they were written.
struct Input {
    kind: FileKind,
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: u64,
    salt: u32,
}

impl Job<'_> {
    fn order(&self) -> Order {
        Order {
            group: self.journal.options.group,
        }
    }

    fn open_input(&self, kind: FileKind, number: u64, bytes: u64) -> Result<Input> {
        let path = kind.path(&self.journal.dir, number);
        let (file, header) = SegmentHeader::open(&*self.journal.fs, &path, kind, number)?;
        Ok(Input {
            kind,
            path,
            file,
            bytes,
            salt: header.salt,
        })
    }

    /// Makes the table of what the inputs say last; returns how many records they have. `sequence` is the last one before
    /// them, unless they say a later one themselves.
    fn sort(&self, inputs: &[Input], sequence: Sequence) -> Result<u64> {
        let mut parts = Vec::new();
        let made = self.sort_in_parts(inputs, sequence, &mut parts);
        for path in parts {
            // What stays the next start removes.
            let _ = self.journal.fs.remove(&path);
        }
        made
    }

    fn sort_in_parts(
        &self,
        inputs: &[Input],
        mut sequence: Sequence,
        parts: &mut Vec<PathBuf>,
    ) -> Result<u64> {
        let memory_bytes = self
            .journal
            .options
            .absorb_memory_bytes
            .min(CHUNK_BYTES_MAX);
        let input_bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
        let new_chunk = || Chunk::new(self.order(), memory_bytes.min(input_bytes as usize));
        let mut chunk = new_chunk();
        let mut records = 0;
        for input in inputs {
            self.for_each_frame(input, &mut |offset, header, payload| {
                if chunk.byte_len() > 0 && chunk.byte_len() + payload.len() > memory_bytes {
                    let full = std::mem::replace(&mut chunk, new_chunk());
                    self.write_part(full, parts)?;
                }
                records += u64::from(header.records);
                if input.kind == FileKind::Journal {
                    sequence = header.sequence;
                }
                chunk
                    .push(payload)
                    .map_err(|_| Error::damaged(&input.path, offset, "a record does not decode"))
            })?;
        }
        if parts.is_empty() {
            self.make(sequence, &mut |visit| {
                chunk.finish(&mut |rank, op| match op {
                    Op::Delete { .. } | Op::DeletePrefix { .. }
                        if self.beneath == Beneath::Nothing =>
                    {
                        Ok(())
                    }
                    _ => visit(rank, op),
                })
            })?;
            return Ok(records);
        }
        self.write_part(chunk, parts)?;
        let open =
            |path: &PathBuf| Table::open(&*self.journal.fs, path.clone(), self.kind, self.number);
        let tables = parts.iter().map(open).collect::<Result<Vec<_>>>()?;
        self.merge(&tables, sequence)?;
        Ok(records)
    }

    fn write_part(&self, mut chunk: Chunk, parts: &mut Vec<PathBuf>) -> Result<()> {
        let path = self
            .kind
            .part_path(&self.journal.dir, self.number, parts.len());
        parts.push(path.clone());
        let mut writer = TableWriter::create(&*self.journal.fs, path, &self.header(0))?;
        chunk.finish(&mut |rank, op| {
            self.check_stop()?;
            writer.push(rank, op)
        })?;
        writer.finish()?;
        Ok(())
    }

    fn merge(&self, tables: &[Table], sequence: Sequence) -> Result<()> {
        let order = self.order();
        self.make(sequence, &mut |visit| {
            Merge::open(tables, order, &(0..RANK_END), self.beneath)?.run(visit)
        })
    }

    /// Has `fill` hand over the records, and gives the table its name when all of it is on disk.
    fn make(
        &self,
        sequence: Sequence,
        fill: &mut dyn FnMut(&mut TakeRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let Journal { fs, dir, .. } = self.journal;
        let temporary = self.kind.temporary_path(dir, self.number);
        let path = self.kind.path(dir, self.number);
        let made = (|| {
            let mut writer = TableWriter::create(&**fs, temporary.clone(), &self.header(sequence))?;
            fill(&mut |rank, op| {
                self.check_stop()?;
                writer.push(rank, op)
            })?;
            writer.finish()
        })();
        let bytes = made.inspect_err(|_| {
            // A full disk wants the space back now, not at the next start.
            let _ = fs.remove(&temporary);
        })?;
        let failed = |error| Error::io("publish", &path, error);
        fs.rename(&temporary, &path).map_err(failed)?;
        fs.sync_dir(dir).map_err(failed)?;
        self.journal.install_run(Run {
            kind: self.kind,
            number: self.number,
            sequence,
            bytes,
        });
        Ok(())
    }

    fn header(&self, sequence: Sequence) -> SegmentHeader {
        let first = self.kind.first(self.number);
        SegmentHeader {
            kind: self.kind,
            number: self.number,
            salt: table_salt(self.journal.options.seed, first, self.number),
            sequence,
        }
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    fn for_each_frame(&self, input: &Input, visit: &mut TakeFrame<'_>) -> Result<()> {
        let mut frames = FrameReader::new(&*input.file, input.bytes, input.salt);
        loop {
            self.check_stop()?;
            let next = frames.next();
            match next.map_err(|error| Error::io("read", &input.path, error))? {
                Next::Frame {
                    offset,
                    header,
                    payload,
                } => visit(offset, &header, payload)?,
                Next::End { offset } if offset == input.bytes => return Ok(()),
                Next::End { offset } => {
                    return Err(Error::damaged(&input.path, offset, "frames are missing"));
                }
                Next::Bad { offset, what } => {
                    return Err(Error::damaged(&input.path, offset, what));
                }
            }
        }
    }
}
