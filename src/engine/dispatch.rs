//! The first look at a request: what it is, and whether this client may run it now.

use super::blocked::Served;
use super::client::{Client, ReplyMode};
use super::commit::PANICKED;
use super::registry::{EngineCtx, EngineHandler, Entry, Run};
use super::shared::PauseMode;
use super::work::Kind;
use super::worker::{Flow, Worker};
use super::{Message, multi, pubsub, tracking};
use crate::command::{Error, Flags};
use crate::locks::Mode;
use crate::observe::SlowLog;
use crate::observe::latency::event;
use crate::resp::{Args, OwnedArgs, Protocol, RespWriter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The answer to a command that may need memory while more than `maxmemory` is in use.
pub(super) const OUT_OF_MEMORY: Error =
    Error::text("OOM command not allowed when used memory > 'maxmemory'.");

const NOT_AUTHENTICATED: Error = Error::text("NOAUTH Authentication required.");

/// What a subscriber of RESP2 reads when it asks for something else.
#[cold]
fn only_subscriptions(entry: &Entry) -> Error {
    let line = format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        entry.spec.name
    );
    Error::Other(line.into())
}

impl Worker {
    /// Runs a request; its reply goes to `out`.
    #[inline]
    pub fn command(&mut self, client: &mut Client, args: Args<'_>, out: &mut Vec<u8>) -> Flow {
        if let Some(token) = client.session() {
            return self.debugger_line(token, client, &args, out);
        }
        let mark = out.len();
        let flow = match self.shared.registry.find(&args) {
            Ok(entry) => {
                let flow = self.admit(entry, client, args, out);
                if client.tracking.is_some() {
                    tracking::forget_caching(client, entry);
                }
                if client.reply_mode != ReplyMode::On
                    && client.multi.is_none()
                    && pubsub::is_subscription(entry)
                {
                    // Subscriptions are answered as messages are sent, whatever CLIENT REPLY says.
                    let pushes = out.split_off(mark);
                    Self::apply_reply_mode(client, out, mark, flow);
                    out.extend_from_slice(&pushes);
                    return flow;
                }
                flow
            }
            Err(error) => {
                if let Some(entry) = self.shared.registry.get(args.get(0)) {
                    let shard = self.shared.observer.shard(self.shard as usize);
                    shard.command(entry.number as usize).rejected();
                }
                self.refuse(client, out, &error);
                Flow::Done
            }
        };
        if client.reply_mode != ReplyMode::On {
            Self::apply_reply_mode(client, out, mark, flow);
        }
        self.tell_self(client, out, mark);
        flow
    }

    fn admit(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        if !client.authenticated
            && !entry.spec.flags.contains(Flags::NO_AUTH)
            && !self.shared.acl.is_open()
        {
            self.reject(entry, client, out, &NOT_AUTHENTICATED);
            return Flow::Done;
        }
        if let Err(error) = self.permit(entry, client, &args) {
            self.reject(entry, client, out, &error);
            return Flow::Done;
        }
        if let Err(error) = self.check_memory(entry, client, &args) {
            self.reject(entry, client, out, &error);
            return Flow::Done;
        }
        if client.subscriptions.is_some()
            && client.protocol == Protocol::Resp2
            && !pubsub::may_run_subscribed(entry)
        {
            self.reject(entry, client, out, &only_subscriptions(entry));
            return Flow::Done;
        }
        client.info.note_command(entry.number, self.now_ms);
        self.outbox.writer = client.id();
        if client.multi.is_some() && !multi::runs_inside(entry) {
            self.queue(entry, client, args, out);
            return Flow::Done;
        }
        let pause = self.shared.pause.mode(self.now_ms);
        if pause != PauseMode::Off && Self::is_paused(entry, client, pause) {
            let token = self.works.reserve();
            return self.park(
                client,
                token,
                Kind::Paused {
                    entry,
                    args: OwnedArgs::from(args),
                },
            );
        }
        if !matches!(entry.run, Run::Exec) {
            self.feed_monitors(entry, client, &args);
        }
        self.failed = false;
        let flow = self.execute(entry, client, args, out);
        if flow != Flow::Parked {
            self.note_executed(entry, client, &args);
        }
        flow
    }

    /// Counts a command that has ended. The time since the last one ended is its own: one look at the clock a command.
    pub(super) fn note_executed(&mut self, entry: &Entry, client: &Client, args: &Args<'_>) {
        let now = Instant::now();
        let took = now.duration_since(self.clock);
        self.clock = now;
        self.note_duration(entry, client, args, took);
    }

