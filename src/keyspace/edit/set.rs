//! Changes to a set.

use super::super::stored::Stored;
use super::{Collection, variant};
use crate::value::{Limits, Set};

/// What undoes a change to a set.
#[derive(Debug)]
pub enum SetChange {}

impl Collection for Set {
    variant!(Set, SetChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: SetChange) {
        match change {}
    }
}

impl Stored for Set {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_SET
    }

    fn elements(&self, _put: &mut dyn FnMut(&[u8], &[u8])) {}

    fn load_put(&mut self, _element: &[u8], _value: &[u8], _limits: &Limits) -> Option<()> {
        None
    }

    fn load_delete(&mut self, _element: &[u8]) -> Option<()> {
        None
    }
}
