//! What a user may do, and how it proves who it is.

use super::denied::Denied;
use super::password::PasswordHash;
use super::rule_error::RuleError;
use super::selector::{KeysOfRequest, Selector};

use crate::engine::pubsub::{Kind, Subscriptions};
use crate::engine::registry::{Entry, Registry};
use crate::resp::{Args, split_words};

/// What rules are read against.
#[derive(Clone, Copy)]
pub struct Grammar<'a> {
    pub registry: &'a Registry,
    /// `acl-pubsub-default`: whether a new user may use all channels.
    pub all_channels: bool,
}

/// The rules of one user. Changed as a whole.
#[derive(Clone)]
pub struct Rules {
    pub enabled: bool,
    /// Any password will do.
    pub no_password: bool,
    /// `sanitize-payload`, if it was said. Payloads are always checked here; ACL LIST shows what was said.
    sanitize: Option<bool>,
    passwords: Vec<PasswordHash>,
    /// The first one is the user's own, which rules without parentheses change.
    selectors: Vec<Selector>,
}

impl Rules {
    /// A user that was just made: it may do nothing.
    pub fn new(grammar: Grammar<'_>) -> Self {
        Self {
            enabled: false,
            no_password: false,
            sanitize: None,
            passwords: Vec::new(),
            selectors: vec![Selector::new(grammar.registry, grammar.all_channels)],
        }
    }

    /// The default user before anybody said otherwise: everybody, who may do everything.
    pub fn open(grammar: Grammar<'_>) -> Self {
        let mut rules = Self::new(grammar);
        for rule in ["on", "nopass", "~*", "&*", "+@all"] {
            let applied = rules.apply(rule.as_bytes(), grammar);
            debug_assert!(applied.is_ok(), "{rule} is a rule");
        }
        rules
    }

    /// Rules that allow nothing to anybody.
    pub fn nothing(registry: &Registry) -> Self {
        Self::new(Grammar {
            registry,
            all_channels: false,
        })
    }

