//! What a search for places asks for.

use super::error::Error;
use super::geo::{parse_place, parse_unit, place_of};
use crate::base::float::parse_f64;
use crate::base::number::parse_i64;
use crate::resp::Args;
use crate::value::ZSet;
use crate::value::geo::{Extent, Place, Shape};
use bitflags::bitflags;

/// What tells the commands apart.
#[derive(Clone, Copy)]
pub struct Form {
    pub source_at: usize,
    pub options_at: usize,
    pub around: Around,
    pub stores: Stores,
}

/// Where a request says what it searches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// In options.
    Options,
    /// First: longitude, latitude, radius, unit.
    Place,
    /// First: member, radius, unit.
    Member,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    Never,
    Always,
    /// Where an option names a key.
    AsAsked,
}

pub const SEARCH: Form = Form {
    source_at: 1,
    options_at: 2,
    around: Around::Options,
    stores: Stores::Never,
};
pub const SEARCH_STORE: Form = Form {
    source_at: 2,
    options_at: 3,
    around: Around::Options,
    stores: Stores::Always,
};
pub const RADIUS: Form = Form {
    source_at: 1,
    options_at: 6,
    around: Around::Place,
    stores: Stores::AsAsked,
};
pub const RADIUS_RO: Form = Form {
    stores: Stores::Never,
    ..RADIUS
};
pub const BY_MEMBER: Form = Form {
    source_at: 1,
    options_at: 5,
    around: Around::Member,
    stores: Stores::AsAsked,
};
pub const BY_MEMBER_RO: Form = Form {
    stores: Stores::Never,
    ..BY_MEMBER
};

bitflags! {
    /// What is told of a member beside its name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Shown: u8 {
        const DISTANCE = 1 << 0;
        const HASH = 1 << 1;
        const PLACE = 1 << 2;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NearestFirst,
    FarthestFirst,
}

/// What a request asks for.
pub struct Query<'a> {
    pub shape: Shape,
    /// In which distances are told.
    pub unit_m: f64,
    pub shown: Shown,
    pub order: Option<Order>,
    pub count: Option<usize>,
    /// Whether the first that are found do, near or far.
    pub any: bool,
    pub target: Option<&'a [u8]>,
    pub stores_distance: bool,
}

impl<'a> Query<'a> {
    /// Reads a request; where there is no sorted set, members are not looked for.
    pub fn parse(args: Args<'a>, form: Form, zset: Option<&ZSet>) -> Result<Self, Error> {
        const ANY_ALONE: Error = Error::text("ERR the ANY argument requires COUNT argument");
        let mut parser = Parser::new(form, zset);
        match (form.around, zset) {
            (Around::Options, _) | (Around::Member, None) => {}
            (Around::Place, _) => {
                parser.centre = Some(Centre::Given(parse_place(args, 2)?));
                parser.extent = Some(circle(args.skip(4))?);
            }
            (Around::Member, Some(_)) => {
                parser.centre = Some(Centre::Member(parser.member(args.get(2))?));
                parser.extent = Some(circle(args.skip(3))?);
            }
        }
        if form.stores == Stores::Always {
            parser.target = Some(args.get(1));
        }
        let mut at = form.options_at;
        while at < args.len() {
            at += parser.option(args.skip(at))?;
        }
        parser.check(args.get(0))?;
        if parser.any && parser.count.is_none() {
            return Err(ANY_ALONE);
        }
        Ok(parser.finish())
    }
}

enum Centre {
    Member(Place),
    Given(Place),
}

/// An area around a centre, with the metres of the unit that it was told in.
type Measured = (Extent, f64);

/// What has been read of a request.
struct Parser<'a, 'z> {
    form: Form,
    zset: Option<&'z ZSet>,
    centre: Option<Centre>,
    extent: Option<Measured>,
    shown: Shown,
    order: Option<Order>,
    count: Option<usize>,
    any: bool,
    target: Option<&'a [u8]>,
    stores_distance: bool,
}

impl<'a, 'z> Parser<'a, 'z> {
    fn new(form: Form, zset: Option<&'z ZSet>) -> Self {
        Self {
            form,
            zset,
            centre: None,
            extent: None,
            shown: Shown::empty(),
            order: None,
            count: None,
            any: false,
            target: None,
            stores_distance: false,
        }
    }

    /// Reads the option at the head of some words and tells how many of them it is.
    fn option(&mut self, words: Args<'a>) -> Result<usize, Error> {
        let is = |name: &str| words.get(0).eq_ignore_ascii_case(name.as_bytes());
        let has = |more: usize| words.len() > more;
        if is("withdist") {
            self.shown |= Shown::DISTANCE;
        } else if is("withhash") {
            self.shown |= Shown::HASH;
        } else if is("withcoord") {
            self.shown |= Shown::PLACE;
        } else if is("any") {
            self.any = true;
        } else if is("asc") {
            self.order = Some(Order::NearestFirst);
        } else if is("desc") {
            self.order = Some(Order::FarthestFirst);
        } else if is("count") && has(1) {
            self.count = Some(count(words.get(1))?);
            return Ok(2);
        } else if self.form.stores == Stores::Always && is("storedist") {
            self.stores_distance = true;
        } else if self.form.stores == Stores::AsAsked && (is("store") || is("storedist")) && has(1)
        {
            self.target = Some(words.get(1));
            self.stores_distance = is("storedist");
            return Ok(2);
        } else if self.form.around == Around::Options {
            return self.area(words);
        } else {
            return Err(Error::Syntax);
        }
        Ok(1)
    }

