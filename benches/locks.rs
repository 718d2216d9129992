//! What the locks cost when nobody is in the way.

use std::hint::black_box;

use aikv::locks::{
    Acquire, Footprint, Gate, GateAcquire, KeyLockManager, LockHost, Mode, WaiterId, Wake,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use parking_lot::Mutex;

const STRIPES: u64 = 1024;
const WAITER: WaiterId = WaiterId { shard: 0, token: 0 };
/// Spreads small numbers over all bits, as the keyspace's hash does with keys.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Counts under a mutex for each stripe, as the keyspace keeps them.
struct Stripes(Vec<Mutex<u64>>);

impl Wake for Stripes {
    fn wake(&self, _: WaiterId) {}
}

impl LockHost for Stripes {
    fn raise(&self, fingerprint: u64) {
        *self.0[(fingerprint % STRIPES) as usize].lock() += 1;
    }

    fn lower(&self, fingerprint: u64) {
        *self.0[(fingerprint % STRIPES) as usize].lock() -= 1;
    }
}

fn stripes() -> Stripes {
    Stripes((0..STRIPES).map(|_| Mutex::new(0)).collect())
}

fn key_locks(criterion: &mut Criterion) {
    let locks = KeyLockManager::new(stripes());
    for keys in [1_u64, 2, 10] {
        let mut next = 0_u64;
        criterion.bench_function(&format!("acquire and release {keys} keys"), |bencher| {
            bencher.iter_batched(
                || {
                    next += keys;
                    (next..next + keys)
                        .map(|key| (key.wrapping_mul(SPREAD), Mode::Exclusive))
                        .collect::<Footprint>()
                },
                |footprint| {
                    let Acquire::Granted(held) = locks.acquire(footprint, WAITER) else {
                        unreachable!("nobody else is there");
                    };
                    locks.release(black_box(held));
                },
                BatchSize::SmallInput,
            );
        });
    }
    criterion.bench_function("is_conflicting", |bencher| {
        bencher.iter(|| locks.is_conflicting(black_box(SPREAD), Mode::Exclusive));
    });
}

fn gate(criterion: &mut Criterion) {
    let gate = Gate::new(1, stripes());
    criterion.bench_function("gate enter and leave", |bencher| {
        bencher.iter(|| {
            black_box(gate.enter(black_box(0)));
            gate.leave(black_box(0));
        });
    });
    criterion.bench_function("gate enter again", |bencher| {
        assert!(gate.enter(0));
        bencher.iter(|| gate.enter(black_box(0)));
        gate.leave(0);
    });
    for shards in [1, 16] {
        let gate = Gate::new(shards, stripes());
        criterion.bench_function(&format!("gate exclusive, {shards} shards"), |bencher| {
            bencher.iter(|| {
                let GateAcquire::Granted(hold) = gate.acquire_exclusive(black_box(WAITER)) else {
                    unreachable!("nobody else is there");
                };
                gate.release(hold);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = key_locks, gate
}
criterion_main!(benches);
