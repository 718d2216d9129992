//! What COMMAND DOCS tells of a command, and how a declaration says it.

use super::spec::{Command, Spec};

#[derive(Clone, Copy, Debug)]
pub struct Texts {
    pub summary: &'static str,
    pub complexity: &'static str,
    pub since: &'static str,
    /// The arguments, in the notation of [`syntax`](super::syntax).
    pub syntax: &'static str,
    /// What COMMAND INFO adds to each key specification; empty where it adds nothing.
    pub key_notes: &'static [&'static str],
    /// What changed, each with the version.
    pub history: &'static [(&'static str, &'static str)],
    pub deprecated: Option<Deprecated>,
    /// For the use of the server itself and of its developers.
    pub is_internal: bool,
}

/// Since when a command is out of use, and what to use instead.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    pub since: &'static str,
    pub replaced_by: &'static str,
}

impl Texts {
    pub const NONE: Self = Self {
        summary: "",
        complexity: "",
        since: "",
        syntax: "",
        key_notes: &[],
        history: &[],
        deprecated: None,
        is_internal: false,
    };
}

impl Spec {
    #[must_use]
    pub const fn docs(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.texts.since = since;
        self.texts.complexity = complexity;
        self.texts.summary = summary;
        self
    }

    /// The arguments.
    #[must_use]
    pub const fn syntax(mut self, syntax: &'static str) -> Self {
        self.texts.syntax = syntax;
        self
    }

    #[must_use]
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.texts.history = history;
        self
    }

    #[must_use]
    pub const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.texts.deprecated = Some(Deprecated { since, replaced_by });
        self
    }

    #[must_use]
    pub const fn key_notes(mut self, notes: &'static [&'static str]) -> Self {
        self.texts.key_notes = notes;
        self
    }

    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.texts.is_internal = true;
        self
    }
}

/// The same for families whose declarations are made by a function that also takes the handler.
impl<H: Copy> Command<H> {
    #[must_use]
    pub const fn syntax(mut self, syntax: &'static str) -> Self {
        self.spec = self.spec.syntax(syntax);
        self
    }

    #[must_use]
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.spec = self.spec.history(history);
        self
    }

    #[must_use]
    pub const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.spec = self.spec.deprecated(since, replaced_by);
        self
    }
}
