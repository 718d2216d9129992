//! Threads that append at once, with the background threads at work, until the power goes.

use std::time::Duration;

use aidb::fs::{Fault, FaultyFileSystem};
use aidb::{Durability, Options, WriteBatch};

use crate::model::{dir, open, quiet};

const THREADS: u64 = 3;
const BATCHES: u64 = 150;

fn key(prefix: &str, thread: u64) -> Vec<u8> {
    format!("{prefix}{thread}").into_bytes()
}

/// Each thread writes its counter under two keys in one batch; returns the last count that was acknowledged.
fn count(db: &aidb::DB, thread: u64) -> u64 {
    let mut batch = WriteBatch::new();
    for number in 1..=BATCHES {
        batch.clear();
        batch.put(&key("left", thread), &number.to_le_bytes());
        batch.put_with(&[b"right", thread.to_string().as_bytes()], |value| {
            value.extend_from_slice(&number.to_le_bytes());
        });
        if db.write(&batch).is_err() {
            return number - 1;
        }
    }
    BATCHES
}

fn background(fs: &FaultyFileSystem, durability: Durability) -> Options {
    Options {
        background: true,
        // Wide enough that nobody waits.
        journal_max_bytes: 64 << 10,
        ..quiet(fs, durability)
    }
}

#[test]
fn what_was_acknowledged_survives_whenever_the_power_goes() {
    let mut interrupted = 0;
    let (mut absorptions, mut merges) = (0, 0);
    for seed in 0..120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fs = FaultyFileSystem::new(seed);
        let fault = [Fault::PowerCut, Fault::Fail, Fault::Torn][random.usize(..3)];
        fs.set_fault(random.u64(8..700), fault);
        let (db, ..) = open(dir(), background(&fs, Durability::Always)).unwrap();
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn({
                        let db = &db;
                        move || count(db, thread)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        interrupted += u64::from(acknowledged.iter().any(|&count| count < BATCHES));
        absorptions += db.stats().upkeep.absorptions;
        merges += db.stats().upkeep.merges;
        fs.clear_fault();
        fs.crash();
        drop(db);
        let (_db, map, recovery) = open(dir(), background(&fs, Durability::Always)).unwrap();
        for (thread, &acknowledged) in acknowledged.iter().enumerate() {
            let found = |prefix| {
                let value = map.get(&key(prefix, thread as u64));
                value.map_or(0, |value| {
                    u64::from_le_bytes(value.as_slice().try_into().unwrap())
                })
            };
            assert!(
                found("left") >= acknowledged,
                "seed {seed}, thread {thread}: {recovery:?}"
            );
            assert_eq!(
                found("left"),
                found("right"),
                "seed {seed}, thread {thread}: {recovery:?}"
            );
        }
    }
    assert!(
        interrupted > 20 && absorptions > 10 && merges > 0,
        "{interrupted} interrupted, {absorptions} absorptions, {merges} merges"
    );
}

#[test]
fn waiting_for_the_disk_ends_when_the_disk_fails() {
    let fs = FaultyFileSystem::new(1);
    let (db, ..) = open(dir(), background(&fs, Durability::Always)).unwrap();
    let (told, hears) = std::sync::mpsc::channel();
    db.on_durable(Box::new(move |sequence| {
        // The receiver may be gone at the end of the test.
        let _ = told.send(sequence);
    }));
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"v");
    assert_eq!(db.write(&batch).unwrap(), 1);
    assert_eq!(hears.recv_timeout(Duration::from_secs(20)), Ok(1));
    fs.set_fault(fs.operations() + 1, Fault::Fail);
    db.append(&batch).unwrap();
    assert!(db.flush().is_err());
    assert_eq!(
        hears.recv_timeout(Duration::from_secs(20)),
        Ok(1),
        "told that nothing more is on disk"
    );
    assert!(db.health().is_err() && db.flush().is_err() && db.write(&batch).is_err());
    assert_eq!((db.written(), db.synced()), (2, 1));
}

#[test]
fn a_panic_in_the_callback_ends_the_journal_and_not_the_waiting() {
    let fs = FaultyFileSystem::new(1);
    let (db, ..) = open(dir(), background(&fs, Durability::Always)).unwrap();
    db.on_durable(Box::new(|_| panic!("for the test")));
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"v");
    // This one may be seen on disk before the callback panics.
    let _ = db.write(&batch);
    let start = std::time::Instant::now();
    while db.health().is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    assert!(db.write(&batch).is_err() && db.flush().is_err());
}
