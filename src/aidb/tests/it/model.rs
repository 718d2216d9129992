//! The plain map that a database must equal, and how tests open one.

use std::collections::BTreeMap;
use std::path::Path;

use aidb::fs::FaultyFileSystem;
use aidb::{DB, Durability, Error, Op, Options, Recovery, WriteBatch};

pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

pub fn dir() -> &'static Path {
    Path::new("/data")
}

pub fn apply(map: &mut Map, op: Op<'_>) {
    match op {
        Op::Put { key, value } => {
            map.insert(key.to_vec(), value.to_vec());
        }
        Op::Delete { key } => {
            map.remove(key);
        }
        Op::DeletePrefix { prefix } => map.retain(|key, _| !key.starts_with(prefix)),
    }
}

pub fn apply_batch(map: &mut Map, batch: &WriteBatch) {
    for op in batch.iter() {
        apply(map, op);
    }
}

/// Options for a database in memory whose every run is the same.
pub fn quiet(fs: &FaultyFileSystem, durability: Durability) -> Options {
    Options {
        durability,
        segment_size: 2 << 10,
        reserve_step: 512,
        journal_max_bytes: 8 << 10,
        absorb_memory_bytes: 700,
        group,
        seed: 42,
        background: false,
        fs: fs.mount(),
        ..Options::default()
    }
}

pub fn open(dir: &Path, options: Options) -> Result<(DB, Map, Recovery), Error> {
    let mut map = Map::new();
    let (db, recovery) = DB::open(dir, options, &mut |op| {
        apply(&mut map, op);
        Ok(())
    })?;
    Ok((db, map, recovery))
}

/// A group's name ends with its first digit.
pub fn group(bytes: &[u8]) -> Option<usize> {
    let digit = bytes.iter().position(u8::is_ascii_digit)?;
    Some(digit + 1)
}

/// A batch of one to five changes among few keys, so that overwriting and deleting are common.
pub fn random_batch(random: &mut fastrand::Rng) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..random.usize(1..=5) {
        let group = format!("{}{}", ["a", "ab", "b"][random.usize(..3)], random.u8(..8));
        let key = format!(
            "{group}{}",
            ["", "", "", "x", "x1", "x12", "y"][random.usize(..7)]
        );
        match random.u8(..14) {
            0 => batch.delete(key.as_bytes()),
            1 => batch.delete_prefix(key.as_bytes()),
            2 => batch.delete_prefix(group.as_bytes()),
            3 if random.bool() => {
                let many = ["a", "ab", "b", ""][random.usize(..4)];
                batch.delete_prefix(many.as_bytes());
            }
            _ => {
                let value: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
                batch.put(key.as_bytes(), &value);
            }
        }
    }
    batch
}
