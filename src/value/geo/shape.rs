//! What is searched: circles and rectangles, and the cells that cover them.

use super::cell::{Area, Cell, STEPS_MAX};
use super::{EARTH_RADIUS_M, Place, RADIANS_PER_DEGREE};
use smallvec::SmallVec;

/// A part of the earth's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub centre: Place,
    pub extent: Extent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    Circle { radius_m: f64 },
    Rectangle { width_m: f64, height_m: f64 },
}

/// A cell and those around it.
const COVER_MAX: usize = 9;

impl Shape {
    /// How far a place is from the centre; `None`: it is not in the shape.
    #[inline]
    pub fn distance_m(&self, place: Place) -> Option<f64> {
        match self.extent {
            Extent::Circle { radius_m } => {
                let distance = self.centre.distance_m(place);
                (distance <= radius_m).then_some(distance)
            }
            Extent::Rectangle { width_m, height_m } => {
                // First what costs less.
                if self.centre.lat_distance_m(place) > height_m / 2.0 {
                    return None;
                }
                let beside = Place {
                    lon: self.centre.lon,
                    lat: place.lat,
                };
                let is_inside = place.distance_m(beside) <= width_m / 2.0;
                is_inside.then(|| self.centre.distance_m(place))
            }
        }
    }

    /// The cells that cover the shape, each once, in the order in which Redis looks through them.
    pub fn cover(&self) -> SmallVec<[Cell; COVER_MAX]> {
        let bounds = self.bounds();
        let mut step = self.step();
        let mut middle = Cell::of(self.centre, step);
        if step > 1 && !is_within_neighbours(middle, &bounds) {
            step -= 1;
            middle = Cell::of(self.centre, step);
        }
        // In a grid of two columns and rows each cell is needed.
        let all = step < 2;
        let area = middle.area();
        let beyond = |columns: i32, rows: i32| {
            let out_of_reach = (rows < 0 && area.south < bounds.south)
                || (rows > 0 && area.north > bounds.north)
                || (columns < 0 && area.west < bounds.west)
                || (columns > 0 && area.east > bounds.east);
            !all && out_of_reach
        };
        let order = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let mut cells: SmallVec<[Cell; COVER_MAX]> = SmallVec::new();
        for (columns, rows) in order {
            let cell = middle.beside(columns, rows);
            if !beyond(columns, rows) && !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    /// The rectangle of meridians and parallels around the shape. Of a very large one an end may be no number, with which
    /// every comparison fails.
    fn bounds(&self) -> Area {
        let Place { lon, lat } = self.centre;
        let (half_width_m, half_height_m) = match self.extent {
            Extent::Circle { radius_m } => (radius_m, radius_m),
            Extent::Rectangle { width_m, height_m } => (width_m / 2.0, height_m / 2.0),
        };
        let lat_delta = half_height_m / EARTH_RADIUS_M / RADIANS_PER_DEGREE;
        // The shape is widest, in degrees, on the side of its pole.
        let widest = if lat < 0.0 {
            lat - lat_delta
        } else {
            lat + lat_delta
        };
        let parallel = (widest * RADIANS_PER_DEGREE).cos();
        let lon_delta = half_width_m / EARTH_RADIUS_M / parallel / RADIANS_PER_DEGREE;
        Area {
            west: lon - lon_delta,
            east: lon + lon_delta,
            south: lat - lat_delta,
            north: lat + lat_delta,
        }
    }

    /// The finest grid in which a cell and those around it seem to cover the shape.
    fn step(&self) -> u32 {
        /// Half the equator.
        const WORLD_M: f64 = 20_037_726.37;
        let mut reach_m = match self.extent {
            Extent::Circle { radius_m } => radius_m,
            Extent::Rectangle { width_m, height_m } => {
                let (x, y) = (width_m / 2.0, height_m / 2.0);
                (x * x + y * y).sqrt()
            }
        };
        if reach_m == 0.0 {
            return STEPS_MAX;
        }
        let mut step = 1;
        while reach_m < WORLD_M {
            reach_m *= 2.0;
            step += 1;
        }
        // Toward the poles the cells become narrow.
        let narrowed = match self.centre.lat.abs() {
            lat if lat > 80.0 => 2,
            lat if lat > 66.0 => 1,
            _ => 0,
        };
        (step - 2 - narrowed).clamp(1, STEPS_MAX as i32) as u32
    }
}

/// Whether the cells around one reach as far as the bounds.
fn is_within_neighbours(cell: Cell, bounds: &Area) -> bool {
    let is_short = cell.beside(0, 1).area().north < bounds.north
        || cell.beside(0, -1).area().south > bounds.south
        || cell.beside(1, 0).area().east < bounds.east
        || cell.beside(-1, 0).area().west > bounds.west;
    !is_short
}
