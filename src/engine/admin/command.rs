//! COMMAND: the table of commands as clients ask for it.

use super::{ANYTIME, help, help_spec, is};
use crate::base::glob::{self, Case};
use crate::command::{Begin, Command, Error, Find, Group, KeySpec, Spec};
use crate::engine::registry::{EngineCtx, EngineHandler, Entry, Registry, sub_name};
use crate::engine::worker::Flow;
use crate::resp::Reply;
use std::iter;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command {
    spec: sub(
        "command",
        -1,
        "2.8.13",
        "O(N) where N is the total number of Redis commands",
        "Get array of Redis command details",
    )
    .tips(UNORDERED),
    run: Some(info_all),
    subcommands: SUBCOMMANDS,
}];

static SUBCOMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        sub(
            "command|count",
            2,
            "2.8.13",
            "O(1)",
            "Get total number of Redis commands",
        ),
        count,
    ),
    Command::new(
        sub(
            "command|info",
            -2,
            "2.8.13",
            PER_COMMAND,
            "Get array of specific Redis command details, or all when no argument is given.",
        )
        .syntax("[command-name ...]")
        .tips(UNORDERED)
        .history(&[(
            "7.0.0",
            "Allowed to be called with no argument to get info on all commands.",
        )]),
        info,
    ),
    Command::new(
        sub(
            "command|docs",
            -2,
            "7.0.0",
            PER_COMMAND,
            "Get array of specific Redis command documentation",
        )
        .syntax("[command-name ...]")
        .tips(UNORDERED),
        super::command_docs::docs,
    ),
    Command::new(
        sub(
            "command|list",
            -2,
            "7.0.0",
            "O(N) where N is the total number of Redis commands",
            "Get an array of Redis command names",
        )
        .syntax(
            "[FILTERBY \
             <filterby: MODULE module-name | ACLCAT category | PATTERN pattern>]",
        )
        .tips(UNORDERED),
        list,
    ),
    Command::new(
        sub(
            "command|getkeys",
            -4,
            "2.8.13",
            "O(N) where N is the number of arguments to the command",
            "Extract keys given a full Redis command",
        ),
        super::command_keys::getkeys,
    ),
    Command::new(
        sub(
            "command|getkeysandflags",
            -4,
            "7.0.0",
            "O(N) where N is the number of arguments to the command",
            "Extract keys and access flags given a full Redis command",
        ),
        super::command_keys::getkeysandflags,
    ),
    Command::new(
        help_spec("command|help", Group::Server, "5.0.0").categories(CONNECTION),
        command_help,
    ),
];

const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const CONNECTION: &[&str] = &["@connection"];
const PER_COMMAND: &str = "O(N) where N is the number of commands to look up";

const fn sub(
    name: &'static str,
    arity: i32,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, Group::Server, ANYTIME)
        .categories(CONNECTION)
        .docs(since, complexity, summary)
}

/// A command by its full name, which for a subcommand is `container|sub`.
pub fn lookup<'a>(registry: &'a Registry, name: &[u8]) -> Option<&'a Entry> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
        return registry.get(name);
    };
    let container = registry.get(&name[..bar])?;
    let mut subcommands = container.subcommands.iter();
    subcommands.find(|entry| is(&name[bar + 1..], sub_name(entry.spec)))
}

fn info_all(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let registry = &ctx.worker.shared.registry;
    ctx.reply.array(registry.callable().count());
    for entry in registry.callable() {
        put_info(ctx.reply, entry);
    }
    Ok(Flow::Done)
}

fn count(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let commands = ctx.worker.shared.registry.callable().count();
    ctx.reply.integer(commands as i64);
    Ok(Flow::Done)
}

fn info(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let names = ctx.args.skip(2);
    if names.is_empty() {
        return info_all(ctx);
    }
    ctx.reply.array(names.len());
    for name in names.iter() {
        match lookup(&ctx.worker.shared.registry, name) {
            Some(entry) => put_info(ctx.reply, entry),
            None => ctx.reply.null(),
        }
    }
    Ok(Flow::Done)
}

/// The ten fields of COMMAND INFO.
fn put_info(reply: &mut dyn Reply, entry: &Entry) {
    let spec = entry.spec;
    let (first, last, step) = spec.legacy_keys();
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    put_words(reply, &spec.flags.names().collect::<Vec<_>>());
    for position in [first, last, step] {
        reply.integer(position);
    }
    put_words(reply, &categories(entry.spec));
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.shown_keys().count());
    let notes = spec.texts.key_notes.iter().chain(iter::repeat(&""));
    for (keys, note) in spec.shown_keys().zip(notes) {
        put_key_spec(reply, keys, note);
    }
    if entry.subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(entry.subcommands.len());
        for sub in &entry.subcommands {
            put_info(reply, sub);
        }
    }
}

