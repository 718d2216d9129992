//! XPENDING: what was delivered and not acknowledged.

use super::{is, parse_end, parse_start, read_group, reply_id};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, KeyFlags, KeySpec, Spec};
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::{Group, Pending, StreamId};

pub static COMMANDS: &[Command<Handler>] = &[Command::new(
    Spec::new(
        "xpending",
        -3,
        crate::command::spec::Group::Stream,
        Flags::READONLY,
    )
    .syntax(
        "key group \
         [filters: [IDLE min-idle-time:integer]@6.2.0 start:string end:string \
         count [consumer]]",
    )
    .keys(&[KeySpec::one(1, KeyFlags::READ)])
    .tips(&["nondeterministic_output"])
    .docs(
        "5.0.0",
        "O(N) with N being the number of elements returned, so asking for a small \
         fixed number of entries per call is O(1). O(M), where M is the total \
         number of entries scanned when used with the IDLE filter. When the \
         command returns just the summary and the list of consumers is small, it \
         runs in O(1) time; otherwise, an additional O(N) time for iterating \
         every consumer.",
        "Return information and entries from a stream consumer group pending \
         entries list, that are messages fetched but never acknowledged.",
    )
    .history(&[(
        "6.2.0",
        "Added the `IDLE` option and exclusive range intervals.",
    )]),
    xpending,
)];

fn xpending(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let filter = match ctx.args.len() {
        3 => None,
        6..=9 => Some(Filter::parse(ctx.args)?),
        _ => return Err(Error::Syntax),
    };
    let now_ms = ctx.now_ms();
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    read_group(ctx)?;
    let Some(stream) = ctx.txn.inspect::<Stream>(key)? else {
        unreachable!("its group was found");
    };
    let Some(group) = stream.find_group(name).map(|group| stream.group(group)) else {
        unreachable!("it was found");
    };
    match filter {
        None => summary(ctx.reply, group),
        Some(filter) => filter.reply(ctx.reply, group, now_ms),
    }
    Ok(())
}

fn summary(reply: &mut dyn crate::resp::Reply, group: &Group) {
    let pending = group.pending();
    reply.array(4);
    reply.integer(pending.len() as i64);
    let (Some((first, _)), Some((last, _))) = (pending.first_key_value(), pending.last_key_value())
    else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, *first);
    reply_id(reply, *last);
    let busy = || {
        let consumers = group.consumers().map(|(_, consumer)| consumer);
        consumers.filter(|consumer| !consumer.pending().is_empty())
    };
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(&consumer.name);
        reply.bulk_int(consumer.pending().len() as i64);
    }
}

/// Which pending entries are asked for.
struct Filter<'a> {
    idle_ms_min: i64,
    start: StreamId,
    end: StreamId,
    most: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Error> {
        let (mut at, mut idle_ms_min) = (3, 0);
        if is(args.get(3), "idle") {
            idle_ms_min = parse_i64(args.get(4)).ok_or(Error::NotInteger)?;
            if args.len() < 8 {
                return Err(Error::Syntax);
            }
            at = 5;
        }
        let most = parse_i64(args.get(at + 2)).ok_or(Error::NotInteger)?;
        Ok(Self {
            idle_ms_min,
            start: parse_start(args.get(at))?,
            end: parse_end(args.get(at + 1))?,
            most: usize::try_from(most).unwrap_or(0),
            consumer: args.try_get(at + 3),
        })
    }

    fn reply(&self, reply: &mut dyn crate::resp::Reply, group: &Group, now_ms: i64) {
        let found = self.find(group, now_ms);
        reply.array(found.len());
        for (id, pending) in found {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(&group.consumer(pending.consumer).name);
            reply.integer(now_ms.saturating_sub(pending.delivered_ms).max(0));
            reply.integer(pending.deliveries as i64);
        }
    }

    fn find(&self, group: &Group, now_ms: i64) -> Vec<(StreamId, Pending)> {
        if self.start > self.end {
            return Vec::new();
        }
        let is_idle = |pending: &Pending| {
            self.idle_ms_min == 0 || now_ms.saturating_sub(pending.delivered_ms) >= self.idle_ms_min
        };
        let range = self.start..=self.end;
        match self.consumer {
            None => {
                let all = group
                    .pending()
                    .range(range)
                    .map(|(id, pending)| (*id, *pending));
                let idle = all.filter(|(_, pending)| is_idle(pending));
                idle.take(self.most).collect()
            }
            Some(name) => {
                let consumer = group.find_consumer(name).map(|key| group.consumer(key));
                let ids = consumer
                    .into_iter()
                    .flat_map(|c| c.pending().range(range.clone()));
                let own = ids.filter_map(|id| Some((*id, *group.pending().get(id)?)));
                let idle = own.filter(|(_, pending)| is_idle(pending));
                idle.take(self.most).collect()
            }
        }
    }
}
