//! The arguments of a command, read from the short text in its declaration:
//!
//! ```text
//! key value [condition: NX | XX]@2.6.12 [GET]@6.2.0 [expiration: EX seconds | PX milliseconds | KEEPTTL@6.0.0]
//! ```
//!
//! | written | means |
//! |---|---|
//! | `word` | a value of that name; what type it has follows from the name |
//! | `WORD` | a token that stands for itself, or for the value or the group behind it: `COUNT count`, `LIMIT <offset count>` |
//! | `[ ]` | what may be left out |
//! | `< >` | what belongs together; `<COPY> key` is a token and a key, not the key of the token |
//! | `a b`, `a \| b` inside brackets | a block, and one of several |
//! | `...` | the argument before may come again: `[GET pattern]...` with its token, `[WEIGHTS weight ...]` without |
//! | `name:` behind a bracket | the name of the group, where it is not that of its parts joined |
//! | `value:type`, `TOKEN:name`, `key#2` | the type, the name and the number of the key specification, where they do not follow |
//! | `@6.2.0`, `@..2.8.12` | there since that version, and out of use since that one |
//!
//! It is read when COMMAND DOCS asks for it, so it costs nothing before. A test reads all of them.

use std::borrow::Cow;

/// An argument of a command, as COMMAND DOCS tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    /// The word that stands before it.
    pub token: Option<&'static str>,
    /// The number of the key specification that finds it.
    pub key_spec: Option<usize>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub is_optional: bool,
    pub is_multiple: bool,
    /// The token comes again with each further value.
    pub repeats_token: bool,
    /// What a group consists of.
    pub parts: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Key,
    Text,
    Integer,
    Double,
    UnixTime,
    Pattern,
    /// Nothing but its token.
    Token,
    OneOf,
    Block,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Key,
        Kind::Text,
        Kind::Integer,
        Kind::Double,
        Kind::UnixTime,
        Kind::Pattern,
        Kind::Token,
        Kind::OneOf,
        Kind::Block,
    ];

    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::UnixTime => "unix-time",
            Kind::Pattern => "pattern",
            Kind::Token => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }
}

/// What values are by their names; others are strings.
#[rustfmt::skip]
const TYPES: &[(Kind, &[&str])] = &[
    (Kind::Key, &[
        "key", "destination", "source", "newkey", "destkey", "sourcekey", "key1", "key2", "dst", "src",
    ]),
    (Kind::Integer, &[
        "client-id", "count", "cursor", "end", "index", "limit", "milliseconds", "numkeys", "offset", "port", "seconds",
        "start", "stop", "ttl", "weight",
    ]),
    (Kind::Double, &["height", "latitude", "longitude", "radius", "score", "timeout", "width"]),
    (Kind::UnixTime, &["unix-time-milliseconds", "unix-time-seconds"]),
    (Kind::Pattern, &["pattern"]),
];

/// Where a text is not one of this notation: what is left of it there.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads the arguments of a command.
pub fn parse(syntax: &'static str) -> Result<Vec<Argument>, Malformed> {
    let mut parser = Parser {
        rest: syntax,
        keys: 0,
    };
    let arguments = parser.sequence()?;
    match parser.peek() {
        None => Ok(arguments),
        Some(_) => Err(parser.malformed()),
    }
}

impl Argument {
    fn new(name: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            token: None,
            key_spec: None,
            since: None,
            deprecated_since: None,
            is_optional: false,
            is_multiple: false,
            repeats_token: false,
            parts: Vec::new(),
        }
    }

    /// A block or a choice. Without a name of its own it is called after its parts.
    fn group(name: Option<&'static str>, kind: Kind, parts: Vec<Argument>) -> Self {
        let joined = || {
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_ref()).collect();
            Cow::Owned(names.join("_"))
        };
        let name = name.map_or_else(joined, Cow::Borrowed);
        Self {
            parts,
            ..Self::new(name, kind)
        }
    }

    /// `@since..deprecated`, without the at sign.
    fn set_versions(&mut self, versions: &'static str) {
        let (since, deprecated) = versions.split_once("..").unwrap_or((versions, ""));
        self.since = Some(since).filter(|version| !version.is_empty());
        self.deprecated_since = Some(deprecated).filter(|version| !version.is_empty());
    }
}

struct Parser {
    rest: &'static str,
    /// Keys that were met: as a rule each has a specification of its own.
    keys: usize,
}

