//! Tables against a plain map: absorbed and merged in all ways, with groups and without, loaded by one thread or several.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use aidb::fs::{FaultyFileSystem, RealFileSystem};
use aidb::{DB, Durability, Load, Op, Options, Part, WriteBatch, check};

use crate::model::{Map, apply, apply_batch, dir, group, open, quiet, random_batch};

/// Takes records in several threads, and looks that each group comes to one of them.
#[derive(Default)]
struct Parallel {
    map: Mutex<Map>,
    parts: Mutex<BTreeMap<Vec<u8>, usize>>,
}

impl Load for Parallel {
    fn apply(&mut self, op: Op<'_>) -> Result<(), String> {
        apply(self.map.get_mut().unwrap(), op);
        Ok(())
    }

    fn split(&mut self, _count: usize) -> Vec<Part<'_>> {
        let Parallel { map, parts } = self;
        let (map, parts) = (&*map, &*parts);
        (0..3)
            .map(|number| {
                Box::new(move |op: Op<'_>| {
                    let (Op::Put { key: name, .. }
                    | Op::Delete { key: name }
                    | Op::DeletePrefix { prefix: name }) = op;
                    let name = &name[..group(name).unwrap_or(name.len())];
                    let part = *parts.lock().unwrap().entry(name.to_vec()).or_insert(number);
                    if part != number {
                        return Err("a group comes to one part".to_owned());
                    }
                    apply(&mut map.lock().unwrap(), op);
                    Ok(())
                }) as Part<'_>
            })
            .collect()
    }
}

#[test]
fn a_database_of_tables_is_the_map_that_it_should_be() {
    let mut used = 0;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fs = FaultyFileSystem::new(seed);
        let options = Options {
            group: if seed % 2 == 0 { group } else { |_| None },
            absorb_memory_bytes: [100, 1000, 1 << 20][random.usize(..3)],
            ..quiet(&fs, Durability::No)
        };
        let mut model = Map::new();
        for _ in 0..4 {
            let mut load = Parallel::default();
            let (db, _) = if seed % 3 == 0 || seed % 2 == 1 {
                DB::open(dir(), options.clone(), &mut |op| load.apply(op)).unwrap()
            } else {
                DB::open_with(dir(), options.clone(), &mut load).unwrap()
            };
            assert_eq!(*load.map.lock().unwrap(), model, "seed {seed}");
            used += usize::from(load.parts.lock().unwrap().values().max() > Some(&1));
            for _ in 0..random.usize(..300) {
                let batch = random_batch(&mut random);
                db.write(&batch).unwrap();
                apply_batch(&mut model, &batch);
                match random.u8(..40) {
                    0 => db.rewrite().unwrap(),
                    1..10 => db.maintain().unwrap(),
                    _ => {}
                }
            }
            db.close().unwrap();
            let report = check(dir(), &*fs.mount(), &mut |_| false).unwrap();
            assert_eq!(report.damage.map(|damage| damage.to_string()), None);
        }
    }
    assert!(used > 20, "{used}");
}

/// Many records of one group, many of one key, names that begin alike or with each other.
#[test]
fn names_are_sorted_whatever_they_share() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fs = FaultyFileSystem::new(seed);
        let options = Options {
            group: |bytes| (!bytes.is_empty()).then_some(1),
            segment_size: 1 << 20,
            ..quiet(&fs, Durability::No)
        };
        let options = Options {
            absorb_memory_bytes: 1 << (8 + seed),
            ..options
        };
        let (db, mut model, _) = open(dir(), options.clone()).unwrap();
        for round in 0..2 {
            let mut batch = WriteBatch::new();
            for number in 0..3000_u32 {
                batch.clear();
                let mut key = match random.u8(..4) {
                    0 => vec![b'a'; random.usize(1..60)],
                    1 => [
                        b"a name that begins alike ".as_slice(),
                        &number.to_be_bytes(),
                    ]
                    .concat(),
                    2 => b"the same".to_vec(),
                    _ => [&[b'a' + random.u8(..3)][..], &random.u16(..).to_le_bytes()].concat(),
                };
                key.extend(std::iter::repeat_n(0, random.usize(..3)));
                match random.u8(..30) {
                    0 => batch.delete_prefix(&key),
                    1..4 => batch.delete(&key),
                    _ => batch.put(&key, &number.to_le_bytes()),
                }
                db.append(&batch).unwrap();
                apply_batch(&mut model, &batch);
            }
            if round == 0 {
                db.rewrite().unwrap();
            } else {
                db.maintain().unwrap();
            }
        }
        db.rewrite().unwrap();
        db.close().unwrap();
        let (_db, map, recovery) = open(dir(), options).unwrap();
        assert_eq!(map, model);
        assert_eq!(recovery.records, model.len() as u64, "each key once");
    }
}

#[test]
fn a_counter_is_one_put_however_often_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::No,
        background: false,
        ..Options::default()
    };
    let (db, ..) = open(dir.path(), options.clone()).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..1_000_000_u64 {
        batch.clear();
        batch.put(b"counter", &number.to_le_bytes());
        db.append(&batch).unwrap();
    }
    db.rewrite().unwrap();
    db.close().unwrap();
    let (_db, map, recovery) = open(dir.path(), options).unwrap();
    assert_eq!(map[b"counter".as_slice()], 999_999_u64.to_le_bytes());
    assert_eq!(recovery.records, 1);
    assert!(recovery.bytes < 4096, "{recovery:?}");
}

#[test]
fn records_in_another_order_than_this_programs_are_damage() {
    let fs = FaultyFileSystem::new(1);
    let (db, ..) = open(dir(), quiet(&fs, Durability::No)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        db.write(&random_batch(&mut random)).unwrap();
    }
    db.rewrite().unwrap();
    db.close().unwrap();
    let options = Options {
        group: |_| None,
        ..quiet(&fs, Durability::No)
    };
    let refused = open(dir(), options).err().unwrap();
    assert!(
        refused.to_string().contains("not in the order"),
        "{refused}"
    );
}

#[test]
fn a_missing_table_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::No,
        ..Options::default()
    };
    let (db, ..) = open(home.path(), options.clone()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"v");
    db.write(&batch).unwrap();
    db.rewrite().unwrap();
    while db.rewrite_in_progress() {
        std::thread::yield_now();
    }
    db.close().unwrap();
    let table = |path: &Path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("table")
    };
    let path = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| table(path))
        .unwrap();
    std::fs::remove_file(path).unwrap();
    let refused = open(home.path(), options).err().unwrap();
    assert!(
        matches!(refused, aidb::Error::MissingSegment { .. }),
        "{refused}"
    );
    check(home.path(), &RealFileSystem, &mut |_| false).unwrap_err();
}
