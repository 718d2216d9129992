//! What a command says of itself.

use super::error::Error;
use super::texts::Texts;
use crate::base::number::parse_i64;
use crate::resp::Args;
use bitflags::bitflags;

bitflags! {
    /// The flags that COMMAND INFO shows, in its order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1 << 0;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const FAST = 1 << 11;
        const NO_AUTH = 1 << 12;
        const NO_ASYNC_LOADING = 1 << 14;
        const NO_MULTI = 1 << 15;
        const MOVABLE_KEYS = 1 << 16;
        const ALLOW_BUSY = 1 << 17;
        const PROTECTED = 1 << 18;
        const NO_MANDATORY_KEYS = 1 << 19;
        /// Not shown, as of Redis 7: a script that may write.
        const MAY_REPLICATE = 1 << 29;
        /// Ours, not shown: the command does a little for each of its keys, and looks at no other.
        const EACH_KEY = 1 << 28;
        /// Ours, not shown: the command reads or changes the keyspace as a whole.
        const KEYSPACE = 1 << 30;
        /// Ours, not shown: the command needs the keyspace gate for itself.
        const GATE = 1 << 31;
    }

    /// What a command does with the keys of one specification.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        const RO = 1 << 0;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
        /// Ours, not shown: the specification is there for the locks; what is shown of the command does not name the key.
        const UNSHOWN = 1 << 14;
        /// Ours, not shown: the command changes the value, though it is said to read it.
        const WRITES = 1 << 15;
    }
}

/// The combinations that data commands use.
impl Flags {
    pub const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
    pub const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
    pub const WRITE_DENYOOM: Flags = Flags::WRITE.union(Flags::DENYOOM);
    pub const WRITE_DENYOOM_FAST: Flags = Flags::WRITE_DENYOOM.union(Flags::FAST);
}

impl Flags {
    /// The names that COMMAND INFO shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: &[(Flags, &str)] = &[
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::PROTECTED, "protected"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        let shown = NAMES.iter().filter(move |(flag, _)| self.contains(*flag));
        shown.map(|(_, name)| *name)
    }
}

/// The combinations that data commands use.
impl KeyFlags {
    pub const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
    /// Reads the value and changes it.
    pub const MODIFY: KeyFlags = KeyFlags::ALTER.union(KeyFlags::ACCESS);
    /// Changes the key without telling its value.
    pub const ALTER: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
    pub const EXTEND: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
    /// Reads the value and takes it away.
    pub const TAKE: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
    pub const OVERWRITE: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
    pub const CREATE: KeyFlags = KeyFlags::OW.union(KeyFlags::INSERT);
    pub const REMOVE: KeyFlags = KeyFlags::RM.union(KeyFlags::DELETE);

    /// The names that COMMAND INFO shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: &[(KeyFlags, &str)] = &[
            (KeyFlags::RO, "RO"),
            (KeyFlags::RW, "RW"),
            (KeyFlags::OW, "OW"),
            (KeyFlags::RM, "RM"),
            (KeyFlags::ACCESS, "access"),
            (KeyFlags::UPDATE, "update"),
            (KeyFlags::INSERT, "insert"),
            (KeyFlags::DELETE, "delete"),
            (KeyFlags::NOT_KEY, "not_key"),
            (KeyFlags::INCOMPLETE, "incomplete"),
            (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
        ];
        let shown = NAMES.iter().filter(move |(flag, _)| self.contains(*flag));
        shown.map(|(_, name)| *name)
    }
}

/// The group a command is documented under; most are an ACL category too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    Pubsub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Pubsub => "pubsub",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::List => "list",
            Group::Scripting => "scripting",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }

    /// The ACL category that all commands of the group are in.
    pub const fn category(self) -> Option<&'static str> {
        match self {
            Group::Bitmap => Some("@bitmap"),
            Group::Connection => Some("@connection"),
            Group::Generic => Some("@keyspace"),
            Group::Geo => Some("@geo"),
            Group::Hash => Some("@hash"),
            Group::HyperLogLog => Some("@hyperloglog"),
            Group::List => Some("@list"),
            Group::Scripting => Some("@scripting"),
            Group::Cluster | Group::Pubsub | Group::Server => None,
            Group::Set => Some("@set"),
            Group::SortedSet => Some("@sortedset"),
            Group::Stream => Some("@stream"),
            Group::String => Some("@string"),
            Group::Transactions => Some("@transaction"),
        }
    }
}

/// Where a specification's keys begin.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    Index(usize),
    /// Where this finds it; COMMAND INFO cannot tell.
    Found(FindArgument),
    /// After this word, looked for from `from` on.
    Keyword {
        word: &'static str,
        from: usize,
    },
}

