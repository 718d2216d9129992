//! A write batch, which is also the payload of a frame: its records stand in it exactly as they go to disk.
//!
//! A record is a kind byte, the length of its key, for a put the length of its value, then the key and the value.
//! Lengths are LEB128. A decoder accepts padded ones, because `put_with` cannot know a length before the value is there.

use std::fmt;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_PREFIX: u8 = 3;

/// Bytes of a length that is filled in later; five groups of seven bits hold any `u32`.
const PADDED_LENGTH_BYTES: usize = 5;

/// One change, as recovery hands it to the caller.
///
/// The journal's records come in the order in which they were appended. Those of tables come first, merged: each key
/// once, and a deleted prefix before the keys with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    Put {
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        key: &'a [u8],
    },
    /// Removes every key that starts with `prefix`; the empty prefix removes all.
    DeletePrefix {
        prefix: &'a [u8],
    },
}

/// A point in a batch to which [`WriteBatch::truncate`] can return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    bytes: usize,
    records: u32,
}

/// Changes that reach the disk all or none. Made to be reused: `clear` keeps the memory.
#[derive(Default, Clone)]
pub struct WriteBatch {
    payload: Vec<u8>,
    records: u32,
}

impl WriteBatch {
    pub const fn new() -> WriteBatch {
        WriteBatch {
            payload: Vec::new(),
            records: 0,
        }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_parts(&[key], &[value]);
    }

    /// A put whose key and value are given in parts, so that the caller need not join them.
    pub fn put_parts(&mut self, key: &[&[u8]], value: &[&[u8]]) {
        self.begin(PUT, total(key));
        push_length(&mut self.payload, total(value));
        self.extend(key);
        self.extend(value);
    }

    /// A put whose value is written in place. `write` must only append.
    pub fn put_with(&mut self, key: &[&[u8]], write: impl FnOnce(&mut Vec<u8>)) {
        self.begin(PUT, total(key));
        let length_at = self.payload.len();
        self.payload.extend_from_slice(&[0; PADDED_LENGTH_BYTES]);
        self.extend(key);
        let value_at = self.payload.len();
        write(&mut self.payload);
        let length = self
            .payload
            .len()
            .checked_sub(value_at)
            .expect("a value is only appended");
        set_padded_length(
            &mut self.payload[length_at..length_at + PADDED_LENGTH_BYTES],
            length,
        );
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.delete_parts(&[key]);
    }

    pub fn delete_parts(&mut self, key: &[&[u8]]) {
        self.begin(DELETE, total(key));
        self.extend(key);
    }

    pub fn delete_prefix(&mut self, prefix: &[u8]) {
        self.delete_prefix_parts(&[prefix]);
    }

    pub fn delete_prefix_parts(&mut self, prefix: &[&[u8]]) {
        self.begin(DELETE_PREFIX, total(prefix));
        self.extend(prefix);
    }

    pub fn clear(&mut self) {
        self.payload.clear();
        self.records = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records as usize
    }

    /// The bytes that the records take on disk.
    pub fn byte_len(&self) -> usize {
        self.payload.len()
    }

    /// The memory that the batch keeps, also after `clear`.
    pub fn capacity(&self) -> usize {
        self.payload.capacity()
    }

    pub fn shrink_to(&mut self, capacity: usize) {
        self.payload.shrink_to(capacity);
    }

    pub fn save_point(&self) -> SavePoint {
        SavePoint {
            bytes: self.payload.len(),
            records: self.records,
        }
    }

    /// Drops what was appended after `point`, which must be of this batch and not older than its last `clear`.
    pub fn truncate(&mut self, point: SavePoint) {
        assert!(point.bytes <= self.payload.len() && point.records <= self.records);
        self.payload.truncate(point.bytes);
        self.records = point.records;
    }

    /// The records in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        Records::new(&self.payload).map(|op| op.expect("a batch holds whole records"))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn begin(&mut self, kind: u8, key_bytes: usize) {
        self.records += 1;
        self.payload.push(kind);
        push_length(&mut self.payload, key_bytes);
    }

    fn extend(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.payload.extend_from_slice(part);
        }
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Decodes the records of a payload. Ends after the first one that does not decode.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

