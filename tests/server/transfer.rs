//! `aikv import` and `aikv export`: values go from Redis to a data directory and back, and stay what they are.

use super::harness::{Server, run_to_end, text};
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};

/// In the year 2100, in milliseconds.
const FAR: &str = "4102444800000";

/// In each of the two databases that [`fill`] fills.
const KEYS: usize = 18;

/// Fills two databases with every type, in its small and in its large form.
fn fill(client: &mut Client) {
    let long = "x".repeat(70_000);
    let texts: Vec<String> = (0..600).map(|n| format!("element:{n}")).collect();
    let numbers: Vec<String> = (0..600).map(|n| (n * 37 - 9000).to_string()).collect();
    let pairs = |words: &[String]| -> Vec<String> {
        let zip = words.iter().zip(&numbers);
        zip.flat_map(|(word, number)| [number.clone(), word.clone()])
            .collect()
    };
    let mut call = |head: &[&str], tail: &[String]| {
        let head = head.iter().map(ToString::to_string);
        let args: Vec<String> = head.chain(tail.iter().cloned()).collect();
        let answer = client.call(&args);
        assert!(
            !matches!(answer.reply, Reply::Error(_)),
            "{args:?}: {answer}"
        );
    };
    for db in ["0", "7"] {
        call(&["SELECT", db], &[]);
        call(&["SET", "text", "some text"], &[]);
        call(&["SET", "12345", "-77"], &[]);
        call(&["SET", "long", &long, "PXAT", FAR], &[]);
        call(&["SET", "bytes\r\n\"\\", ""], &[]);
        call(&["APPEND", "raw", "1"], &[]);
        call(&["PFADD", "hll"], &texts);
        call(&["SET", "ends at once", "v", "PX", "1"], &[]);
        for (size, count) in [("small", 5), ("large", 600)] {
            let key = |kind: &str| format!("{kind}:{size}");
            call(&["RPUSH", &key("list")], &texts[..count]);
            call(&["RPUSH", &key("list"), &long, "7"], &[]);
            call(&["SADD", &key("set")], &texts[..count]);
            call(&["SADD", &key("integers")], &numbers[..count]);
            call(&["HSET", &key("hash")], &pairs(&texts[..count]));
            call(&["ZADD", &key("zset"), "-inf", "low", "1.5", "half"], &[]);
            call(&["ZADD", &key("zset")], &pairs(&texts[..count]));
            call(&["PEXPIREAT", &key("zset"), FAR], &[]);
            for n in 1..=count {
                let id = format!("{n}-1");
                call(&["XADD", &key("stream"), &id, "n", &id, "text", "v"], &[]);
            }
            call(&["XDEL", &key("stream"), "3-1"], &[]);
            call(&["XGROUP", "CREATE", &key("stream"), "group", "2-1"], &[]);
            call(
                &[
                    "XREADGROUP",
                    "GROUP",
                    "group",
                    "me",
                    "COUNT",
                    "3",
                    "STREAMS",
                    &key("stream"),
                    ">",
                ],
                &[],
            );
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(5));
}

pub type Contents = Vec<(Vec<u8>, Vec<String>)>;

/// What a client sees of everything in a database, key by key: type, encoding, end, and content.
pub fn contents(client: &mut Client, db: &str) -> Contents {
    client.call(&["SELECT", db]);
    let Reply::Array(keys) = client.call(&["KEYS", "*"]).reply else {
        panic!("KEYS answers an array");
    };
    let mut all: Vec<(Vec<u8>, Vec<String>)> = keys
        .into_iter()
        .map(|key| match key {
            Reply::Bulk(key) => (key.clone(), value(client, &key)),
            other => panic!("{other:?}"),
        })
        .collect();
    all.sort();
    all
}

fn value(client: &mut Client, key: &[u8]) -> Vec<String> {
    let mut ask = |before: &[&str], after: &[&str]| {
        let before = before.iter().map(|word| word.as_bytes());
        let after = after.iter().map(|word| word.as_bytes());
        let args: Vec<&[u8]> = before.chain([key]).chain(after).collect();
        client.call(&args)
    };
    let Reply::Simple(kind) = ask(&["TYPE"], &[]).reply else {
        panic!("TYPE answers a word");
    };
    let mut seen = vec![
        kind.clone(),
        ask(&["OBJECT", "ENCODING"], &[]).to_string(),
        ask(&["PEXPIRETIME"], &[]).to_string(),
    ];
    let content = match kind.as_str() {
        "string" => ask(&["GET"], &[]),
        "list" => ask(&["LRANGE"], &["0", "-1"]),
        "set" => ask(&["SORT"], &["ALPHA"]),
        "hash" => ask(&["HGETALL"], &[]),
        "zset" => ask(&["ZRANGE"], &["0", "-1", "WITHSCORES"]),
        "stream" => ask(&["XRANGE"], &["-", "+"]),
        other => panic!("an unknown type: {other}"),
    };
    let mut content = vec![content.raw.escape_ascii().to_string()];
    if kind == "hash" {
        // Its order is each server's own.
        let Reply::Array(words) = ask(&["HGETALL"], &[]).reply else {
            panic!("HGETALL answers an array");
        };
        content = words.chunks(2).map(|pair| format!("{pair:?}")).collect();
        content.sort();
    }
    if kind == "stream" {
        content.push(ask(&["XINFO", "GROUPS"], &[]).to_string());
        content.push(ask(&["XPENDING"], &["group"]).to_string());
    }
    seen.extend(content);
    seen
}

fn assert_same(one: &mut Client, other: &mut Client) {
    for db in ["0", "7"] {
        let (left, right) = (contents(one, db), contents(other, db));
        assert_eq!((left.len(), right.len()), (KEYS, KEYS));
        for ((key, left), (other_key, right)) in left.iter().zip(&right) {
            assert_eq!(key, other_key);
            assert!(left == right, "{} differs", key.escape_ascii());
        }
    }
}

#[test]
fn what_redis_saved_is_imported_and_what_is_exported_redis_loads() {
    let redis = RedisServer::start();
    fill(&mut redis.client());
    let dump = redis.save();
    let mut server = Server::start(&[]);
    assert_eq!(server.terminate(), Some(0));
    let dir = server.dir().to_path_buf();
    let imported = run_to_end(&["import", text(&dump), "--dir", text(&dir)]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert!(
        imported.stdout.starts_with("36 keys imported, 0 left out")
            || imported.stdout.starts_with("36 keys imported, 2 left out"),
        "{}",
        imported.stdout
    );
    server.restart();
    assert_same(&mut redis.client(), &mut server.client());

    assert_eq!(server.terminate(), Some(0));
    let out = dir.join("out.rdb");
    let exported = run_to_end(&["export", "--rdb", text(&out), "--dir", text(&dir)]);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    assert!(
        exported.stdout.starts_with("36 keys exported"),
        "{}",
        exported.stdout
    );
    let loaded = RedisServer::start_from(&out);
    assert_same(&mut redis.client(), &mut loaded.client());
}

#[test]
fn a_file_that_is_not_whole_changes_nothing() {
    let redis = RedisServer::start();
    fill(&mut redis.client());
    let good = std::fs::read(redis.save()).unwrap();
    let mut server = Server::start(&[]);
    server.client().call(&["SET", "text", "kept"]);
    assert_eq!(server.terminate(), Some(0));
    let dir = server.dir().to_path_buf();
    let file = dir.join("in.rdb");
    let import = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let ended = run_to_end(&["import", text(&file), "--replace", "--dir", text(&dir)]);
        assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        ended.stderr
    };
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    assert!(import(&flipped).contains("at offset"));
    for len in [0, 5, 9, good.len() / 3, good.len() - 9, good.len() - 1] {
        assert!(import(&good[..len]).contains("in.rdb"), "{len} bytes");
    }
    assert!(import(b"REDIS9999").contains("RDB version 9999"));
    assert!(import(b"PARIS0010\xff").contains("no RDB file"));
    assert!(import(b"REDIS0004\xfe\x40\xff\xff").contains("database 255"));
    assert!(import(b"REDIS0004\x07\x01kxx").contains("a module's"));
    let refused = run_to_end(&["import", text(&file), "--dir", "/dev/null/x"]);
    assert_eq!(refused.code, Some(1));
    server.restart();
    let mut client = server.client();
    assert_eq!(client.call(&["DBSIZE"]).reply, Reply::Integer(1));
    assert_eq!(
        client.call(&["GET", "text"]).reply,
        Reply::Bulk(b"kept".to_vec())
    );
}

#[test]
fn keys_that_are_there_stop_an_import_unless_they_may_be_replaced() {
    let redis = RedisServer::start();
    fill(&mut redis.client());
    let dump = redis.save();
    let mut server = Server::start(&[]);
    server.client().call(&["SET", "list:small", "kept"]);
    let dir = server.dir().to_path_buf();
    let import = |more: &[&str]| {
        let args = ["import", text(&dump), "--dir", text(&dir)];
        run_to_end(&[&args[..], more].concat())
    };
    assert!(import(&[]).stderr.contains("in use"), "the server has it");
    assert_eq!(server.terminate(), Some(0));
    let refused = import(&[]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("(1, such as 'list:small')"),
        "{}",
        refused.stderr
    );
    assert_eq!(import(&["--replace"]).code, Some(0));
    server.restart();
    assert_same(&mut redis.client(), &mut server.client());
}

#[test]
fn a_wrong_name_makes_no_directory_and_replaces_no_file() {
    let place = tempfile::tempdir().expect("a directory");
    let (dump, missing) = (place.path().join("dump.rdb"), place.path().join("data"));
    std::fs::write(&dump, "of another day").expect("a file");
    let nowhere = ["--dir", text(&missing)];
    let export = run_to_end(&[&["export", "--rdb", text(&dump)], &nowhere[..]].concat());
    assert_eq!(export.code, Some(1), "{}", export.stdout);
    let kept = std::fs::read_to_string(&dump).expect("the file");
    assert_eq!(kept, "of another day");
    let no_file = place.path().join("none.rdb");
    let import = run_to_end(&[&["import", text(&no_file)], &nowhere[..]].concat());
    assert_eq!(import.code, Some(1), "{}", import.stdout);
    assert!(!missing.exists());
    std::fs::create_dir(&missing).expect("a directory");
    let export = run_to_end(&[&["export", "--rdb", text(&dump)], &nowhere[..]].concat());
    assert!(
        export.stderr.contains("holds no database"),
        "{}",
        export.stderr
    );
}
