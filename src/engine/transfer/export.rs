//! `aikv export`: the keys of a data directory as an RDB file, which Redis loads.

use super::progress::Progress;
use crate::base::{clock, crc64};
use crate::config::{Config, Opt};
use crate::engine::open;
use crate::keyspace::{Entry, Keyspace};
use crate::script::LibrarySet;
use crate::value::rdb::file;
use aidb::fs::RealFileSystem;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes everything that the directory of the configuration holds into a new file, or in the place of an old one.
pub fn export(path: &Path, config: &Config) -> Result<(), String> {
    let dir = config.settings().text(Opt::Dir);
    // Or else the file of another day would be replaced by an empty one.
    aidb::require_database(Path::new(&*dir), &RealFileSystem).map_err(|error| error.to_string())?;
    let loaded = open::load(config.settings())?;
    let keyspace = loaded.keyspace;
    let now_ms = clock::unix_ms();
    let libraries = loaded.libraries.current();
    let written = write_file(path, keyspace, &libraries, now_ms);
    let keys = written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    loaded.journal.close().map_err(|error| error.to_string())?;
    println!("{keys} keys exported to {}", path.display());
    let portable = libraries.iter().filter(|library| library.is_portable());
    let (all, portable) = (libraries.len(), portable.count());
    if all > 0 {
        println!("{portable} libraries of functions exported");
    }
    if all > portable {
        println!(
            "{} left out: their first line has options that Redis does not know",
            all - portable
        );
    }
    Ok(())
}

fn write_file(
    path: &Path,
    keyspace: &Keyspace,
    libraries: &LibrarySet,
    now_ms: i64,
) -> std::io::Result<u64> {
    let mut sink = Sink::create(path)?;
    let has_field_times = (0..keyspace.databases()).any(|db| {
        !keyspace.each(keyspace.physical(db), now_ms, |entry| {
            !entry.value.has_times()
        })
    });
    let sizes: Vec<_> = (0..keyspace.databases())
        .map(|db| keyspace.size(keyspace.physical(db)))
        .collect();
    let progress = Progress::keys("exporting", sizes.iter().map(|size| size.keys as u64).sum());
    file::put_head(&mut sink.buffer, has_field_times);
    file::put_aux(&mut sink.buffer, "aikv-ver", env!("CARGO_PKG_VERSION"));
    file::put_aux(&mut sink.buffer, "ctime", &(now_ms / 1000).to_string());
    for library in libraries.iter().filter(|library| library.is_portable()) {
        file::put_function(&mut sink.buffer, library.code());
        sink.write_if_full()?;
    }
    let mut keys = 0;
    for (db, size) in sizes.iter().enumerate().filter(|(_, size)| size.keys > 0) {
        file::put_select(&mut sink.buffer, db, size.keys, size.volatile);
        let mut outcome = Ok(());
        keyspace.each(
            keyspace.physical(db),
            now_ms,
            |Entry {
                 key,
                 value,
                 expire_ms,
                 ..
             }| {
                let expire_ms = (*expire_ms != 0).then_some(*expire_ms);
                file::put_key(&mut sink.buffer, key, value, expire_ms);
                keys += 1;
                progress.set(keys);
                outcome = sink.write_if_full();
                outcome.is_ok()
            },
        );
        outcome?;
    }
    sink.publish(path)?;
    Ok(keys)
}

/// A file that nobody sees before it is whole.
struct Sink {
    temporary: PathBuf,
    file: File,
    buffer: Vec<u8>,
    checksum: u64,
    published: bool,
}

impl Sink {
    fn create(path: &Path) -> std::io::Result<Sink> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        Ok(Sink {
            file: File::create(&temporary)?,
            temporary,
            buffer: Vec::new(),
            checksum: 0,
            published: false,
        })
    }

    fn write_if_full(&mut self) -> std::io::Result<()> {
        if self.buffer.len() >= BUFFER_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.checksum = crc64::extend(self.checksum, &self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn publish(mut self, path: &Path) -> std::io::Result<()> {
        file::put_end(&mut self.buffer);
        self.write()?;
        self.file.write_all(&self.checksum.to_le_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.temporary, path)?;
        self.published = true;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.published {
            // It may not be there; then there is nothing to take away.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
