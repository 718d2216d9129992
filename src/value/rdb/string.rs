//! Strings: type 0, one string of [`super::code`].

use super::code::put_string;
use crate::value::Str;

pub const TAG: u8 = 0;

pub fn put(out: &mut Vec<u8>, string: &Str) {
    out.push(TAG);
    put_string(out, string.bytes(&mut itoa::Buffer::new()));
}
