//! A table: records in their order (`order`), in the frames of a file that never changes once it has its name.
//!
//! After the frames comes one that says where they begin and with what rank, then one of fixed size that says where that
//! is. [`TableWriter`] makes the file, [`Table`] opens it, [`Cursor`] reads a range of ranks; every byte of a table is
//! covered by some checksum, and what is read is checked against it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::{Records, WriteBatch};
use crate::frame::{self, Header, Kind};
use crate::fs::{File, FileSystem};
use crate::order::{Order, RANK_END, Rank};
use crate::recovery::{FrameReader, Step};
use crate::segment::{FRAMES_AT, FileKind, SegmentHeader};
use crate::{Error, Op, Result};

/// A frame is closed when it has this many bytes.
const FRAME_BYTES: usize = 64 << 10;
/// Frames are gathered to writes of this size.
const WRITE_BYTES: usize = 1 << 20;
/// An fsync after this much keeps the last one short, and the disk free for the journal's own.
const SYNC_BYTES: u64 = 8 << 20;
/// Rank and offset of a frame.
const INDEX_ENTRY_BYTES: usize = 16;
/// The payload of the last frame: offset of the index, puts, other records.
const END_PAYLOAD_BYTES: usize = 24;
const END_BYTES: u64 = (frame::HEADER_BYTES + END_PAYLOAD_BYTES) as u64;

/// Writes a table into a temporary file.
pub(crate) struct TableWriter {
    path: PathBuf,
    file: Arc<dyn File>,
    salt: u32,
    batch: WriteBatch,
    buffer: Vec<u8>,
    /// Where `buffer` goes in the file.
    offset: u64,
    synced: u64,
    frames: u64,
    index: Vec<u8>,
    /// The rank of the first record in `batch`.
    rank: Rank,
    puts: u64,
    others: u64,
}

impl TableWriter {
    pub(crate) fn create(
        fs: &dyn FileSystem,
        path: PathBuf,
        header: &SegmentHeader,
    ) -> Result<TableWriter> {
        let file = fs
            .create(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        Ok(TableWriter {
            path,
            file,
            salt: header.salt,
            batch: WriteBatch::new(),
            buffer: header.encode().to_vec(),
            offset: 0,
            synced: 0,
            frames: 0,
            index: Vec::new(),
            rank: 0,
            puts: 0,
            others: 0,
        })
    }

    /// Adds a record; they come in their order.
    pub(crate) fn push(&mut self, rank: Rank, op: Op<'_>) -> Result<()> {
        let bytes = match op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Delete { key: name } | Op::DeletePrefix { prefix: name } => name.len(),
        };
        // Before it grows too large, not after: a huge value gets a frame to itself, which it had room in before.
        if !self.batch.is_empty() && self.batch.byte_len() + bytes > FRAME_BYTES {
            self.end_frame()?;
        }
        if self.batch.is_empty() {
            self.rank = rank;
        }
        match op {
            Op::Put { key, value } => self.batch.put(key, value),
            Op::Delete { key } => self.batch.delete(key),
            Op::DeletePrefix { prefix } => self.batch.delete_prefix(prefix),
        }
        match op {
            Op::Put { .. } => self.puts += 1,
            Op::Delete { .. } | Op::DeletePrefix { .. } => self.others += 1,
        }
        Ok(())
    }

    /// Writes what is left and brings all of it to the disk; returns the size of the file.
    pub(crate) fn finish(mut self) -> Result<u64> {
        if !self.batch.is_empty() {
            self.end_frame()?;
        }
        let index = std::mem::take(&mut self.index);
        let index_at = self.end();
        self.push_frame(Kind::Index, 0, &index)?;
        let mut payload = [0; END_PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&index_at.to_le_bytes());
        payload[8..16].copy_from_slice(&self.puts.to_le_bytes());
        payload[16..].copy_from_slice(&self.others.to_le_bytes());
        self.push_frame(Kind::End, 0, &payload)?;
        self.write()?;
        self.file
            .sync_data()
            .map_err(|error| Error::io("fsync", &self.path, error))?;
        Ok(self.offset)
    }

