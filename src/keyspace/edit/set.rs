//! Changes to sets.
//!
//! ```text
//! element = the member    value = nothing
//! ```

use super::super::stored::Stored;
use super::{Collection, Edit, variant};
use crate::value::{Limits, Set, SetMember, StrBuf};

pub use crate::value::SetChange;

impl Edit<'_, Set> {
    /// Adds a member. Tells whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let limits = self.limits();
        let Some(change) = self.value.insert(member, &limits) else {
            return false;
        };
        self.put_record(member, b"");
        self.changed(change);
        true
    }

    /// Removes a member. Tells whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(change) = self.value.remove(member) else {
            return false;
        };
        self.delete_record(member);
        self.changed(change);
        true
    }

    /// Removes the member at a position below the set's length, and returns it.
    pub fn take(&mut self, position: usize) -> StrBuf {
        let member = match self.value.at(position) {
            SetMember::Int(value) => {
                StrBuf::from_slice(itoa::Buffer::new().format(value).as_bytes())
            }
            SetMember::Bytes(bytes) => StrBuf::from_slice(bytes),
        };
        self.remove(&member);
        member
    }
}

impl Collection for Set {
    variant!(Set, SetChange);

    fn is_over(&self) -> bool {
        self.is_empty()
    }

    fn undo(&mut self, change: SetChange) {
        self.undo(change);
    }
}

impl Stored for Set {
    fn tag(&self) -> u8 {
        super::super::record::TYPE_SET
    }

    fn elements(&self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut text = itoa::Buffer::new();
        self.for_each(|member| put(member.bytes(&mut text), b""));
    }

    fn load_put(&mut self, element: &[u8], value: &[u8], limits: &Limits) -> Option<()> {
        self.insert(element, limits);
        value.is_empty().then_some(())
    }

    fn load_delete(&mut self, element: &[u8]) -> Option<()> {
        self.remove(element);
        Some(())
    }
}
