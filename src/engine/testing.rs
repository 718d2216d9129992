//! A server without sockets, for the tests of this layer: shared state over a directory of its own, workers, clients.

use super::acl::{self, Acl};
use super::blocked::Waiters;
use super::client::{Client, Peer};
use super::registry::Registry;
use super::{Clients, Flow, Host, Message, Outputs, Shared, Worker};
use crate::base::clock;
use crate::base::mailbox::Mailbox;
use crate::command::{Command, Flags, Group, Handler, KeyFlags, KeySpec, Spec};
use crate::config::Config;
use crate::keyspace::{Expiry, Keyspace, Loader, record_group};
use crate::locks::{Gate, KeyLockManager};
use crate::observe::Observer;
use crate::resp::Args;
use crate::script::{Libraries, ScriptCache, Watchdog};
use crate::value::{Limits, Str, Value};
use aidb::{DB, Options};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tempfile::TempDir;

/// Writes to its key, then panics.
static PANICS: Command<Handler> = Command::new(
    Spec::new("panics", 2, Group::Generic, Flags::WRITE)
        .keys(&[KeySpec::one(1, KeyFlags::OVERWRITE)]),
    |ctx| {
        let value = Value::Str(Str::new(b"from a command that panics"));
        ctx.txn.put(ctx.arg(1), value, Expiry::Never);
        panic!("on purpose");
    },
);

/// The time slice of a script.
const SLICE: Duration = Duration::from_millis(1);

/// A server of some shards, all driven by the test's thread.
pub struct Server {
    pub shared: &'static Shared,
    pub workers: Vec<Worker>,
    next_conn: u64,
    _dir: TempDir,
}

impl Server {
    pub fn start(shards: u32, options: &[(&str, &str)]) -> Self {
        Self::start_on(Options::default(), shards, options)
    }

    /// A server of one shard with a configuration that was read from a file.
    pub fn start_with(config: Config) -> Self {
        Self::start_configured(Options::default(), 1, config)
    }

    /// A server whose store is opened with these options: on a file system that breaks, for example.
    pub fn start_on(store: Options, shards: u32, options: &[(&str, &str)]) -> Self {
        let mut config = Config::default();
        for (name, value) in options {
            config.assign(name, value).expect("an option of the table");
        }
        Self::start_configured(store, shards, config)
    }

    fn start_configured(store: Options, shards: u32, config: Config) -> Self {
        let dir = TempDir::new().expect("a directory for the journal");
        let shared: &'static Shared =
            Box::leak(Box::new(shared(shards, config, store, dir.path())));
        acl::listen_to_password(shared);
        Self {
            shared,
            workers: (0..shards)
                .map(|shard| Worker::new(shared, shard))
                .collect(),
            next_conn: 0,
            _dir: dir,
        }
    }

    /// A new client of a shard.
    pub fn connect(&mut self, shard: u32) -> Client {
        self.next_conn += 1;
        let peer = Peer {
            address: format!("127.0.0.1:{}", 50_000 + self.next_conn),
            local_address: "127.0.0.1:6379".into(),
            fd: 10 + self.next_conn as i32,
            unix: false,
            local: true,
        };
        let acl = &self.shared.acl;
        let user = acl.stranger();
        let info = self
            .shared
            .clients
            .enter(shard, peer, clock::unix_ms(), user);
        Client::new(info, self.next_conn, acl.is_open())
    }

    /// Runs one request in a pass of its own.
    pub fn run(&mut self, client: &mut Client, request: &[&[u8]]) -> (Flow, String) {
        let worker = &mut self.workers[client.info.shard as usize];
        let mut out = Vec::new();
        worker.begin_pass();
        let flow = worker.command(client, Args::from_slices(request), &mut out);
        worker.broadcast();
        worker.end_pass().expect("a healthy journal");
        (flow, String::from_utf8_lossy(&out).into_owned())
    }

    /// Runs one request, slice after slice, until it answers.
    pub fn run_to_end(&mut self, client: &mut Client, request: &[&[u8]]) -> String {
        let (mut flow, mut reply) = self.run(client, request);
        while flow == Flow::Parked {
            let worker = &mut self.workers[client.info.shard as usize];
            let mut out = Vec::new();
            worker.begin_pass();
            for token in worker.take_runnable() {
                flow = worker.resume(token, client, &mut out);
            }
            worker.end_pass().expect("a healthy journal");
            reply.push_str(&String::from_utf8_lossy(&out));
        }
        reply
    }

