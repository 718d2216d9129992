//! Files that are replaced as a whole: a crash leaves the old one or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is written may hold passwords. A file that was there keeps the mode that it had.
const MODE: u32 = 0o600;

/// Puts `text` into the place of a file.
pub fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let replaced = replace(&temporary, path, text);
    if replaced.is_err() {
        // Best effort: the error that matters is the one that is returned.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

fn replace(temporary: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(temporary)?;
    file.write_all(text)?;
    if let Ok(present) = fs::metadata(path) {
        file.set_permissions(present.permissions())?;
    }
    file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
