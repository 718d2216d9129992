//! Changes to a stream.

use super::super::stored::Stored;
use super::{Collection, variant};
use crate::value::{Limits, Stream};

/// What undoes a change to a stream.
#[derive(Debug)]
pub enum StreamChange {}

impl Collection for Stream {
    variant!(Stream, StreamChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: StreamChange) {
        match change {}
    }
}

impl Stored for Stream {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_STREAM
    }

    fn elements(&self, _put: &mut dyn FnMut(&[u8], &[u8])) {}

    fn load_put(&mut self, _element: &[u8], _value: &[u8], _limits: &Limits) -> Option<()> {
        None
    }

    fn load_delete(&mut self, _element: &[u8]) -> Option<()> {
        None
    }
}
