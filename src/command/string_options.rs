//! The options of SET and GETEX, and times as commands name them.

use super::error::Error;
use crate::base::number::parse_i64;
use crate::resp::Args;

/// What SET takes after its value and GETEX after its key.
#[derive(Debug, Default)]
pub struct Options<'a> {
    pub when: Option<When>,
    /// Answer with the old value.
    pub get: bool,
    pub lifetime: Option<Lifetime<'a>>,
}

/// The condition under which SET goes ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `NX`
    Absent,
    /// `XX`
    Present,
}

/// What becomes of the key's expiry.
#[derive(Clone, Copy, Debug)]
pub enum Lifetime<'a> {
    Keep,
    Persist,
    /// A time as it was given; it is read only after every option has been found in order.
    Time(TimeUnit, &'a [u8]),
}

/// How a command's number becomes a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl<'a> Options<'a> {
    pub fn parse_set(args: Args<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("nx") && options.when != Some(When::Present) {
                options.when = Some(When::Absent);
            } else if is("xx") && options.when != Some(When::Absent) {
                options.when = Some(When::Present);
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") && matches!(options.lifetime, None | Some(Lifetime::Keep)) {
                options.lifetime = Some(Lifetime::Keep);
            } else {
                options.take_time(option, &mut args)?;
            }
        }
        Ok(options)
    }

    pub fn parse_getex(args: Args<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(option) = args.next() {
            if option.eq_ignore_ascii_case(b"persist")
                && matches!(options.lifetime, None | Some(Lifetime::Persist))
            {
                options.lifetime = Some(Lifetime::Persist);
            } else {
                options.take_time(option, &mut args)?;
            }
        }
        Ok(options)
    }

    /// `EX seconds` and its like: one kind of them, which may be given again.
    fn take_time(
        &mut self,
        option: &[u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Error> {
        let unit = TimeUnit::from_option(option).ok_or(Error::Syntax)?;
        match self.lifetime {
            None => {}
            Some(Lifetime::Time(before, _)) if before == unit => {}
            Some(_) => return Err(Error::Syntax),
        }
        let time = rest.next().ok_or(Error::Syntax)?;
        self.lifetime = Some(Lifetime::Time(unit, time));
        Ok(())
    }
}

impl TimeUnit {
    fn from_option(option: &[u8]) -> Option<Self> {
        let units = [
            ("ex", TimeUnit::Seconds),
            ("px", TimeUnit::Milliseconds),
            ("exat", TimeUnit::UnixSeconds),
            ("pxat", TimeUnit::UnixMilliseconds),
        ];
        let found = units
            .iter()
            .find(|(word, _)| option.eq_ignore_ascii_case(word.as_bytes()));
        found.map(|(_, unit)| *unit)
    }

    pub fn is_seconds(self) -> bool {
        matches!(self, TimeUnit::Seconds | TimeUnit::UnixSeconds)
    }

    pub fn is_relative(self) -> bool {
        matches!(self, TimeUnit::Seconds | TimeUnit::Milliseconds)
    }

    /// The Unix time in milliseconds that `text` names; it has to be positive, and to fit.
    pub fn deadline(self, text: &[u8], now_ms: i64, command: &str) -> Result<i64, Error> {
        let number = parse_i64(text).ok_or(Error::NotInteger)?;
        Some(number)
            .filter(|number| *number > 0)
            .and_then(|number| self.point(number, now_ms))
            .ok_or_else(|| Error::InvalidExpire(command.into()))
    }

    /// The Unix time in milliseconds of a number of these units, if it fits.
    pub fn point(self, number: i64, now_ms: i64) -> Option<i64> {
        let factor = if self.is_seconds() { 1000 } else { 1 };
        let base_ms = if self.is_relative() { now_ms } else { 0 };
        number.checked_mul(factor)?.checked_add(base_ms)
    }
}
