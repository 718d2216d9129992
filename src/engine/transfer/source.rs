//! An RDB file, item by item, through a window that is as large as its largest item.

use crate::base::crc64;
use crate::value::Limits;
use crate::value::rdb::file::{self, CHECKSUM_LEN, HEAD_LEN, Item, ItemError};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The window grows by this much at least.
const READ_BYTES: usize = 1 << 20;

pub struct Source {
    path: PathBuf,
    file: File,
    version: u16,
    len_max: usize,
    limits: Limits,
    /// What was read from the file; the part before `used` belongs to items that were handed out.
    window: Vec<u8>,
    used: usize,
    /// Bytes of the file before the window.
    before: u64,
    at_end: bool,
    checksum: u64,
}

impl Source {
    /// Opens a file and reads its head.
    pub fn open(path: &Path, len_max: usize, limits: Limits) -> Result<Source, String> {
        let name = path.display();
        let mut file = File::open(path).map_err(|error| format!("cannot open {name}: {error}"))?;
        let mut head = [0; HEAD_LEN];
        file.read_exact(&mut head)
            .map_err(|error| format!("{name} is no RDB file: {error}"))?;
        let version = file::version(&head)
            .ok_or_else(|| format!("{name} is no RDB file: it does not begin with REDIS"))?;
        if !file::is_readable(version) {
            return Err(format!(
                "{name} has RDB version {version}, which is not known"
            ));
        }
        Ok(Source {
            path: path.to_path_buf(),
            file,
            version,
            len_max,
            limits,
            window: Vec::new(),
            used: 0,
            before: HEAD_LEN as u64,
            at_end: false,
            checksum: crc64::crc64(&head),
        })
    }

    pub fn file_bytes(&self) -> Result<u64, String> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| format!("cannot read {}: {error}", self.path.display()))
    }

    /// Bytes that have been read as items.
    pub fn position(&self) -> u64 {
        self.before + self.used as u64
    }

    /// The next item; `None` after the last one, when the checksum is right.
    pub fn next(&mut self) -> Result<Option<Item>, String> {
        loop {
            match file::read_item(&self.window[self.used..], self.len_max, &self.limits) {
                Ok((item, bytes)) => {
                    let read = &self.window[self.used..self.used + bytes];
                    self.checksum = crc64::extend(self.checksum, read);
                    self.used += bytes;
                    if item == Item::End {
                        self.check_end()?;
                        return Ok(None);
                    }
                    return Ok(Some(item));
                }
                Err(ItemError::Incomplete) if !self.at_end => self.widen()?,
                Err(ItemError::Incomplete) => {
                    return Err(self.bad("the file ends here, or is damaged"));
                }
                Err(ItemError::Unsupported(what)) => {
                    return Err(self.bad(&format!("there is {what}")));
                }
            }
        }
    }

    fn check_end(&mut self) -> Result<(), String> {
        if !file::has_checksum(self.version) {
            return Ok(());
        }
        while self.window.len() - self.used < CHECKSUM_LEN && !self.at_end {
            self.widen()?;
        }
        let stored = self.window[self.used..].first_chunk::<CHECKSUM_LEN>();
        match stored.map(|bytes| u64::from_le_bytes(*bytes)) {
            // Written with `rdbchecksum no`.
            Some(0) => Ok(()),
            Some(stored) if stored == self.checksum => Ok(()),
            Some(_) => Err(self.bad("the checksum is wrong: the file is damaged")),
            None => Err(self.bad("the file ends before its checksum")),
        }
    }

    /// Reads more of the file: as much as the window has, so that an item that needs many looks is not looked at often.
    fn widen(&mut self) -> Result<(), String> {
        self.window.drain(..self.used);
        self.before += self.used as u64;
        self.used = 0;
        let wanted = self.window.len().max(READ_BYTES);
        let read = (&mut self.file)
            .take(wanted as u64)
            .read_to_end(&mut self.window);
        let read = read.map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        self.at_end = read < wanted;
        Ok(())
    }

    pub fn bad(&self, what: &str) -> String {
        format!(
            "{} at offset {}: {what}",
            self.path.display(),
            self.position()
        )
    }
}
