//! Strings that are changed in place, or read in part: APPEND, SETRANGE, INCR and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Expiry, Notify};
use crate::value::{Str, Value};
use std::ops::Range;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("append", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key value")
            .keys(&[KeySpec::one(1, KeyFlags::EXTEND)])
            .docs(
                "2.0.0",
                "O(1). The amortized time complexity is O(1) assuming the appended value \
                 is small and the already present value is of any size, since the dynamic \
                 string library used by Redis will double the free space available on \
                 every reallocation.",
                "Append a value to a key",
            ),
        append,
    ),
    Command::new(
        Spec::new("strlen", 2, Group::String, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs(
                "2.2.0",
                "O(1)",
                "Get the length of the value stored in a key",
            ),
        strlen,
    ),
    Command::new(
        Spec::new("setrange", 4, Group::String, Flags::WRITE_DENYOOM)
            .syntax("key offset value")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "2.2.0",
                "O(1), not counting the time taken to copy the new string in place. \
                 Usually, this string is very small so the amortized complexity is O(1). \
                 Otherwise, complexity is O(M) with M being the length of the value \
                 argument.",
                "Overwrite part of a string at key starting at the specified offset",
            ),
        setrange,
    ),
    Command::new(
        Spec::new("getrange", 4, Group::String, Flags::READONLY)
            .syntax("key start end")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.4.0",
                "O(N) where N is the length of the returned string. The complexity is \
                 ultimately determined by the returned length, but because creating a \
                 substring from an existing string is very cheap, it can be considered \
                 O(1) for small strings.",
                "Get a substring of the string stored at a key",
            ),
        getrange,
    ),
    Command::new(
        Spec::new("substr", 4, Group::String, Flags::READONLY)
            .syntax("key start end")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.0.0",
                "O(N) where N is the length of the returned string. The complexity is \
                 ultimately determined by the returned length, but because creating a \
                 substring from an existing string is very cheap, it can be considered \
                 O(1) for small strings.",
                "Get a substring of the string stored at a key",
            )
            .deprecated("2.0.0", "`GETRANGE`"),
        substr,
    ),
    Command::new(
        Spec::new("incr", 2, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.0.0",
                "O(1)",
                "Increment the integer value of a key by one",
            ),
        incr,
    ),
    Command::new(
        Spec::new("decr", 2, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.0.0",
                "O(1)",
                "Decrement the integer value of a key by one",
            ),
        decr,
    ),
    Command::new(
        Spec::new("incrby", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key increment:integer")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.0.0",
                "O(1)",
                "Increment the integer value of a key by the given amount",
            ),
        incrby,
    ),
    Command::new(
        Spec::new("decrby", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key decrement:integer")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.0.0",
                "O(1)",
                "Decrement the integer value of a key by the given number",
            ),
        decrby,
    ),
];

fn append(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, tail) = (ctx.arg(1), ctx.arg(2));
    let len = match Ctx::string_to_change(&mut ctx.txn, key)?.map(Str::len) {
        None => {
            let value = Value::Str(Str::new(tail));
            ctx.txn.put(key, value, Expiry::Never);
            tail.len()
        }
        Some(len) => {
            ctx.check_string_len(len, tail.len())?;
            ctx.txn.splice(key, len, tail)
        }
    };
    ctx.txn.notify(Notify::STRING, "append", key);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn strlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let len = Ctx::string(&mut ctx.txn, ctx.args.get(1))?.map_or(0, Str::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, bytes) = (ctx.arg(1), ctx.arg(3));
    let offset = usize::try_from(ctx.int(2)?).map_err(|_| Error::OffsetOutOfRange)?;
    let mut len = Ctx::string_to_change(&mut ctx.txn, key)?.map_or(0, Str::len);
    if !bytes.is_empty() {
        ctx.check_string_len(offset, bytes.len())?;
        len = ctx.txn.splice(key, offset, bytes);
        ctx.txn.notify(Notify::STRING, "setrange", key);
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

fn getrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (start, end) = (ctx.int(2)?, ctx.int(3)?);
    let mut text = itoa::Buffer::new();
    let bytes = match Ctx::string(&mut ctx.txn, ctx.args.get(1))? {
        Some(string) => string.bytes(&mut text),
        None => &[],
    };
    let range = if is_reversed(start, end) {
        None
    } else {
        clamp_range(bytes.len(), start, end)
    };
    let range = range.unwrap_or(0..0);
    ctx.reply.bulk(&bytes[range]);
    Ok(())
}

fn substr(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    getrange(ctx)
}

fn incr(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add(ctx, 1)
}

fn decr(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add(ctx, -1)
}

fn incrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let by = ctx.int(2)?;
    add(ctx, by)
}

fn decrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const OVERFLOW: Error = Error::text("ERR decrement would overflow");
    let by = ctx.int(2)?.checked_neg().ok_or(OVERFLOW)?;
    add(ctx, by)
}

fn add(ctx: &mut Ctx<'_>, by: i64) -> Result<(), Error> {
    let key = ctx.arg(1);
    let old = match Ctx::string_to_change(&mut ctx.txn, key)? {
        Some(string) => string.as_int().ok_or(Error::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    ctx.txn.put(key, Value::Str(Str::Int(new)), Expiry::Keep);
    ctx.txn.notify(Notify::STRING, "incrby", key);
    ctx.reply.integer(new);
    Ok(())
}

/// Whether both indexes count from the end, and in the wrong order. Both may lie before the first element, and would
/// then become the first element.
pub(super) fn is_reversed(start: i64, end: i64) -> bool {
    start < 0 && end < 0 && start > end
}

/// The part of `len` elements that two indexes name, both included; a negative one counts from the end, and one that is
/// before the first element is the first one. `None` where that is nothing.
pub(super) fn clamp_range(len: usize, start: i64, end: i64) -> Option<Range<usize>> {
    let len = len as i64;
    let from_start = |index: i64| if index < 0 { len + index } else { index };
    let (start, end) = (from_start(start).max(0), from_start(end).max(0));
    let end = end.min(len - 1);
    (start <= end).then(|| start as usize..end as usize + 1)
}
