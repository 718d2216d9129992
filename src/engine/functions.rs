//! Libraries of functions: how they are loaded, and how the set of them changes.
//!
//! A change is in the journal before anybody sees it, and everybody sees it before it is answered. Changes are made one after
//! the other, so the journal has them in their order.

use super::commit::append;
use super::script_end::{abort_error, write_log};
use super::script_run::{TOO_MANY_SCRIPTS, dialect};
use super::shared::Shared;
use super::stored_functions;
use super::worker::Worker;
use crate::command::Error;
use crate::config::Settings;
use crate::resp::{Protocol, Recorder};
use crate::script::{
    AbortReason, Called, Conflict, Host, Library, LibraryHeader, LibrarySet, LogLevel, ReplyTokens,
    Step, VmPool,
};
use aidb::WriteBatch;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the code of libraries may run while a command loads them.
const LOAD_MAX: Duration = Duration::from_millis(500);
const LOAD_TIMEOUT: &str = "ERR FUNCTION LOAD timeout";

/// What FUNCTION RESTORE does with libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    Flush,
    Append,
    Replace,
}

impl Worker {
    /// FUNCTION LOAD. Returns the library's name.
    pub(super) fn load_function_library(
        &self,
        code: &[u8],
        replace: bool,
    ) -> Result<String, Error> {
        let libraries = &self.shared.libraries;
        let header = LibraryHeader::parse(code).map_err(told)?;
        let exists = |set: &LibrarySet| set.get(header.name.as_bytes()).is_some();
        // Redis looks before it runs the code. What another client does in the meantime is found below.
        if !replace && exists(&libraries.current()) {
            return Err(quoted_conflict(Conflict::Library(header.name)));
        }
        let mut until = Deadline::new();
        let library = Arc::new(run_library(
            &self.scripts.pool,
            self.shared.config.settings(),
            header,
            code,
            &mut until,
        )?);
        let mut change = libraries.change();
        if replace {
            change.set.remove(library.name.as_bytes());
        }
        let added = change.set.add(Arc::clone(&library));
        added.map_err(quoted_conflict)?;
        let mut batch = WriteBatch::new();
        stored_functions::put(&mut batch, &library);
        append(self.shared, &batch)?;
        change.publish();
        Ok(library.name.clone())
    }

    /// FUNCTION RESTORE: all of these libraries, or none.
    pub(super) fn restore_function_libraries(
        &self,
        codes: &[Vec<u8>],
        policy: Restore,
    ) -> Result<(), Error> {
        let mut until = Deadline::new();
        let mut restored = LibrarySet::default();
        for code in codes {
            let header = LibraryHeader::parse(code).map_err(told)?;
            if restored.get(header.name.as_bytes()).is_some() {
                return Err(quoted_conflict(Conflict::Library(header.name)));
            }
            let library = run_library(
                &self.scripts.pool,
                self.shared.config.settings(),
                header,
                code,
                &mut until,
            )?;
            restored
                .add(Arc::new(library))
                .map_err(|taken| conflict(&taken))?;
        }
        let mut change = self.shared.libraries.change();
        let mut batch = WriteBatch::new();
        match policy {
            Restore::Flush => {
                change.set = LibrarySet::default();
                stored_functions::delete_all(&mut batch);
            }
            Restore::Replace => {
                for library in restored.iter() {
                    change.set.remove(library.name.as_bytes());
                }
            }
            Restore::Append => {}
        }
        for library in restored.iter() {
            change
                .set
                .add(Arc::clone(library))
                .map_err(|taken| conflict(&taken))?;
            stored_functions::put(&mut batch, library);
        }
        append(self.shared, &batch)?;
        change.publish();
        Ok(())
    }
}

/// Runs the code of a library to learn what it registers.
pub fn run_library(
    pool: &VmPool,
    settings: &Settings,
    header: LibraryHeader,
    code: &[u8],
    until: &mut Deadline,
) -> Result<Library, Error> {
    let dialect = header.header.dialect.unwrap_or_else(|| dialect(settings));
    let vm = pool.take(dialect).ok_or(TOO_MANY_SCRIPTS)?;
    let mut library = Library::new(header, code, Vec::new());
    let mut run = library.start(vm).map_err(|error| line(&error.message))?;
    let mut returned = Recorder::new(Protocol::Resp3);
    let failure = loop {
        match run.resume(until, &mut returned) {
            Step::Done => break None,
            Step::Preempted if until.is_over() => break Some(LOAD_TIMEOUT.into()),
            Step::Preempted => {}
            Step::Failed(error) => break Some(error.message),
            Step::Aborted(AbortReason::Host(line)) => break Some(line.into_bytes()),
            Step::Aborted(reason) => return Err(abort_error(&reason, &mut None)),
            Step::WaitForLock | Step::Stopped | Step::Restart | Step::RolledBack => {
                unreachable!("no command and no rollback is within reach of a library's code")
            }
        }
    };
    if let Some(why) = failure {
        return Err(line(
            &[b"ERR Error registering functions: ", &why[..]].concat(),
        ));
    }
    library.set_functions(run.registered());
    if library.functions.is_empty() {
        return Err(Error::text("ERR No functions registered"));
    }
    Ok(library)
}

/// FUNCTION DELETE.
pub fn delete(shared: &Shared, name: &[u8]) -> Result<(), Error> {
    let mut change = shared.libraries.change();
    let removed = change.set.remove(name);
    let library = removed.ok_or(Error::text("ERR Library not found"))?;
    let mut batch = WriteBatch::new();
    stored_functions::delete(&mut batch, &library.name);
    append(shared, &batch)?;
    change.publish();
    Ok(())
}

/// FUNCTION FLUSH. Runs that hold a function go on with it.
pub fn flush(shared: &Shared) -> Result<(), Error> {
    let mut change = shared.libraries.change();
    change.set = LibrarySet::default();
    let mut batch = WriteBatch::new();
    stored_functions::delete_all(&mut batch);
    append(shared, &batch)?;
    change.publish();
    Ok(())
}

/// What the code of a library may ask for while it is loaded: lines in the log, and time.
pub struct Deadline {
    start: Instant,
}

impl Deadline {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() >= LOAD_MAX
    }
}

impl Host for Deadline {
    fn call(&mut self, _: &[&[u8]], reply: &mut ReplyTokens) -> Called {
        use crate::resp::Reply;
        reply.error("ERR This Redis command is not allowed from script");
        Called::Done
    }

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        write_log(level, message);
    }

    fn savepoint(&mut self) -> Option<u64> {
        None
    }

    fn rollback_to(&mut self, _: u64) -> bool {
        false
    }

    fn overdue(&mut self) -> Option<AbortReason> {
        self.is_over()
            .then(|| AbortReason::Host(LOAD_TIMEOUT.to_owned()))
    }
}

/// LOAD quotes the name of a library.
fn quoted_conflict(taken: Conflict) -> Error {
    match taken {
        Conflict::Library(name) => told(format!("ERR Library '{name}' already exists")),
        function @ Conflict::Function(_) => conflict(&function),
    }
}

fn conflict(taken: &Conflict) -> Error {
    told(format!("ERR {taken}"))
}

fn told(line: String) -> Error {
    Error::Other(line.into())
}

fn line(bytes: &[u8]) -> Error {
    told(String::from_utf8_lossy(bytes).into_owned())
}
