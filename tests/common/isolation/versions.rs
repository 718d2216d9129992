//! Orders the versions of each object, and says which transaction must stand before which because of them.

use super::graph::{Dependency, Why};
use super::history::{Key, Kind, Op, Outcome, Txn, Value};
use super::{Anomaly, Violation};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// What must stand before what; or what was read that cannot have been there.
pub fn dependencies(history: &[Txn]) -> Result<Vec<Dependency>, Violation> {
    let mut objects: BTreeMap<Key, Object> = BTreeMap::new();
    for (at, txn) in history.iter().enumerate() {
        note_writes(&mut objects, at, txn);
    }
    for (at, txn) in history.iter().enumerate() {
        if txn.outcome == Outcome::Committed {
            note_reads(&mut objects, at, txn)?;
        }
    }
    let mut found = Found::default();
    for (key, object) in &objects {
        let view = View {
            history,
            key: *key,
            object,
        };
        view.check_values()?;
        match key.kind {
            Kind::List => view.order_list(&mut found)?,
            Kind::Register | Kind::Counter => view.order_register(&mut found),
            Kind::Set => view.order_set(&mut found),
        }
    }
    Ok(found.dependencies)
}

/// All that happened to one object.
#[derive(Default)]
struct Object {
    writers: HashMap<Value, Vec<Writer>>,
    /// What others' writes left behind, as transactions saw it.
    reads: Vec<Read>,
    /// Register and counter: who replaced what.
    replaced: Vec<(Value, usize)>,
    /// Increments whose results nobody was told.
    untold: usize,
}

#[derive(Clone, Copy)]
struct Writer {
    txn: usize,
    /// No later write of the same transaction to the same object, as far as is known.
    is_last: bool,
}

struct Read {
    txn: usize,
    seen: Seen,
}

enum Seen {
    All(Vec<Value>),
    One(Value),
    Length(usize),
}

#[derive(Default)]
struct Found {
    dependencies: Vec<Dependency>,
}

impl Found {
    fn add(&mut self, before: usize, after: usize, why: Why, key: Key) {
        if before != after {
            self.dependencies.push(Dependency {
                before,
                after,
                why,
                key,
            });
        }
    }
}

fn note_writes(objects: &mut BTreeMap<Key, Object>, at: usize, txn: &Txn) {
    let mut written = HashSet::new();
    for op in txn.ops.iter().rev() {
        match op {
            Op::Write(key, value) => {
                // Of an EXEC without an answer a script may have been ended that wrote the later value.
                let is_last = written.insert(*key) || txn.outcome == Outcome::Unknown;
                let writer = Writer { txn: at, is_last };
                let object = objects.entry(*key).or_default();
                object.writers.entry(*value).or_default().push(writer);
            }
            Op::CountedOn(key) if txn.outcome == Outcome::Unknown => {
                objects.entry(*key).or_default().untold += 1;
            }
            Op::CountedOn(_) | Op::SawAll(..) | Op::Saw(..) | Op::SawLength(..) => {}
        }
    }
}

/// Takes what a transaction saw of itself away, so that what others left remains.
fn note_reads(objects: &mut BTreeMap<Key, Object>, at: usize, txn: &Txn) -> Result<(), Violation> {
    let mut own: HashMap<Key, Vec<Value>> = HashMap::new();
    let mut first_seen: HashMap<Key, Value> = HashMap::new();
    let wrong = |key: &Key| Violation {
        anomaly: Anomaly::Internal,
        text: format!("what it wrote itself is missing in {key}\n  {txn}"),
    };
    for op in &txn.ops {
        let (key, seen) = match op {
            Op::Write(key, value) => {
                own.entry(*key).or_default().push(*value);
                continue;
            }
            Op::SawAll(key, seen) => {
                let own = own.get(key).map_or(&[][..], Vec::as_slice);
                let others = match key.kind {
                    Kind::Set => {
                        if !own.iter().all(|value| seen.contains(value)) {
                            return Err(wrong(key));
                        }
                        seen.iter().filter(|v| !own.contains(v)).copied().collect()
                    }
                    _ => seen.strip_suffix(own).ok_or_else(|| wrong(key))?.to_vec(),
                };
                (key, Seen::All(others))
            }
            Op::SawLength(key, len) => {
                let own = own.get(key).map_or(0, Vec::len);
                let others = len.checked_sub(own).ok_or_else(|| wrong(key))?;
                (key, Seen::Length(others))
            }
            Op::Saw(key, seen) => match own.get(key).and_then(|own| own.last()) {
                Some(value) if value == seen => continue,
                Some(_) => return Err(wrong(key)),
                None => {
                    first_seen.entry(*key).or_insert(*seen);
                    (key, Seen::One(*seen))
                }
            },
            Op::CountedOn(_) => continue,
        };
        let object = objects.entry(*key).or_default();
        object.reads.push(Read { txn: at, seen });
    }
    for (key, seen) in first_seen {
        if own.contains_key(&key) {
            objects.entry(key).or_default().replaced.push((seen, at));
        }
    }
    Ok(())
}

