//! Places in an area: GEOSEARCH, and GEORADIUS with its relatives, which came before it. The STORE forms keep what they
//! find as a sorted set.

use super::ctx::{Ctx, Handler};
use super::error::Error;
use super::geo::{reply_distance, reply_place};
use super::geo_query::{
    Around, BY_MEMBER, BY_MEMBER_RO, Form, Order, Query, RADIUS, RADIUS_RO, SEARCH, SEARCH_STORE,
    Shown,
};
use super::list::reply_item;
use super::spec::{Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Spec};
use super::zset_range::store;
use crate::resp::{Args, Reply};
use crate::value::geo::Place;
use crate::value::{Item, StrBuf, ZSet};
use std::cmp::Ordering;

pub static COMMANDS: &[Command<Handler>] = &[
    Command::new(
        Spec::new("geosearch", -7, Group::Geo, Flags::READONLY)
            .syntax(
                "key <from: FROMMEMBER member | FROMLONLAT <longitude latitude>> \
                 <by: <circle: BYRADIUS radius <unit: M | KM | FT | MI>> \
                 | <box: BYBOX width height <unit: M | KM | FT | MI>>> \
                 [order: ASC | DESC] [count: COUNT count [ANY]] [WITHCOORD] [WITHDIST] \
                 [WITHHASH]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "6.2.0",
                SEARCH_COMPLEXITY,
                "Query a sorted set representing a geospatial index to fetch members \
                 inside an area of a box or a circle.",
            )
            .history(&[("7.0.0", "Added support for uppercase unit names.")]),
        geosearch,
    ),
    Command::new(
        Spec::new("geosearchstore", -8, Group::Geo, Flags::WRITE_DENYOOM)
            .syntax(
                "destination source \
                 <from: FROMMEMBER member | FROMLONLAT <longitude latitude>> \
                 <by: <circle: BYRADIUS radius <unit: M | KM | FT | MI>> \
                 | <box: BYBOX width height <unit: M | KM | FT | MI>>> \
                 [order: ASC | DESC] [count: COUNT count [ANY]] [STOREDIST]",
            )
            .keys(&[
                KeySpec::one(1, KeyFlags::OVERWRITE),
                KeySpec::one(2, KeyFlags::READ),
            ])
            .docs(
                "6.2.0",
                SEARCH_COMPLEXITY,
                "Query a sorted set representing a geospatial index to fetch members \
                 inside an area of a box or a circle, and store the result in another \
                 key.",
            )
            .history(&[("7.0.0", "Added support for uppercase unit names.")]),
        geosearchstore,
    ),
    Command::new(
        Spec::new("georadius", -6, Group::Geo, STORES)
            .syntax(
                "key longitude latitude radius <unit: M | KM | FT | MI> [WITHCOORD] \
                 [WITHDIST] [WITHHASH] [count: COUNT count [ANY]@6.2.0] \
                 [order: ASC | DESC] [STORE key] [STOREDIST key]",
            )
            .keys(&[
                KeySpec::one(1, KeyFlags::READ),
                target("STORE", RADIUS.options_at),
                target("STOREDIST", RADIUS.options_at),
                KeySpec::found_by(
                    |args| last_target(args, RADIUS.options_at),
                    KeyFlags::OVERWRITE.union(KeyFlags::UNSHOWN),
                ),
            ])
            .docs(
                "3.2.0",
                RADIUS_COMPLEXITY,
                "Query a sorted set representing a geospatial index to fetch members \
                 matching a given maximum distance from a point",
            )
            .history(&[
                ("6.2.0", "Added the `ANY` option for `COUNT`."),
                ("7.0.0", "Added support for uppercase unit names."),
            ])
            .deprecated(
                "6.2.0",
                "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
            ),
        georadius,
    ),
    Command::new(
        Spec::new("georadius_ro", -6, Group::Geo, Flags::READONLY)
            .syntax(
                "key longitude latitude radius <unit: M | KM | FT | MI> [WITHCOORD] \
                 [WITHDIST] [WITHHASH] [count: COUNT count [ANY]@6.2.0] \
                 [order: ASC | DESC]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "3.2.10",
                RADIUS_COMPLEXITY,
                "A read-only variant for GEORADIUS",
            )
            .history(&[("6.2.0", "Added the `ANY` option for `COUNT`.")])
            .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
        georadius_ro,
    ),
    Command::new(
        Spec::new("georadiusbymember", -5, Group::Geo, STORES)
            .syntax(
                "key member radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
                 [WITHHASH] [count: COUNT count [ANY]] [order: ASC | DESC] [STORE key] \
                 [STOREDIST key]",
            )
            .keys(&[
                KeySpec::one(1, KeyFlags::READ),
                target("STORE", BY_MEMBER.options_at),
                target("STOREDIST", BY_MEMBER.options_at),
                KeySpec::found_by(
                    |args| last_target(args, BY_MEMBER.options_at),
                    KeyFlags::OVERWRITE.union(KeyFlags::UNSHOWN),
                ),
            ])
            .docs(
                "3.2.0",
                RADIUS_COMPLEXITY,
                "Query a sorted set representing a geospatial index to fetch members \
                 matching a given maximum distance from a member",
            )
            .history(&[("7.0.0", "Added support for uppercase unit names.")])
            .deprecated(
                "6.2.0",
                "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` \
                 arguments",
            ),
        georadiusbymember,
    ),
    Command::new(
        Spec::new("georadiusbymember_ro", -5, Group::Geo, Flags::READONLY)
            .syntax(
                "key member radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
                 [WITHHASH] [count: COUNT count [ANY]] [order: ASC | DESC]",
            )
            .keys(&[KeySpec::one(1, KeyFlags::READ)])
            .docs(
                "3.2.10",
                RADIUS_COMPLEXITY,
                "A read-only variant for GEORADIUSBYMEMBER",
            )
            .deprecated(
                "6.2.0",
                "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
            ),
        georadiusbymember_ro,
    ),
];

