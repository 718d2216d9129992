//! ACL: users as an operator sees them.

#![allow(
    clippy::unnecessary_wraps,
    reason = "all handlers have one signature, also those that cannot fail"
)]

use super::denied::Denied;
use super::enforce::send_away_clients_of;
use super::log::LogEntry;
use super::rules::{Rules, merge_selectors};
use super::selector::{Selector, category};
use super::{DEFAULT, file, grammar};
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::admin::{ACL_CATEGORIES, ADMIN, ANYTIME, SESSION, error, help, is, ok, text};
use crate::engine::message::Message;
use crate::engine::registry::{EngineCtx, EngineHandler, Entry};
use crate::engine::shared::Shared;
use crate::engine::worker::Flow;
use crate::resp::{Args, Reply};

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("acl", -2, Group::Server, Flags::empty()).docs(
        "6.0.0",
        "Depends on subcommand.",
        "A container for Access List Control commands ",
    ),
    SUBCOMMANDS,
)];

const EACH_USER: &str = "O(N). Where N is the number of configured users.";

#[rustfmt::skip]
static SUBCOMMANDS: &[Command<EngineHandler>] = &[
    sub("acl|cat", -2, SESSION, "O(1) since the categories and commands are a fixed set.",
        "List the ACL categories or the commands inside a category", cat)
        .syntax("[categoryname:string]"),
    sub("acl|deluser", -3, ADMIN, "O(1) amortized time considering the typical user.",
        "Remove the specified ACL users and the associated rules", deluser)
        .syntax("username:string ..."),
    dryrun_declaration(),
    sub("acl|genpass", -2, SESSION, "O(1)",
        "Generate a pseudorandom secure password to use for ACL users", genpass)
        .syntax("[bits:integer]"),
    sub("acl|getuser", 3, ADMIN, "O(N). Where N is the number of password, command and pattern rules that the user has.",
        "Get the rules for a specific ACL user", getuser)
        .syntax("username:string")
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            ("7.0.0", "Added selectors and changed the format of key and channel patterns from a list to their rule \
                       representation."),
        ]),
    sub("acl|help", 2, ANYTIME, "O(1)", "Show helpful text about the different subcommands", acl_help),
    sub("acl|list", 2, ADMIN, EACH_USER, "List the current ACL rules in ACL config file format", list),
    sub("acl|load", 2, ADMIN, EACH_USER, "Reload the ACLs from the configured ACL file", load),
    sub("acl|log", -2, ADMIN, "O(N) with N being the number of entries shown.",
        "List latest events denied because of ACLs in place", log)
        .syntax("[operation: count:integer | RESET]"),
    sub("acl|save", 2, ADMIN, EACH_USER, "Save the current ACL rules in the configured ACL file", save),
    sub("acl|setuser", -3, ADMIN, "O(N). Where N is the number of rules provided.",
        "Modify or create the rules for a specific ACL user", setuser)
        .syntax("username:string [rule:string ...]")
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            ("7.0.0", "Added selectors and key based permissions."),
        ]),
    sub("acl|users", 2, ADMIN, EACH_USER, "List the username of all the configured ACL rules", users),
    sub("acl|whoami", 2, SESSION, "O(1)", "Return the name of the user associated to the current connection", whoami),
];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    complexity: &'static str,
    summary: &'static str,
    run: EngineHandler,
) -> Command<EngineHandler> {
    let spec = Spec::new(name, arity, Group::Server, flags);
    Command::new(spec.docs("6.0.0", complexity, summary), run)
}

const fn dryrun_declaration() -> Command<EngineHandler> {
    let spec = Spec::new("acl|dryrun", -4, Group::Server, ADMIN).docs(
        "7.0.0",
        "O(1).",
        "Returns whether the user can execute the given command without executing the command.",
    );
    Command::new(
        spec.syntax("username:string command:string [arg:string ...]"),
        dryrun,
    )
}

