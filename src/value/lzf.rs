//! LZF, the compression of long strings in Redis's serialized values.
//!
//! ```text
//! packed  = (literal | copy)*
//! literal = n:u8 bytes                              n < 32: the n + 1 bytes that follow
//! copy    = 0bLLLddddd d:u8                         L from 1 to 6: L + 2 bytes from distance d + 1 before
//!         | 0b111ddddd l:u8 d:u8                    l + 9 bytes
//! ```
//!
//! Which copies are found decides the bytes, and DUMP shows them. So [`compress`] looks where `LibLZF`, as Redis builds it, looks:
//! one candidate for every three bytes, in a table of 2^16 places.

use std::cell::RefCell;

/// A control byte below it announces so many bytes and one more as they are; else it begins a copy.
const LITERAL_BELOW: u8 = 32;
/// A copy of this length has the rest of its length in a byte of its own.
const LONG_COPY: usize = 7;
/// The shortest copy, which the length 0 stands for (and never occurs: that is a literal).
const COPY_LEN_MIN: usize = 2;

const COPY_LEN_MAX: usize = (1 << 8) + (1 << 3);
const DISTANCE_MAX: usize = 1 << 13;
const PLACES: usize = 1 << 16;
/// The start of a copy is compared without a look at its limit as long as the limit is beyond it.
const UNLIMITED_LEN: usize = 16;

/// The compressed form of `bytes` if it has at most `len_max` bytes.
pub fn compress(bytes: &[u8], len_max: usize) -> Option<Vec<u8>> {
    thread_local! {
        static FINDER: RefCell<Finder> = RefCell::new(Finder::new());
    }
    FINDER.with_borrow_mut(|finder| {
        finder.begin(bytes.len());
        Packer::new(bytes, len_max, finder).run()
    })
}

/// Where three bytes with a hash were seen last. Kept from one input to the next, so that none has to clear it.
struct Finder {
    places: Box<[u32]>,
    /// What is added to a position of the input; lower entries are of earlier inputs.
    base: u32,
    next_base: u32,
}

impl Finder {
    fn new() -> Finder {
        Finder {
            places: vec![0; PLACES].into_boxed_slice(),
            base: 0,
            next_base: 1,
        }
    }

    fn begin(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if self.next_base.checked_add(len).is_none() {
            self.places.fill(0);
            self.next_base = 1;
        }
        self.base = self.next_base;
        self.next_base = self.base.saturating_add(len);
    }

    /// Notes that `three` stands at `at`, and returns where it, or another of its hash, stood before.
    fn replace(&mut self, three: [u8; 3], at: usize) -> Option<usize> {
        let hash = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        let place = (hash >> 8).wrapping_sub(hash.wrapping_mul(5)) as usize % PLACES;
        let entry = std::mem::replace(&mut self.places[place], self.base + at as u32);
        // The first byte of an input counts as nowhere.
        (entry > self.base).then(|| (entry - self.base) as usize)
    }
}

struct Packer<'a> {
    input: &'a [u8],
    len_max: usize,
    finder: &'a mut Finder,
    at: usize,
    out: Vec<u8>,
    /// Bytes of the literal that is being written; its control byte stands before them.
    literal: usize,
}

impl<'a> Packer<'a> {
    fn new(input: &'a [u8], len_max: usize, finder: &'a mut Finder) -> Self {
        Self {
            input,
            len_max,
            finder,
            at: 0,
            out: vec![0],
            literal: 0,
        }
    }

    fn run(mut self) -> Option<Vec<u8>> {
        // Positions are kept in 32 bits; what is longer is left as it is.
        if self.input.is_empty() || self.input.len() >= u32::MAX as usize / 2 {
            return None;
        }
        while let Some(three) = self.three_at(self.at) {
            let candidate = self.finder.replace(three, self.at);
            match candidate.filter(|candidate| self.is_copy(*candidate)) {
                Some(from) => self.copy(from)?,
                None => self.literal_byte()?,
            }
        }
        if self.out.len() + 3 > self.len_max {
            return None;
        }
        while self.at < self.input.len() {
            self.put_literal_byte();
        }
        self.end_literal();
        Some(self.out)
    }

    fn three_at(&self, at: usize) -> Option<[u8; 3]> {
        self.input.get(at..)?.first_chunk().copied()
    }

    fn is_copy(&self, from: usize) -> bool {
        self.at - from <= DISTANCE_MAX && self.three_at(from) == self.three_at(self.at)
    }

    fn literal_byte(&mut self) -> Option<()> {
        if self.out.len() >= self.len_max {
            return None;
        }
        self.put_literal_byte();
        Some(())
    }

    fn put_literal_byte(&mut self) {
        self.out.push(self.input[self.at]);
        self.at += 1;
        self.literal += 1;
        if self.literal == usize::from(LITERAL_BELOW) {
            self.end_literal();
            self.out.push(0);
        }
    }

