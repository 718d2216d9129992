//! Backups made beside appends, at every fault, and what is restored from them.

use std::path::Path;

use aidb::fs::{Fault, FaultyFileSystem};
use aidb::{DB, Durability, Error, Options, WriteBatch, backup, check, restore};

use crate::model::{Map, apply_batch, dir, open, quiet, random_batch};

fn to() -> &'static Path {
    Path::new("/backup")
}

fn restored() -> &'static Path {
    Path::new("/restored")
}

fn put(db: &DB, number: u64) {
    let mut batch = WriteBatch::new();
    batch.put(b"left", &number.to_le_bytes());
    batch.put(&(number % 50).to_le_bytes(), &[7; 40]);
    batch.put(b"right", &number.to_le_bytes());
    db.append(&batch).unwrap();
}

#[test]
fn a_backup_is_the_state_of_its_moment_and_life_goes_on() {
    let mut random = fastrand::Rng::with_seed(3);
    let fs = FaultyFileSystem::new(3);
    let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    let mut model = Map::new();
    let mut backups: Vec<(String, Map, u64)> = Vec::new();
    for number in 0..40 {
        let name = format!("/backup{number}");
        let made = db.backup(&name).unwrap();
        assert_eq!(made.last, db.appended());
        backups.push((name, model.clone(), made.last));
        for _ in 0..random.usize(..30) {
            let batch = random_batch(&mut random);
            db.append(&batch).unwrap();
            apply_batch(&mut model, &batch);
        }
        match random.u8(..3) {
            0 => db.maintain().unwrap(),
            1 => db.rewrite().unwrap(),
            _ => {}
        }
    }
    let again = db.backup(&backups[0].0);
    assert!(matches!(again, Err(Error::NotEmpty { .. })), "{again:?}");
    // What the power takes are the appends that nothing has synced; the backups are there.
    fs.crash();
    drop(db);
    for (name, model, last) in &backups {
        let options = quiet(&fs, Durability::EverySec);
        let (db, map, recovery) = open(Path::new(name), options).unwrap();
        assert_eq!((&map, recovery.last, &recovery.cut), (model, *last, &None));
        db.close().unwrap();
    }
}

#[test]
fn a_backup_beside_threads_that_append_is_a_prefix_without_torn_batches() {
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 64 << 10,
        reserve_step: 16 << 10,
        journal_max_bytes: 128 << 10,
        durability: Durability::EverySec,
        ..Options::default()
    };
    let (db, ..) = open(&home.path().join("data"), options.clone()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let paths: Vec<_> = std::thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let mut number = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                put(&db, number);
                if number % 64 == 0 {
                    db.write_out().unwrap();
                    std::thread::yield_now();
                }
            }
        });
        let paths = (0..20)
            .map(|number| {
                let path = home.path().join(format!("backup{number}"));
                let before = db.appended();
                let made = db.backup(&path).unwrap();
                assert!(made.last >= before);
                (path, made.last)
            })
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        appender.join().unwrap();
        paths
    });
    for (path, last) in paths {
        let (db, map, recovery) = open(&path, options.clone()).unwrap();
        assert_eq!((recovery.last, recovery.cut), (last, None));
        assert_eq!(map.get(b"left".as_slice()), map.get(b"right".as_slice()));
        let number = map.get(b"left".as_slice());
        let number = number.map_or(0, |value| {
            u64::from_le_bytes(value.as_slice().try_into().unwrap())
        });
        assert_eq!(number, last, "each batch has one number");
        db.close().unwrap();
    }
}

