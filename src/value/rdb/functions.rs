//! Libraries of functions in Redis's serialized form, which FUNCTION DUMP answers with and FUNCTION RESTORE takes.
//!
//! ```text
//! libraries = (245 string)* version:u16le crc64:u64le      (each string is the code of a library)
//! ```

use super::code::Reader;
use super::file::{FUNCTION, put_function};
use super::{RdbError, VERSION, open, seal};

/// Why a dump cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionsError {
    Footer,
    /// Something that is no library is among them.
    Type,
    Content,
}

/// Serializes libraries, each given by its code.
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        put_function(&mut out, code);
    }
    seal(out, VERSION)
}

/// Reads the codes of serialized libraries, each of at most `len_max` bytes.
pub fn restore_functions(dump: &[u8], len_max: usize) -> Result<Vec<Vec<u8>>, FunctionsError> {
    let content = open(dump).map_err(|_: RdbError| FunctionsError::Footer)?;
    let mut reader = Reader::new(content, len_max);
    let mut codes = Vec::new();
    let mut number = itoa::Buffer::new();
    while let Some(tag) = reader.byte() {
        if tag != FUNCTION {
            return Err(FunctionsError::Type);
        }
        let code = reader.string().ok_or(FunctionsError::Content)?;
        codes.push(code.bytes(&mut number).to_vec());
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEN_MAX: usize = 1 << 20;

    /// What redis-server 7.0.15 answered to FUNCTION DUMP.
    const DUMP: &[u8] = b"\xf5@C#!lua name=l1\nredis.register_function('f1',function() return 1 end)\x0a\x00\x08 O\xd8\x15\xd1\x96\xed";
    const CODE: &[u8] = b"#!lua name=l1\nredis.register_function('f1',function() return 1 end)";

    #[test]
    fn dumps_are_those_of_redis() {
        assert_eq!(dump_functions([CODE].into_iter()), DUMP);
        assert_eq!(restore_functions(DUMP, LEN_MAX), Ok(vec![CODE.to_vec()]));
        let none = dump_functions([].into_iter());
        assert_eq!(restore_functions(&none, LEN_MAX), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let sealed = |content: &[u8]| seal(content.to_vec(), VERSION);
        let cases: [(Vec<u8>, FunctionsError); 5] = [
            (b"x".to_vec(), FunctionsError::Footer),
            (seal(DUMP.to_vec(), 99), FunctionsError::Footer),
            (sealed(b"\x00\x01x"), FunctionsError::Type),
            (sealed(b"\xf5"), FunctionsError::Content),
            (sealed(b"\xf5\x05ab"), FunctionsError::Content),
        ];
        for (dump, error) in cases {
            assert_eq!(restore_functions(&dump, LEN_MAX), Err(error));
        }
        assert_eq!(
            restore_functions(DUMP, 10),
            Ok(vec![CODE.to_vec()]).and(Err(FunctionsError::Content))
        );
    }

    proptest! {
        #[test]
        fn what_is_dumped_is_restored(codes: Vec<Vec<u8>>) {
            let dump = dump_functions(codes.iter().map(Vec::as_slice));
            prop_assert_eq!(restore_functions(&dump, LEN_MAX), Ok(codes));
        }

        #[test]
        fn nonsense_is_survived(content: Vec<u8>) {
            let _ = restore_functions(&seal(content, VERSION), LEN_MAX);
        }
    }
}
