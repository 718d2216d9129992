//! One client's bytes: unread input, replies on their way, and when to give up on a client.

use super::net::{ConnKey, Sockets};
use crate::config::{BufferLimit, ClientClass, Settings};
use crate::engine::{Client, Flow, Sequence, Worker};
use crate::resp::{Args, Decoder, Limits, Protocol, RespWriter, Step};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// Requests of one client that are run before others get their turn.
const REQUESTS_PER_TURN: usize = 1024;
/// A client whose command waits may send this much more before its socket is left unread.
const PARKED_INPUT_MAX: usize = 1 << 20;
/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_BUFFER_BYTES: usize = 64 << 10;

/// A connection of a shard.
pub struct Connection {
    pub key: ConnKey,
    pub client: Client,
    decoder: Decoder,
    /// Bytes that have come and not been run, from `consumed` on.
    input: Vec<u8>,
    consumed: usize,
    /// Replies of this pass.
    pub out: Vec<u8>,
    /// Replies that wait for a commit to be durable.
    held: VecDeque<(Sequence, Vec<u8>)>,
    /// Replies that may leave.
    ready: Vec<u8>,
    /// After what there is to send, the connection ends.
    pub closing: bool,
    /// The socket is gone; the connection stays for the script that it started.
    pub gone: bool,
    /// It stands in the list of connections that have something to send.
    pub dirty: bool,
    reading_paused: bool,
    /// Since when its unsent replies are above the soft limit.
    over_soft_limit_since_ms: Option<i64>,
    in_flight: usize,
}

/// What has become of a client's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that can be run was run.
    Idle,
    /// There is more, for the next turn.
    More,
}

impl Connection {
    pub fn new(key: ConnKey, client: Client) -> Self {
        Self {
            key,
            client,
            decoder: Decoder::new(),
            input: Vec::new(),
            consumed: 0,
            out: Vec::new(),
            held: VecDeque::new(),
            ready: Vec::new(),
            closing: false,
            gone: false,
            dirty: false,
            reading_paused: false,
            over_soft_limit_since_ms: None,
            in_flight: 0,
        }
    }

    /// Takes what has come in and runs what it holds.
    pub fn receive(
        &mut self,
        worker: &mut Worker,
        sockets: &mut Sockets,
        limits: &Limits,
        input_max: usize,
        data: &[u8],
    ) -> Progress {
        if self.closing {
            return Progress::Idle;
        }
        if self.client.parked.is_some() || self.consumed < self.input.len() {
            self.input.extend_from_slice(data);
            if self.client.parked.is_some() && self.input.len() > PARKED_INPUT_MAX {
                self.reading_paused = true;
                sockets.pause_reading(self.key);
            }
            self.check_input(worker, input_max);
            return if self.client.parked.is_some() {
                Progress::Idle
            } else {
                Progress::More
            };
        }
        self.input.clear();
        self.consumed = 0;
        let (consumed, progress) = self.run(worker, limits, data);
        self.input.extend_from_slice(&data[consumed..]);
        self.check_input(worker, input_max);
        progress
    }

    /// Runs what is left of the input.
    pub fn proceed(
        &mut self,
        worker: &mut Worker,
        sockets: &mut Sockets,
        limits: &Limits,
    ) -> Progress {
        if self.closing || self.client.parked.is_some() {
            return Progress::Idle;
        }
        if self.reading_paused {
            self.reading_paused = false;
            sockets.resume_reading(self.key);
        }
        let input = std::mem::take(&mut self.input);
        let (consumed, progress) = self.run(worker, limits, &input[self.consumed..]);
        self.input = input;
        self.consumed += consumed;
        if self.consumed == self.input.len() {
            self.consumed = 0;
            self.input.clear();
            self.input.shrink_to(KEPT_BUFFER_BYTES);
        } else if self.consumed > self.input.len() / 2 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        progress
    }

    /// Runs the requests at the start of `bytes`; returns how many bytes they were.
    fn run(&mut self, worker: &mut Worker, limits: &Limits, bytes: &[u8]) -> (usize, Progress) {
        let (mut at, mut looked_at) = (0, 0);
        let mut limits = *limits;
        for _ in 0..REQUESTS_PER_TURN {
            limits.authenticated = self.client.authenticated;
            match self.decoder.next(&bytes[at..], &limits) {
                Ok(Step::Request { consumed }) => {
                    if at >= looked_at && at + consumed < bytes.len() {
                        looked_at = at + worker.look_ahead(&self.client, &bytes[at..]);
                    }
                    let args: Args<'_> = self.decoder.args(&bytes[at..]);
                    let flow = worker.command(&mut self.client, args, &mut self.out);
                    at += consumed;
                    match flow {
                        Flow::Done => {}
                        Flow::Parked => return (at, Progress::Idle),
                        Flow::Close => {
                            self.closing = true;
                            return (bytes.len(), Progress::Idle);
                        }
                    }
                }
                Ok(Step::Blank { consumed }) => at += consumed,
                Ok(Step::Incomplete { .. }) => return (at, Progress::Idle),
                Err(error) => {
                    let mut reply = RespWriter::new(&mut self.out, Protocol::Resp2);
                    error.write_to(&mut reply);
                    self.closing = true;
                    return (bytes.len(), Progress::Idle);
                }
            }
        }
        (at, Progress::More)
    }

