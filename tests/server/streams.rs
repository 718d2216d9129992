//! Streams with clients that wait, in transactions and scripts, and over crashes.

use super::harness::{Server, bulk, error_text, eval, eventually, ok};
use crate::common::generator::Compare;
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};

/// The answer of a reader that got one entry with the field `f`.
fn one_entry(key: &str, id: &str, value: &str) -> Reply {
    let fields = Reply::Array(vec![bulk("f"), bulk(value)]);
    let entry = Reply::Array(vec![bulk(id), fields]);
    let stream = Reply::Array(vec![bulk(key), Reply::Array(vec![entry])]);
    Reply::Array(vec![stream])
}

fn line(client: &mut Client, line: &str) -> Reply {
    client.call(&line.split(' ').collect::<Vec<_>>()).reply
}

/// A client that waits with this request.
fn waiting(server: &Server, request: &str) -> Client {
    let mut client = server.client();
    let Reply::Integer(id) = line(&mut client, "CLIENT ID") else {
        panic!("an id");
    };
    client.send(&request.split(' ').collect::<Vec<_>>());
    let mut other = server.client();
    eventually("the client waits", || {
        let Reply::Bulk(list) = line(&mut other, &format!("CLIENT LIST ID {id}")) else {
            panic!("a list");
        };
        String::from_utf8_lossy(&list).contains(" flags=b ")
    });
    client
}

