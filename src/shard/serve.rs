//! A shard's main task: pass after pass until the server stops.

use super::connection::{Connection, Progress};
use super::door;
use super::net::{
    CloseReason, ConnKey, ListenerId, ListenerSocket, Net, NetConfig, NetHandler, Sockets,
};
use crate::base::mailbox::Mailbox;
use crate::config::{Opt, Settings};
use crate::engine::{Client, ClientFlags, Flow, Message, Outputs, Shared, Worker};
use crate::resp::Limits;
use slab::Slab;
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the end of the server waits for scripts that are running.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// Serves clients on this thread until [`Message::Shutdown`].
pub fn serve(
    shared: &'static Shared,
    shard: u32,
    listeners: Vec<ListenerSocket>,
) -> Result<(), String> {
    let mailbox = &shared.host.mailboxes[shard as usize];
    let mut net = Net::new(NetConfig::default(), mailbox).map_err(|error| error.to_string())?;
    let listeners = listeners
        .into_iter()
        .map(|socket| net.listen(socket))
        .collect();
    let mut state = Shard::new(shared, shard, listeners);
    state.set_keepalive(&net);
    loop {
        state
            .pass(&mut net)
            .map_err(|error| format!("the socket ring failed: {error}"))?;
        if state.is_finished() {
            break;
        }
        let handed_over = if state.has_more() {
            net.submit()
        } else {
            net.sleep(&state.mailbox, state.patience())
        };
        handed_over.map_err(|error| format!("the socket ring failed: {error}"))?;
    }
    Ok(())
}

/// What a shard owns besides its sockets.
struct Shard {
    shared: &'static Shared,
    worker: Worker,
    mailbox: Arc<Mailbox<Message>>,
    listeners: Vec<ListenerId>,
    connections: Slab<Box<Connection>>,
    /// The connection in each of the ring's slots.
    by_slot: Vec<Option<usize>>,
    /// Connections with something to send.
    dirty: Vec<usize>,
    /// Connections whose replies wait for the journal.
    held: Vec<usize>,
    /// Connections that have used up their turn.
    ready: Vec<usize>,
    /// Subscribers that do not read what they subscribed to.
    overrun: Vec<usize>,
    limits: Limits,
    input_max: usize,
    keepalive_s: i64,
    next_tick: Instant,
    stop_at: Option<Instant>,
}

impl Shard {
    fn new(shared: &'static Shared, shard: u32, listeners: Vec<ListenerId>) -> Self {
        let mut state = Self {
            shared,
            worker: Worker::new(shared, shard),
            mailbox: shared.host.mailboxes[shard as usize].clone(),
            listeners,
            connections: Slab::new(),
            by_slot: Vec::new(),
            dirty: Vec::new(),
            held: Vec::new(),
            ready: Vec::new(),
            overrun: Vec::new(),
            limits: Limits::default(),
            input_max: usize::MAX,
            keepalive_s: -1,
            next_tick: Instant::now(),
            stop_at: None,
        };
        state.read_settings();
        state
    }

    fn pass(&mut self, net: &mut Net) -> io::Result<()> {
        self.worker.begin_pass();
        net.poll(self)?;
        while let Some(message) = self.mailbox.pop() {
            self.message(net, message);
        }
        self.take_turns(net);
        if Instant::now() >= self.next_tick {
            self.tick(net);
        }
        for token in self.worker.due() {
            self.resume(net, token);
        }
        self.answer_busy(net);
        self.end_pass(net);
        Ok(())
    }

    /// Answers who waits for what a slow script holds.
    fn answer_busy(&mut self, net: &mut Net) {
        for (token, conn) in self.worker.busy_waiters() {
            let connection = &mut self.connections[conn as usize];
            let Connection { client, out, .. } = &mut **connection;
            let flow = self.worker.answer_busy(token, client, out);
            self.after(net, conn as usize, flow);
        }
    }

