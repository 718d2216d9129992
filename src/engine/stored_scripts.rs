//! Scripts that SCRIPT LOAD has put into the cache, as records of the store: they are there again after a restart.
//!
//! ```text
//! record key   = 2 sha1 (20 bytes)
//! record value = the script's body
//! ```

use super::commit::append;
use super::shared::Shared;
use crate::command::Error;
use crate::script::{Script, ScriptCache};
use aidb::{Op, WriteBatch};

const SPACE_SCRIPTS: u8 = 2;

/// Keeps a script that is about to be loaded.
pub fn keep(shared: &Shared, script: &Script) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    batch.put_parts(&[&[SPACE_SCRIPTS], &script.sha.0], &[script.body()]);
    append(shared, &batch)
}

/// Forgets all scripts.
pub fn forget_all(shared: &Shared) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    batch.delete_prefix(&[SPACE_SCRIPTS]);
    append(shared, &batch)
}

/// Applies a record of the store at the start. `false`: it is none of a script's.
pub fn replay(scripts: &ScriptCache, op: Op<'_>) -> Result<bool, String> {
    match op {
        Op::Put {
            key: [SPACE_SCRIPTS, ..],
            value,
        } => {
            scripts.load(Script::new(value)?);
            Ok(true)
        }
        Op::DeletePrefix {
            prefix: [SPACE_SCRIPTS],
        } => {
            scripts.flush();
            Ok(true)
        }
        _ => Ok(false),
    }
}
