//! Places on the earth as scores of a sorted set.
//!
//! A grid halves the world's longitudes and latitudes 26 times each. The column and the row of a place's cell, their bits
//! interleaved, are a number of 52 bits, which a score holds exactly. A cell of a coarser grid is a range of such scores,
//! so an area on the map is a few ranges of a sorted set.
//!
//! Invariants: users see distances and coordinates to the last digit, and keep the scores; so every formula here, down to
//! the order of its operations, is that of Redis. Depends on nothing.

mod cell;
mod shape;

#[cfg(test)]
mod tests;

pub use cell::Cell;
pub use shape::{Extent, Shape};

/// Web Mercator's world, which ends before the poles.
const LON_MAX: f64 = 180.0;
const LAT_MAX: f64 = 85.051_128_78;
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

/// Where something is, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub lon: f64,
    pub lat: f64,
}

impl Place {
    /// `None`: not in this world.
    pub fn new(lon: f64, lat: f64) -> Option<Self> {
        let is_there = lon.abs() <= LON_MAX && lat.abs() <= LAT_MAX;
        is_there.then_some(Self { lon, lat })
    }

    /// The middle of the cell that a score stands for, whatever the score.
    #[inline]
    pub fn of_score(score: f64) -> Self {
        Cell::of_score(score).middle()
    }

    pub fn score(self) -> f64 {
        Cell::of(self, cell::STEPS_MAX).score()
    }

    /// The length of the great circle between two places, by the haversine formula.
    #[inline]
    pub fn distance_m(self, other: Self) -> f64 {
        let [from, to] = [self, other].map(|place| place.lon * RADIANS_PER_DEGREE);
        let v = ((to - from) / 2.0).sin();
        if v == 0.0 {
            return self.lat_distance_m(other);
        }
        let [from, to] = [self, other].map(|place| place.lat * RADIANS_PER_DEGREE);
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        // Between antipodes it may be a little more than one, which no sine is.
        2.0 * EARTH_RADIUS_M * a.sqrt().min(1.0).asin()
    }

    /// The same for two places on one meridian.
    fn lat_distance_m(self, other: Self) -> f64 {
        let [from, to] = [self, other].map(|place| place.lat * RADIANS_PER_DEGREE);
        EARTH_RADIUS_M * (to - from).abs()
    }
}