    /// Ends the pass: the journal first, then the replies.
    fn end_pass(&mut self, net: &mut Net) {
        self.worker.broadcast();
        self.tell_clients();
        for id in std::mem::take(&mut self.overrun) {
            self.cut_off(net, id);
        }
        let barrier = match self.worker.end_pass() {
            Ok(barrier) => barrier,
            Err(error) => {
                self.lose_replies(net, &error);
                return;
            }
        };
        for id in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.dirty = false;
            connection.end_pass(barrier);
            if connection.is_held() {
                self.held.push(id);
            }
            connection.flush(net, &self.worker);
        }
    }

    /// The journal could not keep what this pass answered: nobody may read that it did.
    fn lose_replies(&mut self, net: &mut Net, error: &dyn Display) {
        tracing::error!(%error, "the journal failed: clients with unsent replies are closed");
        for id in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.dirty = false;
            connection.drop_output();
            connection.closing = true;
            connection.flush(net, &self.worker);
        }
    }

    fn message(&mut self, net: &mut Net, message: Message) {
        match message {
            Message::Wake(token) => self.resume(net, token),
            Message::Served(served) => {
                if let Some(id) = self.worker.conn_of(served.token).map(|conn| conn as usize) {
                    let connection = &mut self.connections[id];
                    let Connection { client, out, .. } = &mut **connection;
                    let flow = self.worker.served(&served, client, out);
                    self.after(net, id, flow);
                }
            }
            Message::Durable => self.release_held(net),
            Message::Kill { client } => {
                if let Some(id) = self.find(client) {
                    let connection = &mut self.connections[id];
                    connection.drop_output();
                    connection.closing = true;
                    net.close(connection.key);
                }
            }
            Message::Unblock { client, with_error } => {
                if let Some(id) = self.find(client) {
                    let connection = &mut self.connections[id];
                    let Connection { client, out, .. } = &mut **connection;
                    let flow = self.worker.unblock(client, with_error, out);
                    self.after(net, id, flow);
                }
            }
            Message::Monitor(line) => {
                for (id, connection) in &mut self.connections {
                    if connection
                        .client
                        .info
                        .flags()
                        .contains(ClientFlags::MONITOR)
                    {
                        connection.out.extend_from_slice(&line);
                        mark_dirty(&mut self.dirty, id, connection);
                    }
                }
            }
            Message::Busy => self.worker.look_for_busy(),
            Message::Deliver(delivery) => {
                let mut listeners = Listeners {
                    connections: &mut self.connections,
                    dirty: &mut self.dirty,
                    overrun: &mut self.overrun,
                    settings: self.shared.config.settings(),
                };
                self.worker.deliver(&delivery, &mut listeners);
            }
            Message::AclChanged => self.revoke(net),
            Message::Configured => {
                self.worker.follow_settings();
                self.read_settings();
            }
            Message::Unpause => {
                for token in self.worker.paused() {
                    self.resume(net, token);
                }
            }
            Message::Shutdown => {
                self.stop_at
                    .get_or_insert(Instant::now() + SHUTDOWN_PATIENCE);
            }
        }
    }

    /// Sends away, and answers, those who may no longer hear or wait for what they asked for.
    fn revoke(&mut self, net: &mut Net) {
        let mut listeners = Listeners {
            connections: &mut self.connections,
            dirty: &mut self.dirty,
            overrun: &mut self.overrun,
            settings: self.shared.config.settings(),
        };
        self.worker.revoke_subscriptions(&mut listeners);
        for (token, conn) in self.worker.waiting_for_data() {
            let connection = &mut self.connections[conn as usize];
            let Connection { client, out, .. } = &mut **connection;
            let flow = self.worker.revoke_wait(token, client, out);
            if flow != Flow::Parked {
                self.after(net, conn as usize, flow);
            }
        }
    }

    /// One slice for each unfinished script, one turn for each client with more input.
    fn take_turns(&mut self, net: &mut Net) {
        for token in self.worker.take_runnable() {
            self.resume(net, token);
        }
        for id in std::mem::take(&mut self.ready) {
            self.proceed(net, id);
        }
    }

    /// Takes parked work up again.
    fn resume(&mut self, sockets: &mut Sockets, token: u64) {
        let Some(id) = self.worker.conn_of(token).map(|conn| conn as usize) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Connection { client, out, .. } = &mut **connection;
        let flow = self.worker.resume(token, client, out);
        self.after(sockets, id, flow);
    }

    /// What follows from a request that ended, or did not.
    fn after(&mut self, sockets: &mut Sockets, id: usize, flow: Flow) {
        self.tell_clients();
        let connection = &mut self.connections[id];
        mark_dirty(&mut self.dirty, id, connection);
        match flow {
            Flow::Parked => return,
            Flow::Done => {}
            Flow::Close => connection.closing = true,
        }
        if connection.gone {
            // It stayed for its script, which has ended: there is nothing to wait for.
            self.worker.abandon(&mut connection.client);
            self.forget(id);
        } else {
            self.proceed(sockets, id);
        }
    }

    /// Runs what a client sent while its last command was waiting.
    fn proceed(&mut self, sockets: &mut Sockets, id: usize) {
        if self.stop_at.is_some() {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let progress = connection.proceed(&mut self.worker, sockets, &self.limits);
        mark_dirty(&mut self.dirty, id, connection);
        if progress == Progress::More {
            self.ready.push(id);
        }
        self.tell_clients();
    }

    /// Gives the clients of this shard what requests had to tell them.
    fn tell_clients(&mut self) {
        if self.worker.is_telling() {
            let mut listeners = Listeners {
                connections: &mut self.connections,
                dirty: &mut self.dirty,
                overrun: &mut self.overrun,
                settings: self.shared.config.settings(),
            };
            self.worker.deliver_waiting(&mut listeners);
        }
    }

    fn release_held(&mut self, net: &mut Net) {
        let journal = &self.shared.journal;
        if let Err(error) = journal.health() {
            tracing::error!(%error, "the journal failed: clients whose commits are not durable are closed");
            for id in std::mem::take(&mut self.held) {
                let Some(connection) = self.connections.get_mut(id) else {
                    continue;
                };
                connection.drop_output();
                connection.closing = true;
                connection.flush(net, &self.worker);
            }
            return;
        }
        let durable = journal.synced();
        let connections = &mut self.connections;
        let worker = &self.worker;
        self.held.retain(|id| {
            let Some(connection) = connections.get_mut(*id) else {
                return false;
            };
            connection.release(durable);
            connection.flush(net, worker);
            connection.is_held()
        });
    }

    fn tick(&mut self, net: &mut Net) {
        let settings = self.shared.config.settings();
        let hz = settings.number(Opt::Hz).max(1) as u64;
        self.next_tick = Instant::now() + Duration::from_millis(1000 / hz);
        self.worker.tick();
        self.read_settings();
        self.set_keepalive(net);
        self.check_clients(net);
        if self.worker.shard == 0 {
            self.shared.observer.sample(self.worker.now_ms as u64);
        }
    }

    /// Closes clients that have been idle for too long or do not read their replies.
    fn check_clients(&mut self, net: &mut Net) {
        let settings = self.shared.config.settings();
        let timeout_ms = settings.number(Opt::Timeout) * 1000;
        let now_ms = self.worker.now_ms;
        let mut overrun = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.gone {
                continue;
            }
            let info = &connection.client.info;
            let idle_ms = now_ms - info.last_active_ms.load(Ordering::Relaxed);
            let listens = info
                .flags()
                .intersects(ClientFlags::MONITOR | ClientFlags::PUBSUB);
            if timeout_ms > 0
                && idle_ms > timeout_ms
                && connection.client.parked.is_none()
                && !listens
            {
                net.close(connection.key);
            } else if connection.check_output(settings, now_ms) {
                overrun.push(id);
            }
        }
        for id in overrun {
            self.cut_off(net, id);
        }
    }

    /// Gives up on a client that does not read what it is sent.
    fn cut_off(&mut self, net: &mut Net, id: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let info = &connection.client.info;
        if info.flags().contains(ClientFlags::CLOSE_ASAP) {
            // What is being sent keeps it from ending at once.
            return;
        }
        info.set_flag(ClientFlags::CLOSE_ASAP, true);
        tracing::warn!(
            client = connection.client.id(),
            "closed: its unread replies exceed client-output-buffer-limit"
        );
        let shard = self.shared.observer.shard(self.worker.shard as usize);
        shard.output_buffer_disconnections.add(1);
        connection.drop_output();
        connection.closing = true;
        net.close(connection.key);
    }

    fn read_settings(&mut self) {
        let settings = self.shared.config.settings();
        self.limits.max_bulk_len = settings.size(Opt::ProtoMaxBulkLen);
        self.input_max = settings.size(Opt::ClientQueryBufferLimit);
    }

    fn set_keepalive(&mut self, net: &Net) {
        let seconds = self.shared.config.settings().number(Opt::TcpKeepalive);
        if seconds == self.keepalive_s {
            return;
        }
        self.keepalive_s = seconds;
        for id in &self.listeners {
            let listener = net.listener(*id);
            if listener.local_addr().is_some()
                && let Err(error) = listener.set_keepalive(Duration::from_secs(seconds as u64))
            {
                tracing::warn!(%error, "cannot set tcp-keepalive");
            }
        }
    }

    /// How long the shard may sleep.
    fn patience(&self) -> Duration {
        let tick = self.next_tick.saturating_duration_since(Instant::now());
        self.worker.until_due().map_or(tick, |due| due.min(tick))
    }

    fn has_more(&self) -> bool {
        !self.ready.is_empty() || self.worker.has_runnable()
    }

    /// Whether the server stops and nothing is left to wait for.
    fn is_finished(&self) -> bool {
        let Some(stop_at) = self.stop_at else {
            return false;
        };
        let unsent = self
            .connections
            .iter()
            .any(|(_, c)| !c.gone && c.unsent_bytes() > 0);
        let started = self.worker.started_scripts();
        (!started && !unsent) || Instant::now() >= stop_at
    }

    fn find(&self, client: u64) -> Option<usize> {
        self.connections
            .iter()
            .find(|(_, c)| c.client.id() == client)
            .map(|(id, _)| id)
    }

    fn by_key(&mut self, key: ConnKey) -> Option<usize> {
        let id = (*self.by_slot.get(key.index())?)?;
        (self.connections.get(id)?.key == key).then_some(id)
    }

    fn forget(&mut self, id: usize) {
        self.connections.remove(id);
        self.shared
            .observer
            .shard(self.worker.shard as usize)
            .connected_clients
            .lower();
    }
}