/// Finds an argument of a request, if the request has it.
pub type FindArgument = fn(&Args<'_>) -> Option<usize>;

/// Which arguments after the beginning are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last`: relative to the beginning, or from the end where negative.
    Range { last: i32, step: usize },
    /// The first half of all that follow.
    FirstHalf,
    /// Their number stands `at` arguments after the beginning, the first of them `first` after it.
    Count { at: usize, first: usize },
}

/// Which arguments of a command are keys, and what it does with them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
}

/// What a command may do with a key; decides how the key is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl KeySpec {
    /// The argument at `index` alone.
    pub const fn one(index: usize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Index(index),
            find: Find::Range { last: 0, step: 1 },
        }
    }

    /// The argument that `find` tells of, if it does.
    pub const fn found_by(find: FindArgument, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Found(find),
            find: Find::Range { last: 0, step: 1 },
        }
    }

    /// Every `step`th argument from `index` on.
    pub const fn rest(index: usize, step: usize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Index(index),
            find: Find::Range { last: -1, step },
        }
    }

    /// A number of keys at `index`, then the keys.
    pub const fn counted(index: usize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Index(index),
            find: Find::Count { at: 0, first: 1 },
        }
    }

    pub fn access(&self) -> Access {
        if self.flags.contains(KeyFlags::RO) && !self.flags.contains(KeyFlags::WRITES) {
            Access::Read
        } else {
            Access::Write
        }
    }

    /// Where the keys begin, if the request has what leads to them.
    fn begin(&self, args: &Args<'_>) -> Option<usize> {
        match self.begin {
            Begin::Index(index) => Some(index),
            Begin::Found(find) => find(args),
            Begin::Keyword { word, from } => {
                let is_word = |i: &usize| args[*i].eq_ignore_ascii_case(word.as_bytes());
                (from..args.len()).find(is_word).map(|at| at + 1)
            }
        }
    }

    /// Whether a request that is right has keys here: always where they have a fixed place, else if it has the option that
    /// leads to them. A last word is no option.
    pub fn promises_keys(&self, args: &Args<'_>) -> bool {
        match self.begin {
            Begin::Index(_) => true,
            Begin::Found(_) => false,
            Begin::Keyword { .. } => self.begin(args).is_some_and(|at| at < args.len()),
        }
    }

    /// The indexes of this specification's keys among the arguments. An index may lie beyond them.
    fn indexes(&self, args: &Args<'_>) -> Result<std::iter::StepBy<std::ops::Range<usize>>, Error> {
        let Some(begin) = self.begin(args) else {
            return Ok((0..0).step_by(1));
        };
        Ok(match self.find {
            Find::Range { last, step } => {
                let end = if last < 0 {
                    (args.len() + 1).saturating_sub(last.unsigned_abs() as usize)
                } else {
                    begin + last as usize + 1
                };
                (begin..end.max(begin)).step_by(step)
            }
            Find::FirstHalf => {
                let count = args.len().saturating_sub(begin) / 2;
                (begin..begin + count).step_by(1)
            }
            Find::Count { at, first } => {
                let Some(count) = args.try_get(begin + at).and_then(parse_i64) else {
                    return Err(INVALID_KEYS);
                };
                let start = begin + first;
                let count = usize::try_from(count).map_err(|_| INVALID_KEYS)?;
                let Some(end) = start.checked_add(count).filter(|end| *end <= args.len()) else {
                    return Err(INVALID_KEYS);
                };
                (start..end).step_by(1)
            }
        })
    }
}

const INVALID_KEYS: Error = Error::text("ERR Invalid arguments specified for command");

/// Which arguments are channels that a command subscribes to or publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The first argument.
    One,
    /// All arguments.
    All,
    /// All arguments, which are patterns of channels.
    Patterns,
}

impl Channels {
    /// The indexes of the channels in a request of `len` arguments.
    pub fn indexes(self, len: usize) -> std::ops::Range<usize> {
        match self {
            Channels::One => 1..len.min(2),
            Channels::All | Channels::Patterns => 1..len,
        }
    }
}