    /// The reply to a line of words parted by blanks.
    pub fn reply(&mut self, client: &mut Client, line: &str) -> String {
        self.run(client, &words(line)).1
    }

    /// Resumes what is due for a client.
    pub fn resume_due(&mut self, client: &mut Client) -> Option<String> {
        let worker = &mut self.workers[client.info.shard as usize];
        worker.tick();
        let due = worker.due();
        let token = due
            .into_iter()
            .find(|token| client.parked == Some(*token))?;
        let mut out = Vec::new();
        let flow = worker.resume(token, client, &mut out);
        assert_ne!(flow, Flow::Parked, "what is due answers");
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// The next message to a shard.
    pub fn message(&self, shard: usize) -> Option<Message> {
        self.shared.host.mailboxes[shard].pop()
    }
}

/// Clients in conversation with a server of some shards, one after the other on each shard.
pub struct Party {
    pub server: Server,
    clients: Vec<Seat>,
}

struct Seat {
    client: Client,
    heard: Vec<u8>,
    /// The server has closed the connection.
    gone: bool,
}

impl Party {
    /// Three clients whose ids begin with `first_id`.
    pub fn of(shards: u32, first_id: u64) -> Self {
        const CLIENTS: u32 = 3;
        let mut server = Server::start(shards, &[("lua-dialect", "redis")]);
        let mut clients = Vec::new();
        while clients.len() < CLIENTS as usize {
            let client = server.connect(clients.len() as u32 % shards);
            if client.id() < first_id {
                server.shared.clients.leave(client.id());
                continue;
            }
            clients.push(Seat {
                client,
                heard: Vec::new(),
                gone: false,
            });
        }
        Self { server, clients }
    }

    /// One client's request, and what all shards do because of it.
    pub fn run(&mut self, who: usize, request: &[&[u8]]) -> Flow {
        let Self { server, clients } = self;
        let Seat {
            client,
            heard,
            gone,
        } = &mut clients[who];
        if *gone {
            return Flow::Close;
        }
        let shard = client.info.shard as usize;
        let worker = &mut server.workers[shard];
        worker.begin_pass();
        let flow = worker.command(client, Args::from_slices(request), heard);
        if flow == Flow::Close {
            self.close(who);
        }
        self.settle(shard);
        flow
    }

    /// Ends the pass of a shard, and lets all shards read their mail.
    pub fn settle(&mut self, shard: usize) {
        let worker = &mut self.server.workers[shard];
        worker.broadcast();
        worker.deliver_waiting(&mut Seats(&mut self.clients));
        worker.end_pass().expect("a healthy journal");
        while let Some((shard, message)) = self.next_message() {
            match message {
                Message::Deliver(delivery) => {
                    let worker = &mut self.server.workers[shard];
                    worker.deliver(&delivery, &mut Seats(&mut self.clients));
                }
                Message::Kill { client } => {
                    let who = self.clients.iter().position(|c| c.client.id() == client);
                    self.close(who.expect("a client of this party"));
                }
                Message::Wake(token) => self.resume(shard, token),
                Message::AclChanged => {
                    let worker = &mut self.server.workers[shard];
                    worker.revoke_subscriptions(&mut Seats(&mut self.clients));
                    for (token, conn) in worker.waiting_for_data() {
                        let seat = self.clients.iter_mut().find(|c| c.client.conn == conn);
                        let Seat { client, heard, .. } = seat.expect("a client of this party");
                        worker.revoke_wait(token, client, heard);
                    }
                }
                Message::Configured => {
                    self.server.workers[shard].follow_settings();
                }
                _ => {}
            }
        }
    }

    /// Lets a client's script run to its end.
    pub fn finish(&mut self, who: usize) {
        while self.clients[who].client.parked.is_some() {
            let shard = self.clients[who].client.info.shard as usize;
            for token in self.server.workers[shard].take_runnable() {
                self.resume(shard, token);
            }
            self.settle(shard);
        }
    }

