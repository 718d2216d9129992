//! Hashes whose fields end, over crashes and inside scripts.

use super::harness::{Server, bulk, eval, eventually};
use crate::common::resp::{Client, Reply};

fn integers(reply: &Reply) -> Vec<i64> {
    let Reply::Array(items) = reply else {
        panic!("{reply:?}");
    };
    let number = |item: &Reply| match item {
        Reply::Integer(number) => *number,
        other => panic!("{other:?}"),
    };
    items.iter().map(number).collect()
}

fn fill(client: &mut Client, key: &str, fields: usize) {
    for n in 0..fields {
        client.call(&["HSET", key, &format!("f{n}"), &n.to_string()]);
    }
}

#[test]
fn times_outlive_a_crash() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    for (key, fields) in [("small", 5), ("large", 600)] {
        fill(&mut client, key, fields);
        client.call(&["HEXPIRE", key, "1000", "FIELDS", "2", "f0", "f1"]);
        client.call(&["HPEXPIRE", key, "50", "FIELDS", "1", "f2"]);
        client.call(&["HPERSIST", key, "FIELDS", "1", "f1"]);
        client.call(&["HDEL", key, "f3"]);
    }
    for crashed in [false, true] {
        if crashed {
            server.kill9();
            std::thread::sleep(std::time::Duration::from_millis(50));
            server.restart();
            client = server.client();
        }
        for (key, fields) in [("small", 5), ("large", 600)] {
            let ttl = client.call(&["HTTL", key, "FIELDS", "4", "f0", "f1", "f3", "f4"]);
            let ttl = integers(&ttl.reply);
            assert!((900..=1000).contains(&ttl[0]), "{key}: {ttl:?}");
            assert_eq!(ttl[1..], [-1, -2, -1], "{key}");
            if crashed {
                let len = client.call(&["HLEN", key]).reply;
                assert_eq!(len, Reply::Integer(fields - 2), "{key}: f2 has ended");
            }
        }
    }
}

#[test]
fn ended_fields_go_without_being_asked_for() {
    let server = Server::start(&[]);
    let mut client = server.client();
    fill(&mut client, "whole", 2);
    fill(&mut client, "part", 2);
    client.call(&["HPEXPIRE", "whole", "20", "FIELDS", "2", "f0", "f1"]);
    client.call(&["HPEXPIRE", "part", "20", "FIELDS", "1", "f0"]);
    eventually("the fields are removed", || {
        let Reply::Bulk(info) = client.call(&["INFO", "stats"]).reply else {
            panic!("a text");
        };
        String::from_utf8_lossy(&info).contains("expired_subkeys:3\r\n")
    });
    assert_eq!(client.call(&["DBSIZE"]).reply, Reply::Integer(1));
}

/// A script's clock stands still, so no field ends while it runs; nor does what it does outlive its failure.
#[test]
fn no_field_ends_within_a_script() {
    let server = Server::start(&["--lua-dialect", "redis"]);
    let mut client = server.client();
    let script = "redis.call('HSET', KEYS[1], 'f', 'v')
      redis.call('HPEXPIRE', KEYS[1], 1, 'FIELDS', 1, 'f')
      local seen = 0
      for i = 1, 300000 do
        if i % 1000 == 0 then seen = seen + redis.call('HLEN', KEYS[1]) end
      end
      return {seen, redis.call('HGET', KEYS[1], 'f')}";
    let expected = Reply::Array(vec![Reply::Integer(300), bulk("v")]);
    assert_eq!(eval(&mut client, script, &["h"], &[]), expected);
    eventually("the field ends after the script", || {
        client.call(&["EXISTS", "h"]).reply == Reply::Integer(0)
    });

    client.call(&["HSET", "h", "f", "v"]);
    client.call(&["HEXPIRE", "h", "1000", "FIELDS", "1", "f"]);
    let script = "redis.call('HSET', KEYS[1], 'f', 'x', 'g', 'y')
      redis.call('HEXPIRE', KEYS[1], 5, 'FIELDS', 1, 'g')
      error('no')";
    eval(&mut client, script, &["h"], &[]);
    let all = Reply::Array(vec![bulk("f"), bulk("v")]);
    assert_eq!(client.call(&["HGETALL", "h"]).reply, all);
    let ttl = client.call(&["HTTL", "h", "FIELDS", "1", "f"]).reply;
    assert!((900..=1000).contains(&integers(&ttl)[0]), "{ttl:?}");
}
