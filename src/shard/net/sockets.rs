//! The client sockets of one shard and what is in flight for each.
//!
//! Unsafe: requests name descriptors and send buffers. A [`Connection`] owns both and leaves its slot only when none
//! of its requests is with the kernel any more.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use slab::Slab;

use super::buffers;
use super::ring::Ring;
use super::token::{ConnKey, Token};

/// A send that is tried at once. It either takes the whole buffer before the system call returns, without posting a
/// completion, or reports how far it came: `WAITALL` makes a short send count as a failure.
const SEND_AT_ONCE: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;

/// A send that waits for room in the socket, and completes once.
const SEND_PATIENTLY: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// Longer buffers are sent patiently from the start: no socket takes them at once. (Also, a send that is tried at once
/// must fit into one request, for without a completion nobody would see that it was cut.)
const SEND_AT_ONCE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub enum CloseReason {
    /// This side closed it.
    Local,
    /// The socket failed, for instance because the peer reset it.
    Failed(io::Error),
}

/// Everything one can do to a shard's connections; also while events are being handled.
pub struct Sockets {
    pub(super) ring: Ring,
    connections: Slab<Connection>,
    generation: u32,
    /// Sends queued since the last submission.
    pub(super) queued: Vec<ConnKey>,
    /// Sends that the kernel has seen; they are done if no completion says otherwise.
    tried: Vec<ConnKey>,
    /// Connections that ended without waiting for a completion.
    ended: Vec<ConnKey>,
}

struct Connection {
    fd: OwnedFd,
    generation: ConnKey,
    receive: Receive,
    reading: bool,
    send: Send,
    closing: Option<CloseReason>,
    close_when_sent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receive {
    Idle,
    Armed,
    /// A cancel request is out, its answer is not.
    Stopping,
}

enum Send {
    Idle,
    AtOnce(Vec<u8>),
    Patient { buffer: Vec<u8>, done: usize },
}

impl Sockets {
    pub(super) fn new(ring: Ring) -> Sockets {
        Sockets {
            ring,
            connections: Slab::new(),
            generation: 0,
            queued: Vec::new(),
            tried: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Takes over a connected stream socket in blocking mode and starts to receive from it.
    pub fn adopt(&mut self, fd: OwnedFd) -> ConnKey {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.connections.vacant_entry();
        let key = ConnKey::new(slot.key(), self.generation);
        slot.insert(Connection {
            fd,
            generation: key,
            receive: Receive::Idle,
            reading: true,
            send: Send::Idle,
            closing: None,
            close_when_sent: false,
        });
        self.arm_receive(key);
        key
    }

    /// The connection's descriptor, for `getpeername` and socket options. It may only be read from the ring.
    pub fn fd(&self, key: ConnKey) -> Option<&OwnedFd> {
        self.get(key).map(|connection| &connection.fd)
    }

    /// How many connections there are, those that are being closed included.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Whether the connection can take a buffer: it is open and none of its buffers is in flight.
    pub fn can_send(&self, key: ConnKey) -> bool {
        self.get(key).is_some_and(|connection| {
            connection.closing.is_none() && matches!(connection.send, Send::Idle)
        })
    }

    /// Sends all of `buffer` with the next submission; `NetHandler::sent` hands it back, empty. One buffer is in
    /// flight at a time, which keeps replies in order. On a connection that is gone or closing the buffer is dropped.
    ///
    /// # Panics
    ///
    /// If a buffer of this connection is in flight already (see [`can_send`](Self::can_send)).
    pub fn send(&mut self, key: ConnKey, buffer: Vec<u8>) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        if connection.closing.is_some() {
            return;
        }
        assert!(
            matches!(connection.send, Send::Idle),
            "two sends in flight on {key:?}"
        );
        if buffer.len() > SEND_AT_ONCE_BYTES_MAX {
            return self.send_patiently(key, buffer, 0);
        }
        let entry =
            send_entry(connection, &buffer, SEND_AT_ONCE).flags(squeue::Flags::SKIP_SUCCESS);
        connection.send = Send::AtOnce(buffer);
        // SAFETY: the connection keeps descriptor and buffer until the send is settled.
        unsafe { self.ring.push(&entry) };
        self.queued.push(key);
    }

    /// Stops receiving, so that a client whose command waits cannot fill memory. Data that the ring holds already is
    /// still delivered. The end of the connection goes unnoticed meanwhile.
    pub fn pause_reading(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        connection.reading = false;
        self.stop_receive(key);
    }

    pub fn resume_reading(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        connection.reading = true;
        self.arm_receive(key);
    }

    /// Ends the connection now; a send in flight is cut. `NetHandler::closed` follows when the kernel let go of it.
    pub fn close(&mut self, key: ConnKey) {
        self.begin_close(key, CloseReason::Local);
    }

    /// Ends the connection once the send in flight is through. Nothing is received meanwhile.
    pub fn close_when_sent(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        if matches!(connection.send, Send::Idle) {
            return self.close(key);
        }
        connection.close_when_sent = true;
        self.pause_reading(key);
    }

    /// Hands everything queued to the kernel in one system call.
    pub fn submit(&mut self) -> io::Result<()> {
        self.ring.submit()
    }

    /// The keys of all connections that are not being closed.
    pub fn keys(&self) -> impl Iterator<Item = ConnKey> + '_ {
        self.connections
            .iter()
            .filter(|(_, it)| it.closing.is_none())
            .map(|(_, it)| it.generation)
    }

