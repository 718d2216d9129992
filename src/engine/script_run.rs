//! stub until the merge of script
use super::admission::{Grants, Wait};
use super::client::Client;
use super::shared::Shared;
use super::worker::{Flow, Worker};
use crate::command::Command;
use crate::resp::Args;
pub static COMMANDS: &[Command<Invocation>] = &[];
#[derive(Clone, Copy)]
pub enum Invocation {
    Eval,
}
impl Invocation {
    pub fn is_read_only(self) -> bool {
        false
    }
}
pub struct ScriptState;
impl ScriptState {
    pub fn new(_: &'static Shared) -> Self {
        Self
    }
}
pub struct ScriptWork;
impl ScriptWork {
    pub fn has_started(&self) -> bool {
        false
    }
    pub fn wait(&self) -> Option<&Wait> {
        None
    }
}
pub struct NeedsGate;
pub fn declares_keys(_: &Args<'_>) -> bool {
    true
}
impl Worker {
    pub(super) fn script(
        &mut self,
        _: Invocation,
        _: &mut Client,
        _: Args<'_>,
        _: &mut Vec<u8>,
    ) -> Flow {
        Flow::Done
    }
    pub(super) fn script_in_exec(
        &mut self,
        _: Invocation,
        _: &mut Grants,
        _: &mut Client,
        _: Args<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(), NeedsGate> {
        Ok(())
    }
    pub(super) fn script_resume(
        &mut self,
        _: u64,
        _: Box<ScriptWork>,
        _: &mut Client,
        _: &mut Vec<u8>,
    ) -> Flow {
        Flow::Done
    }
    pub(super) fn script_cancel(&mut self, _: Box<ScriptWork>) {}
}
