//! A server without sockets: one shard, two clients, a directory of its own, and little patience with scripts.

use aikv::config::Config;
use aikv::engine::{self, Client, Flow, Message, Peer, Shared, Worker};
use aikv::resp::{Args, Protocol};
use std::time::Duration;
use tempfile::TempDir;

const OPTIONS: [(&str, &str); 7] = [
    ("databases", "2"),
    ("durability", "no"),
    ("script-memory-limit", "8mb"),
    ("script-slice-us", "200"),
    ("proto-max-bulk-len", "1mb"),
    ("journal-rewrite-min-size", "16mb"),
    ("active-expire-effort", "1"),
];

/// No script keeps the thread for longer, whatever it calls. In its processor time, so that a busy machine is no fault.
const STEP_MAX: Duration = Duration::from_millis(700);
/// Resumptions of one request; a script that runs out of its time needs some hundred.
const RESUMPTIONS_MAX: usize = 100_000;

pub struct Server {
    shared: &'static Shared,
    worker: Worker,
    client: Client,
    neighbour: Client,
    _dir: TempDir,
}

/// Scripts that came to an end, and how many of these were undone.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub run: u64,
    pub undone: u64,
}

impl Server {
    pub fn start() -> Self {
        let dir = TempDir::new().expect("a directory for the journal");
        let mut config = Config::default();
        let path = dir.path().to_str().expect("a path of plain characters");
        for (name, value) in OPTIONS.into_iter().chain([("dir", path)]) {
            config.assign(name, value).expect("an option of the table");
        }
        let shared = engine::open(config, 1, 0).expect("an empty directory opens");
        Self {
            shared,
            worker: Worker::new(shared, 0),
            client: client(shared, 1),
            neighbour: client(shared, 2),
            _dir: dir,
        }
    }

    /// Runs a request to its end; the reply.
    pub fn request(&mut self, request: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let flow = self.begin(request, false, &mut out);
        self.finish(flow, false, &mut out);
        out
    }

    /// Lets another client's script begin, which locks a key and is slow.
    pub fn begin_neighbour(&mut self) {
        const SLOW: &[u8] = b"#!lua max-instructions=100000\n\
            redis.call('SET', 'k2', 'x') local n = 0 while true do n = n + 1 end";
        self.begin(&[b"EVAL", SLOW, b"1", b"k2"], true, &mut Vec::new());
    }

    /// Lets it run to its end, if it is there.
    pub fn end_neighbour(&mut self) {
        if self.neighbour.parked.is_some() {
            self.finish(Flow::Parked, true, &mut Vec::new());
        }
    }

    /// Whether scripts are ended after a time.
    pub fn be_impatient(&mut self, is_impatient: bool) {
        let limit_ms: &[u8] = if is_impatient { b"60" } else { b"0" };
        let set = self.shared.config.set(&[(b"script-timeout", limit_ms)]);
        set.expect("an option that can be set");
    }

    pub fn set_protocol(&mut self, is_resp3: bool) {
        self.client.set_protocol(if is_resp3 {
            Protocol::Resp3
        } else {
            Protocol::Resp2
        });
    }

    pub fn counts(&self) -> Counts {
        let stats = self.shared.observer.shard(0);
        Counts {
            run: stats.scripts_run.get(),
            undone: stats.scripts_rolled_back.get(),
        }
    }

    /// The memory of all machines of Lua.
    pub fn vm_bytes(&mut self) -> u64 {
        self.worker.tick();
        self.shared.observer.shard(0).script_vm_bytes.get()
    }

    pub fn assert_nothing_is_held(&mut self) {
        assert_eq!(self.worker.parked(), 0);
        let locks = self.shared.locks.stats();
        assert_eq!((locks.held, locks.waiting), (0, 0));
        let gate = self.shared.gate.stats();
        assert!(!gate.owned, "somebody has the keyspace");
        assert_eq!(
            (gate.held, gate.waiting_exclusive, gate.waiting_shared),
            (0, 0, 0)
        );
        assert!(!self.shared.running.any_busy());
        assert!(self.shared.running.all().is_empty());
        assert_eq!(self.shared.observer.shard(0).running_scripts.get(), 0);
    }

