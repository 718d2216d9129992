//! A user, and a client's hold on it.

use super::rules::Rules;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A user, shared by all clients who are it.
pub struct User {
    name: Box<[u8]>,
    /// There is nothing that the user may not do.
    unlimited: AtomicBool,
    removed: AtomicBool,
    /// Raised with each change of the rules.
    version: AtomicU64,
    rules: RwLock<Arc<Rules>>,
}

impl User {
    pub fn new(name: &[u8], rules: Rules) -> Self {
        Self {
            name: name.into(),
            unlimited: AtomicBool::new(rules.allow_everything()),
            removed: AtomicBool::new(false),
            version: AtomicU64::new(0),
            rules: RwLock::new(Arc::new(rules)),
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }

    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub fn set(&self, rules: Rules) {
        let mut place = self.rules.write();
        self.unlimited
            .store(rules.allow_everything(), Ordering::Release);
        *place = Arc::new(rules);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Takes all rights away for good.
    pub fn remove(&self, nothing: Rules) {
        self.removed.store(true, Ordering::Release);
        self.set(nothing);
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {}", self.name.escape_ascii())
    }
}

/// Who a client is. It keeps the rules that it has seen last, so that clients of one user on many shards do not fight for
/// a lock or a count.
#[derive(Clone)]
pub struct Identity {
    user: Arc<User>,
    rules: Arc<Rules>,
    version: u64,
}

impl Identity {
    pub fn new(user: Arc<User>) -> Self {
        // The version is read before the rules: if they change in between, they are read again.
        let version = user.version.load(Ordering::Acquire);
        let rules = user.rules();
        Self {
            user,
            rules,
            version,
        }
    }

    /// Whether there is nothing that must be asked for.
    #[inline]
    pub fn is_unlimited(&self) -> bool {
        self.user.unlimited.load(Ordering::Acquire)
    }

    /// The same, if there is anything to be asked for.
    pub fn limited(&self) -> Option<Self> {
        (!self.is_unlimited()).then(|| self.clone())
    }

    /// The rules as they are now.
    pub fn rules(&mut self) -> &Arc<Rules> {
        if self.version != self.user.version.load(Ordering::Acquire) {
            *self = Self::new(self.user.clone());
        }
        &self.rules
    }

    /// The rules as they were when they were last read.
    pub fn rules_seen(&self) -> &Rules {
        &self.rules
    }

    pub fn user(&self) -> &Arc<User> {
        &self.user
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.user.fmt(f)
    }
}
