//! Fixed work: one client's pipelines of sixteen requests through decoder, engine and journal; only the socket is missing.

use std::fmt::Write as _;

use aidb::{DB, Durability, Options, WriteBatch};
use aikv::config::Config;
use aikv::engine::{self, Client, Flow, Peer, Shared, Worker};
use aikv::resp::{Args, Decoder, Limits, Step};
use tempfile::TempDir;

use crate::Result;

/// Keys that are there before, and from which requests choose.
const KEYS: u64 = 10_000;
/// Requests that come together, as from redis-benchmark with `-P 16`.
pub const PIPELINE: usize = 16;
/// Pipelines of a scenario.
const PIPELINES: usize = 1_000;
const VALUE: &str = "xxx";
const SET_GET_SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])";

/// What is counted.
pub const NAMES: [&str; 6] = ["PING", "GET", "SET", "HSET", "EVALSHA (SET, GET)", COMMIT];
/// The journal alone: batches of so many records as a pipeline has requests.
const COMMIT: &str = "commit of 16 records";

/// Requests of one scenario.
pub const REQUESTS: u64 = (PIPELINE * PIPELINES) as u64;

/// A server without sockets, and its one client.
pub struct Server {
    pub shared: &'static Shared,
    pub worker: Worker,
    pub client: Client,
    decoder: Decoder,
    out: Vec<u8>,
    _dir: TempDir,
}

impl Server {
    /// A server with keys, hashes and a script. Returns that script's SHA1, too.
    pub fn start() -> Result<(Self, String)> {
        let dir = tempfile::tempdir()?;
        let mut config = Config::default();
        config.assign("dir", &dir.path().to_string_lossy())?;
        // However busy the machine is, no script is made to wait.
        config.assign("script-slice-us", "1000000")?;
        let shared = engine::open(config, 1, 0)?;
        let peer = Peer {
            address: "127.0.0.1:50000".into(),
            local_address: "127.0.0.1:6379".into(),
            fd: 10,
            unix: false,
            local: true,
        };
        let info = shared.clients.enter(0, peer, 0, shared.acl.stranger());
        let mut server = Self {
            shared,
            worker: Worker::new(shared, 0),
            client: Client::new(info, 0, true),
            decoder: Decoder::new(),
            out: Vec::new(),
            _dir: dir,
        };
        for key in 0..KEYS {
            server.pipeline(&request(&["SET", &key_of(key), VALUE]));
        }
        server.pipeline(&request(&["SCRIPT", "LOAD", SET_GET_SCRIPT]));
        let reply = String::from_utf8(server.out.clone())?;
        let sha = reply.lines().nth(1).ok_or("SCRIPT LOAD told no SHA1")?;
        Ok((server, sha.to_owned()))
    }

    /// Runs what came together, as a connection does, and ends the pass.
    pub fn pipeline(&mut self, bytes: &[u8]) {
        let limits = Limits::default();
        self.out.clear();
        self.worker.begin_pass();
        let (mut at, mut looked_at) = (0, 0);
        while let Ok(Step::Request { consumed }) = self.decoder.next(&bytes[at..], &limits) {
            if at >= looked_at && at + consumed < bytes.len() {
                looked_at = at + self.worker.look_ahead(&self.client, &bytes[at..]);
            }
            let args: Args<'_> = self.decoder.args(&bytes[at..]);
            let flow = self.worker.command(&mut self.client, args, &mut self.out);
            assert_eq!(flow, Flow::Done, "nothing here waits");
            at += consumed;
            if at == bytes.len() {
                break;
            }
        }
        self.worker.end_pass().expect("room on the disk");
    }

    pub fn replies(&self) -> &[u8] {
        &self.out
    }
}

/// The pipelines of a scenario, of keys in a fixed order that is not theirs.
pub fn pipelines(name: &str, sha: &str) -> Result<Vec<Vec<u8>>> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut one = || -> Result<Vec<u8>> {
        let key = key_of(random.u64(..KEYS));
        let field = format!("element:{:012}", random.u64(..KEYS));
        Ok(match name {
            "PING" => request(&["PING"]),
            "GET" => request(&["GET", &key]),
            "SET" => request(&["SET", &key, VALUE]),
            "HSET" => request(&["HSET", "hash", &field, VALUE]),
            "EVALSHA (SET, GET)" => request(&["EVALSHA", sha, "1", &key, VALUE]),
            _ => return Err(format!("there is no scenario {name}").into()),
        })
    };
    let mut pipelines = Vec::with_capacity(PIPELINES);
    for _ in 0..PIPELINES {
        let mut bytes = Vec::new();
        for _ in 0..PIPELINE {
            bytes.extend(one()?);
        }
        pipelines.push(bytes);
    }
    Ok(pipelines)
}

/// Runs one scenario, for callgrind: twice, and only the second time in the functions that it watches.
pub fn run_once(name: &str) -> Result<()> {
    if name == COMMIT {
        return commit();
    }
    let (mut server, sha) = Server::start()?;
    let pipelines = pipelines(name, &sha)?;
    for pipeline in &pipelines {
        server.pipeline(pipeline);
    }
    watched_requests(&mut server, &pipelines);
    let replies = server.replies();
    if replies.is_empty() || replies.starts_with(b"-") {
        return Err(format!("{name} answered {}", String::from_utf8_lossy(replies)).into());
    }
    Ok(())
}

#[inline(never)]
fn watched_requests(server: &mut Server, pipelines: &[Vec<u8>]) {
    for pipeline in pipelines {
        server.pipeline(pipeline);
    }
}

fn commit() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = Options {
        durability: Durability::No,
        journal_max_bytes: 0,
        background: false,
        ..Options::default()
    };
    let (db, _) = DB::open(dir.path(), options, &mut |_| Ok(()))?;
    watched_commits(&db);
    db.close()?;
    Ok(())
}

#[inline(never)]
fn watched_commits(db: &DB) {
    let mut batch = WriteBatch::new();
    for _ in 0..PIPELINES {
        batch.clear();
        for _ in 0..PIPELINE {
            batch.put(b"key:000000000000", VALUE.as_bytes());
        }
        db.append(&batch).expect("room in the buffer");
        db.write_out().expect("room on the disk");
    }
}

fn key_of(number: u64) -> String {
    format!("key:{number:012}")
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}
