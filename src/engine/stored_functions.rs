//! Libraries of functions as records of the store: they are there again after a restart, which runs no code of theirs.
//!
//! ```text
//! record key   = 3 name
//! record value = count:u32le function* code                            (what the library registers, and its whole code)
//! function     = flags:u8 text(name) 0 | flags:u8 text(name) 1 text(description)
//! text         = length:u32le bytes
//! ```

use crate::script::{Function, Library, LibraryHeader, LibrarySet, ScriptFlags};
use aidb::{Op, WriteBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

const SPACE_FUNCTIONS: u8 = 3;

/// Notes that a library is there from now on.
pub fn put(batch: &mut WriteBatch, library: &Library) {
    batch.put_with(&[&[SPACE_FUNCTIONS], library.name.as_bytes()], |value| {
        put_library(value, library);
    });
}

/// Notes that a library is gone.
pub fn delete(batch: &mut WriteBatch, name: &str) {
    batch.delete_parts(&[&[SPACE_FUNCTIONS], name.as_bytes()]);
}

/// Notes that all libraries are gone.
pub fn delete_all(batch: &mut WriteBatch) {
    batch.delete_prefix(&[SPACE_FUNCTIONS]);
}

/// The records as they come at the start. A rewritten journal may bring them more than once and not in the order of the
/// changes, so what they make up is looked at only when all are in.
#[derive(Default)]
pub struct Loaded(BTreeMap<Vec<u8>, Vec<u8>>);

impl Loaded {
    /// Takes a record of the store. `false`: it is none of a library's.
    pub fn apply(&mut self, op: Op<'_>) -> bool {
        match op {
            Op::Put {
                key: [SPACE_FUNCTIONS, name @ ..],
                value,
            } => {
                self.0.insert(name.to_vec(), value.to_vec());
            }
            Op::Delete {
                key: [SPACE_FUNCTIONS, name @ ..],
            } => {
                self.0.remove(name);
            }
            Op::DeletePrefix {
                prefix: [SPACE_FUNCTIONS],
            } => self.0.clear(),
            _ => return false,
        }
        true
    }

    /// All libraries.
    pub fn finish(self) -> Result<LibrarySet, String> {
        let mut set = LibrarySet::default();
        for (name, value) in self.0 {
            let shown = name.escape_ascii();
            let library = read_library(&value)
                .ok_or_else(|| format!("the record of the library {shown} cannot be read"))?;
            set.add(Arc::new(library))
                .map_err(|taken| format!("the library {shown} clashes with another: {taken}"))?;
        }
        Ok(set)
    }
}

fn put_library(out: &mut Vec<u8>, library: &Library) {
    put_len(out, library.functions.len());
    for function in &library.functions {
        out.push(function.flags.bits());
        put_text(out, function.name.as_bytes());
        match &function.description {
            None => out.push(0),
            Some(text) => {
                out.push(1);
                put_text(out, text);
            }
        }
    }
    out.extend_from_slice(library.code());
}

fn read_library(mut value: &[u8]) -> Option<Library> {
    let count = read_len(&mut value)?;
    let mut functions = Vec::new();
    for _ in 0..count {
        let flags = ScriptFlags::from_bits(read_byte(&mut value)?)?;
        let name = String::from_utf8(read_text(&mut value)?.to_vec()).ok()?;
        let description = match read_byte(&mut value)? {
            0 => None,
            1 => Some(read_text(&mut value)?.into()),
            _ => return None,
        };
        functions.push(Function::new(name, description, flags));
    }
    let header = LibraryHeader::parse(value).ok()?;
    Some(Library::new(header, value, functions))
}

/// Nothing that the journal takes is longer than its frame, whose length has 32 bits.
fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_len(out, text.len());
    out.extend_from_slice(text);
}

fn read_len(from: &mut &[u8]) -> Option<usize> {
    let (len, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_le_bytes(*len) as usize)
}

fn read_byte(from: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = from.split_first()?;
    *from = rest;
    Some(*byte)
}

fn read_text<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = read_len(from)?;
    let (text, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn library(name: &str, functions: Vec<Function>) -> Library {
        let code = format!("#!lua name={name}\n-- code");
        let header = LibraryHeader::parse(code.as_bytes()).expect("a name");
        Library::new(header, code.as_bytes(), functions)
    }

    fn function(name: &str, description: Option<&[u8]>, flags: ScriptFlags) -> Function {
        Function::new(name.to_owned(), description.map(Box::from), flags)
    }

    #[test]
    fn a_library_is_read_as_it_was_written() {
        let functions = vec![
            function("plain", None, ScriptFlags::empty()),
            function("told", Some(b"\0\xff"), ScriptFlags::all()),
            function("empty", Some(b""), ScriptFlags::NO_WRITES),
        ];
        let library = library("lib", functions);
        let mut value = Vec::new();
        put_library(&mut value, &library);
        let read = read_library(&value).expect("it was written here");
        assert_eq!((read.name.as_str(), read.code()), ("lib", library.code()));
        let parts = |library: &Library| -> Vec<_> {
            let functions = library.functions.iter();
            let parts = functions.map(|f| (f.name.clone(), f.description.clone(), f.flags));
            parts.collect()
        };
        assert_eq!(parts(&read), parts(&library));
    }

    /// A function that has moved from one library to another is in both records for a while.
    #[test]
    fn records_may_come_twice_and_late() {
        let moved = || vec![function("f", None, ScriptFlags::empty())];
        let mut batch = WriteBatch::new();
        put(&mut batch, &library("new", moved()));
        put(&mut batch, &library("old", moved()));
        delete(&mut batch, "old");
        put(&mut batch, &library("new", moved()));
        let mut loaded = Loaded::default();
        assert!(batch.iter().all(|op| loaded.apply(op)));
        let set = loaded.finish().expect("one has the function in the end");
        assert_eq!((set.len(), set.function_count()), (1, 1));

        let mut loaded = Loaded::default();
        delete_all(&mut batch);
        assert!(batch.iter().all(|op| loaded.apply(op)));
        assert!(loaded.finish().expect("nothing").is_empty());
    }

    proptest! {
        #[test]
        fn nonsense_is_refused(value: Vec<u8>) {
            let _ = read_library(&value);
        }
    }
}
