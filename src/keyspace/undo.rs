//! What takes a change back. Played backwards, a transaction's list leaves the keyspace as it was.

use super::access::Access;
use super::sizes::{Resized, SizeChange};
use super::table::{Entry, Key, Table, TableHash};
use super::txn::Txn;
use crate::value::Value;

/// The name of an entry: physical database, hash, key.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub db: u8,
    pub hash: u64,
    pub key: Key,
}

/// A value with its expiry, as it was.
#[derive(Debug)]
pub struct Old {
    pub value: Value,
    pub expire_ms: i64,
    pub access: Access,
}

/// What a change has left at its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// A value without an expiry.
    Lasting,
    /// A value with an expiry.
    Volatile,
}

impl Left {
    #[inline]
    pub fn value(expire_ms: i64) -> Self {
        if expire_ms == 0 {
            Self::Lasting
        } else {
            Self::Volatile
        }
    }

    #[inline]
    fn size(self) -> SizeChange {
        SizeChange {
            keys: i64::from(self != Self::Nothing),
            volatile: i64::from(self == Self::Volatile),
        }
    }
}

#[derive(Debug)]
pub enum Undo {
    /// The key was set, replaced or removed; `None`: it was not there.
    Restore {
        place: Place,
        old: Option<Old>,
        left: Left,
    },
    /// The key's expiry was changed.
    Expire {
        place: Place,
        expire_ms: i64,
        left: Left,
    },
    /// A long string had these bytes at `offset`, and this length.
    Bytes {
        place: Place,
        offset: usize,
        old: Box<[u8]>,
        len: usize,
    },
    /// Elements of a collection were changed: so many of the changes that the transaction keeps.
    Edited { place: Place, changes: usize },
    /// A collection got another form, and holds what it held: the last of the changes that the transaction keeps.
    Reshaped { place: Place },
    /// The value was moved to another key, which had `replaced`.
    Moved {
        from: Place,
        to: Place,
        replaced: Option<Old>,
        left: Left,
    },
    /// A whole database was emptied: its table of each stripe.
    Flushed { db: u8, tables: Vec<Table> },
    /// Two logical databases changed places.
    Swapped { a: usize, b: usize },
}

impl Undo {
    /// Takes this change back, under the stripe that the transaction holds where it is the key's.
    pub fn play(self, txn: &mut Txn<'_>) {
        match self {
            Undo::Restore { place, old, .. } => restore(txn, place, old),
            Undo::Expire {
                place, expire_ms, ..
            } => in_table(txn, &place, |table| expire_again(table, &place, expire_ms)),
            Undo::Bytes {
                place,
                offset,
                old,
                len,
            } => in_table(txn, &place, |table| {
                let Some(entry) = table.find_mut(place.hash, &place.key) else {
                    unreachable!("later changes to the key were taken back first");
                };
                let Value::Str(string) = &mut entry.value else {
                    unreachable!("later changes to the key were taken back first");
                };
                let bytes = string.make_raw();
                bytes.truncate(len);
                bytes[offset..offset + old.len()].copy_from_slice(&old);
            }),
            Undo::Edited { place, changes } => take_elements_back(txn, &place, changes),
            Undo::Reshaped { place } => bring_form_back(txn, &place),
            Undo::Moved {
                from, to, replaced, ..
            } => {
                let mut moved = None;
                in_table(txn, &to, |table| moved = table.remove(to.hash, &to.key));
                let Some(entry) = moved else {
                    unreachable!("later changes to the key were taken back first");
                };
                let old = Old::from(entry);
                restore(txn, to, replaced);
                restore(txn, from, Some(old));
            }
            Undo::Flushed { db, tables } => {
                txn.leave();
                let keyspace = txn.keyspace();
                for (index, table) in tables.into_iter().enumerate() {
                    let mut stripe = keyspace.lock_stripe(index);
                    // A database that was never used stays so. One that was flushed may have got keys since.
                    if table.entries.is_empty() && stripe.table(db).is_none() {
                        continue;
                    }
                    *stripe.table_mut(db, keyspace.databases()) = table;
                }
            }
            Undo::Swapped { a, b } => {
                let keyspace = txn.keyspace();
                keyspace.swap_physical(a, b);
                // Who has begun to watch in the meantime watches the wrong database.
                keyspace.watched.mark_all();
            }
        }
    }