/// Finds the logical database that a request names as its destination, if it names one.
pub type OtherDb = fn(&Args<'_>) -> Option<usize>;

/// A command's declaration.
#[derive(Debug)]
pub struct Spec {
    /// In lower case; a subcommand's is `container|sub`.
    pub name: &'static str,
    /// The number of arguments with the name; negative: at least so many.
    pub arity: i32,
    pub flags: Flags,
    pub group: Group,
    pub keys: &'static [KeySpec],
    /// Where a request can reach into a second database: its keys are to be locked there too.
    pub other_db: Option<OtherDb>,
    /// Finds a pattern in a request that leads to keys which depend on data, so that nobody can lock them before.
    pub untold_keys: Option<FindArgument>,
    /// Tells what a request does with keys whose declaration says `VARIABLE_FLAGS`.
    pub variable_flags: Option<fn(&Args<'_>) -> KeyFlags>,
    /// Names an option in a request that may lead to any key, for those who may not read all of them.
    pub beyond_keys: Option<fn(&Args<'_>) -> Option<&'static str>>,
    pub channels: Option<Channels>,
    /// Only its subcommands run.
    pub container: bool,
    /// ACL categories that follow neither from flags nor from group.
    pub categories: &'static [&'static str],
    /// The group's ACL category is one of the command's.
    pub has_group_category: bool,
    /// What COMMAND DOCS tells.
    pub texts: Texts,
    /// What COMMAND INFO tells of the reply, for proxies and tests.
    pub tips: &'static [&'static str],
}

impl Spec {
    pub const fn new(name: &'static str, arity: i32, group: Group, flags: Flags) -> Self {
        Self {
            name,
            arity,
            flags,
            group,
            keys: &[],
            other_db: None,
            untold_keys: None,
            variable_flags: None,
            beyond_keys: None,
            channels: None,
            container: false,
            categories: &[],
            has_group_category: true,
            texts: Texts::NONE,
            tips: &[],
        }
    }

    #[must_use]
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    #[must_use]
    pub const fn other_db(mut self, find: OtherDb) -> Self {
        self.other_db = Some(find);
        self
    }

    #[must_use]
    pub const fn reads_untold_keys(mut self, find_pattern: FindArgument) -> Self {
        self.untold_keys = Some(find_pattern);
        self
    }

    #[must_use]
    pub const fn variable_flags(mut self, tell: fn(&Args<'_>) -> KeyFlags) -> Self {
        self.variable_flags = Some(tell);
        self
    }

    #[must_use]
    pub const fn beyond_keys(mut self, find: fn(&Args<'_>) -> Option<&'static str>) -> Self {
        self.beyond_keys = Some(find);
        self
    }

    #[must_use]
    pub const fn channels(mut self, channels: Channels) -> Self {
        self.channels = Some(channels);
        self
    }

    /// ACL categories without that of the group.
    #[must_use]
    pub const fn categories_alone(mut self, categories: &'static [&'static str]) -> Self {
        self.has_group_category = false;
        self.categories(categories)
    }

    #[must_use]
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    #[must_use]
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Whether a request of `len` arguments has the right number of them.
    #[inline]
    pub fn arity_fits(&self, len: usize) -> bool {
        if self.arity >= 0 {
            len == self.arity as usize
        } else {
            len >= self.arity.unsigned_abs() as usize
        }
    }

    /// Whether a request needs the keyspace gate for itself.
    #[inline]
    pub fn needs_gate(&self, args: &Args<'_>) -> bool {
        self.flags.contains(Flags::GATE)
            || self.untold_keys.is_some_and(|find| find(args).is_some())
    }

    /// The index of the only key, where every request of this command has exactly one.
    #[inline]
    pub fn single_key(&self) -> Option<(usize, Access)> {
        if self.other_db.is_some() {
            return None;
        }
        match self.keys {
            [
                spec @ KeySpec {
                    begin: Begin::Index(at),
                    find: Find::Range { last: 0, .. },
                    ..
                },
            ] if !spec.flags.contains(KeyFlags::NOT_KEY) => Some((*at, spec.access())),
            _ => None,
        }
    }

    /// The index of the only key of a request with so many arguments, where the declaration tells that there is just one:
    /// also that of `DEL key` and `MSET key value`.
    #[inline]
    pub fn only_key(&self, args_len: usize) -> Option<(usize, Access)> {
        if self.other_db.is_some() {
            return None;
        }
        match self.keys {
            [
                spec @ KeySpec {
                    begin: Begin::Index(at),
                    find: Find::Range { last, step },
                    ..
                },
            ] if !spec.flags.contains(KeyFlags::NOT_KEY) => {
                let end = if *last < 0 {
                    (args_len + 1).saturating_sub(last.unsigned_abs() as usize)
                } else {
                    at + *last as usize + 1
                };
                let is_one = *at < end && end <= at + step && *at < args_len;
                is_one.then(|| (*at, spec.access()))
            }
            _ => None,
        }
    }

    /// What a request does with the keys of one specification.
    pub fn flags_of(&self, key: &KeySpec, args: &Args<'_>) -> KeyFlags {
        match self.variable_flags {
            Some(tell) if key.flags.contains(KeyFlags::VARIABLE_FLAGS) => tell(args),
            _ => key.flags,
        }
    }

    /// The specifications that COMMAND shows.
    pub fn shown_keys(&self) -> impl Iterator<Item = &'static KeySpec> {
        let is_shown = |spec: &&KeySpec| !spec.flags.contains(KeyFlags::UNSHOWN);
        self.keys.iter().filter(is_shown)
    }

    /// Tells of each key of a request: its index and what the command does with it.
    pub fn visit_keys(
        &self,
        args: &Args<'_>,
        mut visit: impl FnMut(usize, &KeySpec),
    ) -> Result<(), Error> {
        for spec in self.keys {
            for index in spec.indexes(args)?.take_while(|index| *index < args.len()) {
                visit(index, spec);
            }
        }
        Ok(())
    }

    /// The positions that COMMAND INFO shows: first key, last key, step.
    pub fn legacy_keys(&self) -> (i64, i64, i64) {
        let ranges = self
            .keys
            .iter()
            .filter_map(|spec| match (spec.begin, spec.find) {
                (Begin::Index(at), Find::Range { last, step }) => {
                    let last = if last < 0 {
                        i64::from(last)
                    } else {
                        at as i64 + i64::from(last)
                    };
                    Some((at as i64, last, step as i64))
                }
                _ => None,
            });
        let merged = ranges.reduce(|(first, last, step), (f, l, s)| {
            let last = if last < 0 || l < 0 {
                last.min(l)
            } else {
                last.max(l)
            };
            (first.min(f), last, step.max(s))
        });
        merged.unwrap_or((0, 0, 0))
    }

    /// All ACL categories, as COMMAND INFO lists them.
    pub fn acl_categories(&self) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = Vec::new();
        let derived = [
            (Flags::WRITE, "@write"),
            (Flags::READONLY, "@read"),
            (Flags::ADMIN, "@admin"),
            (Flags::ADMIN, "@dangerous"),
            (Flags::PUBSUB, "@pubsub"),
            (Flags::FAST, "@fast"),
            (Flags::BLOCKING, "@blocking"),
        ];
        all.extend(
            derived
                .iter()
                .filter(|(f, _)| self.flags.contains(*f))
                .map(|(_, name)| name),
        );
        if self.group == Group::Scripting {
            // Redis keeps scripts out of the category of reads, also those that only read.
            all.retain(|name| *name != "@read");
        }
        if !self.flags.contains(Flags::FAST) {
            all.push("@slow");
        }
        if !self.container && self.has_group_category {
            all.extend(self.group.category());
        }
        all.extend(self.categories);
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A command of the table; `H` is what its layer calls.
pub struct Command<H: 'static> {
    pub spec: Spec,
    /// `None` for a container, which only has subcommands.
    pub run: Option<H>,
    pub subcommands: &'static [Command<H>],
}

impl<H> Command<H> {
    pub const fn new(spec: Spec, run: H) -> Self {
        Self {
            spec,
            run: Some(run),
            subcommands: &[],
        }
    }

    pub const fn container(mut spec: Spec, subcommands: &'static [Command<H>]) -> Self {
        spec.container = true;
        Self {
            spec,
            run: None,
            subcommands,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::families;

    #[test]
    fn no_two_flags_share_a_bit() {
        let mut seen = 0;
        for flag in <Flags as bitflags::Flags>::FLAGS {
            let bits = flag.value().bits();
            assert_eq!(seen & bits, 0, "{}", flag.name());
            seen |= bits;
        }
    }

    #[test]
    fn the_only_key_is_the_one_that_is_visited() {
        let words: [&[u8]; 8] = [b"name", b"1", b"1", b"1", b"1", b"1", b"1", b"1"];
        let mut found = 0;
        for command in families().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
            let spec = &command.spec;
            for len in (1..words.len()).filter(|len| spec.arity_fits(*len)) {
                let Some((at, access)) = spec.only_key(len) else {
                    assert_eq!(spec.single_key(), None, "{} of {len}", spec.name);
                    continue;
                };
                let mut visited = Vec::new();
                let args = Args::from_slices(&words[..len]);
                let told =
                    spec.visit_keys(&args, |index, keys| visited.push((index, keys.access())));
                assert!(told.is_ok());
                assert_eq!(visited, [(at, access)], "{} of {len}", spec.name);
                found += usize::from(spec.single_key().is_none());
            }
        }
        assert!(found > 3, "DEL, EXISTS, MGET, MSET and their like");
    }
}
