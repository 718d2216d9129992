//! Bounds of a sorted set: of scores (`1.5`, `(1.5`, `-inf`) and of members (`[a`, `(a`, `-`, `+`).

use super::error::Error;
use crate::base::float::parse_f64;
use crate::value::ZSet;
use std::ops::Range;

/// Which members are meant.
#[derive(Clone, Copy, Debug)]
pub enum Bounds<'a> {
    /// By rank, from either end.
    Ranks {
        first: i64,
        last: i64,
    },
    Scores {
        min: ScoreBound,
        max: ScoreBound,
    },
    Members {
        min: MemberBound<'a>,
        max: MemberBound<'a>,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct ScoreBound {
    score: f64,
    is_exclusive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemberBound<'a> {
    Lowest,
    Highest,
    At {
        member: &'a [u8],
        is_exclusive: bool,
    },
}

impl<'a> Bounds<'a> {
    pub fn scores(min: &[u8], max: &[u8]) -> Result<Self, Error> {
        const NOT_A_FLOAT: Error = Error::text("ERR min or max is not a float");
        let bounds = ScoreBound::parse(min).zip(ScoreBound::parse(max));
        let (min, max) = bounds.ok_or(NOT_A_FLOAT)?;
        Ok(Self::Scores { min, max })
    }

    pub fn members(min: &'a [u8], max: &'a [u8]) -> Result<Self, Error> {
        const NOT_A_BOUND: Error = Error::text("ERR min or max not valid string range item");
        let bounds = MemberBound::parse(min).zip(MemberBound::parse(max));
        let (min, max) = bounds.ok_or(NOT_A_BOUND)?;
        Ok(Self::Members { min, max })
    }

    /// The ranks of what is meant; `from_end`: looked for from the end, and ranks in the bounds count from there.
    ///
    /// Bounds of members only make sense where all scores are equal. Where they are not, what is found depends on the end
    /// from which it is looked for, as in Redis.
    pub fn ranks(&self, zset: &ZSet, from_end: bool) -> Range<usize> {
        match *self {
            Bounds::Ranks { first, last } => {
                let ranks = ranks(first, last, zset.len());
                if from_end {
                    zset.len() - ranks.end..zset.len() - ranks.start
                } else {
                    ranks
                }
            }
            Bounds::Scores { min, max } => between(
                zset,
                from_end,
                |score, _| min.is_below(score),
                |score, _| max.is_above(score),
            ),
            Bounds::Members { min, max } => between(
                zset,
                from_end,
                |_, member| min.is_below(member),
                |_, member| max.is_above(member),
            ),
        }
    }
}

fn ranks(first: i64, last: i64, len: usize) -> Range<usize> {
    let from_start = |rank: i64| {
        if rank < 0 { rank + len as i64 } else { rank }
    };
    let (first, last) = (from_start(first).max(0), from_start(last));
    if first > last || first >= len as i64 {
        return 0..0;
    }
    first as usize..(last as usize).min(len - 1) + 1
}

/// The ranks of the members for which both functions say yes: those for which the first says no come before them, those
/// for which the second does behind them.
fn between(
    zset: &ZSet,
    from_end: bool,
    above_min: impl Fn(f64, &[u8]) -> bool,
    below_max: impl Fn(f64, &[u8]) -> bool,
) -> Range<usize> {
    let len = zset.len();
    let mut text = itoa::Buffer::new();
    let ends = zset.range(0..1).next().zip(zset.range_back(0..len).next());
    let Some(((first, low), (last, high))) = ends else {
        return 0..0;
    };
    if !below_max(low, first.bytes(&mut text)) || !above_min(high, last.bytes(&mut text)) {
        return 0..0;
    }
    let (start, end) = if from_end {
        let end = len - zset.count_behind(|score, member| !below_max(score, member));
        let behind = zset.count_back_from(end, &above_min);
        (end - behind, end)
    } else {
        let start = zset.count_before(|score, member| !above_min(score, member));
        (start, start + zset.count_from(start, &below_max))
    };
    start..end.max(start)
}

impl ScoreBound {
    fn parse(text: &[u8]) -> Option<Self> {
        let (text, is_exclusive) = match text {
            [b'(', rest @ ..] => (rest, true),
            _ => (text, false),
        };
        Some(Self {
            score: as_strtod_reads(text)?,
            is_exclusive,
        })
    }

    fn is_below(self, score: f64) -> bool {
        if self.is_exclusive {
            score > self.score
        } else {
            score >= self.score
        }
    }

    fn is_above(self, score: f64) -> bool {
        if self.is_exclusive {
            score < self.score
        } else {
            score <= self.score
        }
    }
}

impl<'a> MemberBound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            // Redis reads the sign as a string of C.
            [b'-'] | [b'-', 0, ..] => Some(Self::Lowest),
            [b'+'] | [b'+', 0, ..] => Some(Self::Highest),
            [head @ (b'[' | b'('), member @ ..] => Some(Self::At {
                member,
                is_exclusive: *head == b'(',
            }),
            _ => None,
        }
    }

    fn is_below(self, other: &[u8]) -> bool {
        match self {
            Self::Lowest => true,
            Self::Highest => false,
            Self::At {
                member,
                is_exclusive: true,
            } => other > member,
            Self::At { member, .. } => other >= member,
        }
    }

    fn is_above(self, other: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::Highest => true,
            Self::At {
                member,
                is_exclusive: true,
            } => other < member,
            Self::At { member, .. } => other <= member,
        }
    }
}

/// A number as C's `strtod` reads it if it reads all: blanks may lead, nothing is zero, what is too large is infinite.
fn as_strtod_reads(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let number = text.trim_ascii_start();
    let rounded = || {
        let number: f64 = str::from_utf8(number).ok()?.parse().ok()?;
        Some(number).filter(|number| !number.is_nan())
    };
    parse_f64(number).or_else(rounded)
}