/// Whatever fails on the way: the database lives, and the backup is whole or does not open.
#[test]
fn every_operation_of_a_backup_may_fail() {
    let mut whole = 0;
    let mut torn = 0;
    for fault in [Fault::Fail, Fault::Torn, Fault::PowerCut] {
        for seed in 0..4 {
            for operation in 0.. {
                let fs = FaultyFileSystem::new(seed);
                let options = || Options {
                    journal_max_bytes: 0,
                    ..quiet(&fs, Durability::Always)
                };
                let (db, ..) = open(dir(), options()).unwrap();
                for number in 1..=150 {
                    put(&db, number);
                    db.maintain().unwrap();
                    if number == 70 && seed % 2 == 1 {
                        db.rewrite().unwrap();
                    }
                }
                db.flush().unwrap();
                let start = fs.operations();
                fs.set_fault(start + operation, fault);
                let made = db.backup(to());
                let reached = fs.operations() > start + operation;
                fs.clear_fault();
                fs.crash();
                drop(db);
                let is_sound = |path: &Path| {
                    let (_db, map, recovery) = open(path, options())?;
                    assert_eq!(recovery.last, 150);
                    assert_eq!(map[b"left".as_slice()], 150_u64.to_le_bytes());
                    Ok::<_, Error>(())
                };
                is_sound(dir()).unwrap();
                match (made, open_existing(&fs, to())) {
                    (Ok(_), _) => is_sound(to()).unwrap(),
                    (Err(_), true) => match is_sound(to()) {
                        Ok(()) => whole += 1,
                        Err(Error::MissingSegment { .. }) => torn += 1,
                        Err(other) => panic!("{other}"),
                    },
                    (Err(_), false) => {}
                }
                if !reached {
                    assert!(operation > 5);
                    break;
                }
            }
        }
    }
    assert!(whole > 5 && torn > 20, "{whole} whole, {torn} torn");
}

/// Whether any file of a database is there: an empty directory would open as a new one.
fn open_existing(fs: &FaultyFileSystem, path: &Path) -> bool {
    fs.names().iter().any(|name| name.parent() == Some(path))
}

#[test]
fn a_backup_is_restored_as_of_each_of_its_batches() {
    let mut random = fastrand::Rng::with_seed(8);
    let fs = FaultyFileSystem::new(8);
    let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    let mut states = vec![Map::new()];
    for number in 0..80 {
        let batch = random_batch(&mut random);
        db.append(&batch).unwrap();
        let mut next = states.last().unwrap().clone();
        apply_batch(&mut next, &batch);
        states.push(next);
        if number == 30 {
            db.rewrite().unwrap();
        }
        db.maintain().unwrap();
    }
    db.backup(to()).unwrap();
    let busy = backup(dir(), restored(), &*fs.mount());
    assert!(matches!(busy, Err(Error::Locked { .. })), "{busy:?}");
    db.close().unwrap();
    let mut first = None;
    for (until, state) in states.iter().enumerate() {
        let path = format!("/restored{until}");
        let path = Path::new(&path);
        match restore(to(), path, Some(until as u64), &*fs.mount()) {
            Ok(made) => {
                first.get_or_insert(until);
                assert_eq!(made.last, until as u64);
                let (db, map, recovery) = open(path, quiet(&fs, Durability::EverySec)).unwrap();
                assert_eq!((&map, recovery.last), (state, until as u64));
                db.close().unwrap();
            }
            Err(Error::OutOfReach { last: 80, .. }) => assert_eq!(first, None),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(first.is_some_and(|first| (31..80).contains(&first)));
    let beyond = restore(to(), restored(), Some(81), &*fs.mount());
    assert!(
        matches!(beyond, Err(Error::OutOfReach { .. })),
        "{beyond:?}"
    );
    restore(to(), restored(), None, &*fs.mount()).unwrap();
    let twice = restore(to(), restored(), None, &*fs.mount());
    assert!(matches!(twice, Err(Error::NotEmpty { .. })), "{twice:?}");
    let (_db, map, _) = open(restored(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(&map, states.last().unwrap());
    let offline = backup(dir(), Path::new("/offline"), &*fs.mount()).unwrap();
    assert!(offline.last > 80, "with the mark of the close");
}

#[test]
fn a_directory_without_a_database_is_refused_and_left_alone() {
    let fs = FaultyFileSystem::new(11);
    let mounted = fs.mount();
    mounted.create_dir(dir()).unwrap();
    let refused = |error: Option<Error>| {
        assert!(matches!(error, Some(Error::NoDatabase { .. })), "{error:?}");
    };
    refused(backup(dir(), to(), &*mounted).err());
    refused(restore(dir(), to(), None, &*mounted).err());
    refused(check(dir(), &*mounted, &mut |_| false).err());
    assert_eq!(mounted.list(dir()).unwrap(), Vec::<String>::new());
    assert_eq!(mounted.list(to()).unwrap(), Vec::<String>::new());
}
