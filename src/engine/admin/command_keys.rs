//! COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a request are keys.

use crate::command::{Error, Flags, KeyFlags, KeySpec, Spec};
use crate::engine::registry::{EngineCtx, Registry, Run, sub_name};
use crate::engine::worker::Flow;
use crate::resp::Args;

/// A key of a request and what the command does with it.
type FoundKey<'a> = (&'a [u8], KeyFlags);

pub fn getkeys(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let keys = keys(&ctx.worker.shared.registry, ctx.args.skip(2))?;
    ctx.reply.array(keys.len());
    for (key, _) in keys {
        ctx.reply.bulk(key);
    }
    Ok(Flow::Done)
}

pub fn getkeysandflags(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let keys = keys(&ctx.worker.shared.registry, ctx.args.skip(2))?;
    ctx.reply.array(keys.len());
    for (key, flags) in keys {
        let names: Vec<&str> = flags.names().collect();
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.set(names.len());
        for name in names {
            ctx.reply.simple(name);
        }
    }
    Ok(Flow::Done)
}

fn keys<'a>(registry: &Registry, request: Args<'a>) -> Result<Vec<FoundKey<'a>>, Error> {
    const UNKNOWN: Error = Error::text("ERR Invalid command specified");
    let mut entry = registry.get(request.get(0)).ok_or(UNKNOWN)?;
    if let Some(sub) = request.try_get(1)
        && !entry.subcommands.is_empty()
    {
        let mut all = entry.subcommands.iter();
        let found = all.find(|entry| super::is(sub, sub_name(entry.spec)));
        entry = found.ok_or(UNKNOWN)?;
    }
    let spec = entry.spec;
    if !has_keys(spec) || matches!(entry.run, Run::Container) {
        return Err(Error::text("ERR The command has no key arguments"));
    }
    if !spec.arity_fits(request.len()) {
        return Err(Error::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    match found_keys(spec, request) {
        Some(keys) => Ok(keys),
        None if spec.flags.contains(Flags::NO_MANDATORY_KEYS) => Ok(Vec::new()),
        None => Err(Error::text("ERR Invalid arguments specified for command")),
    }
}

fn has_keys(spec: &Spec) -> bool {
    let mut keys = spec.shown_keys();
    keys.any(|key| !key.flags.contains(KeyFlags::NOT_KEY))
}

/// The keys, unless there is none or the request lacks some that it promises.
fn found_keys<'a>(spec: &Spec, request: Args<'a>) -> Option<Vec<FoundKey<'a>>> {
    let mut keys = Vec::new();
    let mut visited: Vec<*const KeySpec> = Vec::new();
    let told = spec.visit_keys(&request, |index, found| {
        if !found.flags.contains(KeyFlags::UNSHOWN) {
            keys.push((request.get(index), spec.flags_of(found, &request)));
            visited.push(found);
        }
    });
    let is_lacking = |key: &KeySpec| {
        let is_visited = visited.iter().any(|other| std::ptr::eq(*other, key));
        key.promises_keys(&request) && !is_visited
    };
    let is_whole = told.is_ok() && !spec.shown_keys().any(is_lacking);
    (is_whole && !keys.is_empty()).then_some(keys)
}
