//! Keys whatever they hold: DEL, EXISTS, RENAME, COPY and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Expiry, Notify};
use crate::resp::Args;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new(
            "del",
            -2,
            Group::Generic,
            Flags::WRITE.union(Flags::EACH_KEY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::REMOVE)])
        .docs(
            "1.0.0",
            "O(N) where N is the number of keys that will be removed. When a key to \
                 remove holds a value other than a string, the individual complexity for \
                 this key is O(M) where M is the number of elements in the list, set, \
                 sorted set or hash. Removing a single key that holds a string value is \
                 O(1).",
            "Delete a key",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
        del,
    ),
    Command::new(
        Spec::new(
            "unlink",
            -2,
            Group::Generic,
            Flags::WRITE_FAST.union(Flags::EACH_KEY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::REMOVE)])
        .docs(
            "4.0.0",
            "O(1) for each key removed regardless of its size. Then the command does \
                 O(N) work in a different thread in order to reclaim memory, where N is \
                 the number of allocations the deleted objects where composed of.",
            "Delete a key asynchronously in another thread. Otherwise it is just as \
                 DEL, but non blocking.",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
        unlink,
    ),
    Command::new(
        Spec::new(
            "exists",
            -2,
            Group::Generic,
            Flags::READ_FAST.union(Flags::EACH_KEY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::RO)])
        .docs(
            "1.0.0",
            "O(N) where N is the number of keys to check.",
            "Determine if a key exists",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")]),
        exists,
    ),
    Command::new(
        Spec::new("type", 2, Group::Generic, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Determine the type stored at key"),
        type_of,
    ),
    Command::new(
        Spec::new(
            "touch",
            -2,
            Group::Generic,
            Flags::READ_FAST.union(Flags::EACH_KEY),
        )
        .syntax("key ...")
        .keys(&[KeySpec::rest(1, 1, KeyFlags::RO)])
        .docs(
            "3.2.1",
            "O(N) where N is the number of keys that will be touched.",
            "Alters the last access time of a key(s). Returns the number of existing \
                 keys specified.",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
        touch,
    ),
    Command::new(
        Spec::new("rename", 3, Group::Generic, Flags::WRITE)
            .syntax("key newkey")
            .keys(&[
                KeySpec::one(1, KeyFlags::TAKE),
                KeySpec::one(2, KeyFlags::OVERWRITE),
            ])
            .docs("1.0.0", "O(1)", "Rename a key"),
        rename,
    ),
    Command::new(
        Spec::new("renamenx", 3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key newkey")
            .keys(&[
                KeySpec::one(1, KeyFlags::TAKE),
                KeySpec::one(2, KeyFlags::CREATE),
            ])
            .docs(
                "1.0.0",
                "O(1)",
                "Rename a key, only if the new key does not exist",
            )
            .history(&[(
                "3.2.0",
                "The command no longer returns an error when source and destination names \
                 are the same.",
            )]),
        renamenx,
    ),
    Command::new(
        Spec::new("copy", -3, Group::Generic, Flags::WRITE_DENYOOM)
            .syntax("source destination [DB destination-db:integer] [REPLACE]")
            .keys(&[
                KeySpec::one(1, KeyFlags::READ),
                KeySpec::one(2, KeyFlags::OVERWRITE),
            ])
            .other_db(other_db)
            .docs(
                "6.2.0",
                "O(N) worst case for collections, where N is the number of nested items. \
                 O(1) for string values.",
                "Copy a key",
            ),
        copy,
    ),
    Command::new(
        Spec::new("move", 3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key db:integer")
            .keys(&[KeySpec::one(1, KeyFlags::MODIFY)])
            .other_db(other_db)
            .docs("1.0.0", "O(1)", "Move a key to another database"),
        move_key,
    ),
];

fn del(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut removed = 0;
    for key in ctx.args.skip(1).iter() {
        if ctx.txn.remove(key) {
            ctx.txn.notify(Notify::GENERIC, "del", key);
            removed += 1;
        }
    }
    ctx.reply.integer(removed);
    Ok(())
}

/// The same as DEL: what a transaction replaces is freed after its commit anyway.
fn unlink(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    del(ctx)
}

fn exists(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.args.skip(1);
    let there = keys.iter().filter(|key| ctx.txn.look(key).is_some());
    let there = there.count();
    ctx.reply.integer(there as i64);
    Ok(())
}

fn type_of(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let value = ctx.txn.look(ctx.args.get(1));
    ctx.reply
        .simple(value.map_or("none", |value| value.kind().name()));
    Ok(())
}

fn touch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.args.skip(1);
    let there = keys.iter().filter(|key| ctx.txn.get(key).is_some()).count();
    ctx.reply.integer(there as i64);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    if !ctx.txn.exists(from) {
        return Err(Error::NoSuchKey);
    }
    if from != to {
        rename_found(ctx, from, to);
    }
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    if !ctx.txn.exists(from) {
        return Err(Error::NoSuchKey);
    }
    let is_free = !ctx.txn.exists(to);
    if is_free {
        rename_found(ctx, from, to);
    }
    ctx.reply.integer(i64::from(is_free));
    Ok(())
}

fn rename_found(ctx: &mut Ctx<'_>, from: &[u8], to: &[u8]) {
    let db = ctx.txn.db();
    ctx.txn.rename(from, db, to);
    ctx.txn.notify(Notify::GENERIC, "rename_from", from);
    ctx.txn.notify(Notify::GENERIC, "rename_to", to);
}

fn copy(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = CopyOptions::parse(ctx.args.skip(3), ctx.txn.keyspace().databases())?;
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    let from_db = ctx.txn.db();
    let to_db = match options.db {
        Some(db) => ctx.txn.keyspace().physical(db),
        None => from_db,
    };
    if from_db == to_db && from == to {
        return Err(Error::SameObject);
    }
    let Some(value) = ctx.txn.get(from).cloned() else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let expiry = match ctx.txn.expiry(from).flatten() {
        Some(at_ms) => Expiry::At(at_ms),
        None => Expiry::Never,
    };
    ctx.txn.use_db(to_db);
    let goes_ahead = options.replace || !ctx.txn.exists(to);
    if goes_ahead {
        if ctx.txn.put(to, value, expiry) {
            // For Redis the old key is removed and the new one made.
            ctx.txn.notify(Notify::NEW, "new", to);
        }
        ctx.txn.notify(Notify::GENERIC, "copy_to", to);
    }
    ctx.txn.use_db(from_db);
    ctx.reply.integer(i64::from(goes_ahead));
    Ok(())
}

fn move_key(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let logical = db_index(ctx.arg(2), ctx.txn.keyspace().databases())?;
    let from_db = ctx.txn.db();
    let to_db = ctx.txn.keyspace().physical(logical);
    if from_db == to_db {
        return Err(Error::SameObject);
    }
    ctx.txn.use_db(to_db);
    let is_free = !ctx.txn.exists(key);
    ctx.txn.use_db(from_db);
    let goes_ahead = is_free && ctx.txn.exists(key);
    if goes_ahead {
        ctx.txn.rename(key, to_db, key);
        ctx.txn.notify(Notify::GENERIC, "move_from", key);
        ctx.txn.use_db(to_db);
        ctx.txn.notify(Notify::GENERIC, "move_to", key);
        ctx.txn.use_db(from_db);
    }
    ctx.reply.integer(i64::from(goes_ahead));
    Ok(())
}

#[derive(Default)]
struct CopyOptions {
    db: Option<usize>,
    replace: bool,
}

impl CopyOptions {
    fn parse(args: Args<'_>, databases: usize) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            if option.eq_ignore_ascii_case(b"replace") {
                options.replace = true;
            } else if option.eq_ignore_ascii_case(b"db") {
                let index = args.next().ok_or(Error::Syntax)?;
                options.db = Some(db_index(index, databases)?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// The database that MOVE or COPY names. A request that is wrong names none; its handler says why.
fn other_db(args: &Args<'_>) -> Option<usize> {
    use crate::keyspace::DATABASES_MAX;
    if args[0].eq_ignore_ascii_case(b"move") {
        return db_index(args.try_get(2)?, DATABASES_MAX).ok();
    }
    CopyOptions::parse(args.skip(3), DATABASES_MAX).ok()?.db
}

/// The number of a database.
fn db_index(text: &[u8], databases: usize) -> Result<usize, Error> {
    const OUT_OF_RANGE: Error =
        Error::text("ERR value is out of range, value must between -2147483648 and 2147483647");
    let number = parse_i64(text).ok_or(Error::NotInteger)?;
    let number = i32::try_from(number).map_err(|_| OUT_OF_RANGE)?;
    usize::try_from(number)
        .ok()
        .filter(|index| *index < databases)
        .ok_or(Error::DbIndexOutOfRange)
}
