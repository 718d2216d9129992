//! Several shards driven by one thread. Strings stand for what is waited for: SET brings one, TAKE takes one away.

mod endings;
mod random;
mod serving;

use crate::command::{
    Awaited, Command, Ctx, Error, Flags, Group, Handler, KeyFlags, KeySpec, Spec, Wish,
};
use crate::engine::testing::{Server, words};
use crate::engine::{Client, Flow, Message, Worker};
use crate::keyspace::Expiry;
use crate::locks::{Footprint, GateHold, Held, Mode};
use crate::value::{Str, StrBuf, Value};

/// Commands of the tests' server.
pub static COMMANDS: &[Command<Handler>] = &[
    // TAKE key [key ...] timeout
    Command::new(
        Spec::new(
            "take",
            -3,
            Group::String,
            Flags::WRITE.union(Flags::BLOCKING),
        )
        .keys(&[KeySpec {
            find: crate::command::Find::Range { last: -2, step: 1 },
            ..KeySpec::one(1, KeyFlags::MODIFY)
        }]),
        take,
    ),
    // CARRY from to timeout
    Command::new(
        Spec::new(
            "carry",
            4,
            Group::String,
            Flags::WRITE.union(Flags::BLOCKING),
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::MODIFY),
            KeySpec::one(2, KeyFlags::MODIFY),
        ]),
        carry,
    ),
    // PEEK key old timeout: waits until the key holds something else than `old`.
    Command::new(
        Spec::new(
            "peek",
            4,
            Group::String,
            Flags::READONLY.union(Flags::BLOCKING),
        )
        .keys(&[
            KeySpec::one(1, KeyFlags::READ),
            KeySpec::one(1, KeyFlags::READ),
        ]),
        peek,
    ),
];

/// The string at a key; empty strings are not there to be taken.
fn string(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let string = Ctx::string(&mut ctx.txn, key)?;
    Ok(string
        .map(|s| s.to_buf().to_vec())
        .filter(|s| !s.is_empty()))
}

fn take(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = 1..ctx.args.len() - 1;
    let timeout = ctx.timeout_s(keys.end)?;
    for at in ctx.keys_to_try(keys.clone()) {
        let key = ctx.arg(at);
        if let Some(found) = string(ctx, key)? {
            ctx.txn.remove(key);
            ctx.reply.array(2);
            ctx.reply.bulk(key);
            ctx.reply.bulk(&found);
            return Ok(());
        }
    }
    if !ctx.wait_for_data(Wish::new(keys, ANY, timeout)) {
        ctx.reply.null_array();
    }
    Ok(())
}

fn carry(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let timeout = ctx.timeout_s(3)?;
    let (from, to) = (ctx.arg(1), ctx.arg(2));
    let Some(found) = string(ctx, from)? else {
        if !ctx.wait_for_data(Wish::new(1..2, ANY, timeout)) {
            ctx.reply.null();
        }
        return Ok(());
    };
    ctx.txn.remove(from);
    let value = Value::Str(Str::Bytes(StrBuf::from_slice(&found)));
    ctx.txn.put(to, value, Expiry::Never);
    ctx.reply.bulk(&found);
    Ok(())
}

fn peek(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let timeout = ctx.timeout_s(3)?;
    let (key, old) = (ctx.arg(1), ctx.arg(2));
    match string(ctx, key)? {
        Some(found) if found != old => ctx.reply.bulk(&found),
        _ => {
            let mut wish = Wish::new(1..2, ANY, timeout);
            wish.resolve(2, old);
            if !ctx.wait_for_data(wish) {
                ctx.reply.null();
            }
        }
    }
    Ok(())
}

/// Met by a string, and by nothing at all.
const ANY: Awaited = Awaited::StreamGroup;

/// A server with clients that get their replies whenever they come.
struct Room {
    server: Server,
    /// `None`: has left.
    clients: Vec<Option<Client>>,
    replies: Vec<Vec<String>>,
}

impl Room {
    /// One client a shard for each of `per_shard`, shard by shard in turn.
    fn new(shards: u32, per_shard: usize) -> Self {
        let mut server = Server::start(shards, &[]);
        let clients: Vec<_> = (0..shards as usize * per_shard)
            .map(|index| Some(server.connect(index as u32 % shards)))
            .collect();
        let replies = clients.iter().map(|_| Vec::new()).collect();
        Self {
            server,
            clients,
            replies,
        }
    }

    fn shards(&self) -> usize {
        self.server.workers.len()
    }

    /// Sends a request; its reply, if it comes at once.
    fn send(&mut self, index: usize, line: &str) -> Option<String> {
        let client = self.clients[index]
            .as_mut()
            .expect("a client that is there");
        assert!(client.parked.is_none(), "the client waits");
        let (flow, reply) = self.server.run(client, &words(line));
        (flow != Flow::Parked).then_some(reply)
    }

