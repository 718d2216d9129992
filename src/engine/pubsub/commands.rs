//! SUBSCRIBE, UNSUBSCRIBE, PUBLISH, their kinds for patterns and shard channels, and PUBSUB.

use super::{Kind, Name, Subscriptions};
use crate::command::{Channels, Command, Error, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::engine::client::{Client, ClientFlags};
use crate::engine::registry::{EngineCtx, EngineHandler, Entry};
use crate::engine::worker::{Flow, Worker};
use crate::keyspace::Txn;
use crate::resp::Reply;
use std::sync::atomic::Ordering;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
const INFO: Flags = Flags::PUBSUB.union(ANYTIME);
const PUBLISH: Flags = INFO.union(Flags::FAST);
const SUBSCRIBE: Flags = INFO.union(Flags::NOSCRIPT);

/// Shard channels, which in a cluster would be found as keys are.
const SHARD_CHANNEL: &[KeySpec] = &[KeySpec::one(1, KeyFlags::NOT_KEY)];
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::rest(1, 1, KeyFlags::NOT_KEY)];

#[rustfmt::skip]
pub static COMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        spec("subscribe", -2, SUBSCRIBE, "2.0.0", "O(N) where N is the number of channels to subscribe to.",
            "Listen for messages published to the given channels")
            .syntax("channel ...").channels(Channels::All),
        |ctx| subscribe(ctx, Kind::Channel)),
    Command::new(
        spec("unsubscribe", -1, SUBSCRIBE, "2.0.0",
            "O(N) where N is the number of clients already subscribed to a channel.",
            "Stop listening for messages posted to the given channels")
            .syntax("[channel ...]"),
        |ctx| unsubscribe(ctx, Kind::Channel)),
    Command::new(
        spec("psubscribe", -2, SUBSCRIBE, "2.0.0",
            "O(N) where N is the number of patterns the client is already subscribed to.",
            "Listen for messages published to channels matching the given patterns")
            .syntax("<pattern: pattern>...").channels(Channels::Patterns),
        |ctx| subscribe(ctx, Kind::Pattern)),
    Command::new(
        spec("punsubscribe", -1, SUBSCRIBE, "2.0.0",
            "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of total \
             patterns subscribed in the system (by any client).",
            "Stop listening for messages posted to channels matching the given patterns")
            .syntax("[pattern ...]"),
        |ctx| unsubscribe(ctx, Kind::Pattern)),
    Command::new(
        spec("ssubscribe", -2, SUBSCRIBE, "7.0.0", "O(N) where N is the number of shard channels to subscribe to.",
            "Listen for messages published to the given shard channels")
            .syntax("shardchannel ...").keys(SHARD_CHANNELS).channels(Channels::All),
        |ctx| subscribe(ctx, Kind::Shard)),
    Command::new(
        spec("sunsubscribe", -1, SUBSCRIBE, "7.0.0",
            "O(N) where N is the number of clients already subscribed to a shard channel.",
            "Stop listening for messages posted to the given shard channels")
            .syntax("[shardchannel ...]").keys(SHARD_CHANNELS),
        |ctx| unsubscribe(ctx, Kind::Shard)),
    Command::new(
        spec("publish", 3, PUBLISH, "2.0.0",
            "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of \
             subscribed patterns (by any client).",
            "Post a message to a channel")
            .syntax("channel message").channels(Channels::One),
        |ctx| publish(ctx, false)),
    Command::new(
        spec("spublish", 3, PUBLISH, "7.0.0",
            "O(N) where N is the number of clients subscribed to the receiving shard channel.",
            "Post a message to a shard channel")
            .syntax("shardchannel message").keys(SHARD_CHANNEL).channels(Channels::One),
        |ctx| publish(ctx, true)),
    Command::container(
        spec("pubsub", -2, Flags::empty(), "2.8.0", "Depends on subcommand.", "A container for Pub/Sub commands"),
        SUBCOMMANDS),
];

