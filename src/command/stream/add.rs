//! What fills and empties a stream: XADD, XTRIM, XDEL, XSETID.

use super::{is, parse_id, reply_id};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Notify};
use crate::resp::Args;
use crate::value::stream::{Counters, IdText, StreamId, Trim, Until};
use crate::value::{Limits, Listpack, Stream};

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("xadd", -5, Group::Stream, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key [NOMKSTREAM]@6.2.0 \
                 [trim: <strategy: MAXLEN | MINID@6.2.0> \
                 [operator: =:equal | ~:approximately] threshold [LIMIT count]@6.2.0] \
                 <id_or_auto: *:auto_id | id> <field value>...",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .key_notes(&["UPDATE instead of INSERT because of the optional trimming feature"])
            .tips(&["nondeterministic_output"])
            .docs(
                "5.0.0",
                "O(1) when adding a new entry, O(N) when trimming where N being the \
                 number of entries evicted.",
                "Appends a new entry to a stream",
            )
            .history(&[
                (
                    "6.2.0",
                    "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` \
                     option.",
                ),
                ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
            ]),
        xadd,
    ),
    Command::new(
        Spec::new("xtrim", -4, Group::Stream, Flags::WRITE)
            .syntax(
                "key \
                 <trim: <strategy: MAXLEN | MINID@6.2.0> \
                 [operator: =:equal | ~:approximately] threshold [LIMIT count]@6.2.0>",
            )
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .tips(&["nondeterministic_output"])
            .docs(
                "5.0.0",
                "O(N), with N being the number of evicted entries. Constant times are \
                 very small however, since entries are organized in macro nodes \
                 containing multiple entries that can be released with a single \
                 deallocation.",
                "Trims the stream to (approximately if '~' is passed) a certain size",
            )
            .history(&[(
                "6.2.0",
                "Added the `MINID` trimming strategy and the `LIMIT` option.",
            )]),
        xtrim,
    ),
    Command::new(
        Spec::new("xdel", -3, Group::Stream, Flags::WRITE_FAST)
            .syntax("key id ...")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "5.0.0",
                "O(1) for each single item to delete in the stream, regardless of the \
                 stream size.",
                "Removes the specified entries from the stream. Returns the number of \
                 items actually deleted, that may be different from the number of IDs \
                 passed in case certain IDs do not exist.",
            ),
        xdel,
    ),
    Command::new(
        Spec::new("xsetid", -3, Group::Stream, Flags::WRITE_DENYOOM_FAST)
            .syntax(
                "key last-id [ENTRIESADDED entries_added:integer]@7.0.0 \
                 [MAXDELETEDID max_deleted_entry_id]@7.0.0",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "5.0.0",
                "O(1)",
                "An internal command for replicating stream values",
            )
            .history(&[(
                "7.0.0",
                "Added the `entries_added` and `max_deleted_entry_id` arguments.",
            )]),
        xsetid,
    ),
];

const NOT_GREATER: Error = Error::text(
    "ERR The ID specified in XADD is equal or smaller than the target stream \
                 top item",
);

const TOO_LARGE: Error = Error::text("ERR Elements are too large to be stored");

fn xadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_ABOVE_ZERO: Error =
        Error::text("ERR The ID specified in XADD must be greater than 0-0");
    let (options, at) = Options::parse(ctx.args, true, &ctx.txn.limits())?;
    let fields = ctx.args.skip(at.saturating_add(1).min(ctx.args.len()));
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(Error::WrongArity("xadd".into()));
    }
    if options.id == Some(IdText::Whole(StreamId::MIN)) || options.id == Some(IdText::Ms(0)) {
        return Err(NOT_ABOVE_ZERO);
    }
    let mut sizes = fields.iter().map(<[u8]>::len);
    let bytes = sizes.try_fold(0_usize, usize::checked_add);
    if bytes.is_none_or(|bytes| bytes > Listpack::BYTES_MAX) {
        return Err(TOO_LARGE);
    }
    let (key, now_ms) = (ctx.arg(1), ctx.now_ms());
    let pairs = (0..fields.len() / 2).map(|at| (fields.get(2 * at), fields.get(2 * at + 1)));
    let absent = if options.no_create {
        Absent::Leave
    } else {
        Absent::Create
    };
    // A stream that is made here has no id yet that the new one could be too low for.
    let added = ctx.txn.edit::<Stream, _>(key, absent, |stream| {
        let id = new_id(options.id, stream.last_id(), now_ms as u64)?;
        stream.add(id, pairs);
        let trimmed = options.trim.map_or(0, |trim| stream.trim(&trim));
        Ok::<_, Error>((id, trimmed))
    })?;
    let Some(added) = added else {
        ctx.reply.null();
        return Ok(());
    };
    let (id, trimmed) = added?;
    ctx.txn.notify(Notify::STREAM, "xadd", key);
    if trimmed > 0 {
        ctx.txn.notify(Notify::STREAM, "xtrim", key);
    }
    reply_id(ctx.reply, id);
    Ok(())
}

