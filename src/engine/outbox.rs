//! What a shard has to tell clients besides replies: messages, keyspace events, keys whose cached copies are void.
//!
//! What is for clients of other shards goes to their mailboxes. What is for clients of this shard waits in the outbox: the
//! client whose request it came from reads it at its place among its replies, the others once that client's turn is over.

use super::client::Client;
use super::message::Message;
use super::pubsub::Published;
use super::shared::Shared;
use super::tracking::{self, Broadcast, Invalidation, Tracker};
use super::worker::Worker;
use crate::keyspace::{Effect, Effects, Notify};
use std::sync::Arc;

/// Something to be told to clients of one shard.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message, to those who subscribed.
    Publish(Arc<Published>),
    /// Void copies, to those who track them.
    Invalidate(Arc<Invalidation>),
    /// Void copies, to the client that another one has them sent to.
    Redirected { to: Tracker, body: Arc<[u8]> },
}

/// A shard's clients: their sessions and what is to be sent to them.
pub trait Outputs {
    /// Writes to a connection, if it is still there.
    fn with(&mut self, conn: u64, write: &mut dyn FnMut(&mut Client, &mut Vec<u8>));
}

/// A shard's way to all clients.
pub struct Outbox {
    pub shared: &'static Shared,
    shard: u32,
    /// The client whose request is running.
    pub writer: u64,
    /// What is for clients of this shard, and the connection that has got its part of it already.
    local: Vec<(Delivery, Option<u64>)>,
    /// Keys that were changed in this pass, for those who track by prefixes.
    broadcast: Broadcast,
    /// The name of a channel while it is put together.
    scratch: Vec<u8>,
}

impl Outbox {
    pub fn new(shared: &'static Shared, shard: u32) -> Self {
        Self {
            shared,
            shard,
            writer: 0,
            local: Vec::new(),
            broadcast: Broadcast::default(),
            scratch: Vec::new(),
        }
    }

    #[inline]
    fn is_waiting(&self) -> bool {
        !self.local.is_empty()
    }

    pub fn post(&mut self, shard: u32, delivery: Delivery) {
        if shard == self.shard {
            self.local.push((delivery, None));
        } else {
            self.shared.tell(shard, Message::Deliver(delivery));
        }
    }

    pub fn invalidate(&mut self, shard: u32, invalidation: Invalidation) {
        self.post(shard, Delivery::Invalidate(Arc::new(invalidation)));
    }

    /// Hands the side effects of a commit over to those whom they concern.
    #[inline]
    pub fn hand_over(&mut self, effects: &mut Effects) {
        if !effects.is_empty() {
            self.hand_over_some(effects);
        }
    }

    #[cold]
    fn hand_over_some(&mut self, effects: &mut Effects) {
        let classes = effects.notify_classes();
        let shared = self.shared;
        for effect in effects.iter() {
            match effect {
                Effect::Event { db, name, key } => self.event(classes, db, name, key),
                Effect::Message {
                    channel,
                    payload,
                    sharded,
                } => {
                    self.publish(channel, payload, sharded);
                }
                Effect::Changed { key } => {
                    if shared.tracking.is_broadcast(key) {
                        self.broadcast.add(key, self.writer);
                    }
                    shared.tracking.changed(key, self);
                }
                Effect::Flushed => shared.tracking.flushed(self),
            }
        }
        effects.clear();
    }

    /// Posts a message; returns how many clients get it.
    pub fn publish(&mut self, channel: &[u8], payload: &[u8], sharded: bool) -> usize {
        let mut receivers = self.shared.channels.receivers(channel, sharded);
        if receivers.clients > 0 {
            let message = Published::new(channel, payload, sharded, &mut receivers);
            let message = Arc::new(message);
            for shard in receivers.shards {
                self.post(shard, Delivery::Publish(message.clone()));
            }
        }
        receivers.clients
    }

