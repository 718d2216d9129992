//! What reads a stream by id: XLEN, XRANGE, XREVRANGE.

use super::{is, parse_end, parse_start, reply_entry};
use crate::base::number::parse_i64;
use crate::command::ctx::{Ctx, Handler};
use crate::command::error::Error;
use crate::command::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::value::Stream;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("xlen", 2, Group::Stream, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("5.0.0", "O(1)", "Return the number of entries in a stream"),
        xlen,
    ),
    Command::new(
        Spec::new("xrange", -4, Group::Stream, Flags::READONLY)
            .syntax("key start:string end:string [COUNT count]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "5.0.0",
                "O(N) with N being the number of elements being returned. If N is \
                 constant (e.g. always asking for the first 10 elements with COUNT), you \
                 can consider it O(1).",
                "Return a range of elements in a stream, with IDs matching the specified \
                 IDs interval",
            )
            .history(&[("6.2.0", "Added exclusive ranges.")]),
        |ctx| range(ctx, false),
    ),
    Command::new(
        Spec::new("xrevrange", -4, Group::Stream, Flags::READONLY)
            .syntax("key end:string start:string [COUNT count]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "5.0.0",
                "O(N) with N being the number of elements returned. If N is constant \
                 (e.g. always asking for the first 10 elements with COUNT), you can \
                 consider it O(1).",
                "Return a range of elements in a stream, with IDs matching the specified \
                 IDs interval, in reverse order (from greater to smaller IDs) compared to \
                 XRANGE",
            )
            .history(&[("6.2.0", "Added exclusive ranges.")]),
        |ctx| range(ctx, true),
    ),
];

fn xlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let stream = ctx.txn.read::<Stream>(ctx.args.get(1))?;
    ctx.reply.integer(stream.map_or(0, Stream::len) as i64);
    Ok(())
}

fn range(ctx: &mut Ctx<'_>, is_reverse: bool) -> Result<(), Error> {
    let (start_at, end_at) = if is_reverse { (3, 2) } else { (2, 3) };
    let start = parse_start(ctx.arg(start_at))?;
    let end = parse_end(ctx.arg(end_at))?;
    let mut most = usize::MAX;
    let mut options = ctx.args.skip(4).iter();
    while let Some(option) = options.next() {
        let count = options.next().filter(|_| is(option, "count"));
        let count = parse_i64(count.ok_or(Error::Syntax)?).ok_or(Error::NotInteger)?;
        most = usize::try_from(count).unwrap_or(0);
    }
    let Some(stream) = ctx.txn.read::<Stream>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if most == 0 {
        ctx.reply.null_array();
        return Ok(());
    }
    let count = stream.count(start, end, most);
    ctx.reply.array(count);
    if is_reverse {
        let entries = stream.range_back(start, end).take(count);
        entries.for_each(|entry| reply_entry(ctx.reply, entry));
    } else {
        let entries = stream.range(start, end).take(count);
        entries.for_each(|entry| reply_entry(ctx.reply, entry));
    }
    Ok(())
}
