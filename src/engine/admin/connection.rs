//! A connection's own affairs: PING, ECHO, SELECT, HELLO, AUTH, QUIT, RESET, READONLY, READWRITE.

use super::{ANYTIME_FAST, REDIS_VERSION, SESSION, client, is, ok, text};
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::client::{ClientFlags, ReplyMode};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;
use crate::engine::{acl, multi, pubsub, tracking};
use crate::resp::Protocol;

/// Commands that a client may send before it has authenticated.
const DOOR: Flags = SESSION
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

pub static COMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        Spec::new("ping", -1, Group::Connection, Flags::FAST)
            .syntax("[message]")
            .docs("1.0.0", "O(1)", "Ping the server")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        ping,
    ),
    Command::new(
        Spec::new("echo", 2, Group::Connection, ANYTIME_FAST)
            .syntax("message")
            .docs("1.0.0", "O(1)", "Echo the given string"),
        echo,
    ),
    Command::new(
        Spec::new("select", 2, Group::Connection, ANYTIME_FAST)
            .syntax("index")
            .docs(
                "1.0.0",
                "O(1)",
                "Change the selected database for the current connection",
            ),
        select,
    ),
    Command::new(
        Spec::new("hello", -1, Group::Connection, DOOR)
            .syntax(
                "[arguments: protover:integer [AUTH <username password>] \
                 [SETNAME clientname]]",
            )
            .docs("6.0.0", "O(1)", "Handshake with Redis")
            .history(&[(
                "6.2.0",
                "`protover` made optional; when called without arguments the command \
                 reports the current connection's context.",
            )]),
        hello,
    ),
    Command::new(
        Spec::new("auth", -2, Group::Connection, DOOR)
            .syntax("[username]@6.0.0 password")
            .docs(
                "1.0.0",
                "O(N) where N is the number of passwords defined for the user",
                "Authenticate to the server",
            )
            .history(&[("6.0.0", "Added ACL style (username and password).")]),
        auth,
    ),
    Command::new(
        Spec::new("quit", -1, Group::Connection, DOOR).docs(
            "1.0.0",
            "O(1)",
            "Close the connection",
        ),
        quit,
    ),
    Command::new(
        Spec::new("reset", 1, Group::Connection, DOOR).docs(
            "6.2.0",
            "O(1)",
            "Reset the connection",
        ),
        reset,
    ),
    Command::new(
        Spec::new("readonly", 1, Group::Cluster, ANYTIME_FAST)
            .categories(&["@connection"])
            .docs(
                "3.0.0",
                "O(1)",
                "Enables read queries for a connection to a cluster replica node",
            ),
        no_cluster,
    ),
    Command::new(
        Spec::new("readwrite", 1, Group::Cluster, ANYTIME_FAST)
            .categories(&["@connection"])
            .docs(
                "3.0.0",
                "O(1)",
                "Disables read queries for a connection to a cluster replica node",
            ),
        no_cluster,
    ),
];

const WRONG_PASSWORD: Error =
    Error::text("WRONGPASS invalid username-password pair or user is disabled.");

fn ping(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if ctx.args.len() > 2 {
        return Err(Error::WrongArity("ping".into()));
    }
    let text = ctx.args.try_get(1);
    if ctx.client.subscriptions.is_some() && ctx.client.protocol == Protocol::Resp2 {
        // A subscriber of RESP2 tells everything that it reads by the first word of an array.
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(text.unwrap_or_default());
        return Ok(Flow::Done);
    }
    match text {
        None => ctx.reply.simple("PONG"),
        Some(text) => ctx.reply.bulk(text),
    }
    Ok(Flow::Done)
}

fn echo(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.bulk(ctx.args.get(1));
    Ok(Flow::Done)
}

