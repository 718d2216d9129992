//! Members chosen at random: SPOP, SRANDMEMBER.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Notify};
use crate::value::{Set, StrBuf};
use std::collections::HashSet;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("spop", -2, Group::Set, Flags::WRITE_FAST)
            .syntax("key [count]@3.2.0")
            .keys(&[KeySpec::one(1, KeyFlags::TAKE)])
            .tips(&["nondeterministic_output"])
            .docs(
                "1.0.0",
                "Without the count argument O(1), otherwise O(N) where N is the value of \
                 the passed count.",
                "Remove and return one or multiple random members from a set",
            )
            .history(&[("3.2.0", "Added the `count` argument.")]),
        spop,
    ),
    Command::new(
        Spec::new("srandmember", -2, Group::Set, Flags::READONLY)
            .syntax("key [count]@2.6.0")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .tips(&["nondeterministic_output"])
            .docs(
                "1.0.0",
                "Without the count argument O(1), otherwise O(N) where N is the absolute \
                 value of the passed count.",
                "Get one or multiple random members from a set",
            )
            .history(&[("2.6.0", "Added the optional `count` argument.")]),
        srandmember,
    ),
];

/// The most members, or fields, that one request gets with repetition. Redis goes on until its memory is used up.
pub(super) const REPEATED_MAX: u64 = 1 << 24;

fn spop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_POSITIVE: Error = Error::text("ERR value is out of range, must be positive");
    match ctx.args.len() {
        2 => pop_one(ctx),
        3 => {
            let count = ctx
                .int(2)
                .ok()
                .and_then(|count| usize::try_from(count).ok());
            pop_some(ctx, count.ok_or(NOT_POSITIVE)?)
        }
        _ => Err(Error::Syntax),
    }
}

fn pop_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let rng = &mut *ctx.rng;
    let popped = ctx.txn.edit::<Set, _>(key, Absent::Leave, |set| {
        let member = set.take(rng.usize(..set.len()));
        (member, set.is_empty())
    })?;
    let Some((member, is_over)) = popped else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.txn.notify_removal(Notify::SET, "spop", key, is_over);
    ctx.reply.bulk(&member);
    Ok(())
}

fn pop_some(ctx: &mut Ctx<'_>, count: usize) -> Result<(), Error> {
    let key = ctx.arg(1);
    let len = ctx.txn.inspect::<Set>(key)?.map_or(0, Set::len);
    let count = count.min(len);
    if count == 0 {
        ctx.reply.set(0);
        return Ok(());
    }
    let rng = &mut *ctx.rng;
    let popped = ctx.txn.edit::<Set, _>(key, Absent::Leave, |set| {
        let mut take = |_| set.take(rng.usize(..set.len()));
        (0..count).map(&mut take).collect::<Vec<StrBuf>>()
    })?;
    ctx.txn
        .notify_removal(Notify::SET, "spop", key, count == len);
    ctx.reply.set(count);
    for member in popped.unwrap_or_default() {
        ctx.reply.bulk(&member);
    }
    Ok(())
}

fn srandmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const TOO_NEGATIVE: Error = Error::text(
        "ERR value is out of range, value must between -9223372036854775807 and \
         9223372036854775807",
    );
    match ctx.args.len() {
        2 => random_one(ctx),
        3 => match ctx.int(2)? {
            i64::MIN => Err(TOO_NEGATIVE),
            count @ ..0 => random_repeated(ctx, count.unsigned_abs()),
            count => random_distinct(ctx, count as usize),
        },
        _ => Err(Error::Syntax),
    }
}

fn random_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.read::<Set>(ctx.args.get(1))? {
        None => ctx.reply.null(),
        Some(set) => {
            let member = set.at(ctx.rng.usize(..set.len()));
            ctx.reply.bulk(member.bytes(&mut itoa::Buffer::new()));
        }
    }
    Ok(())
}

fn random_repeated(ctx: &mut Ctx<'_>, count: u64) -> Result<(), Error> {
    const TOO_MANY: Error = Error::text("ERR value is out of range");
    let Some(set) = ctx.txn.read::<Set>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count > REPEATED_MAX {
        return Err(TOO_MANY);
    }
    ctx.reply.array(count as usize);
    let mut text = itoa::Buffer::new();
    for _ in 0..count {
        let member = set.at(ctx.rng.usize(..set.len()));
        ctx.reply.bulk(member.bytes(&mut text));
    }
    Ok(())
}

fn random_distinct(ctx: &mut Ctx<'_>, count: usize) -> Result<(), Error> {
    let Some(set) = ctx.txn.read::<Set>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = set.len();
    let count = count.min(len);
    ctx.reply.array(count);
    let mut text = itoa::Buffer::new();
    choose_distinct(ctx.rng, len, count, |position| {
        ctx.reply.bulk(set.at(position).bytes(&mut text));
    });
    Ok(())
}