    /// Publishes a keyspace event under the names that are asked for.
    fn event(&mut self, classes: Notify, db: usize, name: &str, key: &[u8]) {
        if self.shared.channels.is_empty() {
            return;
        }
        let mut channel = std::mem::take(&mut self.scratch);
        let mut digits = itoa::Buffer::new();
        let db = digits.format(db).as_bytes();
        for (class, prefix, last, payload) in [
            (Notify::KEYSPACE, &b"__keyspace@"[..], key, name.as_bytes()),
            (Notify::KEYEVENT, &b"__keyevent@"[..], name.as_bytes(), key),
        ] {
            if classes.contains(class) {
                channel.clear();
                for part in [prefix, db, b"__:", last] {
                    channel.extend_from_slice(part);
                }
                self.publish(&channel, payload, false);
            }
        }
        self.scratch = channel;
    }
}

impl Worker {
    /// After a request: tells its own client what the request had to tell. Messages go before the reply, which begins at
    /// `mark`, and void copies after it.
    #[inline]
    pub(super) fn tell_self(&mut self, client: &mut Client, out: &mut Vec<u8>, mark: usize) {
        if self.outbox.is_waiting() {
            self.tell_self_some(client, out, mark);
        }
    }

    #[cold]
    fn tell_self_some(&mut self, client: &mut Client, out: &mut Vec<u8>, mark: usize) {
        let conn = client.conn;
        let revoking = self.must_revoke();
        let mut before = Vec::new();
        let mut at = 0;
        // A redirection adds to what waits.
        while let Some((delivery, told)) = self.outbox.local.get_mut(at) {
            at += 1;
            // Who may listen to it is looked at when the others are told.
            if told.is_some() || matches!(delivery, Delivery::Publish(_)) && revoking {
                continue;
            }
            *told = Some(conn);
            match delivery.clone() {
                Delivery::Publish(message) => {
                    if client.subscriptions.is_some() {
                        let protocol = client.protocol;
                        self.subscribers
                            .deliver_to(&message, conn, protocol, &mut before);
                    }
                }
                Delivery::Invalidate(void) => {
                    if void.to.iter().any(|tracker| tracker.is(client)) {
                        tracking::tell(client, &void, out, &mut self.outbox);
                    }
                }
                Delivery::Redirected { to, body } => {
                    if to.is(client) {
                        tracking::tell_redirected(client, &body, &mut before);
                    }
                }
            }
        }
        if !before.is_empty() {
            out.splice(mark..mark, before);
        }
    }

    /// Whether clients of this shard have something to be told.
    #[inline]
    pub fn is_telling(&self) -> bool {
        self.outbox.is_waiting()
    }

    /// Tells the clients of this shard what waits for them.
    pub fn deliver_waiting(&mut self, outputs: &mut dyn Outputs) {
        while self.outbox.is_waiting() {
            for (delivery, told) in std::mem::take(&mut self.outbox.local) {
                self.deliver_but(&delivery, outputs, told);
            }
        }
    }

    /// Tells the clients of this shard what another shard has for them.
    pub fn deliver(&mut self, delivery: &Delivery, outputs: &mut dyn Outputs) {
        self.deliver_but(delivery, outputs, None);
        self.deliver_waiting(outputs);
    }

    fn deliver_but(&mut self, delivery: &Delivery, outputs: &mut dyn Outputs, but: Option<u64>) {
        match delivery {
            Delivery::Publish(message) => {
                if self.must_revoke() {
                    self.revoke_subscriptions(outputs);
                }
                self.subscribers.deliver(message, outputs, but);
            }
            Delivery::Invalidate(void) => {
                let others = |tracker: &&Tracker| Some(tracker.conn()) != but;
                for tracker in void.to.iter().filter(others) {
                    outputs.with(tracker.conn(), &mut |client, out| {
                        if tracker.is(client) {
                            tracking::tell(client, void, out, &mut self.outbox);
                        }
                    });
                }
            }
            Delivery::Redirected { to, body } => {
                if Some(to.conn()) == but {
                    return;
                }
                outputs.with(to.conn(), &mut |client, out| {
                    if to.is(client) {
                        tracking::tell_redirected(client, body, out);
                    }
                });
            }
        }
    }

    /// At the end of a pass: posts the keys that were changed in it to those who track by prefixes.
    #[inline]
    pub fn broadcast(&mut self) {
        if !self.outbox.broadcast.is_empty() {
            let broadcast = std::mem::take(&mut self.outbox.broadcast);
            let tracking = &self.shared.tracking;
            tracking.post_broadcast(&broadcast, &mut self.outbox);
        }
    }
}
