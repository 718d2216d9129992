//! Side effects of a transaction: keyspace events, published messages, and keys whose copies in clients are void.
//!
//! They wait for the commit. [`Txn::rollback_to`] cuts them together with the changes that they tell of, and whoever
//! commits hands them over before it lets go of the keys, so that their order is the order of the changes.

use super::txn::{Txn, TxnBuffers};
use bitflags::bitflags;

bitflags! {
    /// The classes of keyspace events, with the bits of the option `notify-keyspace-events`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Notify: u16 {
        /// Publish `__keyspace@<db>__:<key>`.
        const KEYSPACE = 1 << 0;
        /// Publish `__keyevent@<db>__:<event>`.
        const KEYEVENT = 1 << 1;
        const GENERIC = 1 << 2;
        const STRING = 1 << 3;
        const LIST = 1 << 4;
        const SET = 1 << 5;
        const HASH = 1 << 6;
        const ZSET = 1 << 7;
        const EXPIRED = 1 << 8;
        const EVICTED = 1 << 9;
        const STREAM = 1 << 10;
        const KEY_MISS = 1 << 12;
        const NEW = 1 << 13;
    }
}

/// A side effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A keyspace event.
    Event {
        /// The logical database.
        db: usize,
        name: &'static str,
        key: &'a [u8],
    },
    Message {
        channel: &'a [u8],
        payload: &'a [u8],
        /// For those who subscribed with SSUBSCRIBE.
        sharded: bool,
    },
    /// A key has another value, or is gone.
    Changed { key: &'a [u8] },
    /// All keys of a database are gone.
    Flushed,
}

/// What an effect is, but for its bytes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Event { db: usize, name: &'static str },
    Message { channel_len: usize, sharded: bool },
    Changed,
    Flushed,
}

/// The side effects of a transaction, in their order.
#[derive(Debug, Default)]
pub struct Effects {
    /// The classes of events that somebody wants to hear of; empty: events are off.
    notify: Notify,
    /// Each effect with where its bytes end.
    kept: Vec<(Kind, usize)>,
    bytes: Vec<u8>,
}

/// A length to which [`Effects::truncate`] goes back.
#[derive(Clone, Copy, Debug)]
pub struct EffectsMark {
    kept: usize,
    bytes: usize,
}

/// Bytes of effects that are kept allocated for the next transaction.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl Effects {
    /// No effects yet, of a transaction that notes events of these classes.
    pub fn new(notify: Notify) -> Self {
        Self {
            notify,
            ..Self::default()
        }
    }

    pub fn notify_classes(&self) -> Notify {
        self.notify
    }

    /// Which classes of events are noted from now on. None, where they would be published under neither name.
    pub fn set_notify_classes(&mut self, classes: Notify) {
        let published = classes.intersects(Notify::KEYSPACE | Notify::KEYEVENT);
        self.notify = if published { classes } else { Notify::empty() };
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {
        let mut start = 0;
        self.kept.iter().map(move |(kind, end)| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            match *kind {
                Kind::Event { db, name } => Effect::Event {
                    db,
                    name,
                    key: bytes,
                },
                Kind::Message {
                    channel_len,
                    sharded,
                } => {
                    let (channel, payload) = bytes.split_at(channel_len);
                    Effect::Message {
                        channel,
                        payload,
                        sharded,
                    }
                }
                Kind::Changed => Effect::Changed { key: bytes },
                Kind::Flushed => Effect::Flushed,
            }
        })
    }

    pub fn clear(&mut self) {
        self.kept.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }

    pub(super) fn mark(&self) -> EffectsMark {
        EffectsMark {
            kept: self.kept.len(),
            bytes: self.bytes.len(),
        }
    }

    pub(super) fn truncate(&mut self, to: EffectsMark) {
        self.kept.truncate(to.kept);
        self.bytes.truncate(to.bytes);
    }

    fn push(&mut self, kind: Kind, parts: [&[u8]; 2]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.kept.push((kind, self.bytes.len()));
    }

    pub(super) fn push_changed(&mut self, key: &[u8]) {
        self.push(Kind::Changed, [key, b""]);
    }
}

impl Txn<'_> {
    /// Tells those who listen to keyspace events what happened to a key, once this is committed.
    #[inline]
    pub fn notify(&mut self, class: Notify, name: &'static str, key: &[u8]) {
        if self.effects().notify.intersects(class) {
            self.note_event(name, key);
        }
    }

    /// Tells that elements were removed from a key, and that the key went with the last of them.
    #[inline]
    pub fn notify_removal(&mut self, class: Notify, name: &'static str, key: &[u8], is_over: bool) {
        self.notify(class, name, key);
        if is_over {
            self.notify(Notify::GENERIC, "del", key);
        }
    }

    #[cold]
    fn note_event(&mut self, name: &'static str, key: &[u8]) {
        let db = self.keyspace().logical(self.db());
        self.effects_mut()
            .push(Kind::Event { db, name }, [key, b""]);
    }

    /// Publishes a message, once this is committed.
    pub fn publish(&mut self, channel: &[u8], payload: &[u8], sharded: bool) {
        let kind = Kind::Message {
            channel_len: channel.len(),
            sharded,
        };
        self.effects_mut().push(kind, [channel, payload]);
    }

    /// Voids what clients have cached, once this is committed.
    pub fn note_flush(&mut self) {
        if self.keyspace().is_tracked() {
            self.effects_mut().push(Kind::Flushed, [b"", b""]);
        }
    }
}

