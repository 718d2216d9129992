//! The page of all commands, made of their declarations.

use super::spec::Spec;
use super::usage::usage;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEAD: &str = "\
# Commands

Made of the command table; a test compares it. What a command answers is what Redis 7.0 answers. `COMMAND DOCS` and
`COMMAND INFO` tell the same to programs. `[a]` may be left out, `a | b` is one of both, `...` stands for more of the same.
";

/// The page of the commands of a table, by group.
pub fn markdown<'a>(table: impl Iterator<Item = &'a Spec>) -> String {
    let mut groups: BTreeMap<&str, Vec<&Spec>> = BTreeMap::new();
    for spec in table {
        groups.entry(spec.group.name()).or_default().push(spec);
    }
    let mut page = HEAD.to_owned();
    for (group, mut specs) in groups {
        specs.sort_by_key(|spec| spec.name);
        page.push_str(&heading(group));
        page.extend(specs.into_iter().map(section));
    }
    page.push_str(MISSING);
    page
}

/// What of Redis is not in the table, and why.
const MISSING: &str = "
## What Redis 7 has and this server has not

| commands | why |
|---|---|
| CLUSTER, ASKING, MIGRATE, RESTORE-ASKING | there is no cluster mode |
| REPLICAOF, SLAVEOF, FAILOVER, PSYNC, SYNC, REPLCONF | there is no replication |
| MODULE | there are no modules |
| LOLWUT | it has no use |
";

fn heading(group: &str) -> String {
    let (first, rest) = group.split_at(1);
    format!("\n## {}{rest}\n", first.to_uppercase())
}

fn section(spec: &Spec) -> String {
    let texts = &spec.texts;
    let mut section = format!(
        "\n### {}\n\n    {}\n\n{}",
        spec.name.to_uppercase().replace('|', " "),
        usage(spec),
        texts.summary.trim_end_matches('.')
    );
    let _ = write!(section, ". Since {}", texts.since);
    if !texts.complexity.is_empty() {
        let _ = write!(section, ". {}", texts.complexity.trim_end_matches('.'));
    }
    section.push_str(".\n");
    if let Some(deprecated) = &texts.deprecated {
        let (since, instead) = (deprecated.since, deprecated.replaced_by);
        let _ = writeln!(section, "Deprecated since {since}: use {instead}.");
    }
    let flags: Vec<&str> = spec.flags.names().collect();
    if !flags.is_empty() {
        let _ = writeln!(section, "Flags: {}.", flags.join(", "));
    }
    for (index, (version, change)) in texts.history.iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        let _ = writeln!(section, "{gap}- {version}: {change}");
    }
    section
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;

    #[test]
    fn a_command_is_a_section_of_its_group() {
        let page = markdown(families().map(|command| &command.spec));
        let bitmap = page.find("\n## Bitmap\n").expect("a group");
        let string = page.find("\n## String\n").expect("a group");
        let get = "\n### GET\n\n    GET key\n\nGet the value of a key. Since 1.0.0. O(1).\n\
                   Flags: readonly, fast.\n\n### ";
        let get = page.find(get).expect("a section");
        assert!(bitmap < string && string < get, "{page}");
        assert_eq!(page.matches("\n### GET\n").count(), 1);
        assert!(
            page.contains(
                "\nDeprecated since 4.0.0: use `HSET` with multiple field-value pairs.\n"
            )
        );
        assert!(page.contains("\n\n- 6.0.0: Added the `TYPE` subcommand.\n"));
    }
}
