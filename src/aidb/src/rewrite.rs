//! Replaces the base and all closed segments by a new base that holds each live key once.
//!
//! The journal is read twice: once to learn which record of each key is its last, once to copy exactly those. When the
//! keys do not fit into [`crate::Options::rewrite_memory_bytes`] the pass narrows itself to half of them, by hash, and
//! leaves the other half to a later pass; so memory is bounded and any number of keys works.
//!
//! At every step a crash leaves a directory that opens: the base appears under its name by one rename, when all of it
//! is on disk, and only then what it replaces is removed. What a crash leaves over the next start removes.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::batch::{Records, WriteBatch};
use crate::frame::{self, Header, Kind};
use crate::fs::File;
use crate::journal::{Base, Closed, Journal, base_salt};
use crate::recovery::{FrameReader, Next};
use crate::segment::{FRAMES_AT, FileKind, SegmentHeader};
use crate::{Error, Op, Result, Sequence};

/// A frame of a base is closed when it has this many bytes.
const FRAME_BYTES: usize = 64 << 10;
/// Frames are gathered to writes of this size.
const WRITE_BYTES: usize = 1 << 20;
/// An fsync after this much keeps the last one short, and the disk free for the journal's own.
const SYNC_BYTES: u64 = 8 << 20;
/// What a key costs in the map beside its own bytes.
const KEY_OVERHEAD_BYTES: usize = 64;

