//! The first line of a library: `#!lua name=mylib dialect=redis`. Besides the name it may say what that of a script may, but
//! for flags.

use super::super::header::{Header, ScriptFlags};
use super::register::{BAD_NAME, is_name};

/// What a library's first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryHeader {
    pub name: String,
    pub header: Header,
}

impl LibraryHeader {
    /// Reads the first line of a library's code. The error is a line for the client, in the words of Redis.
    pub fn parse(code: &[u8]) -> Result<Self, String> {
        if !code.starts_with(b"#!") {
            return Err("ERR Missing library metadata".to_owned());
        }
        let invalid = || "ERR Invalid library metadata".to_owned();
        // Redis sees the end of the text at a zero byte.
        let len = memchr::memchr2(b'\n', 0, code).filter(|at| code[*at] == b'\n');
        let len = len.ok_or_else(invalid)?;
        let words = split_words(&code[..len]).ok_or_else(invalid)?;
        let (engine, options) = words.split_first().ok_or_else(invalid)?;
        let mut name = None;
        let mut header = Header {
            flags: Some(ScriptFlags::empty()),
            len,
            ..Header::default()
        };
        for word in options {
            if let Some(value) = option(word, b"name=") {
                if name.replace(value).is_some() {
                    let text = "ERR Invalid metadata value, name argument was given multiple times";
                    return Err(text.to_owned());
                }
            // Each function has flags of its own.
            } else if option(word, b"flags=").is_some() || !header.read(word)? {
                let word = String::from_utf8_lossy(word);
                return Err(format!("ERR Invalid metadata value given: {word}"));
            }
        }
        let name = name.ok_or("ERR Library name was not given")?;
        if !is_name(name) {
            return Err(BAD_NAME.to_owned());
        }
        let engine = &engine[2..];
        if !engine.eq_ignore_ascii_case(b"lua") {
            let engine = String::from_utf8_lossy(engine);
            return Err(format!("ERR Engine '{engine}' not found"));
        }
        Ok(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            header,
        })
    }
}

/// The value of an option, whose name may be in any case.
fn option<'a>(word: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, value) = word.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(value)
}

/// Splits a line into words as Redis does: a part in quotes ends its word. `None`: a quote is open, or something follows it.
fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\'') || byte.is_ascii_whitespace());
        let (plain, after) = rest.split_at(end.unwrap_or(rest.len()));
        let mut word = plain.to_vec();
        rest = match after {
            [quote @ (b'"' | b'\''), quoted @ ..] => {
                let after = unquote(*quote, quoted, &mut word)?;
                if after
                    .first()
                    .is_some_and(|next| !next.is_ascii_whitespace())
                {
                    return None;
                }
                after
            }
            _ => after,
        }
        .trim_ascii_start();
        words.push(word);
    }
    Some(words)
}

/// Reads up to the closing quote; the rest behind it.
fn unquote<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte == quote {
            return Some(rest);
        }
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        if quote == b'\'' {
            if let [b'\'', after @ ..] = rest {
                word.push(b'\'');
                rest = after;
            } else {
                word.push(b'\\');
            }
            continue;
        }
        let (&escaped, after) = rest.split_first()?;
        rest = after;
        let digit = |at: usize| after.get(at).and_then(|byte| (*byte as char).to_digit(16));
        if escaped == b'x'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            word.push((high << 4 | low) as u8);
            rest = &after[2..];
            continue;
        }
        word.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cache::Dialect;
    use super::*;

    #[test]
    fn reads_name_and_dialect() {
        for line in [
            "#!lua name=my_lib1",
            "#!LUA NAME=my_lib1 \r",
            "#!lua\tname='my_lib1'",
            "#!'lua' \"name=my\\x5flib1\"",
        ] {
            let code = format!("{line}\nreturn 1");
            let header = LibraryHeader::parse(code.as_bytes()).unwrap();
            assert_eq!(
                (header.name.as_str(), header.header.dialect),
                ("my_lib1", None),
                "{line}"
            );
            assert_eq!(header.header.len, line.len());
        }
        let line = b"#!lua dialect=redis name=a max-instructions=7\n";
        let header = LibraryHeader::parse(line).unwrap().header;
        assert_eq!(header.dialect, Some(Dialect::Redis));
        assert_eq!(header.limits.instructions_max.map(u64::from), Some(7));
    }

    /// The texts are those that redis-server 7.0.15 gave.
    #[test]
    fn says_what_is_wrong_as_redis_does() {
        let cases: [(&[u8], &str); 18] = [
            (b"", "ERR Missing library metadata"),
            (b"return 1", "ERR Missing library metadata"),
            (b"#!lua", "ERR Invalid library metadata"),
            (b"#!lua name=x", "ERR Invalid library metadata"),
            (b"#!lua name=a\0b\nreturn 1", "ERR Invalid library metadata"),
            (b"#!lua \"name=a\nx", "ERR Invalid library metadata"),
            (b"#!lua 'name=a'b\nx", "ERR Invalid library metadata"),
            (b"#!lua\nreturn 1", "ERR Library name was not given"),
            (b"#!x\nz", "ERR Library name was not given"),
            (b"#!\nx", "ERR Library name was not given"),
            (
                b"#! lua name=x\nreturn",
                "ERR Invalid metadata value given: lua",
            ),
            (b"#!x y\nz", "ERR Invalid metadata value given: y"),
            (
                b"#!lua name=a foo=1\nx",
                "ERR Invalid metadata value given: foo=1",
            ),
            (
                b"#!lua name=a flags=no-writes\nx",
                "ERR Invalid metadata value given: flags=no-writes",
            ),
            (b"#!foo name=x\nreturn 1", "ERR Engine 'foo' not found"),
            (
                b"#!lua name=a name=b\nx",
                "ERR Invalid metadata value, name argument was given multiple times",
            ),
            (b"#!lua name=a-b\nreturn 1", BAD_NAME),
            (b"#!lua name=\nreturn 1", BAD_NAME),
        ];
        for (code, text) in cases {
            let shown = code.escape_ascii();
            assert_eq!(LibraryHeader::parse(code).unwrap_err(), text, "{shown}");
        }
    }
}
