//! The client sockets of one shard, driven through an `io_uring` of its own.
//!
//! The shard's main task turns this wheel: [`Net::poll`] reports what happened, the shard answers with
//! [`Sockets::send`], [`Net::sleep`] hands all of that to the kernel and waits, in one system call.
//!
//! Invariants:
//! - A connection leaves its slot, and its descriptor is closed, only when no request of it is with the kernel. So
//!   memory that the kernel may touch outlives the request, and a late completion cannot meet a successor.
//! - One send per connection is in flight, so bytes leave in the order in which they were handed over.
//! - For each adopted connection `closed` is reported exactly once, as its last event.
//! - A received buffer goes back to the kernel before the next event is looked at; nothing is copied.
//! - A send that the socket takes at once posts no completion. It counts as done when every completion of its
//!   submission has been seen and none was its own; therefore `poll` settles sends only after a complete drain.
//! - No glommio waker leaves its thread: other threads reach a sleeping shard through its mailbox's eventfd only.
//! - A shard waits in its ring and nowhere else; its wheel is the one task of its executor, and never yields.
//!
//! Files: `ring` (queues), `token` (what a completion is about), `buffers` (receive pool), `sockets` (connections),
//! `listen` (accepting), `sleep` (waiting), `probe` (can this machine do it at all).
//!
//! Depends on: base; crates io-uring, slab, socket2.

mod buffers;
mod listen;
mod probe;
mod ring;
mod sleep;
mod sockets;
#[cfg(test)]
mod tests;
mod token;

use std::io;
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;

use io_uring::cqueue;

pub use listen::ListenerSocket;
pub use probe::{NetError, explain_setup, probe};
pub use sockets::{CloseReason, Sockets};
pub use token::{ConnKey, ListenerId};

use crate::base::mailbox::Mailbox;
use buffers::ReceiveBuffers;
use listen::{Accepted, Listener};
use ring::{DRAIN_BATCH, Ring};
use sleep::Alarm;
use token::Token;

/// Sizes, fixed when a shard starts.
#[derive(Clone, Copy, Debug)]
pub struct NetConfig {
    /// Requests that can be queued before they have to be submitted; a power of two.
    pub entries: u32,
    /// Receive buffers shared by all connections of the shard; a power of two.
    pub receive_buffers: u16,
    pub receive_buffer_bytes: u32,
}

impl Default for NetConfig {
    fn default() -> NetConfig {
        NetConfig {
            entries: 1024,
            receive_buffers: 256,
            receive_buffer_bytes: 16 * 1024,
        }
    }
}

/// What the shard does about events. Every method may use the sockets, also close the connection it is called for.
pub trait NetHandler {
    /// A client has connected; [`Sockets::adopt`] takes it in, dropping the descriptor turns it away.
    fn accepted(&mut self, sockets: &mut Sockets, listener: ListenerId, client: OwnedFd);

    /// The listener rests for a moment, for instance because the process is out of descriptors.
    fn accept_failed(&mut self, listener: ListenerId, error: io::Error);

    fn received(&mut self, sockets: &mut Sockets, conn: ConnKey, data: &[u8]);

    /// The peer will send nothing more, but may still read. The connection stays open until it is closed here.
    fn peer_finished(&mut self, sockets: &mut Sockets, conn: ConnKey);

    /// A send is through; its buffer comes back empty, for reuse.
    fn sent(&mut self, sockets: &mut Sockets, conn: ConnKey, buffer: Vec<u8>);

    /// The connection is gone and `conn` means nothing any more.
    fn closed(&mut self, sockets: &mut Sockets, conn: ConnKey, reason: CloseReason);
}

/// All network of one shard. Belongs to the thread that made it.
pub struct Net {
    // Dropped in this order: the ring inside `sockets` goes before the memory that it uses.
    sockets: Sockets,
    buffers: ReceiveBuffers,
    listeners: Vec<Listener>,
    alarm: Alarm,
}

impl Net {
    /// Call it on the shard's own thread, as the ring belongs to it. `mailbox` is the shard's: it ends its sleep.
    pub fn new<T>(config: NetConfig, mailbox: &Mailbox<T>) -> Result<Net, NetError> {
        Net::build(config, mailbox).map_err(explain_setup)
    }

    fn build<T>(config: NetConfig, mailbox: &Mailbox<T>) -> io::Result<Net> {
        let mut ring = Ring::new(config.entries)?;
        let buffers = ReceiveBuffers::new(
            &mut ring,
            config.receive_buffers,
            config.receive_buffer_bytes,
        )?;
        let alarm = Alarm::new(mailbox)?;
        Ok(Net {
            sockets: Sockets::new(ring),
            buffers,
            listeners: Vec::new(),
            alarm,
        })
    }

