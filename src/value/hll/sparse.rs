//! The sparse form: runs of registers with the same rank.
//!
//! ```text
//! ZERO  = 0b00llllll            l + 1 registers of rank 0
//! XZERO = 0b01llllll llllllll   l + 1 registers of rank 0, high bits first
//! VAL   = 0b1rrrrrll            l + 1 registers of rank r + 1
//! ```
//!
//! Redis does not keep the shortest form: a run that is raised within is split, and then the runs around it are joined
//! as far as five steps reach. The same is done here, because the bytes can be seen.

use super::estimate::Histogram;
use super::{HllError, REGISTERS};
use smallvec::SmallVec;
use std::ops::Range;

/// All registers of rank 0.
pub const EMPTY: [u8; 2] = XZERO_OF_ALL.to_be_bytes();
/// The highest rank that a run can have.
pub const RANK_MAX: u8 = 32;
/// By so many bytes a change can make the form longer.
pub const GROWTH_MAX: usize = 3;

const XZERO_OF_ALL: u16 = XZERO_TAG | (REGISTERS - 1) as u16;
const XZERO_TAG: u16 = 0x4000;
const XZERO_BIT: u8 = 0x40;
const VAL_BIT: u8 = 0x80;
const ZERO_LEN_MAX: usize = 64;
const VAL_LEN_MAX: usize = 4;
/// Runs from the one before the change on that are looked at to join them.
const JOIN_STEPS: usize = 5;

/// Where a search begins: at the first run, or at one that an earlier search for a lower register went by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    at: usize,
    first: usize,
}

/// The run that a register is in.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    run: Run,
    at: usize,
    /// The run's first register.
    first: usize,
    /// The run before, or this one where there is none.
    before: Start,
}

impl Spot {
    pub fn rank(&self) -> u8 {
        self.run.rank
    }

    /// From where a higher register is found, also after a change here.
    pub fn resume(&self) -> Start {
        self.before
    }
}

/// Finds the run of a register.
pub fn find(runs: &[u8], start: Start, index: usize) -> Result<Spot, HllError> {
    let Start { mut at, mut first } = start;
    let mut before = start;
    while at < runs.len() {
        let run = Run::read(runs, at);
        if index < first + run.len {
            if at == start.at && at > 0 {
                // The run before it is not known.
                return find(runs, Start::default(), index);
            }
            return Ok(Spot {
                run,
                at,
                first,
                before,
            });
        }
        before = Start { at, first };
        at += run.size;
        first += run.len;
    }
    Err(HllError::Corrupt)
}

/// The runs that take the place of one in which a register was raised.
pub struct Change {
    spot: Spot,
    new: SmallVec<[u8; 8]>,
}

impl Change {
    pub fn new(spot: Spot, index: usize, rank: u8) -> Self {
        let (before, after) = (index - spot.first, spot.first + spot.run.len - index - 1);
        let mut new = SmallVec::new();
        put(&mut new, spot.run.rank, before);
        put(&mut new, rank, 1);
        put(&mut new, spot.run.rank, after);
        Self { spot, new }
    }

    pub fn growth(&self) -> isize {
        self.new.len() as isize - self.spot.run.size as isize
    }

    /// Changes the runs, which begin at `base`.
    pub fn apply(&self, bytes: &mut Vec<u8>, base: usize) {
        let at = base + self.spot.at;
        let end = (at + self.spot.run.size).min(bytes.len());
        bytes.splice(at..end, self.new.iter().copied());
        join(bytes, base + self.spot.before.at);
    }
}

/// Joins neighbours of the same rank, from the run at `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_STEPS {
        if at >= bytes.len() {
            return;
        }
        let run = Run::read(bytes, at);
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        if run.rank > 0 && next & VAL_BIT != 0 {
            let next = Run::read(bytes, at + 1);
            if next.rank == run.rank && run.len + next.len <= VAL_LEN_MAX {
                bytes[at + 1] = val(run.rank, run.len + next.len);
                bytes.remove(at);
                continue;
            }
        }
        at += run.size;
    }
}

/// Tells of each run of a rank above 0. Fails where the registers are too few or too many.
pub fn for_each_run(runs: &[u8], mut visit: impl FnMut(Range<usize>, u8)) -> Result<(), HllError> {
    let mut first = 0;
    for run in iter(runs) {
        let end = first + run.len;
        if end > REGISTERS {
            return Err(HllError::Corrupt);
        }
        if run.rank > 0 {
            visit(first..end, run.rank);
        }
        first = end;
    }
    check_total(first)
}

pub fn histogram(runs: &[u8], histogram: &mut Histogram) -> Result<(), HllError> {
    let mut total = 0;
    for run in iter(runs) {
        total += run.len;
        histogram.add(run.rank, run.len);
    }
    check_total(total)
}

/// The runs in words, as `PFDEBUG DECODE` shows them.
pub fn describe(runs: &[u8]) -> String {
    let mut words = Vec::new();
    let mut at = 0;
    while at < runs.len() {
        let run = Run::read(runs, at);
        words.push(match (run.rank, run.size) {
            (0, 1) => format!("z:{}", run.len),
            (0, _) => format!("Z:{}", run.len),
            (rank, _) => format!("v:{rank},{}", run.len),
        });
        at += run.size;
    }
    words.join(" ")
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// 0 for a run of zeros.
    rank: u8,
    /// Registers.
    len: usize,
    /// Bytes.
    size: usize,
}

impl Run {
    #[inline]
    fn read(runs: &[u8], at: usize) -> Self {
        let byte = runs[at];
        if byte & VAL_BIT != 0 {
            return Self {
                rank: (byte >> 2 & 31) + 1,
                len: usize::from(byte & 3) + 1,
                size: 1,
            };
        }
        if byte & XZERO_BIT == 0 {
            return Self {
                rank: 0,
                len: usize::from(byte) + 1,
                size: 1,
            };
        }
        // A string ends with a zero in Redis, which is read where the second byte is missing.
        let low = runs.get(at + 1).copied().unwrap_or(0);
        Self {
            rank: 0,
            len: (usize::from(byte & 63) << 8 | usize::from(low)) + 1,
            size: 2,
        }
    }
}

fn iter(runs: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < runs.len()).then(|| {
            let run = Run::read(runs, at);
            at += run.size;
            run
        })
    })
}

fn check_total(registers: usize) -> Result<(), HllError> {
    if registers == REGISTERS {
        Ok(())
    } else {
        Err(HllError::Corrupt)
    }
}

fn put(out: &mut SmallVec<[u8; 8]>, rank: u8, len: usize) {
    if len == 0 {
        return;
    }
    if rank > 0 {
        out.push(val(rank, len));
    } else if len <= ZERO_LEN_MAX {
        out.push(len as u8 - 1);
    } else {
        out.extend_from_slice(&(XZERO_TAG | (len - 1) as u16).to_be_bytes());
    }
}

fn val(rank: u8, len: usize) -> u8 {
    debug_assert!((1..=RANK_MAX).contains(&rank) && (1..=VAL_LEN_MAX).contains(&len));
    VAL_BIT | (rank - 1) << 2 | (len as u8 - 1)
}
