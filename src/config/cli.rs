//! The command line, generated from the table of options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::table::{Effect, OPTIONS, OptionSpec};
use super::{Config, ConfigError};

/// What the command line asks for.
pub enum Request {
    Serve(Box<Config>),
    /// Look at a data directory, and cut damage off the journal's end if `repair`.
    Check {
        dir: PathBuf,
        repair: bool,
    },
    /// Make a backup of a data directory.
    Backup {
        dir: PathBuf,
        to: PathBuf,
    },
    /// Make a data directory from a backup, as it was after the batch `until`.
    Restore {
        from: PathBuf,
        dir: PathBuf,
        until: Option<u64>,
    },
    /// Put the keys of an RDB file into the data directory of the configuration.
    Import {
        file: PathBuf,
        replace: bool,
        config: Box<Config>,
    },
    /// Write the keys of the data directory into an RDB file.
    Export {
        file: PathBuf,
        config: Box<Config>,
    },
    /// Print this text and end well: help or version.
    Print(String),
}

/// Reads the command line: first the configuration file, then `--option`, then `--<name>`; the last word counts.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, ConfigError> {
    match command().try_get_matches_from(args) {
        Ok(matches) => request(&matches),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Print(error.to_string()))
            }
            _ => Err(ConfigError(one_line(&error))),
        },
    }
}

fn request(matches: &ArgMatches) -> Result<Request, ConfigError> {
    if let Some(("check", matches)) = matches.subcommand() {
        return Ok(Request::Check {
            dir: path_of(matches, "dir"),
            repair: matches.get_flag("repair"),
        });
    }
    if let Some(("backup", matches)) = matches.subcommand() {
        return Ok(Request::Backup {
            dir: path_of(matches, "dir"),
            to: path_of(matches, "to"),
        });
    }
    if let Some(("restore", matches)) = matches.subcommand() {
        return Ok(Request::Restore {
            from: path_of(matches, "from"),
            dir: path_of(matches, "dir"),
            until: matches.get_one::<u64>("until").copied(),
        });
    }
    if let Some(("import", matches)) = matches.subcommand() {
        return Ok(Request::Import {
            file: path_of(matches, "file"),
            replace: matches.get_flag("replace"),
            config: directory_of(matches)?,
        });
    }
    if let Some(("export", matches)) = matches.subcommand() {
        return Ok(Request::Export {
            file: path_of(matches, "rdb"),
            config: directory_of(matches)?,
        });
    }
    let mut config = Config::default();
    if let Some(path) = matches.get_one::<PathBuf>("config-file") {
        config.load(path)?;
    }
    for pair in matches.get_many::<String>("option").into_iter().flatten() {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| ConfigError(format!("--option takes NAME=VALUE (given: '{pair}')")))?;
        config.assign(name.trim(), value)?;
    }
    for spec in &OPTIONS {
        for value in matches.get_many::<String>(spec.name).into_iter().flatten() {
            config.assign(spec.name, value)?;
        }
    }
    Ok(Request::Serve(Box::new(config)))
}

fn path_of(matches: &ArgMatches, name: &str) -> PathBuf {
    matches
        .get_one::<PathBuf>(name)
        .cloned()
        .unwrap_or_default()
}

/// The configuration of a command that works on a data directory.
fn directory_of(matches: &ArgMatches) -> Result<Box<Config>, ConfigError> {
    let mut config = Config::default();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        config.load(path)?;
    }
    for dir in matches.get_many::<String>("dir").into_iter().flatten() {
        config.assign("dir", dir)?;
    }
    Ok(Box::new(config))
}

fn path_arg(name: &'static str, value_name: &'static str) -> Arg {
    Arg::new(name)
        .value_name(value_name)
        .value_parser(clap::value_parser!(PathBuf))
}

