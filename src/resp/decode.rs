//! Requests from bytes.

use super::args::{Args, Span};
use super::inline;
use super::protocol_error::ProtocolError;
use crate::base::number;

/// What a client may send. Handed to every call, so that `CONFIG SET` and `AUTH` take effect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Option `proto-max-bulk-len`.
    pub max_bulk_len: usize,
    pub max_args: usize,
    /// Length of an inline request, and of the line that carries a count or a length. At least [`MIN_INLINE`].
    pub max_inline: usize,
    /// Without it a client may send just enough to log in: it must not fill the memory of a server it has no
    /// password for.
    pub authenticated: bool,
}

pub const MAX_BULK_LEN: usize = 512 * 1024 * 1024;
/// As in Redis 7.0. It promises nothing: memory grows with the arguments that have come, not with their count.
pub const MAX_ARGS: usize = i32::MAX as usize;
pub const MAX_INLINE: usize = 64 * 1024;
/// Counts and lengths of two digits are read without a look at the limit.
pub const MIN_INLINE: usize = 3;
pub const UNAUTHENTICATED_MAX_ARGS: usize = 10;
pub const UNAUTHENTICATED_MAX_BULK_LEN: usize = 16384;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bulk_len: MAX_BULK_LEN,
            max_args: MAX_ARGS,
            max_inline: MAX_INLINE,
            authenticated: true,
        }
    }
}

/// What the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request; [`Decoder::args`] shows it. It takes the first `consumed` bytes.
    Request { consumed: usize },
    /// An empty line or an empty array, which needs no answer. It takes the first `consumed` bytes.
    Blank { consumed: usize },
    /// No whole request yet: at least `missing` more bytes belong to it. That is what the client promised, so a
    /// buffer should not grow by more than the reader is willing to lose to a liar.
    Incomplete { missing: usize },
}

/// Finds the requests in a connection's unread input, one at a time.
///
/// Between calls the input may move and must only grow, until a request or a blank was found: then its `consumed`
/// bytes are taken away before the next call. After an error the connection is at its end.
#[derive(Debug, Default)]
pub struct Decoder {
    spans: Vec<Span>,
    /// The arguments of an inline request, which cannot point into the input because of their escapes.
    unquoted: Vec<u8>,
    /// All before it is decoded.
    position: usize,
    /// From `position` on, so many bytes hold no end of line.
    scanned: usize,
    missing_args: usize,
    /// Length of the argument that starts at `position`.
    bulk_len: Option<usize>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Reading,
    /// The last step was a request, in the input or in `unquoted`, or a blank.
    Finished { inline: bool },
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub fn next(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        if self.phase != Phase::Reading {
            self.start_over();
        }
        debug_assert!(
            input.len() >= self.position,
            "input was taken away in the middle of a request"
        );
        if self.missing_args == 0 {
            match input.first() {
                None => return Ok(Step::Incomplete { missing: 1 }),
                Some(b'*') => match self.read_count(input, limits)? {
                    None => return Ok(Step::Incomplete { missing: 1 }),
                    Some(0) => return Ok(self.blank()),
                    Some(count) => self.missing_args = count,
                },
                Some(_) => return self.read_inline(input, limits),
            }
        }
        self.read_args(input, limits)
    }

