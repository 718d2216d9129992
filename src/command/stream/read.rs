//! What reads several streams from an id on, and may wait for more: XREAD, XREADGROUP.

use super::{is, parse_id, reply_entry, reply_id, shown};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::command::waiting::{Awaited, Wish};
use crate::keyspace::{Absent, Edit, Notify};
use crate::resp::{Args, Protocol};
use crate::value::Stream;
use crate::value::stream::{GroupKey, IdBuffer, Pending, StreamId};
use std::ops::Range;
use std::time::Duration;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new(
            "xread",
            -4,
            Group::Stream,
            Flags::READONLY
                .union(Flags::BLOCKING)
                .union(Flags::MOVABLE_KEYS),
        )
        .syntax("[COUNT count] [BLOCK milliseconds] STREAMS <streams: key ... id ...>")
        .keys(&[KeySpec {
            flags: KeyFlags::READ,
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 1,
            },
            find: Find::FirstHalf,
        }])
        .docs(
            "5.0.0",
            "For each stream mentioned: O(N) with N being the number of elements \
             being returned, it means that XREAD-ing with a fixed COUNT is O(1). Note \
             that when the BLOCK option is used, XADD will pay O(M) time in order to \
             serve the M clients blocked on the stream getting new data.",
            "Return never seen elements in multiple streams, with IDs greater than \
             the ones reported by the caller for each stream. Can block.",
        ),
        xread,
    ),
    Command::new(
        Spec::new(
            "xreadgroup",
            -7,
            Group::Stream,
            Flags::WRITE
                .union(Flags::BLOCKING)
                .union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "GROUP <group consumer> [COUNT count] [BLOCK milliseconds] [NOACK] \
             STREAMS <streams: key ... id ...>",
        )
        .keys(&[KeySpec {
            flags: KeyFlags::READ.union(KeyFlags::WRITES),
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 4,
            },
            find: Find::FirstHalf,
        }])
        .docs(
            "5.0.0",
            "For each stream mentioned: O(M) with M being the number of elements \
             returned. If M is constant (e.g. always asking for the first 10 elements \
             with COUNT), you can consider it O(1). On the other side when XREADGROUP \
             blocks, XADD will pay the O(N) time in order to serve the N clients \
             blocked on the stream getting new data.",
            "Return new entries from a stream using a consumer group, or access the \
             history of the pending entries for a given consumer. Can block.",
        ),
        xreadgroup,
    ),
];

/// What is read from one stream: the argument that is its key, and what the answer has of it.
struct Found {
    key_at: usize,
    entries: Entries,
}

enum Entries {
    /// So many from an id on.
    From { start: StreamId, count: usize },
    /// These, of which some may be gone.
    Named(Vec<StreamId>),
}