    /// Applies one rule. Selectors are one rule each, see [`merge_selectors`].
    pub fn apply(&mut self, rule: &[u8], grammar: Grammar<'_>) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                self.no_password = true;
                self.passwords.clear();
            }
            b"resetpass" => self.reset_passwords(),
            b"skip-sanitize-payload" => self.sanitize = Some(false),
            b"sanitize-payload" => self.sanitize = Some(true),
            b"clearselectors" => self.selectors.truncate(1),
            b"reset" => {
                *self = Self::new(grammar);
                self.sanitize = Some(true);
            }
            [b'>', ..] => self.add_password(PasswordHash::of(&rule[1..])),
            [b'#', ..] => self.add_password(parse_hash(&rule[1..])?),
            [b'<', ..] => self.remove_password(&PasswordHash::of(&rule[1..]))?,
            [b'!', ..] => self.remove_password(&parse_hash(&rule[1..])?)?,
            [b'(', inner @ .., b')'] => {
                let inner = &rule[1..=inner.len()];
                let mut selector = Selector::new(grammar.registry, grammar.all_channels);
                for rule in split_words(inner).unwrap_or_default() {
                    selector.apply(&rule, grammar.registry)?;
                }
                self.selectors.push(selector);
            }
            _ => self.selectors[0].apply(rule, grammar.registry)?,
        }
        Ok(())
    }

    /// What `requirepass` does to the default user.
    pub fn require_password(&mut self, password: &str) {
        self.reset_passwords();
        if password.is_empty() {
            self.no_password = true;
        } else {
            self.add_password(PasswordHash::of(password.as_bytes()));
        }
    }

    fn reset_passwords(&mut self) {
        self.no_password = false;
        self.passwords.clear();
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.iter().any(|known| known.is(&hash)) {
            self.passwords.push(hash);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, hash: &PasswordHash) -> Result<(), RuleError> {
        let before = self.passwords.len();
        self.passwords.retain(|known| !known.is(hash));
        if self.passwords.len() == before {
            return Err(RuleError::NoSuchPassword);
        }
        Ok(())
    }

    /// Whether the user lets everybody in who says its name.
    pub fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether this password lets somebody in. All passwords are compared, whichever is right.
    pub fn accepts(&self, password: &PasswordHash) -> bool {
        let known = self.passwords.iter();
        let right = known.fold(false, |right, known| known.is(password) | right);
        self.enabled && (right || self.no_password)
    }

    /// Whether there is nothing that is not allowed.
    pub fn allow_everything(&self) -> bool {
        self.selectors.iter().any(Selector::allows_everything)
    }

    /// Whether a request is allowed: by one selector as a whole. Otherwise the answer is about what came closest.
    pub fn check(&self, entry: &Entry, args: &Args<'_>) -> Result<(), Denied> {
        let mut keys: Option<KeysOfRequest> = None;
        let mut closest = Denied::Command;
        for selector in &self.selectors {
            match selector.check(entry, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => closest = closest.max(denied),
            }
        }
        Err(closest)
    }

    /// The same when the request is about to be run, when options are looked at that may lead to any key.
    pub fn check_with_options(&self, entry: &Entry, args: &Args<'_>) -> Result<(), Denied> {
        self.check(entry, args)?;
        let Some(option) = entry.spec.beyond_keys.and_then(|find| find(args)) else {
            return Ok(());
        };
        let mut keys = None;
        let mut selectors = self.selectors.iter();
        let allowed = selectors.any(|selector| {
            selector.allows_reading_all_keys() && selector.check(entry, args, &mut keys).is_ok()
        });
        if allowed {
            Ok(())
        } else {
            Err(Denied::Option(option))
        }
    }

    /// Whether all that a client listens to may be listened to.
    pub fn allow_subscriptions(&self, subscriptions: &Subscriptions) -> bool {
        if self.selectors.iter().any(Selector::allows_all_channels) {
            return true;
        }
        [Kind::Channel, Kind::Pattern, Kind::Shard]
            .into_iter()
            .all(|kind| {
                let literally = kind == Kind::Pattern;
                subscriptions.of(kind).iter().all(|name| {
                    let mut selectors = self.selectors.iter();
                    selectors.any(|selector| selector.allows_channel(name, literally))
                })
            })
    }

    /// The words of GETUSER's flags.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        match self.sanitize {
            Some(true) => flags.push("sanitize-payload"),
            Some(false) => flags.push("skip-sanitize-payload"),
            None => {}
        }
        flags
    }

    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(PasswordHash::hex)
    }

    /// The user's own selector, and those in parentheses.
    pub fn selectors(&self) -> (&Selector, &[Selector]) {
        (&self.selectors[0], &self.selectors[1..])
    }

    /// All rules, as they can be given again.
    pub fn text(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        parts.extend(self.flags().iter().map(|flag| flag.as_bytes().to_vec()));
        parts.extend(self.passwords().map(|hash| format!("#{hash}").into_bytes()));
        let (own, others) = self.selectors();
        parts.push(own.text());
        parts.extend(others.iter().map(|s| [b"(", &*s.text(), b")"].concat()));
        parts.join(&b' ')
    }
}

fn parse_hash(hex: &[u8]) -> Result<PasswordHash, RuleError> {
    PasswordHash::parse(hex).ok_or(RuleError::BadHash)
}

/// Puts the words of each selector together, from `(` to `)`. As in Redis a second `(` begins anew. The error is the index
/// of a parenthesis that is left open.
pub fn merge_selectors(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, word) in words.iter().enumerate() {
        if word.starts_with(b"(") && !word.ends_with(b")") {
            open = Some((at, word.to_vec()));
        } else if let Some((_, selector)) = &mut open {
            selector.push(b' ');
            selector.extend_from_slice(word);
            if word.ends_with(b")") {
                rules.extend(open.take().map(|(_, selector)| selector));
            }
        } else {
            rules.push(word.to_vec());
        }
    }
    match open {
        None => Ok(rules),
        Some((at, _)) => Err(at),
    }
}