    /// How the change has changed the sizes of databases.
    #[inline]
    pub fn resize(&self, resized: &mut Resized) {
        let size = |old: &Option<Old>| old.as_ref().map_or(Left::Nothing, Old::left).size();
        match self {
            Undo::Restore { place, old, left } => resized.note(place.db, left.size() - size(old)),
            Undo::Expire {
                place,
                expire_ms,
                left,
            } => resized.note(place.db, left.size() - Left::value(*expire_ms).size()),
            Undo::Moved {
                from,
                to,
                replaced,
                left,
            } => {
                resized.note(from.db, SizeChange::default() - left.size());
                resized.note(to.db, left.size() - size(replaced));
            }
            Undo::Flushed { db, tables } => {
                for table in tables {
                    let size = SizeChange {
                        keys: table.entries.len() as i64,
                        volatile: table.entries.volatile() as i64,
                    };
                    resized.note(*db, SizeChange::default() - size);
                }
            }
            Undo::Edited { .. }
            | Undo::Reshaped { .. }
            | Undo::Bytes { .. }
            | Undo::Swapped { .. } => {}
        }
    }

    /// Elements that are freed once the change cannot be taken back any more.
    pub fn garbage(&self) -> usize {
        match self {
            Undo::Restore { old: Some(old), .. }
            | Undo::Moved {
                replaced: Some(old),
                ..
            } => old.value.elements(),
            Undo::Flushed { tables, .. } => tables.iter().map(|t| t.entries.len()).sum(),
            _ => 0,
        }
    }

    /// Whether the change brought a value to a key: it was not just edited or removed.
    pub fn brings_value(&self) -> bool {
        match self {
            Undo::Restore { left, .. } => *left != Left::Nothing,
            Undo::Moved { .. } => true,
            _ => false,
        }
    }

    /// Tells of each key that the change touched; `None` stands for whole databases.
    pub fn touched(&self, mut visit: impl FnMut(Option<&Place>)) {
        match self {
            Undo::Restore { place, .. }
            | Undo::Expire { place, .. }
            | Undo::Edited { place, .. }
            | Undo::Bytes { place, .. } => {
                visit(Some(place));
            }
            Undo::Moved { from, to, .. } => {
                visit(Some(from));
                visit(Some(to));
            }
            Undo::Reshaped { .. } => {}
            Undo::Flushed { .. } | Undo::Swapped { .. } => visit(None),
        }
    }
}

impl Old {
    #[inline]
    fn left(&self) -> Left {
        Left::value(self.expire_ms)
    }
}

impl From<Entry> for Old {
    fn from(entry: Entry) -> Self {
        Old {
            value: entry.value,
            expire_ms: entry.expire_ms,
            access: entry.access,
        }
    }
}

fn in_table(txn: &mut Txn<'_>, place: &Place, change: impl FnOnce(&mut Table)) {
    change(txn.table_of(place.db, place.hash));
}

fn take_elements_back(txn: &mut Txn<'_>, place: &Place, changes: usize) {
    for _ in 0..changes {
        let Some(change) = txn.pop_change() else {
            unreachable!("each edit counts its changes");
        };
        in_table(txn, place, |table| {
            let Some(entry) = table.find_mut(place.hash, &place.key) else {
                unreachable!("later changes to the key were taken back first");
            };
            change.undo(&mut entry.value);
        });
    }
}

fn bring_form_back(txn: &mut Txn<'_>, place: &Place) {
    let change = txn.pop_change();
    in_table(txn, place, |table| {
        // Whoever only reads a key may change its form, and another reader find it expired.
        let entry = table.find_mut(place.hash, &place.key);
        if let Some((change, entry)) = change.zip(entry) {
            change.undo(&mut entry.value);
        }
    });
}

fn expire_again(table: &mut Table, place: &Place, expire_ms: i64) {
    let slot = table.entries.slot_of(TableHash::of(place.hash), &place.key);
    let Some(slot) = slot else {
        unreachable!("later changes to the key were taken back first");
    };
    table.entries.set_expire(slot, expire_ms);
}

fn restore(txn: &mut Txn<'_>, place: Place, old: Option<Old>) {
    let table = txn.table_of(place.db, place.hash);
    table.remove(place.hash, &place.key);
    if let Some(Old {
        value,
        expire_ms,
        access,
    }) = old
    {
        let Place { hash, key, .. } = place;
        table.insert(Entry {
            hash: TableHash::of(hash),
            key,
            value,
            expire_ms,
            access,
        });
    }
}
