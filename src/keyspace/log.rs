//! What a change writes into the batch: the records of a key.

use super::record::{self, CHUNK_LEN};
use super::stored;
use super::txn::TxnBuffers;
use crate::value::{Str, Value};

#[inline]
pub(super) fn log_value(
    buffers: &mut TxnBuffers,
    db: u8,
    key: &[u8],
    value: &Value,
    expire_ms: i64,
) {
    log_header(buffers, db, key, value, expire_ms);
    if !record::is_composite(value) {
        return;
    }
    let Some(collection) = stored::stored(value) else {
        log_chunks(buffers, db, key, value, 0..usize::MAX);
        return;
    };
    let TxnBuffers {
        batch, record_key, ..
    } = buffers;
    record_key.clear();
    record::put_element_prefix(record_key, db, key);
    let prefix_len = record_key.len();
    collection.elements(&mut |element, value| {
        record_key.truncate(prefix_len);
        record_key.extend_from_slice(element);
        batch.put(record_key, value);
    });
}

#[inline]
pub(super) fn log_header(
    buffers: &mut TxnBuffers,
    db: u8,
    key: &[u8],
    value: &Value,
    expire_ms: i64,
) {
    buffers.record_key.clear();
    buffers.record_value.clear();
    record::put_header_key(&mut buffers.record_key, db, key);
    record::put_header(&mut buffers.record_value, value, expire_ms);
    buffers
        .batch
        .put(&buffers.record_key, &buffers.record_value);
}

pub(super) fn log_chunks(
    buffers: &mut TxnBuffers,
    db: u8,
    key: &[u8],
    value: &Value,
    chunks: std::ops::Range<usize>,
) {
    let Value::Str(Str::Bytes(bytes) | Str::Raw(bytes)) = value else {
        return;
    };
    let wanted = chunks.len();
    for (index, chunk) in bytes
        .chunks(CHUNK_LEN)
        .enumerate()
        .skip(chunks.start)
        .take(wanted)
    {
        buffers.record_key.clear();
        record::put_chunk_key(&mut buffers.record_key, db, key, index as u32);
        buffers.batch.put(&buffers.record_key, chunk);
    }
}

pub(super) fn log_removed(buffers: &mut TxnBuffers, db: u8, key: &[u8], value: &Value) {
    buffers.record_key.clear();
    if record::is_composite(value) {
        record::put_key_prefix(&mut buffers.record_key, db, key);
        buffers.batch.delete_prefix(&buffers.record_key);
    } else {
        record::put_header_key(&mut buffers.record_key, db, key);
        buffers.batch.delete(&buffers.record_key);
    }
}
