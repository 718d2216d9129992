//! When keys end: EXPIRE, TTL, PERSIST and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::string_options::TimeUnit;
use crate::base::number::parse_i64;
use crate::keyspace::Notify;
use crate::resp::Args;
use bitflags::bitflags;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("expire", -3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key seconds [condition: NX | XX | GT | LT]@7.0.0")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs("1.0.0", "O(1)", "Set a key's time to live in seconds")
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
        expire,
    ),
    Command::new(
        Spec::new("expireat", -3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key unix-time-seconds [condition: NX | XX | GT | LT]@7.0.0")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "1.2.0",
                "O(1)",
                "Set the expiration for a key as a UNIX timestamp",
            )
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
        expireat,
    ),
    Command::new(
        Spec::new("pexpire", -3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key milliseconds [condition: NX | XX | GT | LT]@7.0.0")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs("2.6.0", "O(1)", "Set a key's time to live in milliseconds")
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
        pexpire,
    ),
    Command::new(
        Spec::new("pexpireat", -3, Group::Generic, Flags::WRITE_FAST)
            .syntax("key unix-time-milliseconds [condition: NX | XX | GT | LT]@7.0.0")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "2.6.0",
                "O(1)",
                "Set the expiration for a key as a UNIX timestamp specified in \
                 milliseconds",
            )
            .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
        pexpireat,
    ),
    Command::new(
        Spec::new("ttl", 2, Group::Generic, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs("1.0.0", "O(1)", "Get the time to live for a key in seconds")
            .tips(&["nondeterministic_output"])
            .history(&[("2.8.0", "Added the -2 reply.")]),
        ttl,
    ),
    Command::new(
        Spec::new("pttl", 2, Group::Generic, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "2.6.0",
                "O(1)",
                "Get the time to live for a key in milliseconds",
            )
            .tips(&["nondeterministic_output"])
            .history(&[("2.8.0", "Added the -2 reply.")]),
        pttl,
    ),
    Command::new(
        Spec::new("expiretime", 2, Group::Generic, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.0.0",
                "O(1)",
                "Get the expiration Unix timestamp for a key",
            ),
        expiretime,
    ),
    Command::new(
        Spec::new("pexpiretime", 2, Group::Generic, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "7.0.0",
                "O(1)",
                "Get the expiration Unix timestamp for a key in milliseconds",
            ),
        pexpiretime,
    ),
    Command::new(
        Spec::new("persist", 2, Group::Generic, Flags::WRITE_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs("2.2.0", "O(1)", "Remove the expiration from a key"),
        persist,
    ),
];

fn expire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeUnit::Seconds, "expire")
}

fn expireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeUnit::UnixSeconds, "expireat")
}

fn pexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeUnit::Milliseconds, "pexpire")
}

fn pexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeUnit::UnixMilliseconds, "pexpireat")
}

fn expire_at(ctx: &mut Ctx<'_>, unit: TimeUnit, command: &str) -> Result<(), Error> {
    let condition = Condition::parse(ctx.args.skip(3))?;
    let time = parse_i64(ctx.arg(2)).ok_or(Error::NotInteger)?;
    let at_ms = unit
        .point(time, ctx.now_ms())
        .ok_or_else(|| Error::InvalidExpire(command.into()))?;
    let key = ctx.arg(1);
    let goes_ahead = match ctx.txn.expiry(key) {
        None => false,
        Some(current_ms) => condition.allows(current_ms, at_ms),
    };
    if goes_ahead {
        if at_ms <= ctx.now_ms() {
            ctx.txn.remove(key);
            ctx.txn.notify(Notify::GENERIC, "del", key);
        } else {
            ctx.txn.set_expiry(key, Some(at_ms));
            ctx.txn.notify(Notify::GENERIC, "expire", key);
        }
    }
    ctx.reply.integer(i64::from(goes_ahead));
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_time(ctx, TimeUnit::Seconds)
}

fn pttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_time(ctx, TimeUnit::Milliseconds)
}

fn expiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_time(ctx, TimeUnit::UnixSeconds)
}

fn pexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_time(ctx, TimeUnit::UnixMilliseconds)
}

fn reply_time(ctx: &mut Ctx<'_>, unit: TimeUnit) -> Result<(), Error> {
    const NO_KEY: i64 = -2;
    const NO_EXPIRY: i64 = -1;
    let base_ms = if unit.is_relative() { ctx.now_ms() } else { 0 };
    let key = ctx.args.get(1);
    let expiry = match ctx.txn.look(key) {
        Some(_) => ctx.txn.expiry(key),
        None => None,
    };
    let answer = match expiry {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(at_ms)) if unit.is_seconds() => (at_ms - base_ms).saturating_add(500) / 1000,
        Some(Some(at_ms)) => at_ms - base_ms,
    };
    ctx.reply.integer(answer);
    Ok(())
}

fn persist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let had_expiry = ctx.txn.expiry(key).flatten().is_some();
    if had_expiry {
        ctx.txn.set_expiry(key, None);
        ctx.txn.notify(Notify::GENERIC, "persist", key);
    }
    ctx.reply.integer(i64::from(had_expiry));
    Ok(())
}

bitflags! {
    /// Under what EXPIRE goes ahead.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Condition: u8 {
        /// The key has no expiry.
        const NX = 1 << 0;
        /// It has one.
        const XX = 1 << 1;
        /// The new one is later.
        const GT = 1 << 2;
        /// The new one is earlier.
        const LT = 1 << 3;
    }
}

impl Condition {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        const NX_AND_OTHERS: Error =
            Error::text("ERR NX and XX, GT or LT options at the same time are not compatible");
        const GT_AND_LT: Error =
            Error::text("ERR GT and LT options at the same time are not compatible");
        let mut condition = Self::empty();
        for option in args.iter() {
            condition |= match option.to_ascii_lowercase().as_slice() {
                b"nx" => Self::NX,
                b"xx" => Self::XX,
                b"gt" => Self::GT,
                b"lt" => Self::LT,
                _ => return Err(unsupported(option)),
            };
        }
        if condition.contains(Self::NX) && condition != Self::NX {
            return Err(NX_AND_OTHERS);
        }
        if condition.contains(Self::GT.union(Self::LT)) {
            return Err(GT_AND_LT);
        }
        Ok(condition)
    }

    /// A key without expiry counts as one that ends after every other.
    fn allows(self, current_ms: Option<i64>, at_ms: i64) -> bool {
        let refused = match current_ms {
            None => self.intersects(Self::XX.union(Self::GT)),
            Some(current_ms) => {
                self.contains(Self::NX)
                    || self.contains(Self::GT) && at_ms <= current_ms
                    || self.contains(Self::LT) && at_ms >= current_ms
            }
        };
        !refused
    }
}

fn unsupported(option: &[u8]) -> Error {
    // Redis prints it as a C string.
    let shown = option.split(|byte| *byte == 0).next().unwrap_or(option);
    let shown = String::from_utf8_lossy(shown);
    Error::Other(format!("ERR Unsupported option {shown}").into())
}
