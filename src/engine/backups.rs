//! Backups: those that BGSAVE makes, a directory each, named after the last batch in it; and `aikv backup` and `restore`.

use super::shared::Shared;
use crate::base::clock;
use crate::config::Opt;
use aidb::Backup;
use aidb::fs::RealFileSystem;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Backups {
    running: AtomicBool,
    /// Unix time in seconds of the last SAVE or backup; 0: none.
    saved_s: AtomicI64,
    last: Mutex<Option<LastBackup>>,
}

#[derive(Clone, Debug)]
pub struct LastBackup {
    pub took: Duration,
    /// Why it failed.
    pub error: Option<String>,
}

/// A backup is being made already.
#[derive(Debug)]
pub struct Busy;

impl Backups {
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub fn last(&self) -> Option<LastBackup> {
        self.last.lock().clone()
    }

    /// Unix time in seconds of the last SAVE or backup that was made.
    pub fn saved_s(&self) -> Option<i64> {
        Some(self.saved_s.load(Ordering::Relaxed)).filter(|at_s| *at_s != 0)
    }

    pub fn note_saved(&self, now_ms: i64) {
        self.saved_s.store(now_ms / 1000, Ordering::Relaxed);
    }

    /// Starts one on a thread of its own.
    pub fn start(&self, shared: &'static Shared) -> Result<(), Busy> {
        if self.running.swap(true, Ordering::AcqRel) {
            return Err(Busy);
        }
        let thread = std::thread::Builder::new().name("aikv-backup".into());
        let spawned = thread.spawn(|| {
            let started = Instant::now();
            shared.backups.note(make(shared), started.elapsed());
        });
        if let Err(error) = spawned {
            self.note(
                Err(format!("cannot start a thread: {error}")),
                Duration::ZERO,
            );
        }
        Ok(())
    }

    fn note(&self, outcome: Result<PathBuf, String>, took: Duration) {
        match &outcome {
            Ok(path) => {
                let took_ms = took.as_millis() as u64;
                tracing::info!(path = %path.display(), took_ms, "backup made");
            }
            Err(error) => tracing::error!("the backup failed: {error}"),
        }
        if outcome.is_ok() {
            self.note_saved(clock::unix_ms());
        }
        *self.last.lock() = Some(LastBackup {
            took,
            error: outcome.err(),
        });
        self.running.store(false, Ordering::Release);
    }
}

/// Where backups are put: `backup-dir`, which is seen from the data directory.
fn home(shared: &Shared) -> PathBuf {
    let settings = shared.config.settings();
    let dir = settings.text(Opt::Dir);
    Path::new(&*dir).join(&*settings.text(Opt::BackupDir))
}

fn make(shared: &Shared) -> Result<PathBuf, String> {
    let home = home(shared);
    let keep = shared.config.settings().size(Opt::BackupKeep);
    let refused = |error: std::io::Error| format!("{}: {error}", home.display());
    std::fs::create_dir_all(&home).map_err(refused)?;
    let unfinished = home.join("unfinished");
    remove(&unfinished).map_err(refused)?;
    let made = shared.journal.backup(&unfinished);
    let last = made.map_err(|error| error.to_string())?.last;
    let path = home.join(format!("{last:020}"));
    // Nothing was written since the last one: it is replaced by its like.
    remove(&path).map_err(refused)?;
    std::fs::rename(&unfinished, &path).map_err(refused)?;
    std::fs::File::open(&home)
        .and_then(|home| home.sync_all())
        .map_err(refused)?;
    let older = backups(&home).map_err(refused)?;
    for old in older.iter().rev().skip(keep) {
        remove(old).map_err(refused)?;
    }
    Ok(path)
}

/// The backups in a directory, the oldest first. What has another name is none of ours.
fn backups(home: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(home)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push(home.join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `aikv backup`: a backup of a directory that no server uses.
pub fn backup(dir: &Path, to: &Path) -> Result<(), String> {
    let made = aidb::backup(dir, to, &RealFileSystem).map_err(|error| error.to_string())?;
    show(&made, to);
    Ok(())
}

/// `aikv restore`: a new data directory from a backup, as it was after the batch `until`.
pub fn restore(from: &Path, dir: &Path, until: Option<u64>) -> Result<(), String> {
    let made = aidb::restore(from, dir, until, &RealFileSystem);
    show(&made.map_err(|error| error.to_string())?, dir);
    Ok(())
}

fn show(made: &Backup, at: &Path) {
    let Backup { last, files, bytes } = made;
    let at = at.display();
    println!("{at}: {files} files, {bytes} bytes, up to batch {last}");
}
