//! `HyperLogLog`s: PFADD, PFCOUNT, PFMERGE, and PFDEBUG, which looks inside.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Expiry, Notify, Txn};
use crate::value::hll::{self, Change, Hll, HllError, Union};
use crate::value::{Str, StrBuf, Value};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("pfadd", -2, Group::HyperLogLog, Flags::WRITE_DENYOOM_FAST)
            .syntax("key [element ...]")
            .keys(&[KeySpec::one(1, KeyFlags::EXTEND)])
            .docs(
                "2.8.9",
                "O(1) to add every element.",
                "Adds the specified elements to the specified HyperLogLog.",
            ),
        pfadd,
    ),
    Command::new(
        Spec::new("pfcount", -2, Group::HyperLogLog, Flags::READONLY)
            .syntax("key ...")
            .keys(&[KeySpec::rest(1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))])
            .key_notes(&[
                "RW because it may change the internal representation of the key, and \
                 propagate to replicas",
            ])
            .docs(
                "2.8.9",
                "O(1) with a very small average constant time when called with a single \
                 key. O(N) with N being the number of keys, and much bigger constant \
                 times, when called with multiple keys.",
                "Return the approximated cardinality of the set(s) observed by the \
                 HyperLogLog at key(s).",
            ),
        pfcount,
    ),
    Command::new(
        Spec::new("pfmerge", -2, Group::HyperLogLog, Flags::WRITE_DENYOOM)
            .syntax("destkey sourcekey ...")
            .keys(&[
                KeySpec::one(1, KeyFlags::EXTEND.union(KeyFlags::ACCESS)),
                KeySpec::rest(2, 1, KeyFlags::READ),
            ])
            .docs(
                "2.8.9",
                "O(N) to merge N HyperLogLogs, but with high constant times.",
                "Merge N different HyperLogLogs into a single one.",
            ),
        pfmerge,
    ),
    Command::new(
        Spec::new(
            "pfdebug",
            3,
            Group::HyperLogLog,
            Flags::WRITE_DENYOOM.union(Flags::ADMIN),
        )
        .syntax("subcommand key")
        .keys(&[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))])
        .docs(
            "2.8.9",
            "N/A",
            "Internal commands for debugging HyperLogLog values",
        )
        .internal(),
        pfdebug,
    ),
    Command::new(
        Spec::new("pfselftest", 1, Group::HyperLogLog, Flags::ADMIN)
            .docs(
                "2.8.9",
                "N/A",
                "An internal command for testing HyperLogLog values",
            )
            .internal(),
        pfselftest,
    ),
];

fn pfadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, elements) = (ctx.arg(1), ctx.args.skip(2));
    let sparse_len_max = ctx.txn.limits().hll_sparse_max_bytes;
    let change = if let Some(value) = ctx.txn.peek(key) {
        as_hll(value)?.add(elements.iter(), sparse_len_max)?
    } else {
        let empty = hll::empty();
        match Hll::new(&empty)?.add(elements.iter(), sparse_len_max)? {
            Change::Nothing => Change::Whole(empty),
            change => change,
        }
    };
    let changed = change != Change::Nothing;
    apply(&mut ctx.txn, key, change);
    if changed {
        ctx.txn.notify(Notify::STRING, "pfadd", key);
    }
    ctx.reply.integer(i64::from(changed));
    Ok(())
}

fn pfcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = if ctx.args.len() == 2 {
        count_one(ctx)?
    } else {
        let mut union = Union::default();
        for key in ctx.args.skip(1).iter() {
            if let Some(value) = ctx.txn.get(key) {
                union.merge(as_hll(value)?)?;
            }
        }
        union.count()
    };
    ctx.reply.integer(count);
    Ok(())
}

fn count_one(ctx: &mut Ctx<'_>) -> Result<i64, Error> {
    let key = ctx.arg(1);
    let Some(value) = ctx.txn.get(key) else {
        return Ok(0);
    };
    let hll = as_hll(value)?;
    if let Some(count) = hll.cached() {
        apply(&mut ctx.txn, key, Change::Nothing);
        return Ok(count);
    }
    let count = hll.count()?;
    let (at, bytes) = Hll::cache(count);
    ctx.txn.splice(key, at, &bytes);
    Ok(count)
}