    /// Counts a command that was parked before it ran. One that has been parked again is counted later.
    pub(super) fn note_resumed(
        &mut self,
        flow: Flow,
        entry: &Entry,
        client: &Client,
        args: &Args<'_>,
    ) {
        if flow != Flow::Parked {
            self.note_executed(entry, client, args);
        }
    }

    /// Runs a command that CLIENT PAUSE has held back.
    pub(super) fn execute_paused(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: &OwnedArgs,
        out: &mut Vec<u8>,
    ) -> Flow {
        // The pause may have been long, and the rules of users may have changed.
        if let Err(error) = self.permit(entry, client, &args.as_args()) {
            self.reject(entry, client, out, &error);
            return Flow::Done;
        }
        let flow = self.execute(entry, client, args.as_args(), out);
        self.note_resumed(flow, entry, client, &args.as_args());
        flow
    }

    /// Counts a command that ran for so long, and keeps it in the slow log if that was long.
    pub(super) fn note_duration(
        &mut self,
        entry: &Entry,
        client: &Client,
        args: &Args<'_>,
        took: Duration,
    ) {
        let shard = self.shared.observer.shard(self.shard as usize);
        let stats = shard.command(entry.number as usize);
        let took_ns = took.as_nanos() as u64;
        stats.ran(took_ns, self.failed);
        if self.latency.tracking {
            stats.track_latency(took_ns);
        }
        if self.latency.threshold_ms > 0 {
            super::admin::note_latency(self.shared, entry.spec, self.latency.threshold_ms, took);
        }
        shard.commands_processed.add(1);
        if let Some(callee) = self.ended.take() {
            self.run_stats(&callee).total.record(took_ns, 1);
            self.note_event(event::SCRIPT, took);
        }
        self.note_if_slow(entry, client, args, took);
    }

    /// Keeps an event for LATENCY, if it took long.
    pub(super) fn note_event(&self, name: &'static str, took: Duration) {
        if self.latency.threshold_ms > 0 {
            super::admin::note_event(self.shared, name, self.latency.threshold_ms, took);
        }
    }

    /// Counts the time in which a command that has waited was served. Its call was counted when it began to wait.
    pub(super) fn note_served(
        &self,
        entry: &Entry,
        client: &Client,
        args: &Args<'_>,
        ran: Duration,
        served: &Served,
    ) {
        let shard = self.shared.observer.shard(self.shard as usize);
        let stats = shard.command(entry.number as usize);
        stats.went_on(served.took.as_nanos() as u64, served.failed);
        let took = ran + served.took;
        if self.latency.tracking {
            stats.track_latency(took.as_nanos() as u64);
        }
        self.note_if_slow(entry, client, args, took);
    }

    fn note_if_slow(&self, entry: &Entry, client: &Client, args: &Args<'_>, took: Duration) {
        if SlowLog::wants(took.as_micros() as u64, self.slower_than_us)
            && !entry.spec.flags.contains(Flags::SKIP_SLOWLOG)
        {
            super::admin::note_slow(self.shared, entry.spec, client, args, took);
        }
    }

    pub(super) fn execute(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        self.note_touching(entry, client);
        match entry.run {
            Run::Data(handler) => self.plain(entry, handler, client, args, out),
            Run::Script(invocation) => self.script(entry, invocation, client, args, out),
            Run::Engine(handler) => self.engine_command(handler, client, args, out),
            Run::Exec => self.exec(client, out),
            Run::Container => {
                self.refuse(client, out, &Error::WrongArity(entry.spec.name.into()));
                Flow::Done
            }
        }
    }

    /// CLIENT NO-TOUCH: whether this command's reads count as accesses. TOUCH is there to do just that.
    #[inline]
    pub(super) fn note_touching(&mut self, entry: &Entry, client: &Client) {
        self.buffers.no_touch = client.no_touch && entry.spec.name != "touch";
    }

    /// Runs a command of this layer for a client.
    pub(super) fn engine_command(
        &mut self,
        handler: EngineHandler,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mark = out.len();
        let mut reply = RespWriter::new(out, client.protocol);
        let mut ctx = EngineCtx {
            worker: self,
            client: &mut *client,
            args,
            reply: &mut reply,
            from_script: false,
        };
        let result = catch_unwind(AssertUnwindSafe(|| handler(&mut ctx))).unwrap_or(Err(PANICKED));
        match result {
            Ok(flow) => flow,
            Err(error) => {
                self.answer_error(client, out, mark, &error);
                Flow::Done
            }
        }
    }

