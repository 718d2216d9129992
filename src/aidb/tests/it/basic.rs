use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aidb::fs::{FaultyFileSystem, RealFileSystem};
use aidb::{DB, Durability, Error, Options, WriteBatch};

use crate::model::{Map, apply_batch, dir, open, quiet, random_batch};

fn real(durability: Durability) -> Options {
    Options {
        durability,
        segment_size: 64 << 10,
        reserve_step: 16 << 10,
        ..Options::default()
    }
}

fn one(key: &str, value: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), value.as_bytes());
    batch
}

fn total_bytes(db: &DB) -> u64 {
    let stats = db.stats();
    stats.journal_bytes + stats.table_bytes
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    for durability in [Durability::Always, Durability::EverySec, Durability::No] {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        let mut model = Map::new();
        for round in 0..4 {
            let (db, map, recovery) = open(dir.path(), real(durability)).unwrap();
            assert_eq!(map, model);
            assert_eq!(recovery.clean, round > 0);
            assert_eq!(recovery.cut, None);
            for _ in 0..500 {
                let batch = random_batch(&mut random);
                db.write(&batch).unwrap();
                apply_batch(&mut model, &batch);
            }
            db.close().unwrap();
            assert!(matches!(db.append(&one("k", "v")), Err(Error::Closed)));
        }
        let (_db, map, _) = open(dir.path(), real(durability)).unwrap();
        assert_eq!(map, model);
    }
}

#[test]
fn a_second_server_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let (db, ..) = open(dir.path(), real(Durability::No)).unwrap();
    let refused = open(dir.path(), real(Durability::No)).err().unwrap();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    db.close().unwrap();
    open(dir.path(), real(Durability::No)).unwrap();
}

#[test]
fn always_calls_back_once_the_batch_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (db, ..) = open(dir.path(), real(Durability::Always)).unwrap();
    let durable = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&durable);
    db.on_durable(Box::new(move |sequence| {
        seen.store(sequence, Ordering::Release);
    }));
    for round in 1..50 {
        let sequence = db.append(&one("k", &round.to_string())).unwrap();
        db.request_sync();
        wait_for("the callback", || {
            durable.load(Ordering::Acquire) >= sequence
        });
        assert!(db.synced() >= sequence);
    }
}

#[test]
fn everysec_syncs_by_itself_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let (db, ..) = open(dir.path(), real(Durability::EverySec)).unwrap();
    let start = Instant::now();
    let sequence = db.write(&one("k", "v")).unwrap();
    assert_eq!(db.written(), sequence);
    wait_for("the sync", || db.synced() >= sequence);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(db.stats().syncs, 1);
}

#[test]
fn the_order_on_disk_is_the_order_of_the_sequence_numbers() {
    const THREADS: u64 = 4;
    const BATCHES: u64 = 5000;
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 256 << 10,
        reserve_step: 64 << 10,
        // A table keeps only the last record of a key, and has an order of its own.
        journal_max_bytes: 0,
        ..real(Durability::EverySec)
    };
    let (db, ..) = open(dir.path(), options.clone()).unwrap();
    let second_segment = dir.path().join("journal-0000000002");
    let mut given: Vec<(u64, u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (db, second_segment) = (&db, &second_segment);
                scope.spawn(move || {
                    let mut given = Vec::new();
                    let mut batch = WriteBatch::new();
                    for number in 0..BATCHES {
                        if number == BATCHES / 2 {
                            // On a busy machine the background thread may not have come to it yet.
                            wait_for("the next segment", || second_segment.exists());
                        }
                        batch.clear();
                        batch.put(&thread.to_le_bytes(), &number.to_le_bytes());
                        given.push((db.append(&batch).unwrap(), thread, number));
                        if number % 16 == 0 {
                            assert!(db.write_out().unwrap() >= given.last().unwrap().0);
                        }
                    }
                    given
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    db.close().unwrap();
    drop(db);
    given.sort_unstable();
    assert!(
        given
            .iter()
            .map(|(sequence, ..)| *sequence)
            .eq(1..=THREADS * BATCHES)
    );
    let mut found = Vec::new();
    let (_db, recovery) = DB::open(dir.path(), options, &mut |op| {
        let aidb::Op::Put { key, value } = op else {
            return Err("only puts were made".into());
        };
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        found.push((found.len() as u64 + 1, number(key), number(value)));
        Ok(())
    })
    .unwrap();
    assert_eq!(found, given);
    assert!(recovery.segments > 1, "{recovery:?}");
}

#[test]
fn a_rewrite_keeps_the_live_data_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for memory_bytes in [256 << 20, 500] {
        let options = Options {
            absorb_memory_bytes: memory_bytes,
            ..real(Durability::EverySec)
        };
        let (db, mut model, _) = open(dir.path(), options.clone()).unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..3 {
            for _ in 0..3000 {
                let batch = random_batch(&mut random);
                db.write(&batch).unwrap();
                apply_batch(&mut model, &batch);
            }
            let before = total_bytes(&db);
            db.rewrite().unwrap();
            for _ in 0..50 {
                let batch = random_batch(&mut random);
                db.write(&batch).unwrap();
                apply_batch(&mut model, &batch);
            }
            wait_for("the rewrite", || !db.rewrite_in_progress());
            let stats = db.stats();
            assert_eq!(
                (stats.last_rewrite_ok, stats.rewrites),
                (Some(true), round + 1),
                "{stats:?}"
            );
            assert_eq!((stats.tables, stats.absorbed > 0), (1, true), "{stats:?}");
            assert!(total_bytes(&db) < before / 3, "{before} -> {stats:?}");
        }
        db.close().unwrap();
        let (_db, map, _) = open(dir.path(), options).unwrap();
        assert_eq!(map, model);
    }
}

#[test]
fn the_journal_stays_below_its_bound_and_few_tables_hold_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        journal_max_bytes: 256 << 10,
        reserve_step: 4 << 10,
        group: crate::model::group,
        ..real(Durability::EverySec)
    };
    let (db, ..) = open(dir.path(), options.clone()).unwrap();
    let value = "x".repeat(1000);
    for number in 0..20_000 {
        db.write(&one(&format!("k{}", number % 200), &value))
            .unwrap();
        if number % 100 == 0 {
            let segments: u64 = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("journal"))
                .filter_map(|entry| Some(entry.metadata().ok()?.len()))
                .sum();
            assert!(segments <= 256 << 10, "{segments}: {:?}", db.stats());
        }
    }
    wait_for("the merges", || db.stats().merge_debt_bytes == 0);
    let stats = db.stats();
    assert_eq!(stats.upkeep.absorb_error, None, "{stats:?}");
    assert!(
        stats.upkeep.absorptions > 50 && stats.upkeep.merges > 20,
        "{stats:?}"
    );
    assert!(
        stats.tables < 10 && stats.table_bytes < 1 << 20,
        "{stats:?}"
    );
    db.close().unwrap();
    let (_db, map, recovery) = open(dir.path(), options).unwrap();
    assert_eq!(map.len(), 200);
    assert!(recovery.records < 1200, "{recovery:?}");
}

