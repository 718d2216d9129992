//! Bits that flip at rest: each is noticed or does no harm.

use std::path::PathBuf;

use aidb::fs::FaultyFileSystem;
use aidb::{Durability, Error, Options, check};

use crate::model::{Map, apply_batch, dir, open, quiet, random_batch};

/// A small database as a process leaves it that dies: a base, two segments, the last two batches not synced.
struct Sample {
    files: Vec<(PathBuf, Vec<u8>)>,
    states: Vec<(u64, Map)>,
    /// The last batch that a later frame says was synced.
    known_synced: u64,
}

impl Sample {
    fn new() -> Sample {
        let fs = FaultyFileSystem::new(1);
        let options = Options {
            segment_size: 256,
            reserve_step: 256,
            journal_max_bytes: 0,
            ..quiet(&fs, Durability::EverySec)
        };
        let (db, mut model, _) = open(dir(), options).unwrap();
        let mut random = fastrand::Rng::with_seed(6);
        let mut states = Vec::new();
        let mut known_synced = 0;
        for round in 0..14 {
            let batch = random_batch(&mut random);
            known_synced = known_synced.max(db.synced());
            let sequence = db.write(&batch).unwrap();
            apply_batch(&mut model, &batch);
            states.push((sequence, model.clone()));
            match round {
                6 => db.rewrite().unwrap(),
                12.. => {}
                _ => db.maintain().unwrap(),
            }
        }
        let names = fs
            .names()
            .into_iter()
            .filter(|name| !name.ends_with("LOCK"));
        let files: Vec<_> = names
            .map(|name| (name.clone(), fs.contents(&name).unwrap()))
            .collect();
        fs.kill();
        assert!(files.len() >= 3, "{:?}", fs.names());
        Sample {
            files,
            states,
            known_synced,
        }
    }

    fn with_flipped(&self, file: usize, bit: usize) -> FaultyFileSystem {
        let fs = FaultyFileSystem::new(2);
        for (index, (name, bytes)) in self.files.iter().enumerate() {
            let mut bytes = bytes.clone();
            if index == file {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            fs.set_contents(name, &bytes);
        }
        fs
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_does_no_harm() {
    let sample = Sample::new();
    let (mut refused, mut cut) = (0, 0);
    for file in 0..sample.files.len() {
        for bit in 0..sample.files[file].1.len() * 8 {
            let fs = sample.with_flipped(file, bit);
            let place = || format!("{} bit {bit}", sample.files[file].0.display());
            match open(dir(), quiet(&fs, Durability::EverySec)) {
                Err(Error::Damaged { .. } | Error::UnknownVersion { .. }) => refused += 1,
                Err(error) => panic!("{}: {error}", place()),
                Ok((_, map, recovery)) => {
                    let state = sample
                        .states
                        .iter()
                        .find(|(sequence, _)| *sequence == recovery.last);
                    assert_eq!(Some(&map), state.map(|(_, map)| map), "{}", place());
                    assert!(
                        recovery.last >= sample.known_synced,
                        "{}: {recovery:?}",
                        place()
                    );
                    let whole = recovery.last == sample.states.last().unwrap().0;
                    assert!(whole || recovery.cut.is_some(), "{}: {recovery:?}", place());
                    cut += u32::from(recovery.cut.is_some());
                }
            }
        }
    }
    assert!(refused > 1000 && cut > 500, "{refused} refused, {cut} cut");
}

#[test]
fn damage_names_file_and_offset_and_is_repaired_only_when_confirmed() {
    let sample = Sample::new();
    let has_frames = |(path, bytes): &(PathBuf, Vec<u8>)| {
        path.to_string_lossy().contains("journal-") && bytes[64..].iter().any(|&byte| byte != 0)
    };
    let segment = sample.files.iter().position(has_frames).unwrap();
    let path = &sample.files[segment].0;
    let fs = sample.with_flipped(segment, 70 * 8);
    let refused = open(dir(), quiet(&fs, Durability::EverySec)).err().unwrap();
    let Error::Damaged { file, offset, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!((file, *offset), (path, 64));
    assert!(
        refused.to_string().contains("is damaged at offset 64"),
        "{refused}"
    );

    let report = check(dir(), &*fs.mount(), &mut |_| false).unwrap();
    assert!(report.damage.is_some() && !report.repaired);
    assert!(open(dir(), quiet(&fs, Durability::EverySec)).is_err());

    let report = check(dir(), &*fs.mount(), &mut |report| report.damage.is_some()).unwrap();
    let cut = report.recovery.cut.unwrap();
    assert!(report.repaired && cut.later_frames > 0 && cut.bytes > 0);
    let (_db, map, recovery) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(recovery.last + 1, cut.sequence);
    assert_eq!(
        &map,
        &sample
            .states
            .iter()
            .find(|(sequence, _)| *sequence == recovery.last)
            .unwrap()
            .1
    );
}

#[test]
fn a_value_cannot_pose_as_a_frame() {
    let fs = FaultyFileSystem::new(1);
    let (db, ..) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    let mut batch = aidb::WriteBatch::new();
    batch.put(b"k", b"v");
    db.write(&batch).unwrap();
    db.flush().unwrap();
    let bytes = fs.contents(&dir().join("journal-0000000001")).unwrap();
    // A whole frame, as another database with the same content but another salt would have it.
    let mut forged = bytes[64..64 + 32 + 5].to_vec();
    forged[8..16].copy_from_slice(&1000u64.to_le_bytes());
    forged[16..24].copy_from_slice(&999u64.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&forged[32..]), &forged[4..32]);
    forged[..4].copy_from_slice(&checksum.to_le_bytes());
    batch.clear();
    batch.put(b"torn", b"batch");
    batch.put(b"forged", &forged);
    db.write(&batch).unwrap();
    let mut torn = fs.contents(&dir().join("journal-0000000001")).unwrap();
    torn[64 + 32 + 5 + 40] ^= 1;
    drop(db);
    let fs = FaultyFileSystem::new(2);
    fs.set_contents(&dir().join("journal-0000000001"), &torn);
    let (_db, map, recovery) = open(dir(), quiet(&fs, Durability::EverySec)).unwrap();
    assert_eq!(map.len(), 1);
    assert_eq!(recovery.cut.unwrap().later_frames, 0);
}

#[test]
fn checking_makes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let refused = check(&missing, &aidb::fs::RealFileSystem, &mut |_| true).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
    assert!(!missing.exists());
}
