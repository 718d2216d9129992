//! What clients read when their copies are void.

use super::table::Tracker;
use crate::engine::client::{Client, ClientFlags};
use crate::engine::outbox::{Delivery, Outbox};
use crate::resp::{Protocol, Reply, RespWriter};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Where RESP2 clients read that copies are void.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Void copies, for trackers of one shard.
#[derive(Debug)]
pub struct Invalidation {
    pub to: Vec<Tracker>,
    pub what: Void,
}

#[derive(Clone, Debug)]
pub enum Void {
    /// A key that was read.
    Key {
        /// Who changed it.
        writer: u64,
        /// The array of keys as it stands in the push.
        body: Arc<[u8]>,
    },
    /// Keys with a prefix that is tracked.
    Prefixed(Arc<Prefixed>),
    All,
}

/// Changed keys with one prefix.
#[derive(Debug)]
pub struct Prefixed {
    /// Each key with who changed it last.
    keys: Vec<(Box<[u8]>, u64)>,
    body: Arc<[u8]>,
}

impl Void {
    pub fn key(key: &[u8], writer: u64) -> Self {
        let body = array([key].into_iter());
        Void::Key { writer, body }
    }
}

/// Keys that were changed in a pass, in their order, with who changed each of them last.
#[derive(Debug, Default)]
pub struct Broadcast(BTreeMap<Box<[u8]>, u64>);

impl Broadcast {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, key: &[u8], writer: u64) {
        match self.0.get_mut(key) {
            Some(last) => *last = writer,
            None => {
                self.0.insert(key.into(), writer);
            }
        }
    }

    pub(super) fn with_prefix(&self, prefix: &[u8]) -> Option<Void> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let keys = self.0.range::<[u8], _>(from);
        let keys = keys.take_while(|(key, _)| key.starts_with(prefix));
        let keys: Vec<_> = keys.map(|(key, last)| (key.clone(), *last)).collect();
        let body = array(keys.iter().map(|(key, _)| &**key));
        (!keys.is_empty()).then(|| Void::Prefixed(Arc::new(Prefixed { keys, body })))
    }
}

/// Keys as an array, which looks the same in both protocols.
fn array<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Arc<[u8]> {
    let mut body = Vec::new();
    let mut writer = RespWriter::new(&mut body, Protocol::Resp2);
    writer.array(keys.len());
    keys.for_each(|key| writer.bulk(key));
    body.into()
}

/// Tells a tracker, or whom it names in its place, that copies are void.
pub fn tell(client: &mut Client, void: &Invalidation, out: &mut Vec<u8>, outbox: &mut Outbox) {
    let id = client.id();
    let Some(state) = &client.tracking else {
        return;
    };
    let skips = |writer: u64| state.no_loop && writer == id;
    let body = match &void.what {
        // What it read before it turned to prefixes does not concern it any more.
        Void::Key { writer, body } => {
            (!state.is_broadcast() && !skips(*writer)).then(|| body.clone())
        }
        Void::Prefixed(changed) if changed.keys.iter().any(|(_, last)| skips(*last)) => {
            let others = changed.keys.iter().filter(|(_, last)| !skips(*last));
            let others: Vec<&[u8]> = others.map(|(key, _)| &**key).collect();
            (!others.is_empty()).then(|| array(others.into_iter()))
        }
        Void::Prefixed(changed) => Some(changed.body.clone()),
        Void::All => {
            let mut body = Vec::new();
            RespWriter::new(&mut body, client.protocol).null();
            Some(body.into())
        }
    };
    let Some(body) = body else { return };
    if state.redirect == 0 {
        if client.protocol == Protocol::Resp3 {
            put_push(out, &body);
        }
        return;
    }
    let redirect = state.redirect;
    if let Some(info) = outbox.shared.clients.get(redirect) {
        let to = Tracker::new(info.id, info.shard, info.conn());
        outbox.post(info.shard, Delivery::Redirected { to, body });
        return;
    }
    client.info.set_flag(ClientFlags::BROKEN_REDIRECT, true);
    if client.protocol == Protocol::Resp3 {
        let mut writer = RespWriter::new(out, Protocol::Resp3);
        writer.push(2);
        writer.bulk(b"tracking-redir-broken");
        writer.integer(redirect as i64);
    }
}

/// Tells a client that copies of another one are void.
pub fn tell_redirected(client: &Client, body: &[u8], out: &mut Vec<u8>) {
    if client.protocol == Protocol::Resp3 {
        put_push(out, body);
    } else if client.subscriptions.is_some() {
        let mut writer = RespWriter::new(out, Protocol::Resp2);
        writer.array(3);
        writer.bulk(b"message");
        writer.bulk(CHANNEL);
        out.extend_from_slice(body);
    }
}

fn put_push(out: &mut Vec<u8>, body: &[u8]) {
    let mut writer = RespWriter::new(out, Protocol::Resp3);
    writer.push(2);
    writer.bulk(b"invalidate");
    out.extend_from_slice(body);
}
