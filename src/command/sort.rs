//! SORT and `SORT_RO`.
//!
//! The keys that a `BY` or `GET` pattern with a `*` leads to depend on the elements, so no lock could name them before: a
//! request with such a pattern has the whole keyspace to itself (`Spec::reads_untold_keys`).

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::sort_order::{Order, Weight, number};
use super::sort_pattern::Pattern;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use crate::base::number::parse_i64;
use crate::keyspace::{Expiry, Notify, Txn};
use crate::resp::Args;
use crate::value::{End, List, StrBuf, Value};
use std::ops::Range;

const PATTERN_NOTE: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key \
                 names derive from the content of the key we sort";

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new(
            "sort",
            -2,
            Group::Generic,
            Flags::WRITE_DENYOOM.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "key [BY pattern#1] [LIMIT <offset count>] [GET pattern#1]... \
             [order: ASC | DESC] [ALPHA:sorting] [STORE destination#2]",
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::READ),
            KeySpec::found_by(untold, KeyFlags::READ),
            KeySpec::found_by(target, KeyFlags::OVERWRITE),
        ])
        .key_notes(&[
            "",
            PATTERN_NOTE,
            "For the optional STORE keyword. It is marked 'unknown' because the \
                 keyword can appear anywhere in the argument array",
        ])
        .reads_untold_keys(pattern)
        .beyond_keys(|args| beyond_keys(args, true))
        .categories_alone(CATEGORIES)
        .docs(
            "1.0.0",
            COMPLEXITY,
            "Sort the elements in a list, set or sorted set",
        ),
        sort,
    ),
    Command::new(
        Spec::new(
            "sort_ro",
            -2,
            Group::Generic,
            Flags::READONLY.union(Flags::MOVABLE_KEYS),
        )
        .syntax(
            "key [BY pattern#1] [LIMIT <offset count>] [GET pattern#1]... \
             [order: ASC | DESC] [ALPHA:sorting]",
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::READ),
            KeySpec::found_by(untold, KeyFlags::READ),
        ])
        .key_notes(&["", PATTERN_NOTE])
        .reads_untold_keys(pattern)
        .beyond_keys(|args| beyond_keys(args, false))
        .categories_alone(CATEGORIES)
        .docs(
            "7.0.0",
            COMPLEXITY,
            "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
        ),
        sort_ro,
    ),
];

const CATEGORIES: &[&str] = &["@set", "@sortedset", "@list", "@dangerous"];
const COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the \
             number of returned elements. When the elements are not sorted, complexity is O(N).";

fn sort(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_>, may_store: bool) -> Result<(), Error> {
    let request = Request::parse(ctx.args.skip(2), may_store)?;
    let (elements, is_set) = elements(&mut ctx.txn, ctx.args.get(1))?;
    let window = request.window(elements.len());
    // A set has no order of its own, so what is asked for is one that does not change from call to call.
    let order = match (request.sorts, is_set) {
        (true, _) => Some((request.by, request.order)),
        (false, true) => Some((
            None,
            Order {
                is_alpha: true,
                ..request.order
            },
        )),
        (false, false) => None,
    };
    let elements = match order {
        Some((by, order)) => {
            let weights = weights(&mut ctx.txn, by, order, &elements)?;
            order.sort(elements, weights, window)
        }
        None if request.order.is_descending => {
            let mut reversed = elements;
            reversed.reverse();
            cut(reversed, window)
        }
        None => cut(elements, window),
    };
    match request.store {
        Some(target) => store(ctx, target, &request.get, &elements),
        None => reply(ctx, &request.get, &elements),
    }
    Ok(())
}

fn cut(mut elements: Vec<StrBuf>, window: Range<usize>) -> Vec<StrBuf> {
    elements.truncate(window.end);
    elements.drain(..window.start);
    elements
}

/// The elements of a key in their order, and whether they have none because they are a set's.
fn elements(txn: &mut Txn<'_>, key: &[u8]) -> Result<(Vec<StrBuf>, bool), Error> {
    let mut text = itoa::Buffer::new();
    let mut all = Vec::new();
    let (mut is_set, mut is_zset) = (false, false);
    match txn.get(key) {
        None => {}
        Some(Value::Set(set)) => {
            is_set = true;
            all.reserve_exact(set.len());
            set.for_each(|member| all.push(StrBuf::from_slice(member.bytes(&mut text))));
        }
        Some(Value::List(list)) => {
            all.extend(
                list.iter()
                    .map(|item| StrBuf::from_slice(item.bytes(&mut text))),
            );
        }
        Some(Value::ZSet(zset)) => {
            is_zset = true;
            let members = zset.range(0..zset.len());
            all.extend(members.map(|(m, _)| StrBuf::from_slice(m.bytes(&mut text))));
        }
        Some(_) => return Err(Error::WrongType),
    }
    if is_zset {
        // Redis sorts the large form only, and leaves it behind.
        txn.enlarge_zset(key);
    }
    Ok((all, is_set))
}

