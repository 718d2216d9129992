//! `aikv import`: the keys and functions of an RDB file, put into a data directory.

use super::progress::Progress;
use super::source::Source;
use crate::base::clock;
use crate::config::{Config, Opt};
use crate::engine::functions::{Deadline, run_library};
use crate::engine::open::{self, Loaded};
use crate::engine::script_run::vm_pool;
use crate::engine::stored_functions;
use crate::keyspace::{Access, Expiry, Txn, TxnBuffers};
use crate::script::{Library, LibraryHeader, Watchdog};
use crate::value::Limits;
use crate::value::rdb::file::{Item, KeyItem};
use aidb::WriteBatch;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of keys that the directory has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Nothing is imported.
    Refuse,
    Replace,
}

/// After this many bytes of the file, what was read becomes a write batch.
const BATCH_BYTES: u64 = 1 << 20;

#[derive(Default)]
struct Tally {
    keys: u64,
    /// Keys whose end had come.
    ended: u64,
}

/// Reads an RDB file into the directory that the configuration names.
///
/// A crash in the middle leaves a part of the keys; the import can be started again with [`Conflict::Replace`].
pub fn import(path: &Path, config: &Config, conflict: Conflict) -> Result<(), String> {
    let mut buffers = TxnBuffers::default();
    buffers.limits = open::value_limits(config.settings());
    // Once before the directory, which would be made for it.
    open_source(path, config, buffers.limits)?;
    let loaded = open::load(config.settings())?;
    let mut import = Import {
        path,
        config,
        loaded: &loaded,
        buffers,
        now_ms: clock::unix_ms(),
        codes: Vec::new(),
        tally: Tally::default(),
    };
    import.check(conflict)?;
    let libraries = import.check_libraries(conflict)?;
    import.keep(&libraries)?;
    let Tally { keys, ended } = import.tally;
    loaded.journal.close().map_err(|error| error.to_string())?;
    println!("{keys} keys imported, {ended} left out because their time had come");
    if !libraries.is_empty() {
        println!("{} libraries of functions imported", libraries.len());
    }
    Ok(())
}

struct Import<'a> {
    path: &'a Path,
    config: &'a Config,
    loaded: &'a Loaded,
    buffers: TxnBuffers,
    now_ms: i64,
    /// The code of the file's libraries of functions.
    codes: Vec<Vec<u8>>,
    tally: Tally,
}

impl Import<'_> {
    /// Reads the file to its end and keeps nothing of it.
    fn check(&mut self, conflict: Conflict) -> Result<(), String> {
        let mut present = 0_u64;
        let mut example = None;
        self.walk("checking", |import, db, item, _| {
            if import.txn(db).peek(&item.key).is_some() {
                present += 1;
                example.get_or_insert(item.key);
            }
            Ok(())
        })?;
        match example.filter(|_| conflict == Conflict::Refuse) {
            None => Ok(()),
            Some(key) => Err(format!(
                "keys are there already ({present}, such as '{}'): nothing was imported; --replace puts the file's in \
                 their place",
                key.escape_ascii()
            )),
        }
    }

    /// Runs the code of the file's libraries, and sees whether there is room for them beside the directory's.
    fn check_libraries(&self, conflict: Conflict) -> Result<Vec<Arc<Library>>, String> {
        if self.codes.is_empty() {
            return Ok(Vec::new());
        }
        let settings = self.config.settings();
        let slice = Duration::from_micros(settings.number(Opt::ScriptSliceUs) as u64);
        let watchdog = Watchdog::start(slice).map_err(|error| error.to_string())?;
        let pool = vm_pool(settings, &watchdog);
        let mut libraries = Vec::new();
        let mut change = self.loaded.libraries.change();
        for code in &self.codes {
            let header = LibraryHeader::parse(code)?;
            let name = header.name.clone();
            let bad =
                |why: &str| format!("the library of functions {name} cannot be imported: {why}");
            let mut until = Deadline::new();
            let library = run_library(&pool, settings, header, code, &mut until);
            let library = Arc::new(library.map_err(|error| bad(&error.line()))?);
            if conflict == Conflict::Replace {
                change.set.remove(name.as_bytes());
            }
            let added = change.set.add(Arc::clone(&library));
            added.map_err(|taken| bad(&taken.to_string()))?;
            libraries.push(library);
        }
        Ok(libraries)
    }

    fn keep(&mut self, libraries: &[Arc<Library>]) -> Result<(), String> {
        let mut batch = WriteBatch::new();
        for library in libraries {
            stored_functions::put(&mut batch, library);
        }
        let appended = self.loaded.journal.append(&batch);
        appended.map_err(|error| error.to_string())?;
        let mut committed = 0;
        self.walk("importing", |import, db, item, position| {
            import.put(db, item);
            if position - committed >= BATCH_BYTES {
                committed = position;
                import.commit()?;
            }
            Ok(())
        })?;
        self.commit()
    }

    fn put(&mut self, db: usize, item: KeyItem) {
        let KeyItem {
            key,
            value,
            expire_ms,
            idle_s,
        } = item;
        if expire_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.tally.ended += 1;
            return;
        }
        self.tally.keys += 1;
        let now_ms = self.now_ms;
        let mut txn = self.txn(db);
        txn.put(&key, value, expire_ms.map_or(Expiry::Never, Expiry::At));
        if let Some(idle_s) = idle_s {
            txn.set_access(&key, Access::new(now_ms).with_idle_s(now_ms, idle_s.into()));
        }
    }

    fn commit(&mut self) -> Result<(), String> {
        let loaded = self.loaded;
        let committed = self.txn(0).commit(&loaded.journal);
        committed.map(drop).map_err(|error| error.to_string())
    }

    fn txn(&mut self, db: usize) -> Txn<'_> {
        let keyspace = self.loaded.keyspace;
        Txn::new(
            keyspace,
            &mut self.buffers,
            keyspace.physical(db),
            self.now_ms,
        )
    }

    /// Hands over each key of the file with its database, and the position in the file after it.
    fn walk(
        &mut self,
        what: &'static str,
        mut visit: impl FnMut(&mut Self, usize, KeyItem, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut source = open_source(self.path, self.config, self.buffers.limits)?;
        let progress = Progress::bytes(what, source.file_bytes()?);
        let databases = self.loaded.keyspace.databases();
        let mut db = 0;
        self.tally = Tally::default();
        self.codes.clear();
        while let Some(item) = source.next()? {
            match item {
                Item::Select(number) if number >= databases => {
                    return Err(source.bad(&format!(
                        "there is a database {number}, and the option 'databases' allows {databases}"
                    )));
                }
                Item::Select(number) => db = number,
                Item::Function(code) => self.codes.push(code),
                Item::Key(item) => {
                    visit(self, db, *item, source.position())?;
                    progress.set(source.position());
                }
                Item::Aux { .. } | Item::Sizes { .. } | Item::End => {}
            }
        }
        Ok(())
    }
}

fn open_source(path: &Path, config: &Config, limits: Limits) -> Result<Source, String> {
    let len_max = config.settings().size(Opt::ProtoMaxBulkLen);
    Source::open(path, len_max, limits)
}
