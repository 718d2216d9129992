//! Every option of the server, declared once, and everything that is derived from the declaration.
//!
//! [`table`] is the only place that knows an option's name, kind, default, unit and help. The command line
//! ([`cli`]), the configuration file ([`file`], [`rewrite`]), CONFIG GET and CONFIG SET ([`Config`]) and
//! `docs/configuration.md` ([`docs`]) all read it.
//!
//! Invariants:
//! - A value in [`Settings`] has passed its option's [`Kind`]; readers need no second check.
//! - CONFIG SET changes all options it names or none, also when a listener refuses the change.
//! - Numbers, flags and choices are atomics, so that a command reads a limit without a lock; text is behind one.
//! - An option that has no effect says so (`Effect::Informational`); nothing is accepted and silently ignored.
//!
//! Depends on `base` only.

pub mod cli;
pub mod docs;
pub mod events;
pub mod file;
mod foreign;
mod kind;
mod rewrite;
mod settings;
pub mod table;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::base::glob::{self, Case};

pub use kind::{BufferLimit, BufferLimits, ClientClass, Kind, Value};
pub use settings::{Dialect, Durability, Settings, UndeclaredKeys};
pub use table::{Effect, OPTIONS, Opt, OptionSpec};

/// Why CONFIG SET, CONFIG REWRITE or a start failed. The text is what the client or the operator reads, without `ERR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Called after an option changed; an error undoes the whole CONFIG SET and is told to the client.
pub type Listener = Box<dyn Fn(&Settings) -> Result<(), String> + Send + Sync>;

/// The values in force, where they came from, and who wants to know of changes.
pub struct Config {
    settings: Arc<Settings>,
    /// How often CONFIG SET was tried.
    generation: AtomicU64,
    file: Option<PathBuf>,
    warnings: Vec<String>,
    users: Vec<Vec<String>>,
    includes_users: bool,
    renames: Vec<(String, String)>,
    listeners: RwLock<Vec<(Opt, Listener)>>,
    /// Held for the whole of a SET or REWRITE: both read the values, then act on what they read.
    change: Mutex<()>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Arc::new(Settings::default()),
            generation: AtomicU64::new(0),
            file: None,
            warnings: Vec::new(),
            users: Vec::new(),
            includes_users: false,
            renames: Vec::new(),
            listeners: RwLock::new(Vec::new()),
            change: Mutex::new(()),
        }
    }
}

impl Config {
    /// The values, for those who only read them.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// A number that grows with each CONFIG SET, before that is answered: whoever keeps values of settings compares it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The configuration file this was read from, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the configuration file asked for that does not apply here, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What its `user` lines say: name and rules of each.
    pub fn users(&self) -> &[Vec<String>] {
        &self.users
    }

    /// Commands that clients are to call by another name, or by none.
    pub fn renames(&self) -> &[(String, String)] {
        &self.renames
    }