    /// The request that the last call of [`Decoder::next`] found at the start of `input`.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        debug_assert!(self.phase != Phase::Reading, "there is no whole request");
        let buffer = if self.phase == (Phase::Finished { inline: true }) {
            &self.unquoted
        } else {
            input
        };
        Args::from_spans(buffer, &self.spans)
    }

    #[cfg(test)]
    pub(super) fn args_capacity(&self) -> usize {
        self.spans.capacity()
    }

    fn start_over(&mut self) {
        self.spans.clear();
        self.unquoted.clear();
        if self.spans.capacity() > KEPT_SPANS {
            self.spans.shrink_to(KEPT_SPANS);
        }
        if self.unquoted.capacity() > KEPT_UNQUOTED {
            self.unquoted.shrink_to(KEPT_UNQUOTED);
        }
        self.position = 0;
        self.scanned = 0;
        self.phase = Phase::Reading;
    }

    fn blank(&mut self) -> Step {
        self.phase = Phase::Finished { inline: false };
        Step::Blank {
            consumed: self.position,
        }
    }

    /// The number of arguments, 0 if the client says "none" in one of several ways.
    #[inline]
    fn read_count(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(line) =
            self.read_line(input, limits, b'*', ProtocolError::TooBigMultibulkCount)?
        else {
            return Ok(None);
        };
        let count = match line.number {
            Some(count) if count <= limits.max_args as i64 => count.max(0) as usize,
            _ => return Err(ProtocolError::InvalidMultibulkLength),
        };
        if count > UNAUTHENTICATED_MAX_ARGS && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(Some(count))
    }

    #[inline]
    fn read_args(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        loop {
            let len = match self.bulk_len.take() {
                Some(len) => len,
                None => match self.read_bulk_len(input, limits)? {
                    Some(len) => len,
                    None => return Ok(Step::Incomplete { missing: 1 }),
                },
            };
            let available = input.len() - self.position;
            let needed = len.saturating_add(CRLF_LEN);
            if available < needed {
                self.bulk_len = Some(len);
                return Ok(Step::Incomplete {
                    missing: needed - available,
                });
            }
            self.spans.push(Span {
                start: self.position,
                len,
            });
            self.position += needed;
            self.missing_args -= 1;
            if self.missing_args == 0 {
                self.phase = Phase::Finished { inline: false };
                return Ok(Step::Request {
                    consumed: self.position,
                });
            }
        }
    }

    #[inline]
    fn read_bulk_len(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.read_line(input, limits, b'$', ProtocolError::TooBigBulkCount)?
        else {
            return Ok(None);
        };
        if line.prefix != b'$' {
            return Err(ProtocolError::ExpectedDollar { got: line.prefix });
        }
        let len = match line.number.map(usize::try_from) {
            Some(Ok(len)) if len <= limits.max_bulk_len => len,
            _ => return Err(ProtocolError::InvalidBulkLength),
        };
        if len > UNAUTHENTICATED_MAX_BULK_LEN && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        Ok(Some(len))
    }

    /// Takes the line at `position`. Nearly always it is the expected one with one or two digits.
    #[inline]
    fn read_line(
        &mut self,
        input: &[u8],
        limits: &Limits,
        expected: u8,
        too_long: ProtocolError,
    ) -> Result<Option<Line>, ProtocolError> {
        let (digits, number) = match input[self.position..] {
            [prefix, ones @ b'0'..=b'9', b'\r', _, ..] if prefix == expected => (1, ones - b'0'),
            [prefix, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..]
                if prefix == expected =>
            {
                (2, (tens - b'0') * 10 + (ones - b'0'))
            }
            _ => return self.read_long_line(input, limits, too_long),
        };
        self.position += 1 + digits + CRLF_LEN;
        self.scanned = 0;
        Ok(Some(Line {
            prefix: expected,
            number: Some(i64::from(number)),
        }))
    }

    #[inline(never)]
    fn read_long_line(
        &mut self,
        input: &[u8],
        limits: &Limits,
        too_long: ProtocolError,
    ) -> Result<Option<Line>, ProtocolError> {
        let rest = &input[self.position..];
        let Some(end) = self.find_line_end(b'\r', rest, limits.max_inline, too_long)? else {
            return Ok(None);
        };
        // The byte after the CR must be there, though it is not looked at: so Redis does it.
        if rest.len() < end + CRLF_LEN {
            return Ok(None);
        }
        let Some((&prefix, digits)) = rest[..end].split_first() else {
            // An empty line where a `$` should be: the CR itself is what came instead.
            self.scanned = 0;
            return Ok(Some(Line {
                prefix: b'\r',
                number: None,
            }));
        };
        self.position += end + CRLF_LEN;
        self.scanned = 0;
        Ok(Some(Line {
            prefix,
            number: number::parse_i64(digits),
        }))
    }

    fn read_inline(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        let end = self.find_line_end(
            b'\n',
            input,
            limits.max_inline,
            ProtocolError::TooBigInlineRequest,
        )?;
        let Some(end) = end else {
            return Ok(Step::Incomplete { missing: 1 });
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        inline::split(line, &mut self.unquoted, &mut self.spans)?;
        self.position = end + 1;
        if self.spans.is_empty() {
            return Ok(self.blank());
        }
        self.phase = Phase::Finished { inline: true };
        Ok(Step::Request {
            consumed: self.position,
        })
    }

    /// Where in `rest` the line ends. What was searched in vain before is not searched again. A line that is too long
    /// is so even if its end has been received: an answer must not depend on how much was read at a time.
    fn find_line_end(
        &mut self,
        end: u8,
        rest: &[u8],
        max_len: usize,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let window = &rest[..rest.len().min(max_len.saturating_add(1))];
        let found = memchr::memchr(end, &window[self.scanned.min(window.len())..]);
        if let Some(offset) = found {
            return Ok(Some(self.scanned + offset));
        }
        if rest.len() > max_len {
            return Err(too_long);
        }
        self.scanned = window.len();
        Ok(None)
    }
}

const CRLF_LEN: usize = 2;
/// Capacities that a connection keeps from one request to the next.
const KEPT_SPANS: usize = 64;
const KEPT_UNQUOTED: usize = 1024;

#[derive(Clone, Copy)]
struct Line {
    prefix: u8,
    /// `None` if what follows the prefix is no integer.
    number: Option<i64>,
}
