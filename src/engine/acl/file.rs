//! Users in files: those of the configuration, and those of `aclfile`.

use super::identity::User;
use super::rule_error::RuleError;
use super::rules::{Grammar, Rules, merge_selectors};
use super::{Acl, DEFAULT, grammar};
use crate::base::replace::replace_file;
use crate::config::{Config, Opt};
use crate::engine::message::Message;
use crate::engine::registry::Registry;
use crate::engine::shared::Shared;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;

type Loaded = BTreeMap<Box<[u8]>, Rules>;

impl Acl {
    /// The users that the server starts with.
    pub fn open(registry: &Registry, config: &Config) -> Result<Self, String> {
        let settings = config.settings();
        let acl = Self::new(registry, settings);
        let grammar = grammar(registry, settings);
        let file = settings.text(Opt::Aclfile);
        let loaded = if file.is_empty() {
            declared(config.users(), grammar)?
        } else if config.users().is_empty() {
            read(&file, grammar)?
        } else {
            return Err(
                "users are declared in the configuration and in 'aclfile': one of them has to go"
                    .to_owned(),
            );
        };
        for (name, rules) in loaded {
            if !rules.enabled {
                let user = name.escape_ascii();
                tracing::info!(%user, "the user is disabled: there is no 'on' among its rules");
            }
            acl.set(&name, rules);
        }
        Ok(acl)
    }
}

impl Acl {
    /// The `user` lines of a rewritten configuration: none where a file of users has them, or where the default user is
    /// alone and as the other options make it.
    pub fn declarations(&self, shared: &Shared) -> Vec<String> {
        let settings = shared.config.settings();
        if !settings.text(Opt::Aclfile).is_empty() {
            return Vec::new();
        }
        let lines = self.lines();
        let alone = Acl::new(&shared.registry, settings);
        if lines == alone.lines() {
            return Vec::new();
        }
        let lines = lines.iter();
        lines
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }
}

/// Users as `user` lines of the configuration declare them.
fn declared(lines: &[Vec<String>], grammar: Grammar<'_>) -> Result<Loaded, String> {
    let mut loaded = Loaded::new();
    for words in lines {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let [name, rules @ ..] = &words[..] else {
            return Err("'user' names nobody".to_owned());
        };
        let shown = name.escape_ascii();
        if super::has_spaces(name) {
            return Err(format!("the user name '{shown}' contains spaces"));
        }
        let merged = merge_selectors(rules)
            .map_err(|_| format!("user '{shown}': a parenthesis is left open"))?;
        let mut made = Rules::new(grammar);
        for rule in merged {
            made.apply(&rule, grammar)
                .map_err(|why| format!("user '{shown}': {why}"))?;
        }
        if loaded.insert((*name).into(), made).is_some() {
            return Err(format!("user '{shown}' is declared twice"));
        }
    }
    Ok(loaded)
}

/// Reads a file of users: all of it, or none of it.
fn read(name: &str, grammar: Grammar<'_>) -> Result<Loaded, String> {
    let text = std::fs::read(name)
        .map_err(|error| format!("Error loading ACLs, opening file '{name}': {error}"))?;
    let mut loaded = Loaded::new();
    let mut faults = String::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        read_line(line, grammar, &mut loaded, &mut |fault| {
            // Writing to a String does not fail.
            let _ = write!(faults, "{name}:{}: {fault}. ", at + 1);
        });
    }
    if faults.is_empty() {
        return Ok(loaded);
    }
    Err(format!(
        "{faults}WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    ))
}

fn read_line(
    line: &[u8],
    grammar: Grammar<'_>,
    loaded: &mut Loaded,
    complain: &mut dyn FnMut(String),
) {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [b"user", name, rules @ ..] = &words[..] else {
        complain("line should start with user keyword and include a username".to_owned());
        return;
    };
    let shown = name.escape_ascii();
    if super::has_spaces(name) {
        complain(format!("username '{shown}' contains invalid characters"));
        return;
    }
    let Ok(merged) = merge_selectors(rules) else {
        complain("Unmatched parenthesis in selector definition".to_owned());
        return;
    };
    let mut made = Rules::new(grammar);
    let mut is_first = true;
    for rule in merged {
        match made.apply(rule.trim_ascii(), grammar) {
            // What is unknown can be named, since it holds no secret.
            Err(why @ RuleError::UnknownCommand) => complain(format!(
                "Error in applying operation '{}': {why}",
                rule.escape_ascii()
            )),
            // The first fault may be the cause of the others.
            Err(why) if is_first => {
                complain(why.to_string());
                is_first = false;
            }
            Ok(()) | Err(_) => {}
        }
    }
    if loaded.insert((*name).into(), made).is_some() {
        complain(format!("Duplicate user '{shown}' found"));
    }
}

/// ACL LOAD. Returns the users that are no more.
pub fn reload(shared: &Shared, name: &str) -> Result<Vec<Arc<User>>, String> {
    let settings = shared.config.settings();
    let grammar = grammar(&shared.registry, settings);
    let _exclusive = shared.acl.change.lock();
    let mut loaded = read(name, grammar)?;
    // A file that does not name the default user leaves it as the configuration wants it.
    loaded.entry(DEFAULT.into()).or_insert_with(|| {
        let mut rules = Rules::open(grammar);
        rules.require_password(&settings.text(Opt::Requirepass));
        rules
    });
    let known = shared.acl.users();
    let gone = known
        .iter()
        .filter(|user| !loaded.contains_key(user.name()));
    let removed = gone
        .filter_map(|user| shared.acl.remove(user.name(), &shared.registry))
        .collect();
    for (name, rules) in loaded {
        shared.acl.set(&name, rules);
    }
    Ok(removed)
}

/// ACL SAVE: the file is replaced in one step.
pub fn save(acl: &Acl, name: &str) -> io::Result<()> {
    let mut text = acl.lines().join(&b'\n');
    text.push(b'\n');
    replace_file(Path::new(name), &text)
}

/// Has CONFIG SET requirepass change the default user.
pub fn listen_to_password(shared: &'static Shared) {
    let listener = |settings: &crate::config::Settings| {
        let acl = &shared.acl;
        let exclusive = acl.change.lock();
        let mut rules = (*acl.default.rules()).clone();
        rules.require_password(&settings.text(Opt::Requirepass));
        acl.set(DEFAULT, rules);
        drop(exclusive);
        shared.tell_all(|| Message::AclChanged);
        Ok(())
    };
    shared
        .config
        .on_change(Opt::Requirepass, Box::new(listener));
}
