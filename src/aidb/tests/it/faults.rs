//! One workload, broken at each of its operations on the file system in turn.

use std::collections::BTreeMap;

use aidb::fs::{Fault, FaultyFileSystem};
use aidb::{DB, Durability, Error, WriteBatch};

use crate::model::{Map, apply_batch, dir, open, quiet, random_batch};

const STEPS: usize = 90;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The machine loses its power.
    Crash,
    /// The process dies; what it wrote stays in the page cache.
    Kill,
}

/// What the workload did, and what a recovery may therefore find.
struct History {
    fs: FaultyFileSystem,
    durability: Durability,
    random: fastrand::Rng,
    model: Map,
    /// The model after each batch that was appended since the last recovery, and before the first.
    states: BTreeMap<u64, Map>,
    /// The last batch that was acknowledged, and the last that was on disk for certain.
    written: u64,
    synced: u64,
    failed: bool,
}

impl History {
    fn new(seed: u64, durability: Durability) -> History {
        History {
            fs: FaultyFileSystem::new(seed),
            durability,
            random: fastrand::Rng::with_seed(seed),
            model: Map::new(),
            states: BTreeMap::from([(0, Map::new())]),
            written: 0,
            synced: 0,
            failed: false,
        }
    }

    /// Opens, works, closes and opens again, until all is done or something fails.
    fn run(&mut self) {
        for _ in 0..3 {
            let Ok((db, map, recovery)) = open(dir(), quiet(&self.fs, self.durability)) else {
                self.failed = true;
                return;
            };
            assert_eq!(map, self.model);
            assert_eq!(recovery.cut, None);
            self.states.insert(recovery.last, map);
            for _ in 0..STEPS / 3 {
                let result = self.step(&db);
                self.note_progress(&db);
                if let Err(Error::Poisoned { .. }) = result {
                    self.failed = true;
                    Self::nothing_is_acknowledged(&db);
                    return;
                }
            }
            if db.close().is_err() {
                self.failed = true;
                return;
            }
            self.written = db.written();
            self.synced = db.synced();
        }
    }

    fn step(&mut self, db: &DB) -> Result<(), Error> {
        match self.random.u8(..20) {
            0 => db.flush().map(drop),
            1..4 => db.maintain(),
            4..6 => db.rewrite(),
            kind => {
                let batch = random_batch(&mut self.random);
                let sequence = db.append(&batch)?;
                apply_batch(&mut self.model, &batch);
                self.states.insert(sequence, self.model.clone());
                match (kind, self.durability) {
                    (6..9, _) => Ok(()),
                    (_, Durability::Always) => db.flush().map(drop),
                    _ => db.write_out().map(drop),
                }
            }
        }
    }

    fn note_progress(&mut self, db: &DB) {
        assert!(db.synced() <= db.written() && db.written() <= db.appended());
        assert!(self.written <= db.written() && self.synced <= db.synced());
        self.written = db.written();
        self.synced = db.synced();
    }

    fn nothing_is_acknowledged(db: &DB) {
        let (written, synced) = (db.written(), db.synced());
        let mut batch = WriteBatch::new();
        batch.put(b"after", b"the end");
        assert!(matches!(db.append(&batch), Err(Error::Poisoned { .. })));
        assert!(matches!(db.write(&batch), Err(Error::Poisoned { .. })));
        assert!(matches!(db.write_out(), Err(Error::Poisoned { .. })));
        assert!(matches!(db.flush(), Err(Error::Poisoned { .. })));
        assert!(matches!(db.rewrite(), Err(Error::Poisoned { .. })));
        assert_eq!((db.written(), db.synced()), (written, synced));
        assert!(!db.stats().healthy);
    }

    /// Recovers and checks that what is found is a state that was, not older than what was promised.
    fn recover(&mut self, ending: Ending) {
        match ending {
            Ending::Crash => self.fs.crash(),
            Ending::Kill => self.fs.kill(),
        }
        let promised = match ending {
            Ending::Crash => self.synced,
            Ending::Kill => self.written,
        };
        let (db, map, recovery) =
            open(dir(), quiet(&self.fs, self.durability)).expect("a crash is no damage");
        // A mark of a clean close has a sequence number and no state of its own.
        let (&last, state) = self.states.range(..=recovery.last).next_back().unwrap();
        assert!(
            recovery.last >= promised,
            "{promised} was promised: {recovery:?}"
        );
        assert!(
            &map == state,
            "not the state after batch {last}: {recovery:?}"
        );
        self.model = map;
        drop(db);
    }
}

/// Numbers of operations that the whole workload makes without a fault.
fn operations(seed: u64, durability: Durability) -> u64 {
    let mut history = History::new(seed, durability);
    history.run();
    assert!(!history.failed);
    let names = history.fs.names();
    assert!(
        names
            .iter()
            .any(|name| name.to_string_lossy().contains("table-")),
        "the workload absorbs: {names:?}"
    );
    history.fs.operations()
}

