//! Scripts of any text, run by the engine itself: whatever they do, the server answers, nothing is locked, a script that
//! failed has changed nothing, the next one finds the world as the first one did, and the machines of Lua stay small.
//!
//! An input is a byte that says how to call (see [`Call`]), a body, and arguments, each behind a byte 0xff.
#![no_main]

#[path = "eval/mutation.rs"]
mod mutation;
#[path = "eval/server.rs"]
mod server;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use server::{Counts, Server};
use std::cell::RefCell;

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        bench.run(Call { how }, rest);
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, size_max: usize, seed: u32| {
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if rng.bool() {
        return fuzzer_mutate(data, size, size_max);
    }
    let mutated = mutation::mutate(&data[..size], &mut rng);
    let len = mutated.len().min(size_max);
    data[..len].copy_from_slice(&mutated[..len]);
    len
});

/// How a body is called: the bits of the first byte.
#[derive(Clone, Copy)]
struct Call {
    how: u8,
}

impl Call {
    fn has(self, bit: u8) -> bool {
        self.how & 1 << bit != 0
    }

    fn is_redis_dialect(self) -> bool {
        self.has(0)
    }

    fn is_counted(self) -> bool {
        self.has(1)
    }

    fn declares_keys(self) -> bool {
        self.has(2)
    }

    fn is_in_exec(self) -> bool {
        self.has(3)
    }

    fn is_read_only(self) -> bool {
        self.has(4)
    }

    /// Another client's script is in the middle of what it does, and has locked a key.
    fn has_neighbour(self) -> bool {
        self.has(6)
    }

    /// The body, with a first line that says what the bits do.
    fn script(self, body: &[u8]) -> Vec<u8> {
        if body.starts_with(b"#!") {
            return body.to_vec();
        }
        let mut script = b"#!lua dialect=".to_vec();
        script.extend_from_slice(if self.is_redis_dialect() {
            b"redis"
        } else {
            b"aikv"
        });
        if self.is_counted() {
            script.extend_from_slice(b" max-instructions=50000");
        }
        script.push(b'\n');
        script.extend_from_slice(body);
        script
    }
}

struct Bench {
    server: Server,
    /// What the keyspace holds before each script.
    keyspace: Vec<Vec<u8>>,
    /// What a script can see before others have run, in each dialect.
    worlds: Vec<Vec<u8>>,
    /// The inputs since that was last looked at.
    recent: Vec<Vec<u8>>,
}

/// What is there before each script.
const FIXTURES: [&[&[u8]]; 6] = [
    &[b"SET", b"k1", b"10"],
    &[b"SET", b"k2", b"text"],
    &[b"RPUSH", b"list", b"1", b"2", b"3"],
    &[b"HSET", b"hash", b"a", b"1", b"b", b"2"],
    &[b"ZADD", b"zset", b"1", b"a", b"2", b"b"],
    &[b"XADD", b"stream", b"1-1", b"a", b"1"],
];
const KEYS: [&[u8]; 3] = [b"k1", b"list", b"absent"];
/// The one function of the libraries among the seeds.
const FUNCTION: &[u8] = b"f";
/// Inputs between two looks at what scripts can see and at the memory, which take longer than most inputs.
const INPUTS_PER_LOOK: usize = 8;
/// Two idle machines, each with what it may keep.
const VM_BYTES_MAX: u64 = 2 * (9 << 20);

impl Bench {
    fn new() -> Self {
        let mut server = Server::start();
        let worlds = worlds(&mut server);
        for fixture in FIXTURES {
            server.request(fixture);
        }
        let keyspace = server.keyspace();
        Self {
            server,
            keyspace,
            worlds,
            recent: Vec::new(),
        }
    }

