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
    pub spec: &'static Spec,
    pub run: Run,
    pub subcommands: Vec<Entry>,
}

/// The longest name of a command; longer ones are unknown without a look.
const NAME_LEN_MAX: usize = 32;
/// Buckets of the table by name: a power of two, far more than there are commands.
const BUCKETS: usize = 2048;

/// The table.
pub struct Registry {
    /// The number of an entry, counted from one, in the first free bucket from that of its name's hash on.
    by_name: Box<[u16; BUCKETS]>,
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
            by_name: Box::new([0; BUCKETS]),
            entries: Vec::with_capacity(entries.len()),
            specs,
        };
        for entry in entries {
            registry.push(entry);
        }
        registry
    }

    fn push(&mut self, entry: Entry) {
        let name = entry.spec.name;
        assert!(name.len() <= NAME_LEN_MAX, "{name} is too long");
        assert!(self.get(name.as_bytes()).is_none(), "{name} is there twice");
        assert!(self.entries.len() < BUCKETS / 2, "searches are short");
        self.entries.push(entry);
        let mut at = bucket_of(name.as_bytes());
        while self.by_name[at] != 0 {
            at = (at + 1) % BUCKETS;
        }
        self.by_name[at] = self.entries.len() as u16;
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
        if name.len() > NAME_LEN_MAX {
            return None;
        }
        let mut at = bucket_of(name);
        loop {
            let index = usize::from(self.by_name[at]).checked_sub(1)?;
            let entry = &self.entries[index];
            if entry.spec.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(entry);
            }
            at = (at + 1) % BUCKETS;
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

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn specs(&self) -> &[&'static Spec] {
        &self.specs
    }
}

/// Where a name belongs, in any case. A name has few bytes, for which this is as good as a real hash and takes a third
/// of its time.
#[inline]
fn bucket_of(name: &[u8]) -> usize {
    let fold = |hash: u32, byte: &u8| {
        let lower = u32::from(byte | 0x20);
        (hash ^ lower).wrapping_mul(0x0100_0193)
    };
    let hash = name.iter().fold(0x811c_9dc5, fold);
    (hash ^ hash >> 16) as usize % BUCKETS
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
        assert!(registry.get(&[b'g'; NAME_LEN_MAX + 1]).is_none());
    }
}
