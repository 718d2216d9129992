//! Reads what stands for segments: a base, and tables, which are merged by several threads at once.

use std::ops::Range;
use std::path::Path;
use std::thread;

use super::{Next, OpenFile, Scan};
use crate::frame::{Header, Kind};
use crate::fs::FileSystem;
use crate::journal::Run;
use crate::merge::{Beneath, Merge};
use crate::order::{Order, RANK_END, Rank};
use crate::segment::FileKind;
use crate::table::Table;
use crate::{Error, Op, Result};

/// Threads that read tables, at most.
const PARTS_MAX: usize = 8;

/// Who takes the records of a directory.
pub trait Load {
    /// Takes a record, or says why it does not understand it; then the open fails.
    fn apply(&mut self, op: Op<'_>) -> Result<(), String>;

    /// Up to `count` parts that may take records at the same time, where all records of a group come to the same part.
    /// None: `apply` takes them all.
    fn split(&mut self, _count: usize) -> Vec<Part<'_>> {
        Vec::new()
    }
}

/// See [`Load::split`].
pub type Part<'a> = Box<dyn FnMut(Op<'_>) -> Result<(), String> + Send + 'a>;

impl Scan {
    pub(super) fn load_runs(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        order: Order,
        load: &mut dyn Load,
    ) -> Result<()> {
        let mut beneath = Beneath::Nothing;
        let mut tables = Vec::new();
        for (kind, number) in self.listing.runs.clone() {
            if kind == FileKind::Base {
                self.read_base(fs, dir, number, load)?;
                beneath = Beneath::Something;
            } else {
                tables.push(self.open_table(fs, dir, kind, number)?);
            }
        }
        let load_range = |ranks: Range<Rank>, apply: Apply<'_>| {
            let mut records = 0;
            let merge = Merge::open(&tables, order, &ranks, beneath)?;
            merge.run(&mut |_, op| {
                records += 1;
                apply(op).map_err(|what| Error::Replay {
                    file: dir.to_path_buf(),
                    offset: 0,
                    what,
                })
            })?;
            Ok::<u64, Error>(records)
        };
        // What reaches over groups is over before the parts begin.
        self.recovery.records += load_range(0..1, &mut |op| load.apply(op))?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let parts = load.split(threads.min(PARTS_MAX));
        if parts.is_empty() {
            drop(parts);
            self.recovery.records += load_range(1..RANK_END, &mut |op| load.apply(op))?;
            return Ok(());
        }
        let step = (RANK_END - 1).div_ceil(parts.len() as u64);
        let loaded: Vec<Result<u64>> = thread::scope(|scope| {
            let running: Vec<_> = (1..)
                .step_by(step as usize)
                .zip(parts)
                .map(|(start, mut part)| {
                    let load_range = &load_range;
                    scope.spawn(move || {
                        load_range(start..(start + step).min(RANK_END), &mut |op| part(op))
                    })
                })
                .collect();
            let join = |part: thread::ScopedJoinHandle<'_, Result<u64>>| {
                part.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(join).collect()
        });
        for records in loaded {
            self.recovery.records += records?;
        }
        Ok(())
    }

    fn open_table(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        kind: FileKind,
        number: u64,
    ) -> Result<Table> {
        let table = Table::open(fs, kind.path(dir, number), kind, number)?;
        self.note_run(Run {
            kind,
            number,
            sequence: table.header.sequence,
            bytes: table.bytes,
        });
        Ok(table)
    }

    /// Reads all frames, whatever is in them.
    pub(super) fn verify_runs(&mut self, fs: &dyn FileSystem, dir: &Path) -> Result<()> {
        for (kind, number) in self.listing.runs.clone() {
            if kind == FileKind::Base {
                self.read_base(fs, dir, number, &mut super::Nowhere)?;
            } else {
                self.open_table(fs, dir, kind, number)?;
                let file = OpenFile::open(fs, dir, kind, number)?;
                self.read_frames(&file, &mut super::Nowhere)?;
            }
        }
        Ok(())
    }

    fn read_base(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        number: u64,
        load: &mut dyn Load,
    ) -> Result<()> {
        let base = OpenFile::open(fs, dir, FileKind::Base, number)?;
        self.read_frames(&base, load)?;
        self.note_run(Run {
            kind: FileKind::Base,
            number,
            sequence: base.header.sequence,
            bytes: base.bytes,
        });
        Ok(())
    }

    /// Reads the frames of a base or a table from the first to the last.
    fn read_frames(&mut self, file: &OpenFile, load: &mut dyn Load) -> Result<()> {
        let mut frames = file.frames();
        let mut expected = 1;
        loop {
            let damaged = |offset, what| Err(Error::damaged(&file.path, offset, what));
            match frames.next().map_err(|error| file.failed(error))? {
                Next::Frame { offset, header, .. } if header.sequence != expected => {
                    return damaged(offset, "a frame is out of order");
                }
                Next::Frame {
                    header:
                        Header {
                            kind: Kind::End, ..
                        },
                    ..
                } => return Ok(()),
                Next::Frame {
                    header:
                        Header {
                            kind: Kind::Index, ..
                        },
                    ..
                } => {}
                Next::Frame {
                    offset,
                    header,
                    payload,
                } => self.replay_frame(&file.path, offset, &header, payload, load)?,
                Next::End { offset } => return damaged(offset, "the last frame is missing"),
                Next::Bad { offset, what } => return damaged(offset, what),
            }
            expected += 1;
        }
    }

    fn note_run(&mut self, run: Run) {
        self.recovery.bytes += run.bytes;
        self.recovery.tables += 1;
        self.recovery.last = run.sequence;
        self.runs.push(run);
    }
}

type Apply<'a> = &'a mut dyn FnMut(Op<'_>) -> Result<(), String>;
