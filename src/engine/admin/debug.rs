//! DEBUG: what client libraries use in their tests.
//!
//! A container here, though not in Redis, so that OBJECT's key is admitted like any other.

use super::{ADMIN, help, help_spec, is, ok, text};
use crate::command::{Command, Ctx, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::engine::registry::{EngineCtx, EngineHandler, Run};
use crate::engine::worker::Flow;
use crate::resp::Protocol;
use std::sync::atomic::Ordering;

pub static COMMANDS: &[Command<Run>] = &[Command::container(
    spec("debug", -2, "A container for debugging commands").internal(),
    &[
        sub("debug|sleep", 3, "Stop the client for a time", sleep).syntax("seconds:double"),
        sub(
            "debug|set-active-expire",
            3,
            "Turn the search for expired keys on or off",
            expire,
        )
        .syntax("enabled:integer"),
        Command::new(
            spec("debug|object", 3, "Show how the value of a key is kept")
                .syntax("key")
                .keys(&[KeySpec::one(2, KeyFlags::RO)]),
            Run::Data(object),
        ),
        sub("debug|reload", -2, "Wait until all data is on disk", reload)
            .syntax("[MERGE | NOFLUSH | NOSAVE]..."),
        sub("debug|error", 3, "Answer with an error", reply_error).syntax("message"),
        sub("debug|log", 3, "Write a message to the log", log).syntax("message"),
        sub(
            "debug|protocol",
            3,
            "Answer with a test value of a type",
            protocol,
        )
        .syntax("type"),
        Command::new(
            help_spec("debug|help", Group::Server, "1.0.0"),
            Run::Engine(debug_help),
        ),
    ],
)];

const fn spec(name: &'static str, arity: i32, summary: &'static str) -> Spec {
    Spec::new(name, arity, Group::Server, ADMIN).docs("1.0.0", "Depends on subcommand.", summary)
}

/// A transaction cannot wait, so none of these may be in one.
const fn sub(
    name: &'static str,
    arity: i32,
    summary: &'static str,
    run: EngineHandler,
) -> Command<Run> {
    let spec = Spec::new(name, arity, Group::Server, ADMIN.union(Flags::NO_MULTI));
    Command::new(spec.docs("1.0.0", "O(1)", summary), Run::Engine(run))
}

/// As Redis reads it: what is no number is zero.
fn sleep(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let seconds = text(ctx.args.get(2)).parse::<f64>().unwrap_or(0.0);
    Ok(super::wait::sleep(ctx, (seconds * 1e6) as u64))
}

fn expire(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let on = text(ctx.args.get(2))
        .parse::<i64>()
        .is_ok_and(|number| number != 0);
    ctx.worker.shared.active_expire.store(on, Ordering::Relaxed);
    ok(ctx)
}

fn object(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(2);
    let (now_ms, rule) = (ctx.now_ms(), ctx.txn.access_rule());
    let access = ctx.txn.access(key).ok_or(Error::NoSuchKey)?;
    let bytes = ctx.txn.memory_bytes(key).ok_or(Error::NoSuchKey)?;
    let encoding = ctx.txn.peek(key).ok_or(Error::NoSuchKey)?.encoding();
    ctx.reply.simple(&format!(
        "refcount:1 encoding:{encoding} bytes:{bytes} lru:{} lru_seconds_idle:{}",
        access.number(now_ms, rule),
        access.idle_s(now_ms)
    ));
    Ok(())
}

fn reload(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let options = ["merge", "noflush", "nosave"];
    if ctx
        .args
        .iter()
        .skip(2)
        .any(|arg| !options.iter().any(|option| is(arg, option)))
    {
        return Err(Error::text(
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ));
    }
    ctx.worker.sync_asked = true;
    ok(ctx)
}

fn reply_error(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    Err(super::error(text(ctx.args.get(2)).into_owned()))
}

fn log(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    tracing::warn!("DEBUG LOG: {}", ctx.args.get(2).escape_ascii());
    ok(ctx)
}

const PROTOCOL_TYPES: Error = Error::text(
    "ERR Wrong protocol type name. Please use one of the following: \
     string|integer|double|bignum|null|array|set|map|push|verbatim|true|false",
);

#[allow(clippy::approx_constant, reason = "the number that Redis answers with")]
fn protocol(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let reply = &mut *ctx.reply;
    match &*text(ctx.args.get(2)).to_ascii_lowercase() {
        "string" => reply.bulk(b"Hello World"),
        "integer" => reply.integer(12345),
        "double" => reply.double(3.141),
        "bignum" => reply.big_number("1234567999999999999999999999999999999"),
        "null" => reply.null(),
        "array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        "set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        "map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        "push" if reply.protocol() == Protocol::Resp2 => {
            return Err(Error::text("ERR RESP2 is not supported by this command"));
        }
        "push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        "verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        "true" => reply.boolean(true),
        "false" => reply.boolean(false),
        _ => return Err(PROTOCOL_TYPES),
    }
    Ok(Flow::Done)
}

fn debug_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "DEBUG", HELP)
}

const HELP: &[&str] = &[
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate Redis errors.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key>",
    "    Show low level info about `key` and associated value.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, push, verbatim, true, false.",
    "RELOAD [option ...]",
    "    Reply once all data is on disk. Memory is not read again.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
    "    default.",
    "SLEEP <seconds>",
    "    Reply after <seconds>. Decimals allowed. Other clients are served meanwhile.",
];
