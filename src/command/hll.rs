//! Commands of hll.

use super::ctx::Handler;
use super::spec::Command;

pub static COMMANDS: &[Command<Handler>] = &[];
