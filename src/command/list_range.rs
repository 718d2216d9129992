//! Lists by index and by content: LRANGE, LSET, LREM and their relatives.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::list::{check_elements, reply_item, reply_items};
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Absent, Notify};
use crate::resp::Args;
use crate::value::listpack::Item;
use crate::value::{End, List, Side};
use std::ops::Range;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("lrange", 4, Group::List, Flags::READONLY)
            .syntax("key start stop")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.0.0",
                "O(S+N) where S is the distance of start offset from HEAD for small lists, \
                 from nearest end (HEAD or TAIL) for large lists; and N is the number of \
                 elements in the specified range.",
                "Get a range of elements from a list",
            ),
        lrange,
    ),
    Command::new(
        Spec::new("lindex", 3, Group::List, Flags::READONLY)
            .syntax("key index")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "1.0.0",
                "O(N) where N is the number of elements to traverse to get to the element \
                 at index. This makes asking for the first or the last element of the list \
                 O(1).",
                "Get an element from a list by its index",
            ),
        lindex,
    ),
    Command::new(
        Spec::new("lset", 4, Group::List, Flags::WRITE_DENYOOM)
            .syntax("key index element")
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "1.0.0",
                "O(N) where N is the length of the list. Setting either the first or the \
                 last element of the list is O(1).",
                "Set the value of an element in a list by its index",
            ),
        lset,
    ),
    Command::new(
        Spec::new("linsert", 5, Group::List, Flags::WRITE_DENYOOM)
            .syntax("key <where: BEFORE | AFTER> pivot element")
            .keys(&[KeySpec::one(1, KeyFlags::EXTEND)])
            .docs(
                "2.2.0",
                "O(N) where N is the number of elements to traverse before seeing the value \
                 pivot. This means that inserting somewhere on the left end on the list \
                 (head) can be considered O(1) and inserting somewhere on the right end \
                 (tail) is O(N).",
                "Insert an element before or after another element in a list",
            ),
        linsert,
    ),
    Command::new(
        Spec::new("lrem", 4, Group::List, Flags::WRITE)
            .syntax("key count element")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "1.0.0",
                "O(N+M) where N is the length of the list and M is the number of elements \
                 removed.",
                "Remove elements from a list",
            ),
        lrem,
    ),
    Command::new(
        Spec::new("ltrim", 4, Group::List, Flags::WRITE)
            .syntax("key start stop")
            .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
            .docs(
                "1.0.0",
                "O(N) where N is the number of elements to be removed by the operation.",
                "Trim a list to the specified range",
            ),
        ltrim,
    ),
    Command::new(
        Spec::new("lpos", -3, Group::List, Flags::READONLY)
            .syntax(
                "key element [RANK rank:integer] [COUNT num-matches:integer] \
                 [MAXLEN len:integer]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "6.0.6",
                "O(N) where N is the number of elements in the list, for the average case. \
                 When searching for elements near the head or the tail of the list, or when \
                 the MAXLEN option is provided, the command may run in constant time.",
                "Return the index of matching elements on a list",
            ),
        lpos,
    ),
];

fn lrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (start, stop) = (ctx.int(2)?, ctx.int(3)?);
    let Some(list) = ctx.txn.read::<List>(ctx.args.get(1))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let range = range(start, stop, list.len());
    ctx.reply.array(range.len());
    if !range.is_empty() {
        reply_items(ctx.reply, list.iter_from(range.start).take(range.len()));
    }
    Ok(())
}

fn lindex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let index = ctx.int(2);
    let Some(list) = ctx.txn.read::<List>(ctx.args.get(1))? else {
        ctx.reply.null();
        return Ok(());
    };
    match at(index?, list.len()).and_then(|index| list.get(index)) {
        Some(item) => reply_item(ctx.reply, item),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, element) = (ctx.arg(1), ctx.arg(3));
    check_elements(ctx.args.skip(3))?;
    let index = ctx.int(2);
    let list = ctx.txn.inspect::<List>(key)?.ok_or(Error::NoSuchKey)?;
    let index = at(index?, list.len()).ok_or(Error::IndexOutOfRange)?;
    ctx.txn
        .edit::<List, _>(key, Absent::Leave, |list| list.set(index, element))?;
    ctx.txn.notify(Notify::LIST, "lset", key);
    ctx.reply.ok();
    Ok(())
}

