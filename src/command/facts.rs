//! What the commands say of themselves is what redis-server says of them.

use super::oracle::common::redis::RedisServer;
use super::oracle::common::resp::Reply;
use super::oracle::is_in_redis;
use super::spec::{Begin, Find, KeySpec, Spec};
use super::{Command, Handler, families};
use std::collections::BTreeMap;

#[test]
fn declarations_are_those_of_redis() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.call(&["HELLO", "3"]);
    let mut compared = 0;
    let known = || families().filter(|command| is_in_redis(&command.spec));
    for command in known() {
        let name = command.spec.name;
        let info = client.call(&["COMMAND", "INFO", name]).reply;
        let docs = client.call(&["COMMAND", "DOCS", name]).reply;
        let Reply::Array(infos) = info else {
            panic!("{info:?}");
        };
        let docs = fields(&docs).remove(name).expect("redis documents it");
        compared += compare(command, &infos[0], &docs);
    }
    let subcommands: usize = known().map(|command| command.subcommands.len()).sum();
    assert_eq!(compared, known().count() + subcommands);
    println!("compared: {compared} declarations");
}

/// Commands that take more arguments since 7.2, with the arity that they had.
const NEWER_ARITIES: &[(&str, i32)] = &[("zrank", 3), ("zrevrank", 3)];

fn compare(command: &Command<Handler>, info: &Reply, docs: &Reply) -> usize {
    let spec = &command.spec;
    let (info, docs) = (items(info), fields(docs));
    let (first, last, step) = spec.legacy_keys();
    assert_eq!(text(&info[0]), spec.name);
    let newer = NEWER_ARITIES.iter().find(|(name, _)| *name == spec.name);
    let arity = newer.map_or(spec.arity, |(_, arity)| *arity);
    let integers = [i64::from(arity), first, last, step];
    let theirs = [&info[1], &info[3], &info[4], &info[5]];
    let theirs = theirs.map(|reply| match reply {
        Reply::Integer(value) => *value,
        other => panic!("{other:?}"),
    });
    assert_eq!(integers, theirs, "{}: arity and key positions", spec.name);
    let names = |names: Vec<&str>| -> Vec<String> {
        let mut names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(spec.flags.names().collect()),
        texts(&info[2]),
        "{}",
        spec.name
    );
    assert_eq!(
        names(spec.acl_categories()),
        texts(&info[6]),
        "{}",
        spec.name
    );
    compare_keys(spec, &info[8]);
    let documented = ["since", "complexity", "summary", "group"].map(|field| text(&docs[field]));
    let ours = [
        spec.texts.since,
        spec.texts.complexity,
        spec.texts.summary,
        spec.group.name(),
    ];
    assert_eq!(documented, ours, "{}", spec.name);

    let mut compared = 1;
    for sub in command.subcommands {
        let mut theirs = items(&info[9]).iter();
        let theirs = theirs.find(|info| text(&items(info)[0]) == sub.spec.name);
        let documented = &fields(&docs["subcommands"])[sub.spec.name];
        compared += compare(sub, theirs.expect("redis has it"), documented);
    }
    assert_eq!(
        command.subcommands.len(),
        items(&info[9]).len(),
        "{}",
        spec.name
    );
    compared
}

fn compare_keys(spec: &Spec, theirs: &Reply) {
    let theirs: Vec<String> = items(theirs).iter().map(their_key).collect();
    let ours: Vec<String> = spec.shown_keys().map(our_key).collect();
    assert_eq!(ours, theirs, "{}: keys", spec.name);
}

fn our_key(key: &KeySpec) -> String {
    let mut flags: Vec<&str> = key.flags.names().collect();
    flags.sort_unstable();
    let begin = match key.begin {
        Begin::Found(_) => return format!("{flags:?} unknown"),
        Begin::Index(index) => format!("index {index}"),
        Begin::Keyword { word, from } => format!("keyword {word} {from}"),
    };
    match key.find {
        Find::Range { last, step } => format!("{flags:?} {begin} range {last} {step} 0"),
        Find::FirstHalf => format!("{flags:?} {begin} range -1 1 2"),
        Find::Count { at, first } => format!("{flags:?} {begin} keynum {at} {first} 1"),
    }
}

fn their_key(reply: &Reply) -> String {
    let key = fields(reply);
    let (begin, find) = (fields(&key["begin_search"]), fields(&key["find_keys"]));
    if text(&begin["type"]) == "unknown" {
        return format!("{:?} unknown", texts(&key["flags"]));
    }
    let (begin_spec, find_spec) = (fields(&begin["spec"]), fields(&find["spec"]));
    let (kind, fields) = match text(&find["type"]).as_str() {
        "range" => ("range", ["lastkey", "keystep", "limit"]),
        "keynum" => ("keynum", ["keynumidx", "firstkey", "keystep"]),
        other => panic!("{other}"),
    };
    let numbers = fields.map(|field| text(&find_spec[field])).join(" ");
    let begin_at = ["index", "keyword", "startfrom"];
    let begin_at = begin_at.iter().filter_map(|name| begin_spec.get(*name));
    let begin_at: Vec<String> = begin_at.map(text).collect();
    format!(
        "{:?} {} {} {kind} {numbers}",
        texts(&key["flags"]),
        text(&begin["type"]),
        begin_at.join(" "),
    )
}

fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items,
        other => panic!("{other:?}"),
    }
}

fn fields(reply: &Reply) -> BTreeMap<String, Reply> {
    let Reply::Map(items) = reply else {
        panic!("{reply:?}");
    };
    let pairs = items.chunks(2);
    pairs
        .map(|pair| (text(&pair[0]), pair[1].clone()))
        .collect()
}

fn texts(reply: &Reply) -> Vec<String> {
    let mut texts: Vec<String> = items(reply).iter().map(text).collect();
    texts.sort();
    texts
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) => text.clone(),
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Integer(value) => value.to_string(),
        other => panic!("{other:?}"),
    }
}
