//! A directory of version 1, as the first release left it, killed: a base, four segments with batches, one that is open.

use std::path::Path;

use aidb::fs::FaultyFileSystem;
use aidb::{Durability, check};

use crate::model::{Map, dir, open, quiet};

const FILES: [(&str, &[u8]); 6] = [
    ("base-0000000004", include_bytes!("v1/base-0000000004")),
    (
        "journal-0000000005",
        include_bytes!("v1/journal-0000000005"),
    ),
    (
        "journal-0000000006",
        include_bytes!("v1/journal-0000000006"),
    ),
    (
        "journal-0000000007",
        include_bytes!("v1/journal-0000000007"),
    ),
    (
        "journal-0000000008",
        include_bytes!("v1/journal-0000000008"),
    ),
    (
        "journal-0000000009",
        include_bytes!("v1/journal-0000000009"),
    ),
];

fn directory(seed: u64) -> FaultyFileSystem {
    let fs = FaultyFileSystem::new(seed);
    for (name, bytes) in FILES {
        fs.set_contents(&dir().join(name), bytes);
    }
    fs
}

/// What was in it, a line for each key.
fn expected() -> Map {
    let bytes = |hex: &str| {
        (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    };
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (bytes(key), bytes(value))
    };
    include_str!("v1/expected").lines().map(pair).collect()
}

#[test]
fn a_directory_of_version_1_opens_and_becomes_one_of_tables() {
    let expected = expected();
    assert!(expected.len() > 10);
    let fs = directory(1);
    let report = check(dir(), &*fs.mount(), &mut |_| false).unwrap();
    assert_eq!(report.recovery.last, 120);
    for round in 0..3 {
        let (db, map, recovery) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
        assert_eq!((&map, recovery.cut), (&expected, None));
        match round {
            // The base stays under tables for a while, if nothing is merged.
            0 => {}
            1 => db.maintain().unwrap(),
            _ => db.rewrite().unwrap(),
        }
        db.close().unwrap();
    }
    let is_base = |name: &std::path::PathBuf| name.to_string_lossy().contains("base");
    assert!(!fs.names().iter().any(is_base), "{:?}", fs.names());
    let (_db, map, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(map, expected);
}

#[test]
fn the_power_may_go_at_every_operation_of_a_migration() {
    let expected = expected();
    for operation in 0.. {
        let fs = directory(operation);
        fs.set_fault(operation, aidb::fs::Fault::PowerCut);
        let migrate = || {
            let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec))?;
            db.maintain()?;
            db.rewrite()?;
            db.close()
        };
        let done = migrate().is_ok();
        fs.clear_fault();
        fs.crash();
        let (_db, map, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
        assert_eq!(map, expected, "operation {operation}");
        if done {
            assert!(operation > 30);
            break;
        }
    }
}

#[test]
fn bits_of_an_old_base_that_flip_are_noticed_while_it_becomes_a_table() {
    let path = dir().join(FILES[0].0);
    let (db_bytes, mut refused) = (FILES[0].1.len(), 0);
    for byte in 0..db_bytes {
        let fs = directory(1);
        let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
        let mut flipped = FILES[0].1.to_vec();
        flipped[byte] ^= 1 << (byte % 8);
        fs.set_contents(Path::new(&path), &flipped);
        if db.rewrite().is_err() {
            refused += 1;
            continue;
        }
        db.close().unwrap();
        let (_db, map, _) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
        assert_eq!(map, expected(), "byte {byte}");
    }
    assert!(refused > db_bytes * 9 / 10, "{refused} of {db_bytes}");
}