const STORES: Flags = Flags::WRITE_DENYOOM.union(Flags::MOVABLE_KEYS);
const SEARCH_COMPLEXITY: &str = "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area \
                 around the shape provided as the filter and M is the number of items inside the shape";
const RADIUS_COMPLEXITY: &str = "O(N+log(M)) where N is the number of elements inside the bounding box of the circular \
                 area delimited by center and radius and M is the number of items inside the index.";

/// The key behind the first of some words, as Redis declares it.
const fn target(word: &'static str, from: usize) -> KeySpec {
    KeySpec {
        flags: KeyFlags::OVERWRITE,
        begin: Begin::Keyword { word, from },
        find: Find::Range { last: 0, step: 1 },
    }
}

/// The key that a request with several targets stores at: the last.
fn last_target(args: &Args<'_>, options_at: usize) -> Option<usize> {
    let mut found = None;
    let mut at = options_at;
    while at + 1 < args.len() {
        let word = args.get(at);
        if word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist") {
            at += 1;
            found = Some(at);
        }
        at += 1;
    }
    found
}

fn geosearch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, SEARCH)
}

fn geosearchstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, SEARCH_STORE)
}

fn georadius(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, RADIUS)
}

fn georadius_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, RADIUS_RO)
}

fn georadiusbymember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, BY_MEMBER)
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    search(ctx, BY_MEMBER_RO)
}

fn search(ctx: &mut Ctx<'_>, form: Form) -> Result<(), Error> {
    let (args, limits) = (ctx.args, ctx.txn.limits());
    // What is wrong with the key is told before what is wrong with the words.
    let zset = ctx.txn.read::<ZSet>(args.get(form.source_at))?;
    let query = Query::parse(args, form, zset)?;
    let found = zset.map(|zset| query.run(zset)).unwrap_or_default();
    let Some(target) = query.target else {
        query.reply(ctx.reply, &found);
        return Ok(());
    };
    let pair = |found: &Found<'_>| {
        let member = StrBuf::from_slice(found.member.bytes(&mut itoa::Buffer::new()));
        let score = if query.stores_distance {
            found.distance_m / query.unit_m
        } else {
            found.score
        };
        (member, score)
    };
    let result = ZSet::from_pairs(found.iter().map(pair).collect(), &limits);
    let event = match form.around {
        Around::Options => "geosearchstore",
        Around::Place | Around::Member => "georadiusstore",
    };
    store(ctx, target, result, event);
    Ok(())
}

/// A member that is in the area.
struct Found<'z> {
    member: Item<'z>,
    score: f64,
    place: Place,
    distance_m: f64,
    /// How many were found before it.
    at: usize,
}

