//! All commands by name: the data commands of `command` and the ones of this layer.

use super::admin;
use super::worker::{Flow, Worker};
use super::{multi, pubsub, script_run};
use crate::command::{self, Command, Error, Flags, Handler, Spec};
use crate::resp::{Args, Reply};

use super::client::Client;

/// What a command of this layer gets.
pub struct EngineCtx<'a> {
    pub worker: &'a mut Worker,
    pub client: &'a mut Client,
    pub args: Args<'a>,
    pub reply: &'a mut dyn Reply,
    /// Set while a script calls.
    pub from_script: bool,
}

/// The code of a command of this layer. It may take the reply's place by parking the client.
pub type EngineHandler = fn(&mut EngineCtx<'_>) -> Result<Flow, Error>;

#[derive(Clone, Copy)]
pub enum Run {
    Data(Handler),
    Engine(EngineHandler),
    /// EVAL and its like: a script is started.
    Script(script_run::Invocation),
    Exec,
    /// Only has subcommands.
    Container,
}

/// One row of the whole table.
pub struct Entry {
    pub number: u32,
    /// What clients call it; nothing: nobody can. Rules of users and all that is told of it have the name of its declaration.
    pub name: &'static str,
    pub spec: &'static Spec,
    pub run: Run,
    pub subcommands: Vec<Entry>,
}

/// The longest name of a command; longer ones are unknown without a look.
const NAME_LEN_MAX: usize = 32;
/// Buckets of the table by name: a power of two, far more than there are commands.
const BUCKETS: usize = 1024;
const BUCKETS_BITS: u32 = BUCKETS.trailing_zeros();

/// The table.
pub struct Registry {
    /// Each entry in the first free bucket from that of its name on.
    by_name: Box<[Bucket; BUCKETS]>,
    entries: Vec<Entry>,
    /// Every command and subcommand by its number.
    specs: Vec<&'static Spec>,
}

impl Registry {
    pub fn new() -> Self {
        let mut specs = Vec::new();
        let data = command::families().map(|c| entry(c, &mut specs, Run::Data));
        let mut entries: Vec<Entry> = data.collect();
        entries.extend(admin::families().map(|c| entry(c, &mut specs, Run::Engine)));
        entries.extend(
            pubsub::COMMANDS
                .iter()
                .map(|c| entry(c, &mut specs, Run::Engine)),
        );
        entries.extend(admin::mixed_families().map(|c| entry(c, &mut specs, |run| run)));
        entries.extend(
            script_run::COMMANDS
                .iter()
                .map(|c| entry(c, &mut specs, Run::Script)),
        );
        entries.extend(
            multi::COMMANDS
                .iter()
                .map(|c| entry(c, &mut specs, |run| run)),
        );
        let mut registry = Self {
            by_name: Box::new([Bucket::default(); BUCKETS]),
            entries: Vec::with_capacity(entries.len()),
            specs,
        };
        for entry in entries {
            registry.push(entry);
        }
        registry
    }

    /// Has clients call a command by another name, or by none if that is empty.
    pub fn rename(&mut self, name: &str, new: &str) -> Result<(), String> {
        if new.len() > NAME_LEN_MAX {
            return Err(format!(
                "rename-command: a name has {NAME_LEN_MAX} bytes at most"
            ));
        }
        let index = self.index_of(name.as_bytes());
        let index = index.ok_or_else(|| format!("rename-command: there is no command '{name}'"))?;
        self.entries[index].name = "";
        if !new.is_empty() {
            if self.get(new.as_bytes()).is_some() {
                return Err(format!(
                    "rename-command: there is a command '{new}' already"
                ));
            }
            // The table lives as long as the process.
            self.entries[index].name = String::leak(new.to_ascii_lowercase());
        }
        self.by_name.fill(Bucket::default());
        for index in 0..self.entries.len() {
            self.enter(index);
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        let name = entry.name;
        assert!(name.len() <= NAME_LEN_MAX, "{name} is too long");
        assert!(self.get(name.as_bytes()).is_none(), "{name} is there twice");
        assert!(self.entries.len() < BUCKETS / 2, "searches are short");
        self.entries.push(entry);
        self.enter(self.entries.len() - 1);
    }

    /// Has an entry be found by its name.
    fn enter(&mut self, index: usize) {
        let name = self.entries[index].name;
        if name.is_empty() {
            return;
        }
        let wanted = Folded::of(name.as_bytes());
        let mut at = wanted.bucket();
        while self.by_name[at].number != 0 {
            at = (at + 1) % BUCKETS;
        }
        self.by_name[at] = Bucket {
            bytes: wanted.bytes,
            len: wanted.len,
            number: index as u16 + 1,
        };
    }

    /// Adds a command that only tests have.
    #[cfg(test)]
    pub fn add(&mut self, command: &'static Command<Handler>) {
        let entry = entry(command, &mut self.specs, Run::Data);
        self.push(entry);
    }

    /// A command by its name in any case.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.index_of(name).map(|index| &self.entries[index])
    }

    #[inline]
    fn index_of(&self, name: &[u8]) -> Option<usize> {
        if name.len() > NAME_LEN_MAX {
            return None;
        }
        let wanted = Folded::of(name);
        let mut at = wanted.bucket();
        loop {
            let bucket = self.by_name[at];
            let index = usize::from(bucket.number).checked_sub(1)?;
            let begins_alike = bucket.bytes == wanted.bytes && bucket.len == wanted.len;
            let is_name = || {
                self.entries[index]
                    .name
                    .as_bytes()
                    .eq_ignore_ascii_case(name)
            };
            if begins_alike && (wanted.is_whole() || is_name()) {
                return Some(index);
            }
            at = (at + 1) % BUCKETS;
        }
    }

    /// A command or, as `container|subcommand`, a subcommand by its own name, in any case.
    pub fn original(&self, name: &[u8]) -> Option<&Entry> {
        let (name, sub) = match memchr::memchr(b'|', name) {
            Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
            None => (name, None),
        };
        let is = |known: &str, name: &[u8]| known.as_bytes().eq_ignore_ascii_case(name);
        let entry = self.entries.iter().find(|e| is(e.spec.name, name))?;
        match sub {
            None => Some(entry),
            Some(sub) => {
                let mut subcommands = entry.subcommands.iter();
                subcommands.find(|e| is(sub_name(e.spec), sub))
            }
        }
    }

    /// The command or subcommand that a request means, whether or not it has the right number of arguments.
    pub fn lookup(&self, args: &Args<'_>) -> Option<&Entry> {
        let entry = self.get(args.get(0))?;
        match args.try_get(1) {
            Some(sub) if !entry.subcommands.is_empty() => {
                let mut subcommands = entry.subcommands.iter();
                subcommands.find(|e| sub_name(e.spec).as_bytes().eq_ignore_ascii_case(sub))
            }
            _ => Some(entry),
        }
    }

    /// The command or subcommand that a request means; the error is the one that Redis answers.
    #[inline]
    pub fn find(&self, args: &Args<'_>) -> Result<&Entry, Error> {
        let Some(entry) = self.get(args.get(0)) else {
            return Err(unknown_command(args));
        };
        let entry = if entry.subcommands.is_empty() || args.len() < 2 {
            entry
        } else {
            let sub = args.get(1);
            let found = entry
                .subcommands
                .iter()
                .find(|e| sub_name(e.spec).as_bytes().eq_ignore_ascii_case(sub));
            found.ok_or_else(|| unknown_subcommand(entry.spec, sub))?
        };
        if entry.spec.arity_fits(args.len()) {
            Ok(entry)
        } else {
            Err(Error::WrongArity(entry.spec.name.into()))
        }
    }

    /// The commands that clients can call.
    pub fn callable(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.name.is_empty())
    }

    /// All commands, those that were renamed away among them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn specs(&self) -> &[&'static Spec] {
        &self.specs
    }
}

