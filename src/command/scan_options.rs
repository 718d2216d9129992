//! Cursor and options of SCAN, SSCAN, HSCAN and ZSCAN.

use super::error::Error;
use crate::base::glob::{self, Case};
use crate::base::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::Kind;
use std::ops::Deref;

/// What a scan is asked for.
pub struct ScanOptions<'a> {
    pub pattern: Option<&'a [u8]>,
    pub kind: Option<Kind>,
    /// The type asked for is one that no value has.
    pub no_such_type: bool,
    pub count: usize,
    /// Of a hash, only the fields are asked for.
    pub no_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// The options of SCAN.
    pub fn parse(args: Args<'a>) -> Result<Self, Error> {
        Self::parse_some(args, &["type"])
    }

    /// The options of a scan within a collection.
    pub fn parse_within(args: Args<'a>) -> Result<Self, Error> {
        Self::parse_some(args, &[])
    }

    /// The options of a scan within a hash.
    pub fn parse_within_hash(args: Args<'a>) -> Result<Self, Error> {
        Self::parse_some(args, &["novalues"])
    }

    /// Whether an element is asked for.
    pub fn lets_through(&self, element: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, element, Case::Sensitive))
    }

    fn parse_some(args: Args<'a>, others: &[&str]) -> Result<Self, Error> {
        const COUNT_DEFAULT: usize = 10;
        let mut options = Self {
            pattern: None,
            kind: None,
            no_such_type: false,
            count: COUNT_DEFAULT,
            no_values: false,
        };
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            let more = |word: &str| others.contains(&word) && is(word);
            if is("count") {
                let count = parse_i64(args.next().ok_or(Error::Syntax)?);
                let count = count.ok_or(Error::NotInteger)?;
                let positive = usize::try_from(count).ok().filter(|count| *count > 0);
                options.count = positive.ok_or(Error::Syntax)?;
            } else if is("match") {
                options.pattern = Some(args.next().ok_or(Error::Syntax)?);
            } else if more("novalues") {
                options.no_values = true;
            } else if more("type") {
                let name = args.next().ok_or(Error::Syntax)?;
                options.kind = Kind::from_name(name);
                options.no_such_type = options.kind.is_none();
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

/// Answers with where a scan goes on, and with what it has found.
pub fn reply_scan(reply: &mut dyn Reply, next: u64, found: &[impl Deref<Target = [u8]>]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len());
    for bytes in found {
        reply.bulk(bytes);
    }
}

/// A cursor as C's `strtoul` reads it, which is what clients may have relied on: a sign and leading zeros pass, and a
/// negative number counts from the top.
pub fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return text.is_empty().then_some(0);
    }
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}