impl Parser {
    /// Arguments up to a bracket that closes, a bar or the end.
    fn sequence(&mut self) -> Result<Vec<Argument>, Malformed> {
        let mut arguments = Vec::new();
        while self
            .peek()
            .is_some_and(|next| !matches!(next, "]" | ">" | "|"))
        {
            arguments.push(self.argument()?);
        }
        Ok(arguments)
    }

    fn argument(&mut self) -> Result<Argument, Malformed> {
        let mut argument = match self.next()? {
            "[" => Argument {
                is_optional: true,
                ..self.group("]")?
            },
            "<" => self.group(">")?,
            "..." => return Err(self.malformed()),
            word if is_token(word) => self.token(word)?,
            word => self.value(word)?,
        };
        if self.peek() == Some("...") {
            self.next()?;
            argument.is_multiple = true;
            argument.repeats_token = argument.token.is_some();
        }
        if let Some(versions) = self.peek().and_then(|next| next.strip_prefix('@')) {
            self.next()?;
            argument.set_versions(versions);
        }
        Ok(argument)
    }

    /// What stands between brackets.
    fn group(&mut self, close: &str) -> Result<Argument, Malformed> {
        let name = self.peek().and_then(|next| next.strip_suffix(':'));
        if name.is_some() {
            self.next()?;
        }
        let mut choices = Vec::new();
        loop {
            let sequence = self.sequence()?;
            if sequence.is_empty() {
                return Err(self.malformed());
            }
            choices.push(sequence);
            match self.next()? {
                "|" => {}
                end if end == close => break,
                _ => return Err(self.malformed()),
            }
        }
        if choices.len() == 1 {
            let mut parts = choices.swap_remove(0);
            if name.is_none() && parts.len() == 1 {
                return Ok(parts.swap_remove(0));
            }
            return Ok(Argument::group(name, Kind::Block, parts));
        }
        let parts = choices.into_iter().map(|mut parts| {
            if parts.len() == 1 {
                parts.swap_remove(0)
            } else {
                Argument::group(None, Kind::Block, parts)
            }
        });
        Ok(Argument::group(name, Kind::OneOf, parts.collect()))
    }

    /// A token alone, or with the value or group behind it.
    fn token(&mut self, word: &'static str) -> Result<Argument, Malformed> {
        let (word, versions) = word.split_once('@').unwrap_or((word, ""));
        let (token, name) = word.split_once(':').unwrap_or((word, ""));
        let token = if token == EMPTY { "" } else { token };
        let has_value = versions.is_empty()
            && name.is_empty()
            && self
                .peek()
                .is_some_and(|next| next == "<" || is_value(next));
        let mut argument = if has_value {
            self.argument()?
        } else if name.is_empty() {
            Argument::new(token.to_lowercase(), Kind::Token)
        } else {
            Argument::new(name, Kind::Token)
        };
        if argument.token.replace(token).is_some() {
            return Err(self.malformed());
        }
        if !has_value {
            argument.set_versions(versions);
        }
        Ok(argument)
    }

    fn value(&mut self, word: &'static str) -> Result<Argument, Malformed> {
        let (word, versions) = word.split_once('@').unwrap_or((word, ""));
        let (word, number) = match word.split_once('#') {
            None => (word, None),
            Some((word, number)) => (word, Some(number.parse().map_err(|_| self.malformed())?)),
        };
        // A colon may also belong to the name, as in `ip:port`.
        let typed = word.rsplit_once(':').and_then(|(name, kind)| {
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
            Some((name, kind))
        });
        let (name, kind) = typed.unwrap_or_else(|| (word, usual_kind(word)));
        let mut argument = Argument::new(name, kind);
        argument.set_versions(versions);
        argument.key_spec = number;
        if kind == Kind::Key {
            argument.key_spec = argument.key_spec.or(Some(self.keys));
            self.keys += 1;
        }
        Ok(argument)
    }

    fn peek(&self) -> Option<&'static str> {
        let rest = self.rest.trim_start();
        let len = match rest.bytes().next()? {
            b'[' | b']' | b'<' | b'>' | b'|' => 1,
            _ if rest.starts_with("...") => 3,
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "[]<>|".contains(c));
                let end = end.unwrap_or(rest.len());
                rest[..end].find("...").unwrap_or(end)
            }
        };
        Some(&rest[..len])
    }

    fn next(&mut self) -> Result<&'static str, Malformed> {
        let next = self.peek().ok_or_else(|| self.malformed())?;
        self.rest = &self.rest.trim_start()[next.len()..];
        Ok(next)
    }

    fn malformed(&self) -> Malformed {
        Malformed(self.rest)
    }
}

/// How the token of no characters is written.
const EMPTY: &str = "\"\"";