/// A place in the table by name. It is two words: a [`Folded`] in it would make it three.
#[derive(Clone, Copy, Default)]
struct Bucket {
    bytes: u64,
    len: u8,
    /// Of the entry, counted from one; 0: free.
    number: u16,
}

/// A name in lower case, as far as it fits into a word: most names do, and are compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folded {
    bytes: u64,
    len: u8,
}

impl Folded {
    /// The name has at most 255 bytes.
    #[inline]
    fn of(name: &[u8]) -> Self {
        let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let bytes = match (name, name.first_chunk::<8>()) {
            (_, Some(eight)) => u64::from_le_bytes(*eight),
            ([first, .., last], None) => match (name.first_chunk(), name.last_chunk()) {
                // The halves may overlap: with the length they are the whole name all the same.
                (Some(head), Some(tail)) => half(head) | half(tail) << 32,
                _ => u64::from_le_bytes([*first, name[name.len() / 2], *last, 0, 0, 0, 0, 0]),
            },
            ([only], None) => u64::from(*only),
            ([], None) => 0,
        };
        Self {
            bytes: lower_case(bytes),
            len: name.len() as u8,
        }
    }

    /// Whether there is no more to the name.
    #[inline]
    fn is_whole(self) -> bool {
        usize::from(self.len) <= size_of::<u64>()
    }

    #[inline]
    fn bucket(self) -> usize {
        let mixed = (self.bytes ^ u64::from(self.len)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - BUCKETS_BITS)) as usize
    }
}

/// Eight bytes with the capital letters of ASCII among them made small.
#[inline]
fn lower_case(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    // The top bit of each byte tells of it: not below 'A', above 'Z', no ASCII.
    let low = bytes & !TOPS;
    let not_below = low + (0x80 - u64::from(b'A')) * ONES;
    let above = low + (0x7f - u64::from(b'Z')) * ONES;
    let capital = not_below & !above & !bytes & TOPS;
    bytes | capital >> 2
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// The name of a subcommand without its container.
pub fn sub_name(spec: &Spec) -> &'static str {
    spec.name.split_once('|').map_or(spec.name, |(_, sub)| sub)
}