    /// All keys of all databases with what they hold, in an order.
    pub fn keyspace(&mut self) -> Vec<Vec<u8>> {
        let protocol = self.client.protocol;
        self.client.set_protocol(Protocol::Resp2);
        let mut held = Vec::new();
        for db in [b"1", b"0"] {
            self.request(&[b"SELECT", db]);
            let keys = self.request(&[b"KEYS", b"*"]);
            for key in strings(&keys) {
                let mut entry = [db, key].concat();
                entry.extend(self.request(&[b"DUMP", key]));
                entry.extend(self.request(&[b"PEXPIRETIME", key]));
                held.push(entry);
            }
        }
        held.sort();
        self.client.set_protocol(protocol);
        held
    }

    fn begin(&mut self, request: &[&[u8]], by_neighbour: bool, out: &mut Vec<u8>) -> Flow {
        let Self {
            worker,
            client,
            neighbour,
            ..
        } = self;
        let client = if by_neighbour { neighbour } else { client };
        let began = thread_time();
        worker.begin_pass();
        let flow = worker.command(client, Args::from_slices(request), out);
        worker.broadcast();
        worker.end_pass().expect("a healthy journal");
        assert_in_time(began);
        flow
    }

    /// Resumes whoever can go on until one client has its answer.
    fn finish(&mut self, mut flow: Flow, of_neighbour: bool, out: &mut Vec<u8>) {
        for _ in 0..RESUMPTIONS_MAX {
            if flow != Flow::Parked {
                assert_eq!(flow, Flow::Done);
                self.read_mail();
                return;
            }
            let mut tokens = self.worker.take_runnable();
            tokens.extend(self.read_mail());
            for token in tokens {
                let Some(conn) = self.worker.conn_of(token) else {
                    continue;
                };
                let is_neighbour = conn == self.neighbour.conn;
                let Self {
                    worker,
                    client,
                    neighbour,
                    ..
                } = self;
                let mut nowhere = Vec::new();
                let is_asked = is_neighbour == of_neighbour;
                let client = if is_neighbour { neighbour } else { client };
                let began = thread_time();
                worker.begin_pass();
                let out = if is_asked { &mut *out } else { &mut nowhere };
                let now = worker.resume(token, client, out);
                worker.broadcast();
                worker.end_pass().expect("a healthy journal");
                assert_in_time(began);
                if is_asked {
                    flow = now;
                }
            }
        }
        panic!("a request is not answered");
    }

    /// The work that others have woken.
    fn read_mail(&mut self) -> Vec<u64> {
        let mut woken = Vec::new();
        while let Some(message) = self.shared.host.mailboxes[0].pop() {
            if let Message::Wake(token) = message {
                woken.push(token);
            }
        }
        woken
    }
}

fn client(shared: &'static Shared, conn: u64) -> Client {
    let peer = Peer {
        address: format!("127.0.0.1:{conn}"),
        local_address: "127.0.0.1:6379".into(),
        fd: -1,
        unix: false,
        local: true,
    };
    Client::new(shared.clients.enter(0, peer, 0), conn, true)
}

/// The strings of an array reply.
fn strings(reply: &[u8]) -> Vec<&[u8]> {
    let mut strings = Vec::new();
    let mut rest = line(reply).1;
    while let (Some(len), behind) = line(rest) {
        strings.push(&behind[..len]);
        rest = &behind[len + 2..];
    }
    strings
}

/// The number of a line's header, and what comes behind the line.
fn line(text: &[u8]) -> (Option<usize>, &[u8]) {
    let Some(end) = text.windows(2).position(|pair| pair == b"\r\n") else {
        return (None, b"");
    };
    let number = std::str::from_utf8(&text[1..end]).ok();
    (
        number.and_then(|number| number.parse().ok()),
        &text[end + 2..],
    )
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists, and the record is ours to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn assert_in_time(began: Duration) {
    let took = thread_time() - began;
    assert!(took < STEP_MAX, "one step took {took:?}");
}
