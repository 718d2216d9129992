//! Looks at a database that is not running, and cuts it behind its last good batch if told to.

use std::path::Path;

use crate::db::lock_dir;
use crate::fs::FileSystem;
use crate::recovery::{self, Recovery};
use crate::segment::Listing;
use crate::{Error, Result};

/// What [`check`] found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// What a start would replay; `cut` in it names the bad place, if there is one.
    pub recovery: Recovery,
    /// Set when the bad place had been synced, so that a start fails without a repair.
    pub damage: Option<Error>,
    pub repaired: bool,
}

/// Reads everything. If there is a bad place, `confirm` sees the report and says whether to cut there.
///
/// What a cut cannot repair, a damaged table or header or a missing file, is an error.
pub fn check(
    dir: &Path,
    fs: &dyn FileSystem,
    confirm: &mut dyn FnMut(&CheckReport) -> bool,
) -> Result<CheckReport> {
    // Before the lock, which would make a directory that is not there.
    require_database(dir, fs)?;
    let _lock = lock_dir(fs, dir)?;
    let mut scan = recovery::verify(fs, dir, None)?;
    let mut report = CheckReport {
        recovery: scan.recovery.clone(),
        damage: scan.damage(),
        repaired: false,
    };
    if scan.bad.is_some() && confirm(&report) {
        scan.cut(fs, dir)?;
        report.repaired = true;
    }
    Ok(report)
}

/// Refuses a directory that is not there or holds no database: a name that was mistyped shall not pass for an empty one.
pub fn require_database(dir: &Path, fs: &dyn FileSystem) -> Result<()> {
    if Listing::read(fs, dir)?.is_empty() {
        return Err(Error::NoDatabase {
            dir: dir.to_path_buf(),
        });
    }
    Ok(())
}
