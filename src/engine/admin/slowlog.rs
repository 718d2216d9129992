//! SLOWLOG: the commands that took long.

use super::{ANYTIME, error, help, help_spec, ok, text};
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::worker::Flow;
use crate::observe::SlowLogEntry;
use crate::resp::Reply;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::container(
    Spec::new("slowlog", -2, Group::Server, Flags::empty()).docs(
        "2.2.12",
        "Depends on subcommand.",
        "A container for slow log commands",
    ),
    &[
        Command::new(
            Spec::new("slowlog|get", -2, Group::Server, OPERATOR)
                .syntax("[count]")
                .docs(
                    "2.2.12",
                    "O(N) where N is the number of entries returned",
                    "Get the slow log's entries",
                )
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .history(&[(
                    "4.0.0",
                    "Added client IP address, port and name to the reply.",
                )]),
            get,
        ),
        Command::new(
            Spec::new("slowlog|len", 2, Group::Server, OPERATOR)
                .docs("2.2.12", "O(1)", "Get the slow log's length")
                .tips(&[
                    "request_policy:all_nodes",
                    "response_policy:agg_sum",
                    "nondeterministic_output",
                ]),
            len,
        ),
        Command::new(
            Spec::new("slowlog|reset", 2, Group::Server, OPERATOR)
                .docs(
                    "2.2.12",
                    "O(N) where N is the number of entries in the slowlog",
                    "Clear all entries from the slow log",
                )
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            reset,
        ),
        Command::new(
            help_spec("slowlog|help", Group::Server, "6.2.0"),
            slowlog_help,
        ),
    ],
)];

/// Scripts may look too.
const OPERATOR: Flags = ANYTIME.union(Flags::ADMIN);
/// Entries that SLOWLOG GET shows unasked.
const SHOWN: usize = 10;

fn get(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let count = match ctx.args.len() {
        2 => Some(SHOWN),
        3 => match parse_i64(ctx.args.get(2)) {
            Some(-1) => None,
            Some(count @ 0..) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
            _ => {
                return Err(Error::text(
                    "ERR count should be greater than or equal to -1",
                ));
            }
        },
        _ => {
            let sub = text(ctx.args.get(1));
            return Err(error(format!(
                "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try SLOWLOG HELP."
            )));
        }
    };
    let entries = ctx.worker.shared.observer.slow_log.newest(count);
    ctx.reply.array(entries.len());
    for entry in &entries {
        put_entry(ctx.reply, entry);
    }
    Ok(Flow::Done)
}

fn put_entry(reply: &mut dyn Reply, entry: &SlowLogEntry) {
    reply.array(6);
    for number in [entry.id, entry.unix_time_s, entry.duration_us] {
        reply.integer(number as i64);
    }
    reply.array(entry.args.len());
    for arg in &entry.args {
        reply.bulk(arg);
    }
    reply.bulk(entry.client_addr.as_bytes());
    reply.bulk(entry.client_name.as_bytes());
}

fn len(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.reply
        .integer(ctx.worker.shared.observer.slow_log.len() as i64);
    Ok(Flow::Done)
}

fn reset(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    ctx.worker.shared.observer.slow_log.reset();
    ok(ctx)
}

fn slowlog_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    help(ctx, "SLOWLOG", HELP)
}

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];
