//! How a command is called, in one line: `SET key value [NX | XX] [GET] [EX seconds | ...]`.

use super::spec::Spec;
use super::syntax::{self, Argument, Kind};

/// The line of a command: its name and its arguments.
pub fn usage(spec: &Spec) -> String {
    let mut line = spec.name.to_uppercase().replace('|', " ");
    // A test has read the syntax of every command.
    for argument in syntax::parse(spec.texts.syntax).unwrap_or_default() {
        line.push(' ');
        line.push_str(&shown(&argument));
    }
    line
}

fn shown(argument: &Argument) -> String {
    let value = value(argument);
    let once = match argument.token {
        None => value.clone(),
        Some("") => "\"\"".to_owned(),
        Some(token) => format!("{token} {value}").trim_end().to_owned(),
    };
    let all = match (argument.is_multiple, argument.repeats_token) {
        (false, _) => once,
        (true, true) => format!("{once} [{once} ...]"),
        // A choice is too long to be written twice.
        (true, false) if argument.kind == Kind::OneOf => format!("{once} ..."),
        (true, false) => format!("{once} [{value} ...]"),
    };
    if argument.is_optional {
        format!("[{all}]")
    } else {
        all
    }
}

/// An argument without its token and without what may be left out or repeated.
fn value(argument: &Argument) -> String {
    let parts = argument.parts.iter().map(shown).collect::<Vec<_>>();
    match argument.kind {
        Kind::Token => String::new(),
        Kind::Block => parts.join(" "),
        Kind::OneOf => {
            let choices = parts.join(" | ");
            // Square brackets are enough.
            if argument.is_optional && argument.token.is_none() && !argument.is_multiple {
                choices
            } else {
                format!("<{choices}>")
            }
        }
        _ => argument.name.clone().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Flags, Group};
    use super::*;

    #[test]
    fn usage_is_as_on_the_pages_of_redis() {
        let check = |syntax: &'static str, expected: &str| {
            let spec = Spec::new("a|b", -2, Group::Generic, Flags::empty()).syntax(syntax);
            assert_eq!(usage(&spec), format!("A B{expected}"));
        };
        check("", "");
        check("key [count]", " key [count]");
        check(
            "key value [NX | XX] [GET] [expiration: EX seconds | KEEPTTL]",
            " key value [NX | XX] [GET] [EX seconds | KEEPTTL]",
        );
        check(
            "[CH:change] <score member>...",
            " [CH] score member [score member ...]",
        );
        check("[key ...]", " [key [key ...]]");
        check(
            "[BY pattern] [LIMIT <offset count>] [GET pattern]...",
            " [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]]",
        );
        check(
            "[WEIGHTS weight ...] [AGGREGATE <SUM | MIN | MAX>]",
            " [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        );
        check("<LEFT | RIGHT> key", " <LEFT | RIGHT> key");
        check("\"\":empty", " \"\"");
        check(
            "[GET <type offset> | INCR]...",
            " [<GET type offset | INCR> ...]",
        );
    }
}