fn entry<H: Copy>(
    command: &'static Command<H>,
    specs: &mut Vec<&'static Spec>,
    wrap: impl Fn(H) -> Run + Copy,
) -> Entry {
    let number = specs.len() as u32;
    debug_assert!(
        command.spec.single_key().is_none() || !command.spec.flags.contains(Flags::BLOCKING),
        "what may wait is run under locks"
    );
    specs.push(&command.spec);
    Entry {
        number,
        name: command.spec.name,
        spec: &command.spec,
        run: command.run.map_or(Run::Container, wrap),
        subcommands: command
            .subcommands
            .iter()
            .map(|c| entry(c, specs, wrap))
            .collect(),
    }
}

/// Redis shows up to 128 bytes of the name and of the arguments.
const SHOWN_LEN_MAX: usize = 128;

fn unknown_command(args: &Args<'_>) -> Error {
    let shown = |bytes: &[u8], len: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned()
    };
    let mut begin = String::new();
    for arg in args.iter().skip(1) {
        if begin.len() >= SHOWN_LEN_MAX {
            break;
        }
        let text = shown(arg, SHOWN_LEN_MAX - begin.len());
        begin.push('\'');
        begin.push_str(&text);
        begin.push_str("' ");
    }
    let name = shown(args.get(0), SHOWN_LEN_MAX);
    Error::Other(format!("ERR unknown command '{name}', with args beginning with: {begin}").into())
}

fn unknown_subcommand(container: &Spec, sub: &[u8]) -> Error {
    let sub = String::from_utf8_lossy(&sub[..sub.len().min(SHOWN_LEN_MAX)]).into();
    Error::UnknownSubcommand {
        sub,
        command: container.name.to_uppercase().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_folded_as_bytes_are(bytes: [u8; 8]) {
            let folded = lower_case(u64::from_le_bytes(bytes));
            prop_assert_eq!(folded.to_le_bytes(), bytes.map(|byte| byte.to_ascii_lowercase()));
        }

        #[test]
        fn short_names_are_told_apart(a in "[a-cA-C]{0,8}", b in "[a-cA-C]{0,8}") {
            let same = Folded::of(a.as_bytes()) == Folded::of(b.as_bytes());
            prop_assert_eq!(same, a.eq_ignore_ascii_case(&b));
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        let registry = Registry::new();
        for entry in registry.entries() {
            let name = entry.spec.name;
            for name in [name.to_owned(), name.to_uppercase()] {
                let found = registry.get(name.as_bytes()).map(|e| e.spec.name);
                assert_eq!(found, Some(entry.spec.name));
            }
            assert!(registry.get(format!("{name}!").as_bytes()).is_none());
        }
        assert!(registry.get(b"").is_none());
        for other in [
            &b"\x07et"[..],
            b"ge\x14",
            b"\xe7et",
            b"GE\xd4",
            b"gt",
            b"geet",
        ] {
            assert!(registry.get(other).is_none());
        }
        assert!(registry.get(&[b'g'; NAME_LEN_MAX + 1]).is_none());
    }

    #[test]
    fn commands_are_renamed_and_taken_away() {
        let mut registry = Registry::new();
        let name = |registry: &Registry, name: &str| {
            registry.get(name.as_bytes()).map(|entry| entry.spec.name)
        };
        registry.rename("FLUSHALL", "").expect("a command");
        registry.rename("config", "Secret").expect("a command");
        registry.rename("get", "config").expect("a free name");
        assert_eq!(name(&registry, "flushall"), None);
        assert_eq!(name(&registry, "SECRET"), Some("config"));
        assert_eq!(name(&registry, "CONFIG"), Some("get"));
        assert_eq!(name(&registry, "get"), None);
        let set = registry.lookup(&Args::from_slices(&[b"secret", b"set"]));
        assert_eq!(set.map(|entry| entry.spec.name), Some("config|set"));
        let original = registry.original(b"flushall");
        assert_eq!(original.map(|entry| entry.spec.name), Some("flushall"));
        assert_eq!(registry.callable().count() + 1, registry.entries().len());
        for (old, new, why) in [
            ("flushall", "x", "there is no command 'flushall'"),
            ("nope", "x", "there is no command 'nope'"),
            ("set", "hset", "there is a command 'hset' already"),
        ] {
            let refused = registry.rename(old, new);
            assert_eq!(refused, Err(format!("rename-command: {why}")));
        }
        assert!(
            registry
                .rename("del", &"x".repeat(NAME_LEN_MAX + 1))
                .is_err()
        );
        assert_eq!(name(&registry, "del"), Some("del"));
    }
}
