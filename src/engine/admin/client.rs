//! CLIENT: who is connected, and what becomes of them.

use super::client_filter::{KillFilter, ListFilter};
use super::{ADMIN, SESSION, error, help, help_spec, is, ok, text};
use crate::base::clock;
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::client::{ClientFlags, ClientInfo, ReplyMode};
use crate::engine::registry::{EngineCtx, EngineHandler, Registry};
use crate::engine::shared::PauseMode;
use crate::engine::worker::Flow;
use crate::engine::{Client, Message, tracking};
use std::fmt::Write;
use std::sync::atomic::Ordering;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("client", -2, Group::Connection, Flags::empty()).docs(
        "2.4.0",
        "Depends on subcommand.",
        "A container for client connection commands",
    ),
    SUBCOMMANDS,
)];

#[rustfmt::skip]
static SUBCOMMANDS: &[Command<EngineHandler>] = &[
    sub("client|id", 2, SESSION, "5.0.0", "O(1)",
        "Returns the client ID for the current connection", id),
    sub("client|getname", 2, SESSION, "2.6.9", "O(1)",
        "Get the current connection name", getname),
    sub("client|setname", 3, SESSION, "2.6.9", "O(1)",
        "Set the current connection name", setname)
        .syntax("connection-name"),
    sub("client|setinfo", 4, SESSION, "7.2.0", "O(1)",
        "Sets information specific to the client or connection.", setinfo)
        .syntax("<attr: LIB-NAME libname | LIB-VER libver>"),
    tipped("client|list", -2, ADMIN, "2.4.0", "O(N) where N is the number of client connections",
        "Get the list of client connections", list)
        .syntax("[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>]@5.0.0 [ID <id: client-id ...>]@6.2.0")
        .history(&[
            ("2.8.12", "Added unique client `id` field."),
            ("5.0.0", "Added optional `TYPE` filter."),
            ("6.0.0", "Added `user` field."),
            ("6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter."),
            ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
            ("7.0.3", "Added `ssub` field."),
            ("7.2.0", "Added `lib-name` and `lib-ver` fields."),
        ]),
    tipped("client|info", 2, SESSION, "6.2.0", "O(1)",
        "Returns information about the current client connection.", info),
    sub("client|kill", -3, ADMIN, "2.4.0", "O(N) where N is the number of client connections",
        "Kill the connection of a client", kill)
        .syntax("<filter: ip:port@..2.8.12 \
                 | <new-format: [ID client-id]@2.8.12 \
                 | [TYPE <normal_master_slave_pubsub: NORMAL | MASTER@3.2.0 | SLAVE | REPLICA@5.0.0 | PUBSUB>]@2.8.12 \
                 | [USER username] | [ADDR ip:port] | [LADDR ip:port]@6.2.0 | [SKIPME yes/no] \
                 | [MAXAGE maxage:integer]@7.4.0>...>")
        .history(&[
            ("2.8.12", "Added new filter format."),
            ("2.8.12", "`ID` option."),
            ("3.2.0", "Added `master` type in for `TYPE` option."),
            ("5.0.0", "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility."),
            ("6.2.0", "`LADDR` option."),
            ("7.4.0", "`MAXAGE` option."),
        ]),
    sub("client|reply", 3, SESSION, "3.2.0", "O(1)",
        "Instruct the server whether to reply to commands", reply)
        .syntax("<ON | OFF | SKIP>"),
    sub("client|no-evict", 3, ADMIN, "7.0.0", "O(1)",
        "Set client eviction mode for the current connection", no_evict)
        .syntax("<enabled: ON | OFF>"),
    sub("client|no-touch", 3, SESSION, "7.2.0", "O(1)",
        "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", no_touch)
        .syntax("<enabled: ON | OFF>"),
    sub("client|pause", -3, ADMIN, "2.9.50", "O(1)",
        "Stop processing commands from clients for some time", pause)
        .syntax("timeout:integer [mode: WRITE | ALL]@6.2.0")
        .history(&[("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")]),
    sub("client|unpause", 2, ADMIN, "6.2.0", "O(N) Where N is the number of paused clients",
        "Resume processing of clients that were paused", unpause),
    sub("client|unblock", -3, ADMIN, "5.0.0", "O(log N) where N is the number of client connections",
        "Unblock a client blocked in a blocking command from a different connection", unblock)
        .syntax("client-id [TIMEOUT | ERROR]"),
    sub("client|trackinginfo", 2, SESSION, "6.2.0", "O(1)",
        "Return information about server assisted client side caching for the current connection",
        tracking::trackinginfo),
    sub("client|getredir", 2, SESSION, "6.0.0", "O(1)",
        "Get tracking notifications redirection client ID if any", tracking::getredir),
    sub("client|tracking", -3, SESSION, "6.0.0", "O(1). Some options may introduce additional complexity.",
        "Enable or disable server assisted client side caching support", tracking::tracking)
        .syntax("<status: ON | OFF> [REDIRECT client-id] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]"),
    sub("client|caching", 3, SESSION, "6.0.0", "O(1)",
        "Instruct the server about tracking or not keys in the next request", tracking::caching)
        .syntax("<mode: YES | NO>"),
    Command::new(help_spec("client|help", Group::Connection, "5.0.0"), client_help),
];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    run: EngineHandler,
) -> Command<EngineHandler> {
    let spec = Spec::new(name, arity, Group::Connection, flags);
    Command::new(spec.docs(since, complexity, summary), run)
}

