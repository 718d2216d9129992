//! Requests that a human types: words, some of them in quotes.

use super::args::Span;
use super::protocol_error::ProtocolError;

/// Splits a line into words, as a shell would: `"..."` knows the escapes `\n \r \t \b \a \xHH`, `'...'` knows `\'`.
///
/// A NUL is a byte like any other. (Redis, whose line is a C string, would wait for a line end that it cannot see.)
pub(super) fn split(
    line: &[u8],
    words: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut rest = line;
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Ok(());
        }
        let start = words.len();
        rest = word(rest, words)?;
        spans.push(Span {
            start,
            len: words.len() - start,
        });
    }
}

/// The words of a line; `None` if a quote is open, or if something follows a closed one.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut spans) = (Vec::new(), Vec::new());
    split(line, &mut words, &mut spans).ok()?;
    let word = |span: &Span| words[span.start..span.start + span.len].to_vec();
    Some(spans.iter().map(word).collect())
}

/// C's `isspace`.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|&&byte| is_blank(byte)).count();
    &line[blanks..]
}

/// Appends the word that `rest` starts with; returns what follows it. A quoted part ends its word, an unquoted part
/// may be followed by a quoted one.
fn word<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            // Fewer than `is_blank` knows: Redis skips a vertical tab before a word and keeps one inside.
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => return double_quoted(tail, words),
            b'\'' => return single_quoted(tail, words),
            _ => words.push(byte),
        }
        rest = tail;
    }
    Ok(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, tail) = match *rest {
            [b'"', ref tail @ ..] => return after_quote(tail),
            [b'\\', b'x', high, low, ref tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_value(high) * 16 + hex_value(low), tail)
            }
            [b'\\', escaped, ref tail @ ..] => (unescape(escaped), tail),
            [byte, ref tail @ ..] => (byte, tail),
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
        words.push(byte);
        rest = tail;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, tail) = match *rest {
            [b'\'', ref tail @ ..] => return after_quote(tail),
            [b'\\', b'\'', ref tail @ ..] => (b'\'', tail),
            [byte, ref tail @ ..] => (byte, tail),
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
        words.push(byte);
        rest = tail;
    }
}

fn after_quote(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(&byte) if !is_blank(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}