    /// Reads a configuration file over the present values.
    pub fn load(&mut self, path: &Path) -> Result<(), ConfigError> {
        let loaded = file::load(path, &self.settings)?;
        self.warnings.extend(loaded.warnings);
        self.users.extend(loaded.users);
        self.renames.extend(loaded.renames);
        self.includes_users |= loaded.includes_users;
        self.file = Some(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
        Ok(())
    }

    /// Sets one option before the start, when nothing is immutable yet and nobody listens.
    pub fn assign(&mut self, name: &str, raw: &str) -> Result<(), ConfigError> {
        let spec = table::find(name).ok_or_else(|| ConfigError(unknown_option(name)))?;
        let value = self
            .settings
            .parse(spec, raw)
            .map_err(|error| ConfigError(format!("{}: {error} (given: '{raw}')", spec.name)))?;
        self.settings.store(spec.id, value);
        Ok(())
    }

    /// Has `listener` called after each CONFIG SET that changes `opt`.
    pub fn on_change(&self, opt: Opt, listener: Listener) {
        self.listeners.write().push((opt, listener));
    }

    /// CONFIG GET: every option that a pattern matches, once, under the name by which it was asked for.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut push = |shown: String, spec: &OptionSpec| {
            if seen.insert(shown.to_ascii_lowercase()) {
                found.push((shown, self.settings.display(spec)));
            }
        };
        for pattern in patterns {
            if pattern.iter().any(|byte| b"*?[".contains(byte)) {
                let lower = pattern.to_ascii_lowercase();
                for (name, spec) in table::names()
                    .filter(|(name, _)| glob::matches(&lower, name.as_bytes(), Case::Ignored))
                {
                    push(name.to_owned(), spec);
                }
            } else if let Ok(name) = std::str::from_utf8(pattern)
                && let Some(spec) = table::find(name)
            {
                push(name.to_owned(), spec);
            }
        }
        found
    }

    /// CONFIG SET: all of the pairs or none of them. Answers with the options that now have another value.
    pub fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<Vec<Opt>, ConfigError> {
        let _exclusive = self.change.lock();
        let specs = resolve(pairs)?;
        let before: Vec<Value> = specs.iter().map(|spec| self.settings.load(spec)).collect();
        let result = self.apply(&specs, pairs, &before);
        if result.is_err() {
            for (spec, value) in specs.iter().zip(before) {
                self.settings.store(spec.id, value);
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    /// CONFIG REWRITE: brings the configuration file up to date, keeping its comments and its order. `users` are the lines
    /// that declare them, unless they are declared elsewhere.
    pub fn rewrite(&self, users: &[String]) -> Result<(), ConfigError> {
        let _exclusive = self.change.lock();
        let Some(path) = &self.file else {
            return Err(ConfigError(
                "The server is running without a config file".to_owned(),
            ));
        };
        if self.includes_users {
            let why = "Rewriting config file: users are declared in a file that it includes";
            return Err(ConfigError(why.to_owned()));
        }
        rewrite::rewrite(path, &self.settings, users)
            .map_err(|error| ConfigError(format!("Rewriting config file: {error}")))
    }

    fn apply(
        &self,
        specs: &[&'static OptionSpec],
        pairs: &[(&[u8], &[u8])],
        before: &[Value],
    ) -> Result<Vec<Opt>, ConfigError> {
        for (spec, (name, raw)) in specs.iter().zip(pairs) {
            let value = std::str::from_utf8(raw)
                .map_err(|_| "argument must be valid UTF-8".to_owned())
                .and_then(|raw| self.settings.parse(spec, raw))
                .map_err(|reason| set_failed(name, &reason))?;
            self.settings.store(spec.id, value);
        }
        let changed: Vec<Opt> = specs
            .iter()
            .zip(before)
            .filter(|(spec, old)| self.settings.load(spec) != **old)
            .map(|(s, _)| s.id)
            .collect();
        for (opt, listener) in self
            .listeners
            .read()
            .iter()
            .filter(|(opt, _)| changed.contains(opt))
        {
            listener(&self.settings)
                .map_err(|reason| set_failed(opt.spec().name.as_bytes(), &reason))?;
        }
        Ok(changed)
    }
}

/// The checks that Redis makes on the names before it looks at any value, in its order.
fn resolve(pairs: &[(&[u8], &[u8])]) -> Result<Vec<&'static OptionSpec>, ConfigError> {
    let mut specs: Vec<&'static OptionSpec> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let Some(spec) = std::str::from_utf8(name).ok().and_then(table::find) else {
            let shown = String::from_utf8_lossy(name);
            return Err(ConfigError(format!(
                "Unknown option or number of arguments for CONFIG SET - '{shown}'"
            )));
        };
        if spec.effect == Effect::Startup {
            return Err(set_failed(name, "can't set immutable config"));
        }
        if specs.iter().any(|earlier| earlier.id == spec.id) {
            return Err(set_failed(name, "duplicate parameter"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn set_failed(name: &[u8], reason: &str) -> ConfigError {
    let name = String::from_utf8_lossy(name);
    ConfigError(format!(
        "CONFIG SET failed (possibly related to argument '{name}') - {reason}"
    ))
}

fn unknown_option(name: &str) -> String {
    match table::nearest(name) {
        Some(near) => format!("unknown option '{name}' (is '{near}' meant?)"),
        None => format!("unknown option '{name}'"),
    }
}

#[cfg(test)]
mod tests;
