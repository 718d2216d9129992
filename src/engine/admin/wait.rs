//! Commands that answer when a time has come: WAIT and DEBUG SLEEP. No thread waits for them; their clients are parked.

use super::client::timeout_ms;
use crate::base::clock;
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::client::ClientFlags;
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::work::{Kind, Timer, TimerReply};
use crate::engine::worker::Flow;

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::new(
    Spec::new("wait", 3, Group::Generic, Flags::NOSCRIPT)
        .categories_alone(&["@connection"])
        .syntax("numreplicas:integer timeout:integer")
        .docs(
            "3.0.0",
            "O(1)",
            "Wait for the synchronous replication of all the write commands sent in \
             the context of the current connection",
        )
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
    wait,
)];

/// There are no replicas: what asks for some waits for its whole timeout.
fn wait(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let wanted = parse_i64(ctx.args.get(1)).ok_or(Error::NotInteger)?;
    let timeout_ms = timeout_ms(ctx.args.get(2))?;
    if wanted <= 0 || ctx.worker.in_exec || ctx.from_script {
        ctx.reply.integer(0);
        return Ok(Flow::Done);
    }
    let due_us = (timeout_ms > 0).then(|| after_us(timeout_ms.saturating_mul(1000) as u64));
    ctx.client.info.set_flag(ClientFlags::BLOCKED, true);
    let shared = ctx.worker.shared;
    let stats = shared.observer.shard(ctx.worker.shard as usize);
    stats.blocked_clients.raise();
    Ok(park(ctx, due_us, TimerReply::NoReplicas))
}

/// Answers OK after so many microseconds.
pub fn sleep(ctx: &mut EngineCtx<'_>, for_us: u64) -> Flow {
    park(ctx, Some(after_us(for_us)), TimerReply::Ok)
}

fn after_us(delay_us: u64) -> u64 {
    clock::monotonic_us().saturating_add(delay_us)
}

fn park(ctx: &mut EngineCtx<'_>, due_us: Option<u64>, reply: TimerReply) -> Flow {
    let token = ctx.worker.works.reserve();
    let kind = Kind::Timer(Timer { due_us, reply });
    ctx.worker.park(ctx.client, token, kind)
}
