//! What the comparison with redis-server cannot see: rollbacks, several shards, counts after clients have left.

use super::Kind;
use crate::engine::testing::{Party, words};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

impl Party {
    /// A request of words that are parted by blanks; what its client reads.
    fn line(&mut self, who: usize, line: &str) -> String {
        self.run(who, &words(line));
        self.text(who)
    }

    fn text(&mut self, who: usize) -> String {
        String::from_utf8_lossy(&self.hear(who)).replace("\r\n", " ")
    }

    fn eval(&mut self, who: usize, script: &str, keys: &[&str]) -> String {
        let count = keys.len().to_string();
        let mut request = vec![&b"EVAL"[..], script.as_bytes(), count.as_bytes()];
        request.extend(keys.iter().map(|key| key.as_bytes()));
        self.run(who, &request);
        self.text(who)
    }
}

#[test]
fn what_is_rolled_back_is_not_told() {
    for shards in [1, 2] {
        let mut party = Party::of(shards, 1);
        party.line(A, "CONFIG SET notify-keyspace-events KEA");
        party.line(B, "PSUBSCRIBE *");
        let failing =
            "redis.call('SET', KEYS[1], 'x') redis.call('PUBLISH', 'one', 'x') error('over')";
        assert!(party.eval(A, failing, &["key"]).starts_with('-'));
        assert_eq!(party.text(B), "");
        // A command that fails inside a script takes back its own doing alone.
        let caught = "redis.call('PUBLISH', 'one', 'first') redis.pcall('INCR', KEYS[1]) \
                      redis.call('PUBLISH', 'one', 'second') return 1";
        party.line(A, "SET key text");
        party.text(B);
        assert_eq!(party.eval(A, caught, &["key"]), ":1 ");
        let heard = party.text(B);
        let (first, second) = (heard.find("first"), heard.find("second"));
        assert!(first.is_some() && first < second, "{heard}");
        assert!(!heard.contains("incrby"), "{heard}");
        // In a transaction a script that fails takes back its own messages, and no others.
        party.line(A, "MULTI");
        party.line(A, "PUBLISH one before");
        party.eval(A, failing, &["key"]);
        party.line(A, "PUBLISH one after");
        party.line(A, "EXEC");
        let heard = party.text(B);
        let messages = heard.matches("pmessage").count();
        assert_eq!(messages, 2, "{heard}");
        assert!(heard.find("before") < heard.find("after"), "{heard}");
    }
}

#[test]
fn a_script_that_starts_again_publishes_once() {
    let mut party = Party::of(1, 1);
    party.line(B, "SUBSCRIBE one");
    // A script without KEYS publishes before it has any lock.
    let script = "redis.call('PUBLISH', 'one', 'x') redis.call('SET', 'a', 1) return 'done'";
    assert_eq!(party.eval(A, script, &[]), "$4 done ");
    assert_eq!(party.text(B).matches("message").count(), 1);
}

#[test]
fn messages_of_one_publisher_keep_their_order_across_shards() {
    let mut party = Party::of(3, 1);
    party.line(B, "SUBSCRIBE one");
    party.line(C, "HELLO 3");
    party.line(C, "PSUBSCRIBE o*");
    for n in 0..100 {
        assert_eq!(party.line(A, &format!("PUBLISH one {n}")), ":2 ");
    }
    for (who, last) in [(B, 3), (C, 4)] {
        let heard = party.text(who);
        let words: Vec<&str> = heard.split_ascii_whitespace().collect();
        let numbers = words.chunks(1 + 2 * last).map(|frame| frame[2 * last]);
        let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert!(numbers.eq(expected.iter().map(String::as_str)), "{heard}");
    }
}

#[test]
fn nothing_is_left_of_clients_that_leave() {
    let mut party = Party::of(2, 1);
    for who in [A, B] {
        party.line(who, "SUBSCRIBE one two");
        party.line(who, "PSUBSCRIBE o*");
        party.line(who, "SSUBSCRIBE one");
    }
    let shared = party.server.shared;
    assert_eq!(party.line(C, "PUBLISH one x"), ":4 ");
    party.close(A);
    assert_eq!(party.line(C, "PUBLISH one x"), ":2 ");
    assert_eq!(party.line(C, "SPUBLISH one x"), ":1 ");
    assert_eq!(shared.observer.totals().pubsub_clients, 1);
    party.close(B);
    for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
        assert_eq!(shared.channels.len(kind), 0);
    }
    assert!(shared.channels.is_empty());
    assert_eq!(shared.observer.totals().pubsub_clients, 0);
    assert_eq!(party.line(C, "PUBLISH one x"), ":0 ");
}

#[test]
fn client_list_and_info_show_subscribers() {
    let mut party = Party::of(2, 1);
    party.line(A, "SUBSCRIBE one two");
    party.line(A, "PSUBSCRIBE o*");
    party.line(B, "HELLO 3");
    party.line(B, "SSUBSCRIBE one two three");
    let list = party.line(C, "CLIENT LIST TYPE pubsub");
    assert!(
        list.contains(" flags=P db=0 sub=2 psub=1 ssub=0 "),
        "{list}"
    );
    assert!(
        list.contains(" flags=P db=0 sub=0 psub=0 ssub=3 "),
        "{list}"
    );
    let normal = party.line(C, "CLIENT LIST TYPE normal");
    assert_eq!(normal.matches("sub=0 psub=0 ssub=0").count(), 1, "{normal}");
    let info = party.line(C, "INFO");
    for field in [
        "pubsub_clients:2",
        "pubsub_channels:2",
        "pubsub_patterns:1",
        "pubsubshard_channels:3",
    ] {
        assert!(info.contains(field), "{field} in {info}");
    }
    party.line(A, "UNSUBSCRIBE one");
    let list = party.line(C, "CLIENT LIST TYPE pubsub");
    assert!(list.contains(" sub=1 psub=1 ssub=0 "), "{list}");
}

#[test]
fn keys_that_expire_by_themselves_are_told_of() {
    let mut party = Party::of(2, 1);
    party.line(A, "CONFIG SET notify-keyspace-events Ex");
    party.line(B, "SUBSCRIBE __keyevent@0__:expired");
    party.text(B);
    party.line(A, "SET key x PX 1");
    std::thread::sleep(std::time::Duration::from_millis(5));
    let mut heard = String::new();
    while heard.is_empty() {
        for shard in 0..2 {
            party.server.workers[shard].tick();
            party.settle(shard);
        }
        heard = party.text(B);
    }
    assert_eq!(heard, "*3 $7 message $22 __keyevent@0__:expired $3 key ");
}

#[test]
fn the_bits_of_event_classes_are_those_of_the_option() {
    use crate::config::events;
    use crate::keyspace::Notify;
    let pairs = [
        (Notify::KEYSPACE, events::KEYSPACE),
        (Notify::KEYEVENT, events::KEYEVENT),
        (Notify::GENERIC, events::GENERIC),
        (Notify::STRING, events::STRING),
        (Notify::LIST, events::LIST),
        (Notify::SET, events::SET),
        (Notify::HASH, events::HASH),
        (Notify::ZSET, events::ZSET),
        (Notify::EXPIRED, events::EXPIRED),
        (Notify::EVICTED, events::EVICTED),
        (Notify::STREAM, events::STREAM),
        (Notify::KEY_MISS, events::KEY_MISS),
        (Notify::NEW, events::NEW),
    ];
    for (class, bit) in pairs {
        assert_eq!(i64::from(class.bits()), bit, "{class:?}");
    }
}
