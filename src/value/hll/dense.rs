//! The dense form: a register after the other, six bits each.

use super::{Piece, Place, REGISTERS};
use smallvec::SmallVec;

pub const LEN: usize = REGISTERS * BITS / 8;
const BITS: usize = 6;
const MASK: u16 = (1 << BITS) - 1;

pub fn get(registers: &[u8], index: usize) -> u8 {
    let bit = index * BITS;
    (window(registers, bit / 8) >> (bit % 8) & MASK) as u8
}

pub fn set(registers: &mut [u8], index: usize, rank: u8) {
    store(registers, index * BITS, rank);
}

/// Tells of each register.
pub fn unpack(registers: &[u8], mut visit: impl FnMut(usize, u8)) {
    let (groups, _) = registers.as_chunks::<3>();
    for (group, &[a, b, c]) in groups.iter().enumerate() {
        let ranks = [a, a >> 6 | b << 2, b >> 4 | c << 4, c >> 2];
        for (at, rank) in ranks.into_iter().enumerate() {
            visit(group * ranks.len() + at, rank & MASK as u8);
        }
    }
}

/// The bytes that differ after registers were raised, as few pieces: what is in one block is one. The places are sorted.
pub fn pieces(registers: &[u8], raised: &[Place]) -> SmallVec<[(usize, Piece); 2]> {
    let mut pieces = SmallVec::new();
    let mut rest = raised;
    while let Some(first) = rest.first() {
        let start = first.index * BITS / 8;
        let block = first.index / BLOCK_REGISTERS;
        let near = rest.partition_point(|place| place.index / BLOCK_REGISTERS == block);
        let (together, others) = rest.split_at(near);
        let last_bit = together[near - 1].index * BITS + BITS - 1;
        let mut bytes = Piece::from_slice(&registers[start..=last_bit / 8]);
        for place in together {
            // Of several ranks for a register the highest comes last.
            store(&mut bytes, place.index * BITS - start * 8, place.rank);
        }
        pieces.push((start, bytes));
        rest = others;
    }
    pieces
}

/// A multiple of four, so that no byte belongs to two blocks.
const BLOCK_REGISTERS: usize = 1024;

fn store(registers: &mut [u8], bit: usize, rank: u8) {
    let (at, shift) = (bit / 8, bit % 8);
    let cleared = window(registers, at) & !(MASK << shift);
    let [low, high] = (cleared | u16::from(rank) << shift).to_le_bytes();
    registers[at] = low;
    if let Some(byte) = registers.get_mut(at + 1) {
        *byte = high;
    }
}

/// Two bytes; the last byte counts as followed by zeros.
fn window(registers: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([registers[at], registers.get(at + 1).copied().unwrap_or(0)])
}
