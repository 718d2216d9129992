//! When fields of hashes end: HEXPIRE, HTTL, HPERSIST and their relatives, as Redis 7.4 has them.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::string_options::TimeUnit;
use crate::base::number::parse_i64;
use crate::keyspace::{Absent, Notify};
use crate::resp::Args;
use crate::value::Hash;

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("hexpire", -6, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key seconds [condition: NX | XX | GT | LT] \
                 FIELDS <fields: numfields:integer field ...>",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Set expiry for hash field using relative time to expire (seconds)",
            ),
        hexpire,
    ),
    Command::new(
        Spec::new("hpexpire", -6, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key milliseconds [condition: NX | XX | GT | LT] \
                 FIELDS <fields: numfields:integer field ...>",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Set expiry for hash field using relative time to expire (milliseconds)",
            ),
        hpexpire,
    ),
    Command::new(
        Spec::new("hexpireat", -6, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key unix-time-seconds [condition: NX | XX | GT | LT] \
                 FIELDS <fields: numfields:integer field ...>",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Set expiry for hash field using an absolute Unix timestamp (seconds)",
            ),
        hexpireat,
    ),
    Command::new(
        Spec::new("hpexpireat", -6, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key unix-time-milliseconds [condition: NX | XX | GT | LT] \
                 FIELDS <fields: numfields:integer field ...>",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Set expiry for hash field using an absolute Unix timestamp (milliseconds)",
            ),
        hpexpireat,
    ),
    Command::new(
        Spec::new("httl", -5, Group::Hash, Flags::READ_FAST)
            .syntax("key FIELDS <fields: numfields:integer field ...>")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Returns the TTL in seconds of a hash field.",
            ),
        httl,
    ),
    Command::new(
        Spec::new("hpttl", -5, Group::Hash, Flags::READ_FAST)
            .syntax("key FIELDS <fields: numfields:integer field ...>")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Returns the TTL in milliseconds of a hash field.",
            ),
        hpttl,
    ),
    Command::new(
        Spec::new("hexpiretime", -5, Group::Hash, Flags::READ_FAST)
            .syntax("key FIELDS <fields: numfields:integer field ...>")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Returns the expiration time of a hash field as a Unix timestamp, in \
                 seconds.",
            ),
        hexpiretime,
    ),
    Command::new(
        Spec::new("hpexpiretime", -5, Group::Hash, Flags::READ_FAST)
            .syntax("key FIELDS <fields: numfields:integer field ...>")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Returns the expiration time of a hash field as a Unix timestamp, in msec.",
            ),
        hpexpiretime,
    ),
    Command::new(
        Spec::new("hpersist", -5, Group::Hash, Flags::WRITE_FAST)
            .syntax("key FIELDS <fields: numfields:integer field ...>")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "7.4.0",
                COMPLEXITY,
                "Removes the expiration time for each specified field",
            ),
        hpersist,
    ),
];

/// What is answered for each field.
const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const NOT_SET: i64 = 0;
const SET: i64 = 1;
const REMOVED: i64 = 2;

const NUMBER_OF_FIELDS: Error = Error::text("ERR Number of fields must be a positive integer");

fn hexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire(ctx, TimeUnit::Seconds, "hexpire")
}

fn hpexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire(ctx, TimeUnit::Milliseconds, "hpexpire")
}

fn hexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire(ctx, TimeUnit::UnixSeconds, "hexpireat")
}

fn hpexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire(ctx, TimeUnit::UnixMilliseconds, "hpexpireat")
}

fn expire(ctx: &mut Ctx<'_>, unit: TimeUnit, command: &str) -> Result<(), Error> {
    const NUM_FIELDS: Error = Error::text("ERR Parameter `numFields` should be greater than 0");
    let key = ctx.arg(1);
    ctx.txn.inspect::<Hash>(key)?;
    let at_ms = deadline(ctx.arg(2), unit, ctx.now_ms(), command)?;
    let condition = Condition::parse(ctx.arg(3));
    let fields_at = 3 + usize::from(condition.is_some());
    let fields = parse_fields(ctx.args, fields_at, NUM_FIELDS)?;

    let now_ms = ctx.now_ms();
    let mut answers = Vec::with_capacity(fields.len());
    let is_over = ctx.txn.edit::<Hash, _>(key, Absent::Leave, |hash| {
        for field in fields.iter() {
            answers.push(if hash.get(field).is_none() {
                NO_FIELD
            } else if condition.is_some_and(|c| !c.allows(hash.expiry(field), at_ms)) {
                NOT_SET
            } else if at_ms <= now_ms {
                hash.remove(field);
                REMOVED
            } else {
                hash.set_expiry(field, Some(at_ms));
                SET
            });
        }
        hash.is_empty()
    })?;
    answers.resize(fields.len(), NO_FIELD);
    if answers.contains(&SET) {
        ctx.txn.notify(Notify::HASH, "hexpire", key);
    }
    if answers.contains(&REMOVED) {
        ctx.txn.notify(Notify::HASH, "hdel", key);
    }
    if is_over == Some(true) {
        ctx.txn.notify(Notify::GENERIC, "del", key);
    }
    reply_all(ctx, &answers);
    Ok(())
}

