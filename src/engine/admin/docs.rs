//! `docs/commands.md`, generated from the declarations so that it cannot differ from the server.

use crate::command::{Flags, Spec};
use crate::engine::registry::{Registry, Run};
use std::collections::BTreeMap;

const HEAD: &str = "\
# Commands

Generated from the declarations beside the handlers; `AIKV_BLESS=1 cargo test --test tidy` writes it anew.

Names, arguments, replies and error texts are those of Redis. *Since* is the version of Redis that brought the command.
*Locks* tells what a command needs before it runs: its keys, shared (*read*) or exclusive (*write*); the *whole*
keyspace for itself; or nothing (blank). A command marked *no* under *scripts* is refused to scripts.
";

/// The whole page.
pub fn markdown(registry: &Registry) -> String {
    let mut groups: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for entry in registry.entries() {
        let family = std::iter::once(entry).chain(&entry.subcommands);
        for entry in family.filter(|entry| !matches!(entry.run, Run::Container)) {
            let rows = groups.entry(entry.spec.group.name()).or_default();
            rows.insert(entry.spec.name, row(entry.spec));
        }
    }
    let tables = groups.iter().map(|(group, rows)| {
        let rows: String = rows.values().map(String::as_str).collect();
        format!(
            "\n## {group}\n\n| command | what it does | cost | locks | scripts | since |\n|---|---|---|---|---|---|\n{rows}"
        )
    });
    HEAD.to_owned() + &tables.collect::<String>()
}

fn row(spec: &Spec) -> String {
    let name = spec.name.replace('|', " ").to_uppercase();
    let cell = |text: &str| text.trim_end_matches('.').replace('|', "\\|");
    let scripts = if spec.flags.contains(Flags::NOSCRIPT) {
        "no"
    } else {
        ""
    };
    format!(
        "| `{name}` | {} | {} | {} | {scripts} | {} |\n",
        cell(spec.summary),
        cell(spec.complexity),
        locks(spec),
        spec.since
    )
}

fn locks(spec: &Spec) -> &'static str {
    use crate::command::Access;
    let writes = spec.keys.iter().any(|keys| keys.access() == Access::Write);
    match () {
        () if spec.flags.contains(Flags::GATE) => "whole",
        () if spec.keys.is_empty() => "",
        () if writes => "write",
        () => "read",
    }
}
