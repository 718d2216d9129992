//! Replaces the base and all closed segments by a new base that holds each live key once.
//!
//! The segments are read first, to learn what they say last of each key. Then the base is copied as far as the segments
//! say nothing newer, and of the segments exactly the last puts. So what is kept in memory is about the keys that have
//! changed since the last rewrite, not about all. When they do not fit into [`crate::Options::rewrite_memory_bytes`] the
//! pass narrows itself to half of them, by hash, and leaves the other half to a later pass; so memory is bounded and any
//! number of keys works.
//!
//! At every step a crash leaves a directory that opens: the base appears under its name by one rename, when all of it
//! is on disk, and only then what it replaces is removed. What a crash leaves over the next start removes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{Records, WriteBatch};
use crate::frame::{self, Header, Kind};
use crate::fs::File;
use crate::journal::{Base, Closed, Journal, base_salt};
use crate::latest::{Latest, Mark};
use crate::recovery::{FrameReader, Next};
use crate::segment::{FRAMES_AT, FileKind, SegmentHeader};
use crate::{Error, Op, Result, Sequence};

/// A frame of a base is closed when it has this many bytes.
const FRAME_BYTES: usize = 64 << 10;
/// Frames are gathered to writes of this size.
const WRITE_BYTES: usize = 1 << 20;
/// An fsync after this much keeps the last one short, and the disk free for the journal's own.
const SYNC_BYTES: u64 = 8 << 20;
/// What a prefix costs in the map beside its own bytes.
const KEY_OVERHEAD_BYTES: usize = 64;

/// Runs one rewrite to its end. False if there was nothing to rewrite.
pub(crate) fn run(journal: &Journal, stop: &AtomicBool) -> Result<bool> {
    journal.health.check()?;
    let (base, closed, sequence) = journal.with_spare(Journal::rotate_for_rewrite)?;
    let Some(&Closed { number, .. }) = closed.last() else {
        return Ok(false);
    };
    journal.write_out()?;
    let rewrite = Rewrite {
        base: open_base(journal, base)?,
        segments: open_segments(journal, &closed)?,
        memory_bytes: journal.options.rewrite_memory_bytes,
        stop,
    };
    let bytes = write_base(journal, &rewrite, number, sequence).inspect_err(|_| {
        // A full disk wants the space back now, not at the next start.
        let _ = journal
            .fs
            .remove(&FileKind::Base.temporary_path(&journal.dir, number));
    })?;
    journal.install_base(Base {
        number,
        sequence,
        bytes,
    });
    remove_covered(journal, base, &closed);
    Ok(true)
}

struct Rewrite<'a> {
    base: Option<Input>,
    segments: Vec<Input>,
    memory_bytes: usize,
    stop: &'a AtomicBool,
}

struct Input {
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: u64,
    salt: u32,
}

/// The keys whose hash, modulo `modulus`, is `remainder`.
#[derive(Clone, Copy)]
struct Share {
    modulus: u64,
    remainder: u64,
}

/// What the segments say last of each key of a share.
struct LastSaid {
    share: Share,
    latest: Latest,
    cleared: Cleared,
    /// Records in the segments so far, of all shares.
    records: u64,
}

/// Prefixes that were deleted, and when last. Looked at when all is read, so that a deleted prefix costs no walk over
/// the keys.
#[derive(Default)]
struct Cleared {
    ordinals: HashMap<Box<[u8]>, u64, ahash::RandomState>,
    /// The lengths of these prefixes: as many looks a key needs.
    lengths: BTreeSet<usize>,
    memory_bytes: usize,
}

/// The ordinals of the puts that nothing took back, a bit for each record.
struct Live {
    bits: Vec<u64>,
}

