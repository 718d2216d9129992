//! The sorted set: members in the order of their scores, and of their bytes where scores are equal.
//!
//! A small one is a listpack of member, score pairs in order, as Redis keeps it, so that DUMP is a copy of it. A large one
//! has its members in numbered slots with an index by hash, and a counted tree of (score, slot) in order, so that a score
//! is found in O(1), and a rank, a member at a rank and a bound in O(log n).
//!
//! Invariants: scores are numbers; a listpack's pairs are sorted; of a large set the slots and the tree hold the same
//! members with the same scores.

#![allow(
    clippy::float_cmp,
    reason = "a score is what it is to the last bit; two are the same or they are not"
)]

mod large;
mod members;
mod row;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

use super::listpack::{Item, Iter, Listpack};
use super::{Limits, StrBuf};
use crate::base::number::DoubleText;
use large::{Large, Ranked, Shrunk};
use std::cmp::Ordering;
use std::ops::Range;

/// Whatever the option says, no more members than this are kept in a listpack, whose count has 16 bits for the pairs.
const PACKED_MAX: usize = 30_000;

/// A sorted set. A large one stays one whatever is removed from it.
#[derive(Clone, Debug)]
pub enum ZSet {
    Packed(Listpack),
    Large(Box<Large>),
}

/// What takes a change to a sorted set back.
#[derive(Debug)]
pub enum ZSetChange {
    Added {
        member: StrBuf,
        /// Whether a slot was made for it.
        grew: bool,
    },
    /// The member had this score.
    Scored(StrBuf, f64),
    Removed(Removed),
    Shrunk(Shrunk),
    /// The set was made a large one; before, it was this.
    Converted(Listpack),
}

/// A member that was removed, and where it was.
#[derive(Clone, Debug)]
pub struct Removed {
    pub member: StrBuf,
    pub score: f64,
    /// Of a large set.
    slot: u32,
}

impl Default for ZSet {
    fn default() -> Self {
        ZSet::Packed(Listpack::new())
    }
}

impl PartialEq for ZSet {
    fn eq(&self, other: &Self) -> bool {
        let equal = |((a, x), (b, y)): ((Item<'_>, f64), (Item<'_>, f64))| a == b && x == y;
        self.len() == other.len()
            && self
                .range(0..self.len())
                .zip(other.range(0..other.len()))
                .all(equal)
    }
}