impl TxnBuffers {
    /// After a commit: what is to be handed over.
    #[inline]
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expiry, Keyspace};
    use super::*;
    use crate::value::{Str, Value};

    const NOW_MS: i64 = 1_000_000;

    fn names(effects: &Effects) -> Vec<String> {
        let name = |effect: Effect<'_>| match effect {
            Effect::Event { db, name, key } => format!("{name} {} in {db}", key.escape_ascii()),
            Effect::Message {
                channel, payload, ..
            } => format!("{}: {}", channel.escape_ascii(), payload.escape_ascii()),
            Effect::Changed { key } => format!("changed {}", key.escape_ascii()),
            Effect::Flushed => "flushed".to_owned(),
        };
        effects.iter().map(name).collect()
    }

    fn put(txn: &mut Txn<'_>, key: &[u8], expiry: Expiry) {
        txn.put(key, Value::Str(Str::new(b"v")), expiry);
    }

    #[test]
    fn a_rollback_cuts_what_was_to_be_told() {
        let (keyspace, mirror) = (Keyspace::new(2), Keyspace::new(2));
        let mut buffers = TxnBuffers::default();
        buffers.effects().set_notify_classes(Notify::all());
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
        put(&mut txn, b"kept", Expiry::Never);
        txn.publish(b"channel", b"first", false);
        let savepoint = txn.savepoint();
        put(&mut txn, b"taken-back", Expiry::Never);
        txn.publish(b"channel", b"second", false);
        txn.rollback_to(savepoint);
        txn.publish(b"channel", b"third", true);
        let expected = ["new kept in 0", "channel: first", "channel: third"];
        assert_eq!(names(txn.effects()), expected);
        txn.commit_to_mirror(&mirror);
        assert_eq!(names(txn.effects()), expected, "for the caller");
        txn.effects_mut().clear();
        txn.publish(b"channel", b"fourth", false);
        txn.rollback();
        assert!(txn.effects().is_empty());
    }

    #[test]
    fn events_that_nobody_hears_are_not_kept() {
        let keyspace = Keyspace::new(2);
        let mut buffers = TxnBuffers::default();
        for classes in [
            Notify::empty(),
            Notify::all() - Notify::NEW,
            // Under neither of the two names.
            Notify::all() - Notify::KEYSPACE - Notify::KEYEVENT,
        ] {
            buffers.effects().set_notify_classes(classes);
            let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
            put(&mut txn, b"key", Expiry::Never);
            assert!(txn.effects().is_empty(), "{classes:?}");
            txn.rollback();
        }
    }

    #[test]
    fn keys_that_are_missed_or_found_expired_are_told_of() {
        let keyspace = Keyspace::new(2);
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(&keyspace, &mut buffers, 1, NOW_MS);
        put(&mut txn, b"key", Expiry::At(NOW_MS + 1));
        drop(txn);
        let mut later = Txn::new(&keyspace, &mut buffers, 1, NOW_MS + 1);
        later.effects_mut().set_notify_classes(Notify::all());
        assert!(later.get(b"key").is_none());
        assert!(!later.exists(b"other"));
        let expected = ["expired key in 1", "keymiss key in 1"];
        assert_eq!(names(later.effects()), expected);
    }

    #[test]
    fn changed_keys_are_told_of_where_somebody_tracks() {
        let (keyspace, mirror) = (Keyspace::new(2), Keyspace::new(2));
        let mut buffers = TxnBuffers::default();
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
        put(&mut txn, b"untold", Expiry::Never);
        txn.note_flush();
        txn.commit_to_mirror(&mirror);
        assert!(txn.effects().is_empty());
        keyspace.set_tracked(true);
        put(&mut txn, b"a", Expiry::Never);
        txn.rename(b"a", 1, b"b");
        txn.note_flush();
        txn.commit_to_mirror(&mirror);
        let expected = ["flushed", "changed a", "changed a", "changed b"];
        assert_eq!(names(txn.effects()), expected);
    }

    #[test]
    fn an_event_names_the_logical_database() {
        let keyspace = Keyspace::new(4);
        let mut buffers = TxnBuffers::default();
        buffers.effects().set_notify_classes(Notify::all());
        let mut txn = Txn::new(&keyspace, &mut buffers, 0, NOW_MS);
        txn.swap_db(0, 3);
        txn.notify(Notify::GENERIC, "del", b"key");
        assert_eq!(names(txn.effects()), ["del key in 3"]);
    }
}
