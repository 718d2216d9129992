//! COMMAND GETKEYS and its like against redis-server: random requests of every command, made of its syntax.

use super::oracle::{Ours, common};
use crate::command::{Argument, KeyFlags, Kind, parse_syntax};
use crate::engine::registry::Registry;
use common::redis::RedisServer;
use common::resp::Reply;
use common::rng::Rng;

/// Requests of one run; the environment variable asks for more.
const REQUESTS: usize = 4000;
/// Commands that are told otherwise, and why.
const OTHERWISE: &[&str] = &[
    // Containers here; in Redis they have no subcommands, or none that it tells of.
    "debug", //
    // They take an argument of a later version.
    "zrank", "zrevrank",
];

#[test]
fn keys_are_those_of_redis() {
    let (redis, mut ours) = (RedisServer::start(), Ours::start());
    let mut redis = redis.client();
    let requests = std::env::var("AIKV_ORACLE_REQUESTS")
        .map_or(REQUESTS, |text| text.parse().expect("a number"));
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    let registry = Registry::new();
    let mut compared = 0;
    while compared < requests {
        let spec = registry.specs()[rng.below(registry.specs().len())];
        let container = spec.name.split('|').next().unwrap_or_default();
        let is_in_redis = redis.call(&["COMMAND", "INFO", spec.name]).reply;
        if is_in_redis == Reply::Array(vec![Reply::Null]) || OTHERWISE.contains(&container) {
            continue;
        }
        compared += 1;
        let mut request = vec!["COMMAND", "GETKEYS"];
        request.extend(spec.name.split('|'));
        let arguments = parse_syntax(spec.texts.syntax).unwrap();
        let made = words(&mut rng, &arguments);
        request.extend(made.iter().map(String::as_str));
        match rng.below(20) {
            0 if request.len() > 3 => drop(request.pop()),
            1 => request.push("extra"),
            _ => {}
        }
        let (theirs, own) = (redis.call(&request), ours.call(&request));
        assert_eq!(own.raw, theirs.raw, "{request:?}");

        request[1] = "GETKEYSANDFLAGS";
        let (theirs, own) = (redis.call(&request), ours.call(&request));
        let varies = |key: &KeyFlags| key.contains(KeyFlags::VARIABLE_FLAGS);
        if spec
            .keys
            .iter()
            .map(|key| key.flags)
            .any(|key| varies(&key))
        {
            assert_eq!(names(&own.reply), names(&theirs.reply), "{request:?}");
        } else {
            assert_eq!(own.raw, theirs.raw, "{request:?}");
        }
    }
}

/// The keys without what is done with them.
fn names(reply: &Reply) -> Vec<&Reply> {
    let Reply::Array(keys) = reply else {
        return vec![reply];
    };
    let names = keys.iter().map(|key| match key {
        Reply::Array(pair) => &pair[0],
        other => other,
    });
    names.collect()
}

/// Words that a syntax allows, as a rule.
fn words(rng: &mut Rng, arguments: &[Argument]) -> Vec<String> {
    let mut words = Vec::new();
    for argument in arguments {
        if argument.is_optional && rng.one_in(2) {
            continue;
        }
        let times = if argument.is_multiple {
            1 + rng.below(3)
        } else {
            1
        };
        for time in 0..times {
            if time == 0 || argument.repeats_token {
                words.extend(argument.token.map(str::to_owned));
            }
            words.extend(value(rng, argument));
        }
    }
    words
}

fn value(rng: &mut Rng, argument: &Argument) -> Vec<String> {
    const ODD: [&str; 4] = ["-1", "x", "", "99999999999999999999"];
    match argument.kind {
        Kind::Token => Vec::new(),
        Kind::Block => words(rng, &argument.parts),
        Kind::OneOf => {
            let choice = rng.below(argument.parts.len());
            words(rng, &argument.parts[choice..=choice])
        }
        Kind::Integer if rng.one_in(20) => vec![rng.pick(&ODD).to_owned()],
        Kind::Integer => vec![rng.below(4).to_string()],
        _ => vec![format!("{}{}", argument.name, rng.below(5))],
    }
}
