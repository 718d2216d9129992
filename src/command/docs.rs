//! The page of all commands, made of their declarations.

use super::spec::Spec;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEAD: &str = "\
# Commands

Made of the command table; a test compares it. What a command answers is what Redis 7.0 answers. The arity counts the
command's name; a negative one means \"at least\".
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
        page.extend(specs.into_iter().map(row));
    }
    page.push_str(MISSING);
    page
}

/// What of Redis is not in the table, and why.
const MISSING: &str = "
## What Redis 7 has and this server has not

| commands | why |
|---|---|
| ACL | there is one user, whom `requirepass` guards |
| CLUSTER, ASKING, MIGRATE, RESTORE-ASKING | there is no cluster mode |
| REPLICAOF, SLAVEOF, FAILOVER, PSYNC, SYNC, REPLCONF | there is no replication |
| MODULE | there are no modules |
| LOLWUT | it has no use |
";

fn heading(group: &str) -> String {
    let (first, rest) = group.split_at(1);
    format!(
        "\n## {}{rest}\n\n| command | arity | flags | since | complexity | summary |\n|---|---|---|---|---|---|\n",
        first.to_uppercase()
    )
}

fn row(spec: &Spec) -> String {
    let name = spec.name.to_uppercase().replace('|', " ");
    let flags: Vec<&str> = spec.flags.names().collect();
    let mut row = format!("| {name} | {} | {} ", spec.arity, flags.join(" "));
    for text in [spec.since, spec.complexity, spec.summary] {
        let cell = text.replace('|', "\\|");
        let _ = write!(row, "| {cell} ");
    }
    row.push_str("|\n");
    row
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;

    #[test]
    fn a_command_is_a_row_in_its_group() {
        let page = markdown(families().map(|command| &command.spec));
        let bitmap = page.find("\n## Bitmap\n").expect("a group");
        let string = page.find("\n## String\n").expect("a group");
        let get =
            page.find("| GET | 2 | readonly fast | 1.0.0 | O(1) | Get the value of a key |\n");
        assert!(bitmap < string && Some(string) < get, "{page}");
        assert_eq!(page.matches("\n| GET |").count(), 1);
    }
}
