//! Replies as bytes.

use super::reply::{Protocol, Reply};
use crate::base::number;

/// Appends replies to a client's output buffer.
pub struct RespWriter<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> RespWriter<'a> {
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    fn aggregate(&mut self, resp3_prefix: u8, len: usize) {
        let prefix = if self.is_resp3() { resp3_prefix } else { b'*' };
        push_header(self.out, prefix, len as i64);
    }
}

impl Reply for RespWriter<'_> {
    #[inline]
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn switch_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    #[inline]
    fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    fn simple_bytes(&mut self, text: &[u8]) {
        push_line(self.out, b'+', text);
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        push_header(self.out, b':', value);
    }

    #[inline]
    fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + MAX_HEADER_LEN + CRLF.len());
        push_header(self.out, b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(CRLF);
    }

    #[inline]
    fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() {
            b"_\r\n"
        } else {
            b"$-1\r\n"
        });
    }

    #[inline]
    fn null_array(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() {
            b"_\r\n"
        } else {
            b"*-1\r\n"
        });
    }

    #[inline]
    fn array(&mut self, len: usize) {
        push_header(self.out, b'*', len as i64);
    }

    fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            push_header(self.out, b'%', pairs as i64);
        } else {
            self.array(pairs * 2);
        }
    }

    fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    fn double(&mut self, value: f64) {
        let text = number::DoubleText::new(value);
        if self.is_resp3() {
            push_line(self.out, b',', text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    fn decimal(&mut self, digits: &str) {
        if self.is_resp3() {
            push_line(self.out, b',', digits.as_bytes());
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    fn big_number(&mut self, digits: &str) {
        if self.is_resp3() {
            push_line(self.out, b'(', digits.as_bytes());
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    fn boolean(&mut self, value: bool) {
        let line = match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        };
        self.out.extend_from_slice(line);
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        debug_assert_eq!(format.len(), 3, "the protocol gives a format three letters");
        if self.is_resp3() {
            push_header(self.out, b'=', (format.len() + 1 + bytes.len()) as i64);
            self.out.extend_from_slice(format.as_bytes());
            self.out.push(b':');
            self.out.extend_from_slice(bytes);
            self.out.extend_from_slice(CRLF);
        } else {
            self.bulk(bytes);
        }
    }

    fn error_bytes(&mut self, text: &[u8]) {
        push_line(self.out, b'-', trim_line_ends(text));
    }
}

const CRLF: &[u8] = b"\r\n";
/// A prefix, the 20 characters of `i64::MIN`, CR and LF.
const MAX_HEADER_LEN: usize = 23;

/// Nearly every number on the wire has one or two digits, and those go out as one store of a known size.
#[inline]
fn push_header(out: &mut Vec<u8>, prefix: u8, value: i64) {
    match value {
        0..10 => out.extend_from_slice(&[prefix, b'0' + value as u8, b'\r', b'\n']),
        10..100 => {
            let (tens, ones) = (value as u8 / 10, value as u8 % 10);
            out.extend_from_slice(&[prefix, b'0' + tens, b'0' + ones, b'\r', b'\n']);
        }
        _ => push_long_header(out, prefix, value),
    }
}

fn push_long_header(out: &mut Vec<u8>, prefix: u8, value: i64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    out.reserve(MAX_HEADER_LEN);
    out.push(prefix);
    out.extend_from_slice(digits);
    out.extend_from_slice(CRLF);
}

/// One line whatever the text holds: a line break inside would let its author forge replies.
fn push_line(out: &mut Vec<u8>, prefix: u8, text: &[u8]) {
    out.reserve(text.len() + 1 + CRLF.len());
    out.push(prefix);
    let start = out.len();
    out.extend_from_slice(text);
    for byte in &mut out[start..] {
        if matches!(*byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(CRLF);
}

/// A text without the CR and LF around it.
pub fn trim_line_ends(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let Some(first) = text.iter().position(is_text) else {
        return &[];
    };
    let last = text.iter().rposition(is_text).unwrap_or(first);
    &text[first..=last]
}