/// Runs one rewrite to its end. False if there was nothing to rewrite.
pub(crate) fn run(journal: &Journal, stop: &AtomicBool) -> Result<bool> {
    journal.health.check()?;
    let (base, closed, sequence) = loop {
        journal.prepare_spare()?;
        // Appends may take the spare in between, once for each segment that they fill.
        if let Some(inputs) = journal.rotate_for_rewrite() {
            break inputs;
        }
    };
    let Some(&Closed { number, .. }) = closed.last() else {
        return Ok(false);
    };
    journal.write_out()?;
    let inputs = open_inputs(journal, base, &closed)?;
    let rewrite = Rewrite {
        inputs,
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
    inputs: Vec<Input>,
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

/// For each key of a share, the ordinal of its last put.
struct LastPuts {
    share: Share,
    ordinals: HashMap<Box<[u8]>, u64, ahash::RandomState>,
    cleared: Cleared,
    memory_bytes: usize,
}

/// Prefixes that were deleted, and when last. Looked at when all is read, so that a deleted prefix costs no walk over
/// the keys.
#[derive(Default)]
struct Cleared {
    ordinals: HashMap<Box<[u8]>, u64, ahash::RandomState>,
    /// The lengths of these prefixes: as many looks a key needs.
    lengths: BTreeSet<usize>,
}

impl Rewrite<'_> {
    fn copy_live(&self, writer: &mut BaseWriter) -> Result<()> {
        let mut shares = vec![Share {
            modulus: 1,
            remainder: 0,
        }];
        while let Some(share) = shares.pop() {
            let mut last_puts = LastPuts {
                share,
                ordinals: HashMap::default(),
                cleared: Cleared::default(),
                memory_bytes: 0,
            };
            self.for_each(|ordinal, op| {
                last_puts.note(ordinal, op);
                while last_puts.memory_bytes > self.memory_bytes && last_puts.ordinals.len() > 1 {
                    shares.push(last_puts.narrow());
                }
                Ok(())
            })?;
            let mut live = last_puts.into_live().into_iter().peekable();
            self.for_each(|ordinal, op| match op {
                Op::Put { key, value } if live.next_if_eq(&ordinal).is_some() => {
                    writer.put(key, value)
                }
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Hands over every record of the inputs with its ordinal, which is the same each time.
    fn for_each(&self, mut visit: impl FnMut(u64, Op<'_>) -> Result<()>) -> Result<()> {
        let mut ordinal = 0;
        for input in &self.inputs {
            let mut frames = FrameReader::new(&*input.file, input.bytes, input.salt);
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(Error::Closed);
                }
                let next = frames
                    .next()
                    .map_err(|error| Error::io("read", &input.path, error))?;
                let (offset, payload) = match next {
                    Next::Frame {
                        offset, payload, ..
                    } => (offset, payload),
                    Next::End { offset } if offset == input.bytes => break,
                    Next::End { offset } => {
                        return Err(Error::damaged(&input.path, offset, "frames are missing"));
                    }
                    Next::Bad { offset, what } => {
                        return Err(Error::damaged(&input.path, offset, what));
                    }
                };
                for op in Records::new(payload) {
                    let op = op.map_err(|_| {
                        Error::damaged(&input.path, offset, "a record does not decode")
                    })?;
                    visit(ordinal, op)?;
                    ordinal += 1;
                }
            }
        }
        Ok(())
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

impl LastPuts {
    fn note(&mut self, ordinal: u64, op: Op<'_>) {
        match op {
            Op::Put { key, .. } if self.share.has(key) => {
                if let Some(last) = self.ordinals.get_mut(key) {
                    *last = ordinal;
                } else {
                    self.memory_bytes += key.len() + KEY_OVERHEAD_BYTES;
                    self.ordinals.insert(key.into(), ordinal);
                }
            }
            Op::Put { .. } => {}
            Op::Delete { key } => self.remove(key),
            Op::DeletePrefix { prefix } => {
                self.memory_bytes += self.cleared.note(prefix, ordinal);
            }
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if self.ordinals.remove(key).is_some() {
            self.memory_bytes -= key.len() + KEY_OVERHEAD_BYTES;
        }
    }

    /// The ordinals of the puts that nothing took back, in order.
    fn into_live(self) -> Vec<u64> {
        let Self {
            ordinals, cleared, ..
        } = self;
        let mut live: Vec<u64> = ordinals
            .into_iter()
            .filter(|(key, ordinal)| !cleared.covers(key, *ordinal))
            .map(|(_, ordinal)| ordinal)
            .collect();
        live.sort_unstable();
        live
    }

    /// Keeps half of the share and returns the other half.
    fn narrow(&mut self) -> Share {
        let Share { modulus, remainder } = self.share;
        let kept = Share {
            modulus: modulus * 2,
            remainder,
        };
        self.share = kept;
        let mut memory_bytes = self.cleared.memory_bytes();
        self.ordinals.retain(|key, _| {
            let stays = kept.has(key);
            memory_bytes += if stays {
                key.len() + KEY_OVERHEAD_BYTES
            } else {
                0
            };
            stays
        });
        self.memory_bytes = memory_bytes;
        Share {
            modulus: modulus * 2,
            remainder: remainder + modulus,
        }
    }
}

impl Cleared {
    /// Returns the bytes by which it grew.
    fn note(&mut self, prefix: &[u8], ordinal: u64) -> usize {
        if let Some(last) = self.ordinals.get_mut(prefix) {
            *last = ordinal;
            return 0;
        }
        self.lengths.insert(prefix.len());
        self.ordinals.insert(prefix.into(), ordinal);
        prefix.len() + KEY_OVERHEAD_BYTES
    }

    /// Whether the key's put at `ordinal` was followed by the end of one of its prefixes.
    fn covers(&self, key: &[u8], ordinal: u64) -> bool {
        let prefixes = self.lengths.iter().filter_map(|len| key.get(..*len));
        prefixes
            .filter_map(|prefix| self.ordinals.get(prefix))
            .any(|cleared| *cleared > ordinal)
    }

    fn memory_bytes(&self) -> usize {
        let keys = self.ordinals.keys();
        keys.map(|prefix| prefix.len() + KEY_OVERHEAD_BYTES).sum()
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

fn open_inputs(journal: &Journal, base: Option<Base>, closed: &[Closed]) -> Result<Vec<Input>> {
    let base = base.map(|base| (FileKind::Base, base.number, base.bytes));
    let segments = closed
        .iter()
        .map(|closed| (FileKind::Journal, closed.number, closed.bytes));
    base.into_iter()
        .chain(segments)
        .map(|(kind, number, bytes)| {
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
        })
        .collect()
}

/// What cannot be removed now the next start removes; the new base stands either way.
fn remove_covered(journal: &Journal, base: Option<Base>, closed: &[Closed]) {
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