fn select(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let db = parse_i64(ctx.args.get(1)).ok_or(Error::NotInteger)?;
    if i32::try_from(db).is_err() {
        return Err(Error::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let databases = ctx.worker.shared.keyspace.databases();
    match usize::try_from(db) {
        Ok(db) if db < databases => ctx.client.select(db),
        _ => return Err(Error::DbIndexOutOfRange),
    }
    ok(ctx)
}

fn hello(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let protocol = match ctx.args.try_get(1).map(parse_i64) {
        None => ctx.client.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Error::text("NOPROTO unsupported protocol version")),
        Some(None) => {
            return Err(Error::text(
                "ERR Protocol version is not an integer or out of range",
            ));
        }
    };
    let options = HelloOptions::parse(ctx)?;
    if let Some((user, password)) = options.auth {
        authenticate(ctx, user, password)?;
    }
    if !ctx.client.authenticated {
        return Err(Error::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = options.name {
        ctx.client.info.texts.lock().name = name;
    }
    ctx.client.set_protocol(protocol);
    ctx.reply.switch_protocol(protocol);
    greet(ctx);
    Ok(Flow::Done)
}

/// HELLO's options after the protocol.
#[derive(Default)]
struct HelloOptions<'a> {
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<String>,
}

impl<'a> HelloOptions<'a> {
    fn parse(ctx: &EngineCtx<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut rest = ctx.args.skip(2).iter();
        while let Some(option) = rest.next() {
            if is(option, "auth") && rest.len() >= 2 {
                options.auth = rest.next().zip(rest.next());
            } else if is(option, "setname")
                && let Some(name) = rest.next()
            {
                options.name = Some(client::valid_name(name)?);
            } else {
                let line = format!("ERR Syntax error in HELLO option '{}'", text(option));
                return Err(super::error(line));
            }
        }
        Ok(options)
    }
}

fn greet(ctx: &mut EngineCtx<'_>) {
    let protocol = if ctx.client.protocol == Protocol::Resp3 {
        3
    } else {
        2
    };
    let reply = &mut *ctx.reply;
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(protocol);
    reply.bulk(b"id");
    reply.integer(ctx.client.id() as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

fn auth(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let args = ctx.args;
    match args.len() {
        2 if ctx.worker.shared.acl.asks_no_password() => {
            return Err(Error::text(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => authenticate(ctx, acl::DEFAULT, args.get(1))?,
        3 => authenticate(ctx, args.get(1), args.get(2))?,
        _ => return Err(Error::Syntax),
    }
    ok(ctx)
}

fn authenticate(ctx: &mut EngineCtx<'_>, name: &[u8], password: &[u8]) -> Result<(), Error> {
    let shared = ctx.worker.shared;
    let Some(user) = shared.acl.authenticate(name, password) else {
        acl::note_failed_login(ctx.worker, ctx.client, name, ctx.args.get(0));
        return Err(WRONG_PASSWORD);
    };
    ctx.client.become_user(user, true);
    Ok(())
}

fn quit(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.ok();
    Ok(Flow::Close)
}

fn reset(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let acl = &ctx.worker.shared.acl;
    let (stranger, authenticated) = (acl.stranger(), acl.is_open());
    multi::discard_all(ctx.worker, ctx.client);
    super::stop_monitoring(ctx.worker, ctx.client);
    tracking::stop(ctx.worker, ctx.client);
    pubsub::leave_all(ctx.worker, ctx.client);
    let client = &mut *ctx.client;
    client.select(0);
    client.set_protocol(Protocol::Resp2);
    client.become_user(stranger, authenticated);
    client.reply_mode = ReplyMode::On;
    client.no_touch = false;
    client.info.set_flag(ClientFlags::NO_TOUCH, false);
    client.info.set_flag(ClientFlags::NO_EVICT, false);
    client.info.texts.lock().name.clear();
    ctx.reply.switch_protocol(Protocol::Resp2);
    ctx.reply.simple("RESET");
    Ok(Flow::Done)
}

fn no_cluster(_: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    Err(Error::text(
        "ERR This instance has cluster support disabled",
    ))
}
