//! Scripts, and the cache of them that all shards share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use sha1::Digest;

use super::header::{self, Header};
use super::stats::ScriptStats;

/// A script as it was loaded. Immutable, shared by all shards.
#[derive(Debug)]
pub struct Script {
    pub sha: Sha,
    pub header: Header,
    body: Arc<[u8]>,
    /// The code of a library.
    is_library: bool,
    /// Loaded by `SCRIPT LOAD`, hence never evicted.
    pinned: AtomicBool,
    pub stats: ScriptStats,
}

impl Script {
    pub fn new(body: &[u8]) -> Result<Self, String> {
        Ok(Self {
            sha: Sha::of(body),
            header: header::parse(body)?,
            body: body.into(),
            is_library: false,
            pinned: AtomicBool::new(false),
            stats: ScriptStats::default(),
        })
    }

    /// The code of a library, whose first line has been read.
    pub(super) fn library(code: &[u8], header: Header) -> Self {
        Self {
            sha: Sha::of(code),
            header,
            body: code.into(),
            is_library: true,
            pinned: AtomicBool::new(false),
            stats: ScriptStats::default(),
        }
    }

    pub(super) fn is_library(&self) -> bool {
        self.is_library
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What Lua compiles: the body without its `#!` line, but with that line's end, so that lines keep their numbers.
    pub(super) fn code(&self) -> &[u8] {
        &self.body[self.header.len..]
    }

    pub fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }
}

/// How values cross between Redis and Lua.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The specification's tables.
    #[default]
    Aikv,
    /// As Redis 7, with the names of Lua 5.1.
    Redis,
}

/// The SHA1 of a script's body: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha(pub [u8; 20]);

impl Sha {
    pub fn of(body: &[u8]) -> Self {
        Self(sha1::Sha1::digest(body).into())
    }

