//! Recovery: the store's records, in order, become entries.

use super::access::Access;
use super::record::{self, CHUNK_LEN, Header, Prefix, RecordKey};
use super::stored;
use super::table::{Entry, Key, Keyspace, Table, TableHash};
use crate::value::{Limits, Str, StrBuf, Value};
use aidb::Op;
use std::collections::HashMap;
use std::fmt;

/// A record that no version of this server writes.
#[derive(Debug)]
pub struct LoadError {
    record: Vec<u8>,
    why: &'static str,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot read the record {}: {}",
            self.record.escape_ascii(),
            self.why
        )
    }
}

impl std::error::Error for LoadError {}

/// A part of a value that came before its header.
enum Early {
    Chunk { index: u32, bytes: Vec<u8> },
    Element { element: Vec<u8>, value: Vec<u8> },
}

/// Applies records to an empty keyspace that nobody else uses yet.
pub struct Loader<'a> {
    keyspace: &'a Keyspace,
    limits: Limits,
    /// Parts whose header has not come yet: a base of an older version keeps no order among a key's records.
    early: HashMap<(u8, Key), Vec<Early>>,
}

impl<'a> Loader<'a> {
    pub fn new(keyspace: &'a Keyspace, limits: Limits) -> Self {
        Self {
            keyspace,
            limits,
            early: HashMap::new(),
        }
    }

    pub fn apply(&mut self, op: Op<'_>) -> Result<(), LoadError> {
        match op {
            Op::Put { key, value } => self.put(key, value),
            Op::Delete { key } => self.delete(key),
            Op::DeletePrefix { prefix } => self.delete_prefix(prefix),
        }
    }

