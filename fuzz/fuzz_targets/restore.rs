//! What RESTORE is given: whatever the bytes behind a right checksum are, they are refused or make a value that can be
//! dumped and restored again as itself.

#![no_main]

use aikv::base::crc64::crc64;
use aikv::value::{Limits, Value, rdb};
use libfuzzer_sys::fuzz_target;

const VERSION: u16 = 10;
const STRING_LEN_MAX: usize = 1 << 20;

fuzz_target!(|content: &[u8]| {
    let mut dump = content.to_vec();
    dump.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&dump);
    dump.extend_from_slice(&checksum.to_le_bytes());
    let limits = Limits::default();
    let Ok(value) = rdb::restore(&dump, STRING_LEN_MAX, &limits) else {
        return;
    };
    let dumped = rdb::dump(&value);
    let again = rdb::restore(&dumped, usize::MAX, &limits);
    if let (Value::Stream(_), Ok(again)) = (&value, &again) {
        // What we dump is of a version in which a consumer has one time, not two.
        assert_eq!(rdb::dump(again), dumped);
    } else {
        assert_eq!(again.as_ref(), Ok(&value));
    }
});
