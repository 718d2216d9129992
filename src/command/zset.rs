//! Sorted sets by member: ZADD, ZSCORE, ZRANK and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::list::reply_item;
use super::scan_options::{ScanOptions, parse_cursor, reply_scan};
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::float::parse_f64;
use crate::keyspace::{Absent, Notify};
use crate::resp::{Protocol, Reply};
use crate::value::listpack::Item;
use crate::value::{StrBuf, ZSet};
use bitflags::bitflags;
use smallvec::SmallVec;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("zadd", -4, Group::SortedSet, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key [condition: NX | XX]@3.0.2 [comparison: GT | LT]@6.2.0 \
                 [CH:change]@3.0.2 [INCR:increment]@3.0.2 <score member>...",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "1.2.0",
                "O(log(N)) for each item added, where N is the number of elements in \
                 the sorted set.",
                "Add one or more members to a sorted set, or update its score if it \
                 already exists",
            )
            .history(&[
                ("2.4.0", "Accepts multiple elements."),
                ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
                ("6.2.0", "Added the `GT` and `LT` options."),
            ]),
        zadd,
    ),
    Command::new(
        Spec::new("zincrby", 4, Group::SortedSet, Flags::WRITE_DENYOOM_FAST)
            .syntax("key increment:integer member")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.2.0",
                "O(log(N)) where N is the number of elements in the sorted set.",
                "Increment the score of a member in a sorted set",
            ),
        zincrby,
    ),
    Command::new(
        Spec::new("zrem", -3, Group::SortedSet, Flags::WRITE_FAST)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "1.2.0",
                "O(M*log(N)) with N being the number of elements in the sorted set and \
                 M the number of elements to be removed.",
                "Remove one or more members from a sorted set",
            )
            .history(&[("2.4.0", "Accepts multiple elements.")]),
        zrem,
    ),
    Command::new(
        Spec::new("zscore", 3, Group::SortedSet, Flags::READ_FAST)
            .syntax("key member")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.2.0",
                "O(1)",
                "Get the score associated with the given member in a sorted set",
            ),
        zscore,
    ),
    Command::new(
        Spec::new("zmscore", -3, Group::SortedSet, Flags::READ_FAST)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "6.2.0",
                "O(N) where N is the number of members being requested.",
                "Get the score associated with the given members in a sorted set",
            ),
        zmscore,
    ),
    Command::new(
        Spec::new("zcard", 2, Group::SortedSet, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("1.2.0", "O(1)", "Get the number of members in a sorted set"),
        zcard,
    ),
    Command::new(
        Spec::new("zrank", -3, Group::SortedSet, Flags::READ_FAST)
            .syntax("key member [WITHSCORE]@7.2.0")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.0.0",
                "O(log(N))",
                "Determine the index of a member in a sorted set",
            )
            .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
        zrank,
    ),
    Command::new(
        Spec::new("zrevrank", -3, Group::SortedSet, Flags::READ_FAST)
            .syntax("key member [WITHSCORE]@7.2.0")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.0.0",
                "O(log(N))",
                "Determine the index of a member in a sorted set, with scores ordered \
                 from high to low",
            )
            .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
        zrevrank,
    ),
    Command::new(
        Spec::new("zscan", -3, Group::SortedSet, Flags::READONLY)
            .syntax("key cursor [MATCH pattern] [COUNT count]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "2.8.0",
                "O(1) for every call. O(N) for a complete iteration, including enough \
                 command calls for the cursor to return back to 0. N is the number of \
                 elements inside the collection..",
                "Incrementally iterate sorted sets elements and associated scores",
            ),
        zscan,
    ),
];

bitflags! {
    /// The conditions and wishes of ZADD.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct AddOptions: u8 {
        /// Only members that are not there.
        const NX = 1 << 0;
        /// Only members that are there.
        const XX = 1 << 1;
        /// Only scores that are greater than those that members have.
        const GT = 1 << 2;
        const LT = 1 << 3;
        /// Count what was changed, not what was added.
        const CH = 1 << 4;
        /// Add to the score that the member has.
        const INCR = 1 << 5;
    }
}

impl AddOptions {
    pub(super) fn named(word: &[u8]) -> Option<Self> {
        let all = [
            (&b"nx"[..], Self::NX),
            (b"xx", Self::XX),
            (b"gt", Self::GT),
            (b"lt", Self::LT),
            (b"ch", Self::CH),
            (b"incr", Self::INCR),
        ];
        let found = all.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map(|(_, option)| *option)
    }

