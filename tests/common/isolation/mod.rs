//! A checker of strict serializability: from what clients saw to a proof that it was no order of transactions one by one.
//!
//! The idea is that of Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations",
//! VLDB 2020), the words for what it finds are those of Adya, Liskov and O'Neil ("Generalized Isolation Level Definitions",
//! ICDE 2000). Every value is written once, and objects are such that their versions can be put into an order from what was
//! read: lists only grow, registers tell what they replace, counters count, sets only grow. So each history gives a graph
//! of transactions with edges for "overwrote" (ww), "read from" (wr), "read what the other then overwrote" (rw), and "had
//! ended before the other began". A cycle is impossible where transactions happen one by one, each between its request and
//! its reply. Edges are only drawn where the observation leaves no other choice, so what is found is always a violation.
//!
//! It knows nothing of the server.

mod graph;
mod history;
mod versions;

#[allow(
    unused_imports,
    reason = "each test binary uses the part of it that it needs"
)]
pub use history::{Key, Kind, Op, Outcome, Txn, Value};

use std::fmt;

/// What is wrong with a history. Later ones are only looked for where there are no earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A value was read that nobody wrote.
    Garbage,
    /// G1a: a value was read whose writer was taken back.
    AbortedRead,
    /// G1b: a value was read that its own transaction replaced.
    IntermediateRead,
    /// A transaction did not read what it had written itself.
    Internal,
    /// Two reads of a list that grows, and neither begins with the other.
    IncompatibleOrder,
    /// G0: a cycle of writes.
    DirtyWrite,
    /// G1c: a cycle of writes and reads.
    CircularInformation,
    /// G-single: a cycle with one read of something that was then overwritten, such as a torn snapshot.
    SingleAntiDependency,
    /// G2: a cycle with several of them, such as write skew or a lost update.
    AntiDependency,
    /// A cycle only because one of its transactions had ended before another began: a stale read.
    RealTime,
}

/// An anomaly with the transactions that show it.
#[derive(Clone, Debug)]
pub struct Violation {
    pub anomaly: Anomaly,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.anomaly, self.text)
    }
}

/// How much a history has proved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proof {
    pub transactions: usize,
    pub dependencies: usize,
}

/// Whether what the clients saw can be put into one order that agrees with real time.
pub fn check(history: &[Txn]) -> Result<Proof, Violation> {
    let dependencies = versions::dependencies(history)?;
    graph::check(history, &dependencies)?;
    Ok(Proof {
        transactions: history.len(),
        dependencies: dependencies.len(),
    })
}