fn linsert(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, pivot, element) = (ctx.arg(1), ctx.arg(3), ctx.arg(4));
    let side = match ctx.arg(2).to_ascii_lowercase().as_slice() {
        b"before" => Side::Before,
        b"after" => Side::After,
        _ => return Err(Error::Syntax),
    };
    check_elements(ctx.args.skip(4))?;
    let Some(list) = ctx.txn.inspect::<List>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let pivot = Item::from(pivot);
    let Some(index) = list.iter().position(|item| item == pivot) else {
        ctx.reply.integer(-1);
        return Ok(());
    };
    let len = ctx.txn.edit::<List, _>(key, Absent::Leave, |list| {
        list.insert(index, side, element);
        list.len()
    })?;
    ctx.txn.notify(Notify::LIST, "linsert", key);
    ctx.reply.integer(len.unwrap_or(0) as i64);
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, element) = (ctx.arg(1), ctx.arg(3));
    let count = ctx.int(2)?;
    let end = if count < 0 { End::Back } else { End::Front };
    let most = match count {
        0 => usize::MAX,
        _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let removed = ctx.txn.edit::<List, _>(key, Absent::Leave, |list| {
        let removed = list.remove_equal(element, end, most);
        (removed, list.is_empty())
    })?;
    let (removed, is_empty) = removed.unwrap_or((0, false));
    if removed > 0 {
        ctx.txn.notify_removal(Notify::LIST, "lrem", key, is_empty);
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.arg(1);
    let (start, stop) = (ctx.int(2)?, ctx.int(3)?);
    if let Some(list) = ctx.txn.inspect::<List>(key)? {
        let len = list.len();
        let kept = range(start, stop, len);
        if kept.is_empty() {
            ctx.txn.remove(key);
        } else if kept.len() < len {
            ctx.txn.edit::<List, _>(key, Absent::Leave, |list| {
                list.cut(End::Back, len - kept.end);
                list.cut(End::Front, kept.start);
            })?;
        }
        ctx.txn
            .notify_removal(Notify::LIST, "ltrim", key, kept.is_empty());
    }
    ctx.reply.ok();
    Ok(())
}

fn lpos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = PosOptions::parse(ctx.args.skip(3))?;
    let wanted = Item::from(ctx.arg(2));
    let list = ctx.txn.read::<List>(ctx.args.get(1))?;
    let mut found = list
        .into_iter()
        .flat_map(|list| options.matches(list, wanted));
    match options.count {
        None => match found.next() {
            Some(index) => ctx.reply.integer(index as i64),
            None => ctx.reply.null(),
        },
        Some(count) => {
            let most = if count == 0 { usize::MAX } else { count };
            let found: Vec<usize> = found.take(most).collect();
            ctx.reply.array(found.len());
            for index in found {
                ctx.reply.integer(index as i64);
            }
        }
    }
    Ok(())
}

/// The options of LPOS.
#[derive(Clone, Copy)]
struct PosOptions {
    end: End,
    /// The matches before the first that counts.
    skipped: usize,
    /// How many matches are wanted: 0 for all; `None`: one, and not as an array.
    count: Option<usize>,
    /// How many elements are looked at; 0: all.
    len_max: usize,
}

impl PosOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        const RANK_ZERO: Error = Error::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        );
        const COUNT_NEGATIVE: Error = Error::text("ERR COUNT can't be negative");
        const MAXLEN_NEGATIVE: Error = Error::text("ERR MAXLEN can't be negative");
        let natural = |text| parse_i64(text).and_then(|number| usize::try_from(number).ok());
        let mut options = Self {
            end: End::Front,
            skipped: 0,
            count: None,
            len_max: 0,
        };
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let value = args.next().ok_or(Error::Syntax)?;
            match option.to_ascii_lowercase().as_slice() {
                b"rank" => {
                    let rank = parse_i64(value).ok_or(Error::NotInteger)?;
                    options.end = match rank {
                        0 => return Err(RANK_ZERO),
                        1.. => End::Front,
                        _ => End::Back,
                    };
                    // The lowest number has no opposite, and Redis skips nothing then.
                    let rank = rank.checked_abs().unwrap_or(1);
                    options.skipped = usize::try_from(rank - 1).unwrap_or(usize::MAX);
                }
                b"count" => options.count = Some(natural(value).ok_or(COUNT_NEGATIVE)?),
                b"maxlen" => options.len_max = natural(value).ok_or(MAXLEN_NEGATIVE)?,
                _ => return Err(Error::Syntax),
            }
        }
        Ok(options)
    }

    /// The indices of the matches, from the end on that the rank names.
    fn matches<'l>(self, list: &'l List, wanted: Item<'l>) -> impl Iterator<Item = usize> + 'l {
        let most = if self.len_max == 0 {
            usize::MAX
        } else {
            self.len_max
        };
        let forwards = (self.end == End::Front).then(|| list.iter_from(0));
        let backwards = (self.end == End::Back).then(|| list.iter_back_from(list.len()));
        let items = forwards
            .into_iter()
            .flatten()
            .chain(backwards.into_iter().flatten());
        let found = items
            .take(most)
            .enumerate()
            .filter(move |(_, item)| *item == wanted);
        found.skip(self.skipped).map(move |(at, _)| match self.end {
            End::Front => at,
            End::Back => list.len() - 1 - at,
        })
    }
}

/// The index that a number names, counted from the end where it is negative.
fn at(number: i64, len: usize) -> Option<usize> {
    let index = if number < 0 {
        (len as i64).checked_add(number)?
    } else {
        number
    };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// The indices from one number to another, both included.
fn range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let index = |number: i64| {
        if number < 0 {
            (len as i64 + number).max(-1)
        } else {
            number.min(len as i64)
        }
    };
    let start = index(start).max(0) as usize;
    let end = (index(stop) + 1).min(len as i64) as usize;
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        for (start, stop, expected) in [
            (0, -1, 0..5),
            (1, 3, 1..4),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 1, 3..3),
            (-1, -100, 4..4),
            (5, 9, 5..5),
            (i64::MIN, i64::MAX, 0..5),
        ] {
            assert_eq!(range(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(at(-5, 5), Some(0));
        assert_eq!(at(-6, 5), None);
        assert_eq!(at(i64::MIN, 5), None);
        assert_eq!(at(5, 5), None);
    }
}