impl ZSet {
    /// A set of different members, as small as it can be.
    pub fn from_pairs(mut pairs: Vec<(StrBuf, f64)>, limits: &Limits) -> Self {
        pairs.sort_unstable_by(|(a, x), (b, y)| order((*x, a), (*y, b)));
        let fits = pairs.len() <= limits.zset_max_listpack_entries.min(PACKED_MAX)
            && pairs
                .iter()
                .all(|(member, _)| member.len() <= limits.zset_max_listpack_value);
        if !fits {
            let sorted = pairs.iter().map(|(m, score)| (Item::Bytes(m), *score));
            return ZSet::Large(Box::new(Large::from_sorted(sorted)));
        }
        let mut pack = Listpack::new();
        for (member, score) in &pairs {
            pack.push_back(&**member);
            with_score_item(*score, |score| pack.push_back(score));
        }
        ZSet::Packed(pack)
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ZSet::Packed(pack) => pack.len() / 2,
            ZSet::Large(large) => large.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(pack) => {
                let score = pack.next(pack.find(member, 2)?)?;
                Some(score_of(pack.at(score)))
            }
            ZSet::Large(large) => large.score(member),
        }
    }

    /// How many members are before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        let before = self.count_before(|other, name| order((other, name), (score, member)).is_lt());
        Some((before, score))
    }

    /// How many members are before some point: those for which the function says yes come first.
    pub fn count_before(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self {
            ZSet::Packed(pack) => {
                let mut text = itoa::Buffer::new();
                pairs(pack)
                    .take_while(|(member, score)| before(*score, member.bytes(&mut text)))
                    .count()
            }
            ZSet::Large(large) => large.count_before(before),
        }
    }

    /// How many members are behind some point: those for which the function says yes come last.
    pub fn count_behind(&self, behind: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self {
            ZSet::Packed(_) => self.count_back_from(self.len(), behind),
            ZSet::Large(large) => self.len() - large.count_before(|s, m| !behind(s, m)),
        }
    }

    /// How many members from a rank on are like this, without a gap.
    pub fn count_from(&self, rank: usize, like: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self {
            ZSet::Packed(_) => {
                let mut text = itoa::Buffer::new();
                let members = self.range(rank..self.len());
                members
                    .take_while(|(member, score)| like(*score, member.bytes(&mut text)))
                    .count()
            }
            ZSet::Large(large) => large.count_before(like).saturating_sub(rank),
        }
    }

    /// How many members before a rank are like this, without a gap.
    pub fn count_back_from(&self, rank: usize, like: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self {
            ZSet::Packed(_) => {
                let mut text = itoa::Buffer::new();
                let members = self.range_back(0..rank);
                members
                    .take_while(|(member, score)| like(*score, member.bytes(&mut text)))
                    .count()
            }
            ZSet::Large(large) => rank.saturating_sub(large.count_before(|s, m| !like(s, m))),
        }
    }

    /// The members of some ranks in order, with their scores.
    pub fn range(&self, ranks: Range<usize>) -> impl Iterator<Item = (Item<'_>, f64)> {
        let ranks = ranks.start..ranks.end.min(self.len());
        let source = match self {
            ZSet::Packed(pack) => Source::Packed(packed_from(pack, ranks.start)),
            ZSet::Large(large) => Source::Large(large.ranked_from(ranks.start)),
        };
        Forward(source).take(ranks.len())
    }

    /// The members of some ranks from the last to the first, with their scores.
    pub fn range_back(&self, ranks: Range<usize>) -> impl Iterator<Item = (Item<'_>, f64)> {
        let ranks = ranks.start..ranks.end.min(self.len());
        let source = match self {
            ZSet::Packed(pack) => Source::Packed(packed_before(pack, ranks.end)),
            ZSet::Large(large) => Source::Large(large.ranked_from(ranks.end)),
        };
        Backward(source).take(ranks.len())
    }

    /// Adds a member, or changes its score. `None`: it has that score.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<ZSetChange> {
        self.update(member, limits, |_| Some(score))
    }

    /// Gives a member the score that `next` makes of the one that it has, or of nothing where it is not there. `None`:
    /// nothing has changed.
    pub fn update(
        &mut self,
        member: &[u8],
        limits: &Limits,
        next: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<ZSetChange> {
        let pack = match self {
            ZSet::Packed(pack) => pack,
            ZSet::Large(large) => return large.update(member, next),
        };
        if let Some(at) = pack.find(member, 2) {
            let old = score_of(pack.at(pack.next(at)?));
            let score = next(Some(old)).filter(|score| *score != old)?;
            pack.remove_at(at, 2);
            insert_sorted(pack, member, score);
            return Some(ZSetChange::Scored(StrBuf::from_slice(member), old));
        }
        let score = next(None)?;
        let entries_max = limits.zset_max_listpack_entries.min(PACKED_MAX);
        if pack.len() / 2 < entries_max
            && member.len() <= limits.zset_max_listpack_value
            && pack.has_room(member.len())
        {
            insert_sorted(pack, member, score);
            let member = StrBuf::from_slice(member);
            return Some(ZSetChange::Added {
                member,
                grew: false,
            });
        }
        let converted = self.enlarge();
        let ZSet::Large(large) = self else {
            unreachable!("it was made large above");
        };
        large.add(member, score);
        converted
    }

    /// Makes a small set a large one, whatever it holds. `None`: it is one.
    pub fn enlarge(&mut self) -> Option<ZSetChange> {
        let ZSet::Packed(pack) = self else {
            return None;
        };
        let large = ZSet::Large(Box::new(Large::from_sorted(pairs(pack))));
        match std::mem::replace(self, large) {
            ZSet::Packed(pack) => Some(ZSetChange::Converted(pack)),
            ZSet::Large(_) => unreachable!("it was packed above"),
        }
    }

    pub fn remove(&mut self, member: &[u8]) -> Option<Removed> {
        let (score, slot) = match self {
            ZSet::Packed(pack) => {
                let at = pack.find(member, 2)?;
                let score = score_of(pack.at(pack.next(at)?));
                pack.remove_at(at, 2);
                (score, 0)
            }
            ZSet::Large(large) => large.remove(member)?,
        };
        Some(Removed {
            member: StrBuf::from_slice(member),
            score,
            slot,
        })
    }

    /// Removes the member of a rank below the set's length.
    pub fn remove_at(&mut self, rank: usize) -> Removed {
        let (member, score, slot) = match self {
            ZSet::Packed(pack) => {
                let mut text = itoa::Buffer::new();
                let Some((member, score)) = packed_from(pack, rank).next().map(as_pair) else {
                    unreachable!("the rank is below the length");
                };
                let member = StrBuf::from_slice(member.bytes(&mut text));
                pack.remove(2 * rank, 2);
                (member, score, 0)
            }
            ZSet::Large(large) => large.remove_at(rank),
        };
        Removed {
            member,
            score,
            slot,
        }
    }

    /// Gives a part of what is free up, where that is most of it. To be called some times after a removal, no more than
    /// [`ZSet::SHRINKS_MAX`], so that no removal takes long.
    #[inline]
    pub fn shrink(&mut self) -> Option<ZSetChange> {
        match self {
            ZSet::Packed(_) => None,
            ZSet::Large(large) => large.shrink().map(ZSetChange::Shrunk),
        }
    }

    pub const SHRINKS_MAX: usize = 4;

    /// Takes a change back; later ones have been taken back before.
    pub fn undo(&mut self, change: ZSetChange) {
        match change {
            ZSetChange::Added { member, grew } => match self {
                ZSet::Packed(_) => drop(self.remove(&member)),
                ZSet::Large(large) => large.undo_add(&member, grew),
            },
            ZSetChange::Scored(member, score) => match self {
                ZSet::Packed(pack) => {
                    if let Some(at) = pack.find(&member, 2) {
                        pack.remove_at(at, 2);
                    }
                    insert_sorted(pack, &member, score);
                }
                ZSet::Large(large) => {
                    large.update(&member, |_| Some(score));
                }
            },
            ZSetChange::Removed(Removed {
                member,
                score,
                slot,
            }) => match self {
                ZSet::Packed(pack) => insert_sorted(pack, &member, score),
                ZSet::Large(large) => large.put_back(&member, score, slot),
            },
            ZSetChange::Shrunk(shrunk) => match self {
                ZSet::Packed(_) => unreachable!("a large set stays one"),
                ZSet::Large(large) => large.undo_shrink(shrunk),
            },
            ZSetChange::Converted(pack) => *self = ZSet::Packed(pack),
        }
    }

    /// Visits about `count` members with the texts of their scores from a cursor on and returns the next cursor; 0 is the
    /// start and the end. A small set is visited all at once; its scores are shown as the listpack has them.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match self {
            ZSet::Packed(pack) => {
                let (mut text, mut digits) = (itoa::Buffer::new(), itoa::Buffer::new());
                for (member, score) in Pairs(pack.iter()) {
                    visit(member.bytes(&mut text), score.bytes(&mut digits));
                }
                0
            }
            ZSet::Large(large) => large.scan(cursor, count, |member, score| {
                visit(member, DoubleText::new(score).as_bytes());
            }),
        }
    }

    /// The bytes of a small set, as DUMP wants them.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self {
            ZSet::Packed(pack) => Some(pack),
            ZSet::Large(_) => None,
        }
    }

    /// A set of pairs that are in the order of a small set already. `None`: they are not, or a score is no number.
    pub fn from_listpack(pack: Listpack, limits: &Limits) -> Option<Self> {
        if pack.is_empty() || !pack.len().is_multiple_of(2) {
            return None;
        }
        let mut last: Option<(Vec<u8>, f64)> = None;
        let mut longest = 0;
        let mut iter = pack.iter();
        while let (Some(member), Some(score)) = (iter.next(), iter.next()) {
            let score = parse_score(score)?;
            let member = member.to_vec();
            let sorted = last
                .as_ref()
                .is_none_or(|(before, was)| order((*was, before), (score, &member)).is_lt());
            if !sorted {
                return None;
            }
            longest = longest.max(member.len());
            last = Some((member, score));
        }
        let fits = pack.len() / 2 <= limits.zset_max_listpack_entries.min(PACKED_MAX)
            && longest <= limits.zset_max_listpack_value;
        Some(if fits {
            ZSet::Packed(pack)
        } else {
            ZSet::Large(Box::new(Large::from_sorted(pairs(&pack))))
        })
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            ZSet::Packed(_) => "listpack",
            ZSet::Large(_) => "skiplist",
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            ZSet::Packed(pack) => pack.heap_bytes(),
            ZSet::Large(large) => size_of::<Large>() + large.heap_bytes(),
        }
    }
}

