//! CONFIG: the options while the server runs.

use super::{ADMIN, error, help, help_spec, ok};
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::config::ConfigError;
use crate::engine::Message;
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("config", -2, Group::Server, Flags::empty()).docs(
        "2.0.0",
        "Depends on subcommand.",
        "A container for server configuration commands",
    ),
    &[
        Command::new(
            Spec::new("config|get", -3, Group::Server, ADMIN)
                .syntax("<parameter: parameter>...")
                .docs(
                    "2.0.0",
                    "O(N) when N is the number of configuration parameters provided",
                    "Get the values of configuration parameters",
                )
                .history(&[(
                    "7.0.0",
                    "Added the ability to pass multiple pattern parameters in one call",
                )]),
            get,
        ),
        Command::new(
            Spec::new("config|set", -4, Group::Server, ADMIN)
                .syntax("<parameter value>...")
                .docs(
                    "2.0.0",
                    "O(N) when N is the number of configuration parameters provided",
                    "Set configuration parameters to the given values",
                )
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .history(&[(
                    "7.0.0",
                    "Added the ability to set multiple parameters in one call.",
                )]),
            set,
        ),
        Command::new(
            Spec::new("config|resetstat", 2, Group::Server, ADMIN).docs(
                "2.0.0",
                "O(1)",
                "Reset the stats returned by INFO",
            ),
            resetstat,
        ),
        Command::new(
            Spec::new("config|rewrite", 2, Group::Server, ADMIN).docs(
                "2.8.0",
                "O(1)",
                "Rewrite the configuration file with the in memory configuration",
            ),
            rewrite,
        ),
        Command::new(
            help_spec("config|help", Group::Server, "5.0.0"),
            config_help,
        ),
    ],
)];

fn get(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let patterns: Vec<&[u8]> = ctx.args.iter().skip(2).collect();
    let found = ctx.worker.shared.config.get(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(Flow::Done)
}

fn set(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    if !ctx.args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let given: Vec<&[u8]> = ctx.args.iter().skip(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = given.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    let shared = ctx.worker.shared;
    shared.config.set(&pairs).map_err(wire)?;
    ctx.worker.follow_settings();
    shared.tell_all(|| Message::Configured);
    ok(ctx)
}

fn wire(ConfigError(reason): ConfigError) -> Error {
    error(format!("ERR {reason}"))
}

fn resetstat(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.worker.shared.observer.reset();
    ctx.worker.shared.scripts.reset_stats();
    ctx.worker.shared.libraries.current().reset_stats();
    ok(ctx)
}

fn rewrite(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let shared = ctx.worker.shared;
    shared
        .config
        .rewrite(&shared.acl.declarations(shared))
        .map_err(wire)?;
    ok(ctx)
}

fn config_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "CONFIG", HELP)
}

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
];