/// The clients of a shard, as those reach them who have something to tell.
struct Listeners<'a> {
    connections: &'a mut Slab<Box<Connection>>,
    dirty: &'a mut Vec<usize>,
    overrun: &'a mut Vec<usize>,
    settings: &'a Settings,
}

impl Outputs for Listeners<'_> {
    fn with(&mut self, conn: u64, write: &mut dyn FnMut(&mut Client, &mut Vec<u8>)) {
        let id = conn as usize;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.gone || connection.closing {
            return;
        }
        write(&mut connection.client, &mut connection.out);
        mark_dirty(self.dirty, id, connection);
        if connection.is_overrun(self.settings) {
            connection.closing = true;
            self.overrun.push(id);
        }
    }
}

fn mark_dirty(dirty: &mut Vec<usize>, id: usize, connection: &mut Connection) {
    if !connection.dirty {
        connection.dirty = true;
        dirty.push(id);
    }
}

impl NetHandler for Shard {
    fn accepted(&mut self, sockets: &mut Sockets, _: ListenerId, socket: OwnedFd) {
        let shard = self.shared.observer.shard(self.worker.shard as usize);
        if self.stop_at.is_some() {
            return;
        }
        let peer = door::peer_of(&socket);
        let key = sockets.adopt(socket);
        if let Some(refusal) = door::refusal(self.shared, &peer) {
            shard.connections_rejected.add(1);
            sockets.send(key, format!("-{refusal}\r\n").into_bytes());
            sockets.close_when_sent(key);
            return;
        }
        shard.connections_received.add(1);
        shard.connected_clients.raise();
        let info = self.shared.clients.enter(
            self.worker.shard,
            peer,
            self.worker.now_ms,
            self.shared.acl.stranger(),
        );
        let open = self.shared.acl.is_open();
        let entry = self.connections.vacant_entry();
        let id = entry.key();
        entry.insert(Box::new(Connection::new(
            key,
            Client::new(info, id as u64, open),
        )));
        if self.by_slot.len() <= key.index() {
            self.by_slot.resize(key.index() + 1, None);
        }
        self.by_slot[key.index()] = Some(id);
    }

