//! What gives pending entries to another consumer: XCLAIM, XAUTOCLAIM.

use super::{is, parse_id, parse_start, read_group, reply_entry, reply_id};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Edit, Notify};
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::{ConsumerKey, GroupKey, IdText, Pending, StreamId};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("xclaim", -6, Group::Stream, Flags::WRITE_FAST)
            .syntax(
                "key group consumer min-idle-time id ... [IDLE ms:integer] \
                 [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] \
                 [LASTID id]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .tips(&["nondeterministic_output"])
            .docs(
                "5.0.0",
                "O(log N) with N being the number of messages in the PEL of the consumer \
                 group.",
                "Changes (or acquires) ownership of a message in a consumer group, as if \
                 the message was delivered to the specified consumer.",
            ),
        xclaim,
    ),
    Command::new(
        Spec::new("xautoclaim", -6, Group::Stream, Flags::WRITE_FAST)
            .syntax("key group consumer min-idle-time start:string [COUNT count] [JUSTID]")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .tips(&["nondeterministic_output"])
            .docs(
                "6.2.0",
                "O(1) if COUNT is small.",
                "Changes (or acquires) ownership of messages in a consumer group, as if \
                 the messages were delivered to the specified consumer.",
            )
            .history(&[(
                "7.0.0",
                "Added an element to the reply array, containing deleted entries the \
                 command cleared from the PEL",
            )]),
        xautoclaim,
    ),
];

/// Who claims, and in which group.
struct Claimer<'a> {
    name: &'a [u8],
    group: GroupKey,
    consumer: &'a [u8],
    /// From the first entry on that it gets.
    key: Option<ConsumerKey>,
    is_new: bool,
}

impl<'a> Claimer<'a> {
    fn new(name: &'a [u8], group: GroupKey, consumer: &'a [u8]) -> Self {
        Self {
            name,
            group,
            consumer,
            key: None,
            is_new: false,
        }
    }

    /// Gives it an entry. A consumer that is not there is added only now.
    fn take(
        &mut self,
        stream: &mut Edit<'_, Stream>,
        id: StreamId,
        delivered_ms: i64,
        deliveries: u64,
    ) {
        let consumer = match self.key {
            Some(key) => key,
            None => self.enter(stream),
        };
        let pending = Pending {
            consumer,
            delivered_ms,
            deliveries,
        };
        stream.deliver(self.name, self.group, id, pending);
    }

    fn enter(&mut self, stream: &mut Edit<'_, Stream>) -> ConsumerKey {
        let known = stream.group(self.group).find_consumer(self.consumer);
        self.is_new = known.is_none();
        let key =
            known.unwrap_or_else(|| stream.add_consumer(self.name, self.group, self.consumer));
        stream.see_consumer(self.name, self.group, key, true);
        self.key = Some(key);
        key
    }
}

fn xclaim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const INVALID_IDLE: Error = Error::text("ERR Invalid min-idle-time argument for XCLAIM");
    let (_, group) = read_group(ctx)?;
    let idle_ms_min = parse_i64(ctx.arg(4)).ok_or(INVALID_IDLE)?.max(0);
    let options = ClaimOptions::parse(ctx.args, ctx.now_ms())?;
    let (key, name, consumer) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let edited = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        let (last_id, read) = (
            stream.group(group).last_id,
            stream.group(group).entries_read,
        );
        if options.last_id > last_id {
            stream.move_group(name, group, options.last_id, read);
        }
        let mut claimer = Claimer::new(name, group, consumer);
        let claimed = claim(stream, &mut claimer, idle_ms_min, &options);
        (claimed, claimer.is_new)
    })?;
    let (claimed, is_new) = edited.unwrap_or_default();
    if is_new {
        ctx.txn.notify(Notify::STREAM, "xgroup-createconsumer", key);
    }
    ctx.reply.array(claimed.len());
    reply_claimed(ctx, &claimed, options.only_ids)
}