#[test]
fn the_end_of_each_rewrite_is_told() {
    static ENDED: AtomicU64 = AtomicU64::new(0);
    let fs = FaultyFileSystem::new(2);
    let options = Options {
        after_upkeep: || {
            ENDED.fetch_add(1, Ordering::Relaxed);
        },
        ..quiet(&fs, Durability::No)
    };
    let (db, ..) = open(dir(), options).unwrap();
    for rewrites in 1..4 {
        db.write(&one("key", "value")).unwrap();
        db.rewrite().unwrap();
        assert_eq!(ENDED.load(Ordering::Relaxed), rewrites);
    }
}

#[test]
fn a_full_disk_refuses_the_batch_and_recovers_when_there_is_space() {
    let fs = FaultyFileSystem::new(1);
    let (db, mut model, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    fs.set_capacity(8 << 10);
    let mut refused = None;
    for number in 0..1000 {
        let batch = one(&format!("k{number}"), &"v".repeat(100));
        match db.append(&batch) {
            Ok(_) => apply_batch(&mut model, &batch),
            Err(error) => {
                refused = Some((error, number));
                break;
            }
        }
        db.write_out().unwrap();
        // The upkeep meets the full disk first; that is the appends' business.
        let _ = db.maintain();
    }
    let (error, number) = refused.unwrap();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(number > 20);
    assert_eq!(db.appended(), model.len() as u64);
    assert!(db.stats().healthy);
    fs.set_capacity(64 << 10);
    let batch = one("later", "v");
    db.write(&batch).unwrap();
    apply_batch(&mut model, &batch);
    db.close().unwrap();
    let (_db, map, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(map, model);
}

#[test]
fn without_reservations_a_full_disk_poisons() {
    let fs = FaultyFileSystem::new(1);
    fs.set_can_reserve(false);
    let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    fs.set_capacity(4 << 10);
    let failed = (0..1000)
        .find_map(|_| db.write(&one("k", &"v".repeat(100))).err())
        .unwrap();
    assert!(matches!(failed, Error::Poisoned { .. }), "{failed}");
    fs.set_capacity(u64::MAX);
    assert!(matches!(
        db.append(&one("k", "v")),
        Err(Error::Poisoned { .. })
    ));
    assert!(!db.stats().healthy && db.stats().reason.is_some());
}

#[test]
fn unknown_versions_and_missing_segments_are_named() {
    let fs = FaultyFileSystem::new(1);
    let options = Options {
        journal_max_bytes: 0,
        ..quiet(&fs, Durability::EverySec)
    };
    let (db, ..) = open(dir(), options).unwrap();
    for number in 0..200 {
        db.write(&one(&format!("k{number}"), "v")).unwrap();
        db.maintain().unwrap();
    }
    assert!(db.stats().segments >= 4, "{:?}", db.stats());
    db.close().unwrap();
    let path = dir().join("journal-0000000002");
    let good = fs.contents(&path).unwrap();
    fs.take_away(&path);
    let missing = open(dir(), quiet(&fs, Durability::EverySec)).err().unwrap();
    assert!(
        matches!(&missing, Error::MissingSegment { file } if *file == path),
        "{missing}"
    );
    let mut newer = good.clone();
    newer[8] = 9;
    fs.set_contents(&path, &newer);
    let unknown = open(dir(), quiet(&fs, Durability::EverySec)).err().unwrap();
    assert!(
        matches!(unknown, Error::UnknownVersion { version: 9, .. }),
        "{unknown}"
    );
    fs.set_contents(&path, &good);
    let (_db, map, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(map.len(), 200);
}

#[test]
fn huge_batches_pass_whole() {
    let dir = tempfile::tempdir().unwrap();
    let value = "x".repeat(20 << 20);
    let (db, ..) = open(dir.path(), real(Durability::Always)).unwrap();
    db.write(&one("huge", &value)).unwrap();
    db.write(&one("small", "v")).unwrap();
    db.rewrite().unwrap();
    wait_for("the rewrite", || !db.rewrite_in_progress());
    db.close().unwrap();
    let (_db, map, _) = open(dir.path(), real(Durability::Always)).unwrap();
    assert_eq!(map[b"huge".as_slice()], value.as_bytes());
    assert_eq!(map.len(), 2);
    assert!(
        aidb::check(dir.path(), &RealFileSystem, &mut |_| false).is_err(),
        "the directory is in use"
    );
}
