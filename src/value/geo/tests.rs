use super::*;
use proptest::prelude::*;

/// Half of the finest grid's cell, in degrees.
const LON_ERROR: f64 = 180.0 / (1_u64 << 26) as f64;
const LAT_ERROR: f64 = LAT_MAX / (1_u64 << 26) as f64;

fn place(lon: f64, lat: f64) -> Place {
    Place::new(lon, lat).expect("in this world")
}

#[test]
fn the_places_of_the_manual() {
    let (palermo, catania) = (place(13.361_389, 38.115_556), place(15.087_269, 37.502_669));
    assert_eq!(
        palermo.score().to_bits(),
        3_479_099_956_230_698_f64.to_bits()
    );
    let stored = [palermo, catania].map(|place| Place::of_score(place.score()));
    assert_eq!(&stored[0].geohash(), b"sqc8b49rny0");
    assert_eq!(&stored[1].geohash(), b"sqdtr74hyu0");
    let distance = stored[0].distance_m(stored[1]);
    assert!((distance - 166_274.151_6).abs() < 0.000_1, "{distance}");
}

#[test]
fn the_ends_of_the_world_are_in_it() {
    for (lon, lat) in [
        (LON_MAX, LAT_MAX),
        (-LON_MAX, -LAT_MAX),
        (LON_MAX, -LAT_MAX),
    ] {
        let end = place(lon, lat);
        let stored = Place::of_score(end.score());
        assert!((stored.lon - lon).abs() <= 2.0 * LON_ERROR);
        assert!((stored.lat - lat).abs() <= 2.0 * LAT_ERROR);
    }
    for (lon, lat) in [
        (180.1, 0.0),
        (0.0, 85.1),
        (f64::INFINITY, 0.0),
        (0.0, f64::NAN),
    ] {
        assert_eq!(Place::new(lon, lat), None);
    }
}

#[test]
fn every_score_is_somewhere() {
    for score in [
        0.0,
        -1.0,
        0.5,
        1e300,
        -1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9e18,
        1e19,
    ] {
        let Place { lon, lat } = Place::of_score(score);
        assert!(Place::new(lon, lat).is_some(), "{score}");
    }
}

#[test]
fn antipodes_have_a_distance() {
    for n in 0..2000 {
        let (lon, lat) = (f64::from(n) * 0.089, f64::from(n) * 0.042);
        let distance = place(lon, lat).distance_m(place(lon - 180.0, -lat));
        let half = std::f64::consts::PI * EARTH_RADIUS_M;
        assert!((half - distance).abs() < 1.0, "{lon} {lat}: {distance}");
    }
}

/// Places up to where the cells become narrow, and shapes that do not reach over a pole.
fn anywhere() -> impl Strategy<Value = Place> {
    (-180.0..180.0, -60.0..60.0).prop_map(|(lon, lat)| place(lon, lat))
}

fn extent() -> impl Strategy<Value = Extent> {
    let length = || (0.0..6.5).prop_map(|digits: f64| 10_f64.powf(digits) - 1.0);
    prop_oneof![
        length().prop_map(|radius_m| Extent::Circle { radius_m }),
        (length(), length())
            .prop_map(|(width_m, height_m)| Extent::Rectangle { width_m, height_m }),
    ]
}

proptest! {
    #[test]
    fn a_score_is_decoded_to_the_middle_of_its_cell(lon in -180.0..180.0, lat in -85.05..85.05) {
        let place = place(lon, lat);
        let stored = Place::of_score(place.score());
        prop_assert!((stored.lon - lon).abs() <= LON_ERROR * 1.000_1);
        prop_assert!((stored.lat - lat).abs() <= LAT_ERROR * 1.000_1);
        prop_assert_eq!(stored.score().to_bits(), place.score().to_bits());
    }

    #[test]
    fn distances_are_the_same_both_ways(a in anywhere(), b in anywhere()) {
        let (there, back) = (a.distance_m(b), b.distance_m(a));
        prop_assert!((there - back).abs() <= 1e-3, "{} {}", there, back);
        prop_assert!(there <= std::f64::consts::PI * EARTH_RADIUS_M);
    }

    /// No place of a shape is outside of the cells that cover it, also over the date line; and they do not overlap, so
    /// nothing is found twice.
    #[test]
    fn a_cover_holds_all_of_a_shape(centre in anywhere(), extent in extent(), angles in prop::collection::vec((0.0..1.0, 0.0..std::f64::consts::TAU), 40)) {
        let shape = Shape { centre, extent };
        let cover = shape.cover();
        let reach = match extent {
            Extent::Circle { radius_m } => radius_m,
            Extent::Rectangle { width_m, height_m } => width_m.max(height_m),
        };
        let mut inside = 0;
        for (part, angle) in angles {
            let away = part * reach / EARTH_RADIUS_M / RADIANS_PER_DEGREE;
            let lat: f64 = centre.lat + away * f64::sin(angle);
            let lon: f64 = centre.lon + away * f64::cos(angle) / (lat * RADIANS_PER_DEGREE).cos();
            let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
            let Some(other) = Place::new(lon, lat).filter(|place| place.lat.abs() < 70.0) else {
                continue;
            };
            let other = Place::of_score(other.score());
            if shape.distance_m(other).is_some() {
                inside += 1;
                let holders = cover.iter().filter(|cell| cell.scores().contains(&other.score())).count();
                prop_assert_eq!(holders, 1, "{:?} of {:?}", other, shape);
            }
        }
        let may_be_empty = reach < 1.0 || matches!(extent, Extent::Rectangle { .. });
        prop_assert!(inside > 0 || may_be_empty);
        for (at, cell) in cover.iter().enumerate() {
            for other in &cover[..at] {
                let (a, b) = (cell.scores(), other.scores());
                prop_assert!(a.end <= b.start || b.end <= a.start);
            }
        }
    }
}
