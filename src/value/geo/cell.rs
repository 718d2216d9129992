//! The grids.

use super::{LAT_MAX, LON_MAX, Place};
use std::ops::Range;

/// How often the finest grid halves the world.
pub(super) const STEPS_MAX: u32 = 26;

/// A cell of the grid with 2^`step` columns and rows.
///
/// A place on the world's eastern or northern end is in a column or row more, and scores that nobody has made of a place
/// lead anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    column: u32,
    row: u32,
    step: u32,
}

/// The ends of a cell, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub west: f64,
    pub east: f64,
    pub south: f64,
    pub north: f64,
}

impl Cell {
    pub(super) fn of(place: Place, step: u32) -> Self {
        Self::of_world(place, step, LAT_MAX)
    }

    /// The cell in a grid that ends at some latitude.
    fn of_world(place: Place, step: u32, lat_max: f64) -> Self {
        let cells = (1_u64 << step) as f64;
        let index = |degrees: f64, max: f64| ((degrees + max) / (max + max) * cells) as u32;
        Self {
            column: index(place.lon, LON_MAX),
            row: index(place.lat, lat_max),
            step,
        }
    }

    #[inline]
    pub(super) fn of_score(score: f64) -> Self {
        let bits = as_c_converts(score);
        Self {
            column: every_second_bit(bits >> 1),
            row: every_second_bit(bits),
            step: STEPS_MAX,
        }
    }

    fn bits(self) -> u64 {
        spread(self.row) | spread(self.column) << 1
    }

    /// The lowest score of a place in the cell.
    pub fn score(self) -> f64 {
        self.aligned(self.bits())
    }

    /// The scores of the places in the cell.
    pub fn scores(self) -> Range<f64> {
        self.score()..self.aligned(self.bits() + 1)
    }

    fn aligned(self, bits: u64) -> f64 {
        (bits << (2 * (STEPS_MAX - self.step))) as f64
    }

    /// The cell so many columns and rows further; behind the last is the first.
    pub(super) fn beside(self, columns: i32, rows: i32) -> Self {
        let mask = (1 << self.step) - 1;
        let moved = |index: u32, by: i32| match by {
            0 => index,
            _ => index.wrapping_add_signed(by) & mask,
        };
        Self {
            column: moved(self.column, columns),
            row: moved(self.row, rows),
            step: self.step,
        }
    }

    #[inline]
    pub(super) fn area(self) -> Area {
        let cells = (1_u64 << self.step) as f64;
        let ends = |index: u32, max: f64| {
            let end = |index: u32| -max + f64::from(index) / cells * (max + max);
            (end(index), end(index.wrapping_add(1)))
        };
        let ((west, east), (south, north)) = (ends(self.column, LON_MAX), ends(self.row, LAT_MAX));
        Area {
            west,
            east,
            south,
            north,
        }
    }

    #[inline]
    pub(super) fn middle(self) -> Place {
        let area = self.area();
        Place {
            lon: area.west.midpoint(area.east).clamp(-LON_MAX, LON_MAX),
            lat: area.south.midpoint(area.north).clamp(-LAT_MAX, LAT_MAX),
        }
    }
}

impl Place {
    /// The place as others write it: in a grid that ends at the poles, five bits a letter, and a `0` because 52 bits give
    /// ten letters where eleven are usual.
    pub fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        const POLE: f64 = 90.0;
        let bits = Cell::of_world(self, STEPS_MAX, POLE).bits();
        let mut text = [b'0'; 11];
        for (at, letter) in text[..10].iter_mut().enumerate() {
            let shift = 2 * STEPS_MAX as usize - 5 * (at + 1);
            *letter = LETTERS[(bits >> shift) as usize % LETTERS.len()];
        }
        text
    }
}

/// A bit more before each bit.
fn spread(value: u32) -> u64 {
    let steps = [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ];
    steps
        .into_iter()
        .fold(u64::from(value), |bits, (by, mask)| {
            (bits | bits << by) & mask
        })
}

/// What [`spread`] has made a value of, whatever stands between its bits.
#[inline]
fn every_second_bit(bits: u64) -> u32 {
    let steps = [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ];
    let start = bits & 0x5555_5555_5555_5555;
    steps
        .into_iter()
        .fold(start, |bits, (by, mask)| (bits | bits >> by) & mask) as u32
}

/// A double as an unsigned integer, as x86-64 makes one of it where C does not say how.
#[inline]
fn as_c_converts(score: f64) -> u64 {
    const TWO_TO_63: f64 = (1_u64 << 63) as f64;
    if score < -TWO_TO_63 {
        1 << 63
    } else if score < TWO_TO_63 {
        score as i64 as u64
    } else if score < 2.0 * TWO_TO_63 {
        score as u64
    } else {
        0
    }
}
