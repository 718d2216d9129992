//! What COMMAND DOCS tells: as redis-server does, and in line with what the commands accept.

use super::oracle::{Ours, common};
use crate::command::{Argument, Kind, parse_syntax};
use crate::engine::registry::Registry;
use common::redis::RedisServer;
use common::resp::Reply;
use std::collections::BTreeMap;

/// What is of later versions, and so not told by the server that is asked here.
const NEWER: [&str; 2] = ["7.2", "7.4"];
/// A container here, so that the key of OBJECT is admitted.
const OTHERWISE: &[&str] = &["debug"];

#[test]
fn documents_are_those_of_redis_in_resp2() {
    compare("2");
}

#[test]
fn documents_are_those_of_redis_in_resp3() {
    compare("3");
}

fn compare(protocol: &str) {
    let (redis, mut ours) = (RedisServer::start(), Ours::start());
    let mut redis = redis.client();
    redis.call(&["HELLO", protocol]);
    ours.call(&["HELLO", protocol]);
    let registry = &ours.server.shared.registry;
    let names: Vec<&str> = registry.specs().iter().map(|spec| spec.name).collect();
    let (mut compared, mut differences) = (0, Vec::new());
    for name in names {
        let request = ["COMMAND", "DOCS", name];
        let (theirs, own) = (redis.call(&request), ours.call(&request));
        if fields(&theirs.reply).is_empty() || OTHERWISE.contains(&name) {
            continue;
        }
        compared += 1;
        let (theirs, own) = (comparable(theirs.reply), comparable(own.reply));
        if theirs != own {
            differences.push(format!("{name}\n  redis {theirs:?}\n  ours  {own:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 290, "only {compared} are in both");

    let all = ["COMMAND", "DOCS"];
    let (theirs, own) = (redis.call(&all).reply, ours.call(&all).reply);
    assert_eq!(
        std::mem::discriminant(&theirs),
        std::mem::discriminant(&own)
    );
    let (theirs, own) = (fields(&theirs), fields(&own));
    let of_both = theirs
        .into_iter()
        .filter(|(name, _)| own.contains_key(name));
    for (name, theirs) in of_both.filter(|(name, _)| !OTHERWISE.contains(&name.as_str())) {
        let own = comparable(own[&name].clone());
        assert_eq!(comparable(theirs), own, "{name}");
    }
}

/// A reply without what is of later versions, and without subcommands: they come in any order, and one by one.
fn comparable(reply: Reply) -> Reply {
    match reply {
        Reply::Map(items) => Reply::Map(without_later(items)),
        Reply::Array(items) => Reply::Array(without_later(items)),
        Reply::Set(items) => Reply::Set(without_later(items)),
        other => other,
    }
}

fn without_later(items: Vec<Reply>) -> Vec<Reply> {
    let mut kept: Vec<Reply> = Vec::new();
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        if is_text(&item, |text| text == "subcommands") {
            items.next();
        } else if !is_newer(&item) {
            kept.push(comparable(item));
        }
    }
    // A list that is empty without them is not told at all.
    let empty = kept.windows(2).position(|pair| {
        is_text(&pair[0], |text| text == "history")
            && matches!(&pair[1], Reply::Array(rows) | Reply::Set(rows) if rows.is_empty())
    });
    if let Some(at) = empty {
        kept.drain(at..at + 2);
    }
    kept
}

/// Whether this is an argument or a row of the history of a later version.
fn is_newer(item: &Reply) -> bool {
    let (Reply::Map(items) | Reply::Array(items)) = item else {
        return false;
    };
    let is_later = |reply: &Reply| {
        is_text(reply, |text| {
            NEWER.iter().any(|version| text.starts_with(version))
        })
    };
    let is_row = items.len() == 2 && is_later(&items[0]);
    let is_argument = items
        .first()
        .is_some_and(|name| is_text(name, |text| text == "name"));
    is_row
        || is_argument
            && items
                .windows(2)
                .any(|pair| is_text(&pair[0], |text| text == "since") && is_later(&pair[1]))
}

fn is_text(reply: &Reply, is_so: impl Fn(&str) -> bool) -> bool {
    matches!(reply, Reply::Bulk(bytes) if std::str::from_utf8(bytes).is_ok_and(is_so))
}

/// The pairs of a map, which RESP2 sends as an array.
fn fields(reply: &Reply) -> BTreeMap<String, Reply> {
    let (Reply::Map(items) | Reply::Array(items)) = reply else {
        panic!("{reply:?}")
    };
    let pairs = items.chunks(2).map(|pair| match &pair[0] {
        Reply::Bulk(name) => (String::from_utf8_lossy(name).into_owned(), pair[1].clone()),
        other => panic!("{other:?}"),
    });
    pairs.collect()
}

/// Commands for which what Redis documents and how many arguments it takes do not agree.
const MISCOUNTED: &[&str] = &[
    "client|kill",
    "command|getkeys",
    "command|getkeysandflags",
    "geohash",
    "geopos",
    "pfmerge",
    "quit",
];

#[test]
fn every_syntax_is_read_and_agrees_with_the_arity() {
    let registry = Registry::new();
    let mut wrong = Vec::new();
    for spec in registry.specs() {
        let arguments = match parse_syntax(spec.texts.syntax) {
            Ok(arguments) => arguments,
            Err(malformed) => {
                wrong.push(format!("{}: {malformed:?}", spec.name));
                continue;
            }
        };
        let (least, is_open) = arguments.iter().map(count).fold((0, false), add);
        let words = least + 1 + spec.name.matches('|').count() as i32;
        let arity = if is_open { -words } else { words };
        // What is not a command without a subcommand documents no arguments.
        let has_subcommands = registry
            .get(spec.name.as_bytes())
            .is_some_and(|entry| !entry.subcommands.is_empty());
        let agrees = arity == spec.arity || has_subcommands;
        if agrees == MISCOUNTED.contains(&spec.name) {
            wrong.push(format!("{}: {} is not {arity}", spec.name, spec.arity));
        }
        let keys = arguments.iter().flat_map(key_specs);
        let known = spec.shown_keys().count();
        for number in keys.filter(|number| *number >= known) {
            wrong.push(format!("{}: no key specification {number}", spec.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The least number of words of an argument, and whether there may be more.
fn count(argument: &Argument) -> (i32, bool) {
    let parts = argument.parts.iter().map(count);
    let (mut least, mut is_open) = match argument.kind {
        Kind::Token => (0, false),
        Kind::Block => parts.fold((0, false), add),
        Kind::OneOf => {
            let all: Vec<_> = parts.collect();
            let least = all.iter().map(|(least, _)| *least).min().unwrap_or(0);
            let differ = all
                .iter()
                .any(|(words, is_open)| *is_open || *words != least);
            (least, differ)
        }
        _ => (1, false),
    };
    least += i32::from(argument.token.is_some());
    is_open |= argument.is_optional || argument.is_multiple;
    (if argument.is_optional { 0 } else { least }, is_open)
}

fn add(left: (i32, bool), right: (i32, bool)) -> (i32, bool) {
    (left.0 + right.0, left.1 || right.1)
}

fn key_specs(argument: &Argument) -> Vec<usize> {
    let parts = argument.parts.iter().flat_map(key_specs);
    argument.key_spec.into_iter().chain(parts).collect()
}
