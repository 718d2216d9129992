//! Fields of hashes by name: HSET, HGET, HDEL, HINCRBY and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::float::{FloatError, incr_by_float};
use crate::keyspace::{Absent, Notify};
use crate::value::{Hash, Item};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("hset", -4, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax("key <field value>...")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "2.0.0",
                "O(1) for each field/value pair added, so O(N) to add N field/value pairs \
                 when the command is called with multiple field/value pairs.",
                "Set the string value of a hash field",
            )
            .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")]),
        hset,
    ),
    Command::new(
        Spec::new("hmset", -4, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax("key <field value>...")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "2.0.0",
                "O(N) where N is the number of fields being set.",
                "Set multiple hash fields to multiple values",
            )
            .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
        hmset,
    ),
    Command::new(
        Spec::new("hsetnx", 4, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax("key field value")
            .keys(&[KeySpec::one(1, KeyFlags::EXTEND)])
            .docs(
                "2.0.0",
                "O(1)",
                "Set the value of a hash field, only if the field does not exist",
            ),
        hsetnx,
    ),
    Command::new(
        Spec::new("hget", 3, Group::Hash, Flags::READ_FAST)
            .syntax("key field")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs("2.0.0", "O(1)", "Get the value of a hash field"),
        hget,
    ),
    Command::new(
        Spec::new("hmget", -3, Group::Hash, Flags::READ_FAST)
            .syntax("key field ...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.0.0",
                "O(N) where N is the number of fields being requested.",
                "Get the values of all the given hash fields",
            ),
        hmget,
    ),
    Command::new(
        Spec::new("hdel", -3, Group::Hash, Flags::WRITE_FAST)
            .syntax("key field ...")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "2.0.0",
                "O(N) where N is the number of fields to be removed.",
                "Delete one or more hash fields",
            )
            .history(&[("2.4.0", "Accepts multiple `field` arguments.")]),
        hdel,
    ),
    Command::new(
        Spec::new("hexists", 3, Group::Hash, Flags::READ_FAST)
            .syntax("key field")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("2.0.0", "O(1)", "Determine if a hash field exists"),
        hexists,
    ),
    Command::new(
        Spec::new("hlen", 2, Group::Hash, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("2.0.0", "O(1)", "Get the number of fields in a hash"),
        hlen,
    ),
    Command::new(
        Spec::new("hstrlen", 3, Group::Hash, Flags::READ_FAST)
            .syntax("key field")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs(
                "3.2.0",
                "O(1)",
                "Get the length of the value of a hash field",
            ),
        hstrlen,
    ),
    Command::new(
        Spec::new("hincrby", 4, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax("key field increment:integer")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "2.0.0",
                "O(1)",
                "Increment the integer value of a hash field by the given number",
            ),
        hincrby,
    ),
    Command::new(
        Spec::new("hincrbyfloat", 4, Group::Hash, Flags::WRITE_DENYOOM_FAST)
            .syntax("key field increment:double")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "2.6.0",
                "O(1)",
                "Increment the float value of a hash field by the given amount",
            ),
        hincrbyfloat,
    ),
];

fn hset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let added = set_pairs(ctx, "hset")?;
    ctx.reply.integer(added);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_pairs(ctx, "hmset")?;
    ctx.reply.ok();
    Ok(())
}

/// Sets pairs of field and value; returns how many fields are new.
fn set_pairs(ctx: &mut Ctx<'_>, command: &str) -> Result<i64, Error> {
    if !ctx.args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(command.into()));
    }
    let (args, key) = (ctx.args, ctx.arg(1));
    let added = ctx.txn.edit::<Hash, _>(key, Absent::Create, |hash| {
        let pairs = (2..args.len()).step_by(2);
        let is_new = |at: &usize| hash.set(args.get(*at), args.get(at + 1));
        pairs.filter(is_new).count()
    })?;
    ctx.txn.notify(Notify::HASH, "hset", key);
    Ok(added.unwrap_or_default() as i64)
}

