//! Natural numbers of any size: just what exact conversions between decimal and binary need.

use std::cmp::Ordering;
use std::fmt::Write;

/// Limbs from the lowest to the highest; the highest is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u64>);

const LIMB_BITS: usize = u64::BITS as usize;
/// The largest power of ten in a limb.
const LIMB_TEN_DIGITS: usize = 19;
const LIMB_TEN: u64 = 10_u64.pow(LIMB_TEN_DIGITS as u32);

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        Self(if value == 0 { Vec::new() } else { vec![value] })
    }
}

impl Natural {
    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bit_len(&self) -> usize {
        self.0.last().map_or(0, |&top| {
            self.0.len() * LIMB_BITS - top.leading_zeros() as usize
        })
    }

    /// `self * factor + addend`
    pub(super) fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> LIMB_BITS) as u64;
        }
        if carry != 0 {
            self.0.push(carry);
        }
    }

    pub(super) fn multiply_by_power_of_ten(&mut self, mut exponent: usize) {
        while exponent >= LIMB_TEN_DIGITS {
            self.multiply_add(LIMB_TEN, 0);
            exponent -= LIMB_TEN_DIGITS;
        }
        self.multiply_add(10_u64.pow(exponent as u32), 0);
    }

    pub(super) fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        // Shifting by a whole limb is not a shift that a processor knows.
        self.multiply_add(1 << (bits % LIMB_BITS), 0);
        self.0
            .splice(0..0, std::iter::repeat_n(0, bits / LIMB_BITS));
    }

    /// The highest 128 bits, the lowest of which is also set if any bit below is; and how many bits are below.
    pub(super) fn top_bits(&self) -> (u128, usize) {
        let below = self.bit_len().saturating_sub(u128::BITS as usize);
        let (limbs, bits) = (below / LIMB_BITS, below % LIMB_BITS);
        let limb = |index: usize| u128::from(self.0.get(limbs + index).copied().unwrap_or(0));
        let mut top = (limb(0) | limb(1) << LIMB_BITS) >> bits;
        if bits > 0 {
            top |= limb(2) << (2 * LIMB_BITS - bits);
        }
        let lost = self.0[..limbs].iter().any(|&low| low != 0) || limb(0) & ((1 << bits) - 1) != 0;
        (top | u128::from(lost), below)
    }

    /// The first bits of `self / divisor`, at least 66 of them, the lowest of which is also set if the division does
    /// not come out even; and the power of two by which they are too large.
    pub(super) fn divide(mut self, mut divisor: Self) -> (u128, i32) {
        const BITS: i32 = 67;
        if let [divisor] = divisor.0[..] {
            let shift = (BITS as usize + LIMB_BITS).saturating_sub(self.bit_len());
            self.shift_left(shift);
            let remainder = self.divide_small(divisor);
            let (quotient, below) = self.top_bits();
            return (
                quotient | u128::from(remainder != 0),
                below as i32 - shift as i32,
            );
        }
        let shift = divisor.bit_len() as i32 - self.bit_len() as i32;
        if shift > 0 {
            self.shift_left(shift as usize);
        } else {
            divisor.shift_left(-shift as usize);
        }
        let mut quotient = 0_u128;
        for _ in 0..BITS {
            quotient <<= 1;
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1;
            }
            self.shift_left(1);
        }
        (quotient | u128::from(!self.is_zero()), 1 - BITS - shift)
    }

    pub(super) fn into_decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide_small(LIMB_TEN));
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            write!(text, "{group:0LIMB_TEN_DIGITS$}").expect("a string takes any text");
        }
        text
    }

    /// Divides in place; returns the remainder.
    fn divide_small(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0_u64;
        for limb in self.0.iter_mut().rev() {
            let dividend = u128::from(remainder) << LIMB_BITS | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = (dividend % u128::from(divisor)) as u64;
        }
        self.trim();
        remainder
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `other` must not be larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let subtrahend = other.0.get(index).copied().unwrap_or(0);
            let (difference, under) = limb.overflowing_sub(subtrahend);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
        debug_assert!(!borrow, "a natural number cannot become negative");
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}