    fn end(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    fn end_frame(&mut self) -> Result<()> {
        self.index.extend_from_slice(&self.rank.to_le_bytes());
        self.index.extend_from_slice(&self.end().to_le_bytes());
        let mut batch = std::mem::take(&mut self.batch);
        self.push_frame(Kind::Batch, batch.len() as u32, batch.payload())?;
        batch.clear();
        batch.shrink_to(2 * FRAME_BYTES);
        self.batch = batch;
        Ok(())
    }

    fn push_frame(&mut self, kind: Kind, records: u32, payload: &[u8]) -> Result<()> {
        self.frames += 1;
        let header = Header {
            payload_bytes: payload.len() as u32,
            sequence: self.frames,
            synced: 0,
            records,
            kind,
        };
        frame::push(&mut self.buffer, &header, payload, self.salt);
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let failed = |error| Error::io("write", &self.path, error);
        self.file
            .write_all_at(self.offset, &self.buffer)
            .map_err(failed)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(2 * WRITE_BYTES);
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(failed)?;
            self.synced = self.offset;
        }
        Ok(())
    }
}

/// A table that is open for reading.
pub(crate) struct Table {
    pub path: PathBuf,
    file: Arc<dyn File>,
    pub header: SegmentHeader,
    pub bytes: u64,
    /// Where the frames with records end.
    index_at: u64,
    /// The rank of the first record and the offset of each frame.
    frames: Vec<(Rank, u64)>,
    pub puts: u64,
    pub others: u64,
}

impl Table {
    pub(crate) fn open(
        fs: &dyn FileSystem,
        path: PathBuf,
        kind: FileKind,
        number: u64,
    ) -> Result<Table> {
        let (file, header) = SegmentHeader::open(fs, &path, kind, number)?;
        let bytes = file
            .byte_len()
            .map_err(|error| Error::io("read", &path, error))?;
        let mut table = Table {
            path,
            file,
            header,
            bytes,
            index_at: 0,
            frames: Vec::new(),
            puts: 0,
            others: 0,
        };
        table.read_end()?;
        Ok(table)
    }

    fn read_end(&mut self) -> Result<()> {
        let end_at = self.bytes.saturating_sub(END_BYTES).max(FRAMES_AT);
        let (end, payload) = self.read_frame(end_at, self.bytes)?;
        let u64_at = |bytes: &[u8], at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        if end.kind != Kind::End || payload.len() != END_PAYLOAD_BYTES {
            return Err(self.damaged(end_at, "the table ends without its last frame"));
        }
        self.index_at = u64_at(&payload, 0);
        self.puts = u64_at(&payload, 8);
        self.others = u64_at(&payload, 16);
        let (index, payload) = self.read_frame(self.index_at, end_at)?;
        self.frames = payload
            .chunks_exact(INDEX_ENTRY_BYTES)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
            .collect();
        let count = self.frames.len() as u64;
        if index.kind != Kind::Index
            || payload.len() % INDEX_ENTRY_BYTES != 0
            || index.sequence != count + 1
            || end.sequence != count + 2
        {
            return Err(self.damaged(self.index_at, "the table's index makes no sense"));
        }
        Ok(())
    }

    /// Reads the frame that begins and ends here.
    fn read_frame(&self, from: u64, to: u64) -> Result<(Header, Vec<u8>)> {
        let bytes = to.checked_sub(from).filter(|_| from >= FRAMES_AT);
        let wrong = || self.damaged(from, "a frame is not where it should be");
        let bytes = usize::try_from(bytes.ok_or_else(wrong)?).map_err(|_| wrong())?;
        let mut frame = vec![0; bytes];
        let got = self
            .file
            .read_at(from, &mut frame)
            .map_err(|error| self.failed(error))?;
        let (header, payload) = frame::decode(&frame[..got], self.header.salt).ok_or_else(wrong)?;
        if header.frame_bytes() != bytes {
            return Err(wrong());
        }
        Ok((header, payload.to_vec()))
    }

    fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::damaged(&self.path, offset, what)
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("read", &self.path, error)
    }

    /// The prefixes in it that reach over groups.
    pub(crate) fn for_each_wide(&self, order: Order, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        if self.frames.first().is_none_or(|&(rank, _)| rank > 0) {
            return Ok(());
        }
        let mut cursor = Cursor::open(self, order, 0..1)?;
        while let Some(Op::DeletePrefix { prefix }) = cursor.op() {
            visit(prefix);
            cursor.advance()?;
        }
        Ok(())
    }
}

/// Reads a table's records whose ranks are in a range.
pub(crate) struct Cursor<'a> {
    table: &'a Table,
    order: Order,
    reader: FrameReader<'a>,
    /// The number of the frame that is read next.
    frame: usize,
    /// Where that frame's payload is in the reader, and how much of it was decoded.
    payload: Range<usize>,
    offset: u64,
    left: u32,
    current: Option<Current>,
    rank: Rank,
    end: Rank,
}

