//! Values as bytes: DUMP, RESTORE.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Access, Expiry, Notify};
use crate::resp::Args;
use crate::value::rdb::{self, RdbError};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("dump", 2, Group::Generic, Flags::READONLY)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.6.0",
                "O(1) to access the key and additional O(N*M) to serialize it, where N is \
                 the number of Redis objects composing the value and M their average \
                 size. For small string values the time complexity is thus O(1)+O(1*M) \
                 where M is small, so simply O(1).",
                "Return a serialized version of the value stored at the specified key.",
            )
            .tips(&["nondeterministic_output"]),
        dump,
    ),
    Command::new(
        Spec::new("restore", -4, Group::Generic, Flags::WRITE_DENYOOM)
            .syntax(
                "key ttl serialized-value [REPLACE]@3.0.0 [ABSTTL]@5.0.0 \
                 [IDLETIME seconds]@5.0.0 [FREQ frequency:integer]@5.0.0",
            )
            .keys(&[KeySpec::one(1, KeyFlags::OVERWRITE)])
            .categories(&["@dangerous"])
            .docs(
                "2.6.0",
                "O(1) to create the new key and additional O(N*M) to reconstruct the \
                 serialized value, where N is the number of Redis objects composing the \
                 value and M their average size. For small string values the time \
                 complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However \
                 for sorted set values the complexity is O(N*M*log(N)) because inserting \
                 values into sorted sets is O(log(N)).",
                "Create a key using the provided serialized value, previously obtained \
                 using DUMP.",
            )
            .history(&[
                ("3.0.0", "Added the `REPLACE` modifier."),
                ("5.0.0", "Added the `ABSTTL` modifier."),
                ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
            ]),
        restore,
    ),
];

fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.txn.get(ctx.args.get(1)) {
        Some(value) => ctx.reply.bulk(&rdb::dump(value)),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn restore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const BAD_FOOTER: Error = Error::text("ERR DUMP payload version or checksum are wrong");
    let options = RestoreOptions::parse(ctx.args.skip(4))?;
    let key = ctx.arg(1);
    if !options.replace && ctx.txn.exists(key) {
        return Err(Error::TargetExists);
    }
    let ttl = ctx.int(2)?;
    if ttl < 0 {
        return Err(Error::InvalidTtl);
    }
    let limits = ctx.txn.limits();
    let value = rdb::restore(ctx.arg(3), ctx.string_len_max, &limits);
    let value = value.map_err(|error| match error {
        RdbError::Footer => BAD_FOOTER,
        RdbError::Content => Error::BadDump,
    })?;
    let base_ms = if options.is_absolute { 0 } else { ctx.now_ms() };
    let expiry = match ttl {
        0 => Expiry::Never,
        // What does not fit wraps round, and is over, as in Redis.
        _ => Expiry::At(ttl.wrapping_add(base_ms)),
    };
    if matches!(expiry, Expiry::At(at_ms) if at_ms <= ctx.now_ms()) {
        if ctx.txn.remove(key) {
            ctx.txn.notify(Notify::GENERIC, "del", key);
        }
    } else {
        if ctx.txn.put(key, value, expiry) {
            // For Redis the old key is removed and the new one made.
            ctx.txn.notify(Notify::NEW, "new", key);
        }
        ctx.txn.notify(Notify::GENERIC, "restore", key);
        let (now_ms, counts) = (ctx.now_ms(), ctx.txn.access_rule().counts);
        let new = Access::new(now_ms);
        ctx.txn.set_access(
            key,
            match (options.idle_s, options.freq) {
                (Some(idle_s), _) if !counts => new.with_idle_s(now_ms, idle_s),
                (_, Some(count)) if counts => new.with_count(now_ms, count as u8),
                _ => new,
            },
        );
    }
    ctx.reply.ok();
    Ok(())
}

#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    is_absolute: bool,
    idle_s: Option<i64>,
    /// Of use where the policy counts accesses.
    freq: Option<i64>,
}

impl RestoreOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        const INVALID_IDLETIME: Error = Error::text("ERR Invalid IDLETIME value, must be >= 0");
        const INVALID_FREQ: Error = Error::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
        let number = |text: Option<&[u8]>| {
            let text = text.ok_or(Error::Syntax)?;
            parse_i64(text).ok_or(Error::NotInteger)
        };
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"replace" => options.replace = true,
                b"absttl" => options.is_absolute = true,
                b"idletime" if options.freq.is_none() => {
                    let idle_s = number(args.next())?;
                    options.idle_s = Some(idle_s);
                    if idle_s < 0 {
                        return Err(INVALID_IDLETIME);
                    }
                }
                b"freq" if options.idle_s.is_none() => {
                    let freq = number(args.next())?;
                    options.freq = Some(freq);
                    if !(0..=255).contains(&freq) {
                        return Err(INVALID_FREQ);
                    }
                }
                _ => return Err(Error::Syntax),
            }
        }
        Ok(options)
    }
}