/// A command that works on a data directory which no server uses.
fn on_directory(name: &'static str) -> Command {
    Command::new(name)
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .help("The data directory [default: that of the configuration]"),
        )
        .arg(
            path_arg("config", "CONFIG-FILE")
                .long("config")
                .help("File in the syntax of redis.conf"),
        )
}

fn import() -> Command {
    on_directory("import")
        .about("Puts the keys of an RDB file, as Redis saves it, into a data directory")
        .arg(path_arg("file", "FILE").required(true))
        .arg(
            Arg::new("replace")
                .long("replace")
                .action(ArgAction::SetTrue)
                .help("Keys that are there already get the file's value; without it they stop the import"),
        )
}

fn export() -> Command {
    on_directory("export")
        .about("Writes the keys of a data directory into a file that Redis loads")
        .arg(
            path_arg("rdb", "FILE")
                .long("rdb")
                .required(true)
                .help("The RDB file; one that is there is replaced when the new one is whole"),
        )
}

fn backup() -> Command {
    Command::new("backup")
        .about("Makes a backup of a data directory while no server uses it; BGSAVE makes one of a server that runs")
        .arg(path_arg("dir", "DIR").required(true))
        .arg(path_arg("to", "TO").required(true))
}

fn restore() -> Command {
    Command::new("restore")
        .about("Makes a new data directory from a backup")
        .arg(path_arg("from", "FROM").required(true))
        .arg(path_arg("dir", "DIR").required(true))
        .arg(
            Arg::new("until")
                .long("until")
                .value_name("BATCH")
                .value_parser(clap::value_parser!(u64))
                .help("The last write batch to keep; aikv check DIR shows how far a backup goes"),
        )
}

fn command() -> Command {
    let check = Command::new("check")
        .about("Checks a data directory while no server uses it")
        .arg(path_arg("dir", "DIR").required(true))
        .arg(
            Arg::new("repair")
                .long("repair")
                .action(ArgAction::SetTrue)
                .help("Cut damage off, after asking; what is cut is lost"),
        );
    Command::new("aikv")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Redis-protocol server whose Lua scripts are parallel, durable transactions")
        .after_help("Sizes take kb, mb and gb. docs/configuration.md says more.")
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .subcommands([check, backup(), restore(), import(), export()])
        .arg(
            path_arg("config-file", "CONFIG-FILE")
                .help("File in the syntax of redis.conf; the command line overrules it"),
        )
        .arg(
            Arg::new("option")
                .long("option")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("Any option, as in the configuration file"),
        )
        .args(OPTIONS.iter().map(argument))
}

fn argument(spec: &'static OptionSpec) -> Arg {
    let unit = if spec.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", spec.unit)
    };
    let shown = if spec.default.is_empty() {
        "none"
    } else {
        spec.default
    };
    let note = if spec.effect == Effect::Informational {
        "; has no effect"
    } else {
        ""
    };
    // A size such as 64mb or a list of limits carries its own units.
    let unit = if spec.default.ends_with(|last: char| last.is_ascii_digit()) {
        unit
    } else {
        String::new()
    };
    Arg::new(spec.name)
        .long(spec.name)
        .visible_aliases(spec.aliases)
        .value_name("VALUE")
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help_heading(spec.group)
        .help(format!("{} [default: {shown}{unit}{note}]", spec.help))
}

/// The parser's complaint without its usage text: one line, with its guess at what was meant.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let complaint = first
        .strip_prefix("error: ")
        .unwrap_or(first)
        .trim_end_matches(':');
    let details: Vec<&str> = text
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with("  <"))
        .map(str::trim)
        .collect();
    let line = [&[complaint], details.as_slice()].concat().join(" ");
    let near = match error
        .get(ContextKind::SuggestedArg)
        .or(error.get(ContextKind::SuggestedSubcommand))
    {
        Some(ContextValue::Strings(near)) => near.join("' or '"),
        Some(ContextValue::String(near)) => near.clone(),
        _ => return line,
    };
    format!("{line} (is '{near}' meant?)")
}