/// The id of a new entry, above the last one.
fn new_id(wanted: Option<IdText>, last: StreamId, now_ms: u64) -> Result<StreamId, Error> {
    const EXHAUSTED: Error =
        Error::text("ERR The stream has exhausted the last possible ID, unable to add more items");
    let Some(next) = last.next() else {
        return Err(EXHAUSTED);
    };
    let id = match wanted {
        None => next.max(StreamId::new(now_ms, 0)),
        Some(IdText::Whole(id)) => id,
        // What Redis answers where the numbers of a millisecond are used up.
        Some(IdText::AnySeq(ms)) if ms == last.ms && next.ms != ms => return Err(TOO_LARGE),
        Some(IdText::AnySeq(ms)) if ms == last.ms => next,
        Some(IdText::AnySeq(ms) | IdText::Ms(ms)) => StreamId::new(ms, 0),
    };
    if id > last { Ok(id) } else { Err(NOT_GREATER) }
}

fn xtrim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (options, _) = Options::parse(ctx.args, false, &ctx.txn.limits())?;
    let key = ctx.arg(1);
    let edited = ctx.txn.edit::<Stream, _>(key, Absent::Leave, |stream| {
        options.trim.map_or(0, |trim| stream.trim(&trim))
    })?;
    let trimmed = edited.unwrap_or(0);
    if trimmed > 0 {
        ctx.txn.notify(Notify::STREAM, "xtrim", key);
    }
    ctx.reply.integer(trimmed as i64);
    Ok(())
}

/// How XADD and XTRIM are to go about it.
#[derive(Debug, Default)]
struct Options {
    trim: Option<Trim>,
    no_create: bool,
    /// `None`: the next one of this moment.
    id: Option<IdText>,
}

impl Options {
    /// Reads the options, and XADD's id; also where they end.
    fn parse(args: Args<'_>, is_add: bool, limits: &Limits) -> Result<(Self, usize), Error> {
        const NEGATIVE_LIMIT: Error = Error::text("ERR The LIMIT argument must be >= 0.");
        let mut options = Self::default();
        let mut limit = None;
        let mut at = 2;
        while at < args.len() {
            let (option, more) = (&args[at], args.len() - 1 - at);
            if is_add && option == b"*" {
                break;
            }
            if (is(option, "maxlen") || is(option, "minid")) && more > 0 {
                at = options.take_trim(args, at)?;
            } else if is(option, "limit") && more > 0 {
                let most = parse_i64(&args[at + 1]).ok_or(Error::NotInteger)?;
                limit = Some(usize::try_from(most).map_err(|_| NEGATIVE_LIMIT)?);
                at += 2;
            } else if is_add && is(option, "nomkstream") {
                options.no_create = true;
                at += 1;
            } else if is_add {
                options.id = Some(IdText::parse(option).ok_or(super::INVALID_ID)?);
                break;
            } else {
                return Err(Error::Syntax);
            }
        }
        options.take_limit(limit, is_add, limits)?;
        Ok((options, at))
    }

    /// Reads `MAXLEN` or `MINID` and what follows it; returns what comes after.
    fn take_trim(&mut self, args: Args<'_>, mut at: usize) -> Result<usize, Error> {
        const TWICE: Error = Error::text(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        );
        const NEGATIVE: Error = Error::text("ERR The MAXLEN argument must be >= 0.");
        if self.trim.is_some() {
            return Err(TWICE);
        }
        let by_len = is(&args[at], "maxlen");
        let operator = args.get(at + 1);
        let has_operator = at + 2 < args.len() && matches!(operator, b"~" | b"=");
        at += 1 + usize::from(has_operator);
        let until = if by_len {
            let most = parse_i64(&args[at]).ok_or(Error::NotInteger)?;
            Until::MaxLen(u64::try_from(most).map_err(|_| NEGATIVE)?)
        } else {
            Until::MinId(parse_id(&args[at], 0)?)
        };
        self.trim = Some(Trim {
            until,
            is_rough: has_operator && operator == b"~",
            limit: 0,
        });
        Ok(at + 1)
    }

