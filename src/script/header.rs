//! The first line of a script: `#!lua flags=no-writes,allow-oom dialect=redis timeout=200 max-instructions=100000`.

use bitflags::bitflags;

use std::num::NonZeroU64;
use std::time::Duration;

use super::cache::Dialect;
use crate::base::number::parse_i64;

/// What a script says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `None`: there is no `#!` line, so the script is run as Redis ran scripts before there were flags.
    pub flags: Option<ScriptFlags>,
    /// `None`: what the server is configured for.
    pub dialect: Option<Dialect>,
    pub limits: Limits,
    /// The length of the line, without its end.
    pub(super) len: usize,
}

/// What a script may use at most, besides the limits of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub timeout_ms: Option<NonZeroU64>,
    /// Instructions of the virtual machine. Unlike time, they are the same number in every run.
    pub instructions_max: Option<NonZeroU64>,
}

impl Limits {
    pub fn timeout(self) -> Option<Duration> {
        self.timeout_ms.map(|ms| Duration::from_millis(ms.get()))
    }
}

impl Header {
    pub fn has(&self, flag: ScriptFlags) -> bool {
        self.flags.is_some_and(|flags| flags.contains(flag))
    }

    /// Reads one `name=value` of the line. False: it is none that is known here.
    pub(super) fn read(&mut self, word: &[u8]) -> Result<bool, String> {
        if let Some(list) = word.strip_prefix(b"flags=") {
            *self.flags.get_or_insert_default() |= parse_flags(list)?;
        } else if let Some(name) = word.strip_prefix(b"dialect=") {
            self.dialect = Some(parse_dialect(name)?);
        } else if let Some(number) = word.strip_prefix(b"timeout=") {
            self.limits.timeout_ms = Some(parse_number("timeout", number)?);
        } else if let Some(number) = word.strip_prefix(b"max-instructions=") {
            self.limits.instructions_max = Some(parse_number("max-instructions", number)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 2;
        const ALLOW_STALE = 4;
        const NO_CLUSTER = 8;
        const ALLOW_CROSS_SLOT_KEYS = 16;
    }
}

const FLAG_NAMES: [(&str, ScriptFlags); 5] = [
    ("no-writes", ScriptFlags::NO_WRITES),
    ("allow-oom", ScriptFlags::ALLOW_OOM),
    ("allow-stale", ScriptFlags::ALLOW_STALE),
    ("no-cluster", ScriptFlags::NO_CLUSTER),
    ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
];

impl ScriptFlags {
    /// The names of the flags, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = FLAG_NAMES
            .iter()
            .filter(move |(_, flag)| self.contains(*flag));
        set.map(|(name, _)| *name)
    }
}

/// The flag of this name, in any case, as a library's functions have them.
pub(super) fn flag_by_name(name: &[u8]) -> Option<ScriptFlags> {
    let mut known = FLAG_NAMES.iter();
    let found = known.find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
    found.map(|(_, flag)| *flag)
}

/// Reads the header of a script; the error is an error line for the client.
pub fn parse(body: &[u8]) -> Result<Header, String> {
    if !body.starts_with(b"#!") {
        return Ok(Header::default());
    }
    let len = memchr::memchr(b'\n', body).ok_or_else(|| "ERR Invalid script shebang".to_owned())?;
    let mut words = body[..len]
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err(complaint("Unexpected engine in script shebang: ", engine));
    }
    let mut header = Header {
        flags: Some(ScriptFlags::empty()),
        len,
        ..Header::default()
    };
    for word in words {
        if !header.read(word)? {
            return Err(complaint("Unknown lua shebang option: ", word));
        }
    }
    Ok(header)
}

fn parse_flags(list: &[u8]) -> Result<ScriptFlags, String> {
    let mut flags = ScriptFlags::empty();
    if list.is_empty() {
        return Ok(flags);
    }
    for name in list.split(|&byte| byte == b',') {
        flags |= FLAG_NAMES
            .iter()
            .find_map(|(known, flag)| (known.as_bytes() == name).then_some(*flag))
            .ok_or_else(|| complaint("Unexpected flag in script shebang: ", name))?;
    }
    Ok(flags)
}

fn parse_dialect(name: &[u8]) -> Result<Dialect, String> {
    match name {
        b"aikv" => Ok(Dialect::Aikv),
        b"redis" => Ok(Dialect::Redis),
        _ => Err(complaint("Unexpected dialect in script shebang: ", name)),
    }
}

/// A whole number above zero.
fn parse_number(name: &str, text: &[u8]) -> Result<NonZeroU64, String> {
    let number = parse_i64(text).and_then(|number| u64::try_from(number).ok());
    number
        .and_then(NonZeroU64::new)
        .ok_or_else(|| complaint(&format!("Unexpected {name} in script shebang: "), text))
}

fn complaint(text: &str, word: &[u8]) -> String {
    format!("ERR {text}{}", String::from_utf8_lossy(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flags_and_dialect() {
        let header = parse(b"#!lua flags=no-writes,allow-oom dialect=redis\nreturn 1").unwrap();
        assert_eq!(
            header.flags,
            Some(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM)
        );
        assert_eq!(header.dialect, Some(Dialect::Redis));
        assert!(header.has(ScriptFlags::NO_WRITES));
        assert!(!header.has(ScriptFlags::NO_CLUSTER));
        assert_eq!(parse(b"return 1").unwrap(), Header::default());
        assert_eq!(
            parse(b"#!lua flags=\n").unwrap().flags,
            Some(ScriptFlags::empty())
        );
    }

    #[test]
    fn reads_limits() {
        let limits = |line: &[u8]| parse(line).unwrap().limits;
        let both = limits(b"#!lua timeout=200 max-instructions=1000000000000\n");
        assert_eq!(both.timeout_ms, NonZeroU64::new(200));
        assert_eq!(both.instructions_max, NonZeroU64::new(1_000_000_000_000));
        assert_eq!(limits(b"#!lua\n"), Limits::default());
    }

    /// The texts are those of Redis 7, except for the options that it does not have.
    #[test]
    fn names_what_it_does_not_know() {
        let cases: [(&[u8], &str); 12] = [
            (b"#!lua", "ERR Invalid script shebang"),
            (b"#!foo\n", "ERR Unexpected engine in script shebang: #!foo"),
            (b"#! lua\n", "ERR Unexpected engine in script shebang: #!"),
            (b"#!\n", "ERR Unexpected engine in script shebang: #!"),
            (
                b"#!lua flags=foo\n",
                "ERR Unexpected flag in script shebang: foo",
            ),
            (
                b"#!lua flags=no-writes, allow-oom\n",
                "ERR Unexpected flag in script shebang: ",
            ),
            (b"#!lua bar=1\n", "ERR Unknown lua shebang option: bar=1"),
            (
                b"#!lua timeout=0\n",
                "ERR Unexpected timeout in script shebang: 0",
            ),
            (
                b"#!lua timeout=\n",
                "ERR Unexpected timeout in script shebang: ",
            ),
            (
                b"#!lua max-instructions=-1\n",
                "ERR Unexpected max-instructions in script shebang: -1",
            ),
            (
                b"#!lua max-instructions=1e3\n",
                "ERR Unexpected max-instructions in script shebang: 1e3",
            ),
            (
                b"#!lua dialect=x\n",
                "ERR Unexpected dialect in script shebang: x",
            ),
        ];
        for (body, text) in cases {
            assert_eq!(parse(body).unwrap_err(), text);
        }
    }
}
