//! What the comparison with redis-server cannot see: limits, several shards, races between reads and writes.

use crate::engine::testing::{Party, words};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// A request of words that are parted by blanks; what its client reads.
fn ask(party: &mut Party, who: usize, line: &str) -> String {
    party.run(who, &words(line));
    heard(party, who)
}

fn heard(party: &mut Party, who: usize) -> String {
    String::from_utf8_lossy(&party.hear(who)).replace("\r\n", " ")
}

fn void(key: &str) -> String {
    format!(">2 $10 invalidate *1 ${} {key} ", key.len())
}

#[test]
fn a_table_that_is_full_gives_up_keys() {
    const KEYS_MAX: usize = 10;
    for shards in [1, 3] {
        let mut party = Party::of(shards, 1);
        ask(&mut party, A, "HELLO 3");
        ask(&mut party, A, "CLIENT TRACKING ON");
        let limit = format!("CONFIG SET tracking-table-max-keys {KEYS_MAX}");
        ask(&mut party, A, &limit);
        let mut voided = 0;
        for n in 0..100 {
            let reply = ask(&mut party, A, &format!("GET key:{n}"));
            voided += reply.matches("invalidate").count();
            assert!(party.server.shared.tracking.key_count() <= KEYS_MAX);
        }
        assert_eq!(voided, 100 - KEYS_MAX);
        // What is left is void once the limit is lowered.
        ask(&mut party, B, "CONFIG SET tracking-table-max-keys 1");
        party.server.workers[0].tick();
        party.settle(0);
        assert_eq!(
            heard(&mut party, A).matches("invalidate").count(),
            KEYS_MAX - 1
        );
        assert_eq!(party.server.shared.tracking.key_count(), 1);
    }
}

#[test]
fn nothing_is_left_once_nobody_tracks() {
    let mut party = Party::of(2, 1);
    let shared = party.server.shared;
    for who in [A, B] {
        ask(&mut party, who, "HELLO 3");
        ask(&mut party, who, "CLIENT TRACKING ON");
        ask(&mut party, who, "MGET one two");
    }
    ask(&mut party, C, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
    let info = ask(&mut party, C, "INFO");
    for field in [
        "tracking_clients:3",
        "tracking_total_keys:2",
        "tracking_total_items:4",
        "tracking_total_prefixes:2",
    ] {
        assert!(info.contains(field), "{field} in {info}");
    }
    let list = ask(&mut party, C, "CLIENT LIST");
    assert_eq!(list.matches(" flags=t ").count(), 2, "{list}");
    assert_eq!(list.matches(" flags=tB ").count(), 1, "{list}");
    assert_eq!(list.matches(" redir=0 ").count(), 3, "{list}");
    assert!(shared.keyspace.is_tracked());
    party.close(A);
    ask(&mut party, B, "RESET");
    assert!(shared.keyspace.is_tracked());
    ask(&mut party, C, "CLIENT TRACKING OFF");
    assert!(!shared.keyspace.is_tracked());
    let tracking = &shared.tracking;
    assert_eq!(tracking.client_count(), 0);
    assert_eq!(tracking.key_count(), 0);
    assert_eq!(tracking.item_count(), 0);
    assert_eq!(tracking.prefix_count(), 0);
}

#[test]
fn a_key_that_many_track_is_void_for_all_of_them() {
    use super::{Tracker, Tracking};
    use crate::engine::outbox::Outbox;
    let party = Party::of(2, 1);
    let shared = party.server.shared;
    let tracking = Tracking::default();
    let mut outbox = Outbox::new(shared, 0);
    let trackers = (1..=100).map(|id| Tracker::new(id, 1, id));
    for tracker in trackers {
        tracking.remember(tracker, b"key", 0, &mut outbox);
        tracking.remember(tracker, b"key", 0, &mut outbox);
    }
    assert_eq!(tracking.item_count(), 100);
    tracking.changed(b"key", &mut outbox);
    assert_eq!((tracking.key_count(), tracking.item_count()), (0, 0));
    let Some(crate::engine::Message::Deliver(crate::engine::Delivery::Invalidate(void))) =
        party.server.message(1)
    else {
        panic!("one message for the shard of them all");
    };
    let ids: Vec<u64> = void.to.iter().map(|tracker| tracker.client).collect();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    assert!(party.server.message(1).is_none());
}

#[test]
fn a_change_that_is_rolled_back_voids_nothing() {
    let mut party = Party::of(2, 1);
    ask(&mut party, A, "HELLO 3");
    ask(&mut party, A, "CLIENT TRACKING ON");
    ask(&mut party, A, "GET key");
    let request: [&[u8]; 4] = [
        b"EVAL",
        b"redis.call('SET', KEYS[1], 'x') error('over')",
        b"1",
        b"key",
    ];
    party.run(B, &request);
    assert_eq!(heard(&mut party, A), "");
    ask(&mut party, B, "SET key x");
    assert_eq!(heard(&mut party, A), void("key"));
}

#[test]
fn keys_that_expire_by_themselves_are_void() {
    let mut party = Party::of(2, 1);
    ask(&mut party, A, "HELLO 3");
    ask(&mut party, A, "CLIENT TRACKING ON NOLOOP");
    ask(&mut party, A, "SET key x PX 2");
    ask(&mut party, A, "GET key");
    std::thread::sleep(std::time::Duration::from_millis(5));
    let mut reply = String::new();
    while reply.is_empty() {
        for shard in 0..2 {
            party.server.workers[shard].tick();
            party.settle(shard);
        }
        reply = heard(&mut party, A);
    }
    assert_eq!(reply, void("key"));
}

/// What a read that had to wait for a lock returns is tracked, though the wait ends with a change of the key.
#[test]
fn a_read_that_waited_is_tracked() {
    let mut party = Party::of(2, 1);
    ask(&mut party, A, "HELLO 3");
    ask(&mut party, A, "CLIENT TRACKING ON");
    // A script that is slow holds the key and waits for its next turn.
    let script = "redis.call('SET', KEYS[1], 'mid') local n = 0 \
                  for i = 1, 20000000 do n = n + i end redis.call('SET', KEYS[1], 'end') return 1";
    party.run(B, &[b"EVAL", script.as_bytes(), b"1", b"key"]);
    assert_eq!(heard(&mut party, B), "", "its slice is over, it is not");
    assert_eq!(ask(&mut party, A, "GET key"), "", "the key is locked");
    party.finish(B);
    assert_eq!(heard(&mut party, B), ":1 ");
    assert_eq!(heard(&mut party, A), "$3 end ");
    ask(&mut party, C, "SET key more");
    assert_eq!(heard(&mut party, A), void("key"));
}
