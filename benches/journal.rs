//! What a batch costs under its locks (`append`), and what a shard's pass costs at its end (`write_out`).

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
        rewrite_growth_percent: 0,
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

criterion_group!(benches, append, pass);
criterion_main!(benches);
