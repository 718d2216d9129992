//! A selector: which commands may be run with which keys and channels. A user may do what one of its selectors allows.

use super::denied::Denied;
use super::rule_error::RuleError;
use crate::base::glob::{self, Case};
use crate::command::{Channels, Flags, KeyFlags};
use crate::engine::admin::ACL_CATEGORIES;
use crate::engine::registry::{Entry, Registry};
use crate::resp::Args;
use bitflags::bitflags;
use smallvec::SmallVec;

bitflags! {
    /// What may be done with keys, or is about to be.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyAccess: u8 {
        const READ = 1 << 0;
        const WRITE = 1 << 1;
    }
}

impl KeyAccess {
    /// What a command needs that does this with a key. One that only asks whether a key is there needs neither.
    fn needed(flags: KeyFlags) -> Self {
        let changes = KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE;
        let mut needed = Self::empty();
        needed.set(Self::READ, flags.contains(KeyFlags::ACCESS));
        needed.set(Self::WRITE, flags.intersects(changes));
        needed
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    access: KeyAccess,
    pattern: Box<[u8]>,
}

/// Rules on commands in the order in which they were given, as ACL LIST shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// What the others start from: `+@all` or `-@all`.
    all: bool,
    changes: Vec<(bool, String)>,
}

impl Shown {
    /// Adds a rule. Those that it makes void go: on the same command or category, or on parts of it.
    fn change(&mut self, name: &[u8], allow: bool) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.changes.retain(|(_, known)| {
            let rest = known.strip_prefix(&*name);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.changes.push((allow, name));
    }

    fn text(&self) -> String {
        let sign = |allow: bool| if allow { '+' } else { '-' };
        let mut text = format!("{}@all", sign(self.all));
        for (allow, name) in &self.changes {
            text.extend([' ', sign(*allow)]);
            text.push_str(name);
        }
        text
    }
}

/// The keys of a request with what is done to them, found once however many selectors look at them.
pub type KeysOfRequest = SmallVec<[(usize, KeyAccess); 4]>;

/// Finds the keys of a request. Where they cannot be told, the handler finds the fault and names it.
pub fn keys_of(entry: &Entry, args: &Args<'_>) -> KeysOfRequest {
    let mut keys = KeysOfRequest::new();
    let spec = entry.spec;
    let _ = spec.visit_keys(args, |index, key| {
        if !key.flags.contains(KeyFlags::NOT_KEY) {
            keys.push((index, KeyAccess::needed(spec.flags_of(key, args))));
        }
    });
    keys
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    all_commands: bool,
    all_keys: bool,
    all_channels: bool,
    /// One bit a command, by its number.
    commands: Box<[u64]>,
    /// Commands that are allowed with this first argument alone.
    first_args: Vec<(u32, Box<[u8]>)>,
    keys: Vec<KeyPattern>,
    channels: Vec<Box<[u8]>>,
    shown: Shown,
}

impl Selector {
    /// One that allows nothing but, perhaps, all channels.
    pub fn new(registry: &Registry, all_channels: bool) -> Self {
        let words = registry.specs().len().div_ceil(64);
        Self {
            all_commands: false,
            all_keys: false,
            all_channels,
            commands: vec![0; words].into(),
            first_args: Vec::new(),
            keys: Vec::new(),
            channels: Vec::new(),
            shown: Shown {
                all: false,
                changes: Vec::new(),
            },
        }
    }

