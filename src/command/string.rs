//! Strings that are read and written whole: GET, SET and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::string_options::{Lifetime, Options, TimeUnit, When};
use crate::keyspace::{Expiry, Notify};
use crate::resp::Args;
use crate::value::{Str, Value};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("get", 2, Group::String, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs("1.0.0", "O(1)", "Get the value of a key"),
        get,
    ),
    Command::new(
        Spec::new("set", -3, Group::String, Flags::WRITE_DENYOOM)
            .syntax(
                "key value [condition: NX | XX]@2.6.12 [GET]@6.2.0 \
                 [expiration: EX seconds@2.6.12 | PX milliseconds@2.6.12 \
                 | EXAT unix-time-seconds@6.2.0 | PXAT unix-time-milliseconds@6.2.0 \
                 | KEEPTTL@6.0.0]",
            )
            .keys(&[KeySpec::one(
                1,
                KeyFlags::MODIFY.union(KeyFlags::VARIABLE_FLAGS),
            )])
            .variable_flags(set_flags)
            .key_notes(&["RW and ACCESS due to the optional `GET` argument"])
            .docs("1.0.0", "O(1)", "Set the string value of a key")
            .history(&[
                ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
                ("6.0.0", "Added the `KEEPTTL` option."),
                ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
                (
                    "7.0.0",
                    "Allowed the `NX` and `GET` options to be used together.",
                ),
            ]),
        set,
    ),
    Command::new(
        Spec::new("setnx", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key value")
            .keys(&[KeySpec::one(1, KeyFlags::CREATE)])
            .docs(
                "1.0.0",
                "O(1)",
                "Set the value of a key, only if the key does not exist",
            ),
        setnx,
    ),
    Command::new(
        Spec::new("setex", 4, Group::String, Flags::WRITE_DENYOOM)
            .syntax("key seconds value")
            .keys(&[KeySpec::one(1, KeyFlags::OVERWRITE)])
            .docs("2.0.0", "O(1)", "Set the value and expiration of a key"),
        setex,
    ),
    Command::new(
        Spec::new("psetex", 4, Group::String, Flags::WRITE_DENYOOM)
            .syntax("key milliseconds value")
            .keys(&[KeySpec::one(1, KeyFlags::OVERWRITE)])
            .docs(
                "2.6.0",
                "O(1)",
                "Set the value and expiration in milliseconds of a key",
            ),
        psetex,
    ),
    Command::new(
        Spec::new("getex", -2, Group::String, Flags::WRITE_FAST)
            .syntax(
                "key \
                 [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds \
                 | PXAT unix-time-milliseconds | PERSIST]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .key_notes(&["RW and UPDATE because it changes the TTL"])
            .docs(
                "6.2.0",
                "O(1)",
                "Get the value of a key and optionally set its expiration",
            ),
        getex,
    ),
    Command::new(
        Spec::new("getdel", 2, Group::String, Flags::WRITE_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::TAKE)])
            .docs("6.2.0", "O(1)", "Get the value of a key and delete the key"),
        getdel,
    ),
    Command::new(
        Spec::new("getset", 3, Group::String, Flags::WRITE_DENYOOM_FAST)
            .syntax("key value")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .docs(
                "1.0.0",
                "O(1)",
                "Set the string value of a key and return its old value",
            )
            .deprecated("6.2.0", "`SET` with the `!GET` argument"),
        getset,
    ),
    Command::new(
        Spec::new(
            "mget",
            -2,
            Group::String,
            Flags::READ_FAST.union(Flags::EACH_KEY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::READ)])
        .docs(
            "1.0.0",
            "O(N) where N is the number of keys to retrieve.",
            "Get the values of all the given keys",
        )
        .tips(&["request_policy:multi_shard"]),
        mget,
    ),
    Command::new(
        Spec::new(
            "mset",
            -3,
            Group::String,
            Flags::WRITE_DENYOOM.union(Flags::EACH_KEY),
        )
        .syntax("<key value>...")
        .keys(&[KeySpec::rest(1, 2, KeyFlags::OVERWRITE)])
        .docs(
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Set multiple keys to multiple values",
        )
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ]),
        mset,
    ),
    Command::new(
        Spec::new(
            "msetnx",
            -3,
            Group::String,
            Flags::WRITE_DENYOOM.union(Flags::EACH_KEY),
        )
        .syntax("<key value>...")
        .keys(&[KeySpec::rest(1, 2, KeyFlags::CREATE)])
        .docs(
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Set multiple keys to multiple values, only if none of the keys exist",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
        msetnx,
    ),
];

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let string = Ctx::string(&mut ctx.txn, ctx.args.get(1))?;
    Ctx::reply_string(ctx.reply, string);
    Ok(())
}

/// Only with `GET` the old value is told.
fn set_flags(args: &Args<'_>) -> KeyFlags {
    let mut options = args.iter().skip(3);
    if options.any(|option| option.eq_ignore_ascii_case(b"get")) {
        KeyFlags::MODIFY
    } else {
        KeyFlags::OVERWRITE
    }
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 3 {
        return set_with_options(ctx);
    }
    let value = Value::Str(Str::new(ctx.arg(2)));
    let key = ctx.arg(1);
    ctx.txn.put(key, value, Expiry::Never);
    ctx.txn.notify(Notify::STRING, "set", key);
    ctx.reply.ok();
    Ok(())
}

