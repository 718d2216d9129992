//! Runs commands against a keyspace of their own, without a server: for tests of handlers.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::families;
use super::spec::Command;
use super::waiting::Waiting;
use crate::base::clock;
use crate::keyspace::{Effect, Keyspace, Notify, ScanFilter, Txn, TxnBuffers};
use crate::resp::{Args, Protocol, Reply, RespWriter};
use crate::value::{Limits, Value, rdb};
use std::collections::BTreeMap;

const DATABASES: usize = 16;
const STRING_LEN_MAX: usize = 512 << 20;

/// A keyspace, and a mirror of it that is made of the records of its commits alone.
pub struct Harness {
    keyspace: Keyspace,
    mirror: Keyspace,
    pub protocol: Protocol,
    /// The selected logical database.
    pub db: usize,
    buffers: TxnBuffers,
    rng: fastrand::Rng,
    /// The keyspace events of the last request: the name of the channel, and the event.
    pub events: Vec<(String, String)>,
}

impl Harness {
    pub fn new() -> Self {
        let mut buffers = TxnBuffers::default();
        buffers.effects().set_notify_classes(Notify::all());
        Self {
            keyspace: Keyspace::new(DATABASES),
            mirror: Keyspace::new(DATABASES),
            protocol: Protocol::Resp2,
            db: 0,
            buffers,
            rng: fastrand::Rng::with_seed(1),
            events: Vec::new(),
        }
    }

    /// Sets the sizes at which values change their form.
    pub fn set_limits(&mut self, limits: Limits) {
        self.buffers.limits = limits;
    }

    /// Admits and runs a request; its changes stay. Returns the reply's bytes.
    pub fn run<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        self.run_at(args, clock::unix_ms())
    }

    /// Runs a request at a time of its own.
    pub fn run_at<A: AsRef<[u8]>>(&mut self, args: &[A], now_ms: i64) -> Vec<u8> {
        self.run_or_roll_back(args, now_ms, false)
    }

    /// Runs a request and takes it back; nothing may be left of it.
    pub fn run_and_roll_back<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let now_ms = clock::unix_ms();
        let before = snapshot(&self.keyspace, now_ms);
        self.run_or_roll_back(args, now_ms, true);
        let after = snapshot(&self.keyspace, now_ms);
        assert!(before == after, "{before:?}\nbecame\n{after:?}");
        let (before, after) = (layouts(&before), layouts(&after));
        assert!(before == after, "{before:?}\nbecame\n{after:?}");
    }

    /// Checks that a recovery would find what is here.
    pub fn check_mirror(&self) {
        self.check_mirror_at(clock::unix_ms());
    }

    pub fn check_mirror_at(&self, now_ms: i64) {
        let here = snapshot(&self.keyspace, now_ms);
        let there = snapshot(&self.mirror, now_ms);
        assert!(here == there, "{here:?}\nwould be read back as\n{there:?}");
    }

    /// Runs words that are separated by blanks.
    pub fn line(&mut self, line: &str) -> String {
        self.line_at(line, clock::unix_ms())
    }

    pub fn line_at(&mut self, line: &str, now_ms: i64) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        String::from_utf8_lossy(&self.run_at(&args, now_ms)).into_owned()
    }

    fn run_or_roll_back<A: AsRef<[u8]>>(
        &mut self,
        args: &[A],
        now_ms: i64,
        roll_back: bool,
    ) -> Vec<u8> {
        let slices: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        let args = Args::from_slices(&slices);
        let mut out = Vec::new();
        let result = admit(args).and_then(|handler| {
            let db = self.keyspace.physical(self.db);
            let mut ctx = Ctx {
                txn: Txn::new(&self.keyspace, &mut self.buffers, db, now_ms),
                args,
                reply: &mut RespWriter::new(&mut out, self.protocol),
                string_len_max: STRING_LEN_MAX,
                rng: &mut self.rng,
                waiting: Waiting::allowed(),
            };
            let result = handler(&mut ctx);
            if ctx.waiting.take_wish().is_some() {
                // No time passes here: what would wait has waited.
                ctx.reply.null_array();
            }
            assert_eq!(ctx.txn.db(), db, "a handler comes back to its database");
            if roll_back || result.is_err() {
                ctx.txn.rollback();
                assert!(
                    ctx.txn.effects_mut().is_empty(),
                    "nothing is told of what is taken back"
                );
            } else {
                ctx.txn.commit_to_mirror(&self.mirror);
            }
            result
        });
        let effects = self.buffers.effects();
        self.events = effects.iter().filter_map(event).collect();
        effects.clear();
        if let Err(error) = result {
            assert!(out.is_empty(), "a handler that fails has not answered");
            RespWriter::new(&mut out, self.protocol).error(&error.line());
        }
        out
    }
}

/// A keyspace event as Redis publishes it.
fn event(effect: Effect<'_>) -> Option<(String, String)> {
    match effect {
        Effect::Event { db, name, key } => {
            let channel = format!("__keyspace@{db}__:{}", key.escape_ascii());
            Some((channel, name.to_owned()))
        }
        _ => None,
    }
}

/// Everything that lasts: of each logical database, the keys with their values and expiries.
type Snapshot = BTreeMap<(usize, Vec<u8>), Kept>;

#[derive(Debug, PartialEq)]
struct Kept {
    value: Value,
    expiry: Option<i64>,
}

/// How each value is laid out, which a rollback brings back and a recovery need not.
type Layouts = Vec<(&'static str, Vec<u8>)>;

fn layouts(snapshot: &Snapshot) -> Layouts {
    let values = snapshot.values().map(|kept| &kept.value);
    values
        .map(|value| (value.encoding(), rdb::dump(value)))
        .collect()
}

fn snapshot(keyspace: &Keyspace, now_ms: i64) -> Snapshot {
    let mut all = Snapshot::new();
    let mut buffers = TxnBuffers::default();
    for db in 0..keyspace.databases() {
        let physical = keyspace.physical(db);
        let mut keys = Vec::new();
        let mut met = Vec::new();
        keyspace.keys(physical, now_ms, ScanFilter::default(), &mut met, |key| {
            keys.push(key.to_vec());
        });
        let mut txn = Txn::new(keyspace, &mut buffers, physical, now_ms);
        for key in keys {
            let expiry = txn.expiry(&key).flatten();
            let Some(value) = txn.peek(&key) else {
                panic!("the walk saw the key a moment ago");
            };
            let value = value.clone();
            let kept = Kept { value, expiry };
            all.insert((db, key), kept);
        }
    }
    all
}

/// The handler of a request that names a command and has as many arguments as it takes.
fn admit(args: Args<'_>) -> Result<Handler, Error> {
    let named = |command: &&Command<Handler>, name: &str| command.spec.name == name;
    let name = String::from_utf8_lossy(&args[0]).to_lowercase();
    let command = families().find(|command| named(command, &name));
    let mut command = command.ok_or(Error::text("ERR unknown command"))?;
    if command.spec.container && args.len() > 1 {
        let sub = String::from_utf8_lossy(&args[1]).into_owned();
        let full = format!("{name}|{}", sub.to_lowercase());
        let mut subcommands = command.subcommands.iter();
        let found = subcommands.find(|command| named(command, &full));
        command = found.ok_or_else(|| Error::UnknownSubcommand {
            sub: sub.into(),
            command: name.to_uppercase().into(),
        })?;
    }
    match command.run {
        Some(handler) if command.spec.arity_fits(args.len()) => Ok(handler),
        _ => Err(Error::WrongArity(command.spec.name.into())),
    }
}