    fn check(self, pairs: usize) -> Result<(), Error> {
        const NX_XX: Error =
            Error::text("ERR XX and NX options at the same time are not compatible");
        const GT_LT_NX: Error =
            Error::text("ERR GT, LT, and/or NX options at the same time are not compatible");
        const ONE_PAIR: Error =
            Error::text("ERR INCR option supports a single increment-element pair");
        let [nx, xx, gt, lt] = [Self::NX, Self::XX, Self::GT, Self::LT].map(|o| self.contains(o));
        if nx && xx {
            Err(NX_XX)
        } else if (gt && (nx || lt)) || (lt && nx) {
            Err(GT_LT_NX)
        } else if self.contains(Self::INCR) && pairs > 1 {
            Err(ONE_PAIR)
        } else {
            Ok(())
        }
    }

    /// The score that a member gets which has `old`, or is not there; `None`: it is left as it is.
    fn next_score(self, old: Option<f64>, score: f64) -> Result<Option<f64>, Error> {
        const NOT_A_NUMBER: Error = Error::text("ERR resulting score is not a number (NaN)");
        let Some(old) = old else {
            return Ok(Some(score).filter(|_| !self.contains(Self::XX)));
        };
        if self.contains(Self::NX) {
            return Ok(None);
        }
        let score = if self.contains(Self::INCR) {
            score + old
        } else {
            score
        };
        if score.is_nan() {
            return Err(NOT_A_NUMBER);
        }
        let refused =
            (self.contains(Self::LT) && score >= old) || (self.contains(Self::GT) && score <= old);
        Ok(Some(score).filter(|_| !refused))
    }
}

pub(super) fn parse_score(text: &[u8]) -> Result<f64, Error> {
    parse_f64(text).ok_or(Error::NotFloat)
}

fn zadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add_with_options(ctx, AddOptions::empty())
}

/// Takes the options of ZADD too, as in Redis.
fn zincrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add_with_options(ctx, AddOptions::INCR)
}

fn add_with_options(ctx: &mut Ctx<'_>, mut options: AddOptions) -> Result<(), Error> {
    let mut first = 2;
    while let Some(option) = ctx.args.try_get(first).and_then(AddOptions::named) {
        options |= option;
        first += 1;
    }
    let pairs = ctx.args.skip(first);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    options.check(pairs.len() / 2)?;
    // Nothing is changed before all scores are known to be scores.
    let scored = |at| Ok((parse_score(pairs.get(at))?, pairs.get(at + 1)));
    let pairs: Result<Scored<'_>, Error> = (0..pairs.len()).step_by(2).map(scored).collect();
    add(ctx, options, &pairs?)
}

/// Scores and members that a request names.
pub(super) type Scored<'a> = SmallVec<[(f64, &'a [u8]); 4]>;

/// Adds members with their scores, and answers as the options want it.
pub(super) fn add(
    ctx: &mut Ctx<'_>,
    options: AddOptions,
    pairs: &[(f64, &[u8])],
) -> Result<(), Error> {
    let key = ctx.arg(1);
    let absent = if options.contains(AddOptions::XX) {
        Absent::Leave
    } else {
        Absent::Create
    };
    let outcome = ctx.txn.edit::<ZSet, _>(key, absent, |zset| {
        let (mut added, mut changed, mut last) = (0, 0, None);
        for &(score, member) in pairs {
            let (mut is_new, mut refusal) = (false, None);
            let is_different = zset.update(member, |old| {
                is_new = old.is_none();
                last = options.next_score(old, score).unwrap_or_else(|error| {
                    refusal = Some(error);
                    None
                });
                last
            });
            if let Some(error) = refusal {
                return Err(error);
            }
            if is_different {
                added += i64::from(is_new);
                changed += 1;
            }
        }
        Ok::<_, Error>((added, changed, last))
    })?;
    let (added, changed, last) = outcome.unwrap_or(Ok((0, 0, None)))?;
    if changed > 0 {
        let event = if options.contains(AddOptions::INCR) {
            "zincr"
        } else {
            "zadd"
        };
        ctx.txn.notify(Notify::ZSET, event, key);
    }
    match last {
        _ if !options.contains(AddOptions::INCR) => {
            let counted = if options.contains(AddOptions::CH) {
                changed
            } else {
                added
            };
            ctx.reply.integer(counted);
        }
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zrem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, members) = (ctx.arg(1), ctx.args.skip(2));
    let removed = ctx.txn.edit::<ZSet, _>(key, Absent::Leave, |zset| {
        let removed = members.iter().filter(|member| zset.remove(member)).count();
        (removed, zset.is_empty())
    })?;
    let (removed, is_over) = removed.unwrap_or_default();
    if removed > 0 {
        ctx.txn.notify_removal(Notify::ZSET, "zrem", key, is_over);
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn zscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, member) = (ctx.args.get(1), ctx.args.get(2));
    match ctx
        .txn
        .read::<ZSet>(key)?
        .and_then(|zset| zset.score(member))
    {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.skip(2);
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    ctx.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn zcard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let len = ctx.txn.read::<ZSet>(ctx.args.get(1))?.map_or(0, ZSet::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    rank(ctx, |rank, _| rank)
}

fn zrevrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    rank(ctx, |rank, len| len - 1 - rank)
}

fn rank(ctx: &mut Ctx<'_>, counted: impl Fn(usize, usize) -> usize) -> Result<(), Error> {
    let with_score = match ctx.args.len() {
        3 => false,
        4 if ctx.arg(3).eq_ignore_ascii_case(b"withscore") => true,
        _ => return Err(Error::Syntax),
    };
    let member = ctx.arg(2);
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    let found = zset.and_then(|zset| Some((zset.rank(member)?, zset.len())));
    match found {
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
        Some(((rank, score), len)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.integer(counted(rank, len) as i64);
            if with_score {
                ctx.reply.double(score);
            }
        }
    }
    Ok(())
}

fn zscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, options) = (ctx.arg(1), ctx.args.skip(3));
    let cursor = parse_cursor(ctx.arg(2)).ok_or(Error::InvalidCursor)?;
    let mut found: Vec<StrBuf> = Vec::new();
    let mut next = 0;
    if let Some(zset) = ctx.txn.read::<ZSet>(key)? {
        let options = ScanOptions::parse_within(options)?;
        next = zset.scan(cursor, options.count, |member, score| {
            if options.lets_through(member) {
                found.extend([member, score].map(StrBuf::from_slice));
            }
        });
    }
    reply_scan(ctx.reply, next, &found);
    Ok(())
}

