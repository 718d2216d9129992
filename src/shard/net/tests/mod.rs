//! Tests of the sockets: a shard that echoes, on a thread of its own, and clients on ordinary threads.

mod echo;
mod lifecycle;
mod waking;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{
    CloseReason, ConnKey, ListenerId, ListenerSocket, Net, NetConfig, NetHandler, Sockets,
};
use crate::base::mailbox::Mailbox;

/// Long enough for a busy machine, short enough to notice that something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An echo that is not taken by its reader holds this much before reading stops.
const ECHO_BYTES_MAX: usize = 256 * 1024;

enum Order {
    Stop,
    Answer(mpsc::Sender<()>),
    CloseAll,
    PauseAll,
    ResumeAll,
    /// Sends this to every client.
    Shout(Vec<u8>),
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    accept_failed: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    received_bytes: AtomicU64,
}

impl Counters {
    fn wait_until(&self, what: &str, condition: impl Fn(&Counters) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "still waiting for: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_until_all_closed(&self, accepted: u64) {
        self.wait_until("all clients closed", |counters| {
            counters.accepted.load(Ordering::SeqCst) == accepted
                && counters.closed.load(Ordering::SeqCst) == accepted
        });
    }
}

struct EchoServer {
    address: SocketAddr,
    path: PathBuf,
    mailbox: Arc<Mailbox<Order>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl EchoServer {
    fn start(config: NetConfig) -> EchoServer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo.sock");
        let tcp = ListenerSocket::tcp(([127, 0, 0, 1], 0).into(), 511, 1)
            .unwrap()
            .pop()
            .unwrap();
        let unix = ListenerSocket::unix(&path, Some(0o600), 511).unwrap();
        let address = tcp.local_addr().unwrap();
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let counters = Arc::new(Counters::default());
        let shard = Shard {
            mailbox: Arc::clone(&mailbox),
            echo: Echo::new(Arc::clone(&counters)),
        };
        let thread = std::thread::spawn(move || shard.run(config, [tcp, unix]));
        EchoServer {
            address,
            path,
            mailbox,
            counters,
            thread: Some(thread),
            _dir: dir,
        }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn unix(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn order(&self, order: Order) {
        self.mailbox.push(order);
    }

    /// Stops the shard; panics if it panicked.
    fn stop(mut self) {
        self.order(Order::Stop);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Shard {
    mailbox: Arc<Mailbox<Order>>,
    echo: Echo,
}

impl Shard {
    fn run(mut self, config: NetConfig, listeners: [ListenerSocket; 2]) {
        let mut net = Net::new(config, &self.mailbox).unwrap();
        for listener in listeners {
            net.listen(listener);
        }
        loop {
            net.poll(&mut self.echo).unwrap();
            while let Some(order) = self.mailbox.pop() {
                if matches!(order, Order::Stop) {
                    return;
                }
                self.echo.obey(&mut net, order);
            }
            self.echo.flush(&mut net);
            net.sleep(&self.mailbox, PATIENCE).unwrap();
        }
    }
}

/// Sends back what it receives, and checks the order of events.
struct Echo {
    sessions: HashMap<ConnKey, Session>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Session {
    out: Vec<u8>,
    finished: bool,
    paused: bool,
}

impl Echo {
    fn new(counters: Arc<Counters>) -> Echo {
        Echo {
            sessions: HashMap::new(),
            counters,
        }
    }

    fn obey(&mut self, net: &mut Net, order: Order) {
        for (&key, session) in &mut self.sessions {
            match &order {
                Order::CloseAll => net.close(key),
                Order::PauseAll => net.pause_reading(key),
                Order::ResumeAll => net.resume_reading(key),
                Order::Shout(text) => session.out.extend_from_slice(text),
                Order::Stop | Order::Answer(_) => {}
            }
        }
        if let Order::Answer(asker) = order {
            asker.send(()).unwrap();
        }
    }

    fn flush(&mut self, sockets: &mut Sockets) {
        for (&key, session) in &mut self.sessions {
            session.flush(sockets, key);
        }
    }

    fn session(&mut self, key: ConnKey) -> &mut Session {
        self.sessions
            .get_mut(&key)
            .expect("an event of a connection that is not there")
    }
}

impl Session {
    fn flush(&mut self, sockets: &mut Sockets, key: ConnKey) {
        if !sockets.can_send(key) {
            return;
        }
        if !self.out.is_empty() {
            sockets.send(key, mem::take(&mut self.out));
        }
        if self.finished {
            sockets.close_when_sent(key);
        }
    }
}

impl NetHandler for Echo {
    fn accepted(&mut self, sockets: &mut Sockets, _: ListenerId, client: OwnedFd) {
        let key = sockets.adopt(client);
        self.counters.accepted.fetch_add(1, Ordering::SeqCst);
        assert!(
            self.sessions.insert(key, Session::default()).is_none(),
            "{key:?} given twice"
        );
    }

    fn accept_failed(&mut self, _: ListenerId, _: io::Error) {
        self.counters.accept_failed.fetch_add(1, Ordering::SeqCst);
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnKey, data: &[u8]) {
        self.counters
            .received_bytes
            .fetch_add(data.len() as u64, Ordering::SeqCst);
        let session = self.session(conn);
        assert!(!session.finished, "data after the end");
        session.out.extend_from_slice(data);
        if session.out.len() > ECHO_BYTES_MAX && !session.paused {
            session.paused = true;
            sockets.pause_reading(conn);
        }
    }

    fn peer_finished(&mut self, _: &mut Sockets, conn: ConnKey) {
        self.session(conn).finished = true;
    }

    fn sent(&mut self, sockets: &mut Sockets, conn: ConnKey, buffer: Vec<u8>) {
        assert!(buffer.is_empty(), "a buffer comes back empty");
        let session = self.session(conn);
        if mem::take(&mut session.paused) {
            sockets.resume_reading(conn);
        }
        session.flush(sockets, conn);
    }

    fn closed(&mut self, _: &mut Sockets, conn: ConnKey, reason: CloseReason) {
        self.sessions
            .remove(&conn)
            .expect("closed is reported once");
        if matches!(reason, CloseReason::Failed(_)) {
            self.counters.failed.fetch_add(1, Ordering::SeqCst);
        }
        self.counters.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Bytes that differ by position, so that a swap or a gap shows.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

/// Writes `data` in random pieces and expects it back.
fn exchange(stream: &mut (impl Read + Write), data: &[u8], random: &mut fastrand::Rng) {
    let mut rest = data;
    let mut back = vec![0; data.len()];
    let mut read = 0;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(20_000)));
        stream.write_all(piece).unwrap();
        rest = after;
        if random.bool() {
            let until = data.len() - rest.len();
            stream.read_exact(&mut back[read..until]).unwrap();
            read = until;
        }
    }
    stream.read_exact(&mut back[read..]).unwrap();
    assert!(back == data, "the echo differs");
}