fn break_everywhere(seed: u64, durability: Durability, fault: Fault, ending: Ending) {
    let mut failures = 0;
    let all = operations(seed, durability);
    for operation in 0..all {
        let mut history = History::new(seed, durability);
        history.fs.set_fault(operation, fault);
        history.run();
        history.fs.clear_fault();
        failures += u64::from(history.failed);
        history.recover(ending);
        // Whatever the first recovery left must carry the next one through another loss of power.
        history.states = BTreeMap::from([(0, history.model.clone())]);
        (history.written, history.synced) = (0, 0);
        history.recover(Ending::Crash);
        check_life_goes_on(&history);
    }
    assert!(failures > all / 4, "{failures} of {all} faults were felt");
}

#[test]
fn every_read_may_fail() {
    for (seed, durability) in [(15, Durability::EverySec), (16, Durability::Always)] {
        let mut whole = History::new(seed, durability);
        whole.run();
        let (all, mut failures) = (whole.fs.reads(), 0);
        for read in 0..all {
            let mut history = History::new(seed, durability);
            history.fs.set_read_fault(read);
            history.run();
            history.fs.clear_fault();
            failures += u64::from(history.failed);
            history.recover(Ending::Crash);
            check_life_goes_on(&history);
        }
        // Those of an absorption or a merge end only that, and it is done again.
        assert!(
            (10..all).contains(&failures),
            "{failures} of {all} were felt"
        );
    }
}

fn check_life_goes_on(history: &History) {
    let options = quiet(&history.fs, history.durability);
    let (db, mut model, _) = open(dir(), options.clone()).unwrap();
    assert_eq!(model, history.model);
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..30 {
        let batch = random_batch(&mut random);
        db.write(&batch).unwrap();
        apply_batch(&mut model, &batch);
        db.maintain().unwrap();
    }
    db.rewrite().unwrap();
    db.close().unwrap();
    let (_db, map, recovery) = open(dir(), options).unwrap();
    assert_eq!(map, model);
    assert!(recovery.clean);
}

#[test]
fn every_operation_may_fail() {
    for (seed, ending) in [(1, Ending::Kill), (2, Ending::Crash)] {
        break_everywhere(seed, Durability::EverySec, Fault::Fail, ending);
        break_everywhere(seed, Durability::Always, Fault::Fail, ending);
    }
}

#[test]
fn every_operation_may_be_torn() {
    for (seed, ending) in [(3, Ending::Kill), (4, Ending::Crash)] {
        break_everywhere(seed, Durability::EverySec, Fault::Torn, ending);
        break_everywhere(seed, Durability::Always, Fault::Torn, ending);
    }
}

#[test]
fn the_power_may_go_at_every_operation() {
    for seed in 5..7 {
        break_everywhere(seed, Durability::EverySec, Fault::PowerCut, Ending::Crash);
        break_everywhere(seed, Durability::Always, Fault::PowerCut, Ending::Crash);
    }
}

#[test]
fn the_power_may_go_again_at_every_operation_of_a_recovery() {
    for seed in 10..14 {
        for operation in 0.. {
            let mut history = History::new(seed, Durability::EverySec);
            history.run();
            let db = open(dir(), quiet(&history.fs, Durability::EverySec))
                .unwrap()
                .0;
            for _ in 0..40 {
                history.step(&db).unwrap();
                history.note_progress(&db);
            }
            history.fs.crash();
            drop(db);
            history
                .fs
                .set_fault(history.fs.operations() + operation, Fault::PowerCut);
            let opened = open(dir(), quiet(&history.fs, Durability::EverySec));
            let whole = opened.is_ok();
            if let Ok((_, _, recovery)) = opened {
                // What comes next, the mark of the close at least, takes the numbers of what was lost.
                history
                    .states
                    .retain(|sequence, _| *sequence <= recovery.last);
            }
            history.fs.clear_fault();
            history.recover(Ending::Crash);
            check_life_goes_on(&history);
            if whole {
                assert!(operation > 3);
                break;
            }
        }
    }
}

/// A thread that outlives the crash in a test must not remove or make files: in the world it would have died.
#[test]
fn a_process_from_before_a_crash_changes_nothing() {
    for ending in [Ending::Crash, Ending::Kill] {
        let fs = FaultyFileSystem::new(1);
        let (db, ..) = open(dir(), quiet(&fs, Durability::Always)).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"v");
        db.write(&batch).unwrap();
        match ending {
            Ending::Crash => fs.crash(),
            Ending::Kill => fs.kill(),
        }
        let (names, operations) = (fs.names(), fs.operations());
        assert!(db.rewrite().is_err() && db.write(&batch).is_err());
        drop(db);
        assert_eq!((fs.names(), fs.operations()), (names, operations));
        let (_db, map, _) = open(dir(), quiet(&fs, Durability::Always)).unwrap();
        assert_eq!(map[b"k".as_slice()], b"v");
    }
}
