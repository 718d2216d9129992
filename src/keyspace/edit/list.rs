//! Changes to a list.

use super::super::stored::Stored;
use super::{Collection, variant};
use crate::value::{Limits, List};

/// What undoes a change to a list.
#[derive(Debug)]
pub enum ListChange {}

impl Collection for List {
    variant!(List, ListChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: ListChange) {
        match change {}
    }
}

impl Stored for List {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_LIST
    }

    fn elements(&self, _put: &mut dyn FnMut(&[u8], &[u8])) {}

    fn load_put(&mut self, _element: &[u8], _value: &[u8], _limits: &Limits) -> Option<()> {
        None
    }

    fn load_delete(&mut self, _element: &[u8]) -> Option<()> {
        None
    }
}