    /// Whether a connection ended that the handler does not know of yet.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    pub(super) fn take_ended(&mut self) -> Option<ConnKey> {
        self.ended.pop()
    }

    /// Whether this connection is open, that is: events of it are for the handler.
    pub(super) fn is_open(&self, key: ConnKey) -> bool {
        self.get(key)
            .is_some_and(|connection| connection.closing.is_none())
    }

    /// A receive request of this connection has ended; goes on receiving if that is wanted.
    pub(super) fn receive_ended(&mut self, key: ConnKey, result: i32) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        connection.receive = Receive::Idle;
        match -result {
            0 => connection.reading = false,
            // Not errors of the socket: no buffer was free, or the request was cancelled, perhaps for a pause that is
            // over by now.
            libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            error if error > 0 => {
                return self.begin_close(
                    key,
                    CloseReason::Failed(io::Error::from_raw_os_error(error)),
                );
            }
            _ => {}
        }
        if connection.closing.is_some() {
            self.note_if_ended(key);
        } else {
            self.arm_receive(key);
        }
    }

    /// A send has reported: at once and short or refused, or patiently and done. Returns the buffer of a whole send.
    pub(super) fn send_completed(&mut self, key: ConnKey, result: i32) -> Option<Vec<u8>> {
        let connection = lookup(&mut self.connections, key)?;
        let (buffer, done) = match mem::replace(&mut connection.send, Send::Idle) {
            Send::Idle => return None,
            Send::AtOnce(buffer) => (buffer, 0),
            Send::Patient { buffer, done } => (buffer, done),
        };
        if connection.closing.is_some() {
            self.note_if_ended(key);
            return None;
        }
        let done = match result {
            0.. => done + result as usize,
            _ if matches!(-result, libc::EAGAIN | libc::EINTR) => done,
            error => {
                self.begin_close(
                    key,
                    CloseReason::Failed(io::Error::from_raw_os_error(-error)),
                );
                return None;
            }
        };
        if done == buffer.len() {
            return self.send_finished(key, buffer);
        }
        self.send_patiently(key, buffer, done);
        None
    }

    /// Notes which sends the kernel has seen. Call it after a submission, before draining the completions.
    pub(super) fn note_submitted(&mut self) {
        if !self.queued.is_empty() && self.ring.is_submitted() {
            self.tried.append(&mut self.queued);
        }
    }

    /// Takes the sends that were tried. Valid only when every completion of their submission has been handled: each
    /// that is still `AtOnce` then succeeded.
    pub(super) fn take_tried(&mut self) -> Vec<ConnKey> {
        mem::take(&mut self.tried)
    }

    /// Keeps the memory of a list from [`take_tried`](Self::take_tried).
    pub(super) fn reuse_tried(&mut self, mut list: Vec<ConnKey>) {
        if self.tried.is_empty() {
            list.clear();
            self.tried = list;
        }
    }

    /// Settles one tried send; returns its buffer if it went through whole.
    pub(super) fn settle(&mut self, key: ConnKey) -> Option<Vec<u8>> {
        let connection = lookup(&mut self.connections, key)?;
        let buffer = match mem::replace(&mut connection.send, Send::Idle) {
            Send::AtOnce(buffer) => buffer,
            other => {
                connection.send = other;
                return None;
            }
        };
        if connection.closing.is_some() {
            self.note_if_ended(key);
            return None;
        }
        self.send_finished(key, buffer)
    }

    /// Removes a connection that has ended, and closes its descriptor.
    pub(super) fn remove(&mut self, key: ConnKey) -> Option<CloseReason> {
        self.get(key)?;
        self.connections.remove(key.index()).closing
    }

    /// Never closes the descriptors and never frees the buffers that requests may still name.
    pub(super) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.connections));
    }

    fn get(&self, key: ConnKey) -> Option<&Connection> {
        self.connections
            .get(key.index())
            .filter(|connection| connection.generation == key)
    }

    fn send_finished(&mut self, key: ConnKey, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        if self
            .get(key)
            .is_some_and(|connection| connection.close_when_sent)
        {
            self.close(key);
            return None;
        }
        buffer.clear();
        Some(buffer)
    }

    fn send_patiently(&mut self, key: ConnKey, buffer: Vec<u8>, done: usize) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        let entry = send_entry(connection, &buffer[done..], SEND_PATIENTLY);
        connection.send = Send::Patient { buffer, done };
        // SAFETY: the connection keeps descriptor and buffer until this send completes.
        unsafe { self.ring.push(&entry) };
    }

    fn arm_receive(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        if !connection.reading
            || connection.closing.is_some()
            || connection.receive != Receive::Idle
        {
            return;
        }
        connection.receive = Receive::Armed;
        let entry = opcode::RecvMulti::new(Fd(connection.fd.as_raw_fd()), buffers::GROUP)
            .build()
            .user_data(Token::Receive(key).pack());
        // SAFETY: the connection keeps its descriptor until the request has ended.
        unsafe { self.ring.push(&entry) };
    }

    fn stop_receive(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        if connection.receive == Receive::Armed {
            connection.receive = Receive::Stopping;
            self.cancel(Token::Receive(key));
        }
    }

    fn begin_close(&mut self, key: ConnKey, reason: CloseReason) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        if connection.closing.is_some() {
            return;
        }
        connection.closing = Some(reason);
        if matches!(connection.send, Send::Patient { .. }) {
            self.cancel(Token::Send(key));
        }
        self.stop_receive(key);
        self.note_if_ended(key);
    }

    fn cancel(&mut self, token: Token) {
        let entry = opcode::AsyncCancel::new(token.pack())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Token::Cancel.pack());
        // SAFETY: names no memory and no descriptor.
        unsafe { self.ring.push(&entry) };
    }

    fn note_if_ended(&mut self, key: ConnKey) {
        let Some(connection) = lookup(&mut self.connections, key) else {
            return;
        };
        let in_flight =
            connection.receive != Receive::Idle || !matches!(connection.send, Send::Idle);
        if connection.closing.is_some() && !in_flight {
            self.ended.push(key);
        }
    }
}

fn lookup(connections: &mut Slab<Connection>, key: ConnKey) -> Option<&mut Connection> {
    connections
        .get_mut(key.index())
        .filter(|connection| connection.generation == key)
}

fn send_entry(connection: &Connection, bytes: &[u8], flags: i32) -> squeue::Entry {
    // A longer buffer goes in several sends: the length of a request has 32 bits, the result 31.
    let len = bytes.len().min(i32::MAX as usize) as u32;
    opcode::Send::new(Fd(connection.fd.as_raw_fd()), bytes.as_ptr(), len)
        .flags(flags)
        .build()
        .user_data(Token::Send(connection.generation).pack())
}