/// Whether a word is a token, which has no small letters.
fn is_token(word: &str) -> bool {
    let end = word.find([':', '@']).unwrap_or(word.len());
    !word[..end].contains(|c: char| c.is_ascii_lowercase())
}

fn is_value(word: &str) -> bool {
    !is_token(word) && word != "..."
}

fn usual_kind(name: &str) -> Kind {
    let known = TYPES.iter().find(|(_, names)| names.contains(&name));
    known.map_or(Kind::Text, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An argument without its nesting, as COMMAND DOCS would tell of it.
    fn shown(argument: &Argument) -> String {
        let mut words = vec![argument.name.to_string(), argument.kind.name().to_owned()];
        let pairs = [
            ("token", argument.token),
            ("since", argument.since),
            ("until", argument.deprecated_since),
        ];
        words.extend(
            pairs
                .iter()
                .filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))),
        );
        words.extend(argument.key_spec.map(|number| format!("key={number}")));
        let flags = [
            (argument.is_optional, "optional"),
            (argument.is_multiple, "multiple"),
            (argument.repeats_token, "multiple_token"),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        words.extend(flags.map(|(_, name)| name.to_owned()));
        if !argument.parts.is_empty() {
            let parts: Vec<String> = argument.parts.iter().map(shown).collect();
            words.push(format!("({})", parts.join(", ")));
        }
        words.join(" ")
    }

    fn check(syntax: &'static str, expected: &[&str]) {
        let arguments = parse(syntax).unwrap();
        let arguments: Vec<String> = arguments.iter().map(shown).collect();
        assert_eq!(arguments, expected, "{syntax}");
    }

    #[test]
    fn values_have_the_types_of_their_names() {
        check(
            "key value index score pattern unix-time-seconds",
            &[
                "key key key=0",
                "value string",
                "index integer",
                "score double",
                "pattern pattern",
                "unix-time-seconds unix-time",
            ],
        );
        check("bit:integer ip:port", &["bit integer", "ip:port string"]);
        check(
            "source destination key2#0 pattern#1",
            &[
                "source key key=0",
                "destination key key=1",
                "key2 key key=0",
                "pattern pattern key=1",
            ],
        );
    }

    #[test]
    fn a_token_takes_the_value_or_the_group_behind_it() {
        check(
            "COUNT count [ANY] CH:change",
            &[
                "count integer token=COUNT",
                "any pure-token token=ANY optional",
                "change pure-token token=CH",
            ],
        );
        check(
            "<COPY> key \"\":empty_string",
            &[
                "copy pure-token token=COPY",
                "key key key=0",
                "empty_string pure-token token=",
            ],
        );
        check(
            "[LIMIT <offset count>]",
            &["offset_count block token=LIMIT optional (offset integer, count integer)"],
        );
    }

    #[test]
    fn what_repeats_does_so_with_or_without_its_token() {
        check(
            "[GET field]... [WEIGHTS weight ...] <score member>... key ...",
            &[
                "field string token=GET optional multiple multiple_token",
                "weight integer token=WEIGHTS optional multiple",
                "score_member block multiple (score double, member string)",
                "key key key=0 multiple",
            ],
        );
    }

    #[test]
    fn groups_are_called_by_their_name_or_their_parts() {
        check(
            "<LEFT | RIGHT> <where: MIN | MAX> <full: id ...> <m1 | m2 m3>",
            &[
                "left_right oneof (left pure-token token=LEFT, right pure-token token=RIGHT)",
                "where oneof (min pure-token token=MIN, max pure-token token=MAX)",
                "full block (id string multiple)",
                "m1_m2_m3 oneof (m1 string, m2_m3 block (m2 string, m3 string))",
            ],
        );
    }

    #[test]
    fn versions_stand_behind_what_they_are_about() {
        check(
            "[GET]@6.2.0 [KEEPTTL@6.0.0] EX seconds@2.6.12 id@..2.8.12 [id ...]@1.0..2.0 [a | b]...@3.0",
            &[
                "get pure-token token=GET since=6.2.0 optional",
                "keepttl pure-token token=KEEPTTL since=6.0.0 optional",
                "seconds integer token=EX since=2.6.12",
                "id string until=2.8.12",
                "id string since=1.0 until=2.0 optional multiple",
                "a_b oneof since=3.0 optional multiple (a string, b string)",
            ],
        );
    }

    #[test]
    fn what_is_not_of_this_notation_is_told() {
        for text in [
            "[key", "key]", "<key]", "a | b", "[]", "[a | ]", "...", "key#x", "[name:]", "A <B c>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("key > value"), Err(Malformed(" > value")));
    }
}