/// What each element is sorted by.
fn weights(
    txn: &mut Txn<'_>,
    by: Option<Pattern<'_>>,
    order: Order,
    elements: &[StrBuf],
) -> Result<Vec<Weight>, Error> {
    const NOT_A_NUMBER: Error =
        Error::text("ERR One or more scores can't be converted into double");
    let weight = |bytes: Option<&[u8]>| match bytes {
        _ if order.is_alpha && by.is_none() => Some(Weight::Itself),
        bytes if order.is_alpha => Some(Weight::Text(bytes.map(StrBuf::from_slice))),
        None => Some(Weight::Number(0.0)),
        Some(bytes) => number(bytes).map(Weight::Number),
    };
    // All are looked at, as Redis does, also after one that is no number.
    let mut weights = Vec::with_capacity(elements.len());
    for element in elements {
        weights.extend(match by {
            None => weight(Some(element)),
            Some(pattern) => pattern.look_up(txn, element, weight),
        });
    }
    if weights.len() < elements.len() {
        return Err(NOT_A_NUMBER);
    }
    Ok(weights)
}

fn reply(ctx: &mut Ctx<'_>, get: &[Pattern<'_>], elements: &[StrBuf]) {
    ctx.reply.array(elements.len() * get.len().max(1));
    for element in elements {
        if get.is_empty() {
            ctx.reply.bulk(element);
        }
        for pattern in get {
            pattern.look_up(&mut ctx.txn, element, |value| match value {
                Some(value) => ctx.reply.bulk(value),
                None => ctx.reply.null(),
            });
        }
    }
}

fn store(ctx: &mut Ctx<'_>, target: &[u8], get: &[Pattern<'_>], elements: &[StrBuf]) {
    let max = ctx.txn.limits().list_max_listpack_size;
    let mut list = List::default();
    for element in elements {
        if get.is_empty() {
            list.push(End::Back, element, max);
        }
        for pattern in get {
            pattern.look_up(&mut ctx.txn, element, |value| {
                list.push(End::Back, value.unwrap_or(b""), max);
            });
        }
    }
    let len = list.len();
    if len > 0 {
        ctx.txn.put(target, Value::List(list), Expiry::Never);
        ctx.txn.notify(Notify::LIST, "sortstore", target);
    } else if ctx.txn.remove(target) {
        ctx.txn.notify(Notify::GENERIC, "del", target);
    }
    ctx.reply.integer(len as i64);
}

/// What a request asks for.
struct Request<'a> {
    /// Not where `BY` names a pattern that is the same for all.
    sorts: bool,
    by: Option<Pattern<'a>>,
    order: Order,
    limit: Option<(i64, i64)>,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, may_store: bool) -> Result<Self, Error> {
        let mut request = Self {
            sorts: true,
            by: None,
            order: Order::default(),
            limit: None,
            get: Vec::new(),
            store: None,
        };
        for option in Options::of(args) {
            match option.ok_or(Error::Syntax)? {
                SortOption::Ascending => request.order.is_descending = false,
                SortOption::Descending => request.order.is_descending = true,
                SortOption::Alpha => request.order.is_alpha = true,
                SortOption::Limit(offset, count) => {
                    let number = |text| parse_i64(text).ok_or(Error::NotInteger);
                    request.limit = Some((number(offset)?, number(count)?));
                }
                SortOption::By(_, pattern) => {
                    let pattern = Pattern::new(pattern);
                    request.by = pattern.has_star().then_some(pattern);
                    // Once one pattern is the same for all, the order is that of the key, whatever comes after.
                    request.sorts &= pattern.has_star();
                }
                SortOption::Get(_, pattern) => request.get.push(Pattern::new(pattern)),
                SortOption::Store(at) if may_store => {
                    request.store = Some(args.get(at));
                    request.order.is_exact = true;
                }
                SortOption::Store(_) => return Err(Error::Syntax),
            }
        }
        Ok(request)
    }

    /// The elements that `LIMIT` leaves of `len`.
    fn window(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(offset.max(0)).map_or(len, |start| start.min(len));
        let end = match usize::try_from(count) {
            Ok(count) => start.saturating_add(count).min(len),
            Err(_) => len,
        };
        start..end
    }
}

