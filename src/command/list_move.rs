//! Elements that move from one list to another, and elements that are waited for: LMOVE, LMPOP, BLPOP and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::list::{parse_end, pop_event, pop_many, pop_one, push_event, reply_item};
use super::spec::{Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Spec};
use super::waiting::{Awaited, Wish};
use crate::base::number::parse_i64;
use crate::keyspace::{Absent, Notify, Txn};
use crate::value::listpack::Item;
use crate::value::{End, List, StrBuf};
use std::ops::Range;
use std::time::Duration;

const MOVE_KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::TAKE),
    KeySpec::one(2, KeyFlags::EXTEND),
];
/// All arguments but the last.
const ALL_BUT_TIMEOUT: &[KeySpec] = &[KeySpec {
    flags: KeyFlags::TAKE,
    begin: Begin::Index(1),
    find: Find::Range { last: -2, step: 1 },
}];
const WAITS: Flags = Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING);

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("lmove", 5, Group::List, Flags::WRITE_DENYOOM)
            .syntax("source destination <wherefrom: LEFT | RIGHT> <whereto: LEFT | RIGHT>")
            .keys(MOVE_KEYS)
            .docs(
                "6.2.0",
                "O(1)",
                "Pop an element from a list, push it to another list and return it",
            ),
        lmove,
    ),
    Command::new(
        Spec::new("rpoplpush", 3, Group::List, Flags::WRITE_DENYOOM)
            .syntax("source destination")
            .keys(MOVE_KEYS)
            .docs(
                "1.2.0",
                "O(1)",
                "Remove the last element in a list, prepend it to another list and return it",
            )
            .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
        rpoplpush,
    ),
    Command::new(
        Spec::new("blmove", 6, Group::List, WAITS.union(Flags::DENYOOM))
            .syntax(
                "source destination <wherefrom: LEFT | RIGHT> <whereto: LEFT | RIGHT> \
                 timeout",
            )
            .keys(MOVE_KEYS)
            .docs(
                "6.2.0",
                "O(1)",
                "Pop an element from a list, push it to another list and return it; or block \
                 until one is available",
            ),
        blmove,
    ),
    Command::new(
        Spec::new("brpoplpush", 4, Group::List, WAITS.union(Flags::DENYOOM))
            .syntax("source destination timeout")
            .keys(MOVE_KEYS)
            .docs(
                "2.2.0",
                "O(1)",
                "Pop an element from a list, push it to another list and return it; or block \
                 until one is available",
            )
            .history(&[(
                "6.0.0",
                "`timeout` is interpreted as a double instead of an integer.",
            )])
            .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
        brpoplpush,
    ),
    Command::new(
        Spec::new(
            "lmpop",
            -4,
            Group::List,
            Flags::WRITE.union(Flags::MOVABLE_KEYS),
        )
        .syntax("numkeys key ... <where: LEFT | RIGHT> [COUNT count]")
        .keys(&[KeySpec::counted(1, KeyFlags::TAKE)])
        .docs(
            "7.0.0",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
             returned.",
            "Pop elements from a list",
        ),
        lmpop,
    ),
    Command::new(
        Spec::new(
            "blmpop",
            -5,
            Group::List,
            Flags::WRITE
                .union(Flags::BLOCKING)
                .union(Flags::MOVABLE_KEYS),
        )
        .syntax("timeout numkeys key ... <where: LEFT | RIGHT> [COUNT count]")
        .keys(&[KeySpec::counted(2, KeyFlags::TAKE)])
        .docs(
            "7.0.0",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
             returned.",
            "Pop elements from a list, or block until one is available",
        ),
        blmpop,
    ),
    Command::new(
        Spec::new("blpop", -3, Group::List, WAITS)
            .syntax("key ... timeout")
            .keys(ALL_BUT_TIMEOUT)
            .docs(
                "2.0.0",
                "O(N) where N is the number of provided keys.",
                "Remove and get the first element in a list, or block until one is available",
            )
            .history(&[(
                "6.0.0",
                "`timeout` is interpreted as a double instead of an integer.",
            )]),
        blpop,
    ),
    Command::new(
        Spec::new("brpop", -3, Group::List, WAITS)
            .syntax("key ... timeout")
            .keys(ALL_BUT_TIMEOUT)
            .docs(
                "2.0.0",
                "O(N) where N is the number of provided keys.",
                "Remove and get the last element in a list, or block until one is available",
            )
            .history(&[(
                "6.0.0",
                "`timeout` is interpreted as a double instead of an integer.",
            )]),
        brpop,
    ),
];

fn lmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (parse_end(ctx.arg(3))?, parse_end(ctx.arg(4))?);
    if !move_element(ctx, from, to)? {
        ctx.reply.null();
    }
    Ok(())
}

fn rpoplpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if !move_element(ctx, End::Back, End::Front)? {
        ctx.reply.null();
    }
    Ok(())
}

fn blmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (parse_end(ctx.arg(3))?, parse_end(ctx.arg(4))?);
    let timeout = ctx.timeout_s(5)?;
    move_or_wait(ctx, from, to, timeout)
}

