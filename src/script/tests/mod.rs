//! Scripts against a toy host. The texts and values of dialect `redis` are those that redis-server 7.0.15 gave.

mod budget;
mod coroutines;
mod extensions;
mod functions;
mod library;
mod limits;
mod replies;
mod sandbox;
mod savepoints;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{
    AbortReason, Called, Dialect, Host, LogLevel, PoolOptions, RedisVersion, ReplyTokens, Script,
    ScriptRun, Step, VmPool, Watchdog,
};
use crate::resp::{Protocol, Recorder, Reply, Value};

const SLICE: Duration = Duration::from_millis(1);
const MEMORY_LIMIT: usize = 16 << 20;

static WATCHDOG: LazyLock<Watchdog> = LazyLock::new(|| Watchdog::start(SLICE).unwrap());

fn pool() -> VmPool {
    let options = PoolOptions {
        version: RedisVersion {
            text: "7.2.0",
            number: 0x0007_0200,
        },
        memory_limit: MEMORY_LIMIT,
        source_limit: 256 << 10,
        vms_max: 4,
    };
    VmPool::new(options, &WATCHDOG)
}

/// Strings in a map, and commands that answer, wait, restart, abort or panic at will.
#[derive(Default)]
struct Toy {
    strings: HashMap<Vec<u8>, Vec<u8>>,
    calls: Vec<Vec<Vec<u8>>>,
    logged: Vec<(LogLevel, Vec<u8>)>,
    waits: usize,
    /// The strings at each savepoint.
    saved: Vec<HashMap<Vec<u8>, Vec<u8>>>,
    /// Slices that end where Lua cannot suspend the script until the host ends it; 0: it never does.
    patience: usize,
}

impl Host for Toy {
    fn call(&mut self, args: &[&[u8]], reply: &mut ReplyTokens) -> Called {
        self.calls
            .push(args.iter().map(|arg| arg.to_vec()).collect());
        match args {
            [b"SET", key, value] => {
                self.strings.insert(key.to_vec(), value.to_vec());
                reply.ok();
            }
            [b"GET", key] => match self.strings.get(*key) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            },
            [b"ECHO", rest @ ..] => {
                reply.array(rest.len());
                for arg in rest {
                    reply.bulk(arg);
                }
            }
            [b"INT", text] => reply.integer(std::str::from_utf8(text).unwrap().parse().unwrap()),
            [b"MAP"] => {
                reply.map(1);
                reply.bulk(b"a");
                reply.integer(1);
            }
            [b"SETOF"] => {
                reply.set(1);
                reply.bulk(b"a");
            }
            [b"DOUBLE"] => reply.double(3.5),
            [b"BOOL"] => reply.boolean(true),
            [b"BIG"] => reply.big_number("123"),
            [b"VERB"] => reply.verbatim("txt", b"abc"),
            [b"NULLARRAY"] => reply.null_array(),
            [b"WRONG"] => {
                reply.error("WRONGTYPE Operation against a key holding the wrong kind of value");
            }
            [b"WAIT"] if self.waits > 0 => {
                self.waits -= 1;
                reply.integer(99);
                return Called::WaitForLock;
            }
            [b"WAIT"] => reply.integer(7),
            [b"RESTART"] => return Called::Restart,
            [b"ABORT"] => return Called::Abort(AbortReason::Host("ERR gone".into())),
            [b"PANIC"] => panic!("a handler's bug"),
            _ => reply.error("ERR Unknown Redis command called from script"),
        }
        Called::Done
    }

    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool> {
        (args[0] != b"NOSUCH").then_some(args[0] != b"FORBIDDEN")
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.logged.push((level, message.to_vec()));
    }

    fn savepoint(&mut self) -> Option<u64> {
        assert!(!self.strings.contains_key(&b"panic"[..]), "on purpose");
        (self.saved.len() < 10).then(|| {
            self.saved.push(self.strings.clone());
            self.saved.len() as u64
        })
    }

    fn rollback_to(&mut self, savepoint: u64) -> bool {
        let savepoint = savepoint as usize;
        if savepoint > self.saved.len() {
            return false;
        }
        self.saved.truncate(savepoint);
        self.strings = self.saved[savepoint - 1].clone();
        true
    }

    fn overdue(&mut self) -> Option<AbortReason> {
        if self.patience == 0 {
            return None;
        }
        self.patience -= 1;
        (self.patience == 0).then(|| AbortReason::Host("ERR overdue".into()))
    }
}

/// A script with the world around it.
struct Bench {
    pool: VmPool,
    host: Toy,
    dialect: Dialect,
}

impl Bench {
    fn new(dialect: Dialect) -> Self {
        Self {
            pool: pool(),
            host: Toy::default(),
            dialect,
        }
    }

    fn start(&self, body: &str, keys: &[&[u8]], argv: &[&[u8]]) -> ScriptRun {
        let script = Arc::new(Script::new(body.as_bytes()).unwrap());
        let vm = self.pool.take(self.dialect).unwrap();
        ScriptRun::start(vm, script, keys, argv, 1).unwrap()
    }

    fn run_with(&mut self, body: &str, keys: &[&[u8]], argv: &[&[u8]]) -> Result<Value, Step> {
        let mut run = self.start(body, keys, argv);
        let mut out = Recorder::new(Protocol::Resp3);
        loop {
            match run.resume(&mut self.host, &mut out) {
                Step::Done | Step::RolledBack => return Ok(out.into_value()),
                Step::Preempted | Step::WaitForLock => {}
                step => {
                    assert!(out.into_values().is_empty(), "{body}: reply and failure");
                    return Err(step);
                }
            }
        }
    }

    fn run(&mut self, body: &str) -> Result<Value, Step> {
        self.run_with(body, &[], &[])
    }

    fn value(&mut self, body: &str) -> Value {
        self.run(body)
            .unwrap_or_else(|step| panic!("{body}: {step:?}"))
    }

    /// What the script returns, and how often it was suspended before.
    fn value_in_slices(&mut self, body: &str) -> (Value, usize) {
        let mut run = self.start(body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp2);
        let mut slices = 0;
        let step = loop {
            match run.resume(&mut self.host, &mut out) {
                Step::Preempted => slices += 1,
                step => break step,
            }
        };
        assert_eq!(step, Step::Done, "{body}");
        (out.into_value(), slices)
    }

    /// The error line, with the part that depends on the script's SHA1 cut to its position.
    fn error(&mut self, body: &str) -> String {
        match self.run(body) {
            Err(Step::Failed(error)) => {
                let text = String::from_utf8(error.message).unwrap();
                match text.split_once(" script: ") {
                    Some((text, rest)) => {
                        let (_, position) = rest.split_once(", on ").unwrap();
                        format!("{text} [{position}]")
                    }
                    None => text,
                }
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn int(value: i64) -> Value {
    Value::Integer(value)
}

fn bulk(text: &str) -> Value {
    Value::bulk(text)
}
