//! Changes to a zset.

use super::super::stored::Stored;
use super::{Collection, variant};
use crate::value::{Limits, ZSet};

/// What undoes a change to a zset.
#[derive(Debug)]
pub enum ZSetChange {}

impl Collection for ZSet {
    variant!(ZSet, ZSetChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: ZSetChange) {
        match change {}
    }
}

impl Stored for ZSet {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_ZSET
    }

    fn elements(&self, _put: &mut dyn FnMut(&[u8], &[u8])) {}

    fn load_put(&mut self, _element: &[u8], _value: &[u8], _limits: &Limits) -> Option<()> {
        None
    }

    fn load_delete(&mut self, _element: &[u8]) -> Option<()> {
        None
    }
}