    /// Writes the control byte of the literal, or takes it away if there is none.
    fn end_literal(&mut self) {
        if self.literal == 0 {
            self.out.pop();
        } else {
            let control = self.out.len() - self.literal - 1;
            self.out[control] = (self.literal - 1) as u8;
            self.literal = 0;
        }
    }

    fn copy(&mut self, from: usize) -> Option<()> {
        let room_from = self.out.len() - usize::from(self.literal == 0);
        if room_from + 3 + 1 >= self.len_max {
            return None;
        }
        self.end_literal();
        let len = self.copy_len(from);
        let distance = self.at - from - 1;
        let (high, low) = ((distance >> 8) as u8, distance as u8);
        let short = len - COPY_LEN_MIN;
        if short < LONG_COPY {
            self.out.push(high | (short as u8) << 5);
        } else {
            self.out.push(high | (LONG_COPY as u8) << 5);
            self.out.push((short - LONG_COPY) as u8);
        }
        self.out.extend_from_slice(&[low, 0]);
        self.at += len;
        // The last two places within the copy are noted as well, unless the input ends with it.
        if self.three_at(self.at).is_some() {
            for at in self.at - 2..self.at {
                let three = self.three_at(at).expect("more follows");
                self.finder.replace(three, at);
            }
        }
        Some(())
    }

    fn copy_len(&self, from: usize) -> usize {
        let most = (self.input.len() - self.at - COPY_LEN_MIN).min(COPY_LEN_MAX);
        let differs = |len: usize| self.input.get(self.at + len) != self.input.get(from + len);
        let mut len = COPY_LEN_MIN;
        if most > UNLIMITED_LEN {
            for _ in 0..UNLIMITED_LEN {
                len += 1;
                if differs(len) {
                    return len;
                }
            }
        }
        loop {
            len += 1;
            if len >= most || differs(len) {
                return len;
            }
        }
    }
}

/// The bytes that `packed` stands for; `None` unless they are exactly `len`.
///
/// Memory grows with what is really there, not with what `len` promises.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut packed = packed.iter().copied();
    while let Some(control) = packed.next() {
        if control < LITERAL_BELOW {
            for _ in 0..=control {
                out.push(packed.next()?);
            }
        } else {
            let mut copy_len = usize::from(control >> 5);
            if copy_len == LONG_COPY {
                copy_len += usize::from(packed.next()?);
            }
            let high = usize::from(control % LITERAL_BELOW) << 8;
            let distance = high + usize::from(packed.next()?) + 1;
            let start = out.len().checked_sub(distance)?;
            // One byte at a time: a copy may reach into what it writes.
            for at in start..start + copy_len + COPY_LEN_MIN {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{compress, decompress};
    use proptest::prelude::*;

    #[test]
    fn copies_may_overlap_themselves() {
        // The literal "a", then 98 bytes from one byte before.
        let packed = [0, b'a', 0xe0, 89, 0];
        assert_eq!(decompress(&packed, 99), Some(vec![b'a'; 99]));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        assert_eq!(decompress(&[0, b'a', 0xe0, 89, 0], 98), None, "too long");
        assert_eq!(decompress(&[0, b'a', 0xe0, 89, 0], 100), None, "too short");
        assert_eq!(
            decompress(&[0, b'a', 0xe0, 89, 1], 99),
            None,
            "before the start"
        );
        assert_eq!(decompress(&[0, b'a', 0xe0], 99), None, "cut in a copy");
        assert_eq!(decompress(&[3, b'a'], 4), None, "cut in a literal");
    }

    #[test]
    fn what_repeats_becomes_short() {
        // As redis-server 7.0.15 packs a hundred times the same letter.
        let packed = compress(&[b'a'; 100], 96);
        assert_eq!(packed.as_deref(), Some(&b"\x01aa\xe0W\x00\x01aa"[..]));
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz", 22), None);
        assert_eq!(compress(b"", 10), None);
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            parts in prop::collection::vec((0..4_u8, 1..600_usize), 0..40),
            len_max in 0..20_000_usize,
        ) {
            let mut input = Vec::new();
            for (kind, len) in parts {
                let start = input.len();
                match kind {
                    0 => input.extend((0..len).map(|at| (at * at) as u8)),
                    1 => input.extend(std::iter::repeat_n(b'x', len)),
                    2 => input.extend((0..len).map(|at| b"abc"[at % 3])),
                    _ => input.extend_from_within(start.saturating_sub(len)..start),
                }
            }
            if let Some(packed) = compress(&input, len_max) {
                prop_assert!(packed.len() <= len_max);
                prop_assert_eq!(decompress(&packed, input.len()), Some(input));
            }
        }
    }
}
