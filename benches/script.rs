//! What a script costs in this layer: a host that does next to nothing, a VM that is warm.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aikv::resp::{Protocol, Reply, RespWriter};
use aikv::script::{
    AbortReason, Called, Callee, Dialect, Host, Library, LibraryHeader, LibrarySet, LogLevel,
    PoolOptions, RedisVersion, ReplyTokens, Script, ScriptCache, ScriptRun, Sha, Step, VmPool,
    Watchdog,
};
use criterion::{Criterion, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One key.
#[derive(Default)]
struct OneKey {
    value: Vec<u8>,
}

impl Host for OneKey {
    fn call(&mut self, args: &[&[u8]], reply: &mut ReplyTokens) -> Called {
        match args {
            [b"SET", _, value] => {
                self.value.clear();
                self.value.extend_from_slice(value);
                reply.ok();
            }
            _ => reply.bulk(&self.value),
        }
        Called::Done
    }

    fn may_call(&mut self, _args: &[&[u8]]) -> Option<bool> {
        Some(true)
    }

    fn log(&mut self, _level: LogLevel, _message: &[u8]) {}

    fn savepoint(&mut self) -> Option<u64> {
        None
    }

    fn rollback_to(&mut self, _savepoint: u64) -> bool {
        false
    }

    fn overdue(&mut self) -> Option<AbortReason> {
        None
    }
}

/// Measures one call with a key and an argument.
fn run(criterion: &mut Criterion, name: &str, pool: &VmPool, callee: &Callee) {
    let mut host = OneKey::default();
    let mut buffer = Vec::new();
    criterion.bench_function(&format!("run/{name}"), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let vm = pool.take(Dialect::Aikv).expect("one is free");
            let keys: [&[u8]; 1] = [b"key:000000012345"];
            let argv: [&[u8]; 1] = [b"a value of thirty-two bytes, xyz"];
            let mut run = ScriptRun::start(vm, callee.clone(), &keys, &argv, 7).expect("compiles");
            let mut out = RespWriter::new(&mut buffer, Protocol::Resp2);
            while run.resume(&mut host, &mut out) != Step::Done {}
        });
        black_box(&buffer);
    });
}

fn runs(criterion: &mut Criterion) {
    let watchdog = Watchdog::start(Duration::from_millis(1)).expect("a thread");
    let options = PoolOptions {
        version: RedisVersion {
            text: "7.2.0",
            number: 0x0007_0200,
        },
        memory_limit: 64 << 20,
        source_limit: 256 << 10,
        vms_max: 64,
    };
    let pool = VmPool::new(options, &watchdog);
    let scripts = [
        ("empty", "return 1"),
        (
            "set_get",
            "redis.call('SET',KEYS[1],ARGV[1]); return redis.call('GET',KEYS[1])",
        ),
        (
            "ten_calls",
            "for i = 1, 10 do redis.call('SET',KEYS[1],ARGV[1]) end",
        ),
    ];
    for (name, body) in scripts {
        let script = Arc::new(Script::new(body.as_bytes()).expect("no header"));
        run(criterion, name, &pool, &Callee::from(script));
    }
    for (name, others) in [("function", 0), ("function_of_twenty", 19)] {
        let library = library(&pool, others);
        let callee = library.callee(b"f").expect("it was registered").clone();
        run(criterion, name, &pool, &callee);
    }
    criterion.bench_function("vm/new_and_drop", |bencher| {
        bencher.iter(|| {
            let pool = VmPool::new(options, &watchdog);
            black_box(pool.take(Dialect::Aikv));
        });
    });
}

/// A library with the function `f`, which does what the script `set_get` does, and with others.
fn library(pool: &VmPool, others: usize) -> LibrarySet {
    let mut code = String::from(
        "#!lua name=lib
        local function set_get(keys, args) redis.call('SET', keys[1], args[1]); return redis.call('GET', keys[1]) end
        redis.register_function('f', set_get)\n",
    );
    for other in 0..others {
        let _ = writeln!(
            code,
            "redis.register_function('g{other}', function(keys, args) return set_get(keys, args) end)"
        );
    }
    let header = LibraryHeader::parse(code.as_bytes()).expect("a name");
    let mut library = Library::new(header, code.as_bytes(), Vec::new());
    let mut run = library
        .start(pool.take(Dialect::Aikv).expect("one is free"))
        .expect("compiles");
    let mut out = Vec::new();
    let step = run.resume(
        &mut OneKey::default(),
        &mut RespWriter::new(&mut out, Protocol::Resp2),
    );
    assert_eq!(step, Step::Done);
    library.set_functions(run.registered());
    let mut set = LibrarySet::default();
    set.add(Arc::new(library)).expect("no other is there");
    set
}

fn cache(criterion: &mut Criterion) {
    let cache = ScriptCache::default();
    let body = b"redis.call('SET',KEYS[1],ARGV[1]); return redis.call('GET',KEYS[1])";
    let hex = cache.for_eval(body, 1).expect("no header").sha.to_hex();
    criterion.bench_function("cache/eval_known_body", |bencher| {
        bencher.iter(|| cache.for_eval(black_box(body), 1));
    });
    criterion.bench_function("cache/evalsha", |bencher| {
        bencher.iter(|| Sha::from_hex(black_box(&hex)).and_then(|sha| cache.get(&sha)));
    });
    criterion.bench_function("cache/sha1_of_body", |bencher| {
        bencher.iter(|| Sha::of(black_box(body)));
    });
}

criterion_group!(benches, runs, cache);
criterion_main!(benches);
