//! Places.
//!
//! Among members that are as far from the centre, COUNT without ANY leaves those that redis's quicksort happens to: so it
//! is asked of keys of its own, where no two members are at one place.

use super::{Args, Compare, GEO_KEYS, Generator, Shape, compared, number, shape};

pub const SHAPES: &[Shape] = &[
    shape("geoadd", 30, |g, args| {
        args.push(g.key_of(GEO_KEYS));
        options(g, args);
        let most = if g.rng.one_in(12) { 200 } else { 5 };
        for _ in 0..=g.rng.below(most) {
            let place = if g.rng.one_in(3) {
                known_place(g)
            } else {
                place(g)
            };
            args.extend(place);
            args.push(member(g, most));
        }
    }),
    shape("geoadd", 15, |g, args| {
        args.push(own_key(g));
        options(g, args);
        let most = if g.rng.one_in(12) { 200 } else { 8 };
        for _ in 0..=g.rng.below(most) {
            args.extend(place(g));
            args.push(member(g, most));
        }
    }),
    shape("geopos", 10, members),
    shape("geohash", 8, members),
    shape("geodist", 12, |g, args| {
        args.push(any_key(g));
        args.push(member(g, 8));
        args.push(member(g, 8));
        if g.rng.one_in(2) {
            args.push(unit(g));
        }
    }),
    shape("geosearch", 40, |g, args| {
        let (key, counted) = source(g);
        args.push(key);
        area(g, args);
        conditions(g, args, counted);
        shown(g, args, 2);
    }),
    shape("geosearchstore", 20, |g, args| {
        args.push(g.key_of(GEO_KEYS));
        let (key, counted) = source(g);
        args.push(key);
        area(g, args);
        conditions(g, args, counted);
        g.maybe(args, 4, &["storedist"]);
        shown(g, args, 30);
    }),
    shape("georadius", 20, |g, args| {
        let counted = around_place(g, args);
        conditions(g, args, counted);
        let stores = target(g, args);
        shown(g, args, if stores { 30 } else { 2 });
    }),
    shape("georadius_ro", 10, |g, args| {
        let counted = around_place(g, args);
        conditions(g, args, counted);
        if g.rng.one_in(20) {
            target(g, args);
        }
        shown(g, args, 2);
    }),
    shape("georadiusbymember", 20, |g, args| {
        let counted = around_member(g, args);
        conditions(g, args, counted);
        let stores = target(g, args);
        shown(g, args, if stores { 30 } else { 2 });
    }),
    shape("georadiusbymember_ro", 10, |g, args| {
        let counted = around_member(g, args);
        conditions(g, args, counted);
        if g.rng.one_in(20) {
            target(g, args);
        }
        shown(g, args, 2);
    }),
    shape("zrem", 3, |g, args| {
        args.push(any_key(g));
        args.push(member(g, 200));
    }),
    // Of what was stored.
    shape("zrange", 4, |g, args| {
        args.push(any_key(g));
        args.extend(["0", "-1", "withscores"].map(Vec::from));
    }),
    compared(
        Compare::Dump,
        shape("dump", 3, |g, args| args.push(any_key(g))),
    ),
];

/// No other shape names them.
const OWN_KEYS: &[&str] = &["places1", "places2"];

fn own_key(g: &mut Generator) -> Vec<u8> {
    g.rng.pick(OWN_KEYS).into()
}

fn any_key(g: &mut Generator) -> Vec<u8> {
    if g.rng.one_in(2) {
        own_key(g)
    } else {
        g.key_of(GEO_KEYS)
    }
}

/// A key to search, and whether its nearest may be asked for.
fn source(g: &mut Generator) -> (Vec<u8>, bool) {
    if g.rng.one_in(2) {
        (own_key(g), true)
    } else {
        (g.key_of(GEO_KEYS), false)
    }
}

fn options(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(3) {
        g.maybe(args, 3, &["nx", "xx", "ch"]);
        g.maybe(args, 40, &["gt", "incr", "nx"]);
    }
}

fn member(g: &mut Generator, most: usize) -> Vec<u8> {
    match g.rng.below(10) {
        0 if most < 10 => g.value(),
        // As others keep them.
        1 if most < 10 => number(g.rng.between(-3, 12)),
        _ => format!("m{}", g.rng.below(most)).into(),
    }
}

fn members(g: &mut Generator, args: &mut Args) {
    args.push(any_key(g));
    for _ in 0..g.rng.below(5) {
        args.push(member(g, 8));
    }
}

/// A place near some towns, in one of them, or anywhere, with so many decimals that no two are the same.
fn place(g: &mut Generator) -> [Vec<u8>; 2] {
    const UNIT: f64 = 1e9;
    const TOWNS: &[(i64, i64)] = &[
        (13, 38),
        (15, 37),
        (-122, 37),
        (179, -16),
        (0, 0),
        (-70, 79),
    ];
    let (lon, lat, reach) = match g.rng.below(12) {
        0 => return bad_place(g),
        1..4 => (0, 0, None),
        4..8 => {
            let at = g.rng.below(TOWNS.len());
            (TOWNS[at].0, TOWNS[at].1, Some(100_000_000))
        }
        _ => {
            let at = g.rng.below(TOWNS.len());
            (TOWNS[at].0, TOWNS[at].1, Some(1_000_000_000))
        }
    };
    let (lon_reach, lat_reach) = match reach {
        Some(reach) => (reach, reach),
        None => (180 * UNIT as i64, 85 * UNIT as i64),
    };
    let mut near = |degrees: i64, reach: i64| {
        let exact = degrees as f64 + g.rng.between(-reach, reach) as f64 / UNIT;
        exact.to_string().into()
    };
    [near(lon, lon_reach), near(lat, lat_reach)]
}