fn xread(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = Request::parse(ctx, false)?;
    let keys = ctx.keys_to_try(request.keys.clone());
    let starts = keys
        .clone()
        .map(|key_at| read_after(ctx, &request, key_at))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut found = Vec::new();
    for (key_at, (after, _)) in keys.zip(&starts) {
        let (Some(stream), Some(start)) =
            (ctx.txn.read::<Stream>(ctx.args.get(key_at))?, after.next())
        else {
            continue;
        };
        let count = stream.count(start, StreamId::MAX, request.most);
        if count > 0 {
            let entries = Entries::From { start, count };
            found.push(Found { key_at, entries });
        }
    }
    if !found.is_empty() {
        return reply_found(ctx, &found);
    }
    let Some(Timeout(timeout)) = request.timeout else {
        ctx.reply.null_array();
        return Ok(());
    };
    let mut wish = Wish::new(request.keys.clone(), Awaited::Stream, timeout);
    if !ctx.is_retry() {
        for (key_at, (after, is_relative)) in request.keys.clone().zip(&starts) {
            if *is_relative {
                wish.resolve(
                    request.id_at(key_at),
                    after.text(&mut IdBuffer::default()).to_vec(),
                );
            }
        }
    }
    if !ctx.wait_for_data(wish) {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The id after which XREAD is to read, and whether it depends on the moment.
fn read_after(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    key_at: usize,
) -> Result<(StreamId, bool), Error> {
    const ONLY_IN_GROUP: Error = Error::text(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
         option.",
    );
    let stream = ctx.txn.read::<Stream>(ctx.args.get(key_at))?;
    match ctx.args.get(request.id_at(key_at)) {
        b"$" => Ok((stream.map_or(StreamId::MIN, Stream::last_id), true)),
        // The last entry there is, or else the next one.
        b"+" => {
            let last = stream.and_then(|stream| stream.last()?.id.previous());
            let next = stream.map_or(StreamId::MIN, Stream::last_id);
            Ok((last.unwrap_or(next), true))
        }
        b">" => Err(ONLY_IN_GROUP),
        id => Ok((parse_id(id, 0)?, false)),
    }
}

fn xreadgroup(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = Request::parse(ctx, true)?;
    let keys = ctx.keys_to_try(request.keys.clone());
    let mut starts = Vec::with_capacity(keys.len());
    for key_at in keys.clone() {
        starts.push(group_start(ctx, &request, key_at)?);
    }
    let mut found = Vec::new();
    for (key_at, (group, after)) in keys.zip(starts) {
        let key = ctx.arg(key_at);
        // As Redis does, which looks the key up once more.
        let has_new = match ctx.txn.read::<Stream>(key)? {
            Some(stream) => stream
                .last()
                .is_some_and(|last| last.id > stream.group(group).last_id),
            None => false,
        };
        if after.is_none() && !has_new {
            continue;
        }
        let served = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
            serve(stream, &request, group, after)
        })?;
        if let Some((entries, is_new)) = served {
            if is_new {
                ctx.txn.notify(Notify::STREAM, "xgroup-createconsumer", key);
            }
            found.push(Found { key_at, entries });
        }
    }
    if !found.is_empty() {
        return reply_found(ctx, &found);
    }
    let wish = request
        .timeout
        .map(|Timeout(timeout)| Wish::new(request.keys.clone(), Awaited::StreamGroup, timeout));
    if !wish.is_some_and(|wish| ctx.wait_for_data(wish)) {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The group of a key, and the id after which its consumer's history is wanted (`None`: new entries).
fn group_start(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    key_at: usize,
) -> Result<(GroupKey, Option<StreamId>), Error> {
    const KEY_GONE: Error = Error::text("UNBLOCKED the stream key no longer exists");
    const GROUP_GONE: Error =
        Error::text("NOGROUP the consumer group this client was blocked on no longer exists");
    const NO_DOLLAR: Error = Error::text(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
         consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
         return an empty result set.",
    );
    const NO_PLUS: Error = Error::text(
        "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this \
         consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just \
         return an empty result set.",
    );
    let (key, is_retry) = (ctx.arg(key_at), ctx.is_retry());
    let stream = ctx.txn.read::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.find_group(request.group));
    let Some(group) = group else {
        return Err(match (is_retry, stream) {
            (true, None) => KEY_GONE,
            (true, Some(_)) => GROUP_GONE,
            (false, _) => {
                let (key, group) = (shown(key), shown(request.group));
                let line = format!(
                    "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
                );
                Error::Other(line.into())
            }
        });
    };
    match ctx.arg(request.id_at(key_at)) {
        b"$" => Err(NO_DOLLAR),
        b"+" => Err(NO_PLUS),
        b">" => Ok((group, None)),
        // Redis tells the highest id from `>` no more.
        id => Ok((
            group,
            Some(parse_id(id, 0)?).filter(|id| *id != StreamId::MAX),
        )),
    }
}

/// Gives a consumer its history after an id, or new entries. Tells also whether the consumer is new.
fn serve(
    stream: &mut Edit<'_, Stream>,
    request: &Request<'_>,
    group: GroupKey,
    after: Option<StreamId>,
) -> (Entries, bool) {
    let name = request.group;
    let known = stream.group(group).find_consumer(request.consumer);
    let consumer = known.unwrap_or_else(|| stream.add_consumer(name, group, request.consumer));
    if let Some(after) = after {
        stream.see_consumer(name, group, consumer, false);
        let history = stream.group(group).consumer(consumer).pending();
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let ids = history.range(from).take(request.most).copied();
        let ids: Vec<StreamId> = ids.collect();
        for id in &ids {
            let old = stream.group(group).pending().get(id).copied();
            if let Some(old) = old.filter(|_| stream.contains(*id)) {
                let again = Pending {
                    delivered_ms: stream.now_ms(),
                    deliveries: old.deliveries.wrapping_add(1),
                    ..old
                };
                stream.deliver(name, group, *id, again);
            }
        }
        return (Entries::Named(ids), known.is_none());
    }
    stream.see_consumer(name, group, consumer, true);
    let last_id = stream.group(group).last_id;
    let start = last_id.next().unwrap_or(StreamId::MAX);
    let ids = stream.range(start, StreamId::MAX).take(request.most);
    let ids: Vec<StreamId> = ids.map(|entry| entry.id).collect();
    let mut read = stream.group(group).entries_read;
    for id in &ids {
        read = match read {
            Some(read) if !stream.has_gap_from(*id) => Some(read.wrapping_add(1)),
            read if stream.counters().added == 0 => read,
            _ => stream.added_up_to(*id),
        };
    }
    if let Some(last) = ids.last() {
        stream.move_group(name, group, *last, read);
    }
    if !request.no_ack {
        for id in &ids {
            let pending = Pending {
                consumer,
                delivered_ms: stream.now_ms(),
                deliveries: 1,
            };
            stream.deliver(name, group, *id, pending);
        }
    }
    let count = ids.len();
    (Entries::From { start, count }, known.is_none())
}

fn reply_found(ctx: &mut Ctx<'_>, found: &[Found]) -> Result<(), Error> {
    let is_map = ctx.reply.protocol() == Protocol::Resp3;
    if is_map {
        ctx.reply.map(found.len());
    } else {
        ctx.reply.array(found.len());
    }
    for Found { key_at, entries } in found {
        let key = ctx.args.get(*key_at);
        if !is_map {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(key);
        let Some(stream) = ctx.txn.inspect::<Stream>(key)? else {
            unreachable!("entries of it were found");
        };
        match entries {
            Entries::From { start, count } => {
                ctx.reply.array(*count);
                let entries = stream.range(*start, StreamId::MAX).take(*count);
                entries.for_each(|entry| reply_entry(ctx.reply, entry));
            }
            Entries::Named(ids) => {
                ctx.reply.array(ids.len());
                for id in ids {
                    if let Some(entry) = stream.range(*id, *id).next() {
                        reply_entry(ctx.reply, entry);
                    } else {
                        ctx.reply.array(2);
                        reply_id(ctx.reply, *id);
                        ctx.reply.null_array();
                    }
                }
            }
        }
    }
    Ok(())
}

/// How long to wait; `None`: for ever.
#[derive(Clone, Copy)]
struct Timeout(Option<Duration>);

impl Timeout {
    fn parse(ctx: &Ctx<'_>, at: usize) -> Result<Self, Error> {
        if ctx.is_in_script() {
            let name = shown(ctx.arg(0));
            let line = format!("ERR {name} command is not allowed with BLOCK option from scripts");
            return Err(Error::Other(line.into()));
        }
        ctx.timeout_ms(at).map(Self)
    }
}

/// A request, but for its keys and ids.
struct Request<'a> {
    /// Entries of one stream.
    most: usize,
    /// `None`: it does not wait.
    timeout: Option<Timeout>,
    group: &'a [u8],
    consumer: &'a [u8],
    no_ack: bool,
    /// The arguments that are keys; as many ids follow.
    keys: Range<usize>,
}

impl<'a> Request<'a> {
    fn id_at(&self, key_at: usize) -> usize {
        key_at + self.keys.len()
    }

    fn parse(ctx: &Ctx<'a>, in_group: bool) -> Result<Self, Error> {
        const NO_GROUP_OPTION: Error = Error::text(
            "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const NO_NOACK_OPTION: Error = Error::text(
            "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const NO_GROUP: Error = Error::text("ERR Missing GROUP option for XREADGROUP");
        let args = ctx.args;
        let mut request = Self {
            most: usize::MAX,
            timeout: None,
            group: b"",
            consumer: b"",
            no_ack: false,
            keys: 0..0,
        };
        let (mut at, mut has_group) = (1, false);
        while at < args.len() {
            let (option, more) = (args.get(at), args.len() - 1 - at);
            if is(option, "block") && more > 0 {
                request.timeout = Some(Timeout::parse(ctx, at + 1)?);
                at += 2;
            } else if is(option, "count") && more > 0 {
                let count = parse_i64(args.get(at + 1)).ok_or(Error::NotInteger)?;
                // None stands for any number of them.
                request.most = usize::try_from(count)
                    .ok()
                    .filter(|c| *c > 0)
                    .unwrap_or(usize::MAX);
                at += 2;
            } else if is(option, "streams") && more > 0 {
                request.keys = keys_from(args, at + 1)?;
                break;
            } else if is(option, "group") && more > 1 {
                if !in_group {
                    return Err(NO_GROUP_OPTION);
                }
                (request.group, request.consumer) = (args.get(at + 1), args.get(at + 2));
                has_group = true;
                at += 3;
            } else if is(option, "noack") {
                if !in_group {
                    return Err(NO_NOACK_OPTION);
                }
                request.no_ack = true;
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
        }
        if request.keys.is_empty() {
            return Err(Error::Syntax);
        }
        if in_group && !has_group {
            return Err(NO_GROUP);
        }
        Ok(request)
    }
}

/// The first half of the arguments from `at` on; the second are the ids.
fn keys_from(args: Args<'_>, at: usize) -> Result<Range<usize>, Error> {
    const UNBALANCED: Error = Error::text(
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
    );
    let count = args.len() - at;
    if count.is_multiple_of(2) {
        Ok(at..at + count / 2)
    } else {
        Err(UNBALANCED)
    }
}
