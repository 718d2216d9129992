//! COMMAND DOCS: what the declarations say to people.

use super::command::lookup;
use crate::command::{Argument, Error, parse_syntax};
use crate::engine::registry::{EngineCtx, Entry};
use crate::engine::worker::Flow;
use crate::resp::Reply;

pub fn docs(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let registry = &ctx.worker.shared.registry;
    let names = ctx.args.skip(2);
    let entries: Vec<&Entry> = if names.is_empty() {
        registry.callable().collect()
    } else {
        let found = names.iter().filter_map(|name| lookup(registry, name));
        found.collect()
    };
    put_all(ctx.reply, &entries);
    Ok(Flow::Done)
}

fn put_all(reply: &mut dyn Reply, entries: &[&Entry]) {
    reply.map(entries.len());
    for entry in entries {
        reply.bulk(entry.spec.name.as_bytes());
        put_one(reply, entry);
    }
}

/// The fields of a command, in Redis's order. What it has not is left out.
fn put_one(reply: &mut dyn Reply, entry: &Entry) {
    let texts = &entry.spec.texts;
    // A test has read the syntax of every command.
    let arguments = parse_syntax(texts.syntax).unwrap_or_default();
    let deprecated = texts.deprecated.as_ref();
    let notes: Vec<&str> = [
        (deprecated.is_some(), "deprecated"),
        (texts.is_internal, "syscmd"),
    ]
    .into_iter()
    .filter_map(|(is_so, note)| is_so.then_some(note))
    .collect();
    let lines = [
        ("summary", texts.summary),
        ("since", texts.since),
        ("group", entry.spec.group.name()),
        ("complexity", texts.complexity),
    ];
    let lines = lines.into_iter().filter(|(_, text)| !text.is_empty());
    let parts = [
        !notes.is_empty(),
        deprecated.is_some(),
        deprecated.is_some(),
        !texts.history.is_empty(),
        !arguments.is_empty(),
        !entry.subcommands.is_empty(),
    ];
    reply.map(lines.clone().count() + parts.into_iter().filter(|is_there| *is_there).count());
    for (field, text) in lines {
        put_text(reply, field, text);
    }
    if !notes.is_empty() {
        put_flags(reply, "doc_flags", &notes);
    }
    if let Some(deprecated) = deprecated {
        put_text(reply, "deprecated_since", deprecated.since);
        put_text(reply, "replaced_by", deprecated.replaced_by);
    }
    if !texts.history.is_empty() {
        put_history(reply, texts.history);
    }
    if !arguments.is_empty() {
        put_arguments(reply, &arguments);
    }
    if !entry.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        put_all(reply, &entry.subcommands.iter().collect::<Vec<_>>());
    }
}

fn put_history(reply: &mut dyn Reply, history: &[(&str, &str)]) {
    reply.bulk(b"history");
    reply.set(history.len());
    for (version, change) in history {
        reply.array(2);
        reply.bulk(version.as_bytes());
        reply.bulk(change.as_bytes());
    }
}

fn put_arguments(reply: &mut dyn Reply, arguments: &[Argument]) {
    reply.bulk(b"arguments");
    reply.array(arguments.len());
    for argument in arguments {
        put_argument(reply, argument);
    }
}

fn put_argument(reply: &mut dyn Reply, argument: &Argument) {
    let flags = [
        (argument.is_optional, "optional"),
        (argument.is_multiple, "multiple"),
        (argument.repeats_token, "multiple_token"),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
    let flags: Vec<&str> = flags.map(|(_, name)| name).collect();
    let versions = [
        ("since", argument.since),
        ("deprecated_since", argument.deprecated_since),
    ];
    let fields = [
        argument.key_spec.is_some(),
        argument.token.is_some(),
        argument.since.is_some(),
        argument.deprecated_since.is_some(),
        !flags.is_empty(),
        !argument.parts.is_empty(),
    ];
    reply.map(2 + fields.into_iter().filter(|is_there| *is_there).count());
    put_text(reply, "name", &argument.name);
    put_text(reply, "type", argument.kind.name());
    if let Some(number) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.integer(number as i64);
    }
    if let Some(token) = argument.token {
        put_text(reply, "token", token);
    }
    for (field, version) in versions {
        if let Some(version) = version {
            put_text(reply, field, version);
        }
    }
    if !flags.is_empty() {
        put_flags(reply, "flags", &flags);
    }
    if !argument.parts.is_empty() {
        put_arguments(reply, &argument.parts);
    }
}

fn put_text(reply: &mut dyn Reply, field: &str, text: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(text.as_bytes());
}

fn put_flags(reply: &mut dyn Reply, field: &str, flags: &[&str]) {
    reply.bulk(field.as_bytes());
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
}
