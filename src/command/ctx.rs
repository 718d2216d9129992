//! What a handler gets.

use super::error::Error;
use super::waiting::Waiting;
use crate::base::number::parse_i64;
use crate::keyspace::Txn;
use crate::resp::{Args, Reply};
use crate::value::{Str, Value};

/// One request on its way through a handler.
pub struct Ctx<'a> {
    pub txn: Txn<'a>,
    /// The request with its name; arity has been checked.
    pub args: Args<'a>,
    pub reply: &'a mut dyn Reply,
    /// The longest string that a command may make (`proto-max-bulk-len`).
    pub string_len_max: usize,
    /// For commands that choose at random. A script's is seeded the same on every run.
    pub rng: &'a mut fastrand::Rng,
    /// Whether the command may wait for data (see `waiting.rs`).
    pub waiting: Waiting,
}

/// A data command's code.
pub type Handler = fn(&mut Ctx<'_>) -> Result<(), Error>;

impl<'a> Ctx<'a> {
    #[inline]
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index)
    }

    /// An argument as an integer.
    #[inline]
    pub fn int(&self, index: usize) -> Result<i64, Error> {
        parse_i64(self.arg(index)).ok_or(Error::NotInteger)
    }

    pub fn now_ms(&self) -> i64 {
        self.txn.now_ms()
    }

    /// The string at a key.
    #[inline]
    pub fn string<'t>(txn: &'t mut Txn<'_>, key: &[u8]) -> Result<Option<&'t Str>, Error> {
        txn.get(key).map(as_string).transpose()
    }

    /// The string at a key for a command that changes it: neither a hit nor a miss.
    #[inline]
    pub fn string_to_change<'t>(
        txn: &'t mut Txn<'_>,
        key: &[u8],
    ) -> Result<Option<&'t Str>, Error> {
        txn.peek(key).map(as_string).transpose()
    }

    /// Whether a string may become `len` bytes and `more` long.
    pub fn check_string_len(&self, len: usize, more: usize) -> Result<(), Error> {
        match len.checked_add(more) {
            Some(total) if total <= self.string_len_max => Ok(()),
            _ => Err(Error::StringTooLong),
        }
    }

    /// Answers with a string, or with null where there is none.
    pub fn reply_string(reply: &mut dyn Reply, string: Option<&Str>) {
        match string {
            None => reply.null(),
            Some(string) => reply.bulk(string.bytes(&mut itoa::Buffer::new())),
        }
    }
}

/// The one place where a command for strings meets a value of another type.
#[inline]
fn as_string(value: &Value) -> Result<&Str, Error> {
    match value {
        Value::Str(string) => Ok(string),
        _ => Err(Error::WrongType),
    }
}