/// Claims the entries of a request; returns those that it got.
fn claim(
    stream: &mut Edit<'_, Stream>,
    claimer: &mut Claimer<'_>,
    idle_ms_min: i64,
    options: &ClaimOptions,
) -> Vec<StreamId> {
    let (name, group) = (claimer.name, claimer.group);
    let mut claimed = Vec::new();
    for id in &options.ids {
        let old = stream.group(group).pending().get(id).copied();
        if !stream.contains(*id) {
            stream.acknowledge(name, group, *id);
            continue;
        }
        let is_idle = |old: &Pending| {
            idle_ms_min == 0 || stream.now_ms().saturating_sub(old.delivered_ms) >= idle_ms_min
        };
        let deliveries = match old {
            Some(old) if is_idle(&old) => old.deliveries,
            None if options.force => 1,
            _ => continue,
        };
        let deliveries = match options.deliveries {
            Some(deliveries) => deliveries,
            None => deliveries.wrapping_add(u64::from(!options.only_ids)),
        };
        claimer.take(stream, *id, options.delivered_ms, deliveries);
        claimed.push(*id);
    }
    claimed
}

fn reply_claimed(ctx: &mut Ctx<'_>, claimed: &[StreamId], only_ids: bool) -> Result<(), Error> {
    if only_ids {
        for id in claimed {
            reply_id(ctx.reply, *id);
        }
        return Ok(());
    }
    let stream = ctx.txn.inspect::<Stream>(ctx.args.get(1))?;
    for id in claimed {
        match stream.and_then(|stream| stream.range(*id, *id).next()) {
            Some(entry) => reply_entry(ctx.reply, entry),
            None => unreachable!("only entries that are there are claimed"),
        }
    }
    Ok(())
}

struct ClaimOptions {
    ids: Vec<StreamId>,
    delivered_ms: i64,
    deliveries: Option<u64>,
    force: bool,
    only_ids: bool,
    last_id: StreamId,
}

impl ClaimOptions {
    fn parse(args: Args<'_>, now_ms: i64) -> Result<Self, Error> {
        const INVALID_IDLE: Error = Error::text("ERR Invalid IDLE option argument for XCLAIM");
        const INVALID_TIME: Error = Error::text("ERR Invalid TIME option argument for XCLAIM");
        const INVALID_COUNT: Error =
            Error::text("ERR Invalid RETRYCOUNT option argument for XCLAIM");
        let number = |text: Option<&[u8]>, error: Error| text.and_then(parse_i64).ok_or(error);
        let ids = args.skip(5).iter();
        let ids = ids.map_while(|id| IdText::parse(id)?.or_seq(0));
        let mut parsed = Self {
            ids: ids.collect(),
            delivered_ms: now_ms,
            deliveries: None,
            force: false,
            only_ids: false,
            last_id: StreamId::MIN,
        };
        let mut options = args.skip(5 + parsed.ids.len()).iter();
        let mut delivered_ms = None;
        while let Some(option) = options.next() {
            let has_more = options.len() > 0;
            if is(option, "force") {
                parsed.force = true;
            } else if is(option, "justid") {
                parsed.only_ids = true;
            } else if is(option, "idle") && has_more {
                let idle_ms = number(options.next(), INVALID_IDLE)?;
                delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
            } else if is(option, "time") && has_more {
                delivered_ms = Some(number(options.next(), INVALID_TIME)?);
            } else if is(option, "retrycount") && has_more {
                let count = number(options.next(), INVALID_COUNT)?;
                parsed.deliveries = u64::try_from(count).ok();
            } else if is(option, "lastid") && has_more {
                parsed.last_id = parse_id(options.next().unwrap_or_default(), 0)?;
            } else {
                let option = super::shown(option);
                let line = format!("ERR Unrecognized XCLAIM option '{option}'");
                return Err(Error::Other(line.into()));
            }
        }
        // A time that cannot be is taken for now: it may come from a clock that goes differently.
        let possible = delivered_ms.filter(|ms| (0..=now_ms).contains(ms));
        parsed.delivered_ms = possible.unwrap_or(now_ms);
        Ok(parsed)
    }
}

