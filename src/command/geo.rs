//! Places: GEOADD, GEOPOS, GEODIST, GEOHASH. They are members of a sorted set, with scores that stand for places.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::spec::{Command, Flags, Group, KeyFlags, KeySpec, Spec};
use super::zset::{AddOptions, Scored, add, parse_score};
use crate::base::float::to_fixed;
use crate::resp::{Args, Reply};
use crate::value::ZSet;
use crate::value::geo::Place;
use itoa::Buffer;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("geoadd", -5, Group::Geo, Flags::WRITE_DENYOOM)
            .syntax(
                "key [condition: NX | XX]@6.2.0 [CH:change]@6.2.0 \
                 <longitude latitude member>...",
            )
            .keys(&[KeySpec::one(1, KeyFlags::ALTER)])
            .docs(
                "3.2.0",
                "O(log(N)) for each item added, where N is the number of elements in \
                 the sorted set.",
                "Add one or more geospatial items in the geospatial index represented \
                 using a sorted set",
            )
            .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")]),
        geoadd,
    ),
    Command::new(
        Spec::new("geopos", -2, Group::Geo, Flags::READONLY)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "3.2.0",
                "O(N) where N is the number of members requested.",
                "Returns longitude and latitude of members of a geospatial index",
            ),
        geopos,
    ),
    Command::new(
        Spec::new("geodist", -4, Group::Geo, Flags::READONLY)
            .syntax("key member1 member2 [unit: M | KM | FT | MI]")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "3.2.0",
                "O(log(N))",
                "Returns the distance between two members of a geospatial index",
            ),
        geodist,
    ),
    Command::new(
        Spec::new("geohash", -2, Group::Geo, Flags::READONLY)
            .syntax("key member ...")
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "3.2.0",
                "O(log(N)) for each member requested, where N is the number of \
                 elements in the sorted set.",
                "Returns members of a geospatial index as standard geohash strings",
            ),
        geohash,
    ),
];

fn geoadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let taken = AddOptions::NX | AddOptions::XX | AddOptions::CH;
    let mut options = AddOptions::empty();
    let mut first = 2;
    while let Some(option) = ctx.args.try_get(first).and_then(AddOptions::named)
        && taken.contains(option)
    {
        options |= option;
        first += 1;
    }
    let items = ctx.args.skip(first);
    let is_whole = !items.is_empty() && items.len().is_multiple_of(3);
    if !is_whole || options.contains(AddOptions::NX | AddOptions::XX) {
        return Err(Error::Syntax);
    }
    let scored = |at| Ok((parse_place(items, at)?.score(), items.get(at + 2)));
    let pairs: Result<Scored<'_>, Error> = (0..items.len()).step_by(3).map(scored).collect();
    add(ctx, options, &pairs?)
}

fn geopos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.skip(2);
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    ctx.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| place_of(zset, member)) {
            Some(place) => reply_place(ctx.reply, place),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

fn geodist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let unit_m = match ctx.args.len() {
        4 => 1.0,
        5 => parse_unit(ctx.arg(4))?,
        _ => return Err(Error::Syntax),
    };
    let (from, to) = (ctx.arg(2), ctx.arg(3));
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    let places = zset.and_then(|zset| Some((place_of(zset, from)?, place_of(zset, to)?)));
    match places {
        Some((from, to)) => reply_distance(ctx.reply, from.distance_m(to) / unit_m),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.skip(2);
    let zset = ctx.txn.read::<ZSet>(ctx.args.get(1))?;
    ctx.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| place_of(zset, member)) {
            Some(place) => ctx.reply.bulk(&place.geohash()),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn place_of(zset: &ZSet, member: &[u8]) -> Option<Place> {
    zset.score(member).map(Place::of_score)
}

/// The place whose longitude and latitude stand at an index.
pub(super) fn parse_place(args: Args<'_>, at: usize) -> Result<Place, Error> {
    let (lon, lat) = (parse_score(args.get(at))?, parse_score(args.get(at + 1))?);
    Place::new(lon, lat).ok_or_else(|| {
        let line = format!("ERR invalid longitude,latitude pair {lon:.6},{lat:.6}");
        Error::Other(line.into())
    })
}

/// The metres of a unit.
pub(super) fn parse_unit(name: &[u8]) -> Result<f64, Error> {
    const UNKNOWN: Error = Error::text("ERR unsupported unit provided. please use M, KM, FT, MI");
    match name.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(UNKNOWN),
    }
}

pub(super) fn reply_place(reply: &mut dyn Reply, place: Place) {
    reply.array(2);
    for degrees in [place.lon, place.lat] {
        // Degrees are finite.
        reply.decimal(&to_fixed(degrees).unwrap_or_default());
    }
}

/// Answers with a distance, with four decimals in either protocol.
pub(super) fn reply_distance(reply: &mut dyn Reply, distance: f64) {
    const DECIMALS: usize = 4;
    const SCALE: u64 = 10_u64.pow(DECIMALS as u32);
    debug_assert!(distance >= 0.0, "a length");
    let scaled = (distance * SCALE as f64).round_ties_even() as u64;
    let mut text = Buffer::new();
    let whole = text.format(scaled / SCALE).as_bytes();
    // A digit in front keeps the zeros behind the point.
    let mut rest = Buffer::new();
    let rest = rest.format(scaled % SCALE + SCALE).as_bytes();
    let mut out = smallvec::SmallVec::<[u8; 24]>::from_slice(whole);
    out.push(b'.');
    out.extend_from_slice(&rest[1..]);
    reply.bulk(&out);
}