#[rustfmt::skip]
static SUBCOMMANDS: &[Command<EngineHandler>] = &[
    Command::new(
        spec("pubsub|channels", -2, INFO, "2.8.0",
            "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively \
             short channels and patterns)",
            "List active channels")
            .syntax("[pattern]"),
        |ctx| active(ctx, Kind::Channel)),
    Command::new(
        spec("pubsub|numpat", 2, INFO, "2.8.0", "O(1)", "Get the count of unique patterns pattern subscriptions"),
        numpat),
    Command::new(
        spec("pubsub|numsub", -2, INFO, "2.8.0",
            "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
            "Get the count of subscribers for channels")
            .syntax("[channel ...]"),
        |ctx| numsub(ctx, Kind::Channel)),
    Command::new(
        spec("pubsub|shardchannels", -2, INFO, "7.0.0",
            "O(N) where N is the number of active shard channels, and assuming constant time pattern matching \
             (relatively short shard channels).",
            "List active shard channels")
            .syntax("[pattern]"),
        |ctx| active(ctx, Kind::Shard)),
    Command::new(
        spec("pubsub|shardnumsub", -2, INFO, "7.0.0",
            "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
            "Get the count of subscribers for shard channels")
            .syntax("[shardchannel ...]"),
        |ctx| numsub(ctx, Kind::Shard)),
    Command::new(
        spec("pubsub|help", 2, ANYTIME, "6.2.0", "O(1)", "Show helpful text about the different subcommands"),
        pubsub_help),
];

const fn spec(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::new(name, arity, Group::Pubsub, flags).docs(since, complexity, summary)
}

/// Whether a client of RESP2 may send this while it is subscribed: there is no telling a reply from a message otherwise.
pub fn may_run_subscribed(entry: &Entry) -> bool {
    is_subscription(entry) || matches!(entry.spec.name, "ping" | "quit" | "reset")
}

/// Whether the command answers with pushes, which CLIENT REPLY does not keep back.
pub fn is_subscription(entry: &Entry) -> bool {
    entry.spec.flags.contains(SUBSCRIBE)
}

