//! What values an option may have: parsing, Redis's error texts, and the canonical way to write a value.

use std::str::FromStr;
use std::sync::Arc;

use super::events;

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    Integer {
        min: i64,
        max: i64,
    },
    /// Bytes, with an optional unit: `1kb` is 1024, `1k` is 1000.
    Memory {
        min: i64,
        max: i64,
    },
    /// A file mode.
    Octal {
        max: i64,
    },
    /// One of these words; stored as its position.
    Choice(&'static [&'static str]),
    Text,
    /// Words, written with spaces between.
    List,
    /// The letters of [`events`].
    KeyspaceEvents,
    /// One limit per class of client.
    BufferLimits,
    /// Only the default is accepted; the word says why.
    Fixed(&'static str),
}

/// A value that its option's kind has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i64),
    Text(Arc<str>),
    Limits(BufferLimits),
}

/// When a client that does not read its replies is cut off. Zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// One limit per [`ClientClass`], in its order.
pub type BufferLimits = [BufferLimit; ClientClass::COUNT];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    Normal,
    Replica,
    Pubsub,
}

impl ClientClass {
    pub const COUNT: usize = 3;
    pub const ALL: [Self; Self::COUNT] = [Self::Normal, Self::Replica, Self::Pubsub];

    /// The name in `client-output-buffer-limit`, where Redis still prints `slave`.
    pub fn name(self) -> &'static str {
        ["normal", "slave", "pubsub"][self as usize]
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|class| class.name() == word)
            .or((word == "replica").then_some(Self::Replica))
    }
}

impl Kind {
    /// Reads a value. `present` is what the option has now: buffer limits that are not named keep theirs.
    pub fn parse(self, raw: &str, default: &str, present: Option<&Value>) -> Result<Value, String> {
        match self {
            Self::Flag => match raw.to_ascii_lowercase().as_str() {
                "yes" => Ok(Value::Number(1)),
                "no" => Ok(Value::Number(0)),
                _ => Err("argument must be 'yes' or 'no'".to_owned()),
            },
            Self::Integer { min, max } => {
                let number =
                    strict_integer(raw).ok_or("argument couldn't be parsed into an integer")?;
                in_range(number, min, max)
            }
            Self::Memory { min, max } => in_range(
                parse_memory(raw).ok_or("argument must be a memory value")?,
                min,
                max,
            ),
            Self::Octal { max } => match i64::from_str_radix(raw, 8) {
                Ok(number) if (0..=max).contains(&number) => Ok(Value::Number(number)),
                Ok(_) => Err(format!("argument must be between 0 and {max:o} inclusive")),
                Err(_) => Err("argument couldn't be parsed as an octal number".to_owned()),
            },
            Self::Choice(words) => words
                .iter()
                .position(|word| word.eq_ignore_ascii_case(raw))
                .map(|position| Value::Number(position as i64))
                .ok_or_else(|| {
                    format!(
                        "argument(s) must be one of the following: {}",
                        words.join(", ")
                    )
                }),
            Self::Text => Ok(Value::Text(raw.into())),
            Self::List => Ok(Value::Text(
                raw.split_whitespace().collect::<Vec<_>>().join(" ").into(),
            )),
            Self::KeyspaceEvents => events::parse(raw).map(Value::Number),
            Self::BufferLimits => {
                let present = match present {
                    Some(Value::Limits(limits)) => *limits,
                    _ => BufferLimits::default(),
                };
                parse_buffer_limits(raw, present).map(Value::Limits)
            }
            Self::Fixed(reason) if raw.trim() != default => {
                Err(format!("argument must be '{default}': {reason}"))
            }
            Self::Fixed(_) => Ok(Value::Text(default.into())),
        }
    }

    /// The value as CONFIG GET prints it.
    pub fn display(self, value: &Value) -> String {
        match (self, value) {
            (Self::Flag, Value::Number(number)) => {
                if *number != 0 { "yes" } else { "no" }.to_owned()
            }
            (Self::Octal { .. }, Value::Number(mode)) => format!("{mode:o}"),
            (Self::Choice(words), Value::Number(position)) => words[*position as usize].to_owned(),
            (Self::KeyspaceEvents, Value::Number(flags)) => events::format(*flags),
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Text(text)) => text.to_string(),
            (_, Value::Limits(limits)) => ClientClass::ALL
                .map(|class| {
                    let limit = limits[class as usize];
                    format!(
                        "{} {} {} {}",
                        class.name(),
                        limit.hard_bytes,
                        limit.soft_bytes,
                        limit.soft_seconds
                    )
                })
                .join(" "),
        }
    }

    /// What the manual calls this kind.
    pub fn describe(self) -> String {
        match self {
            Self::Flag => "yes or no".to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("integer, {min} or more"),
            Self::Integer { min, max } => format!("integer, {min} to {max}"),
            Self::Memory { min: 0, .. } => "memory size".to_owned(),
            Self::Memory { min, .. } => format!("memory size, {} or more", format_memory(min)),
            Self::Octal { .. } => "octal file mode".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Text => "text".to_owned(),
            Self::List => "words".to_owned(),
            Self::KeyspaceEvents => "letters of Ag$lshzxeKEtmdn".to_owned(),
            Self::BufferLimits => "class hard soft seconds ...".to_owned(),
            Self::Fixed(_) => "fixed".to_owned(),
        }
    }
}

/// Writes a size with the largest unit that divides it.
pub fn format_memory(bytes: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match UNITS
        .iter()
        .find(|(size, _)| bytes >= *size && bytes % size == 0)
    {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

fn parse_memory(raw: &str) -> Option<i64> {
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = raw.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    i64::from_str(number).ok()?.checked_mul(factor)
}

/// Only the canonical spelling of a number counts, as in Redis: no sign `+`, no leading zeros, no spaces.
fn strict_integer(raw: &str) -> Option<i64> {
    raw.parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == raw)
}

fn in_range(number: i64, min: i64, max: i64) -> Result<Value, String> {
    if (min..=max).contains(&number) {
        Ok(Value::Number(number))
    } else {
        Err(format!(
            "argument must be between {min} and {max} inclusive"
        ))
    }
}

fn parse_buffer_limits(raw: &str, mut limits: BufferLimits) -> Result<BufferLimits, String> {
    let words: Vec<&str> = raw.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for group in words.chunks_exact(4) {
        let class = ClientClass::parse(group[0])
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let limit = parse_memory(group[1])
            .zip(parse_memory(group[2]))
            .zip(strict_integer(group[3]));
        let Some(((hard, soft), seconds @ 0..)) = limit else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                    .to_owned(),
            );
        };
        limits[class as usize] = BufferLimit {
            hard_bytes: hard as u64,
            soft_bytes: soft as u64,
            soft_seconds: seconds as u64,
        };
    }
    Ok(limits)
}