impl Rewrite<'_> {
    fn copy_live(&self, writer: &mut BaseWriter) -> Result<()> {
        let mut shares = vec![Share {
            modulus: 1,
            remainder: 0,
        }];
        while let Some(share) = shares.pop() {
            let said = self.read_segments(share, &mut shares)?;
            self.copy_base(&said, writer)?;
            self.copy_segments(&said.into_live(), writer)?;
        }
        Ok(())
    }

    /// Reads what the segments say of a share, or of a part of it; what is left out is added to `shares`.
    fn read_segments(&self, share: Share, shares: &mut Vec<Share>) -> Result<LastSaid> {
        let mut said = LastSaid {
            share,
            latest: Latest::default(),
            cleared: Cleared::default(),
            records: 0,
        };
        for segment in &self.segments {
            let all = |_: &Range<u64>| true;
            said.records = self.for_each(segment, said.records, all, |ordinal, op| {
                said.note(ordinal, op);
                while said.memory_bytes() > self.memory_bytes && said.latest.len() > 1 {
                    shares.push(said.narrow());
                }
                Ok(())
            })?;
        }
        said.latest.settle();
        Ok(said)
    }

    /// Copies of the base what the segments say nothing newer of.
    fn copy_base(&self, said: &LastSaid, writer: &mut BaseWriter) -> Result<()> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let all = |_: &Range<u64>| true;
        self.for_each(base, 0, all, |_, op| match op {
            Op::Put { key, value } if said.leaves_base(key) => writer.put(key, value),
            _ => Ok(()),
        })?;
        Ok(())
    }

    /// Copies the live puts of the segments. Frames without one are passed over unread.
    fn copy_segments(&self, live: &Live, writer: &mut BaseWriter) -> Result<()> {
        let (mut end, mut copied) = (0, 0);
        for segment in &self.segments {
            let wanted = |ordinals: &Range<u64>| live.has_any(ordinals);
            end = self.for_each(segment, end, wanted, |ordinal, op| match op {
                Op::Put { key, value } if live.has(ordinal) => {
                    copied += 1;
                    writer.put(key, value)
                }
                _ => Ok(()),
            })?;
        }
        let Some(last) = self.segments.last().filter(|_| copied != live.count()) else {
            return Ok(());
        };
        // What was passed over unread was read before, so this is a disk that does not say the same twice.
        let what = "the records differ from those that were read before";
        Err(Error::damaged(&last.path, last.bytes, what))
    }

    /// Hands over the records of an input with their ordinals, which begin with `start`, and returns where they end.
    /// Frames that are not wanted are left out.
    fn for_each(
        &self,
        input: &Input,
        start: u64,
        wanted: impl Fn(&Range<u64>) -> bool,
        mut visit: impl FnMut(u64, Op<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut ordinals = start..start;
        let mut frames = FrameReader::new(&*input.file, input.bytes, input.salt);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Closed);
            }
            let next = frames.next_where(|header| {
                ordinals = ordinals.end..ordinals.end + u64::from(header.records);
                wanted(&ordinals)
            });
            let next = next.map_err(|error| Error::io("read", &input.path, error))?;
            let (offset, payload) = match next {
                Next::Frame {
                    offset, payload, ..
                } => (offset, payload),
                Next::End { offset } if offset == input.bytes => return Ok(ordinals.end),
                Next::End { offset } => {
                    return Err(Error::damaged(&input.path, offset, "frames are missing"));
                }
                Next::Bad { offset, what } => {
                    return Err(Error::damaged(&input.path, offset, what));
                }
            };
            for (ordinal, op) in (ordinals.start..).zip(Records::new(payload)) {
                let op = op
                    .map_err(|_| Error::damaged(&input.path, offset, "a record does not decode"))?;
                visit(ordinal, op)?;
            }
        }
    }
}

impl Share {
    fn has(self, key: &[u8]) -> bool {
        if self.modulus == 1 {
            return true;
        }
        // The upper bits, because the lower ones of a CRC of short keys differ little.
        let hash = u64::from(crc32c::crc32c(key)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        hash % self.modulus == self.remainder
    }
}

impl LastSaid {
    fn note(&mut self, ordinal: u64, op: Op<'_>) {
        match op {
            Op::Put { key, .. } if self.share.has(key) => {
                self.latest.note(key, Mark::put(ordinal));
            }
            Op::Delete { key } if self.share.has(key) => {
                self.latest.note(key, Mark::delete(ordinal));
            }
            Op::Put { .. } | Op::Delete { .. } => {}
            Op::DeletePrefix { prefix } => self.cleared.note(prefix, ordinal),
        }
    }

    /// Whether what the base has of a key is to be kept, and by this share.
    fn leaves_base(&self, key: &[u8]) -> bool {
        self.share.has(key) && self.latest.get(key).is_none() && !self.cleared.has_any_of(key)
    }

    /// The puts that nothing took back.
    fn into_live(self) -> Live {
        let mut live = Live::among(self.records);
        for (key, mark) in self.latest.iter() {
            if let Some(ordinal) = mark.as_put()
                && !self.cleared.covers(key, ordinal)
            {
                live.add(ordinal);
            }
        }
        live
    }

    fn memory_bytes(&self) -> usize {
        self.latest.memory_bytes() + self.cleared.memory_bytes
    }

    /// Keeps half of the share and returns the other half.
    fn narrow(&mut self) -> Share {
        let Share { modulus, remainder } = self.share;
        let kept = Share {
            modulus: modulus * 2,
            remainder,
        };
        self.share = kept;
        self.latest.retain(|key| kept.has(key));
        Share {
            modulus: modulus * 2,
            remainder: remainder + modulus,
        }
    }
}

impl Live {
    fn among(records: u64) -> Live {
        Live {
            bits: vec![0; records.div_ceil(64) as usize],
        }
    }

    fn add(&mut self, ordinal: u64) {
        self.bits[ordinal as usize / 64] |= 1 << (ordinal % 64);
    }

    fn has(&self, ordinal: u64) -> bool {
        self.bits
            .get(ordinal as usize / 64)
            .is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    fn has_any(&self, ordinals: &Range<u64>) -> bool {
        ordinals.clone().any(|ordinal| self.has(ordinal))
    }

    fn count(&self) -> u64 {
        self.bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }
}

impl Cleared {
    fn note(&mut self, prefix: &[u8], ordinal: u64) {
        if let Some(last) = self.ordinals.get_mut(prefix) {
            *last = ordinal;
            return;
        }
        self.lengths.insert(prefix.len());
        self.ordinals.insert(prefix.into(), ordinal);
        self.memory_bytes += prefix.len() + KEY_OVERHEAD_BYTES;
    }