/// What XAUTOCLAIM did: what it got, what it found gone, and where the next call is to go on.
#[derive(Default)]
struct Swept {
    claimed: Vec<StreamId>,
    gone: Vec<StreamId>,
    next: StreamId,
}

fn xautoclaim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const TOO_MANY: Error =
        Error::text("ERR Insufficient memory, failed allocating transient memory, COUNT too high.");
    // Redis allocates as many ids of 16 bytes, for which it never has more than there are addresses.
    const IDS_MAX: usize = (1 << 47) / 16;
    const INVALID_IDLE: Error = Error::text("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    let idle_ms_min = parse_i64(ctx.arg(4)).ok_or(INVALID_IDLE)?.max(0);
    let start = parse_start(ctx.arg(5))?;
    let (count, only_ids) = sweep_options(ctx.args.skip(6))?;
    let (_, group) = read_group(ctx)?;
    if count >= IDS_MAX {
        return Err(TOO_MANY);
    }
    let (key, name, consumer) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let edited = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        let mut claimer = Claimer::new(name, group, consumer);
        let swept = sweep(stream, &mut claimer, start, (idle_ms_min, count, only_ids));
        (swept, claimer.is_new)
    })?;
    let (swept, is_new) = edited.unwrap_or_default();
    if is_new {
        ctx.txn.notify(Notify::STREAM, "xgroup-createconsumer", key);
    }
    ctx.reply.array(3);
    reply_id(ctx.reply, swept.next);
    ctx.reply.array(swept.claimed.len());
    reply_claimed(ctx, &swept.claimed, only_ids)?;
    ctx.reply.array(swept.gone.len());
    for id in &swept.gone {
        reply_id(ctx.reply, *id);
    }
    Ok(())
}

/// Claims idle entries from an id on; those that are gone from the stream are forgotten.
fn sweep(
    stream: &mut Edit<'_, Stream>,
    claimer: &mut Claimer<'_>,
    start: StreamId,
    (idle_ms_min, count, only_ids): (i64, usize, bool),
) -> Swept {
    /// Pending entries that are looked at for each that may be answered.
    const ATTEMPTS: usize = 10;
    let (name, group) = (claimer.name, claimer.group);
    let mut swept = Swept::default();
    let (mut at, mut attempts) = (Some(start), count.saturating_mul(ATTEMPTS));
    let next = |stream: &Edit<'_, Stream>, at: Option<StreamId>| {
        let pending = stream.group(group).pending();
        let found = pending.range(at?..).next();
        found.map(|(id, pending)| (*id, *pending))
    };
    while attempts > 0 && swept.claimed.len() + swept.gone.len() < count {
        let Some((id, old)) = next(stream, at) else {
            break;
        };
        (at, attempts) = (id.next(), attempts - 1);
        if !stream.contains(id) {
            stream.acknowledge(name, group, id);
            swept.gone.push(id);
            continue;
        }
        if idle_ms_min > 0 && stream.now_ms().saturating_sub(old.delivered_ms) < idle_ms_min {
            continue;
        }
        let deliveries = old.deliveries.wrapping_add(u64::from(!only_ids));
        let now_ms = stream.now_ms();
        claimer.take(stream, id, now_ms, deliveries);
        swept.claimed.push(id);
    }
    swept.next = next(stream, at).map_or(StreamId::MIN, |(id, _)| id);
    swept
}

/// How many entries are wanted, and whether only their ids.
fn sweep_options(args: Args<'_>) -> Result<(usize, bool), Error> {
    const NOT_POSITIVE: Error = Error::text("ERR COUNT must be > 0");
    const COUNT: usize = 100;
    const COUNT_MAX: i64 = i64::MAX / 16;
    let (mut count, mut only_ids) = (COUNT, false);
    let mut options = args.iter();
    while let Some(option) = options.next() {
        if is(option, "count") && options.len() > 0 {
            let most = options.next().and_then(parse_i64).ok_or(NOT_POSITIVE)?;
            if !(1..=COUNT_MAX).contains(&most) {
                return Err(NOT_POSITIVE);
            }
            count = most as usize;
        } else if is(option, "justid") {
            only_ids = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((count, only_ids))
}
