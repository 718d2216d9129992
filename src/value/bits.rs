//! A string as a row of bits, the first of them the highest of the first byte.

use std::ops::Range;

/// Bits of the widest field.
pub const FIELD_BITS_MAX: usize = 64;

/// How many bits of a range are set. The range lies within the bytes.
pub fn count(bytes: &[u8], range: Range<usize>) -> usize {
    let (head, whole, tail) = split(range);
    let loose = |range: Range<usize>| range.filter(|at| get(bytes, *at)).count();
    loose(head) + count_bytes(&bytes[whole]) + loose(tail)
}

/// The first bit of a range that is `bit`. The range lies within the bytes.
pub fn find(bytes: &[u8], bit: bool, range: Range<usize>) -> Option<usize> {
    let (mut head, whole, mut tail) = split(range);
    let is_wanted = |at: &usize| get(bytes, *at) == bit;
    head.find(is_wanted)
        .or_else(|| find_in_bytes(&bytes[whole.clone()], bit).map(|at| whole.start * 8 + at))
        .or_else(|| tail.find(is_wanted))
}

/// The bit at an index; 0 beyond the end.
pub fn get(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at / 8)
        .is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

/// The field of `width` bits at `at`, as an unsigned number; bits beyond the end are 0.
pub fn load(bytes: &[u8], at: usize, width: usize) -> u64 {
    debug_assert!(
        (1..=FIELD_BITS_MAX).contains(&width),
        "checked by the parser"
    );
    let window = window(bytes, at);
    let field = window >> (WINDOW_BITS - at % 8 - width);
    field as u64 & mask(width)
}

/// Writes the lowest `width` bits of `value` to the field at `at`, all of which lies within the bytes.
pub fn store(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    debug_assert!(at + width <= bytes.len() * 8, "the caller made room");
    let shift = WINDOW_BITS - at % 8 - width;
    let kept = window(bytes, at) & !(u128::from(mask(width)) << shift);
    let changed = (kept | u128::from(value & mask(width)) << shift).to_be_bytes();
    let target = &mut bytes[at / 8..(at + width).div_ceil(8)];
    target.copy_from_slice(&changed[..target.len()]);
}

const WINDOW_BITS: usize = 128;

/// The bits from the byte of `at` on: more than any field has.
fn window(bytes: &[u8], at: usize) -> u128 {
    let mut buffer = [0; WINDOW_BITS / 8];
    let from = bytes.get(at / 8..).unwrap_or(&[]);
    let len = from.len().min(buffer.len());
    buffer[..len].copy_from_slice(&from[..len]);
    u128::from_be_bytes(buffer)
}

fn mask(width: usize) -> u64 {
    u64::MAX >> (FIELD_BITS_MAX - width)
}

/// Cuts a range of bits into loose bits, whole bytes, and loose bits again.
fn split(bits: Range<usize>) -> (Range<usize>, Range<usize>, Range<usize>) {
    let first_whole = bits.start.div_ceil(8);
    let end_whole = bits.end / 8;
    if first_whole > end_whole {
        return (bits, 0..0, 0..0);
    }
    (
        bits.start..first_whole * 8,
        first_whole..end_whole,
        end_whole * 8..bits.end,
    )
}

fn count_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: usize = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones() as usize)
        .sum();
    let in_rest: usize = rest.iter().map(|byte| byte.count_ones() as usize).sum();
    in_words + in_rest
}

fn find_in_bytes(bytes: &[u8], bit: bool) -> Option<usize> {
    // Bits that are not wanted become 0, so that the first 1 is the answer.
    let flip = if bit { 0 } else { u64::MAX };
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_be_bytes(*word) ^ flip;
        if word != 0 {
            return Some(index * 64 + word.leading_zeros() as usize);
        }
    }
    let mut loose = words.len() * 64..words.len() * 64 + rest.len() * 8;
    loose.find(|at| get(bytes, *at) == bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_and_finding_are_what_one_bit_at_a_time_gives(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..40),
            a in 0..320_usize,
            b in 0..320_usize,
            bit: bool,
        ) {
            let len = bytes.len() * 8;
            let range = a.min(b).min(len)..a.max(b).min(len);
            let set = range.clone().filter(|at| get(&bytes, *at)).count();
            prop_assert_eq!(count(&bytes, range.clone()), set);
            let first = range.clone().find(|at| get(&bytes, *at) == bit);
            prop_assert_eq!(find(&bytes, bit, range), first);
        }

        #[test]
        fn a_field_reads_back_and_leaves_its_neighbours(
            mut bytes in prop::collection::vec(any::<u8>(), 24),
            at in 0..128_usize,
            width in 1..=64_usize,
            value: u64,
        ) {
            let before = bytes.clone();
            store(&mut bytes, at, width, value);
            prop_assert_eq!(load(&bytes, at, width), value & mask(width));
            let outside = |i: &usize| !(at..at + width).contains(i);
            for i in (0..24 * 8).filter(outside) {
                prop_assert_eq!(get(&bytes, i), get(&before, i));
            }
        }
    }
}
