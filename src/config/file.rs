//! Reading a configuration file in the syntax of `redis.conf`: one option per line, `#` comments, quotes, `include`.

use std::fs;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::settings::Settings;
use super::table::{self, OptionSpec};
use super::{ConfigError, foreign, unknown_option};

/// Files that may include each other; deeper is taken for a circle.
const INCLUDE_DEPTH_MAX: usize = 16;

/// What a file holds besides options.
#[derive(Default)]
pub(super) struct Loaded {
    /// What in it does not apply here.
    pub warnings: Vec<String>,
    /// What its `user` lines say.
    pub users: Vec<Vec<String>>,
    /// Commands with their new names.
    pub renames: Vec<(String, String)>,
    /// Some of the users are in a file that it includes.
    pub includes_users: bool,
}

/// Sets every option that the file names, and answers with the rest.
pub(super) fn load(path: &Path, settings: &Settings) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    load_nested(path, settings, &mut loaded, 0)?;
    Ok(loaded)
}

/// Splits a line into words as Redis does: `"..."` with escapes, `'...'`, spaces between. `None` if a quote is open.
pub fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.as_bytes()[0] {
            b'"' => double_quoted(&rest[1..])?,
            b'\'' => single_quoted(&rest[1..])?,
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if after.starts_with(|next: char| !next.is_whitespace()) {
            return None;
        }
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

/// Writes text so that [`split_words`] reads it back as one word.
pub fn quote(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        control if control.is_ascii_control() => format!("\\x{:02x}", control as u8),
        plain => plain.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// What a line of a configuration file is.
pub(super) enum Line {
    /// Empty or a comment.
    Blank,
    Include(PathBuf),
    Option(&'static OptionSpec, String),
    /// A command's name and its new one.
    Rename(String, String),
    /// A user's name and rules.
    User(Vec<String>),
    /// An option of Redis that does not apply here.
    Foreign(&'static str),
}

pub(super) fn parse_line(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Blank);
    }
    let words = split_words(line).ok_or("unbalanced quotes")?;
    let (name, values) = words.split_first().ok_or("empty line")?;
    if name.eq_ignore_ascii_case("include") {
        return match values {
            [path] => Ok(Line::Include(path.into())),
            _ => Err("'include' takes one path".to_owned()),
        };
    }
    if name.eq_ignore_ascii_case("user") {
        return if values.is_empty() {
            Err("'user' takes a name and rules".to_owned())
        } else {
            Ok(Line::User(values.to_vec()))
        };
    }
    if name.eq_ignore_ascii_case("rename-command") {
        return match values {
            [old, new] => Ok(Line::Rename(old.clone(), new.clone())),
            _ => Err("'rename-command' takes a name and a new one".to_owned()),
        };
    }
    if let Some(reason) = foreign::forbidden(name) {
        return Err(format!("'{name}' is not supported: {reason}"));
    }
    if let Some(spec) = table::find(name) {
        return match (spec.kind, values) {
            (Kind::List | Kind::BufferLimits, [_, ..]) | (_, [_]) => {
                Ok(Line::Option(spec, values.join(" ")))
            }
            (Kind::Fixed(_), [_, ..]) => Ok(Line::Option(spec, values.join(" "))),
            _ => Err(format!("'{name}' takes one value")),
        };
    }
    foreign::ignored(name)
        .map(Line::Foreign)
        .ok_or_else(|| unknown_option(name))
}

fn load_nested(
    path: &Path,
    settings: &Settings,
    loaded: &mut Loaded,
    depth: usize,
) -> Result<(), ConfigError> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("cannot read {shown}: {error}")))?;
    for (index, line) in text.lines().enumerate() {
        let at = |reason: &str| ConfigError(format!("{shown}:{}: {reason}", index + 1));
        match parse_line(line).map_err(|reason| at(&reason))? {
            Line::Blank => {}
            Line::Include(_) if depth == INCLUDE_DEPTH_MAX => {
                return Err(at("files include each other too deeply"));
            }
            Line::Include(included) => {
                // A relative path is meant beside the file that names it, wherever the server was started.
                let included = path
                    .parent()
                    .map_or(included.clone(), |folder| folder.join(&included));
                load_nested(&included, settings, loaded, depth + 1)?;
            }
            Line::Rename(old, new) => loaded.renames.push((old, new)),
            Line::User(words) => {
                loaded.users.push(words);
                loaded.includes_users |= depth > 0;
            }
            Line::Foreign(reason) => {
                let name = line.split_whitespace().next().unwrap_or_default();
                loaded.warnings.push(format!(
                    "{shown}:{}: '{name}' has no effect here: {reason}",
                    index + 1
                ));
            }
            Line::Option(spec, raw) => match (settings.parse(spec, &raw), spec.kind) {
                (Ok(value), _) => settings.store(spec.id, value),
                (Err(_), Kind::Fixed(reason)) => {
                    loaded.warnings.push(format!(
                        "{shown}:{}: '{}' has no effect here: {reason}",
                        index + 1,
                        spec.name
                    ));
                }
                (Err(reason), _) => {
                    return Err(at(&format!("{}: {reason} (given: '{raw}')", spec.name)));
                }
            },
        }
    }
    Ok(())
}

fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [b'"', ..] => {
                let after = &text[text.len() - rest.len() + 1..];
                return Some((String::from_utf8_lossy(&bytes).into_owned(), after));
            }
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |hex: u8| (hex as char).to_digit(16).unwrap_or_default() as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    plain => *plain,
                });
                rest = tail;
            }
            [plain, tail @ ..] => {
                bytes.push(*plain);
                rest = tail;
            }
            [] => return None,
        }
    }
}

fn single_quoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut rest = text;
    loop {
        let stop = rest.find(['\'', '\\'])?;
        word.push_str(&rest[..stop]);
        rest = &rest[stop..];
        if let Some(after) = rest.strip_prefix("\\'") {
            word.push('\'');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\\') {
            word.push('\\');
            rest = after;
        } else {
            return Some((word, &rest[1..]));
        }
    }
}