/// Answers with members, and with their scores where they are wanted: pairs of their own in RESP3.
pub(super) fn reply_members<'i>(
    reply: &mut dyn Reply,
    len: usize,
    with_scores: bool,
    members: impl Iterator<Item = (Item<'i>, f64)>,
) {
    let in_pairs = with_scores && reply.protocol() == Protocol::Resp3;
    reply.array(if with_scores && !in_pairs {
        2 * len
    } else {
        len
    });
    for (member, score) in members {
        if in_pairs {
            reply.array(2);
        }
        reply_item(reply, member);
        if with_scores {
            reply.double(score);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use crate::resp::Protocol;
    use std::collections::BTreeSet;

    #[test]
    fn a_rank_comes_with_its_score() {
        let mut ours = Harness::new();
        ours.line("ZADD z 1 a 2.5 b 3 c");
        assert_eq!(ours.line("ZRANK z b"), ":1\r\n");
        assert_eq!(
            ours.line("ZRANK z b WITHSCORE"),
            "*2\r\n:1\r\n$3\r\n2.5\r\n"
        );
        assert_eq!(
            ours.line("ZREVRANK z c withscore"),
            "*2\r\n:0\r\n$1\r\n3\r\n"
        );
        assert_eq!(ours.line("ZRANK z no WITHSCORE"), "*-1\r\n");
        assert_eq!(ours.line("ZRANK z b SCORE"), "-ERR syntax error\r\n");
        ours.protocol = Protocol::Resp3;
        assert_eq!(ours.line("ZRANK z b WITHSCORE"), "*2\r\n:1\r\n,2.5\r\n");
    }

    /// Also while transactions remove most members and are taken back.
    #[test]
    fn a_scan_finds_what_rollbacks_bring_back() {
        const MEMBERS: usize = 400;
        let mut ours = Harness::new();
        for n in 0..MEMBERS {
            ours.line(&format!("ZADD z {n} m{n:03}"));
        }
        let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
        for first in (0..).step_by(7) {
            let reply = ours.line(&format!("ZSCAN z {cursor} COUNT 20"));
            let mut lines = reply.split("\r\n").skip(2);
            cursor = lines.next().expect("a cursor").to_owned();
            let members = lines.filter(|line| line.starts_with('m'));
            found.extend(members.map(str::to_owned));
            if cursor == "0" {
                break;
            }
            let first = (first % MEMBERS).to_string();
            ours.run_and_roll_back(&["ZREMRANGEBYRANK", "z", &first, "-1"]);
        }
        assert_eq!(found.len(), MEMBERS);
    }

    #[test]
    fn a_set_grows_out_of_its_small_form() {
        let mut ours = Harness::new();
        for n in 0..128 {
            ours.line(&format!("ZADD z {n} m{n}"));
        }
        assert_eq!(ours.line("OBJECT ENCODING z"), "$8\r\nlistpack\r\n");
        ours.line("ZADD z 1 one-more");
        assert_eq!(ours.line("OBJECT ENCODING z"), "$8\r\nskiplist\r\n");
        ours.line("ZREMRANGEBYRANK z 1 -1");
        assert_eq!(ours.line("OBJECT ENCODING z"), "$8\r\nskiplist\r\n");
        ours.line(&format!("ZADD y 1 {}", "x".repeat(64)));
        assert_eq!(ours.line("OBJECT ENCODING y"), "$8\r\nlistpack\r\n");
        ours.line(&format!("ZADD y 1 {}", "x".repeat(65)));
        assert_eq!(ours.line("OBJECT ENCODING y"), "$8\r\nskiplist\r\n");
    }
}