#[test]
fn every_reader_of_a_stream_is_served_and_one_of_a_group() {
    let server = Server::start(&["--shards", "2"]);
    let mut client = server.client();
    line(&mut client, "XADD s 1-1 f old");
    line(&mut client, "XGROUP CREATE s g $");
    let mut readers: Vec<Client> = (0..4)
        .map(|_| waiting(&server, "XREAD BLOCK 0 STREAMS other s $ $"))
        .collect();
    let last = waiting(&server, "XREAD BLOCK 0 STREAMS empty +");
    let mut first = waiting(&server, "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >");
    let mut second = waiting(&server, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >");
    readers.push(last);
    line(&mut client, "XADD s 2-1 f new");
    line(&mut client, "XADD empty 2-1 f new");
    let last = readers.pop();
    for reader in &mut readers {
        assert_eq!(reader.receive().reply, one_entry("s", "2-1", "new"));
    }
    assert_eq!(
        last.expect("it was pushed").receive().reply,
        one_entry("empty", "2-1", "new")
    );
    assert_eq!(first.receive().reply, one_entry("s", "2-1", "new"));
    line(&mut client, "XADD s 3-1 f next");
    assert_eq!(second.receive().reply, one_entry("s", "3-1", "next"));
    let pending = line(&mut client, "XPENDING s g");
    let names = [("alice", "1"), ("bob", "1")];
    let names = names.map(|(name, count)| Reply::Array(vec![bulk(name), bulk(count)]));
    let expected = vec![
        Reply::Integer(2),
        bulk("2-1"),
        bulk("3-1"),
        Reply::Array(names.to_vec()),
    ];
    assert_eq!(pending, Reply::Array(expected));
}

#[test]
fn who_waits_in_a_group_learns_that_it_is_gone() {
    let server = Server::start(&["--shards", "2"]);
    let mut client = server.client();
    let endings = [
        (
            "XGROUP DESTROY s g",
            "NOGROUP the consumer group this client was blocked on no longer exists",
        ),
        ("DEL s", "UNBLOCKED the stream key no longer exists"),
    ];
    for (ending, error) in endings {
        line(&mut client, "XGROUP CREATE s g $ MKSTREAM");
        let mut waiting = waiting(&server, "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >");
        line(&mut client, ending);
        assert_eq!(error_text(waiting.receive().reply), error);
    }
    // One who reads without a group waits on.
    let mut reader = waiting(&server, "XREAD BLOCK 0 STREAMS s $");
    line(&mut client, "XADD s 1-1 f a");
    assert_eq!(reader.receive().reply, one_entry("s", "1-1", "a"));
}

#[test]
fn nobody_waits_in_a_transaction_or_a_script() {
    let server = Server::start(&["--lua-dialect", "redis"]);
    let mut client = server.client();
    line(&mut client, "XGROUP CREATE s g $ MKSTREAM");
    line(&mut client, "MULTI");
    line(&mut client, "XREAD BLOCK 0 STREAMS s $");
    line(&mut client, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    line(&mut client, "XADD s 1-1 f a");
    let expected = vec![Reply::Null, Reply::Null, bulk("1-1")];
    assert_eq!(line(&mut client, "EXEC"), Reply::Array(expected));
    let script = "return redis.pcall('XREAD', 'BLOCK', 0, 'STREAMS', KEYS[1], '$')";
    assert_eq!(
        error_text(eval(&mut client, script, &["s"], &[])),
        "ERR XREAD command is not allowed with BLOCK option from scripts"
    );
    // What a script did to a stream is gone with its failure.
    let before = line(&mut client, "XINFO STREAM s FULL");
    let script = "redis.call('XADD', KEYS[1], '*', 'f', 'v')
      redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>')
      redis.call('XDEL', KEYS[1], '1-1')
      redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
      redis.call('XGROUP', 'DESTROY', KEYS[1], 'g')
      error('on purpose')";
    assert!(matches!(
        eval(&mut client, script, &["s"], &[]),
        Reply::Error(_)
    ));
    assert_eq!(line(&mut client, "XINFO STREAM s FULL"), before);
    // The ids of a script are of its one moment.
    let script = "local a = redis.call('XADD', KEYS[1], '*', 'f', 'v')
      local b = redis.call('XADD', KEYS[1], '*', 'f', 'v')
      return a:match('^%d+') == b:match('^%d+')";
    assert_eq!(eval(&mut client, script, &["t"], &[]), Reply::Integer(1));
}

#[test]
fn a_stream_outlives_a_crash() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    line(&mut client, "XGROUP CREATE s g 0 MKSTREAM");
    line(&mut client, "XGROUP CREATE s gone 0");
    for n in 1..=350 {
        line(
            &mut client,
            &format!("XADD s {n}-* field value:{n} other {n}"),
        );
    }
    for request in [
        "XREADGROUP GROUP g alice COUNT 20 STREAMS s >",
        "XREADGROUP GROUP g bob COUNT 20 STREAMS s >",
        "XREADGROUP GROUP gone bob COUNT 20 STREAMS s >",
        "XACK s g 1-0 2-0 25-0",
        "XCLAIM s g carol 0 3-0 30-0",
        "XGROUP DELCONSUMER s g bob",
        "XGROUP DESTROY s gone",
        "XDEL s 5-0 100-0 350-0",
        "XTRIM s MINID 3",
        "XADD empty 5-5 f v",
        "XTRIM empty MAXLEN 0",
        "XADD back 9-9 f v",
        "XDEL back 9-9",
        "XSETID back 4-4 ENTRIESADDED 2",
        "XADD back 5-5 f v",
    ] {
        let reply = line(&mut client, request);
        assert!(!matches!(reply, Reply::Error(_)), "{request}: {reply:?}");
    }
    let requests = ["s", "empty", "back"].map(|key| format!("XINFO STREAM {key} FULL COUNT 0"));
    let without_nodes = |reply: Reply| match reply {
        Reply::Array(mut items) => {
            // What was deleted takes no room any more in a stream that was read back.
            items.drain(2..6);
            items
        }
        other => panic!("{other:?}"),
    };
    let tell = |client: &mut Client| requests.clone().map(|r| without_nodes(line(client, &r)));
    let before = tell(&mut client);
    server.kill9();
    server.restart();
    let mut client = server.client();
    assert_eq!(tell(&mut client), before);
    let error = line(&mut client, "XADD empty 5-5 f v");
    assert!(error_text(error).contains("equal or smaller"));
}

/// What one server dumps the other restores, with groups and all.
#[test]
fn dumps_cross_to_redis_and_back() {
    let (server, redis) = (Server::start(&[]), RedisServer::start());
    for ours_first in [true, false] {
        let (mut from, mut to) = (server.client(), redis.client());
        if !ours_first {
            std::mem::swap(&mut from, &mut to);
        }
        line(&mut from, "FLUSHALL");
        line(&mut to, "FLUSHALL");
        for n in 1..=250 {
            line(&mut from, &format!("XADD s {n}-{} field value:{n}", n % 3));
        }
        for request in [
            "XDEL s 5-2 7-1 249-0",
            "XGROUP CREATE s group 0",
            "XGROUP CREATE s other 100",
            "XREADGROUP GROUP group alice COUNT 30 STREAMS s >",
            "XREADGROUP GROUP group 12345 COUNT 3 STREAMS s >",
            "XREADGROUP GROUP group alice COUNT 5 STREAMS s 0",
        ] {
            line(&mut from, request);
        }
        let Reply::Bulk(dump) = line(&mut from, "DUMP s") else {
            panic!("a dump");
        };
        let restored = to.call(&[b"RESTORE".as_slice(), b"s", b"0", &dump]);
        assert_eq!(restored.reply, ok());
        for request in [
            "XINFO STREAM s FULL COUNT 0",
            "XRANGE s - +",
            "XPENDING s group",
        ] {
            let request: Vec<&str> = request.split(' ').collect();
            let (a, b) = (from.call(&request), to.call(&request));
            assert!(Compare::Times.agree(&a, &b), "{a}\n{b}");
        }
    }
}

#[test]
fn keys_are_found_behind_their_word() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for (request, keys) in [
        ("XREAD COUNT 5 STREAMS a b 0 $", &["a", "b"][..]),
        ("XREAD STREAMS streams 0", &["streams"]),
        ("XREADGROUP GROUP streams streams STREAMS a >", &["a"]),
        (
            "XREADGROUP GROUP g c BLOCK 0 NOACK streams a b c > > >",
            &["a", "b", "c"],
        ),
        ("XGROUP CREATE a g $", &["a"]),
        ("XINFO STREAM a", &["a"]),
    ] {
        let found = line(&mut client, &format!("COMMAND GETKEYS {request}"));
        let expected = keys.iter().map(|key| bulk(*key)).collect();
        assert_eq!(found, Reply::Array(expected), "{request}");
    }
}

#[test]
fn memory_is_told() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut bytes_after = |entries: std::ops::RangeInclusive<usize>| {
        for n in entries {
            line(&mut client, &format!("XADD s {n}-1 f v"));
        }
        match line(&mut client, "MEMORY USAGE s") {
            Reply::Integer(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    };
    let (one, many) = (bytes_after(1..=1), bytes_after(2..=1000));
    assert!((5000..30_000).contains(&(many - one)), "{one} {many}");
}