fn brpoplpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let timeout = ctx.timeout_s(3)?;
    move_or_wait(ctx, End::Back, End::Front, timeout)
}

fn move_or_wait(
    ctx: &mut Ctx<'_>,
    from: End,
    to: End,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let found = move_element(ctx, from, to)?;
    if !found && !ctx.wait_for_data(Wish::new(1..2, Awaited::List, timeout)) {
        ctx.reply.null();
    }
    Ok(())
}

fn lmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = ManyOptions::parse(ctx, 1, parse_end)?;
    if !pop_first_list(ctx, options.keys, options.end, Some(options.count))? {
        ctx.reply.null_array();
    }
    Ok(())
}

fn blmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = ManyOptions::parse(ctx, 2, parse_end)?;
    let wish = Wish::new(options.keys, Awaited::List, ctx.timeout_s(1)?);
    ctx.answer_or_wait(wish, |ctx, keys| {
        pop_first_list(ctx, keys, options.end, Some(options.count))
    })
}

fn blpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_one_or_wait(ctx, End::Front)
}

fn brpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_one_or_wait(ctx, End::Back)
}

fn pop_one_or_wait(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    let last = ctx.args.len() - 1;
    let wish = Wish::new(1..last, Awaited::List, ctx.timeout_s(last)?);
    ctx.answer_or_wait(wish, |ctx, keys| pop_first_list(ctx, keys, end, None))
}

/// Pops from the first of the keys that is there, and answers with the key and the element, or with the key and up to
/// `count` elements. Tells whether there was one.
fn pop_first_list(
    ctx: &mut Ctx<'_>,
    keys: Range<usize>,
    end: End,
    count: Option<usize>,
) -> Result<bool, Error> {
    let Some(key) = ctx.first_key_with::<List>(keys)? else {
        return Ok(false);
    };
    ctx.reply.array(2);
    ctx.reply.bulk(key);
    match count {
        None => pop_one(&mut ctx.txn, key, end, |item| reply_item(ctx.reply, item)),
        Some(count) => pop_many(&mut ctx.txn, ctx.reply, key, end, count),
    }
}

/// Moves an element from an end of the first argument's list to an end of the second's, and answers with it. Tells whether
/// there was one.
fn move_element(ctx: &mut Ctx<'_>, from: End, to: End) -> Result<bool, Error> {
    let (source, target) = (ctx.arg(1), ctx.arg(2));
    let Some(list) = ctx.txn.inspect::<List>(source)? else {
        return Ok(false);
    };
    let Some(item) = list.end(from) else {
        return Ok(false);
    };
    let element = StrBuf::from_slice(item.bytes(&mut itoa::Buffer::new()));
    if source == target {
        rotate(&mut ctx.txn, source, from, to, &element)?;
    } else {
        ctx.txn.inspect::<List>(target)?;
        ctx.txn
            .edit::<List, _>(target, Absent::Create, |list| list.push(to, &element))?;
        ctx.txn.notify(Notify::LIST, push_event(to), target);
        pop_one(&mut ctx.txn, source, from, |_: Item<'_>| ())?;
    }
    ctx.reply.bulk(&element);
    Ok(true)
}

/// Moves an element within its list, which is never gone in between.
fn rotate(txn: &mut Txn<'_>, key: &[u8], from: End, to: End, element: &[u8]) -> Result<(), Error> {
    txn.edit::<List, _>(key, Absent::Leave, |list| {
        list.pop(from);
        list.push(to, element);
    })?;
    txn.notify(Notify::LIST, push_event(to), key);
    txn.notify(Notify::LIST, pop_event(from), key);
    Ok(())
}

/// The arguments of LMPOP, BZMPOP and their like from the number of keys on.
pub(super) struct ManyOptions<End> {
    pub keys: Range<usize>,
    pub end: End,
    pub count: usize,
}

impl<End> ManyOptions<End> {
    pub fn parse(
        ctx: &Ctx<'_>,
        keys_at: usize,
        parse_end: impl FnOnce(&[u8]) -> Result<End, Error>,
    ) -> Result<Self, Error> {
        const NO_KEYS: Error = Error::text("ERR numkeys should be greater than 0");
        const NO_COUNT: Error = Error::text("ERR count should be greater than 0");
        let positive = |text| {
            let number = parse_i64(text).and_then(|number| usize::try_from(number).ok());
            number.filter(|number| *number > 0)
        };
        let keys = positive(ctx.arg(keys_at)).ok_or(NO_KEYS)?;
        let first = keys_at + 1;
        let end_at = first.checked_add(keys).ok_or(Error::Syntax)?;
        let end = parse_end(ctx.args.try_get(end_at).ok_or(Error::Syntax)?)?;
        let mut count = None;
        let mut options = ctx.args.skip(end_at + 1).iter();
        while let Some(option) = options.next() {
            let value = options.next().ok_or(Error::Syntax)?;
            if count.is_some() || !option.eq_ignore_ascii_case(b"count") {
                return Err(Error::Syntax);
            }
            count = Some(positive(value).ok_or(NO_COUNT)?);
        }
        Ok(Self {
            keys: first..end_at,
            end,
            count: count.unwrap_or(1),
        })
    }
}