    /// Whether the key's put at `ordinal` was followed by the end of one of its prefixes.
    fn covers(&self, key: &[u8], ordinal: u64) -> bool {
        self.of(key).any(|cleared| cleared > ordinal)
    }

    fn has_any_of(&self, key: &[u8]) -> bool {
        self.of(key).next().is_some()
    }

    /// The ordinals at which prefixes of the key ended last.
    fn of(&self, key: &[u8]) -> impl Iterator<Item = u64> {
        let prefixes = self.lengths.iter().filter_map(|len| key.get(..*len));
        prefixes.filter_map(|prefix| self.ordinals.get(prefix).copied())
    }
}

struct BaseWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    salt: u32,
    batch: WriteBatch,
    buffer: Vec<u8>,
    offset: u64,
    synced: u64,
    frames: u64,
}

impl BaseWriter {
    fn create(journal: &Journal, number: u64, sequence: Sequence) -> Result<BaseWriter> {
        let temporary = FileKind::Base.temporary_path(&journal.dir, number);
        let file = journal
            .fs
            .create(&temporary)
            .map_err(|error| Error::io("create", &temporary, error))?;
        let salt = base_salt(journal.options.seed, number);
        let header = SegmentHeader {
            kind: FileKind::Base,
            number,
            salt,
            sequence,
        };
        Ok(BaseWriter {
            path: FileKind::Base.path(&journal.dir, number),
            temporary,
            file,
            salt,
            batch: WriteBatch::new(),
            buffer: header.encode().to_vec(),
            offset: 0,
            synced: 0,
            frames: 0,
        })
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // Before it grows too large, not after: a huge value gets a frame to itself, which it had room in before.
        if !self.batch.is_empty() && self.batch.byte_len() + key.len() + value.len() > FRAME_BYTES {
            self.end_frame(Kind::Batch)?;
        }
        self.batch.put(key, value);
        Ok(())
    }

    fn end_frame(&mut self, kind: Kind) -> Result<()> {
        self.frames += 1;
        let header = Header {
            payload_bytes: self.batch.byte_len() as u32,
            sequence: self.frames,
            synced: 0,
            records: self.batch.len() as u32,
            kind,
        };
        frame::push(&mut self.buffer, &header, self.batch.payload(), self.salt);
        self.batch.clear();
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let failed = |error| Error::io("write", &self.temporary, error);
        self.file
            .write_all_at(self.offset, &self.buffer)
            .map_err(failed)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(failed)?;
            self.synced = self.offset;
        }
        Ok(())
    }

    fn publish(mut self, journal: &Journal) -> Result<u64> {
        if !self.batch.is_empty() {
            self.end_frame(Kind::Batch)?;
        }
        self.end_frame(Kind::BaseEnd)?;
        self.write()?;
        debug_assert!(self.offset > FRAMES_AT);
        let failed = |error| Error::io("publish", &self.path, error);
        self.file.sync_data().map_err(failed)?;
        journal
            .fs
            .rename(&self.temporary, &self.path)
            .map_err(failed)?;
        journal.fs.sync_dir(&journal.dir).map_err(failed)?;
        Ok(self.offset)
    }
}

fn write_base(
    journal: &Journal,
    rewrite: &Rewrite<'_>,
    number: u64,
    sequence: Sequence,
) -> Result<u64> {
    let mut writer = BaseWriter::create(journal, number, sequence)?;
    rewrite.copy_live(&mut writer)?;
    writer.publish(journal)
}

fn open_base(journal: &Journal, base: Option<Base>) -> Result<Option<Input>> {
    base.map(|base| open_input(journal, FileKind::Base, base.number, base.bytes))
        .transpose()
}

fn open_segments(journal: &Journal, closed: &[Closed]) -> Result<Vec<Input>> {
    let open =
        |closed: &Closed| open_input(journal, FileKind::Journal, closed.number, closed.bytes);
    closed.iter().map(open).collect()
}

fn open_input(journal: &Journal, kind: FileKind, number: u64, bytes: u64) -> Result<Input> {
    let path = kind.path(&journal.dir, number);
    let file = journal
        .fs
        .open(&path)
        .map_err(|error| Error::io("open", &path, error))?;
    let salt = SegmentHeader::read(&*file, &path, kind, number)?.salt;
    Ok(Input {
        path,
        file,
        bytes,
        salt,
    })
}

/// What cannot be removed now the next start removes; the new base stands either way.
fn remove_covered(journal: &Journal, base: Option<Base>, closed: &[Closed]) {
    let _files = journal.files.lock();
    for closed in closed.iter().rev() {
        let _ = journal
            .fs
            .remove(&FileKind::Journal.path(&journal.dir, closed.number));
    }
    if let Some(base) = base {
        let _ = journal
            .fs
            .remove(&FileKind::Base.path(&journal.dir, base.number));
    }
    let _ = journal.fs.sync_dir(&journal.dir);
}
