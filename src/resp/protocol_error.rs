//! What a client can do wrong before there is a command. Each ends its connection.

use super::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    TooBigInlineRequest,
    UnbalancedQuotes,
    TooBigMultibulkCount,
    InvalidMultibulkLength,
    UnauthenticatedMultibulkLength,
    TooBigBulkCount,
    ExpectedDollar { got: u8 },
    InvalidBulkLength,
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// Tells the client; the caller then closes the connection.
    pub fn write_to(self, reply: &mut dyn Reply) {
        let Self::ExpectedDollar { got } = self else {
            return reply.error(&format!("{PREFIX}{}", self.reason()));
        };
        // The byte goes back as it came, which need not be UTF-8. C's formatting ends at a NUL, quote included.
        let mut text = format!("{PREFIX}{}'", self.reason()).into_bytes();
        if got != 0 {
            text.extend_from_slice(&[got, b'\'']);
        }
        reply.error_bytes(&text);
    }

    fn reason(self) -> &'static str {
        match self {
            Self::TooBigInlineRequest => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::ExpectedDollar { .. } => "expected '$', got ",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
        }
    }
}

const PREFIX: &str = "ERR Protocol error: ";

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.reason())?;
        match self {
            Self::ExpectedDollar { got } => write!(formatter, "'{}'", got.escape_ascii()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}
