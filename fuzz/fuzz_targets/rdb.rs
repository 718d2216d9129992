//! What `aikv import` reads: whatever a file holds, it is an error or items, and an item never has more bytes than there are.

#![no_main]

use aikv::value::Limits;
use aikv::value::rdb::file::{Item, read_item};
use libfuzzer_sys::fuzz_target;

const STRING_LEN_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let mut rest = bytes;
    while let Ok((item, used)) = read_item(rest, STRING_LEN_MAX, &limits) {
        assert!(used > 0);
        rest = &rest[used..];
        if item == Item::End {
            break;
        }
    }
});