    fn accept_failed(&mut self, _: ListenerId, error: io::Error) {
        tracing::warn!(%error, "cannot accept a client");
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnKey, data: &[u8]) {
        let shard = self.shared.observer.shard(self.worker.shard as usize);
        shard.net_input_bytes.add(data.len() as u64);
        shard.reads_processed.add(1);
        if self.stop_at.is_some() {
            return;
        }
        self.worker.follow_settings();
        let Some(id) = self.by_key(conn) else { return };
        let connection = &mut self.connections[id];
        let progress = connection.receive(
            &mut self.worker,
            sockets,
            &self.limits,
            self.input_max,
            data,
        );
        mark_dirty(&mut self.dirty, id, connection);
        if progress == Progress::More && !self.ready.contains(&id) {
            self.ready.push(id);
        }
        self.tell_clients();
    }

    fn peer_finished(&mut self, _: &mut Sockets, conn: ConnKey) {
        if let Some(id) = self.by_key(conn) {
            let connection = &mut self.connections[id];
            connection.closing = true;
            mark_dirty(&mut self.dirty, id, connection);
        }
    }

    fn sent(&mut self, _: &mut Sockets, conn: ConnKey, buffer: Vec<u8>) {
        if let Some(id) = self.by_key(conn) {
            let connection = &mut self.connections[id];
            if connection.sent(buffer) {
                mark_dirty(&mut self.dirty, id, connection);
            }
        }
    }

    fn closed(&mut self, _: &mut Sockets, conn: ConnKey, reason: CloseReason) {
        if let CloseReason::Failed(error) = reason {
            tracing::debug!(%error, "a client's socket failed");
        }
        let Some(id) = self.by_key(conn) else { return };
        self.by_slot[conn.index()] = None;
        let connection = &mut self.connections[id];
        connection.gone = true;
        connection.drop_output();
        if self.worker.abandon(&mut connection.client) {
            self.forget(id);
        }
    }
}