fn pfmerge(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let target = ctx.arg(1);
    let sparse_len_max = ctx.txn.limits().hll_sparse_max_bytes;
    let mut union = Union::default();
    for key in ctx.args.skip(1).iter() {
        if let Some(value) = ctx.txn.get(key) {
            union.merge(as_hll(value)?)?;
        }
    }
    let empty = hll::empty();
    let old = match ctx.txn.peek(target) {
        Some(value) => as_hll(value)?,
        None => Hll::new(&empty)?,
    };
    let merged = union.into_target(old, sparse_len_max)?;
    apply(&mut ctx.txn, target, Change::Whole(merged));
    // A union is told of as an addition.
    ctx.txn.notify(Notify::STRING, "pfadd", target);
    ctx.reply.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NO_KEY: Error = Error::text("ERR The specified key does not exist");
    const NOT_SPARSE: Error = Error::text("ERR HLL encoding is not sparse");
    let (sub, key) = (ctx.arg(1), ctx.arg(2));
    let Some(value) = ctx.txn.peek(key) else {
        return Err(NO_KEY);
    };
    let hll = as_hll(value)?;
    match sub.to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let mut union = Union::default();
            union.merge(hll)?;
            let change = hll.to_dense()?;
            apply(&mut ctx.txn, key, change);
            ctx.reply.array(union.ranks().len());
            for rank in union.ranks() {
                ctx.reply.integer(i64::from(*rank));
            }
        }
        b"decode" if hll.is_dense() => return Err(NOT_SPARSE),
        b"decode" => {
            let text = hll.runs_as_text();
            apply(&mut ctx.txn, key, Change::Nothing);
            ctx.reply.bulk(text.as_bytes());
        }
        b"encoding" => {
            let name = if hll.is_dense() { "dense" } else { "sparse" };
            apply(&mut ctx.txn, key, Change::Nothing);
            ctx.reply.simple(name);
        }
        b"todense" => {
            let change = hll.to_dense()?;
            let changed = change != Change::Nothing;
            apply(&mut ctx.txn, key, change);
            ctx.reply.integer(i64::from(changed));
        }
        _ => {
            // Redis takes the name as C does: up to a zero.
            let name = sub.split(|byte| *byte == 0).next().unwrap_or(sub);
            let name = String::from_utf8_lossy(name);
            let line = format!("ERR Unknown PFDEBUG subcommand '{name}'");
            return Err(Error::Other(line.into()));
        }
    }
    Ok(())
}

/// Counts different elements in both forms: they agree, and are within four times the standard error.
fn pfselftest(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const STANDARD_ERROR: f64 = 1.04 / 128.0;
    const FAILED: Error = Error::text("ERR TESTFAILED the estimate is too far off");
    let (mut sparse, mut dense) = (Union::default(), Union::default());
    let mut added = 0;
    for target in [10_usize, 100, 1000, 10_000] {
        let elements: Vec<[u8; 8]> = (added..target).map(usize::to_le_bytes).collect();
        let elements = || elements.iter().map(<[u8; 8]>::as_slice);
        let empty = hll::empty();
        if let Change::Whole(bytes) = Hll::new(&empty)?.add(elements(), usize::MAX)? {
            sparse.merge(Hll::new(&bytes)?)?;
        }
        if let Change::Whole(bytes) = Hll::new(&empty)?.add(elements(), 0)? {
            dense.merge(Hll::new(&bytes)?)?;
        }
        added = target;
        let count = sparse.count();
        let allowed = (target as f64 * STANDARD_ERROR * 4.0).ceil() as u64;
        if count != dense.count() || count.abs_diff(target as i64) > allowed {
            return Err(FAILED);
        }
    }
    ctx.reply.ok();
    Ok(())
}

fn as_hll(value: &Value) -> Result<Hll<'_>, Error> {
    match value {
        Value::Str(Str::Bytes(bytes) | Str::Raw(bytes)) => Ok(Hll::new(bytes)?),
        Value::Str(Str::Int(_)) => Err(HllError::NotOne.into()),
        _ => Err(Error::WrongType),
    }
}

/// Makes a change to the bytes of a key. Also where nothing changes they are `raw` from here on, as in Redis.
fn apply(txn: &mut Txn<'_>, key: &[u8], change: Change) {
    match change {
        Change::Nothing => {
            if let Some(Value::Str(string)) = txn.peek(key)
                && string.encoding() != "raw"
            {
                let raw = Value::Str(Str::raw(string.to_buf()));
                txn.put(key, raw, Expiry::Keep);
            }
        }
        Change::Whole(bytes) => {
            let value = Value::Str(Str::raw(StrBuf::from_vec(bytes)));
            txn.put(key, value, Expiry::Keep);
        }
        Change::Pieces(pieces) => {
            for (at, bytes) in pieces {
                txn.splice(key, at, &bytes);
            }
        }
    }
}

impl From<HllError> for Error {
    fn from(error: HllError) -> Self {
        Error::text(match error {
            HllError::NotOne => "WRONGTYPE Key is not a valid HyperLogLog string value.",
            HllError::Corrupt => "INVALIDOBJ Corrupted HLL object detected",
        })
    }
}
