//! What is recorded of a run.

use std::fmt;

/// What a write writes; no other write in the history writes it to that key. Zero is what was there before all writes.
pub type Value = u64;

/// How the versions of an object follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Grows at its end; a read sees all of it.
    List,
    /// A write tells what it replaces.
    Register,
    /// A register that counts, so that versions whose writers got no answer can be told from the numbers.
    Counter,
    /// Grows; a read sees all of it, in no order.
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub number: usize,
}

/// What a transaction did to an object, or saw in it, in the order in which it did.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// To a list, register, counter or set, as its kind has it.
    Write(Key, Value),
    /// All of a list or a set.
    SawAll(Key, Vec<Value>),
    /// A register or a counter.
    Saw(Key, Value),
    /// How many elements a list had.
    SawLength(Key, usize),
    /// An increment whose result nobody was told.
    CountedOn(Key),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// The server said that nothing of it was done.
    Aborted,
    /// There was no answer.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Txn {
    /// A connection; its transactions stand in the history in the order in which it asked for them.
    pub session: usize,
    /// Before the request was sent, in any unit.
    pub began: u64,
    /// After the reply was read; without one it may happen at any time.
    pub ended: u64,
    pub outcome: Outcome,
    pub ops: Vec<Op>,
    /// What was run, for people.
    pub label: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.kind, self.number)
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            session,
            began,
            ended,
            outcome,
            ..
        } = self;
        write!(
            f,
            "session {session}, {began}..{ended}, {outcome:?}, {}:",
            self.label
        )?;
        for op in &self.ops {
            match op {
                Op::Write(key, value) => write!(f, " {key}<-{value}")?,
                Op::SawAll(key, seen) => write!(f, " {key}={seen:?}")?,
                Op::Saw(key, seen) => write!(f, " {key}={seen}")?,
                Op::SawLength(key, len) => write!(f, " len({key})={len}")?,
                Op::CountedOn(key) => write!(f, " {key}<-?")?,
            }
        }
        Ok(())
    }
}
