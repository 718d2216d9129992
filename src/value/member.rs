//! [`Member`]: the bytes of one element of a large collection.

use super::dense::Keyed;
use std::fmt;

/// The longest bytes that need no allocation of their own.
const INLINE_LEN_MAX: usize = 22;

/// Bytes, short ones in place. As large as a `Vec`, without its spare room.
#[derive(Clone)]
pub struct Member(Form);

#[derive(Clone)]
enum Form {
    Inline {
        len: u8,
        bytes: [u8; INLINE_LEN_MAX],
    },
    Boxed(Box<[u8]>),
}

const _: () = assert!(size_of::<Member>() == 24, "a byte of tag, a byte of length");

impl Member {
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_LEN_MAX {
            return Self(Form::Boxed(bytes.into()));
        }
        let mut inline = [0; INLINE_LEN_MAX];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self(Form::Inline {
            len: bytes.len() as u8,
            bytes: inline,
        })
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Form::Boxed(bytes) => bytes,
        }
    }
}

impl Keyed for Member {
    #[inline]
    fn key(&self) -> &[u8] {
        self.bytes()
    }

    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Inline { .. } => 0,
            Form::Boxed(bytes) => bytes.len(),
        }
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Member {}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_read_back() {
        for len in [0, 1, 21, 22, 23, 100] {
            let bytes = vec![b'm'; len];
            let member = Member::new(&bytes);
            assert_eq!(member.bytes(), bytes);
            assert_eq!(member.heap_bytes(), if len > 22 { len } else { 0 });
        }
    }
}