/// The time that is asked for, in Unix milliseconds.
fn deadline(text: &[u8], unit: TimeUnit, now_ms: i64, command: &str) -> Result<i64, Error> {
    const NEGATIVE: Error = Error::text("ERR invalid expire time, must be >= 0");
    /// What Redis has room for.
    const AT_MS_MAX: i64 = (1 << 46) - 1;
    let time = parse_i64(text).ok_or(Error::NotInteger)?;
    if time < 0 {
        return Err(NEGATIVE);
    }
    let at_ms = unit.point(time, now_ms).filter(|at_ms| *at_ms <= AT_MS_MAX);
    at_ms.ok_or_else(|| Error::InvalidExpire(command.into()))
}

fn httl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_times(ctx, TimeUnit::Seconds)
}

fn hpttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_times(ctx, TimeUnit::Milliseconds)
}

fn hexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_times(ctx, TimeUnit::UnixSeconds)
}

fn hpexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_times(ctx, TimeUnit::UnixMilliseconds)
}

fn reply_times(ctx: &mut Ctx<'_>, unit: TimeUnit) -> Result<(), Error> {
    let base_ms = if unit.is_relative() { ctx.now_ms() } else { 0 };
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    let fields = parse_fields(ctx.args, 2, NUMBER_OF_FIELDS)?;
    let answer = |field: &[u8]| match hash {
        Some(hash) if hash.get(field).is_some() => match hash.expiry(field) {
            None => NO_EXPIRY,
            Some(at_ms) if unit.is_seconds() => (at_ms - base_ms + 999) / 1000,
            Some(at_ms) => at_ms - base_ms,
        },
        _ => NO_FIELD,
    };
    ctx.reply.array(fields.len());
    for field in fields.iter() {
        ctx.reply.integer(answer(field));
    }
    Ok(())
}

fn hpersist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    ctx.txn.inspect::<Hash>(key)?;
    let fields = parse_fields(ctx.args, 2, NUMBER_OF_FIELDS)?;
    let mut answers = Vec::with_capacity(fields.len());
    ctx.txn.edit::<Hash, _>(key, Absent::Leave, |hash| {
        for field in fields.iter() {
            answers.push(if hash.get(field).is_none() {
                NO_FIELD
            } else if hash.set_expiry(field, None) {
                SET
            } else {
                NO_EXPIRY
            });
        }
    })?;
    answers.resize(fields.len(), NO_FIELD);
    if answers.contains(&SET) {
        ctx.txn.notify(Notify::HASH, "hpersist", key);
    }
    reply_all(ctx, &answers);
    Ok(())
}

/// The fields behind `FIELDS number`, which begins at an argument that is there.
fn parse_fields(args: Args<'_>, at: usize, bad_number: Error) -> Result<Args<'_>, Error> {
    const MISSING: Error =
        Error::text("ERR Mandatory argument FIELDS is missing or not at the right position");
    const MISMATCH: Error =
        Error::text("ERR The `numfields` parameter must match the number of arguments");
    if !args.get(at).eq_ignore_ascii_case(b"fields") {
        return Err(MISSING);
    }
    let number = parse_i64(args.get(at + 1)).filter(|number| *number > 0);
    let fields = args.skip(at + 2);
    if number.ok_or(bad_number)? != fields.len() as i64 {
        return Err(MISMATCH);
    }
    Ok(fields)
}

fn reply_all(ctx: &mut Ctx<'_>, answers: &[i64]) {
    ctx.reply.array(answers.len());
    for answer in answers {
        ctx.reply.integer(*answer);
    }
}

/// Under what HEXPIRE goes ahead for a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// The field has no expiry.
    Nx,
    /// It has one.
    Xx,
    /// The new one is later.
    Gt,
    /// The new one is earlier.
    Lt,
}

impl Condition {
    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_slice() {
            b"nx" => Self::Nx,
            b"xx" => Self::Xx,
            b"gt" => Self::Gt,
            b"lt" => Self::Lt,
            _ => return None,
        })
    }

    /// A field without expiry counts as one that ends after every other.
    fn allows(self, current_ms: Option<i64>, at_ms: i64) -> bool {
        match self {
            Self::Nx => current_ms.is_none(),
            Self::Xx => current_ms.is_some(),
            Self::Gt => current_ms.is_some_and(|current_ms| at_ms > current_ms),
            Self::Lt => current_ms.is_none_or(|current_ms| at_ms < current_ms),
        }
    }
}