/// An option; an index counts from the first option on.
enum SortOption<'a> {
    Ascending,
    Descending,
    Alpha,
    Limit(&'a [u8], &'a [u8]),
    By(usize, &'a [u8]),
    Get(usize, &'a [u8]),
    Store(usize),
}

/// The options one by one; the last one is `None` if it is none.
struct Options<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> Options<'a> {
    fn of(args: Args<'a>) -> Self {
        Self { args, at: 0 }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Option<SortOption<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let word = self.args.try_get(at)?;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let (first, second) = (self.args.try_get(at + 1), self.args.try_get(at + 2));
        let (option, len) = match (first, second) {
            _ if is("asc") => (SortOption::Ascending, 1),
            _ if is("desc") => (SortOption::Descending, 1),
            _ if is("alpha") => (SortOption::Alpha, 1),
            (Some(offset), Some(count)) if is("limit") => (SortOption::Limit(offset, count), 3),
            (Some(_), _) if is("store") => (SortOption::Store(at + 1), 2),
            (Some(pattern), _) if is("by") => (SortOption::By(at + 1, pattern), 2),
            (Some(pattern), _) if is("get") => (SortOption::Get(at + 1, pattern), 2),
            _ => {
                self.at = self.args.len();
                return Some(None);
            }
        };
        self.at += len;
        Some(Some(option))
    }
}

/// The keys that patterns lead to cannot be told.
fn untold(_args: &Args<'_>) -> Option<usize> {
    None
}

/// The first option that may lead to any key, if nothing before it is at fault.
fn beyond_keys(args: &Args<'_>, may_store: bool) -> Option<&'static str> {
    for option in Options::of(args.skip(2)) {
        match option? {
            SortOption::Ascending | SortOption::Descending | SortOption::Alpha => {}
            SortOption::Limit(offset, count) => {
                parse_i64(offset).and(parse_i64(count))?;
            }
            SortOption::Store(_) => {
                may_store.then_some(())?;
            }
            SortOption::By(_, pattern) => {
                if Pattern::new(pattern).has_star() {
                    return Some("BY");
                }
            }
            SortOption::Get(..) => return Some("GET"),
        }
    }
    None
}

/// Where `STORE` names a key; the last one counts.
fn target(args: &Args<'_>) -> Option<usize> {
    const OPTIONS_AT: usize = 2;
    let stores = Options::of(args.skip(OPTIONS_AT)).filter_map(|option| match option {
        Some(SortOption::Store(at)) => Some(at + OPTIONS_AT),
        _ => None,
    });
    stores.last()
}

/// A pattern that leads to keys.
fn pattern(args: &Args<'_>) -> Option<usize> {
    const OPTIONS_AT: usize = 2;
    let mut patterns = Options::of(args.skip(OPTIONS_AT)).filter_map(|option| match option {
        Some(SortOption::By(at, text) | SortOption::Get(at, text)) => Some((at, text)),
        _ => None,
    });
    let found = patterns.find(|(_, text)| Pattern::new(text).has_star());
    found.map(|(at, _)| at + OPTIONS_AT)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;

    #[test]
    fn a_sorted_set_that_was_sorted_is_a_large_one() {
        let mut ours = Harness::new();
        for line in [
            "SORT z ALPHA",
            "SORT z BY nosort",
            "SORT z BY nosort LIMIT 5 1",
            "SORT z ALPHA STORE list",
            "SORT_RO z BY nosort GET #",
        ] {
            ours.line("DEL z");
            ours.line("ZADD z 3 a 1 b 2 c");
            let words: Vec<&str> = line.split(' ').collect();
            ours.run_and_roll_back(&words);
            ours.line("SORT z ALPHA LIMIT 0 x");
            // Here Redis has changed it already when it finds out.
            assert!(ours.line("SORT z").starts_with("-ERR One or more scores"));
            assert_eq!(ours.line("OBJECT ENCODING z"), "$8\r\nlistpack\r\n");
            ours.line(line);
            assert_eq!(ours.line("OBJECT ENCODING z"), "$8\r\nskiplist\r\n");
            ours.line("ZADD z 4 d");
            ours.run_and_roll_back(&words);
            ours.check_mirror();
        }
    }
}
