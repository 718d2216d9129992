//! INCRBYFLOAT.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::float::{FloatError, incr_by_float};
use crate::keyspace::{Expiry, Notify};
use crate::value::{Str, StrBuf, Value};

pub static COMMANDS: &[Command<Handler>] = &[Command::new(
    Spec::new("incrbyfloat", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
        .syntax("key increment:double")
        .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
        .docs(
            "2.6.0",
            "O(1)",
            "Increment the float value of a key by the given amount",
        ),
    incrbyfloat,
)];

fn incrbyfloat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let mut text = itoa::Buffer::new();
    let old = match Ctx::string_to_change(&mut ctx.txn, key)? {
        Some(string) => string.bytes(&mut text),
        None => b"0",
    };
    let new = incr_by_float(old, ctx.args.get(2)).map_err(|error| match error {
        FloatError::NotAFloat => Error::NotFloat,
        FloatError::NanOrInfinity => Error::NanOrInfinity,
    })?;
    // Bytes even where the sum is integral, as Redis stores it.
    let value = Value::Str(Str::Bytes(StrBuf::from_slice(new.as_bytes())));
    ctx.txn.put(key, value, Expiry::Keep);
    ctx.txn.notify(Notify::STRING, "incrbyfloat", key);
    ctx.reply.bulk(new.as_bytes());
    Ok(())
}
