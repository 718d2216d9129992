//! The keyspace as a whole: KEYS, SCAN, RANDOMKEY, DBSIZE, FLUSHALL, SWAPDB and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::scan_options::{ScanOptions, parse_cursor, reply_scan};
use super::spec::{Command, Flags, Group, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Key, ScanFilter};
use crate::resp::Args;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new(
            "keys",
            2,
            Group::Generic,
            Flags::READONLY.union(Flags::KEYSPACE),
        )
        .syntax("pattern")
        .categories(&["@dangerous"])
        .docs(
            "1.0.0",
            "O(N) with N being the number of keys in the database, under the \
             assumption that the key names in the database and the given pattern have \
             limited length.",
            "Find all keys matching the given pattern",
        )
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
        keys,
    ),
    Command::new(
        Spec::new(
            "scan",
            -2,
            Group::Generic,
            Flags::READONLY.union(Flags::KEYSPACE),
        )
        .syntax("cursor [MATCH pattern] [COUNT count] [TYPE type]@6.0.0")
        .docs(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough \
             command calls for the cursor to return back to 0. N is the number of \
             elements inside the collection.",
            "Incrementally iterate the keys space",
        )
        .tips(&["nondeterministic_output", "request_policy:special"])
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")]),
        scan,
    ),
    Command::new(
        Spec::new(
            "randomkey",
            1,
            Group::Generic,
            Flags::READONLY.union(Flags::KEYSPACE),
        )
        .docs("1.0.0", "O(1)", "Return a random key from the keyspace")
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
        randomkey,
    ),
    Command::new(
        Spec::new(
            "dbsize",
            1,
            Group::Server,
            Flags::READ_FAST.union(Flags::KEYSPACE),
        )
        .categories(&["@keyspace"])
        .docs(
            "1.0.0",
            "O(1)",
            "Return the number of keys in the selected database",
        )
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
        dbsize,
    ),
    Command::new(
        Spec::new(
            "flushdb",
            -1,
            Group::Server,
            Flags::WRITE.union(Flags::GATE),
        )
        .syntax("[async: ASYNC@4.0.0 | SYNC@6.2.0]")
        .categories(&["@dangerous", "@keyspace"])
        .docs(
            "1.0.0",
            "O(N) where N is the number of keys in the selected database",
            "Remove all keys from the current database",
        )
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ]),
        flushdb,
    ),
    Command::new(
        Spec::new(
            "flushall",
            -1,
            Group::Server,
            Flags::WRITE.union(Flags::GATE),
        )
        .syntax("[async: ASYNC@4.0.0 | SYNC@6.2.0]")
        .categories(&["@dangerous", "@keyspace"])
        .docs(
            "1.0.0",
            "O(N) where N is the total number of keys in all databases",
            "Remove all keys from all databases",
        )
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ]),
        flushall,
    ),
    Command::new(
        Spec::new(
            "swapdb",
            3,
            Group::Server,
            Flags::WRITE_FAST.union(Flags::GATE),
        )
        .syntax("index1:integer index2:integer")
        .categories(&["@dangerous", "@keyspace"])
        .docs(
            "4.0.0",
            "O(N) where N is the count of clients watching or blocking on keys from \
             both databases.",
            "Swaps two Redis databases",
        ),
        swapdb,
    ),
];

fn keys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let filter = ScanFilter {
        pattern: Some(ctx.arg(1)),
        kind: None,
    };
    let mut found: Vec<Key> = Vec::new();
    let (db, now_ms) = (ctx.txn.db(), ctx.now_ms());
    let (keyspace, met) = ctx.txn.walk();
    keyspace.keys(db, now_ms, filter, met, |key| {
        found.push(Key::from_slice(key));
    });
    ctx.reply.array(found.len());
    for key in &found {
        ctx.reply.bulk(key);
    }
    Ok(())
}

fn scan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let cursor = parse_cursor(ctx.arg(1)).ok_or(Error::InvalidCursor)?;
    let options = ScanOptions::parse(ctx.args.skip(2))?;
    let filter = ScanFilter {
        pattern: options.pattern,
        kind: options.kind,
    };
    let mut found: Vec<Key> = Vec::new();
    let (db, now_ms) = (ctx.txn.db(), ctx.now_ms());
    let (keyspace, met) = ctx.txn.walk();
    let next = keyspace.scan(db, cursor, options.count, now_ms, filter, met, |key| {
        if !options.no_such_type {
            found.push(Key::from_slice(key));
        }
    });
    reply_scan(ctx.reply, next, &found);
    Ok(())
}

fn randomkey(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (db, now_ms) = (ctx.txn.db(), ctx.now_ms());
    let (keyspace, met) = ctx.txn.walk();
    match keyspace.random_key(db, now_ms, ctx.rng, met) {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn dbsize(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let db = ctx.txn.db();
    let (keyspace, met) = ctx.txn.walk();
    let keys = keyspace.count(db, met);
    ctx.reply.integer(keys as i64);
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_flush_mode(ctx.args)?;
    let db = ctx.txn.db();
    flush(ctx, db);
    ctx.txn.note_flush();
    ctx.reply.ok();
    Ok(())
}

fn flushall(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_flush_mode(ctx.args)?;
    for db in 0..ctx.txn.keyspace().databases() {
        flush(ctx, db as u8);
    }
    ctx.txn.note_flush();
    ctx.reply.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let index = |at: usize, which: &str| {
        let number = parse_i64(ctx.arg(at)).and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| Error::Other(format!("ERR invalid {which} DB index").into()))
    };
    let (a, b) = (index(1, "first")?, index(2, "second")?);
    let databases = ctx.txn.keyspace().databases();
    let exists = |index: i32| {
        let index = usize::try_from(index).ok();
        index.filter(|index| *index < databases)
    };
    let (Some(a), Some(b)) = (exists(a), exists(b)) else {
        return Err(Error::DbIndexOutOfRange);
    };
    if a != b {
        ctx.txn.swap_db(a, b);
    }
    ctx.reply.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, db: u8) {
    ctx.txn.leave();
    if ctx.txn.keyspace().size(db).keys > 0 {
        ctx.txn.flush_db(db);
    }
}

/// `SYNC` and `ASYNC` make no difference here: what was flushed is freed by a thread of its own.
fn check_flush_mode(args: Args<'_>) -> Result<(), Error> {
    let is_mode =
        |word: &[u8]| word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
    match args.len() {
        1 => Ok(()),
        2 if is_mode(&args[1]) => Ok(()),
        _ => Err(Error::Syntax),
    }
}