/// The order of a set: by score, then by bytes.
#[inline]
pub fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    match a.0.partial_cmp(&b.0) {
        Some(Ordering::Equal) | None => a.1.cmp(b.1),
        Some(unequal) => unequal,
    }
}

/// A score in a listpack: an integer where it is one, its text otherwise.
fn with_score_item<R>(score: f64, use_it: impl FnOnce(Item<'_>) -> R) -> R {
    const INTEGRAL_MAX: f64 = (i64::MAX / 2) as f64;
    let integer = score as i64;
    if score.abs() <= INTEGRAL_MAX && integer as f64 == score {
        use_it(Item::Int(integer))
    } else {
        use_it(Item::Bytes(DoubleText::new(score).as_bytes()))
    }
}

/// The score that a listpack of ours holds.
#[inline]
fn score_of(item: Item<'_>) -> f64 {
    debug_assert!(parse_score(item).is_some(), "scores are numbers");
    parse_score(item).unwrap_or(0.0)
}

fn parse_score(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Int(integer) => Some(integer as f64),
        Item::Bytes(text) => {
            let score: f64 = str::from_utf8(text).ok()?.parse().ok()?;
            Some(score).filter(|score| !score.is_nan())
        }
    }
}

fn insert_sorted(pack: &mut Listpack, member: &[u8], score: f64) {
    let mut text = itoa::Buffer::new();
    let mut at = pack.first_pos();
    while let Some(pos) = at {
        let Some(score_pos) = pack.next(pos) else {
            unreachable!("members and scores come in pairs");
        };
        let other = score_of(pack.at(score_pos));
        let is_behind = other > score || (other == score && pack.at(pos).bytes(&mut text) > member);
        if is_behind {
            with_score_item(score, |score| pack.insert_before(pos, score));
            pack.insert_before(pos, member);
            return;
        }
        at = pack.next(score_pos);
    }
    pack.push_back(member);
    with_score_item(score, |score| pack.push_back(score));
}