    /// Forty hexadecimal digits of either case.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut sha = [0; 20];
        for (byte, pair) in sha.iter_mut().zip(text.chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
        }
        Some(Self(sha))
    }

    /// Forty hexadecimal digits, lowercase.
    pub fn to_hex(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

/// Loaded scripts by their SHA1 and by their body, so that `EVAL` of a known body computes no SHA1.
///
/// Scripts of `EVAL` are bounded by [`EVAL_SCRIPTS_MAX`], the one that was not used for longest goes first; those of
/// `SCRIPT LOAD` stay until they are flushed.
#[derive(Default)]
pub struct ScriptCache {
    by_sha: DashMap<Sha, Arc<Script>, ahash::RandomState>,
    by_body: DashMap<Arc<[u8]>, Arc<Script>, ahash::RandomState>,
    /// Scripts of `EVAL`, the one first that was not used for longest. Uses are noted in the scripts, and come to be known
    /// here when a script is next to go.
    evaluated: Mutex<BinaryHeap<Reverse<(i64, Sha)>>>,
    evicted: AtomicU64,
}

/// As many scripts of `EVAL` are kept.
pub const EVAL_SCRIPTS_MAX: usize = 500;

impl ScriptCache {
    pub fn get(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.by_sha.get(sha).map(|entry| Arc::clone(&entry))
    }

    pub fn get_by_body(&self, body: &[u8]) -> Option<Arc<Script>> {
        self.by_body.get(body).map(|entry| Arc::clone(&entry))
    }

    pub fn exists(&self, sha: &Sha) -> bool {
        self.by_sha.contains_key(sha)
    }

    /// The script of an `EVAL` at this time (Unix, in microseconds); the error is a text for the client.
    pub fn for_eval(&self, body: &[u8], now_us: i64) -> Result<Arc<Script>, String> {
        if let Some(script) = self.get_by_body(body) {
            return Ok(script);
        }
        let script = self.insert(Script::new(body)?);
        let mut evaluated = self.evaluated.lock();
        evaluated.push(Reverse((now_us, script.sha)));
        while evaluated.len() > EVAL_SCRIPTS_MAX
            && let Some(Reverse((known_us, sha))) = evaluated.pop()
        {
            let Some(oldest) = self.get(&sha) else {
                continue;
            };
            let used_us = oldest.stats.used_at_us();
            if used_us > known_us && !oldest.is_pinned() {
                evaluated.push(Reverse((used_us, sha)));
            } else {
                self.evict(sha);
            }
        }
        Ok(script)
    }

    /// `SCRIPT LOAD`. The caller has the body compiled first ([`super::Vm::check`]), as Redis does.
    pub fn load(&self, script: Script) -> Arc<Script> {
        let script = self.insert(script);
        script.pinned.store(true, Ordering::Relaxed);
        script
    }

    /// `SCRIPT FLUSH`. Runs that hold a script go on with it.
    pub fn flush(&self) {
        self.evaluated.lock().clear();
        self.by_sha.clear();
        self.by_body.clear();
    }

    pub fn len(&self) -> usize {
        self.by_sha.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_sha.is_empty()
    }

    /// How many scripts SCRIPT LOAD has put here.
    pub fn loaded(&self) -> usize {
        let scripts = self.by_sha.iter();
        scripts.filter(|script| script.is_pinned()).count()
    }

    /// The lengths of all bodies.
    pub fn bytes(&self) -> usize {
        let scripts = self.by_sha.iter();
        scripts.map(|script| script.body.len()).sum()
    }

    /// How many scripts of `EVAL` had to go.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Every script, in no order.
    pub fn all(&self) -> Vec<Arc<Script>> {
        self.by_sha.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&self) {
        for entry in &self.by_sha {
            entry.stats.reset();
        }
        self.evicted.store(0, Ordering::Relaxed);
    }

    /// Every script that `SCRIPT LOAD` put here.
    pub fn pinned(&self) -> Vec<Arc<Script>> {
        self.by_sha
            .iter()
            .filter(|entry| entry.is_pinned())
            .map(|entry| Arc::clone(&entry))
            .collect()
    }

    fn insert(&self, script: Script) -> Arc<Script> {
        let script = self
            .by_sha
            .entry(script.sha)
            .or_insert_with(|| Arc::new(script))
            .clone();
        self.by_body
            .insert(Arc::clone(&script.body), Arc::clone(&script));
        script
    }

    fn evict(&self, sha: Sha) {
        let evicted = self.by_sha.remove_if(&sha, |_, script| !script.is_pinned());
        if let Some((_, script)) = evicted {
            self.by_body.remove(&script.body);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_goes_that_was_not_used_for_longest() {
        let cache = ScriptCache::default();
        let body = |number: usize| format!("return {number}").into_bytes();
        let mut now_us = 0;
        let mut eval = |number| {
            now_us += 1;
            let script = cache.for_eval(&body(number), now_us).unwrap();
            script.stats.of(number % 3, 3).used_at_us.set(now_us as u64);
        };
        for number in 0..EVAL_SCRIPTS_MAX {
            eval(number);
        }
        // All but two are used again, in another order.
        for number in (0..EVAL_SCRIPTS_MAX)
            .rev()
            .filter(|n| ![7, 300].contains(n))
        {
            eval(number);
        }
        assert_eq!(cache.evicted(), 0);
        for (new, gone) in [
            (1000, 7),
            (1001, 300),
            (1002, EVAL_SCRIPTS_MAX - 1),
            (1003, EVAL_SCRIPTS_MAX - 2),
        ] {
            assert!(cache.get_by_body(&body(gone)).is_some());
            eval(new);
            assert!(cache.get_by_body(&body(gone)).is_none(), "{gone} stays");
            assert_eq!(cache.len(), EVAL_SCRIPTS_MAX);
        }
        assert_eq!(cache.evicted(), 4);
    }

    #[test]
    fn sha_is_the_published_one_and_reads_either_case() {
        let sha = Sha::of(b"return 'hello'");
        assert_eq!(&sha.to_hex(), b"1b936e3fe509bcbc9cd0664897bbe8fd0cac101b");
        assert_eq!(
            Sha::from_hex(b"1B936E3FE509BCBC9CD0664897BBE8FD0CAC101B"),
            Some(sha)
        );
        assert_eq!(Sha::from_hex(b"zz"), None);
        assert_eq!(Sha::from_hex(&[b'g'; 40]), None);
    }

    #[test]
    fn eval_scripts_are_bounded_and_loaded_ones_are_not() {
        let cache = ScriptCache::default();
        let kept = cache.load(Script::new(b"return 'kept'").unwrap());
        let pinned_later = cache.for_eval(b"return 'pinned later'", 1).unwrap();
        cache.load(Script::new(b"return 'pinned later'").unwrap());
        let first = cache.for_eval(b"return 'first'", 2).unwrap();
        for number in 0..EVAL_SCRIPTS_MAX {
            cache
                .for_eval(format!("return {number}").as_bytes(), 3)
                .unwrap();
        }
        assert!(cache.exists(&kept.sha));
        assert!(cache.exists(&pinned_later.sha));
        assert!(!cache.exists(&first.sha));
        assert!(cache.get_by_body(b"return 'first'").is_none());
        assert_eq!(cache.len(), EVAL_SCRIPTS_MAX + 2);
        assert_eq!(cache.pinned().len(), 2);
    }

    #[test]
    fn a_flush_forgets_everything() {
        let cache = ScriptCache::default();
        let script = cache.for_eval(b"return 1", 1).unwrap();
        cache.load(Script::new(b"return 2").unwrap());
        cache.flush();
        assert!(cache.is_empty());
        assert!(cache.get(&script.sha).is_none());
        assert!(cache.get_by_body(b"return 1").is_none());
        assert!(cache.for_eval(b"#!nothing\n", 2).is_err());
    }
}