    /// One more for the same keyspace. Several may load at the same time, each the records of other keys.
    #[must_use]
    pub fn another(&self) -> Loader<'a> {
        Loader::new(self.keyspace, self.limits)
    }

    /// Looks that nothing is missing of what was loaded.
    pub fn check_whole(&self) -> Result<(), LoadError> {
        match self.early.keys().next() {
            None => Ok(()),
            Some((_, key)) => Err(LoadError {
                record: key.to_vec(),
                why: "a part of a value without the value's header",
            }),
        }
    }

    /// Ends the load: collections are told that they have all their elements, and what has expired is left out.
    pub fn finish(self, now_ms: i64) -> Result<(), LoadError> {
        self.check_whole()?;
        for index in 0..Keyspace::stripes() {
            let mut stripe = self.keyspace.lock_stripe(index);
            for db in 0..self.keyspace.databases() {
                if stripe.table(db as u8).is_none_or(|t| t.entries.is_empty()) {
                    continue;
                }
                let table = stripe.table_mut(db as u8, self.keyspace.databases());
                for entry in table.entries.iter_mut() {
                    entry.access = Access::new(now_ms);
                    if let Some(collection) = stored::stored_mut(&mut entry.value) {
                        collection.load_finish(&self.limits);
                    }
                }
                // Of a hash, what has ended is left to who looks at it first.
                table.has_times = table.entries.iter().any(|entry| entry.value.has_times());
                if table.entries.volatile() > 0 {
                    table.entries.retain(|entry| !entry.expired(now_ms));
                }
            }
        }
        self.keyspace.count_all();
        Ok(())
    }

    fn put(&mut self, record: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let bad = |why| LoadError {
            record: record.to_vec(),
            why,
        };
        match record::parse_key(record).ok_or_else(|| bad("an unknown kind of record"))? {
            RecordKey::DbMap => {
                for (db, physical) in value.iter().enumerate() {
                    if db >= self.keyspace.databases()
                        || usize::from(*physical) >= self.keyspace.databases()
                    {
                        return Err(bad(
                            "it needs more databases than the option 'databases' allows",
                        ));
                    }
                    self.keyspace.set_physical(db, *physical);
                }
            }
            RecordKey::Header { db, key } => {
                self.check_db(db, record)?;
                match record::parse_header(value).ok_or_else(|| bad("an unknown type of value"))? {
                    Header::Whole { value, expire_ms } => self.set(db, key, value, expire_ms),
                    Header::Long { len, expire_ms } => self.set_long(db, key, len, expire_ms),
                    Header::Collection {
                        tag,
                        expire_ms,
                        payload,
                    } => self
                        .set_collection(db, key, tag, expire_ms, payload)
                        .ok_or_else(|| {
                            bad("a collection's header or element is not as it should be")
                        })?,
                }
            }
            RecordKey::Chunk { db, key, index } => {
                self.check_db(db, record)?;
                if !self.set_chunk(db, key, index, value) {
                    let early = self.early.entry((db, Key::from_slice(key))).or_default();
                    let bytes = value.to_vec();
                    early.push(Early::Chunk { index, bytes });
                }
            }
            RecordKey::Element { db, key, element } => {
                self.check_db(db, record)?;
                match self.set_element(db, key, element, value) {
                    Some(true) => {}
                    Some(false) => {
                        let early = self.early.entry((db, Key::from_slice(key))).or_default();
                        early.push(Early::Element {
                            element: element.to_vec(),
                            value: value.to_vec(),
                        });
                    }
                    None => return Err(bad("an element is not as its type has them")),
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, record: &[u8]) -> Result<(), LoadError> {
        match record::parse_key(record) {
            Some(RecordKey::Header { db, key }) => {
                self.check_db(db, record)?;
                self.remove(db, key);
                Ok(())
            }
            Some(RecordKey::Element { db, key, element }) => {
                self.check_db(db, record)?;
                let deleted = self.with_table(db, key, |table, hash| {
                    let Some(entry) = table.find_mut(hash, key) else {
                        return Some(());
                    };
                    stored::stored_mut(&mut entry.value)?.load_delete(element)
                });
                deleted.ok_or_else(|| LoadError {
                    record: record.to_vec(),
                    why: "an element is deleted that no collection can have",
                })
            }
            _ => Err(LoadError {
                record: record.to_vec(),
                why: "only headers and elements are deleted alone",
            }),
        }
    }

    fn delete_prefix(&mut self, prefix: &[u8]) -> Result<(), LoadError> {
        match record::parse_prefix(prefix) {
            Some(Prefix::Db(db)) => {
                self.check_db(db, prefix)?;
                self.flush(db);
            }
            Some(Prefix::Key { db, key }) => {
                self.check_db(db, prefix)?;
                self.remove(db, key);
            }
            None => {
                return Err(LoadError {
                    record: prefix.to_vec(),
                    why: "an unknown prefix",
                });
            }
        }
        Ok(())
    }

    fn check_db(&self, db: u8, record: &[u8]) -> Result<(), LoadError> {
        if usize::from(db) < self.keyspace.databases() {
            return Ok(());
        }
        let why = "it is in a database beyond the option 'databases'";
        Err(LoadError {
            record: record.to_vec(),
            why,
        })
    }

    fn with_table<T>(&self, db: u8, key: &[u8], f: impl FnOnce(&mut Table, u64) -> T) -> T {
        let hash = self.keyspace.fingerprint(db, key);
        let mut stripe = self.keyspace.lock_stripe(Keyspace::stripe_of(hash));
        f(stripe.table_mut(db, self.keyspace.databases()), hash)
    }

    fn set(&mut self, db: u8, key: &[u8], value: Value, expire_ms: i64) {
        self.early.remove(&(db, Key::from_slice(key)));
        self.with_table(db, key, |table, hash| {
            table.remove(hash, key);
            insert(table, hash, key, value, expire_ms);
        });
    }

    /// A long string's header: the bytes that were there stay, its chunks bring the others.
    fn set_long(&mut self, db: u8, key: &[u8], len: usize, expire_ms: i64) {
        let early = self.early.remove(&(db, Key::from_slice(key)));
        self.with_table(db, key, |table, hash| {
            let mut bytes = match table.remove(hash, key) {
                Some(Entry {
                    value: Value::Str(mut string),
                    ..
                }) => std::mem::take(string.make_raw()),
                _ => StrBuf::new(),
            };
            bytes.resize(len, 0);
            let value = Value::Str(Str::raw(bytes));
            insert(table, hash, key, value, expire_ms);
        });
        for part in early.into_iter().flatten() {
            if let Early::Chunk { index, bytes } = part {
                self.set_chunk(db, key, index, &bytes);
            }
        }
    }

    /// A collection's header: its elements stay, and those that came early join them.
    fn set_collection(
        &mut self,
        db: u8,
        key: &[u8],
        tag: u8,
        expire_ms: i64,
        payload: &[u8],
    ) -> Option<()> {
        let early = self.early.remove(&(db, Key::from_slice(key)));
        self.with_table(db, key, |table, hash| {
            let mut value = match table.remove(hash, key) {
                Some(entry) if stored::stored(&entry.value).is_some_and(|s| s.tag() == tag) => {
                    entry.value
                }
                _ => stored::empty(tag)?,
            };
            stored::stored_mut(&mut value)?.load_header(payload)?;
            insert(table, hash, key, value, expire_ms);
            Some(())
        })?;
        for part in early.into_iter().flatten() {
            if let Early::Element { element, value } = part {
                self.set_element(db, key, &element, &value)?;
            }
        }
        Some(())
    }

    /// Gives an element to its collection. `false`: the collection's header has not come yet.
    fn set_element(&self, db: u8, key: &[u8], element: &[u8], value: &[u8]) -> Option<bool> {
        self.with_table(db, key, |table, hash| {
            let Some(entry) = table.find_mut(hash, key) else {
                return Some(false);
            };
            let collection = stored::stored_mut(&mut entry.value)?;
            collection.load_put(element, value, &self.limits)?;
            Some(true)
        })
    }

    /// Writes a chunk into its string. `false`: the string's header has not come yet.
    fn set_chunk(&self, db: u8, key: &[u8], index: u32, chunk: &[u8]) -> bool {
        self.with_table(db, key, |table, hash| {
            let Some(Entry {
                value: Value::Str(string),
                ..
            }) = table.find_mut(hash, key)
            else {
                return false;
            };
            let bytes = string.make_raw();
            let start = index as usize * CHUNK_LEN;
            let Some(room) = bytes.get_mut(start..) else {
                return true;
            };
            let len = chunk.len().min(room.len());
            room[..len].copy_from_slice(&chunk[..len]);
            true
        })
    }

    fn remove(&mut self, db: u8, key: &[u8]) {
        self.early.remove(&(db, Key::from_slice(key)));
        self.with_table(db, key, |table, hash| table.remove(hash, key));
    }

    fn flush(&mut self, db: u8) {
        self.early.retain(|(d, _), _| *d != db);
        for index in 0..Keyspace::stripes() {
            let mut stripe = self.keyspace.lock_stripe(index);
            if stripe.table(db).is_some() {
                *stripe.table_mut(db, self.keyspace.databases()) = Table::default();
            }
        }
    }
}

/// Adds an entry whose key is not there.
fn insert(table: &mut Table, hash: u64, key: &[u8], value: Value, expire_ms: i64) {
    table.insert(Entry {
        hash: TableHash::of(hash),
        key: Key::from_slice(key),
        value,
        expire_ms,
        access: Access::new(0),
    });
}