    /// Sends a request whose reply is to come at once.
    fn ask(&mut self, index: usize, line: &str) -> String {
        self.send(index, line)
            .unwrap_or_else(|| panic!("{line} waits"))
    }

    /// Sends a request that is to wait.
    fn wait(&mut self, index: usize, line: &str) {
        if let Some(reply) = self.send(index, line) {
            panic!("{line} has not waited, but answered {reply}");
        }
    }

    /// The replies that have come for a client since it was last asked.
    fn got(&mut self, index: usize) -> Vec<String> {
        std::mem::take(&mut self.replies[index])
    }

    /// Hands over one message of a shard. `false`: there is none.
    fn step(&mut self, shard: usize) -> bool {
        let Some(message) = self.server.message(shard) else {
            return false;
        };
        let worker = &mut self.server.workers[shard];
        worker.begin_pass();
        match message {
            Message::Wake(token) => self.with_waiting(shard, token, |worker, client, out| {
                worker.resume(token, client, out)
            }),
            Message::Served(served) => {
                let token = served.token;
                self.with_waiting(shard, token, |worker, client, out| {
                    worker.served(&served, client, out)
                });
            }
            Message::Unblock { client, with_error } => {
                let found = self.clients.iter().flatten().find(|c| c.id() == client);
                if let Some(token) = found.and_then(|client| client.parked) {
                    self.with_waiting(shard, token, |worker, client, out| {
                        worker.unblock(client, with_error, out)
                    });
                }
            }
            Message::Configured => {
                worker.follow_settings();
            }
            other => panic!("{other:?}"),
        }
        let worker = &mut self.server.workers[shard];
        worker.end_pass().expect("a healthy journal");
        true
    }

    fn with_waiting(
        &mut self,
        shard: usize,
        token: u64,
        work: impl FnOnce(&mut Worker, &mut Client, &mut Vec<u8>) -> Flow,
    ) {
        let worker = &mut self.server.workers[shard];
        let Some(conn) = worker.conn_of(token) else {
            return;
        };
        let index = conn as usize - 1;
        let client = self.clients[index].as_mut().expect("who waits is there");
        let mut out = Vec::new();
        if work(worker, client, &mut out) != Flow::Parked {
            let reply = String::from_utf8_lossy(&out).into_owned();
            self.replies[index].push(reply);
        }
    }

    /// Hands over messages until there are none.
    fn settle(&mut self) {
        while (0..self.shards()).any(|shard| self.step(shard)) {}
    }

    /// Ends what is due.
    fn end_due(&mut self) {
        for shard in 0..self.shards() {
            for token in self.server.workers[shard].due() {
                self.with_waiting(shard, token, |worker, client, out| {
                    worker.resume(token, client, out)
                });
            }
        }
    }

    /// A client's connection ends.
    fn leave(&mut self, index: usize) {
        let mut client = self.clients[index].take().expect("a client that is there");
        let worker = &mut self.server.workers[client.info.shard as usize];
        assert!(worker.abandon(&mut client), "no script runs");
    }

    /// Locks a key until [`unlock`](Self::unlock).
    fn lock(&mut self, key: &[u8]) -> (GateHold, Held) {
        self.try_lock(key).expect("a free lock")
    }

    fn try_lock(&mut self, key: &[u8]) -> Option<(GateHold, Held)> {
        let shared = self.server.shared;
        if !shared.gate.enter(0) {
            return None;
        }
        let hold = shared.gate.hold(0);
        shared.gate.leave(0);
        let fingerprint = shared.keyspace.fingerprint(0, key);
        let footprint = Footprint::single(fingerprint, Mode::Exclusive);
        let Ok(held) = shared.locks.try_acquire(footprint) else {
            shared.gate.release(hold);
            return None;
        };
        Some((hold, held))
    }

    fn unlock(&mut self, (hold, held): (GateHold, Held)) {
        self.server.shared.locks.release(held);
        self.server.shared.gate.release(hold);
    }

    fn blocked_clients(&self) -> u64 {
        self.server.shared.observer.totals().blocked_clients
    }
}

/// Whatever happened, nothing may be left once everybody has gone.
impl Drop for Room {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for index in 0..self.clients.len() {
            if self.clients[index].is_some() {
                self.leave(index);
            }
        }
        self.settle();
        assert_eq!(self.blocked_clients(), 0);
        let shared = self.server.shared;
        assert!(shared.keyspace.awaited.is_empty(), "a waiter is left");
        let locks = shared.locks.stats();
        assert_eq!((locks.held, locks.waiting), (0, 0));
        assert_eq!(shared.gate.stats().held, 0);
        assert!(
            self.server
                .workers
                .iter()
                .all(|worker| worker.parked() == 0)
        );
    }
}

fn pair(key: &str, value: &str) -> String {
    format!(
        "*2\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
        key.len(),
        value.len()
    )
}

const NULL_ARRAY: &str = "*-1\r\n";
