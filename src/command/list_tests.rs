//! Lists beside those of redis-server: node for node, and in the forms that older versions wrote.

use super::oracle::common::redis::RedisServer;
use super::oracle::common::resp::{Answer, Client, Reply};
use super::oracle::common::rng::Rng;
use super::testing::Harness;
use crate::base::crc64::crc64;
use crate::value::{Limits, rdb};

const KEY: &[u8] = b"l";

fn start(max_listpack_size: i64) -> (RedisServer, Client, Harness) {
    let server = RedisServer::start();
    let mut redis = server.client();
    let size = max_listpack_size.to_string();
    let set = redis.call(&["CONFIG", "SET", "list-max-listpack-size", &size]);
    assert_eq!(set.reply, Reply::Simple("OK".into()));
    let mut ours = Harness::new();
    ours.set_limits(Limits {
        list_max_listpack_size: max_listpack_size,
        ..Limits::default()
    });
    (server, redis, ours)
}

#[track_caller]
fn same(redis: &mut Client, ours: &mut Harness, args: &[&[u8]]) {
    let theirs = redis.call(args);
    let ours = Answer::from_bytes(ours.run(args));
    let same = match (args, &theirs.reply, &ours.reply) {
        ([b"DUMP", _], Reply::Bulk(theirs), Reply::Bulk(ours)) => repacked(theirs) == *ours,
        _ => theirs.raw == ours.raw,
    };
    let shown: Vec<_> = args
        .iter()
        .map(|arg| arg.escape_ascii().to_string())
        .collect();
    assert!(same, "{shown:?}\n{theirs}\n{ours}");
}

/// A dump of redis-server with its nodes compressed anew. Redis does not clear the table in which it looks for copies, so
/// what an earlier input left there may have it find other ones, and the bytes differ.
fn repacked(dump: &[u8]) -> Vec<u8> {
    match rdb::restore(dump, usize::MAX, &Limits::default()) {
        Ok(list) => rdb::dump(&list),
        Err(error) => panic!("{error:?} in {}", dump.escape_ascii()),
    }
}

/// Requests that split nodes and join them; an element is not replaced by a longer one, where we do better.
fn request(rng: &mut Rng, pivot: u64) -> Vec<Vec<u8>> {
    let element = |rng: &mut Rng| {
        let lens = [1, 2, 5, 60, 64, 127, 700, 1500, 3000, 4095, 9000];
        let len = lens[rng.below(lens.len())];
        let text = format!("{}:{}", rng.below(60), "x".repeat(len));
        text.into_bytes()
    };
    let words = |text: String| text.split(' ').map(Vec::from).collect::<Vec<_>>();
    let end = |rng: &mut Rng| rng.pick(&["LEFT", "RIGHT"]);
    let mut args = match rng.below(12) {
        0..4 => words(format!("{} l", rng.pick(&["LPUSH", "RPUSH"]))),
        4..8 => {
            let side = rng.pick(&["BEFORE", "AFTER"]);
            words(format!("LINSERT l {side} {pivot}"))
        }
        8 => return words(format!("{} l", rng.pick(&["LPOP", "RPOP"]))),
        9 => return words(format!("LREM l {} {}", rng.between(-2, 3), rng.below(60))),
        10 => return words(format!("LMOVE l l {} {}", end(rng), end(rng))),
        _ if rng.one_in(6) => {
            return words(format!("LTRIM l {} -{}", rng.below(9), 1 + rng.below(9)));
        }
        _ => return words(format!("RPUSH l {}", rng.below(60))),
    };
    args.push(element(rng));
    args
}

#[test]
fn nodes_are_those_of_redis() {
    let requests =
        std::env::var("AIKV_ORACLE_REQUESTS").map_or(300, |text| text.parse().expect("a number"));
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_ORACLE_SEED"));
    for size in [-2, -1, 0, 3, 128] {
        let (_server, mut redis, mut ours) = start(size);
        for _ in 0..requests {
            let pivot = rng.below(60) as u64;
            let args = request(&mut rng, pivot);
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            same(&mut redis, &mut ours, &args);
            same(&mut redis, &mut ours, &[b"DUMP", KEY]);
        }
        ours.check_mirror();
    }
}

/// A serialized value of this type.
fn serialized(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&9_u16.to_le_bytes());
    bytes.extend_from_slice(&crc64(&bytes).to_le_bytes());
    bytes
}

#[test]
fn forms_of_older_versions_are_restored() {
    let ziplist =
        b"\x19\x19\0\0\0\x14\0\0\0\x04\0\x00\x03two\x05\xfd\x02\xfe\xff\x03\xc0\x00\x04\xff";
    let empty_ziplist = b"\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff";
    let listpack = b"\x0c\x0c\0\0\0\x02\0\x82ab\x03\x05\x01\xff";
    let two = |node: &[u8]| [b"\x02", node, node].concat();
    let nodes = |containers: [u8; 2], first: &[u8], second: &[u8]| {
        let [a, b] = containers;
        [&[2, a][..], first, &[b], second].concat()
    };
    let (_server, mut redis, mut ours) = start(-2);
    for (tag, content) in [
        (1, b"\x03\x01a\xc0\x05\x03abc".to_vec()),
        (1, b"\x00".to_vec()),
        (1, b"\x05\x01a".to_vec()),
        (10, ziplist.to_vec()),
        (10, empty_ziplist.to_vec()),
        (10, b"\x03abc".to_vec()),
        (14, two(ziplist)),
        (14, two(empty_ziplist)),
        (14, [b"\x02", &ziplist[..], empty_ziplist].concat()),
        (14, b"\x00".to_vec()),
        (18, nodes([2, 2], listpack, listpack)),
        (18, nodes([1, 2], b"\x05plain", listpack)),
        (18, nodes([1, 1], b"\x05plain", b"\xc0\x07")),
        (18, nodes([1, 1], b"\x05plain", b"\x00")),
        (18, nodes([2, 3], listpack, listpack)),
        (18, nodes([2, 2], listpack, b"\x07\x07\0\0\0\0\0\xff")),
        (18, nodes([2, 2], listpack, b"\x07\x07\0\0\0\x01\0\xff")),
    ] {
        let dump = serialized(tag, &content);
        same(
            &mut redis,
            &mut ours,
            &[b"RESTORE", KEY, b"0", &dump, b"REPLACE"],
        );
        same(&mut redis, &mut ours, &[b"LRANGE", KEY, b"0", b"-1"]);
        same(&mut redis, &mut ours, &[b"DUMP", KEY]);
        same(
            &mut redis,
            &mut ours,
            &[b"LINSERT", KEY, b"AFTER", b"plain", b"x"],
        );
        if tag != 18 {
            // Redis does not put another element into a plain node, but beside it.
            same(&mut redis, &mut ours, &[b"LSET", KEY, b"0", b"first"]);
        }
        same(&mut redis, &mut ours, &[b"DUMP", KEY]);
        same(&mut redis, &mut ours, &[b"DEL", KEY]);
    }
}

#[test]
fn a_moved_element_is_never_lost() {
    let mut ours = Harness::new();
    ours.line("RPUSH from a b");
    ours.line("SET to text");
    let refused = ours.line("LMOVE from to LEFT LEFT");
    assert!(refused.starts_with("-WRONGTYPE"), "{refused}");
    assert_eq!(ours.line("LLEN from"), ":2\r\n");
    ours.line("RPUSH one x");
    assert_eq!(ours.line("LMOVE one one LEFT RIGHT"), "$1\r\nx\r\n");
    assert_eq!(ours.line("LLEN one"), ":1\r\n");
}
