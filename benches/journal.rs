//! What a batch costs under its locks (`append`), what a shard's pass costs at its end (`write_out`), and what the
//! background pays later for each record (`rewrite`).

use std::hint::black_box;

use aidb::{DB, Durability, Options, WriteBatch};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const KEY: [u8; 16] = [b'k'; 16];
const VALUE: [u8; 64] = [b'v'; 64];
/// Batches that shards append between two writes.
const BATCHES_PER_PASS: u64 = 64;

fn batch_of(records: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    fill(&mut batch, records);
    batch
}

fn fill(batch: &mut WriteBatch, records: u64) {
    batch.clear();
    for record in 0..records {
        let mut key = KEY;
        key[..8].copy_from_slice(&record.to_le_bytes());
        batch.put(&key, &VALUE);
    }
}

fn with_database(body: impl FnOnce(&DB)) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options {
        durability: Durability::No,
        journal_max_bytes: 0,
        background: false,
        ..Options::default()
    };
    let (db, _) = DB::open(dir.path(), options, &mut |_| Ok(())).expect("an empty database opens");
    body(&db);
    db.close().expect("the database closes");
}

/// `append` alone; the writes that empty the buffer are not timed.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal/append");
    for records in [1, 16] {
        let batch = batch_of(records);
        group.throughput(Throughput::Elements(BATCHES_PER_PASS));
        group.bench_function(format!("{records} records"), |bencher| {
            with_database(|db| {
                let empty_buffer = || db.write_out().expect("a write");
                let append_all = |_| {
                    for _ in 0..BATCHES_PER_PASS {
                        black_box(db.append(black_box(&batch)).expect("an append"));
                    }
                };
                bencher.iter_batched(empty_buffer, append_all, BatchSize::PerIteration);
            });
        });
    }
    group.finish();
}

/// Filling a batch, appending it, and one write for every 64.
fn pass(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal/pass");
    for records in [1, 16] {
        let mut batch = WriteBatch::new();
        group.throughput(Throughput::Elements(BATCHES_PER_PASS * records));
        group.bench_function(
            format!("{BATCHES_PER_PASS} batches of {records} records"),
            |bencher| {
                with_database(|db| {
                    bencher.iter(|| {
                        for _ in 0..BATCHES_PER_PASS {
                            fill(&mut batch, records);
                            db.append(&batch).expect("an append");
                        }
                        db.write_out().expect("a write")
                    });
                });
            },
        );
    }
    group.finish();
}

/// A rewrite of a journal of so many records, over a base of all keys.
fn rewrite(criterion: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let mut group = criterion.benchmark_group("journal/rewrite");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    for keys in [10_000, 1_000_000] {
        group.bench_function(format!("{RECORDS} records of {keys} keys"), |bencher| {
            with_database(|db| {
                let mut random = fastrand::Rng::with_seed(1);
                let mut batch = WriteBatch::new();
                let mut put = |key: u64| {
                    batch.clear();
                    batch.put(format!("a key, {key:012}").as_bytes(), &VALUE);
                    db.append(&batch).expect("an append");
                };
                (0..keys).for_each(&mut put);
                db.rewrite().expect("a rewrite");
                let grow = || {
                    for _ in 0..RECORDS {
                        put(random.u64(..keys));
                    }
                    db.write_out().expect("a write");
                };
                bencher.iter_batched(
                    grow,
                    |()| db.rewrite().expect("a rewrite"),
                    BatchSize::PerIteration,
                );
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, pass, rewrite);
criterion_main!(benches);