fn as_pair<'a>((member, score): (Item<'a>, Item<'a>)) -> (Item<'a>, f64) {
    (member, score_of(score))
}

/// A listpack's items two by two.
struct Pairs<'a>(Iter<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

fn pairs(pack: &Listpack) -> impl Iterator<Item = (Item<'_>, f64)> {
    Pairs(pack.iter()).map(as_pair)
}

fn packed_from(pack: &Listpack, rank: usize) -> Pairs<'_> {
    match pack.pos(2 * rank) {
        Some(pos) => Pairs(pack.iter_from(pos)),
        None => Pairs(empty(pack)),
    }
}

fn packed_before(pack: &Listpack, rank: usize) -> Pairs<'_> {
    match pack.pos(2 * rank) {
        Some(pos) => Pairs(pack.iter_before(pos)),
        None => Pairs(pack.iter()),
    }
}

/// An iterator that gives nothing.
fn empty(pack: &Listpack) -> Iter<'_> {
    let mut iter = pack.iter();
    while iter.next().is_some() {}
    iter
}

enum Source<'a> {
    Packed(Pairs<'a>),
    Large(Ranked<'a>),
}

struct Forward<'a>(Source<'a>);
struct Backward<'a>(Source<'a>);

impl<'a> Iterator for Forward<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Packed(pairs) => pairs.next().map(as_pair),
            Source::Large(ranked) => ranked.next(),
        }
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Packed(Pairs(items)) => {
                let score = items.next_back()?;
                Some((items.next_back()?, score_of(score)))
            }
            Source::Large(ranked) => ranked.next_back(),
        }
    }
}
