//! The reply of a command on its way to Lua.

use crate::resp::{Protocol, Reply, trim_line_ends};

/// A command's reply as a flat list, kept and reused by its VM: no RESP is written or parsed between a handler and
/// a script.
///
/// A handler does not push onto the Lua stack itself, since Lua leaves a failed push with a longjmp, which must not
/// pass over a handler's live values. The copy costs a few nanoseconds for the replies that scripts see.
#[derive(Debug, Default)]
pub struct ReplyTokens {
    protocol: Protocol,
    tokens: Vec<Token>,
    bytes: Vec<u8>,
    /// The command was not run.
    refused: bool,
}

/// One step of a reply; aggregates announce their elements, which follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token {
    Null,
    Integer(i64),
    Double(f64),
    Boolean(bool),
    Simple(Text),
    Bulk(Text),
    Error(Text),
    BigNumber(Text),
    Verbatim { format: [u8; 3], text: Text },
    Array(usize),
    Map(usize),
    Set(usize),
}

/// Where the bytes of a token are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    start: usize,
    len: usize,
}

/// A reply larger than this gives its memory back when the next one begins.
const BYTES_KEPT_MAX: usize = 64 * 1024;
const TOKENS_KEPT_MAX: usize = 4 * 1024;

impl ReplyTokens {
    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Forgets what was answered.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.bytes.clear();
        self.refused = false;
        if self.bytes.capacity() > BYTES_KEPT_MAX {
            self.bytes.shrink_to(BYTES_KEPT_MAX);
        }
        if self.tokens.capacity() > TOKENS_KEPT_MAX {
            self.tokens.shrink_to(TOKENS_KEPT_MAX);
        }
    }

    /// The error of a command that may not be run.
    pub fn refuse(&mut self, text: &str) {
        self.error(text);
        self.refused = true;
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.refused
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn text(&self, text: Text) -> &[u8] {
        &self.bytes[text.start..text.start + text.len]
    }

    /// The text of the reply if it is an error.
    pub fn error_text(&self) -> Option<&[u8]> {
        match self.tokens.first() {
            Some(&Token::Error(text)) => Some(self.text(text)),
            _ => None,
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Text {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Text {
            start,
            len: bytes.len(),
        }
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }
}

impl Reply for ReplyTokens {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn simple_bytes(&mut self, text: &[u8]) {
        let text = self.keep(text);
        self.tokens.push(Token::Simple(text));
    }

    fn integer(&mut self, value: i64) {
        self.tokens.push(Token::Integer(value));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        let text = self.keep(bytes);
        self.tokens.push(Token::Bulk(text));
    }

    fn null(&mut self) {
        self.tokens.push(Token::Null);
    }

    fn null_array(&mut self) {
        self.tokens.push(Token::Null);
    }

    fn array(&mut self, len: usize) {
        self.tokens.push(Token::Array(len));
    }

    fn map(&mut self, pairs: usize) {
        self.tokens.push(if self.is_resp3() {
            Token::Map(pairs)
        } else {
            Token::Array(pairs * 2)
        });
    }

    fn set(&mut self, len: usize) {
        self.tokens.push(if self.is_resp3() {
            Token::Set(len)
        } else {
            Token::Array(len)
        });
    }

    fn push(&mut self, len: usize) {
        self.tokens.push(Token::Array(len));
    }

    fn double(&mut self, value: f64) {
        if self.is_resp3() {
            self.tokens.push(Token::Double(value));
        } else {
            self.bulk(crate::base::number::DoubleText::new(value).as_bytes());
        }
    }

    fn decimal(&mut self, digits: &str) {
        match digits.parse() {
            Ok(value) if self.is_resp3() => self.tokens.push(Token::Double(value)),
            _ => self.bulk(digits.as_bytes()),
        }
    }

    fn big_number(&mut self, digits: &str) {
        let text = self.keep(digits.as_bytes());
        self.tokens.push(if self.is_resp3() {
            Token::BigNumber(text)
        } else {
            Token::Bulk(text)
        });
    }

    fn boolean(&mut self, value: bool) {
        self.tokens.push(if self.is_resp3() {
            Token::Boolean(value)
        } else {
            Token::Integer(value.into())
        });
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        let text = self.keep(bytes);
        let format: [u8; 3] = format.as_bytes().try_into().unwrap_or(*b"txt");
        self.tokens.push(if self.is_resp3() {
            Token::Verbatim { format, text }
        } else {
            Token::Bulk(text)
        });
    }

    fn error_bytes(&mut self, text: &[u8]) {
        let text = self.keep(trim_line_ends(text));
        self.tokens.push(Token::Error(text));
    }
}
