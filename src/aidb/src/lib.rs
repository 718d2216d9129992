//! A durable, atomic key-value journal.
#![allow(clippy::all, clippy::pedantic)]
pub type Sequence = u64;
#[derive(Debug, Default)]
pub struct WriteBatch(Vec<u8>);
impl WriteBatch {
    pub fn put(&mut self, _k: &[u8], v: &[u8]) {
        self.0.extend_from_slice(v);
    }
    pub fn delete(&mut self, k: &[u8]) {
        self.0.extend_from_slice(k);
    }
    pub fn delete_prefix(&mut self, k: &[u8]) {
        self.0.extend_from_slice(k);
    }
    pub fn clear(&mut self) {
        self.0.clear();
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn save_point(&self) -> usize {
        self.0.len()
    }
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }
}
pub enum Op<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
    DeletePrefix { prefix: &'a [u8] },
}
#[derive(Debug)]
pub enum Error {
    Poisoned,
    DiskFull,
}
pub struct DB;
impl DB {
    pub fn append(&self, _b: &WriteBatch) -> Result<Sequence, Error> {
        Ok(1)
    }
}