fn set_with_options(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = Options::parse_set(ctx.args.skip(3))?;
    let expiry = match options.lifetime {
        Some(Lifetime::Keep) => Expiry::Keep,
        Some(Lifetime::Time(unit, text)) => Expiry::At(unit.deadline(text, ctx.now_ms(), "set")?),
        Some(Lifetime::Persist) | None => Expiry::Never,
    };
    let key = ctx.arg(1);
    let old = if options.get {
        Ctx::string(&mut ctx.txn, key)?.cloned()
    } else {
        None
    };
    let goes_ahead = match options.when {
        None => true,
        Some(When::Absent) => !ctx.txn.exists(key),
        Some(When::Present) => ctx.txn.exists(key),
    };
    if goes_ahead {
        put_for(ctx, key, Str::new(ctx.arg(2)), expiry);
    }
    if options.get {
        Ctx::reply_string(ctx.reply, old.as_ref());
    } else if goes_ahead {
        ctx.reply.ok();
    } else {
        ctx.reply.null();
    }
    Ok(())
}

fn setnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let absent = !ctx.txn.exists(key);
    if absent {
        put_for(ctx, key, Str::new(ctx.arg(2)), Expiry::Never);
    }
    ctx.reply.integer(i64::from(absent));
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_for(ctx, TimeUnit::Seconds, "setex")
}

fn psetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_for(ctx, TimeUnit::Milliseconds, "psetex")
}

fn set_for(ctx: &mut Ctx<'_>, unit: TimeUnit, command: &str) -> Result<(), Error> {
    let at_ms = unit.deadline(ctx.arg(2), ctx.now_ms(), command)?;
    put_for(ctx, ctx.arg(1), Str::new(ctx.arg(3)), Expiry::At(at_ms));
    ctx.reply.ok();
    Ok(())
}

/// Sets a key, and tells of it.
fn put_for(ctx: &mut Ctx<'_>, key: &[u8], string: Str, expiry: Expiry) {
    ctx.txn.put(key, Value::Str(string), expiry);
    ctx.txn.notify(Notify::STRING, "set", key);
    if matches!(expiry, Expiry::At(_)) {
        ctx.txn.notify(Notify::GENERIC, "expire", key);
    }
}

fn getex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = Options::parse_getex(ctx.args.skip(2))?;
    let key = ctx.arg(1);
    let Some(string) = Ctx::string(&mut ctx.txn, key)?.cloned() else {
        ctx.reply.null();
        return Ok(());
    };
    match options.lifetime {
        Some(Lifetime::Time(unit, text)) => {
            let at_ms = unit.deadline(text, ctx.now_ms(), "getex")?;
            if at_ms <= ctx.now_ms() {
                ctx.txn.remove(key);
                ctx.txn.notify(Notify::GENERIC, "del", key);
            } else {
                ctx.txn.set_expiry(key, Some(at_ms));
                ctx.txn.notify(Notify::GENERIC, "expire", key);
            }
        }
        Some(Lifetime::Persist) => {
            if ctx.txn.expiry(key).flatten().is_some() {
                ctx.txn.set_expiry(key, None);
                ctx.txn.notify(Notify::GENERIC, "persist", key);
            }
        }
        Some(Lifetime::Keep) | None => {}
    }
    Ctx::reply_string(ctx.reply, Some(&string));
    Ok(())
}

fn getdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let old = Ctx::string(&mut ctx.txn, key)?.cloned();
    if ctx.txn.remove(key) {
        ctx.txn.notify(Notify::GENERIC, "del", key);
    }
    Ctx::reply_string(ctx.reply, old.as_ref());
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let old = Ctx::string(&mut ctx.txn, key)?.cloned();
    put_for(ctx, key, Str::new(ctx.arg(2)), Expiry::Never);
    Ctx::reply_string(ctx.reply, old.as_ref());
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.args.skip(1);
    ctx.reply.array(keys.len());
    for key in keys.iter() {
        // A value of another type is null here, not an error.
        let string = Ctx::string(&mut ctx.txn, key).unwrap_or_default();
        Ctx::reply_string(ctx.reply, string);
    }
    Ok(())
}

fn mset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_pairs(ctx, "mset")?;
    put_pairs(ctx);
    ctx.reply.ok();
    Ok(())
}

fn msetnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_pairs(ctx, "msetnx")?;
    let mut keys = ctx.args.skip(1).iter().step_by(2);
    let all_absent = !keys.any(|key| ctx.txn.exists(key));
    if all_absent {
        put_pairs(ctx);
    }
    ctx.reply.integer(i64::from(all_absent));
    Ok(())
}

fn check_pairs(ctx: &Ctx<'_>, command: &str) -> Result<(), Error> {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(command.into()));
    }
    Ok(())
}

fn put_pairs(ctx: &mut Ctx<'_>) {
    for at in (1..ctx.args.len()).step_by(2) {
        put_for(ctx, ctx.arg(at), Str::new(ctx.arg(at + 1)), Expiry::Never);
    }
}