fn hsetnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, field, value) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let is_set = ctx.txn.edit::<Hash, _>(key, Absent::Create, |hash| {
        let is_absent = hash.get(field).is_none();
        if is_absent {
            hash.set(field, value);
        }
        is_absent
    })?;
    let is_set = is_set == Some(true);
    if is_set {
        ctx.txn.notify(Notify::HASH, "hset", key);
    }
    ctx.reply.integer(i64::from(is_set));
    Ok(())
}

fn hget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    let value = hash.and_then(|hash| hash.get(ctx.args.get(2)));
    match value {
        Some(value) => ctx.reply.bulk(value.bytes(&mut itoa::Buffer::new())),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    let fields = ctx.args.skip(2);
    ctx.reply.array(fields.len());
    let mut text = itoa::Buffer::new();
    for field in fields.iter() {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => ctx.reply.bulk(value.bytes(&mut text)),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (fields, key) = (ctx.args.skip(2), ctx.arg(1));
    let done = ctx.txn.edit::<Hash, _>(key, Absent::Leave, |hash| {
        let removed = fields.iter().filter(|field| hash.remove(field)).count();
        (removed, hash.is_empty())
    })?;
    let (removed, is_over) = done.unwrap_or_default();
    if removed > 0 {
        ctx.txn.notify(Notify::HASH, "hdel", key);
    }
    if is_over {
        ctx.txn.notify(Notify::GENERIC, "del", key);
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    let value = hash.and_then(|hash| hash.get(ctx.args.get(2)));
    ctx.reply.integer(i64::from(value.is_some()));
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    ctx.reply.integer(hash.map_or(0, Hash::len) as i64);
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = ctx.txn.read::<Hash>(ctx.args.get(1))?;
    let value = hash.and_then(|hash| hash.get(ctx.args.get(2)));
    ctx.reply.integer(value.map_or(0, Item::len) as i64);
    Ok(())
}

fn hincrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_INTEGER: Error = Error::text("ERR hash value is not an integer");
    let increment = ctx.int(3)?;
    let (key, field) = (ctx.arg(1), ctx.arg(2));
    let sum = ctx.txn.edit::<Hash, _>(key, Absent::Create, |hash| {
        let old = match hash.get(field) {
            Some(value) => value.as_int().ok_or(NOT_INTEGER)?,
            None => 0,
        };
        let sum = old.checked_add(increment).ok_or(Error::Overflow)?;
        hash.set_value(field, itoa::Buffer::new().format(sum).as_bytes());
        Ok::<_, Error>(sum)
    })?;
    let sum = sum.unwrap_or(Ok(increment))?;
    ctx.txn.notify(Notify::HASH, "hincrby", key);
    ctx.reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const INCREMENT_INFINITE: Error = Error::text("ERR value is NaN or Infinity");
    const NOT_FLOAT: Error = Error::text("ERR hash value is not a float");
    let (key, field, increment) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let from_nothing = incr_by_float(b"0", increment).map_err(|error| match error {
        FloatError::NotAFloat => Error::NotFloat,
        FloatError::NanOrInfinity => INCREMENT_INFINITE,
    })?;
    let sum = ctx.txn.edit::<Hash, _>(key, Absent::Create, |hash| {
        let sum = match hash.get(field) {
            Some(value) => {
                let mut text = itoa::Buffer::new();
                let sum = incr_by_float(value.bytes(&mut text), increment);
                sum.map_err(|error| match error {
                    FloatError::NotAFloat => NOT_FLOAT,
                    FloatError::NanOrInfinity => Error::NanOrInfinity,
                })?
            }
            None => from_nothing,
        };
        hash.set_value(field, sum.as_bytes());
        Ok::<_, Error>(sum)
    })?;
    let Some(sum) = sum.transpose()? else {
        unreachable!("an absent key is created");
    };
    ctx.txn.notify(Notify::HASH, "hincrbyfloat", key);
    ctx.reply.bulk(sum.as_bytes());
    Ok(())
}
