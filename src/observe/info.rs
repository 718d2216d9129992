//! INFO: which sections are asked for, and how they are written.

use std::collections::HashSet;
use std::fmt::{Display, Write};

/// When a section is shown without having been named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Always,
    /// Only with `all` and `everything`.
    All,
}

/// The sections, by the name that a client gives.
const SECTIONS: [(&str, Shown); 17] = [
    ("server", Shown::Always),
    ("clients", Shown::Always),
    ("memory", Shown::Always),
    ("persistence", Shown::Always),
    ("storage", Shown::Always),
    ("stats", Shown::Always),
    ("replication", Shown::Always),
    ("cpu", Shown::Always),
    ("modules", Shown::Always),
    ("commandstats", Shown::All),
    ("errorstats", Shown::Always),
    ("latencystats", Shown::All),
    ("cluster", Shown::Always),
    ("keyspace", Shown::Always),
    ("shards", Shown::Always),
    ("scripting", Shown::Always),
    ("locks", Shown::Always),
];

/// The sections that a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(HashSet<&'static str>);

impl Selection {
    /// Reads INFO's arguments; names that nobody knows are passed over.
    pub fn parse(args: &[&[u8]]) -> Self {
        let mut chosen = HashSet::new();
        let mut add = |wanted: &dyn Fn(&str, Shown) -> bool| {
            chosen.extend(
                SECTIONS
                    .iter()
                    .filter(|(name, shown)| wanted(name, *shown))
                    .map(|(name, _)| *name),
            );
        };
        if args.is_empty() {
            add(&|_, shown| shown != Shown::All);
        }
        for arg in args {
            match arg.to_ascii_lowercase().as_slice() {
                b"default" => add(&|_, shown| shown != Shown::All),
                b"all" | b"everything" => add(&|_, _| true),
                named => add(&|name, _| name.as_bytes() == named),
            }
        }
        Self(chosen)
    }

    pub fn has(&self, section: &str) -> bool {
        debug_assert!(
            SECTIONS.iter().any(|(name, _)| *name == section),
            "{section} is no section"
        );
        self.0.contains(section)
    }
}

/// Writes the sections that were asked for; the others are not even computed.
#[derive(Debug)]
pub struct InfoBuilder {
    selection: Selection,
    text: String,
}

impl InfoBuilder {
    pub fn new(selection: Selection) -> Self {
        Self {
            selection,
            text: String::new(),
        }
    }

    /// Writes a section, named with a capital as it is shown, if it was asked for.
    pub fn section(&mut self, title: &str, write: impl FnOnce(&mut Section<'_>)) -> &mut Self {
        if self.selection.has(&title.to_ascii_lowercase()) {
            if !self.text.is_empty() {
                self.text.push_str("\r\n");
            }
            // Writing to a String does not fail, here and below.
            let _ = write!(self.text, "# {title}\r\n");
            write(&mut Section {
                text: &mut self.text,
            });
        }
        self
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// A section being written.
pub struct Section<'a> {
    text: &'a mut String,
}

impl Section<'_> {
    pub fn field(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.text, "{name}:{value}\r\n");
        self
    }

    /// A size twice: in bytes, and as `<name>_human`.
    pub fn size(&mut self, name: &str, bytes: u64) -> &mut Self {
        self.field(name, bytes)
            .field(&format!("{name}_human"), human_size(bytes))
    }
}

/// A size as Redis prints it: `1.50M`.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 5] = [(50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.2}{unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes}B"),
    }
}
