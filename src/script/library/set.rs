//! All libraries of a server.

use super::super::callee::Callee;
use super::Library;
use ahash::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Libraries by name, and their functions by theirs. Names of functions are found in any case, those of libraries are not.
#[derive(Clone, Debug, Default)]
pub struct LibrarySet {
    libraries: BTreeMap<String, Arc<Library>>,
    functions: HashMap<Box<[u8]>, Callee>,
}

/// Why a library cannot be added: the name is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    Library(String),
    Function(String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(name) => write!(f, "Library {name} already exists"),
            Self::Function(name) => write!(f, "Function {name} already exists"),
        }
    }
}

/// Names of functions up to this length are looked up without an allocation.
const NAME_LEN: usize = 64;

impl LibrarySet {
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Library>> {
        self.libraries.get(std::str::from_utf8(name).ok()?)
    }

    /// What FCALL of this name runs.
    pub fn callee(&self, name: &[u8]) -> Option<&Callee> {
        let mut lower: SmallVec<[u8; NAME_LEN]> = SmallVec::from_slice(name);
        lower.make_ascii_lowercase();
        self.functions.get(&lower[..])
    }

    /// The libraries by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Adds a library, or changes nothing.
    pub fn add(&mut self, library: Arc<Library>) -> Result<(), Conflict> {
        if self.libraries.contains_key(&library.name) {
            return Err(Conflict::Library(library.name.clone()));
        }
        let keys: Vec<Box<[u8]>> = library.functions.iter().map(|f| key(&f.name)).collect();
        let mut named = library.functions.iter().zip(&keys);
        if let Some((taken, _)) = named.find(|(_, key)| self.functions.contains_key(*key)) {
            return Err(Conflict::Function(taken.name.clone()));
        }
        for (function, key) in library.functions.iter().zip(keys) {
            let callee = Callee::function(Arc::clone(&library.script), Arc::clone(function));
            self.functions.insert(key, callee);
        }
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Library>> {
        let library = self.libraries.remove(std::str::from_utf8(name).ok()?)?;
        for function in &library.functions {
            self.functions.remove(&key(&function.name));
        }
        Some(library)
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&self) {
        let functions = self.iter().flat_map(|library| &library.functions);
        functions.for_each(|function| function.stats.reset());
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let names = self.functions.keys().map(|name| name.len()).sum::<usize>();
        let entries = self.functions.capacity() * size_of::<(Box<[u8]>, Callee)>();
        let libraries = self.iter().map(|library| library.heap_bytes());
        names + entries + libraries.sum::<usize>()
    }
}

fn key(name: &str) -> Box<[u8]> {
    name.to_ascii_lowercase().into_bytes().into()
}

/// The set of the server, shared by all shards.
#[derive(Debug, Default)]
pub struct Libraries {
    current: RwLock<Arc<LibrarySet>>,
    changes: Mutex<()>,
}

impl Libraries {
    /// What FCALL of this name runs.
    pub fn callee(&self, name: &[u8]) -> Option<Callee> {
        self.current.read().callee(name).cloned()
    }

    pub fn current(&self) -> Arc<LibrarySet> {
        Arc::clone(&self.current.read())
    }

    /// Begins a change; until it is dropped nobody else makes one.
    pub fn change(&self) -> Change<'_> {
        let alone = self.changes.lock();
        Change {
            set: LibrarySet::clone(&self.current.read()),
            libraries: self,
            _alone: alone,
        }
    }
}

impl From<LibrarySet> for Libraries {
    fn from(set: LibrarySet) -> Self {
        Self {
            current: RwLock::new(Arc::new(set)),
            changes: Mutex::default(),
        }
    }
}

/// A change under way. Dropped before [`Change::publish`] it has never been.
pub struct Change<'a> {
    pub set: LibrarySet,
    libraries: &'a Libraries,
    _alone: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Lets everybody see the set as it is now.
    pub fn publish(self) {
        let set = Arc::new(self.set);
        let old = std::mem::replace(&mut *self.libraries.current.write(), set);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Function, LibraryHeader};
    use super::*;
    use crate::script::ScriptFlags;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let code = format!("#!lua name={name}\n");
        let header = LibraryHeader::parse(code.as_bytes()).unwrap();
        let functions = functions
            .iter()
            .map(|name| Function::new((*name).to_owned(), None, ScriptFlags::empty()));
        Arc::new(Library::new(header, code.as_bytes(), functions.collect()))
    }

    #[test]
    fn functions_are_found_in_any_case_and_libraries_are_not() {
        let mut set = LibrarySet::default();
        set.add(library("one", &["First", "second"])).unwrap();
        assert_eq!(set.callee(b"FIRST").unwrap().name(), "First");
        assert!(set.callee(b"third").is_none() && set.callee(&[b'x'; 500]).is_none());
        assert!(set.get(b"one").is_some() && set.get(b"ONE").is_none());
        set.add(library("ONE", &["other"])).unwrap();
        assert_eq!((set.len(), set.function_count()), (2, 3));
    }

    #[test]
    fn a_name_that_is_taken_changes_nothing() {
        let mut set = LibrarySet::default();
        set.add(library("one", &["a", "b"])).unwrap();
        let taken = set.add(library("two", &["c", "B"])).unwrap_err();
        assert_eq!(taken, Conflict::Function("B".to_owned()));
        let taken = set.add(library("one", &["d"])).unwrap_err();
        assert_eq!(taken, Conflict::Library("one".to_owned()));
        assert_eq!((set.len(), set.function_count()), (1, 2));
        assert!(set.remove(b"one").is_some() && set.remove(b"one").is_none());
        assert_eq!((set.len(), set.function_count()), (0, 0));
    }

    #[test]
    fn a_change_is_seen_when_it_is_published() {
        let libraries = Libraries::default();
        let mut change = libraries.change();
        change.set.add(library("one", &["a"])).unwrap();
        assert!(libraries.callee(b"a").is_none());
        drop(change);
        assert!(libraries.current().is_empty());
        let mut change = libraries.change();
        change.set.add(library("one", &["a"])).unwrap();
        change.publish();
        assert!(libraries.callee(b"a").is_some());
    }
}