fn cat(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let Some(name) = ctx.args.try_get(2) else {
        ctx.reply.array(ACL_CATEGORIES.len());
        for name in ACL_CATEGORIES {
            ctx.reply.bulk(&name.as_bytes()[1..]);
        }
        return Ok(Flow::Done);
    };
    if ctx.args.len() > 3 {
        return Err(wrong_arguments(ctx));
    }
    let wanted =
        category(name).ok_or_else(|| error(format!("ERR Unknown category '{}'", text(name))))?;
    let entries = ctx.worker.shared.registry.entries().iter();
    let names: Vec<&str> = entries
        .flat_map(|entry| std::iter::once(entry).chain(&entry.subcommands))
        .filter(|entry| entry.spec.acl_categories().contains(&wanted))
        .map(|entry| entry.spec.name)
        .collect();
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(Flow::Done)
}

fn wrong_arguments(ctx: &EngineCtx<'_>) -> Error {
    let sub = text(ctx.args.get(1));
    error(format!(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try ACL HELP."
    ))
}

fn setuser(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let name = ctx.args.get(2);
    if super::has_spaces(name) {
        return Err(Error::text(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    let words: Vec<&[u8]> = ctx.args.iter().skip(3).collect();
    let rules = merge_selectors(&words).map_err(|open| {
        error(format!(
            "ERR Unmatched parenthesis in acl selector starting at '{}'.",
            text(words[open])
        ))
    })?;
    let shared = ctx.worker.shared;
    let grammar = grammar(&shared.registry, shared.config.settings());
    let exclusive = shared.acl.change.lock();
    // All rules are read before any is in force.
    let mut changed = match shared.acl.user(name) {
        Some(user) => (*user.rules()).clone(),
        None => Rules::new(grammar),
    };
    for rule in &rules {
        changed.apply(rule, grammar).map_err(|why| {
            let rule = text(rule);
            error(format!("ERR Error in ACL SETUSER modifier '{rule}': {why}"))
        })?;
    }
    shared.acl.set(name, changed);
    drop(exclusive);
    shared.tell_all(|| Message::AclChanged);
    ok(ctx)
}

fn deluser(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let names = ctx.args.skip(2);
    if names.iter().any(|name| name == DEFAULT) {
        return Err(Error::text("ERR The 'default' user cannot be removed"));
    }
    let shared = ctx.worker.shared;
    let exclusive = shared.acl.change.lock();
    let removed: Vec<_> = names
        .iter()
        .filter_map(|name| shared.acl.remove(name, &shared.registry))
        .collect();
    drop(exclusive);
    shared.tell_all(|| Message::AclChanged);
    let mut flow = Flow::Done;
    for user in &removed {
        if send_away_clients_of(shared, user, ctx.client.id()) {
            flow = Flow::Close;
        }
    }
    ctx.reply.integer(removed.len() as i64);
    Ok(flow)
}

fn getuser(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let Some(user) = ctx.worker.shared.acl.user(ctx.args.get(2)) else {
        ctx.reply.null();
        return Ok(Flow::Done);
    };
    let rules = user.rules();
    let reply = &mut *ctx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags = rules.flags();
    reply.set(flags.len());
    for flag in flags {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"passwords");
    let passwords = rules.passwords();
    reply.array(passwords.len());
    for password in passwords {
        reply.bulk(password.as_bytes());
    }
    let (own, others) = rules.selectors();
    put_selector(reply, own);
    reply.bulk(b"selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(3);
        put_selector(reply, selector);
    }
    Ok(Flow::Done)
}

fn put_selector(reply: &mut dyn Reply, selector: &Selector) {
    for (name, rules) in [
        ("commands", selector.commands_text().into_bytes()),
        ("keys", selector.keys_text()),
        ("channels", selector.channels_text()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(&rules);
    }
}

fn list(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let lines = ctx.worker.shared.acl.lines();
    ctx.reply.array(lines.len());
    for line in lines {
        ctx.reply.bulk(&line);
    }
    Ok(Flow::Done)
}

fn users(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let users = ctx.worker.shared.acl.users();
    ctx.reply.array(users.len());
    for user in users {
        ctx.reply.bulk(user.name());
    }
    Ok(Flow::Done)
}

fn whoami(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply.bulk(ctx.client.identity.user().name());
    Ok(Flow::Done)
}

fn genpass(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    const BITS: i64 = 256;
    const BITS_MAX: i64 = 4096;
    if ctx.args.len() > 3 {
        return Err(wrong_arguments(ctx));
    }
    let bits = match ctx.args.try_get(2) {
        None => BITS,
        Some(bits) => parse_i64(bits).ok_or(Error::NotInteger)?,
    };
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(error(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut random = vec![0; digits];
    getrandom::fill(&mut random)
        .map_err(|why| error(format!("ERR the system has no random bytes: {why}")))?;
    for byte in &mut random {
        *byte = b"0123456789abcdef"[usize::from(*byte % 16)];
    }
    ctx.reply.bulk(&random);
    Ok(Flow::Done)
}

fn log(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    const SHOWN: i64 = 10;
    if ctx.args.len() > 3 {
        return Err(wrong_arguments(ctx));
    }
    let log = &ctx.worker.shared.acl.log;
    let count = match ctx.args.try_get(2) {
        None => SHOWN,
        Some(reset) if is(reset, "reset") => {
            log.reset();
            return ok(ctx);
        }
        Some(count) => parse_i64(count).ok_or(Error::NotInteger)?,
    };
    let entries = log.latest(count.max(0) as usize);
    ctx.reply.array(entries.len());
    for entry in entries {
        put_entry(ctx.reply, &entry, ctx.worker.now_ms);
    }
    Ok(Flow::Done)
}

fn put_entry(reply: &mut dyn Reply, entry: &LogEntry, now_ms: i64) {
    reply.map(7);
    reply.bulk(b"count");
    reply.integer(entry.count as i64);
    for (name, value) in [
        ("reason", entry.reason.as_bytes()),
        ("context", entry.context.name().as_bytes()),
        ("object", &entry.object),
        ("username", &entry.username),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    }
    reply.bulk(b"age-seconds");
    reply.double((now_ms - entry.at_ms).max(0) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
}

fn dryrun(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let (name, request) = (ctx.args.get(2), ctx.args.skip(3));
    let user = shared
        .acl
        .user(name)
        .ok_or_else(|| error(format!("ERR User '{}' not found", text(name))))?;
    let entry = shared.registry.lookup(&request).ok_or_else(|| {
        let name = text(request.get(0));
        error(format!("ERR Command '{name}' not found"))
    })?;
    if !entry.spec.arity_fits(request.len()) {
        return Err(Error::WrongArity(entry.spec.name.into()));
    }
    match user.rules().check(entry, &request) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => put_denied(ctx.reply, denied, entry, &request),
    }
    Ok(Flow::Done)
}

fn put_denied(reply: &mut dyn Reply, denied: Denied, entry: &Entry, request: &Args<'_>) {
    reply.bulk(&denied.as_dry_run(entry, request));
}

fn load(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    let removed = file::reload(shared, &file_name(shared)?).map_err(|why| {
        tracing::warn!("ACL LOAD: {why}");
        error(format!("ERR {why}"))
    })?;
    shared.tell_all(|| Message::AclChanged);
    ctx.reply.ok();
    let mut flow = Flow::Done;
    for user in &removed {
        if send_away_clients_of(shared, user, ctx.client.id()) {
            flow = Flow::Close;
        }
    }
    Ok(flow)
}

fn save(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    file::save(&shared.acl, &file_name(shared)?).map_err(|why| {
        tracing::warn!(%why, "ACL SAVE failed");
        Error::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    ok(ctx)
}

/// `aclfile`, without which nothing can be loaded or saved.
fn file_name(shared: &Shared) -> Result<String, Error> {
    let name = shared
        .config
        .settings()
        .text(crate::config::Opt::Aclfile)
        .to_string();
    if name.is_empty() {
        return Err(Error::text(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
             command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
             users in the Redis configuration.",
        ));
    }
    Ok(name)
}

fn acl_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "ACL", HELP)
}

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];