    /// Starts to accept clients.
    pub fn listen(&mut self, socket: ListenerSocket) -> ListenerId {
        let id = ListenerId(u32::try_from(self.listeners.len()).expect("few listeners"));
        let listener = Listener::new(id, socket);
        listener.arm(&mut self.sockets.ring);
        self.listeners.push(listener);
        id
    }

    pub fn listener(&self, id: ListenerId) -> &ListenerSocket {
        self.listeners[id.0 as usize].socket()
    }

    /// Reports everything that has happened; never waits. Returns the number of events.
    pub fn poll(&mut self, handler: &mut impl NetHandler) -> io::Result<usize> {
        if self.sockets.ring.has_deferred_work() {
            self.sockets.submit()?;
        }
        self.sockets.note_submitted();
        let mut events = 0;
        loop {
            events += self.drain(handler);
            if !self.sockets.ring.overflowed() {
                break;
            }
            self.sockets.submit()?;
        }
        self.settle_sends(handler);
        events += self.report_ended(handler);
        Ok(events)
    }

    fn drain(&mut self, handler: &mut impl NetHandler) -> usize {
        let mut events = 0;
        loop {
            let mut batch = [const { MaybeUninit::uninit() }; DRAIN_BATCH];
            let completions = self.sockets.ring.drain(&mut batch);
            for completion in completions {
                self.completed(completion, handler);
            }
            events += completions.len();
            if completions.len() < DRAIN_BATCH {
                return events;
            }
        }
    }

    fn completed(&mut self, completion: &cqueue::Entry, handler: &mut impl NetHandler) {
        let result = completion.result();
        let more = cqueue::more(completion.flags());
        match Token::unpack(completion.user_data()) {
            Token::Receive(key) => self.received(key, completion, handler),
            Token::Send(key) => {
                if let Some(buffer) = self.sockets.send_completed(key, result) {
                    handler.sent(&mut self.sockets, key, buffer);
                }
            }
            Token::Accept(id) => {
                match self.listeners[id.0 as usize].completed(&mut self.sockets.ring, result, more)
                {
                    Accepted::Client(client) => handler.accepted(&mut self.sockets, id, client),
                    Accepted::Nothing => {}
                    Accepted::Failed(error) => handler.accept_failed(id, error),
                }
            }
            Token::AcceptAgain(id) => self.listeners[id.0 as usize].arm(&mut self.sockets.ring),
            Token::Mail => self.alarm.mail_noticed(more),
            Token::Cancel => {}
        }
    }

    fn received(
        &mut self,
        key: ConnKey,
        completion: &cqueue::Entry,
        handler: &mut impl NetHandler,
    ) {
        let result = completion.result();
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            if result > 0 && self.sockets.is_open(key) {
                handler.received(
                    &mut self.sockets,
                    key,
                    self.buffers.get(id, result as usize),
                );
            }
            self.buffers.recycle(id);
        }
        if result == -libc::ENOBUFS {
            self.buffers.lend_more();
        }
        if !cqueue::more(completion.flags()) {
            self.sockets.receive_ended(key, result);
        }
        if result == 0 && self.sockets.is_open(key) {
            handler.peer_finished(&mut self.sockets, key);
        }
    }

    fn settle_sends(&mut self, handler: &mut impl NetHandler) {
        let tried = self.sockets.take_tried();
        for &key in &tried {
            if let Some(buffer) = self.sockets.settle(key) {
                handler.sent(&mut self.sockets, key, buffer);
            }
        }
        self.sockets.reuse_tried(tried);
    }

    fn report_ended(&mut self, handler: &mut impl NetHandler) -> usize {
        let mut events = 0;
        while let Some(key) = self.sockets.take_ended() {
            if let Some(reason) = self.sockets.remove(key) {
                handler.closed(&mut self.sockets, key, reason);
                events += 1;
            }
        }
        events
    }
}

impl Deref for Net {
    type Target = Sockets;

    fn deref(&self) -> &Sockets {
        &self.sockets
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.sockets.ring.cancel_all().is_err() {
            // The kernel may still write into the pool and read from send buffers: memory that is never freed is the
            // lesser evil.
            mem::forget(mem::replace(&mut self.buffers, ReceiveBuffers::none()));
            self.sockets.leak();
        }
    }
}
