//! The commands of streams: what several of the files here need to read a request and to answer it.
//!
//! Invariants: all that can be wrong with a request is found before anything changes; an answer is made of the stream as it
//! is after all changes. Depends on `keyspace`, `value`, `resp`, `base` and on the parts of `command` that all families use.

mod add;
mod claim;
mod group;
mod info;
mod info_full;
mod pending;
mod range;
mod read;

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::Command;
use crate::resp::Reply;
use crate::value::Stream;
use crate::value::stream::{Entry, Fields, GroupKey, IdBuffer, IdText, StreamId};
use std::borrow::Cow;

pub fn commands() -> [&'static [Command<Handler>]; 7] {
    [
        add::COMMANDS,
        claim::COMMANDS,
        group::COMMANDS,
        info::COMMANDS,
        pending::COMMANDS,
        range::COMMANDS,
        read::COMMANDS,
    ]
}

const INVALID_ID: Error = Error::text("ERR Invalid stream ID specified as stream command argument");

/// An id with `seq` for a missing number.
fn parse_id(text: &[u8], seq: u64) -> Result<StreamId, Error> {
    let id = IdText::parse(text).and_then(|id| id.or_seq(seq));
    id.ok_or(INVALID_ID)
}

/// The same, and `-` and `+` for the lowest and the highest id.
fn parse_id_or_edge(text: &[u8], seq: u64) -> Result<StreamId, Error> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse_id(text, seq),
    }
}

/// The first id of an interval; `(` before it leaves it out.
fn parse_start(text: &[u8]) -> Result<StreamId, Error> {
    const INVALID: Error = Error::text("ERR invalid start ID for the interval");
    match text {
        [b'(', id @ ..] if !id.is_empty() => parse_id(id, 0)?.next().ok_or(INVALID),
        _ => parse_id_or_edge(text, 0),
    }
}

/// The last id of an interval; `(` before it leaves it out.
fn parse_end(text: &[u8]) -> Result<StreamId, Error> {
    const INVALID: Error = Error::text("ERR invalid end ID for the interval");
    match text {
        [b'(', id @ ..] if !id.is_empty() => parse_id(id, u64::MAX)?.previous().ok_or(INVALID),
        _ => parse_id_or_edge(text, u64::MAX),
    }
}

fn reply_id(reply: &mut dyn Reply, id: StreamId) {
    reply.bulk(id.text(&mut IdBuffer::default()));
}

fn reply_entry(reply: &mut dyn Reply, entry: Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply_fields(reply, entry.fields);
}

fn reply_fields(reply: &mut dyn Reply, fields: Fields<'_>) {
    reply.array(2 * fields.len());
    for (name, value) in fields {
        reply.bulk(name.bytes(&mut itoa::Buffer::new()));
        reply.bulk(value.bytes(&mut itoa::Buffer::new()));
    }
}

/// A count of something, or null where it is not known.
fn reply_known(reply: &mut dyn Reply, count: Option<i64>) {
    match count {
        Some(count) => reply.integer(count),
        None => reply.null(),
    }
}

/// A name in an error, as far as C would print it.
fn shown(name: &[u8]) -> Cow<'_, str> {
    let end = name.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&name[..end.unwrap_or(name.len())])
}

fn no_group(key: &[u8], group: &[u8]) -> Error {
    let (key, group) = (shown(key), shown(group));
    Error::Other(format!("NOGROUP No such key '{key}' or consumer group '{group}'").into())
}

fn no_group_for_key(key: &[u8], group: &[u8]) -> Error {
    let (key, group) = (shown(key), shown(group));
    Error::Other(format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into())
}

/// A request that is for no subcommand as it stands.
fn no_subcommand(container: &str, sub: &[u8]) -> Error {
    let sub = shown(sub);
    let line = format!(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try {container} HELP."
    );
    Error::Other(line.into())
}

/// The group of a request whose key and group are its first two arguments, and of which they have to be there.
fn read_group<'t>(ctx: &'t mut Ctx<'_>) -> Result<(&'t Stream, GroupKey), Error> {
    let (key, name) = (ctx.arg(1), ctx.arg(2));
    let stream = ctx.txn.read::<Stream>(key)?;
    let found = stream.and_then(|stream| Some((stream, stream.find_group(name)?)));
    found.ok_or_else(|| no_group(key, name))
}

fn reply_help(ctx: &mut Ctx<'_>, lines: &[&str]) {
    ctx.reply.array(lines.len());
    for line in lines {
        ctx.reply.simple(line);
    }
}

/// A word of a request, whatever its case.
fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}
