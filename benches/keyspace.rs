//! The keyspace: what finding and changing a key costs, without and with a million keys.

use aidb::{DB, Options};
use aikv::keyspace::{Expiry, Keyspace, Txn, TxnBuffers};
use aikv::value::{Str, Value};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const NOW_MS: i64 = 1_000_000;
/// Commits between two writes of the journal, as in a pass of a busy shard.
const COMMITS_PER_PASS: u64 = 64;

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

fn keyspace(criterion: &mut Criterion) {
    for keys in [1_000_u64, 1_000_000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let replay = &mut |_: aidb::Op<'_>| Ok(());
        let (journal, _) = DB::open(dir.path(), Options::default(), replay).expect("a journal");
        let keyspace = Keyspace::new(1);
        let mut buffers = TxnBuffers::default();
        let mut put = |number: u64| {
            let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
            let value = Value::Str(Str::new(b"a value of thirty-two bytes here"));
            txn.put(key(number).as_bytes(), value, Expiry::Never);
            txn.commit(&journal).expect("room on the disk");
            if number.is_multiple_of(COMMITS_PER_PASS) {
                journal.write_out().expect("room on the disk");
            }
        };
        (0..keys).for_each(&mut put);
        let mut rng = fastrand::Rng::with_seed(1);
        criterion.bench_function(&format!("put and commit, {keys} keys"), |bencher| {
            bencher.iter(|| put(rng.u64(..keys)));
        });
        let mut buffers = TxnBuffers::default();
        criterion.bench_function(&format!("get, {keys} keys"), |bencher| {
            bencher.iter(|| {
                let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
                black_box(txn.get(key(rng.u64(..keys)).as_bytes()).is_some())
            });
        });
        for (name, warmed) in [("16 gets", false), ("16 gets, warmed together", true)] {
            criterion.bench_function(&format!("{name}, {keys} keys"), |bencher| {
                bencher.iter(|| {
                    let names: [String; 16] = std::array::from_fn(|_| key(rng.u64(..keys)));
                    if warmed {
                        let of = |name: &String| keyspace.fingerprint(0, name.as_bytes());
                        keyspace.warm(0, &names.each_ref().map(of));
                    }
                    for name in &names {
                        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
                        black_box(txn.get(name.as_bytes()).is_some());
                    }
                });
            });
        }
        journal.close().expect("room on the disk");
    }
}

criterion_group!(benches, keyspace);
criterion_main!(benches);