    pub fn allows_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    pub fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// Applies one rule.
    pub fn apply(&mut self, rule: &[u8], registry: &Registry) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.reset_keys(true),
            b"resetkeys" => self.reset_keys(false),
            b"allchannels" | b"&*" => self.reset_channels(true),
            b"resetchannels" => self.reset_channels(false),
            b"allcommands" | b"+@all" => self.reset_commands(true),
            b"nocommands" | b"-@all" => self.reset_commands(false),
            [b'~', ..] => return self.add_keys(KeyAccess::all(), &rule[1..]),
            [b'%', ..] if self.all_keys => return Err(RuleError::KeysAfterAll),
            [b'%', ..] => {
                let (access, pattern) = split_access(&rule[1..])?;
                return self.add_keys(access, pattern);
            }
            [b'&', ..] => return self.add_channels(&rule[1..]),
            [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                return self.change_category(name, *sign == b'+', registry);
            }
            [b'+', name @ ..] if name.contains(&b'|') => return self.allow_part(name, registry),
            [sign @ (b'+' | b'-'), name @ ..] => {
                let entry = registry.original(name).ok_or(RuleError::UnknownCommand)?;
                self.change(entry, *sign == b'+');
                self.shown.change(name, *sign == b'+');
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn reset_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn reset_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn reset_commands(&mut self, all: bool) {
        self.all_commands = all;
        self.commands.fill(if all { u64::MAX } else { 0 });
        self.first_args.clear();
        self.shown = Shown {
            all,
            changes: Vec::new(),
        };
    }

    fn add_keys(&mut self, access: KeyAccess, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        if super::has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self
            .keys
            .iter_mut()
            .find(|known| *known.pattern == *pattern)
        {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern {
                access,
                pattern: pattern.into(),
            }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if super::has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// `+container|subcommand`, or `+command|first-argument`.
    fn allow_part(&mut self, name: &[u8], registry: &Registry) -> Result<(), RuleError> {
        let Some(bar) = memchr::memrchr(b'|', name) else {
            unreachable!("the caller has seen one");
        };
        let (whole, part) = (&name[..bar], &name[bar + 1..]);
        let entry = registry.original(whole).ok_or(RuleError::UnknownCommand)?;
        if entry.spec.name.contains('|') {
            return Err(RuleError::PartOfSubcommand);
        }
        if part.is_empty() {
            return Err(RuleError::Syntax);
        }
        if entry.subcommands.is_empty() {
            let first_arg = (entry.number, Box::from(part));
            if !self.first_args.contains(&first_arg) {
                self.first_args.push(first_arg);
            }
        } else {
            let entry = registry.original(name).ok_or(RuleError::UnknownCommand)?;
            self.change(entry, true);
        }
        self.shown.change(name, true);
        Ok(())
    }

    fn change_category(
        &mut self,
        name: &[u8],
        allow: bool,
        registry: &Registry,
    ) -> Result<(), RuleError> {
        let category = category(name).ok_or(RuleError::UnknownCommand)?;
        for entry in registry.entries() {
            for entry in std::iter::once(entry).chain(&entry.subcommands) {
                if entry.spec.acl_categories().contains(&category) {
                    self.change(entry, allow);
                }
            }
        }
        self.shown.change(category.as_bytes(), allow);
        Ok(())
    }

    /// Allows or forbids a command with all its subcommands.
    fn change(&mut self, entry: &Entry, allow: bool) {
        self.first_args
            .retain(|(number, _)| *number != entry.number);
        self.all_commands &= allow;
        for entry in std::iter::once(entry).chain(&entry.subcommands) {
            let bit = 1 << (entry.number % 64);
            let word = &mut self.commands[entry.number as usize / 64];
            *word = if allow { *word | bit } else { *word & !bit };
        }
    }

    /// Whether a request is allowed by this selector alone. `keys` are those of the request, once they were asked for.
    pub fn check(
        &self,
        entry: &Entry,
        args: &Args<'_>,
        keys: &mut Option<KeysOfRequest>,
    ) -> Result<(), Denied> {
        if !self.allows_command(entry, args) {
            return Err(Denied::Command);
        }
        if !self.all_keys && !entry.spec.keys.is_empty() {
            let keys = keys.get_or_insert_with(|| keys_of(entry, args));
            let denied = keys
                .iter()
                .find(|(index, access)| !self.allows_key(args.get(*index), *access));
            if let Some((index, _)) = denied {
                return Err(Denied::Key(*index));
            }
        }
        if let Some(channels) = entry.spec.channels
            && !self.all_channels
        {
            let literally = channels == Channels::Patterns;
            let denied = channels
                .indexes(args.len())
                .find(|index| !self.allows_channel(args.get(*index), literally));
            if let Some(index) = denied {
                return Err(Denied::Channel(index));
            }
        }
        Ok(())
    }

    fn allows_command(&self, entry: &Entry, args: &Args<'_>) -> bool {
        let number = entry.number;
        self.all_commands
            || entry.spec.flags.contains(Flags::NO_AUTH)
            || self.commands[number as usize / 64] & 1 << (number % 64) != 0
            || args.try_get(1).is_some_and(|first| {
                let mut allowed = self.first_args.iter();
                allowed.any(|(of, arg)| *of == number && arg.eq_ignore_ascii_case(first))
            })
    }

    fn allows_key(&self, key: &[u8], access: KeyAccess) -> bool {
        self.keys.iter().any(|known| {
            known.access.contains(access) && glob::matches(&known.pattern, key, Case::Sensitive)
        })
    }

    /// Whether a channel may be used, or a pattern of channels: that has to be one of the rules as it is.
    pub fn allows_channel(&self, channel: &[u8], literally: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|pattern| {
                if literally {
                    **pattern == *channel
                } else {
                    glob::matches(pattern, channel, Case::Sensitive)
                }
            })
    }

    /// Whether every key may be read, those among them that a request does not name.
    pub fn allows_reading_all_keys(&self) -> bool {
        let all =
            |known: &KeyPattern| known.access.contains(KeyAccess::READ) && *known.pattern == *b"*";
        self.all_keys || self.keys.iter().any(all)
    }

    /// The rules on commands.
    pub fn commands_text(&self) -> String {
        self.shown.text()
    }

    /// The rules on keys, parted by blanks.
    pub fn keys_text(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let patterns: Vec<Vec<u8>> = self
            .keys
            .iter()
            .map(|known| [prefix(known.access), &known.pattern].concat())
            .collect();
        patterns.join(&b' ')
    }

    /// The rules on channels, parted by blanks.
    pub fn channels_text(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let patterns: Vec<Vec<u8>> = self
            .channels
            .iter()
            .map(|pattern| [b"&", &**pattern].concat())
            .collect();
        patterns.join(&b' ')
    }

    /// All rules, as they can be given again.
    pub fn text(&self) -> Vec<u8> {
        let mut parts = vec![self.keys_text()];
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.channels_text());
        parts.push(self.commands_text().into_bytes());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// A category by its name without `@`, in any case.
pub fn category(name: &[u8]) -> Option<&'static str> {
    ACL_CATEGORIES
        .iter()
        .copied()
        .find(|known| known.as_bytes()[1..].eq_ignore_ascii_case(name))
}

/// What stands before a pattern. One that allows nothing is none.
fn prefix(access: KeyAccess) -> &'static [u8] {
    match (
        access.contains(KeyAccess::READ),
        access.contains(KeyAccess::WRITE),
    ) {
        (true, true) => b"~",
        (true, false) => b"%R~",
        (false, _) => b"%W~",
    }
}

/// `RW~pattern` taken apart.
fn split_access(rule: &[u8]) -> Result<(KeyAccess, &[u8]), RuleError> {
    let mut access = KeyAccess::empty();
    for (at, byte) in rule.iter().enumerate() {
        let one = match byte.to_ascii_uppercase() {
            b'R' => KeyAccess::READ,
            b'W' => KeyAccess::WRITE,
            b'~' if !access.is_empty() => return Ok((access, &rule[at + 1..])),
            _ => return Err(RuleError::Syntax),
        };
        if access.contains(one) {
            return Err(RuleError::Syntax);
        }
        access |= one;
    }
    if access.is_empty() {
        return Err(RuleError::Syntax);
    }
    Ok((access, b""))
}