/// Places that several members share, among them the ends of the world.
fn known_place(g: &mut Generator) -> [Vec<u8>; 2] {
    const PLACES: &[[&str; 2]] = &[
        ["0", "0"],
        ["180", "85.05112878"],
        ["-180", "-85.05112878"],
        ["180", "-10"],
        ["-180", "-10"],
        ["179.999", "-10.001"],
        ["-179.999", "-10.001"],
        ["13.361389", "38.115556"],
        ["15.087269", "37.502669"],
        ["-5.5", "85.05"],
        ["1e1", "0x14"],
        ["-170", "-20"],
        ["90", "66.1"],
        ["-90", "80.5"],
    ];
    PLACES[g.rng.below(PLACES.len())].map(Vec::from)
}

fn bad_place(g: &mut Generator) -> [Vec<u8>; 2] {
    match g.rng.below(4) {
        0 => [g.float(), b"86".into()],
        1 => [b"-181".into(), g.float()],
        2 => ["180.001", "5"].map(Vec::from),
        _ => ["5", "-85.0511288"].map(Vec::from),
    }
}

fn unit(g: &mut Generator) -> Vec<u8> {
    if g.rng.one_in(30) {
        return g.junk();
    }
    let unit = g.rng.pick(&["m", "km", "ft", "mi"]);
    g.in_some_case(unit)
}

/// A length of any size, mostly such as lie between the members.
fn length(g: &mut Generator) -> Vec<u8> {
    match g.rng.below(12) {
        0 => g.float(),
        1 => b"0".into(),
        2 => b"1e9".into(),
        3 => number(g.rng.between(0, 30_000_000)),
        4 => format!("0.{}", g.rng.below(1000)).into(),
        5..8 => number(g.rng.between(0, 400_000)),
        _ => number(g.rng.between(0, 6000)),
    }
}

fn centre(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(2) {
        args.push(g.in_some_case("frommember"));
        args.push(member(g, 8));
    } else {
        args.push(g.in_some_case("fromlonlat"));
        let place = if g.rng.one_in(3) {
            known_place(g)
        } else {
            place(g)
        };
        args.extend(place);
    }
}

fn extent(g: &mut Generator, args: &mut Args) {
    if g.rng.one_in(2) {
        args.push(g.in_some_case("byradius"));
        args.push(length(g));
    } else {
        args.push(g.in_some_case("bybox"));
        args.push(length(g));
        args.push(length(g));
    }
    args.push(unit(g));
}

/// What is searched, in any order, sometimes twice or not at all.
fn area(g: &mut Generator, args: &mut Args) {
    let parts: &[fn(&mut Generator, &mut Args)] = match g.rng.below(20) {
        0 => &[centre, centre, extent],
        1 => &[centre, extent, extent],
        2 => &[centre],
        3 => &[extent],
        4..12 => &[extent, centre],
        _ => &[centre, extent],
    };
    for part in parts {
        part(g, args);
    }
}

/// Which are wanted, and in what order. ANY comes first, so that nothing that is cut off leaves its number alone.
fn conditions(g: &mut Generator, args: &mut Args, counted: bool) {
    g.maybe(args, 4, &["asc", "desc"]);
    if g.rng.one_in(2) {
        if !counted || g.rng.one_in(2) {
            args.push(g.in_some_case("any"));
        }
        args.push(g.in_some_case("count"));
        args.push(number(g.rng.between(0, 9)));
    } else {
        g.maybe(args, 40, &["any"]);
    }
}

fn shown(g: &mut Generator, args: &mut Args, one_in: usize) {
    g.maybe(args, one_in, &["withdist", "withhash", "withcoord"]);
}

/// Sometimes one key or two to store at.
fn target(g: &mut Generator, args: &mut Args) -> bool {
    let count = [0, 0, 1, 1, 2][g.rng.below(5)];
    for _ in 0..count {
        let word = g.rng.pick(&["store", "storedist"]);
        args.push(g.in_some_case(word));
        args.push(g.key_of(GEO_KEYS));
    }
    count > 0
}

fn around_place(g: &mut Generator, args: &mut Args) -> bool {
    let (key, counted) = source(g);
    args.push(key);
    let place = if g.rng.one_in(3) {
        known_place(g)
    } else {
        place(g)
    };
    args.extend(place);
    args.push(length(g));
    args.push(unit(g));
    counted
}

fn around_member(g: &mut Generator, args: &mut Args) -> bool {
    let (key, counted) = source(g);
    args.push(key);
    args.push(member(g, 8));
    args.push(length(g));
    args.push(unit(g));
    counted
}
