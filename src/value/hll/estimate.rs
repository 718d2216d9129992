//! The cardinality from the registers, after Otmar Ertl, "New cardinality estimation algorithms for `HyperLogLog`
//! sketches" (arXiv:1702.01284), algorithm 6.

use super::{RANK_BITS, REGISTERS};

/// How many registers have each rank. Registers of six bits can have ranks that no element has.
#[derive(Debug)]
pub struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Histogram {
    #[inline]
    pub fn add(&mut self, rank: u8, registers: usize) {
        self.0[usize::from(rank)] += registers as u32;
    }

    /// The estimate. Where nonsense in the registers makes it infinite, it is what C makes of that.
    pub fn cardinality(&self) -> i64 {
        const ALPHA_INF: f64 = 0.721_347_520_444_481_7;
        let registers = REGISTERS as f64;
        let highest = RANK_BITS as usize + 1;
        let saturated = f64::from(self.0[highest]);
        let mut sum = registers * tau((registers - saturated) / registers);
        for of_rank in self.0[1..highest].iter().rev() {
            sum = (sum + f64::from(*of_rank)) * 0.5;
        }
        sum += registers * sigma(f64::from(self.0[0]) / registers);
        let estimate = (ALPHA_INF * registers * registers / sum).round();
        if estimate < i64::MAX as f64 {
            estimate as i64
        } else {
            i64::MIN
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if is_same(before, z) {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if is_same(before, z) {
            return z / 3.0;
        }
    }
}

/// The series have come to rest: the last term did not change the sum.
#[allow(clippy::float_cmp, reason = "the sums are to be equal, not near")]
fn is_same(a: f64, b: f64) -> bool {
    a == b
}
