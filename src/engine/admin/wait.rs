//! Commands that answer when a time has come: WAIT and DEBUG SLEEP. No thread waits for them; their clients are parked.

use super::client::timeout_ms;
use crate::base::clock;
use crate::base::number::parse_i64;
use crate::command::{Command, Error, Flags, Group, Spec};
use crate::engine::client::{Client, ClientFlags};
use crate::engine::registry::{EngineCtx, EngineHandler};
use crate::engine::shared::PauseMode;
use crate::engine::work::{Kind, Timer, TimerReply, Token};
use crate::engine::worker::{Flow, Worker};
use crate::resp::{Reply, RespWriter};

pub static COMMANDS: &[Command<EngineHandler>] = &[Command::new(
    Spec::new("wait", 3, Group::Connection, Flags::NOSCRIPT)
        .docs(
            "3.0.0",
            "O(1)",
            "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
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

impl Worker {
    /// The parked work whose time has come: timers, and what CLIENT PAUSE held back until now.
    pub fn due(&self) -> Vec<(Token, u64)> {
        let now_us = clock::monotonic_us();
        let paused = self.shared.pause.mode(clock::unix_ms()) != PauseMode::Off;
        let is_due = |kind: &Kind| match kind {
            Kind::Timer(timer) => timer.due_us.is_some_and(|due_us| due_us <= now_us),
            Kind::Paused { .. } => !paused,
            _ => false,
        };
        let works = self.works.iter().filter(|(_, work)| is_due(&work.kind));
        works.map(|(token, work)| (token, work.conn)).collect()
    }

    /// CLIENT UNBLOCK for a client of this shard: ends its wait as its timeout would, or with an error.
    pub fn unblock(&mut self, client: &mut Client, with_error: bool, out: &mut Vec<u8>) -> Flow {
        let timer = client.parked.and_then(|token| self.works.get(token));
        let Some(Kind::Timer(timer)) = timer.map(|work| &work.kind) else {
            return Flow::Parked;
        };
        if timer.reply != TimerReply::NoReplicas {
            return Flow::Parked;
        }
        let (timer, mark) = (*timer, out.len());
        if let Some(token) = client.parked.take() {
            self.works.take(token);
        }
        let flow = self.timer_over(timer, client, out);
        if with_error {
            let error = Error::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            self.answer_error(client, out, mark, &error);
        }
        self.apply_reply_mode(client, out, mark, flow);
        flow
    }

    /// Answers a client whose time has come.
    pub(in crate::engine) fn timer_over(
        &mut self,
        timer: Timer,
        client: &Client,
        out: &mut Vec<u8>,
    ) -> Flow {
        self.end_timer(timer);
        client.info.set_flag(ClientFlags::BLOCKED, false);
        let mut reply = RespWriter::new(out, client.protocol);
        match timer.reply {
            TimerReply::Ok => reply.ok(),
            TimerReply::NoReplicas => reply.integer(0),
        }
        Flow::Done
    }

    /// Takes a wait out of the count of blocked clients.
    pub(in crate::engine) fn end_timer(&mut self, timer: Timer) {
        if timer.reply == TimerReply::NoReplicas {
            let shard = self.shared.observer.shard(self.shard as usize);
            shard.blocked_clients.lower();
        }
    }
}
