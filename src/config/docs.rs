//! `docs/configuration.md`, generated so that it cannot differ from the server.

use super::kind::Kind;
use super::table::{Effect, OPTIONS, OptionSpec};

const HEAD: &str = "\
# Configuration

Generated from `src/config/table.rs`; `AIKV_BLESS=1 cargo test --test tidy` writes it anew.

An option can be set in three places; the later overrules the earlier:

1. a configuration file in the syntax of `redis.conf`, given as the first argument: `aikv /etc/aikv.conf`;
2. `--option NAME=VALUE` on the command line, any number of times;
3. `--NAME VALUE` on the command line.

Options marked *at once* can be changed with `CONFIG SET`, several of them in one command, all or none.
`CONFIG REWRITE` writes the values in force back to the file and keeps its comments and its order. Options marked
*start* need a restart. Options marked *no effect* exist because clients and tools of Redis ask for them.

A file may hold options of Redis that do not exist here. Each is named in a warning at the start, except those that
would leave the server more open than the file says (`tls-*`) or make it another
server (`replicaof`, `loadmodule`): these stop the start.

Lines such as `user alice on #<sha256> ~alice:* +@all` declare users, unless `aclfile` names a file that does.
`rename-command FLUSHALL ''` takes a command away, another name in its place renames it. `docs/security.md` says more.

Sizes take a unit: `1kb` is 1,024 bytes, `1k` is 1,000, and so on with `mb`, `m`, `gb`, `g`.
";

/// The whole page.
pub fn markdown() -> String {
    let groups = OPTIONS.chunk_by(|left, right| left.group == right.group);
    HEAD.to_owned() + &groups.map(table).collect::<String>()
}

fn table(options: &[OptionSpec]) -> String {
    let rows: String = options.iter().map(row).collect();
    let group = options[0].group;
    format!(
        "\n## {group}\n\n| option | values | default | change | what it does |\n|---|---|---|---|---|\n{rows}"
    )
}

fn row(spec: &OptionSpec) -> String {
    let names = std::iter::once(&spec.name).chain(spec.aliases);
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    let unit = match spec.kind {
        Kind::Memory { .. } => String::new(),
        _ if spec.unit.is_empty() => String::new(),
        _ => format!(" ({})", spec.unit),
    };
    let default = if spec.default.is_empty() {
        "empty".to_owned()
    } else {
        format!("`{}`", spec.default)
    };
    let change = match spec.effect {
        Effect::Startup => "start",
        Effect::Runtime => "at once",
        Effect::Informational => "no effect",
    };
    format!(
        "| {names} | {}{unit} | {default} | {change} | {} |\n",
        spec.kind.describe(),
        spec.help
    )
}