/// Chooses `count` different positions below `len`, each with the same chance.
pub(super) fn choose_distinct(
    rng: &mut fastrand::Rng,
    len: usize,
    count: usize,
    mut choose: impl FnMut(usize),
) {
    if count > len / 4 {
        // A walk over all, in which each of what is left has the same chance to be among those that are still wanted.
        let mut wanted = count;
        for position in 0..len {
            if rng.usize(..len - position) < wanted {
                wanted -= 1;
                choose(position);
            }
        }
        return;
    }
    // Floyd's: each round's range has one position more, which stands in for one that was chosen already.
    let mut chosen = HashSet::with_capacity(count);
    for last in len - count..len {
        let position = rng.usize(..=last);
        let position = if chosen.insert(position) {
            position
        } else {
            last
        };
        chosen.insert(position);
        choose(position);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use std::collections::BTreeSet;

    /// The lines of a reply that are neither lengths nor counts.
    fn texts(reply: &str) -> Vec<String> {
        let lines = reply.split("\r\n").filter(|line| !line.is_empty());
        let texts = lines.filter(|line| !line.starts_with(['*', '$']));
        texts.map(str::to_owned).collect()
    }

    /// A set of integers, and one that is a table.
    fn sets() -> (Harness, [(&'static str, BTreeSet<String>); 2]) {
        let mut ours = Harness::new();
        let ints: BTreeSet<String> = (0..100).map(|n| n.to_string()).collect();
        let words: BTreeSet<String> = (0..100).map(|n| format!("w{n}")).collect();
        let sets = [("ints", ints), ("words", words)];
        for (key, members) in &sets {
            for member in members {
                ours.line(&format!("SADD {key} {member}"));
            }
        }
        (ours, sets)
    }

    #[test]
    fn members_are_chosen_from_all_and_stay() {
        let (mut ours, sets) = sets();
        for (key, members) in sets {
            for (count, len) in [(5, 5), (60, 60), (99, 99), (200, 100)] {
                let chosen = texts(&ours.line(&format!("SRANDMEMBER {key} {count}")));
                let distinct: BTreeSet<String> = chosen.iter().cloned().collect();
                assert_eq!((chosen.len(), distinct.len()), (len, len));
                assert!(distinct.is_subset(&members));
            }
            let repeated = texts(&ours.line(&format!("SRANDMEMBER {key} -2000")));
            assert_eq!(repeated.len(), 2000);
            let distinct: BTreeSet<String> = repeated.into_iter().collect();
            assert!(distinct.is_subset(&members));
            assert!(distinct.len() > 90, "each has its chance");
            let one = texts(&ours.line(&format!("SRANDMEMBER {key}")));
            assert!(members.contains(&one[0]));
            assert_eq!(ours.line(&format!("SCARD {key}")), ":100\r\n");
            let endless = ours.line(&format!("SRANDMEMBER {key} -9223372036854775807"));
            assert_eq!(endless, "-ERR value is out of range\r\n");
        }
    }

    #[test]
    fn each_position_is_as_likely() {
        const ROUNDS: usize = 1000;
        let (mut ours, sets) = sets();
        for count in [10, 50] {
            let mut chosen = std::collections::BTreeMap::new();
            for _ in 0..ROUNDS {
                for member in texts(&ours.line(&format!("SRANDMEMBER words {count}"))) {
                    *chosen.entry(member).or_insert(0_usize) += 1;
                }
            }
            let expected = ROUNDS * count / 100;
            for member in &sets[1].1 {
                let times = chosen.get(member).copied().unwrap_or(0);
                assert!(times.abs_diff(expected) < expected / 3, "{member}: {times}");
            }
        }
    }

    #[test]
    fn what_is_popped_is_gone() {
        let (mut ours, sets) = sets();
        for (key, mut members) in sets {
            let mut popped = texts(&ours.line(&format!("SPOP {key}")));
            popped.extend(texts(&ours.line(&format!("SPOP {key} 9"))));
            assert_eq!(popped.len(), 10);
            for member in popped {
                assert!(members.remove(&member), "{member} was in it once");
            }
            let rest = texts(&ours.line(&format!("SMEMBERS {key}")));
            assert_eq!(rest.into_iter().collect::<BTreeSet<_>>(), members);
            let rest = texts(&ours.line(&format!("SPOP {key} 1000")));
            assert_eq!(rest.into_iter().collect::<BTreeSet<_>>(), members);
            assert_eq!(ours.line(&format!("EXISTS {key}")), ":0\r\n");
            ours.check_mirror();
        }
    }

    /// A scan in small steps finds each member that is there all the time, also while others come and go.
    #[test]
    fn a_scan_in_small_steps_finds_every_member() {
        let (mut ours, sets) = sets();
        let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
        for step in 0.. {
            ours.line(&format!("SADD words comes:{step}"));
            ours.line(&format!("SREM words comes:{}", step / 2));
            let reply = ours.line(&format!("SSCAN words {cursor} COUNT 3 MATCH w*"));
            let mut parts = texts(&reply).into_iter();
            cursor = parts.next().expect("a cursor");
            found.extend(parts);
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(found, sets[1].1);
    }
}
