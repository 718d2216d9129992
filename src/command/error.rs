//! Every error text that a command can answer with, word for word as Redis 7 has it.

use crate::keyspace::WrongType;
use std::borrow::Cow;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    Syntax,
    WrongType,
    NotInteger,
    NotFloat,
    NanOrInfinity,
    Overflow,
    NoSuchKey,
    IndexOutOfRange,
    OffsetOutOfRange,
    StringTooLong,
    InvalidExpire(Box<str>),
    DbIndexOutOfRange,
    InvalidDbIndex,
    InvalidCursor,
    SameObject,
    BitOffset,
    BitValue,
    TargetExists,
    BadDump,
    InvalidTtl,
    UnknownSubcommand {
        sub: Box<str>,
        command: Box<str>,
    },
    WrongArity(Box<str>),
    /// The whole line, such as `ERR bit is not an integer or out of range`, for a text that one command alone has.
    Other(Cow<'static, str>),
}

impl From<WrongType> for Error {
    fn from(_: WrongType) -> Self {
        Error::WrongType
    }
}

impl Error {
    pub const fn text(line: &'static str) -> Self {
        Error::Other(Cow::Borrowed(line))
    }

    /// The line that goes on the wire, without its `-`.
    pub fn line(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Error::Syntax => "ERR syntax error",
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::NotFloat => "ERR value is not a valid float",
            Error::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            Error::Overflow => "ERR increment or decrement would overflow",
            Error::NoSuchKey => "ERR no such key",
            Error::IndexOutOfRange => "ERR index out of range",
            Error::OffsetOutOfRange => "ERR offset is out of range",
            Error::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Error::DbIndexOutOfRange => "ERR DB index is out of range",
            Error::InvalidDbIndex => "ERR invalid DB index",
            Error::InvalidCursor => "ERR invalid cursor",
            Error::SameObject => "ERR source and destination objects are the same",
            Error::BitOffset => "ERR bit offset is not an integer or out of range",
            Error::BitValue => "ERR bit is not an integer or out of range",
            Error::TargetExists => "BUSYKEY Target key name already exists.",
            Error::BadDump => "ERR Bad data format",
            Error::InvalidTtl => "ERR Invalid TTL value, must be >= 0",
            Error::InvalidExpire(command) => {
                return format!("ERR invalid expire time in '{command}' command").into();
            }
            Error::UnknownSubcommand { sub, command } => {
                return format!("ERR unknown subcommand '{sub}'. Try {command} HELP.").into();
            }
            Error::WrongArity(command) => {
                return format!("ERR wrong number of arguments for '{command}' command").into();
            }
            Error::Other(line) => return line.clone(),
        })
    }
}
