//! The values in force, readable from any thread. Numbers cost one relaxed load.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tracing::level_filters::LevelFilter;

use super::kind::{BufferLimit, BufferLimits, ClientClass, Kind, Value};
use super::table::{OPTIONS, Opt, OptionSpec};

/// How sure a reply is: see the option `durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Always,
    Everysec,
    No,
}

/// How values cross between Lua and Redis: see the option `lua-dialect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Aikv,
    Redis,
}

/// What happens to a key that a script uses without having declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndeclaredKeys {
    Allow,
    Deny,
}

/// One value for each option of the table.
///
/// Options are independent of each other: a reader may see one of two options of the same CONFIG SET changed and the
/// other not yet. Nothing here orders other memory, hence the relaxed loads.
pub struct Settings {
    numbers: [AtomicI64; OPTIONS.len()],
    limits: [[AtomicU64; 3]; ClientClass::COUNT],
    texts: RwLock<Vec<Arc<str>>>,
}

impl Default for Settings {
    /// Every option at its default. A default that its own kind refuses is a fault in the table, found by any test.
    fn default() -> Self {
        let settings = Self {
            numbers: std::array::from_fn(|_| AtomicI64::new(0)),
            limits: Default::default(),
            texts: RwLock::new(vec![Arc::from(""); OPTIONS.len()]),
        };
        for spec in &OPTIONS {
            let value = settings.parse(spec, spec.default);
            settings.store(
                spec.id,
                value.unwrap_or_else(|error| panic!("default of {}: {error}", spec.name)),
            );
        }
        settings
    }
}

impl Settings {
    /// An integer, a size in bytes or a mask of event classes.
    #[inline]
    pub fn number(&self, opt: Opt) -> i64 {
        debug_assert!(!is_text(opt.spec().kind), "{opt:?} is text");
        self.numbers[opt as usize].load(Ordering::Relaxed)
    }

    /// A number that is never negative, as a size or a count.
    #[inline]
    pub fn size(&self, opt: Opt) -> usize {
        let number = self.number(opt);
        debug_assert!(number >= 0, "{opt:?} can be negative");
        number as usize
    }

    #[inline]
    pub fn flag(&self, opt: Opt) -> bool {
        debug_assert_eq!(opt.spec().kind, Kind::Flag);
        self.number(opt) != 0
    }

    pub fn text(&self, opt: Opt) -> Arc<str> {
        debug_assert!(is_text(opt.spec().kind), "{opt:?} is not text");
        Arc::clone(&self.texts.read()[opt as usize])
    }

    #[inline]
    pub fn durability(&self) -> Durability {
        [Durability::Always, Durability::Everysec, Durability::No][self.size(Opt::Durability)]
    }

    #[inline]
    pub fn dialect(&self) -> Dialect {
        [Dialect::Aikv, Dialect::Redis][self.size(Opt::LuaDialect)]
    }

    #[inline]
    pub fn undeclared_keys(&self) -> UndeclaredKeys {
        [UndeclaredKeys::Allow, UndeclaredKeys::Deny][self.size(Opt::ScriptUndeclaredKeys)]
    }

    /// Redis has four levels; the usual names of Rust programs are accepted as well.
    pub fn log_level(&self) -> LevelFilter {
        match OPTIONS[Opt::Loglevel as usize].kind {
            Kind::Choice(words) => match words[self.size(Opt::Loglevel)] {
                "trace" => LevelFilter::TRACE,
                "debug" | "verbose" => LevelFilter::DEBUG,
                "notice" | "info" => LevelFilter::INFO,
                "warning" | "warn" => LevelFilter::WARN,
                _ => LevelFilter::ERROR,
            },
            _ => unreachable!("the table declares loglevel as a choice"),
        }
    }

    /// An option in milliseconds for which zero means none.
    #[inline]
    pub fn timeout_ms(&self, opt: Opt) -> Option<Duration> {
        Some(self.number(opt))
            .filter(|ms| *ms > 0)
            .map(|ms| Duration::from_millis(ms as u64))
    }

    pub fn buffer_limit(&self, class: ClientClass) -> BufferLimit {
        let [hard, soft, seconds] = &self.limits[class as usize];
        BufferLimit {
            hard_bytes: hard.load(Ordering::Relaxed),
            soft_bytes: soft.load(Ordering::Relaxed),
            soft_seconds: seconds.load(Ordering::Relaxed),
        }
    }

    /// The value as CONFIG GET prints it.
    pub fn display(&self, spec: &OptionSpec) -> String {
        spec.kind.display(&self.load(spec))
    }

    pub(super) fn parse(&self, spec: &OptionSpec, raw: &str) -> Result<Value, String> {
        spec.kind.parse(raw, spec.default, Some(&self.load(spec)))
    }

    pub(super) fn load(&self, spec: &OptionSpec) -> Value {
        match spec.kind {
            Kind::BufferLimits => {
                Value::Limits(ClientClass::ALL.map(|class| self.buffer_limit(class)))
            }
            kind if is_text(kind) => Value::Text(Arc::clone(&self.texts.read()[spec.id as usize])),
            _ => Value::Number(self.numbers[spec.id as usize].load(Ordering::Relaxed)),
        }
    }

    pub(super) fn store(&self, opt: Opt, value: Value) {
        match value {
            Value::Number(number) => self.numbers[opt as usize].store(number, Ordering::Relaxed),
            Value::Text(text) => self.texts.write()[opt as usize] = text,
            Value::Limits(limits) => self.store_limits(&limits),
        }
    }

    fn store_limits(&self, limits: &BufferLimits) {
        for (cells, limit) in self.limits.iter().zip(limits) {
            let parts = [limit.hard_bytes, limit.soft_bytes, limit.soft_seconds];
            for (cell, part) in cells.iter().zip(parts) {
                cell.store(part, Ordering::Relaxed);
            }
        }
    }
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::List | Kind::Fixed(_))
}