    /// The same, where what the client waits for may be something else.
    pub fn finish_scripts(&mut self, who: usize) {
        let shard = self.clients[who].client.info.shard as usize;
        while self.server.workers[shard].has_runnable() {
            for token in self.server.workers[shard].take_runnable() {
                self.resume(shard, token);
            }
            self.settle(shard);
        }
    }

    fn resume(&mut self, shard: usize, token: u64) {
        let worker = &mut self.server.workers[shard];
        worker.begin_pass();
        let Some(conn) = worker.conn_of(token) else {
            return;
        };
        let seat = self.clients.iter_mut().find(|c| c.client.conn == conn);
        let Seat { client, heard, .. } = seat.expect("a client of this party");
        worker.resume(token, client, heard);
        worker.deliver_waiting(&mut Seats(&mut self.clients));
    }

    fn next_message(&self) -> Option<(usize, Message)> {
        let mut shards = 0..self.server.workers.len();
        shards.find_map(|shard| Some((shard, self.server.message(shard)?)))
    }

    /// A client's connection ends.
    pub fn close(&mut self, who: usize) {
        let seat = &mut self.clients[who];
        seat.gone = true;
        let shard = seat.client.info.shard as usize;
        assert!(self.server.workers[shard].abandon(&mut seat.client));
    }

    /// What a client has read since it was last asked.
    pub fn hear(&mut self, who: usize) -> Vec<u8> {
        std::mem::take(&mut self.clients[who].heard)
    }
}

struct Seats<'a>(&'a mut Vec<Seat>);

impl Outputs for Seats<'_> {
    fn with(&mut self, conn: u64, write: &mut dyn FnMut(&mut Client, &mut Vec<u8>)) {
        let seat = self.0.iter_mut().find(|seat| seat.client.conn == conn);
        if let Some(seat) = seat.filter(|seat| !seat.gone) {
            write(&mut seat.client, &mut seat.heard);
        }
    }
}

pub fn words(line: &str) -> Vec<&[u8]> {
    line.split_ascii_whitespace().map(str::as_bytes).collect()
}

fn shared(shards: u32, config: Config, store: Options, dir: &Path) -> Shared {
    let databases = config.settings().size(crate::config::Opt::Databases);
    let keyspace: &'static Keyspace = Box::leak(Box::new(Keyspace::new(databases)));
    let mut loader = Loader::new(keyspace, Limits::default());
    let store = Options {
        group: record_group,
        ..store
    };
    let (journal, _) = DB::open(dir, store, &mut |op| {
        loader.apply(op).map_err(|error| error.to_string())
    })
    .expect("an empty journal opens");
    loader.finish(clock::unix_ms()).expect("nothing was loaded");
    let mailbox = || Arc::new(Mailbox::new().expect("an eventfd"));
    let host = Arc::new(Host {
        keyspace,
        mailboxes: (0..shards).map(|_| mailbox()).collect(),
    });
    let mut registry = Registry::new();
    for (name, new) in config.renames() {
        registry.rename(name, new).expect("a command");
    }
    registry.add(&PANICS);
    for command in super::blocked::tests::COMMANDS {
        registry.add(command);
    }
    let commands = registry.specs().len();
    let acl = Acl::open(&registry, &config).expect("rules of users");
    Shared {
        keyspace,
        journal,
        locks: KeyLockManager::new(host.clone()),
        gate: Gate::new(shards as usize, host.clone()),
        waiters: Waiters::new(keyspace),
        host,
        config,
        registry,
        acl,
        observer: Observer::new(shards as usize, commands),
        memory: super::memory::MemoryUse::new(shards as usize),
        scripts: ScriptCache::default(),
        libraries: Libraries::default(),
        watchdog: Watchdog::start(SLICE).expect("a thread"),
        clients: Clients::default(),
        running: super::running::Running::default(),
        unfinished: super::unfinished::UnfinishedCalls::new(shards as usize),
        pause: super::shared::Pause::default(),
        channels: super::pubsub::Channels::default(),
        tracking: super::tracking::Tracking::default(),
        backups: super::backups::Backups::default(),
        monitors: AtomicUsize::new(0),
        active_expire: AtomicBool::new(true),
        stopping: AtomicBool::new(false),
        started_ms: clock::unix_ms(),
        run_id: "0".repeat(40),
        port: 6379,
    }
}
