//! How a command answers.

/// The dialect a client chose with `HELLO`, or a script with `redis.setresp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// The destination of a reply: bytes for a client ([`super::RespWriter`]), values for a script, a record for later
/// ([`super::Recorder`]).
///
/// A handler says what it means (a map, a double, a null) and the destination decides how its protocol shows that.
/// `array`, `map`, `set` and `push` only announce: the elements follow as so many replies (a map's as key, value,
/// key, value).
pub trait Reply {
    fn protocol(&self) -> Protocol;

    /// HELLO changes the protocol, and its own reply is the first in the new one. A script's destination has no dialect
    /// that a command could change.
    fn switch_protocol(&mut self, _protocol: Protocol) {}

    /// A status line. CR and LF in it become spaces.
    fn simple_bytes(&mut self, text: &[u8]);
    fn integer(&mut self, value: i64);
    fn bulk(&mut self, bytes: &[u8]);
    /// RESP2 `$-1`, RESP3 `_`.
    fn null(&mut self);
    /// RESP2 `*-1`, RESP3 `_`.
    fn null_array(&mut self);
    fn array(&mut self, len: usize);
    /// RESP2: an array of twice as many elements.
    fn map(&mut self, pairs: usize);
    /// RESP2: an array.
    fn set(&mut self, len: usize);
    /// RESP2: an array.
    fn push(&mut self, len: usize);
    /// RESP2: a bulk string.
    fn double(&mut self, value: f64);
    /// A double in digits that the command chose. RESP2: a bulk string.
    fn decimal(&mut self, digits: &str);
    /// RESP2: a bulk string.
    fn big_number(&mut self, digits: &str);
    /// RESP2: the integers 0 and 1.
    fn boolean(&mut self, value: bool);
    /// `format` has three letters: `txt` or `mkd`. RESP2: a bulk string.
    fn verbatim(&mut self, format: &str, bytes: &[u8]);
    /// An error without its `-`, such as `ERR no such key`. CR and LF around it are cut, those inside become spaces.
    fn error_bytes(&mut self, text: &[u8]);

    fn ok(&mut self) {
        self.simple_bytes(b"OK");
    }

    fn simple(&mut self, text: &str) {
        self.simple_bytes(text.as_bytes());
    }

    fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An integer as a bulk string.
    fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }
}
