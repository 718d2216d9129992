//! COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a request are keys.

use crate::command::{Error, KeyFlags};
use crate::engine::registry::{EngineCtx, Registry, Run};
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
    let Some(mut entry) = registry.get(request.get(0)) else {
        return Err(Error::text("ERR Invalid command specified"));
    };
    if let Some(sub) = request.try_get(1)
        && let Some(found) = entry
            .subcommands
            .iter()
            .find(|e| super::is(sub, crate::engine::registry::sub_name(e.spec)))
    {
        entry = found;
    }
    let spec = entry.spec;
    if spec.keys.is_empty() || matches!(entry.run, Run::Container) {
        return Err(Error::text("ERR The command has no key arguments"));
    }
    if !spec.arity_fits(request.len()) {
        return Err(Error::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut keys = Vec::new();
    spec.visit_keys(&request, |index, found| {
        if !found.flags.contains(KeyFlags::UNSHOWN) {
            keys.push((request.get(index), found.flags));
        }
    })?;
    Ok(keys)
}