    fn check_input(&mut self, worker: &Worker, input_max: usize) {
        let unread = self.input.len() - self.consumed;
        self.client
            .info
            .query_buffer
            .store(unread, Ordering::Relaxed);
        if unread > input_max {
            tracing::warn!(
                client = self.client.id(),
                "closed: its input exceeds client-query-buffer-limit"
            );
            let shard = worker.shared.observer.shard(worker.shard as usize);
            shard.query_buffer_disconnections.add(1);
            self.drop_output();
            self.closing = true;
        }
    }

    /// Ends the pass: what was answered may leave, at once or when the journal has made `barrier` durable.
    pub fn end_pass(&mut self, barrier: Option<Sequence>) {
        if self.out.is_empty() {
            return;
        }
        match barrier {
            Some(sequence) => self
                .held
                .push_back((sequence, std::mem::take(&mut self.out))),
            None if !self.held.is_empty() => {
                let (sequence, _) = self.held[self.held.len() - 1];
                self.held
                    .push_back((sequence, std::mem::take(&mut self.out)));
            }
            None if self.ready.is_empty() => std::mem::swap(&mut self.ready, &mut self.out),
            None => {
                self.ready.extend_from_slice(&self.out);
                self.out.clear();
            }
        }
    }

    /// The journal has made commits durable up to here.
    pub fn release(&mut self, durable: Sequence) {
        while self
            .held
            .front()
            .is_some_and(|(sequence, _)| *sequence <= durable)
        {
            if let Some((_, bytes)) = self.held.pop_front() {
                self.ready.extend_from_slice(&bytes);
            }
        }
    }

    /// Whether replies wait for the journal.
    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands what may leave to the socket, and closes it if that was the last.
    pub fn flush(&mut self, sockets: &mut Sockets, worker: &Worker) {
        if self.gone {
            self.drop_output();
            return;
        }
        if !self.ready.is_empty() && sockets.can_send(self.key) {
            let bytes = std::mem::take(&mut self.ready);
            self.in_flight = bytes.len();
            let shard = worker.shared.observer.shard(worker.shard as usize);
            shard.net_output_bytes.add(bytes.len() as u64);
            shard.writes_processed.add(1);
            sockets.send(self.key, bytes);
        }
        if self.closing && self.ready.is_empty() && self.held.is_empty() {
            sockets.close_when_sent(self.key);
        }
    }

    /// A send is through; its buffer comes back. Returns whether there is more to send.
    pub fn sent(&mut self, buffer: Vec<u8>) -> bool {
        self.in_flight = 0;
        if self.out.capacity() == 0 && buffer.capacity() <= KEPT_BUFFER_BYTES {
            self.out = buffer;
        }
        !self.ready.is_empty() || self.closing
    }

    /// Replies that have not left.
    pub fn unsent_bytes(&self) -> usize {
        let held: usize = self.held.iter().map(|(_, bytes)| bytes.len()).sum();
        self.out.len() + self.ready.len() + held + self.in_flight
    }

    fn class(&self) -> ClientClass {
        if self.client.subscriptions.is_some() {
            ClientClass::Pubsub
        } else {
            ClientClass::Normal
        }
    }

    /// Whether more is unread than may be at once; looked at with every message, since others send those.
    pub fn is_overrun(&self, settings: &Settings) -> bool {
        let hard_bytes = settings.buffer_limit(self.class()).hard_bytes;
        hard_bytes > 0 && self.unsent_bytes() as u64 > hard_bytes
    }

    /// Gives up on a client that does not read what it asked for.
    pub fn check_output(&mut self, settings: &Settings, now_ms: i64) -> bool {
        let unsent = self.unsent_bytes();
        self.client
            .info
            .output_bytes
            .store(unsent, Ordering::Relaxed);
        let BufferLimit {
            hard_bytes,
            soft_bytes,
            soft_seconds,
        } = settings.buffer_limit(self.class());
        let over = |limit: u64| limit > 0 && unsent as u64 > limit;
        if !over(soft_bytes) {
            self.over_soft_limit_since_ms = None;
        } else if self.over_soft_limit_since_ms.is_none() {
            self.over_soft_limit_since_ms = Some(now_ms);
        }
        let too_long = self
            .over_soft_limit_since_ms
            .is_some_and(|since| now_ms - since >= soft_seconds as i64 * 1000);
        over(hard_bytes) || too_long
    }

    /// Throws away what has not left.
    pub fn drop_output(&mut self) {
        self.out = Vec::new();
        self.ready = Vec::new();
        self.held = VecDeque::new();
    }
}
