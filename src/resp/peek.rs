//! A guess at what a request that waits is about, before it is its turn.
//!
//! What is found here decides nothing: a wrong guess costs time. So only what nearly all requests look like is understood.

/// A look at the request at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The argument that most likely is its first key.
    pub key: &'a [u8],
    /// The bytes that it takes.
    pub consumed: usize,
}

/// Where most commands have their key, and where the scripts have theirs.
const KEY_AT: usize = 1;
const SCRIPT_KEY_AT: usize = 3;
/// A request of more arguments is not looked through: it takes long itself.
const ARGS_MAX: usize = 32;

impl<'a> Peek<'a> {
    /// Nothing if the request is not whole, or is of an unusual kind.
    pub fn at(input: &'a [u8]) -> Option<Self> {
        let (args, mut position) = read_length(input, 0, b'*')?;
        if args > ARGS_MAX {
            return None;
        }
        let (mut key_at, mut key) = (KEY_AT, None);
        for index in 0..args {
            let (len, start) = read_length(input, position, b'$')?;
            let arg = input.get(start..start + len)?;
            if index == 0 && is_script(arg) {
                key_at = SCRIPT_KEY_AT;
            }
            if index == key_at {
                key = Some(arg);
            }
            position = start + len + 2;
        }
        let consumed = position;
        key.filter(|_| consumed <= input.len())
            .map(|key| Self { key, consumed })
    }
}

/// EVAL, EVALSHA and their like.
fn is_script(name: &[u8]) -> bool {
    name.first_chunk::<4>()
        .is_some_and(|head| head.eq_ignore_ascii_case(b"eval"))
}

/// A number of one to three digits behind a prefix, and where its line ends.
#[inline]
fn read_length(input: &[u8], position: usize, prefix: u8) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    let (number, digits) = match *input.get(position..)? {
        [p, a, b'\r', _, ..] if p == prefix => (digit(a), 1),
        [p, a, b, b'\r', _, ..] if p == prefix => (10 * digit(a) + digit(b), 2),
        [p, a, b, c, b'\r', _, ..] if p == prefix => (100 * digit(a) + 10 * digit(b) + digit(c), 3),
        _ => return None,
    };
    Some((number, position + digits + 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Decoder, Limits, Step};
    use proptest::prelude::*;

    fn request(args: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    fn key(args: &[&[u8]]) -> Option<Vec<u8>> {
        let bytes = request(args);
        let peek = Peek::at(&bytes)?;
        assert_eq!(peek.consumed, bytes.len());
        Some(peek.key.to_vec())
    }

    #[test]
    fn the_key_is_where_commands_have_it() {
        assert_eq!(key(&[b"GET", b"key"]).as_deref(), Some(&b"key"[..]));
        assert_eq!(key(&[b"SET", b"", b"value"]).as_deref(), Some(&b""[..]));
        let long = [b'k'; 300];
        assert_eq!(key(&[b"SET", &long, b"value"]).as_deref(), Some(&long[..]));
        let script: &[&[u8]] = &[b"EvalSha", b"sha", b"1", b"key", b"argument"];
        assert_eq!(key(script).as_deref(), Some(&b"key"[..]));
    }

    #[test]
    fn what_has_no_key_has_none() {
        assert_eq!(key(&[b"PING"]), None);
        assert_eq!(key(&[b"EVAL", b"return 1", b"0"]), None);
        assert_eq!(Peek::at(b"GET key\r\n"), None);
        assert_eq!(Peek::at(b""), None);
        assert_eq!(key(&[&b"x"[..]; ARGS_MAX + 1]), None);
    }

    #[test]
    fn what_is_not_whole_is_not_guessed_at() {
        let bytes = request(&[b"SET", b"key", b"value"]);
        for len in 0..bytes.len() {
            assert_eq!(Peek::at(&bytes[..len]), None);
        }
    }

    proptest! {
        #[test]
        fn it_sees_the_end_where_the_decoder_sees_it(
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 2..6),
        ) {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let mut bytes = request(&args);
            bytes.extend_from_slice(b"*1\r\n");
            let step = Decoder::new().next(&bytes, &Limits::default());
            if let Some(peek) = Peek::at(&bytes) {
                prop_assert_eq!(step, Ok(Step::Request { consumed: peek.consumed }));
            }
        }

        #[test]
        fn any_bytes_will_do(bytes in prop::collection::vec(prop::sample::select(b"*$12\r\nk9\xff".to_vec()), 0..60)) {
            if let Some(peek) = Peek::at(&bytes) {
                prop_assert!(peek.consumed <= bytes.len());
            }
        }
    }
}