fn put_words(reply: &mut dyn Reply, words: &[&str]) {
    reply.set(words.len());
    for word in words {
        reply.simple(word);
    }
}

/// Redis's order of ACL categories.
pub const CATEGORIES: [&str; 21] = [
    "@keyspace",
    "@read",
    "@write",
    "@set",
    "@sortedset",
    "@list",
    "@hash",
    "@string",
    "@bitmap",
    "@hyperloglog",
    "@geo",
    "@stream",
    "@pubsub",
    "@admin",
    "@fast",
    "@slow",
    "@blocking",
    "@dangerous",
    "@connection",
    "@transaction",
    "@scripting",
];

/// The ACL categories of a command.
fn categories(spec: &Spec) -> Vec<&'static str> {
    let mut all = spec.acl_categories();
    all.sort_by_key(|name| CATEGORIES.iter().position(|known| known == name));
    all
}

fn put_key_spec(reply: &mut dyn Reply, keys: &KeySpec, note: &str) {
    reply.map(3 + usize::from(!note.is_empty()));
    if !note.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(note.as_bytes());
    }
    reply.bulk(b"flags");
    put_words(reply, &keys.flags.names().collect::<Vec<_>>());
    reply.bulk(b"begin_search");
    match keys.begin {
        Begin::Found(_) => {
            put_typed(reply, "unknown", 0);
            reply.bulk(b"find_keys");
            put_typed(reply, "unknown", 0);
            return;
        }
        Begin::Index(index) => {
            put_typed(reply, "index", 1);
            put_pair(reply, "index", index as i64);
        }
        Begin::Keyword { word, from } => {
            put_typed(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            put_pair(reply, "startfrom", from as i64);
        }
    }
    reply.bulk(b"find_keys");
    match keys.find {
        Find::Range { last, step } => {
            put_typed(reply, "range", 3);
            put_pair(reply, "lastkey", i64::from(last));
            put_pair(reply, "keystep", step as i64);
            put_pair(reply, "limit", 0);
        }
        Find::FirstHalf => {
            put_typed(reply, "range", 3);
            put_pair(reply, "lastkey", -1);
            put_pair(reply, "keystep", 1);
            put_pair(reply, "limit", 2);
        }
        Find::Count { at, first } => {
            put_typed(reply, "keynum", 3);
            put_pair(reply, "keynumidx", at as i64);
            put_pair(reply, "firstkey", first as i64);
            put_pair(reply, "keystep", 1);
        }
    }
}

/// Begins `{type: kind, spec: {...}}`.
fn put_typed(reply: &mut dyn Reply, kind: &str, pairs: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(pairs);
}

fn put_pair(reply: &mut dyn Reply, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

/// What COMMAND LIST lets through.
enum NameFilter<'a> {
    None,
    /// There are no modules, so none of their commands.
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl NameFilter<'_> {
    fn lets_through(&self, entry: &Entry) -> bool {
        match self {
            Self::None => true,
            Self::Module => false,
            Self::Category(name) => categories(entry.spec)
                .iter()
                .any(|known| is(name, &known[1..])),
            Self::Pattern(pattern) => {
                glob::matches(pattern, entry.spec.name.as_bytes(), Case::Ignored)
            }
        }
    }
}

fn list(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let options = ctx.args.skip(2);
    let filter = match options.len() {
        0 => NameFilter::None,
        3 if is(options.get(0), "filterby") => {
            let (kind, value) = (options.get(1), options.get(2));
            match () {
                () if is(kind, "module") => NameFilter::Module,
                () if is(kind, "aclcat") => NameFilter::Category(value),
                () if is(kind, "pattern") => NameFilter::Pattern(value),
                () => return Err(Error::Syntax),
            }
        }
        _ => return Err(Error::Syntax),
    };
    let mut names = Vec::new();
    for entry in ctx.worker.shared.registry.callable() {
        let family = std::iter::once(entry).chain(&entry.subcommands);
        let chosen = family.filter(|entry| filter.lets_through(entry));
        names.extend(chosen.map(|entry| entry.spec.name));
    }
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(Flow::Done)
}

fn command_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "COMMAND", HELP)
}

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
];