    fn run(&mut self, call: Call, rest: &[u8]) {
        let mut parts = rest.split(|byte| *byte == 0xff);
        let body = parts.next().unwrap_or_default();
        let arguments: Vec<&[u8]> = parts.collect();
        self.server.set_protocol(call.has(5));
        self.recent.push([&[call.how], rest].concat());
        let before = self.server.counts();
        self.server.be_impatient(true);
        if call.has_neighbour() {
            self.server.begin_neighbour();
        }
        if body.starts_with(b"#!lua name=") {
            self.server
                .request(&[b"FUNCTION", b"LOAD", b"REPLACE", body]);
            let name: &[u8] = if call.is_read_only() {
                b"FCALL_RO"
            } else {
                b"FCALL"
            };
            self.call(call, name, FUNCTION, &arguments);
            self.server.request(&[b"FUNCTION", b"FLUSH"]);
        } else {
            let script = call.script(body);
            let name: &[u8] = if call.is_read_only() {
                b"EVAL_RO"
            } else {
                b"EVAL"
            };
            self.call(call, name, &script, &arguments);
        }
        self.server.end_neighbour();
        self.server.be_impatient(false);
        let after = self.server.counts();
        self.check(before, after);
    }

    fn call(&mut self, call: Call, name: &[u8], what: &[u8], arguments: &[&[u8]]) {
        let keys: &[&[u8]] = if call.declares_keys() { &KEYS } else { &[] };
        let count = keys.len().to_string();
        let mut request = vec![name, what, count.as_bytes()];
        request.extend_from_slice(keys);
        request.extend_from_slice(arguments);
        if call.is_in_exec() {
            self.server.request(&[b"MULTI"]);
            self.server.request(&request);
            self.server.request(&[b"EXEC"]);
        } else {
            self.server.request(&request);
        }
    }

    fn check(&mut self, before: Counts, after: Counts) {
        let server = &mut self.server;
        assert_eq!(server.request(&[b"PING"]), b"+PONG\r\n");
        server.assert_nothing_is_held();
        let keyspace = server.keyspace();
        if keyspace != self.keyspace {
            let was_undone = after.undone - before.undone == after.run - before.run;
            assert!(!was_undone, "a script that failed has changed something");
            server.request(&[b"FLUSHALL"]);
            for fixture in FIXTURES {
                server.request(fixture);
            }
            assert_eq!(server.keyspace(), self.keyspace);
        }
        if self.recent.len() >= INPUTS_PER_LOOK {
            for (now, before) in worlds(server).iter().zip(&self.worlds) {
                let left = difference(before, now);
                assert!(left.is_empty(), "{left:?} of {}", shown(&self.recent));
            }
            let bytes = server.vm_bytes();
            assert!(
                bytes < VM_BYTES_MAX,
                "{bytes} bytes after {}",
                shown(&self.recent)
            );
            self.recent.clear();
        }
    }
}

/// What scripts can see: all that is in the globals, and how a few things behave that could be changed elsewhere.
fn worlds(server: &mut Server) -> Vec<Vec<u8>> {
    const PROBE: &str = include_str!("eval/probe.lua");
    let dialects = ["aikv", "redis"].into_iter();
    let worlds = dialects.map(|dialect| {
        let script = format!("#!lua dialect={dialect}\n{PROBE}");
        let world = server.request(&[b"EVAL", script.as_bytes(), b"1", b"absent", b"argument"]);
        assert!(
            world.starts_with(b"$"),
            "{}",
            String::from_utf8_lossy(&world)
        );
        world
    });
    worlds.collect()
}

fn shown(inputs: &[Vec<u8>]) -> String {
    let inputs = inputs.iter().map(|input| input.escape_ascii().to_string());
    inputs.collect::<Vec<_>>().join("\n")
}

/// The lines of two texts that are not in both.
fn difference(before: &[u8], now: &[u8]) -> Vec<String> {
    let [before, now] = [before, now].map(|text| String::from_utf8_lossy(text).into_owned());
    let gone = before
        .lines()
        .filter(|line| !now.lines().any(|other| other == *line));
    let new = now
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line));
    gone.chain(new).map(str::to_owned).collect()
}