/// A payload whose checksum is right but whose records are not: a fault of the writer, not of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MalformedRecord;

impl<'a> Records<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Records<'a> {
        Records { rest: payload }
    }

    /// Bytes that are not decoded yet.
    pub(crate) fn rest_len(&self) -> usize {
        self.rest.len()
    }

    fn decode(&mut self) -> Result<Op<'a>, MalformedRecord> {
        let kind = self.take(1)?[0];
        let key_bytes = self.length()?;
        match kind {
            PUT => {
                let value_bytes = self.length()?;
                Ok(Op::Put {
                    key: self.take(key_bytes)?,
                    value: self.take(value_bytes)?,
                })
            }
            DELETE => Ok(Op::Delete {
                key: self.take(key_bytes)?,
            }),
            DELETE_PREFIX => Ok(Op::DeletePrefix {
                prefix: self.take(key_bytes)?,
            }),
            _ => Err(MalformedRecord),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], MalformedRecord> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(MalformedRecord)?;
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, MalformedRecord> {
        let mut length = 0u64;
        for group in 0..PADDED_LENGTH_BYTES {
            let byte = self.take(1)?[0];
            length |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return u32::try_from(length)
                    .map(|length| length as usize)
                    .map_err(|_| MalformedRecord);
            }
        }
        Err(MalformedRecord)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Op<'a>, MalformedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let op = self.decode();
        if op.is_err() {
            self.rest = &[];
        }
        Some(op)
    }
}

fn total(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

// A length past `u32` makes a payload past `PAYLOAD_BYTES_MAX`, which `append` refuses; here it need only not panic.
fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn set_padded_length(out: &mut [u8], length: usize) {
    for (group, byte) in out.iter_mut().enumerate() {
        *byte = (length >> (7 * group)) as u8 | 0x80;
    }
    out[PADDED_LENGTH_BYTES - 1] &= 0x7f;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went_in() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut batch = WriteBatch::new();
            let mut expected = Vec::new();
            for _ in 0..random.usize(0..20) {
                let key: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
                let value: Vec<u8> = (0..random.usize(0..20_000))
                    .map(|_| random.u8(..))
                    .collect();
                let kind = random.u8(0..5);
                let (head, tail) = key.split_at(random.usize(0..=key.len()));
                match kind {
                    0 => batch.put(&key, &value),
                    1 => batch.put_parts(
                        &[head, tail],
                        &[&value[..value.len() / 2], &value[value.len() / 2..]],
                    ),
                    2 => batch.put_with(&[head, tail], |out| out.extend_from_slice(&value)),
                    3 => batch.delete_parts(&[head, tail]),
                    _ => batch.delete_prefix_parts(&[head, tail]),
                }
                expected.push((kind, key, value));
            }
            assert_eq!(batch.len(), expected.len());
            for (op, (kind, key, value)) in batch.iter().zip(&expected) {
                let wanted = match kind {
                    0..=2 => Op::Put { key, value },
                    3 => Op::Delete { key },
                    _ => Op::DeletePrefix { prefix: key },
                };
                assert_eq!(op, wanted);
            }
            assert_eq!(batch.iter().count(), expected.len());
        }
    }

    #[test]
    fn truncate_returns_to_a_save_point() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1");
        let point = batch.save_point();
        batch.delete(b"a");
        batch.delete_prefix(b"b");
        batch.truncate(point);
        assert_eq!(
            batch.iter().collect::<Vec<_>>(),
            [Op::Put {
                key: b"a",
                value: b"1"
            }]
        );
    }

    #[test]
    fn arbitrary_bytes_decode_or_fail_but_never_panic() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(0..40))
                .map(|_| random.u8(..) & random.u8(..))
                .collect();
            let consumed = Records::new(&bytes).filter_map(Result::ok).count();
            assert!(consumed <= bytes.len());
        }
    }
}
