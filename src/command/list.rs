//! Lists at their ends: LPUSH, RPOP and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::keyspace::{Absent, Notify, Txn};
use crate::resp::{Args, Reply};
use crate::value::listpack::Item;
use crate::value::{End, List};

pub static COMMANDS: &[Command<Handler>] = &[
    push_command(
        "lpush",
        "1.0.0",
        "Prepend one or multiple elements to a list",
        lpush,
    )
    .syntax("key element ...")
    .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
    push_command(
        "rpush",
        "1.0.0",
        "Append one or multiple elements to a list",
        rpush,
    )
    .syntax("key element ...")
    .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
    push_command(
        "lpushx",
        "2.2.0",
        "Prepend an element to a list, only if the list exists",
        lpushx,
    )
    .syntax("key element ...")
    .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
    push_command(
        "rpushx",
        "2.2.0",
        "Append an element to a list, only if the list exists",
        rpushx,
    )
    .syntax("key element ...")
    .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
    pop_command("lpop", "Remove and get the first elements in a list", lpop)
        .syntax("key [count]@6.2.0")
        .history(&[("6.2.0", "Added the `count` argument.")]),
    pop_command("rpop", "Remove and get the last elements in a list", rpop)
        .syntax("key [count]@6.2.0")
        .history(&[("6.2.0", "Added the `count` argument.")]),
    Command::new(
        Spec::new("llen", 2, Group::List, Flags::READ_FAST)
            .syntax("key")
            .keys(&[KeySpec::one(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Get the length of a list"),
        llen,
    ),
];

const fn push_command(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    run: Handler,
) -> Command<Handler> {
    const COMPLEXITY: &str = "O(1) for each element added, so O(N) to add N elements when the \
                              command is called with multiple arguments.";
    const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::EXTEND)];
    let spec = Spec::new(name, -3, Group::List, Flags::WRITE_DENYOOM_FAST);
    let spec = spec.keys(KEYS);
    Command::new(spec.docs(since, COMPLEXITY, summary), run)
}

const fn pop_command(name: &'static str, summary: &'static str, run: Handler) -> Command<Handler> {
    const COMPLEXITY: &str = "O(N) where N is the number of elements returned";
    const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::TAKE)];
    let spec = Spec::new(name, -2, Group::List, Flags::WRITE_FAST);
    let spec = spec.keys(KEYS);
    Command::new(spec.docs("1.0.0", COMPLEXITY, summary), run)
}

fn lpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, End::Front, Absent::Create)
}

fn rpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, End::Back, Absent::Create)
}

fn lpushx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, End::Front, Absent::Leave)
}

fn rpushx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, End::Back, Absent::Leave)
}

fn lpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, End::Front)
}

fn rpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, End::Back)
}

fn llen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let list = ctx.txn.read::<List>(ctx.args.get(1))?;
    let len = list.map_or(0, List::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn push(ctx: &mut Ctx<'_>, end: End, absent: Absent) -> Result<(), Error> {
    let (key, elements) = (ctx.arg(1), ctx.args.skip(2));
    check_elements(elements)?;
    let len = ctx.txn.edit::<List, _>(key, absent, |list| {
        for element in elements.iter() {
            list.push(end, element);
        }
        list.len()
    })?;
    if len.is_some() {
        ctx.txn.notify(Notify::LIST, push_event(end), key);
    }
    ctx.reply.integer(len.unwrap_or(0) as i64);
    Ok(())
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    const NEGATIVE: Error = Error::text("ERR value is out of range, must be positive");
    let key = ctx.arg(1);
    match ctx.args.len() {
        2 => {
            if !pop_one(&mut ctx.txn, key, end, |item| reply_item(ctx.reply, item))? {
                ctx.reply.null();
            }
        }
        3 => {
            let count = ctx
                .int(2)
                .ok()
                .and_then(|count| usize::try_from(count).ok());
            let count = count.ok_or(NEGATIVE)?;
            match ctx.txn.inspect::<List>(key)? {
                None => ctx.reply.null_array(),
                Some(_) if count == 0 => ctx.reply.array(0),
                Some(_) => drop(pop_many(&mut ctx.txn, ctx.reply, key, end, count)?),
            }
        }
        _ => {
            let name = String::from_utf8_lossy(ctx.arg(0)).to_lowercase();
            return Err(Error::WrongArity(name.into()));
        }
    }
    Ok(())
}

/// Refuses elements that are longer than a list takes.
pub(super) fn check_elements(elements: Args<'_>) -> Result<(), Error> {
    const ELEMENT_LEN_MAX: usize = (1 << 32) - 1024;
    if elements
        .iter()
        .any(|element| element.len() > ELEMENT_LEN_MAX)
    {
        return Err(Error::text("ERR Element too large"));
    }
    Ok(())
}

/// Removes the element at an end, after it was shown. Tells whether there was one.
#[inline]
pub(super) fn pop_one(
    txn: &mut Txn<'_>,
    key: &[u8],
    end: End,
    show: impl FnOnce(Item<'_>),
) -> Result<bool, Error> {
    let is_empty = txn.edit::<List, _>(key, Absent::Leave, |list| {
        if let Some(item) = list.end(end) {
            show(item);
            list.pop(end);
        }
        list.is_empty()
    })?;
    let Some(is_empty) = is_empty else {
        return Ok(false);
    };
    txn.notify_removal(Notify::LIST, pop_event(end), key, is_empty);
    Ok(true)
}

/// Removes up to `count` elements at an end and answers with them. Tells whether there is a list.
pub(super) fn pop_many(
    txn: &mut Txn<'_>,
    reply: &mut dyn Reply,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<bool, Error> {
    let is_empty = txn.edit::<List, _>(key, Absent::Leave, |list| {
        let count = count.min(list.len());
        reply.array(count);
        match end {
            End::Front => reply_items(reply, list.iter_from(0).take(count)),
            End::Back => reply_items(reply, list.iter_back_from(list.len()).take(count)),
        }
        list.cut(end, count);
        list.is_empty()
    })?;
    let Some(is_empty) = is_empty else {
        return Ok(false);
    };
    txn.notify_removal(Notify::LIST, pop_event(end), key, is_empty);
    Ok(true)
}

pub(super) fn pop_event(end: End) -> &'static str {
    match end {
        End::Front => "lpop",
        End::Back => "rpop",
    }
}

pub(super) fn push_event(end: End) -> &'static str {
    match end {
        End::Front => "lpush",
        End::Back => "rpush",
    }
}

/// `LEFT` or `RIGHT`.
pub(super) fn parse_end(word: &[u8]) -> Result<End, Error> {
    if word.eq_ignore_ascii_case(b"left") {
        Ok(End::Front)
    } else if word.eq_ignore_ascii_case(b"right") {
        Ok(End::Back)
    } else {
        Err(Error::Syntax)
    }
}

#[inline]
pub(super) fn reply_item(reply: &mut dyn Reply, item: Item<'_>) {
    match item {
        Item::Int(number) => reply.bulk_int(number),
        Item::Bytes(bytes) => reply.bulk(bytes),
    }
}

pub(super) fn reply_items<'i>(reply: &mut dyn Reply, items: impl Iterator<Item = Item<'i>>) {
    items.for_each(|item| reply_item(reply, item));
}