const fn tipped(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    run: EngineHandler,
) -> Command<EngineHandler> {
    let spec = Spec::new(name, arity, Group::Connection, flags).tips(&["nondeterministic_output"]);
    Command::new(spec.docs(since, complexity, summary), run)
}

fn id(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.integer(ctx.client.id() as i64);
    Ok(Flow::Done)
}

fn getname(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let name = ctx.client.info.texts.lock().name.clone();
    if name.is_empty() {
        ctx.reply.null();
    } else {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(Flow::Done)
}

fn setname(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let name = valid_name(ctx.args.get(2))?;
    ctx.client.info.texts.lock().name = name;
    ok(ctx)
}

/// A client's name has to survive CLIENT LIST, where blanks part the fields.
pub fn valid_name(name: &[u8]) -> Result<String, Error> {
    printable(name).ok_or(Error::text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

fn printable(bytes: &[u8]) -> Option<String> {
    let fits = bytes.iter().all(u8::is_ascii_graphic);
    fits.then(|| text(bytes).into_owned())
}

fn setinfo(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let (option, value) = (ctx.args.get(2), ctx.args.get(3));
    let mut texts = ctx.client.info.texts.lock();
    let (name, place) = if is(option, "lib-name") {
        ("lib-name", &mut texts.lib_name)
    } else if is(option, "lib-ver") {
        ("lib-ver", &mut texts.lib_version)
    } else {
        let line = format!("ERR Unrecognized option '{}'", text(option));
        return Err(error(line));
    };
    *place = printable(value).ok_or_else(|| {
        error(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        ))
    })?;
    drop(texts);
    ok(ctx)
}

fn list(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let filter = ListFilter::parse(&ctx.args.skip(2))?;
    let shared = ctx.worker.shared;
    let mut lines = String::new();
    let listed = shared.clients.all();
    for info in listed.iter().filter(|info| filter.lets_through(info)) {
        put_line(&mut lines, info, &shared.registry, ctx.worker.now_ms);
    }
    ctx.reply.verbatim("txt", lines.as_bytes());
    Ok(Flow::Done)
}

fn info(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let mut line = String::new();
    let registry = &ctx.worker.shared.registry;
    put_line(&mut line, &ctx.client.info, registry, ctx.worker.now_ms);
    ctx.reply.verbatim("txt", line.as_bytes());
    Ok(Flow::Done)
}

/// A client as CLIENT LIST shows it.
pub fn client_line(info: &ClientInfo, registry: &Registry) -> String {
    let mut line = String::new();
    put_line(&mut line, info, registry, clock::unix_ms());
    line.truncate(line.trim_end().len());
    line
}

/// A client as CLIENT LIST shows it. Redis's figures on its own buffers are left out where there is no such buffer here.
fn put_line(out: &mut String, info: &ClientInfo, registry: &Registry, now_ms: i64) {
    let texts = info.texts.lock().clone();
    let number = |cell: &std::sync::atomic::AtomicUsize| cell.load(Ordering::Relaxed);
    let (query, free) = (number(&info.query_buffer), number(&info.query_buffer_free));
    let output = number(&info.output_bytes);
    let command = registry
        .specs()
        .get(info.last_command.load(Ordering::Relaxed) as usize)
        .map_or("NULL", |spec| spec.name);
    let seconds = |since_ms: i64| (now_ms - since_ms).max(0) / 1000;
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={query} \
         qbuf-free={free} obl={output} oll=0 omem=0 tot-mem={} events=r cmd={command} user={} redir={} resp={} \
         lib-name={} lib-ver={}",
        info.id,
        info.address,
        info.local_address,
        info.fd,
        texts.name,
        seconds(info.created_ms),
        seconds(info.last_active_ms.load(Ordering::Relaxed)),
        info.flags().letters(),
        number(&info.db),
        number(&info.subscriptions[0]),
        number(&info.subscriptions[1]),
        number(&info.subscriptions[2]),
        info.queued.load(Ordering::Relaxed),
        query + free + output + size_of::<Client>() + size_of::<ClientInfo>(),
        info.user.lock().name().escape_ascii(),
        info.redirect.load(Ordering::Relaxed),
        info.resp.load(Ordering::Relaxed),
        texts.lib_name,
        texts.lib_version,
    );
}

fn kill(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let options = ctx.args.skip(2);
    let by_address = options.len() == 1;
    let filter = if by_address {
        KillFilter::address(options.get(0))
    } else {
        KillFilter::parse(&options, &ctx.worker.shared.acl)?
    };
    let shared = ctx.worker.shared;
    let (mut killed, mut flow) = (0, Flow::Done);
    for info in shared.clients.all() {
        let own = info.id == ctx.client.id();
        if !filter.hits(&info, own, ctx.worker.now_ms) {
            continue;
        }
        killed += 1;
        info.set_flag(ClientFlags::CLOSE_ASAP, true);
        if own {
            flow = Flow::Close;
        } else {
            shared.tell(info.shard, Message::Kill { client: info.id });
        }
    }
    match (by_address, killed) {
        (true, 0) => return Err(Error::text("ERR No such client")),
        (true, _) => ctx.reply.ok(),
        (false, _) => ctx.reply.integer(killed),
    }
    Ok(flow)
}

fn reply(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let mode = ctx.args.get(2);
    if is(mode, "on") {
        ctx.client.reply_mode = ReplyMode::On;
        return ok(ctx);
    }
    if is(mode, "off") {
        ctx.client.reply_mode = ReplyMode::Off;
    } else if is(mode, "skip") {
        if ctx.client.reply_mode != ReplyMode::Off {
            ctx.client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(Flow::Done)
}

fn no_evict(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let on = switch(ctx.args.get(2))?;
    ctx.client.info.set_flag(ClientFlags::NO_EVICT, on);
    ok(ctx)
}

fn no_touch(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let on = switch(ctx.args.get(2))?;
    ctx.client.no_touch = on;
    ctx.client.info.set_flag(ClientFlags::NO_TOUCH, on);
    ok(ctx)
}

fn switch(arg: &[u8]) -> Result<bool, Error> {
    match () {
        () if is(arg, "on") => Ok(true),
        () if is(arg, "off") => Ok(false),
        () => Err(Error::Syntax),
    }
}

fn pause(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let mode = match ctx.args.try_get(3) {
        None => PauseMode::All,
        Some(mode) if is(mode, "all") => PauseMode::All,
        Some(mode) if is(mode, "write") => PauseMode::Writes,
        Some(_) => {
            return Err(Error::text("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    };
    if ctx.args.len() > 4 {
        return Err(Error::Syntax);
    }
    let now_ms = ctx.worker.now_ms;
    let until_ms = now_ms.saturating_add(timeout_ms(ctx.args.get(2))?);
    // A pause that is in force is made longer and stricter, never shorter.
    let pause = &ctx.worker.shared.pause;
    let (mode, until_ms) = match pause.mode(now_ms) {
        PauseMode::Off => (mode, until_ms),
        PauseMode::All => (PauseMode::All, until_ms.max(pause.until_ms())),
        PauseMode::Writes => (mode, until_ms.max(pause.until_ms())),
    };
    pause.set(mode, until_ms);
    ok(ctx)
}

/// A timeout argument in milliseconds.
pub fn timeout_ms(arg: &[u8]) -> Result<i64, Error> {
    match parse_i64(arg) {
        None => Err(Error::text("ERR timeout is not an integer or out of range")),
        Some(..0) => Err(Error::text("ERR timeout is negative")),
        Some(ms) => Ok(ms),
    }
}

fn unpause(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    shared.pause.set(PauseMode::Off, 0);
    shared.tell_all(|| Message::Unpause);
    ok(ctx)
}

fn unblock(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let with_error = match ctx.args.try_get(3) {
        None => false,
        Some(reason) if is(reason, "timeout") => false,
        Some(reason) if is(reason, "error") => true,
        Some(_) => {
            return Err(Error::text(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = parse_i64(ctx.args.get(2)).ok_or(Error::NotInteger)?;
    let shared = ctx.worker.shared;
    let blocked = u64::try_from(id)
        .ok()
        .and_then(|id| shared.clients.get(id))
        .filter(|info| info.flags().contains(ClientFlags::BLOCKED));
    if let Some(info) = &blocked {
        let client = info.id;
        shared.tell(info.shard, Message::Unblock { client, with_error });
    }
    ctx.reply.integer(i64::from(blocked.is_some()));
    Ok(Flow::Done)
}

fn client_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "CLIENT", HELP)
}

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * ID <client-id>",
    "      Kill the connection with this ID.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * MAXAGE <seconds>",
    "      Kill connections older than the specified age.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Return clients of specified IDs.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch the access time of keys when this mode is on.",
];