    /// Reads an option that says what is searched. Each of the two questions has two answers, and one of them may be given
    /// again.
    fn area(&mut self, words: Args<'a>) -> Result<usize, Error> {
        let is = |name: &str| words.get(0).eq_ignore_ascii_case(name.as_bytes());
        let has = |more: usize| words.len() > more;
        let (centre, extent) = (&self.centre, self.extent.map(|(extent, _)| extent));
        if is("frommember") && has(1) && !matches!(centre, Some(Centre::Given(_))) {
            self.centre = Some(Centre::Member(self.member(words.get(1))?));
            return Ok(2);
        }
        if is("fromlonlat") && has(2) && !matches!(centre, Some(Centre::Member(_))) {
            self.centre = Some(Centre::Given(parse_place(words, 1)?));
            return Ok(3);
        }
        if is("byradius") && has(2) && !matches!(extent, Some(Extent::Rectangle { .. })) {
            self.extent = Some(circle(words.skip(1))?);
            return Ok(3);
        }
        if is("bybox") && has(3) && !matches!(extent, Some(Extent::Circle { .. })) {
            self.extent = Some(rectangle(words.skip(1))?);
            return Ok(4);
        }
        Err(Error::Syntax)
    }

    /// The place of a member, or anything where there are no members.
    fn member(&self, name: &[u8]) -> Result<Place, Error> {
        const NOT_THERE: Error = Error::text("ERR could not decode requested zset member");
        match self.zset {
            None => Ok(Place::default()),
            Some(zset) => place_of(zset, name).ok_or(NOT_THERE),
        }
    }

    /// Whether all is said, and nothing that contradicts.
    fn check(&self, command: &[u8]) -> Result<(), Error> {
        if self.target.is_some() && !self.shown.is_empty() {
            return Err(Error::text(match self.form.stores {
                Stores::Always => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => {
                    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
            }));
        }
        if self.form.around != Around::Options {
            return Ok(());
        }
        let missing = if self.centre.is_none() {
            "FROMMEMBER or FROMLONLAT"
        } else if self.extent.is_none() {
            "BYRADIUS and BYBOX"
        } else {
            return Ok(());
        };
        let command = String::from_utf8_lossy(command);
        let line = format!("ERR exactly one of {missing} can be specified for {command}");
        Err(Error::Other(line.into()))
    }

    fn finish(self) -> Query<'a> {
        let centre = match self.centre {
            Some(Centre::Member(place) | Centre::Given(place)) => place,
            None => Place::default(),
        };
        let nothing = (Extent::Circle { radius_m: 0.0 }, 1.0);
        let (extent, unit_m) = self.extent.unwrap_or(nothing);
        // The nearest are meant where a number is and nothing else.
        let nearest = Some(Order::NearestFirst).filter(|_| self.count.is_some() && !self.any);
        Query {
            shape: Shape { centre, extent },
            unit_m,
            shown: self.shown,
            order: self.order.or(nearest),
            count: self.count,
            any: self.any,
            target: self.target,
            stores_distance: self.stores_distance,
        }
    }
}

fn count(text: &[u8]) -> Result<usize, Error> {
    const NOT_POSITIVE: Error = Error::text("ERR COUNT must be > 0");
    match parse_i64(text).ok_or(Error::NotInteger)? {
        count @ 1.. => Ok(count as usize),
        _ => Err(NOT_POSITIVE),
    }
}

/// Radius, unit.
fn circle(words: Args<'_>) -> Result<Measured, Error> {
    const NO_RADIUS: Error = Error::text("ERR need numeric radius");
    const NEGATIVE: Error = Error::text("ERR radius cannot be negative");
    let radius = parse_f64(words.get(0)).ok_or(NO_RADIUS)?;
    if radius < 0.0 {
        return Err(NEGATIVE);
    }
    let unit_m = parse_unit(words.get(1))?;
    let radius_m = radius * unit_m;
    Ok((Extent::Circle { radius_m }, unit_m))
}

/// Width, height, unit.
fn rectangle(words: Args<'_>) -> Result<Measured, Error> {
    const NO_WIDTH: Error = Error::text("ERR need numeric width");
    const NO_HEIGHT: Error = Error::text("ERR need numeric height");
    const NEGATIVE: Error = Error::text("ERR height or width cannot be negative");
    let width = parse_f64(words.get(0)).ok_or(NO_WIDTH)?;
    let height = parse_f64(words.get(1)).ok_or(NO_HEIGHT)?;
    if width < 0.0 || height < 0.0 {
        return Err(NEGATIVE);
    }
    let unit_m = parse_unit(words.get(2))?;
    let (width_m, height_m) = (width * unit_m, height * unit_m);
    Ok((Extent::Rectangle { width_m, height_m }, unit_m))
}