fn subscribe(ctx: &mut EngineCtx<'_>, kind: Kind) -> Result<Flow, Error> {
    if kind == Kind::Shard && ctx.worker.in_exec {
        return Err(Error::text(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    let (shared, shard) = (ctx.worker.shared, ctx.worker.shard);
    if ctx.client.subscriptions.is_none() {
        ctx.client.subscriptions = Some(Box::default());
        ctx.client.info.set_flag(ClientFlags::PUBSUB, true);
        ctx.worker.stats().pubsub_clients.raise();
    }
    let conn = ctx.client.conn;
    let names = ctx.args.skip(1);
    for name in names.iter() {
        let Some(subscriptions) = ctx.client.subscriptions.as_deref_mut() else {
            unreachable!("made above");
        };
        if !subscriptions.of(kind).contains(name) {
            let name = Name::from(name);
            ctx.worker.subscribers.add(kind, &name, conn);
            shared.channels.add(kind, &name, shard);
            subscriptions.of_mut(kind).insert(name);
        }
        let count = subscriptions.count(kind);
        answer(ctx.reply, kind.subscribed(), Some(name), count);
    }
    count_subscriptions(ctx.client);
    Ok(Flow::Done)
}

fn unsubscribe(ctx: &mut EngineCtx<'_>, kind: Kind) -> Result<Flow, Error> {
    let none = Subscriptions::default();
    let all: Vec<Name> = if ctx.args.len() == 1 {
        let subscriptions = ctx.client.subscriptions.as_deref().unwrap_or(&none);
        subscriptions.of(kind).iter().cloned().collect()
    } else {
        ctx.args.iter().skip(1).map(Name::from).collect()
    };
    let mut left = ctx.client.subscriptions.take();
    for name in &all {
        let count = left.as_deref_mut().map_or(0, |subscriptions| {
            remove(ctx.worker, ctx.client.conn, subscriptions, kind, name);
            subscriptions.count(kind)
        });
        answer(ctx.reply, kind.unsubscribed(), Some(name), count);
    }
    if all.is_empty() {
        let count = left.as_deref().map_or(0, |left| left.count(kind));
        answer(ctx.reply, kind.unsubscribed(), None, count);
    }
    put_back(ctx.worker, ctx.client, left);
    Ok(Flow::Done)
}

/// Ends all subscriptions, for RESET and for a client that leaves.
pub fn leave_all(worker: &mut Worker, client: &mut Client) {
    let Some(mut subscriptions) = client.subscriptions.take() else {
        return;
    };
    for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
        let names: Vec<Name> = subscriptions.of(kind).iter().cloned().collect();
        for name in &names {
            remove(worker, client.conn, &mut subscriptions, kind, name);
        }
    }
    put_back(worker, client, Some(subscriptions));
}

fn remove(
    worker: &mut Worker,
    conn: u64,
    subscriptions: &mut Subscriptions,
    kind: Kind,
    name: &Name,
) {
    if subscriptions.of_mut(kind).remove(name) {
        worker.shared.channels.remove(kind, name, worker.shard);
        worker.subscribers.remove(kind, name, conn);
    }
}

/// Gives a client the subscriptions that it has left, if there are any.
fn put_back(worker: &Worker, client: &mut Client, left: Option<Box<Subscriptions>>) {
    let had_some = left.is_some();
    client.subscriptions = left.filter(|left| !left.is_empty());
    if had_some && client.subscriptions.is_none() {
        client.info.set_flag(ClientFlags::PUBSUB, false);
        worker.stats().pubsub_clients.lower();
    }
    count_subscriptions(client);
}

/// Has CLIENT LIST show how many there are.
fn count_subscriptions(client: &Client) {
    let none = Subscriptions::default();
    let subscriptions = client.subscriptions.as_deref().unwrap_or(&none);
    let shown = &client.info.subscriptions;
    for (cell, kind) in shown
        .iter()
        .zip([Kind::Channel, Kind::Pattern, Kind::Shard])
    {
        cell.store(subscriptions.of(kind).len(), Ordering::Relaxed);
    }
}

fn answer(reply: &mut dyn Reply, what: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(what.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

impl Kind {
    fn subscribed(self) -> &'static str {
        match self {
            Kind::Channel => "subscribe",
            Kind::Pattern => "psubscribe",
            Kind::Shard => "ssubscribe",
        }
    }

    fn unsubscribed(self) -> &'static str {
        match self {
            Kind::Channel => "unsubscribe",
            Kind::Pattern => "punsubscribe",
            Kind::Shard => "sunsubscribe",
        }
    }
}

fn publish(ctx: &mut EngineCtx<'_>, sharded: bool) -> Result<Flow, Error> {
    let (channel, payload) = (ctx.args.get(1), ctx.args.get(2));
    let worker = &mut *ctx.worker;
    let clients = if ctx.from_script || worker.in_exec {
        let shared = worker.shared;
        let mut txn = Txn::new(shared.keyspace, &mut worker.buffers, 0, worker.now_ms);
        txn.publish(channel, payload, sharded);
        shared.channels.receivers(channel, sharded).clients
    } else {
        worker.outbox.publish(channel, payload, sharded)
    };
    ctx.reply.integer(clients as i64);
    Ok(Flow::Done)
}

fn active(ctx: &mut EngineCtx<'_>, kind: Kind) -> Result<Flow, Error> {
    if ctx.args.len() > 3 {
        return Err(Error::Other(wrong_arguments(ctx).into()));
    }
    let channels = &ctx.worker.shared.channels;
    let names = channels.active(kind, ctx.args.try_get(2));
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(&name);
    }
    Ok(Flow::Done)
}

fn wrong_arguments(ctx: &EngineCtx<'_>) -> String {
    let sub = String::from_utf8_lossy(ctx.args.get(1));
    format!("ERR unknown subcommand or wrong number of arguments for '{sub}'. Try PUBSUB HELP.")
}

fn numsub(ctx: &mut EngineCtx<'_>, kind: Kind) -> Result<Flow, Error> {
    let channels = &ctx.worker.shared.channels;
    let names = ctx.args.skip(2);
    ctx.reply.array(names.len() * 2);
    for name in names.iter() {
        ctx.reply.bulk(name);
        let count = channels.subscribers(kind, name);
        ctx.reply.integer(count as i64);
    }
    Ok(Flow::Done)
}

fn numpat(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    let patterns = ctx.worker.shared.channels.len(Kind::Pattern);
    ctx.reply.integer(patterns as i64);
    Ok(Flow::Done)
}

fn pubsub_help(ctx: &mut EngineCtx<'_>) -> Result<Flow, Error> {
    crate::engine::admin::help(ctx, "PUBSUB", HELP)
}

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];
