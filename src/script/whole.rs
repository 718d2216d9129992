//! Whole numbers as text: `10 / 2` is "5" in Lua 5.1 and "5.0" in Lua 5.4.
//!
//! Wherever Lua makes text of a number (`..`, `tostring`, `%s`, an argument that has to be a string), one function of its
//! own does it, and asks `strspn(text, "-0123456789")` whether a float looks like an integer, to put ".0" behind it. No
//! setting of Lua and no metamethod changes that. The linker is told (`build.rs`) to give calls of `strspn` to the
//! function below; while a script of dialect `redis` runs, it answers this one question with no.
//!
//! Unsafe code: the function stands in for one of C's. Where the linker was not told, as in programs that only use this
//! crate, nobody calls it, and whole floats look as Lua 5.4 shows them.

use std::cell::Cell;
use std::ffi::{CStr, c_char};

use super::cache::Dialect;

thread_local! {
    /// A script of dialect `redis` runs on this thread.
    static SHOWS_WHOLE: Cell<bool> = const { Cell::new(false) };
}

/// What Lua asks with, and nobody else.
const INTEGER_DIGITS: &CStr = c"-0123456789";

/// The next code of Lua on this thread is of this dialect.
#[inline]
pub(super) fn begin(dialect: Dialect) {
    SHOWS_WHOLE.set(dialect == Dialect::Redis);
}

/// `strspn`: how many bytes at the beginning of a text are among those of a set.
///
/// # Safety
/// Both must end with a null byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_strspn(text: *const c_char, set: *const c_char) -> usize {
    // SAFETY: as the caller promised.
    let (text, set) = unsafe { (CStr::from_ptr(text), CStr::from_ptr(set)) };
    if SHOWS_WHOLE.get() && set == INTEGER_DIGITS {
        return 0;
    }
    let set = set.to_bytes();
    let text = text.to_bytes();
    let outside = text.iter().position(|byte| !set.contains(byte));
    outside.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_the_function_of_c_does() {
        let count = |text: &CStr, set: &CStr| {
            // SAFETY: both are texts of C.
            let counts = unsafe {
                (
                    __wrap_strspn(text.as_ptr(), set.as_ptr()),
                    libc::strspn(text.as_ptr(), set.as_ptr()),
                )
            };
            assert_eq!(counts.0, counts.1, "{text:?} {set:?}");
            counts.0
        };
        begin(Dialect::Aikv);
        assert_eq!(count(c"12a", INTEGER_DIGITS), 2);
        assert_eq!(count(c"", c"x"), 0);
        assert_eq!(count(c"xx", c""), 0);
        assert_eq!(count(c"  \t", c" \t"), 3);
    }
}