impl Query<'_> {
    fn run<'z>(&self, zset: &'z ZSet) -> Vec<Found<'z>> {
        let limit = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut all = Vec::new();
        for cell in self.shape.cover() {
            let scores = cell.scores();
            let first = zset.count_before(|score, _| score < scores.start);
            let members = zset.range(first..zset.len());
            for (member, score) in members.take_while(|(_, score)| *score < scores.end) {
                let place = Place::of_score(score);
                let Some(distance_m) = self.shape.distance_m(place) else {
                    continue;
                };
                all.push(Found {
                    member,
                    score,
                    place,
                    distance_m,
                    at: all.len(),
                });
                if all.len() >= limit {
                    return self.in_order(all);
                }
            }
        }
        self.in_order(all)
    }

    /// Sorts what was found, and leaves the number that was asked for. Of those that are as far, what was found first
    /// comes first.
    fn in_order<'z>(&self, mut all: Vec<Found<'z>>) -> Vec<Found<'z>> {
        let len = self.count.map_or(all.len(), |count| count.min(all.len()));
        if let Some(order) = self.order {
            let compare = |a: &Found<'z>, b: &Found<'z>| order.compare(a, b);
            if len < all.len() {
                all.select_nth_unstable_by(len, compare);
                all.truncate(len);
            }
            all.sort_unstable_by(compare);
        }
        all.truncate(len);
        all
    }

    fn reply(&self, reply: &mut dyn Reply, all: &[Found<'_>]) {
        reply.array(all.len());
        for found in all {
            if !self.shown.is_empty() {
                reply.array(1 + self.shown.iter().count());
            }
            reply_item(reply, found.member);
            if self.shown.contains(Shown::DISTANCE) {
                reply_distance(reply, found.distance_m / self.unit_m);
            }
            if self.shown.contains(Shown::HASH) {
                reply.integer(found.score as i64);
            }
            if self.shown.contains(Shown::PLACE) {
                reply_place(reply, found.place);
            }
        }
    }
}

impl Order {
    fn compare(self, a: &Found<'_>, b: &Found<'_>) -> Ordering {
        let by_distance = a.distance_m.total_cmp(&b.distance_m);
        let wanted = match self {
            Self::NearestFirst => by_distance,
            Self::FarthestFirst => by_distance.reverse(),
        };
        wanted.then(a.at.cmp(&b.at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use crate::resp::Args;

    /// Of members that are as far, the first that are found come first; redis's quicksort has some order of its own.
    #[test]
    fn the_nearest_are_in_a_fixed_order() {
        let mut ours = Harness::new();
        for n in 0..20 {
            ours.line(&format!("GEOADD town 13 38 m{n:02}"));
        }
        ours.line("GEOADD town 13.001 38 far");
        let nearest = "*3\r\n$3\r\nm00\r\n$3\r\nm01\r\n$3\r\nm02\r\n";
        let search = "GEOSEARCH town FROMLONLAT 13 38 BYRADIUS 1 km";
        assert_eq!(ours.line(&format!("{search} COUNT 3")), nearest);
        assert_eq!(ours.line(&format!("{search} ASC COUNT 3 ANY")), nearest);
        assert_eq!(
            ours.line(&format!("{search} DESC COUNT 2")),
            "*2\r\n$3\r\nfar\r\n$3\r\nm00\r\n"
        );
    }

    /// A request may name several targets and stores at the last of them, which has to be among the locked keys.
    #[test]
    fn the_last_target_is_a_key() {
        let command = super::COMMANDS.iter().find(|c| c.spec.name == "georadius");
        let spec = &command.expect("it is declared").spec;
        let line = "GEORADIUS k 0 0 1 m STORE store STOREDIST b store c COUNT 1 STORE";
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut keys = Vec::new();
        let args = Args::from_slices(&words);
        let visited = spec.visit_keys(&args, |at, _| keys.push(words[at]));
        assert!(visited.is_ok());
        assert_eq!(keys, [&b"k"[..], b"store", b"b", b"c"]);

        let mut ours = Harness::new();
        ours.line("GEOADD k 0 0 m");
        assert_eq!(ours.line("GEORADIUS k 0 0 1 m STORE a STORE b"), ":1\r\n");
        assert_eq!(ours.line("EXISTS a"), ":0\r\n");
        assert_eq!(ours.line("EXISTS b"), ":1\r\n");
    }
}
