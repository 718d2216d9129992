//! Reads the frames of one file in order, and looks for frames behind a bad one.

use std::io;
use std::ops::Range;

use crate::Sequence;
use crate::frame::{self, HEADER_BYTES, Header, Kind};
use crate::fs::File;
use crate::segment::FRAMES_AT;

const READ_BYTES: usize = 256 << 10;

pub(crate) struct FrameReader<'a> {
    file: &'a dyn File,
    file_bytes: u64,
    salt: u32,
    /// Where in the file the unread part of `buffer` begins: the offset of the next frame.
    offset: u64,
    buffer: Vec<u8>,
    read: usize,
}

pub(crate) enum Next<'a> {
    Frame {
        offset: u64,
        header: Header,
        payload: &'a [u8],
    },
    /// Nothing but zeros from here on.
    End {
        offset: u64,
    },
    Bad {
        offset: u64,
        what: &'static str,
    },
}

/// As [`Next`], with the payload as a place in the reader's buffer.
pub(crate) enum Step {
    Frame {
        offset: u64,
        header: Header,
        payload: Range<usize>,
    },
    End {
        offset: u64,
    },
    Bad {
        offset: u64,
        what: &'static str,
    },
}

impl<'a> FrameReader<'a> {
    /// Reads the first `file_bytes` of `file`, whose header was read already.
    pub(crate) fn new(file: &'a dyn File, file_bytes: u64, salt: u32) -> FrameReader<'a> {
        FrameReader {
            file,
            file_bytes,
            salt,
            offset: FRAMES_AT,
            buffer: Vec::new(),
            read: 0,
        }
    }

    /// Begins at a later frame.
    pub(crate) fn starting_at(
        file: &'a dyn File,
        file_bytes: u64,
        salt: u32,
        offset: u64,
    ) -> FrameReader<'a> {
        FrameReader {
            offset,
            ..FrameReader::new(file, file_bytes, salt)
        }
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        Ok(match self.step()? {
            Step::Frame {
                offset,
                header,
                payload,
            } => Next::Frame {
                offset,
                header,
                payload: &self.buffer[payload],
            },
            Step::End { offset } => Next::End { offset },
            Step::Bad { offset, what } => Next::Bad { offset, what },
        })
    }

    /// What the last step has read.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The next frame, whose payload is in the buffer until the next step.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let offset = self.offset;
        let available = self.fill(HEADER_BYTES)?;
        if available < HEADER_BYTES {
            let rest_is_zero = self.unread().iter().all(|&byte| byte == 0);
            return Ok(if rest_is_zero {
                Step::End { offset }
            } else {
                Step::Bad {
                    offset,
                    what: "the file ends within a frame",
                }
            });
        }
        let head = *self
            .unread()
            .first_chunk::<HEADER_BYTES>()
            .expect("filled above");
        if head == [0; HEADER_BYTES] {
            let rest_is_zero = self.is_zero_from(offset)?;
            return Ok(if rest_is_zero {
                Step::End { offset }
            } else {
                Step::Bad {
                    offset,
                    what: "a frame was never written",
                }
            });
        }
        let Some(header) = Header::decode(&head) else {
            return Ok(Step::Bad {
                offset,
                what: "a frame's header makes no sense",
            });
        };
        let frame_bytes = header.frame_bytes();
        if frame_bytes as u64 > self.file_bytes - offset {
            return Ok(Step::Bad {
                offset,
                what: "a frame is longer than its file",
            });
        }
        if self.fill(frame_bytes)? < frame_bytes {
            return Ok(Step::Bad {
                offset,
                what: "the file ends within a frame",
            });
        }
        let payload = self.read + HEADER_BYTES..self.read + frame_bytes;
        if !frame::is_intact(&head, &self.buffer[payload.clone()], self.salt) {
            return Ok(Step::Bad {
                offset,
                what: "a frame's checksum is wrong",
            });
        }
        self.read += frame_bytes;
        self.offset += frame_bytes as u64;
        Ok(Step::Frame {
            offset,
            header,
            payload,
        })
    }

    pub(crate) fn is_at_start(&self) -> bool {
        self.offset == FRAMES_AT
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.read..]
    }

    /// Has at least `bytes` unread in the buffer, if the file has them; returns how many there are.
    fn fill(&mut self, bytes: usize) -> io::Result<usize> {
        let have = self.buffer.len() - self.read;
        if have >= bytes {
            return Ok(have);
        }
        self.buffer.drain(..self.read);
        self.read = 0;
        let left = self.file_bytes - self.offset - have as u64;
        let wanted = left.min((bytes - have).max(READ_BYTES) as u64) as usize;
        self.buffer.resize(have + wanted, 0);
        let got = self
            .file
            .read_at(self.offset + have as u64, &mut self.buffer[have..])?;
        self.buffer.truncate(have + got);
        Ok(have + got)
    }

    fn is_zero_from(&self, offset: u64) -> io::Result<bool> {
        Ok(last_nonzero(self.file, offset, self.file_bytes)?.is_none())
    }
}

/// The offset after the last byte that is not zero, at or after `from`.
pub(crate) fn last_nonzero(file: &dyn File, from: u64, file_bytes: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; READ_BYTES];
    let mut end = file_bytes;
    while end > from {
        let start = end.saturating_sub(READ_BYTES as u64).max(from);
        let got = file.read_at(start, &mut chunk[..(end - start) as usize])?;
        if let Some(at) = chunk[..got].iter().rposition(|&byte| byte != 0) {
            return Ok(Some(start + at as u64 + 1));
        }
        end = start;
    }
    Ok(None)
}

/// What intact frames behind a bad one say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub frames: u64,
    /// The highest "synced up to" among them.
    pub synced: Sequence,
}

/// Looks for intact frames of `expected` or later at every offset from `from` on.
///
/// Holds the rest of the file in memory, which is a segment at most.
pub(crate) fn frames_behind(
    file: &dyn File,
    file_bytes: u64,
    salt: u32,
    from: u64,
    expected: Sequence,
) -> io::Result<Evidence> {
    let mut evidence = Evidence::default();
    let mut bytes = vec![0; file_bytes.saturating_sub(from) as usize];
    let got = file.read_at(from, &mut bytes)?;
    let mut rest = &bytes[..got];
    while rest.len() >= HEADER_BYTES {
        match frame::decode(rest, salt) {
            Some((header, _)) if header.sequence >= expected && header.kind != Kind::End => {
                evidence.frames += 1;
                evidence.synced = evidence.synced.max(header.synced);
                rest = &rest[header.frame_bytes()..];
            }
            _ => rest = &rest[1..],
        }
    }
    Ok(evidence)
}