    fn take_limit(
        &mut self,
        limit: Option<usize>,
        is_add: bool,
        limits: &Limits,
    ) -> Result<(), Error> {
        const WITHOUT_TRIM: Error = Error::text(
            "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        );
        const NO_TRIM: Error =
            Error::text("ERR syntax error, XTRIM must be called with a trimming strategy");
        const NOT_ROUGH: Error =
            Error::text("ERR syntax error, LIMIT cannot be used without the special ~ option");
        /// Of itself a rough trimming takes so many nodes at most, and within these bounds so many entries.
        const NODES_MAX: usize = 100;
        const ENTRIES: usize = 10_000;
        const ENTRIES_MAX: usize = 1_000_000;
        match &mut self.trim {
            None if limit.is_some_and(|limit| limit > 0) => Err(WITHOUT_TRIM),
            None if !is_add => Err(NO_TRIM),
            // Without a strategy nothing is rough.
            None if limit.is_some() => Err(NOT_ROUGH),
            None => Ok(()),
            Some(trim) if !trim.is_rough => limit.map_or(Ok(()), |_| Err(NOT_ROUGH)),
            Some(trim) => {
                let own = match limits.stream_node_max_entries.saturating_mul(NODES_MAX) {
                    0 => ENTRIES,
                    entries => entries.min(ENTRIES_MAX),
                };
                trim.limit = limit.unwrap_or(own);
                Ok(())
            }
        }
    }
}

fn xdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let ids = ctx.args.skip(2);
    // In Redis a key that is not there, or holds another type, is found out before an id that is none.
    if ctx.txn.inspect::<Stream>(key)?.is_none() {
        ctx.reply.integer(0);
        return Ok(());
    }
    let ids = ids.iter().map(|id| parse_id(id, 0));
    let ids = ids.collect::<Result<Vec<StreamId>, Error>>()?;
    let edited = ctx
        .txn
        .edit::<Stream, _>(key, Absent::Leave, |stream| stream.delete(&ids))?;
    let deleted = edited.unwrap_or(0);
    if deleted > 0 {
        ctx.txn.notify(Notify::STREAM, "xdel", key);
    }
    ctx.reply.integer(deleted as i64);
    Ok(())
}

fn xsetid(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const BELOW_TOP: Error =
        Error::text("ERR The ID specified in XSETID is smaller than the target stream top item");
    const BELOW_LEN: Error = Error::text(
        "ERR The entries_added specified in XSETID is smaller than the target stream length",
    );
    let wanted = SetId::parse(ctx.args)?;
    let key = ctx.arg(1);
    let stream = ctx.txn.inspect::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let old = stream.counters();
    if let Some(top) = stream.last() {
        if wanted.id < top.id {
            return Err(BELOW_TOP);
        }
        if wanted
            .added
            .is_some_and(|added| added < stream.len() as u64)
        {
            return Err(BELOW_LEN);
        }
    }
    let max_deleted = wanted.max_deleted.unwrap_or(StreamId::MIN);
    let counters = Counters {
        last_id: wanted.id,
        added: wanted.added.unwrap_or(old.added),
        max_deleted: match max_deleted {
            StreamId::MIN => old.max_deleted,
            id => id,
        },
        ..old
    };
    ctx.txn
        .edit::<Stream, _>(key, Absent::Leave, |stream| stream.set_counters(counters))?;
    ctx.txn.notify(Notify::STREAM, "xsetid", key);
    ctx.reply.ok();
    Ok(())
}

struct SetId {
    id: StreamId,
    added: Option<u64>,
    max_deleted: Option<StreamId>,
}

impl SetId {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        const NEGATIVE: Error = Error::text("ERR entries_added must be positive");
        const BELOW_GIVEN: Error = Error::text(
            "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
        );
        let mut wanted = Self {
            id: parse_id(&args[2], 0)?,
            added: None,
            max_deleted: None,
        };
        let mut options = args.skip(3).iter();
        while let Some(option) = options.next() {
            let value = options.next().ok_or(Error::Syntax)?;
            if is(option, "entriesadded") {
                let added = parse_i64(value).ok_or(Error::NotInteger)?;
                wanted.added = Some(u64::try_from(added).map_err(|_| NEGATIVE)?);
            } else if is(option, "maxdeletedid") {
                let id = parse_id(value, 0)?;
                if wanted.id < id {
                    return Err(BELOW_GIVEN);
                }
                wanted.max_deleted = Some(id);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(wanted)
    }
}