/// A record, as places in the reader's buffer.
struct Current {
    name: Range<usize>,
    what: What,
}

enum What {
    Put { value: Range<usize> },
    Delete,
    DeletePrefix,
}

impl Current {
    /// The record that ends here.
    fn new(op: Op<'_>, end: usize) -> Current {
        match op {
            Op::Put { key, value } => {
                let value_at = end - value.len();
                Current {
                    name: value_at - key.len()..value_at,
                    what: What::Put {
                        value: value_at..end,
                    },
                }
            }
            Op::Delete { key } => Current {
                name: end - key.len()..end,
                what: What::Delete,
            },
            Op::DeletePrefix { prefix } => Current {
                name: end - prefix.len()..end,
                what: What::DeletePrefix,
            },
        }
    }
}

impl<'a> Cursor<'a> {
    /// Stands at the first record of the range.
    pub(crate) fn open(table: &'a Table, order: Order, ranks: Range<Rank>) -> Result<Cursor<'a>> {
        // The records of a rank may begin in the frame before the first one that begins with it.
        let frame = table
            .frames
            .partition_point(|&(rank, _)| rank < ranks.start)
            .saturating_sub(1);
        let offset = table
            .frames
            .get(frame)
            .map_or(table.index_at, |&(_, at)| at);
        let reader =
            FrameReader::starting_at(&*table.file, table.index_at, table.header.salt, offset);
        let mut cursor = Cursor {
            table,
            order,
            reader,
            frame,
            payload: 0..0,
            offset,
            left: 0,
            current: None,
            rank: 0,
            end: ranks.end,
        };
        loop {
            cursor.advance()?;
            if cursor.rank >= ranks.start {
                return Ok(cursor);
            }
        }
    }

    /// The rank of the record; past all others at the end of the range.
    pub(crate) fn rank(&self) -> Rank {
        self.rank
    }

    pub(crate) fn op(&self) -> Option<Op<'_>> {
        let current = self.current.as_ref()?;
        let name = self.reader.bytes(current.name.clone());
        Some(match &current.what {
            What::Put { value } => Op::Put {
                key: name,
                value: self.reader.bytes(value.clone()),
            },
            What::Delete => Op::Delete { key: name },
            What::DeletePrefix => Op::DeletePrefix { prefix: name },
        })
    }

    pub(crate) fn advance(&mut self) -> Result<()> {
        self.current = None;
        if self.left == 0 && !self.next_frame()? {
            self.rank = RANK_END;
            return Ok(());
        }
        let bytes = self.reader.bytes(self.payload.clone());
        let mut records = Records::new(bytes);
        let Some(Ok(op)) = records.next() else {
            return Err(self.table.damaged(self.offset, "a record does not decode"));
        };
        let rank = self.order.rank(op);
        let end = self.payload.end - records.rest_len();
        let current = Current::new(op, end);
        self.payload.start = end;
        self.left -= 1;
        if (self.left == 0) != self.payload.is_empty() {
            return Err(self.table.damaged(self.offset, "records are missing"));
        }
        if rank < self.rank {
            let what = "the records are not in the order that this program has";
            return Err(self.table.damaged(self.offset, what));
        }
        self.rank = rank;
        if rank >= self.end {
            self.rank = RANK_END;
        } else {
            self.current = Some(current);
        }
        Ok(())
    }

    /// False at the end of the table or the range.
    fn next_frame(&mut self) -> Result<bool> {
        let Some(&(rank, offset)) = self.table.frames.get(self.frame) else {
            // Nothing but frames that the index names stands before it.
            return match self.reader.step() {
                Ok(Step::End { offset }) if offset == self.table.index_at => Ok(false),
                Ok(_) => Err(self
                    .table
                    .damaged(self.table.index_at, "the index misses frames")),
                Err(error) => Err(self.table.failed(error)),
            };
        };
        if rank >= self.end {
            return Ok(false);
        }
        self.frame += 1;
        match self
            .reader
            .step()
            .map_err(|error| self.table.failed(error))?
        {
            Step::Frame {
                offset: at,
                header,
                payload,
            } if at == offset
                && header.sequence == self.frame as u64
                && header.kind == Kind::Batch
                && header.records > 0 =>
            {
                self.payload = payload;
                self.offset = at;
                self.left = header.records;
                Ok(true)
            }
            Step::Frame { offset, .. } | Step::End { offset } => Err(self
                .table
                .damaged(offset, "a frame is not the one it should be")),
            Step::Bad { offset, what } => Err(self.table.damaged(offset, what)),
        }
    }
}
