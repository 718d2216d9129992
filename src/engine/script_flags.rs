//! What a script says about itself, and whether that lets it run.

use super::dispatch::OUT_OF_MEMORY;
use super::script_run::{By, Invocation};
use super::worker::Worker;
use crate::command::Error;
use crate::resp::Args;
use crate::script::{Callee, ScriptFlags};

/// Whether what a callee says of itself lets it run now.
pub fn check_flags(invocation: Invocation, callee: &Callee, oom: bool) -> Result<(), Error> {
    let Some(flags) = callee.flags() else {
        return Ok(());
    };
    if oom && !flags.intersects(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES) {
        return Err(OUT_OF_MEMORY);
    }
    if invocation.is_read_only() && !flags.contains(ScriptFlags::NO_WRITES) {
        return Err(Error::text(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    Ok(())
}

impl Worker {
    /// Whether a script is refused where memory is short, as its first line says. One without such a line may begin.
    pub(super) fn script_denies_oom(&self, invocation: Invocation, args: &Args<'_>) -> bool {
        let Some(named) = args.try_get(1) else {
            return false;
        };
        let callee = match invocation.by {
            By::Function => self.shared.libraries.callee(named),
            // One that begins in another way says nothing of itself, and need not be looked up.
            By::Body if !named.starts_with(b"#!") => None,
            by => self.find_script(by, named, self.now_us).ok(),
        };
        // One that cannot be found or read is refused for that.
        callee
            .and_then(|callee| callee.flags())
            .is_some_and(|flags| !flags.intersects(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES))
    }
}
