//! A shard's own subscribers, and a client's own subscriptions.

use super::{Kind, Name, Published};
use crate::engine::outbox::Outputs;
use crate::resp::{Protocol, Reply, RespWriter};
use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;

/// The connections that subscribed to something.
type Listeners = HashSet<u64, RandomState>;
type Table = HashMap<Name, Listeners, RandomState>;

/// The subscriptions of one shard's clients.
#[derive(Debug, Default)]
pub struct Subscribers {
    channels: Table,
    patterns: Table,
    shard_channels: Table,
}

impl Subscribers {
    pub fn add(&mut self, kind: Kind, name: &Name, conn: u64) {
        let listeners = self.table(kind).entry(name.clone()).or_default();
        listeners.insert(conn);
    }

    pub fn remove(&mut self, kind: Kind, name: &Name, conn: u64) {
        let table = self.table(kind);
        if let Some(listeners) = table.get_mut(name) {
            listeners.remove(&conn);
            if listeners.is_empty() {
                table.remove(name);
            }
        }
    }

    /// Gives a message to everybody who is to get it, but for one who has it already.
    pub fn deliver(&self, message: &Published, outputs: &mut dyn Outputs, but: Option<u64>) {
        for (prefix, listeners) in self.receivers(message) {
            for conn in listeners.iter().filter(|conn| Some(**conn) != but) {
                outputs.with(*conn, &mut |client, out| {
                    prefix.put(out, client.protocol);
                    out.extend_from_slice(message.body());
                });
            }
        }
    }

    /// Gives a message to one connection, if it is to get it.
    pub fn deliver_to(
        &self,
        message: &Published,
        conn: u64,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        for (prefix, listeners) in self.receivers(message) {
            if listeners.contains(&conn) {
                prefix.put(out, protocol);
                out.extend_from_slice(message.body());
            }
        }
    }

    /// Who gets a message, and how it begins for them: those of its channel first, then those of patterns.
    fn receivers<'a>(
        &'a self,
        message: &'a Published,
    ) -> impl Iterator<Item = (Prefix<'a>, &'a Listeners)> {
        let (prefix, table) = if message.sharded {
            (Prefix::ShardMessage, &self.shard_channels)
        } else {
            (Prefix::Message, &self.channels)
        };
        let of_channel = table.get(message.channel());
        let of_patterns = message.patterns.iter().filter_map(|pattern| {
            let listeners = self.patterns.get(pattern)?;
            Some((Prefix::PatternMessage(pattern), listeners))
        });
        let of_channel = of_channel.map(|listeners| (prefix, listeners));
        of_channel.into_iter().chain(of_patterns)
    }

    /// Everybody who listens to something.
    pub fn connections(&self) -> BTreeSet<u64> {
        let tables = [&self.channels, &self.patterns, &self.shard_channels];
        let listeners = tables.into_iter().flat_map(|table| table.values());
        listeners.flatten().copied().collect()
    }

    fn table(&mut self, kind: Kind) -> &mut Table {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }
}

/// What stands before channel and payload.
#[derive(Clone, Copy)]
enum Prefix<'a> {
    Message,
    ShardMessage,
    PatternMessage(&'a [u8]),
}

impl Prefix<'_> {
    fn put(self, out: &mut Vec<u8>, protocol: Protocol) {
        let mut writer = RespWriter::new(out, protocol);
        match self {
            Prefix::Message => {
                writer.push(3);
                writer.bulk(b"message");
            }
            Prefix::ShardMessage => {
                writer.push(3);
                writer.bulk(b"smessage");
            }
            Prefix::PatternMessage(pattern) => {
                writer.push(4);
                writer.bulk(b"pmessage");
                writer.bulk(pattern);
            }
        }
    }
}

/// What a client subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Name>,
    patterns: BTreeSet<Name>,
    shard_channels: BTreeSet<Name>,
}

impl Subscriptions {
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    pub fn of(&self, kind: Kind) -> &BTreeSet<Name> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard_channels,
        }
    }

    pub fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Name> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }

    /// The number in the reply to a subscription of this kind: shard channels are counted by themselves.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::Shard => self.shard_channels.len(),
        }
    }
}