    /// Refuses a command for what goes on elsewhere. A refused EXEC takes with it what was queued.
    fn reject(&mut self, entry: &Entry, client: &mut Client, out: &mut Vec<u8>, error: &Error) {
        let shard = self.shared.observer.shard(self.shard as usize);
        shard.command(entry.number as usize).rejected();
        if !matches!(entry.run, Run::Exec) {
            self.refuse(client, out, error);
            return;
        }
        multi::discard_all(self, client);
        let line = error.line();
        let line = line.strip_prefix("ERR ").unwrap_or(&line);
        let line = format!("EXECABORT Transaction discarded because of: {line}");
        self.refuse(client, out, &Error::Other(line.into()));
    }

    /// Answers a request that was not even tried; inside MULTI that spoils the transaction.
    fn refuse(&mut self, client: &mut Client, out: &mut Vec<u8>, error: &Error) {
        if let Some(multi) = client.multi.as_mut() {
            multi.aborted = true;
        }
        let mark = out.len();
        self.answer_error(client, out, mark, error);
    }

    /// Leaves a reply out where the client asked for that.
    pub(super) fn apply_reply_mode(
        client: &mut Client,
        out: &mut Vec<u8>,
        mark: usize,
        flow: Flow,
    ) {
        match client.reply_mode {
            ReplyMode::On => {}
            ReplyMode::Off => out.truncate(mark),
            ReplyMode::SkipNext => {
                out.truncate(mark);
                client.reply_mode = ReplyMode::Skip;
            }
            ReplyMode::Skip if flow == Flow::Parked => {}
            ReplyMode::Skip => {
                out.truncate(mark);
                client.reply_mode = ReplyMode::On;
            }
        }
    }

    /// Whether CLIENT PAUSE holds this request back.
    fn is_paused(entry: &Entry, client: &Client, pause: PauseMode) -> bool {
        let writes = |e: &Entry| {
            e.spec.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE)
                || matches!(e.spec.name, "publish" | "spublish")
                || matches!(e.run, Run::Script(invocation) if !invocation.is_read_only())
        };
        let exempt = matches!(
            entry.spec.name,
            "client|unpause" | "client|pause" | "exec" | "ping"
        );
        match (pause, entry.run) {
            (PauseMode::All, Run::Exec) => true,
            (_, Run::Exec) => client
                .multi
                .as_ref()
                .is_some_and(|m| m.commands.iter().any(|q| writes(q.entry))),
            (PauseMode::All, _) => !exempt,
            _ => writes(entry),
        }
    }

    /// Sends the request to everybody who monitors.
    #[inline]
    pub(super) fn feed_monitors(&self, entry: &Entry, client: &Client, args: &Args<'_>) {
        if self.shared.monitors.load(Ordering::Relaxed) > 0 {
            self.feed_some_monitors(entry, client, args);
        }
    }

    #[cold]
    fn feed_some_monitors(&self, entry: &Entry, client: &Client, args: &Args<'_>) {
        if entry
            .spec
            .flags
            .intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
        {
            return;
        }
        let line: Arc<[u8]> = super::admin::monitor_line(entry.spec, client, args).into();
        self.shared.tell_all(|| Message::Monitor(line.clone()));
    }

    /// Whether parked work waits for what a slow script holds.
    pub(super) fn waits_for_busy(&self, kind: &Kind) -> bool {
        use super::admission::Wait;
        let wait = match kind {
            Kind::Plain { wait, .. } | Kind::Exec { wait, .. } => Some(wait),
            Kind::Paused { .. } | Kind::Timer(_) | Kind::Blocked(_) | Kind::ExecRun(_) => None,
            Kind::Script(work) => work.wait(),
        };
        match wait {
            None => false,
            Some(Wait::Gate(..)) => self.shared.running.is_busy_alone(),
            Some(Wait::Alone(_)) => true,
            Some(Wait::Locks(_, ticket)) => {
                let wanted = ticket.footprint();
                self.shared
                    .running
                    .is_busy(wanted.iter().map(|(f, _): (u64, Mode)| f))
            }
        }
    }
}
