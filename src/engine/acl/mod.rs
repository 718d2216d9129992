//! Access control: users, what they may do, and the log of what was denied.
//!
//! A user has rules; a request is allowed if one of the user's selectors allows all of it: the command, its keys, its
//! channels. The command table says which arguments are keys and channels, so a command that is declared is controlled.
//!
//! Invariants:
//! - Everything that runs a command asks first: a client's request, MULTI when it queues and EXEC when it runs, a script
//!   when it calls. A command that waits for data is asked for again when the rules change.
//! - Rules change as a whole, at once for all shards: a request that comes after the answer to ACL SETUSER sees them.
//! - A user that was removed has rules that allow nothing, so whoever still holds it can do nothing with it.
//! - For a user who may do everything the question costs one load.
//! - A password is never kept, only its hash, and hashes are compared in a time that tells nothing.
//!
//! Depends on `registry`, `client` and `shared`.

mod commands;
mod denied;
mod enforce;
mod file;
mod identity;
mod log;
#[cfg(test)]
mod oracle_tests;
mod password;
mod rule_error;
mod rules;
mod selector;
#[cfg(test)]
mod tests;

pub use commands::COMMANDS;
pub use enforce::note_failed_login;
pub use file::listen_to_password;
pub use identity::{Identity, User};

use super::registry::Registry;
use crate::config::{Opt, Settings};
use log::Log;
use parking_lot::{Mutex, RwLock};
use password::PasswordHash;
use rules::{Grammar, Rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The user of clients that have not said who they are.
pub const DEFAULT: &[u8] = b"default";

type Users = BTreeMap<Box<[u8]>, Arc<User>>;

/// All users.
pub struct Acl {
    users: RwLock<Users>,
    /// Held while users are made, changed or removed.
    change: Mutex<()>,
    default: Arc<User>,
    /// Raised by each change.
    version: AtomicU64,
    log: Log,
}

impl Acl {
    /// The default user alone, with the password that the configuration asks for.
    pub fn new(registry: &Registry, settings: &Settings) -> Self {
        let mut rules = Rules::open(grammar(registry, settings));
        rules.require_password(&settings.text(Opt::Requirepass));
        let default = Arc::new(User::new(DEFAULT, rules));
        let users = Users::from([(DEFAULT.into(), default.clone())]);
        Self {
            users: RwLock::new(users),
            change: Mutex::new(()),
            default,
            version: AtomicU64::new(0),
            log: Log::default(),
        }
    }

    /// Who a new client is.
    pub fn stranger(&self) -> Arc<User> {
        self.default.clone()
    }

    /// Whether clients need not say who they are.
    pub fn is_open(&self) -> bool {
        self.default.rules().is_open()
    }

    /// Whether the default user takes any password.
    pub fn asks_no_password(&self) -> bool {
        self.default.rules().no_password
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All users in the order of their names.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// The user that a password lets in. For an unknown name the same work is done.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let password = PasswordHash::of(password);
        let user = self.user(name);
        let rules = user.as_ref().unwrap_or(&self.default).rules();
        user.filter(|user| rules.accepts(&password) && !user.is_removed())
    }

    /// The lines of ACL LIST, of the file of users and of a rewritten configuration.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let users = self.users();
        let lines = users.iter();
        lines
            .map(|user| [b"user ", user.name(), b" ", &*user.rules().text()].concat())
            .collect()
    }

    /// Changes a user, which is made if there is none.
    fn set(&self, name: &[u8], rules: Rules) {
        let mut users = self.users.write();
        match users.get(name) {
            Some(user) => user.set(rules),
            None => {
                users.insert(name.into(), Arc::new(User::new(name, rules)));
            }
        }
        drop(users);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Removes a user. Returns it, for its clients to be sent away.
    fn remove(&self, name: &[u8], registry: &Registry) -> Option<Arc<User>> {
        let user = self.users.write().remove(name)?;
        user.remove(Rules::nothing(registry));
        self.version.fetch_add(1, Ordering::Release);
        Some(user)
    }
}

/// What rules are read against.
pub fn grammar<'a>(registry: &'a Registry, settings: &Settings) -> Grammar<'a> {
    Grammar {
        registry,
        // The first of its two words is `allchannels`.
        all_channels: settings.size(Opt::AclPubsubDefault) == 0,
    }
}

/// Names of users and patterns are parted by blanks where they are written down.
fn has_spaces(text: &[u8]) -> bool {
    text.iter()
        .any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}