/// One object in its history.
struct View<'a> {
    history: &'a [Txn],
    key: Key,
    object: &'a Object,
}

impl View<'_> {
    /// Every value that was read has a writer that was not taken back, and was its last word where a read ends at it.
    fn check_values(&self) -> Result<(), Violation> {
        let mut untold = HashSet::new();
        for read in &self.object.reads {
            let seen = match &read.seen {
                Seen::All(seen) => seen.as_slice(),
                Seen::One(0) | Seen::Length(_) => &[],
                Seen::One(seen) => std::slice::from_ref(seen),
            };
            for value in seen {
                match self.object.writers.get(value) {
                    Some(writers) => self.check_writers(read, *value, writers)?,
                    None if self.key.kind == Kind::Counter => drop(untold.insert(*value)),
                    None => return Err(self.wrong(Anomaly::Garbage, read, *value, None)),
                }
            }
            if let (Some(last), Kind::List | Kind::Register) = (seen.last(), self.key.kind) {
                let writers = &self.object.writers[last];
                if let Some(writer) = writers.iter().find(|w| !w.is_last) {
                    let anomaly = Anomaly::IntermediateRead;
                    return Err(self.wrong(anomaly, read, *last, Some(*writer)));
                }
            }
        }
        if untold.len() > self.object.untold {
            return Err(Violation {
                anomaly: Anomaly::Garbage,
                text: format!("{} counted {untold:?}, which nobody asked for", self.key),
            });
        }
        Ok(())
    }

    fn check_writers(
        &self,
        read: &Read,
        value: Value,
        writers: &[Writer],
    ) -> Result<(), Violation> {
        let aborted = |w: &&Writer| self.history[w.txn].outcome == Outcome::Aborted;
        match writers.iter().find(aborted) {
            Some(writer) if writers.len() == 1 => {
                Err(self.wrong(Anomaly::AbortedRead, read, value, Some(*writer)))
            }
            _ => Ok(()),
        }
    }

    /// The longest read is the order, and every other read is a beginning of it. What nobody has read came later.
    fn order_list(&self, found: &mut Found) -> Result<(), Violation> {
        let lists = self
            .object
            .reads
            .iter()
            .filter_map(|read| match &read.seen {
                Seen::All(seen) => Some((read.txn, seen)),
                _ => None,
            });
        let longest = lists.clone().max_by_key(|(_, seen)| seen.len());
        let order: &[Value] = longest.map_or(&[], |(_, seen)| seen);
        for (txn, seen) in lists {
            if let (Some((other, _)), false) = (longest, order.starts_with(seen)) {
                let (a, b) = (&self.history[txn], &self.history[other]);
                return Err(Violation {
                    anomaly: Anomaly::IncompatibleOrder,
                    text: format!("{} grew in two ways\n  {a}\n  {b}", self.key),
                });
            }
        }
        let writers: Vec<usize> = order
            .iter()
            .map(|value| self.object.writers[value][0].txn)
            .collect();
        for pair in writers.windows(2) {
            found.add(pair[0], pair[1], Why::Overwrote, self.key);
        }
        let known: HashSet<Value> = order.iter().copied().collect();
        let unread: Vec<usize> = self.committed_writers(|value| !known.contains(&value));
        if let Some(last) = writers.last() {
            for writer in &unread {
                found.add(*last, *writer, Why::Overwrote, self.key);
            }
        }
        for read in &self.object.reads {
            let len = match &read.seen {
                Seen::All(seen) => seen.len(),
                Seen::Length(len) => *len,
                Seen::One(_) => continue,
            };
            // A length beyond all that was read tells of elements without a place.
            if len > writers.len() {
                continue;
            }
            if let Some(last) = len.checked_sub(1) {
                found.add(writers[last], read.txn, Why::ReadFrom, self.key);
            }
            match writers.get(len) {
                Some(next) => found.add(read.txn, *next, Why::OverwroteRead, self.key),
                None => unread
                    .iter()
                    .for_each(|w| found.add(read.txn, *w, Why::OverwroteRead, self.key)),
            }
        }
        Ok(())
    }

    /// Who replaced a value comes after its writer and after all who read it.
    fn order_register(&self, found: &mut Found) {
        let mut next: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
        for (value, txn) in &self.object.replaced {
            next.entry(*value).or_default().push(*txn);
        }
        for (value, txns) in &next {
            for after in txns {
                if let Some(before) = self.writer_up_to(*value) {
                    found.add(before, *after, Why::Overwrote, self.key);
                }
            }
        }
        for read in &self.object.reads {
            let Seen::One(value) = read.seen else {
                continue;
            };
            if let Some(writer) = self.only_writer(value) {
                found.add(writer, read.txn, Why::ReadFrom, self.key);
            }
            let followers = if self.key.kind == Kind::Counter {
                next.range(value..).next().map(|(_, txns)| txns)
            } else {
                next.get(&value)
            };
            for txn in followers.into_iter().flatten() {
                found.add(read.txn, *txn, Why::OverwroteRead, self.key);
            }
        }
    }

    /// A member was added before those who saw it read, and after those who did not.
    fn order_set(&self, found: &mut Found) {
        for read in &self.object.reads {
            let Seen::All(seen) = &read.seen else {
                continue;
            };
            for value in seen {
                let writer = self.object.writers[value][0].txn;
                found.add(writer, read.txn, Why::ReadFrom, self.key);
            }
            let seen: HashSet<Value> = seen.iter().copied().collect();
            for writer in self.committed_writers(|value| !seen.contains(&value)) {
                found.add(read.txn, writer, Why::OverwroteRead, self.key);
            }
        }
    }

    /// The committed transactions that wrote some of the values.
    fn committed_writers(&self, wanted: impl Fn(Value) -> bool) -> Vec<usize> {
        let of_value = |(value, writers): (&Value, &Vec<Writer>)| {
            let committed = self.history[writers[0].txn].outcome == Outcome::Committed;
            (committed && wanted(*value)).then_some(writers[0].txn)
        };
        self.object.writers.iter().filter_map(of_value).collect()
    }

    /// A counter may have two writers of one number if one of their updates was lost; then neither can be told.
    fn only_writer(&self, value: Value) -> Option<usize> {
        match self.object.writers.get(&value).map(Vec::as_slice) {
            Some([writer]) => Some(writer.txn),
            _ => None,
        }
    }

    /// The writer of what was replaced; with a counter, whose numbers tell their order, the nearest one that is known.
    fn writer_up_to(&self, value: Value) -> Option<usize> {
        let lowest = if self.key.kind == Kind::Counter {
            1
        } else {
            value
        };
        (lowest..=value)
            .rev()
            .find_map(|value| self.only_writer(value))
    }

    fn wrong(
        &self,
        anomaly: Anomaly,
        read: &Read,
        value: Value,
        writer: Option<Writer>,
    ) -> Violation {
        let reader = &self.history[read.txn];
        let mut text = format!("{} has {value}\n  read: {reader}", self.key);
        if let Some(writer) = writer {
            let _ = write!(text, "\n  written: {}", self.history[writer.txn]);
        }
        Violation { anomaly, text }
    }
}
