//! Fields that end, as the public pages of the commands tell it: redis-server 7.0 has none of them.

use super::testing::Harness;

const NOW_MS: i64 = 1_700_000_000_000;

/// Runs lines at times after the start, each with what it has to answer (`;` stands for the end of a line). Returns the
/// names of the events.
fn check(harness: &mut Harness, lines: &[(i64, &str, &str)]) -> Vec<String> {
    let mut events = Vec::new();
    for (after_ms, line, expected) in lines {
        let answer = harness.line_at(line, NOW_MS + after_ms);
        let answer = answer.trim_end().replace("\r\n", ";");
        assert_eq!(&answer, expected, "{line} after {after_ms} ms");
        events.extend(harness.events.drain(..).map(|(_, name)| name));
    }
    harness.check_mirror_at(NOW_MS);
    events.retain(|name| name != "keymiss");
    events
}

#[test]
fn times_are_set_and_told() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2", ":2"),
        (0, "OBJECT ENCODING h", "$8;listpack"),
        (0, "HTTL h FIELDS 2 a none", "*2;:-1;:-2"),
        (0, "HEXPIRE h 10 FIELDS 2 a none", "*2;:1;:-2"),
        (0, "OBJECT ENCODING h", "$10;listpackex"),
        (1, "HTTL h FIELDS 1 a", "*1;:10"),
        (1, "HPTTL h FIELDS 2 a b", "*2;:9999;:-1"),
        (1, "HEXPIRETIME h FIELDS 1 a", "*1;:1700000010"),
        (1, "HPEXPIRETIME h FIELDS 1 a", "*1;:1700000010000"),
        (1, "HPEXPIRE h 5 FIELDS 1 b", "*1;:1"),
        (1, "HPEXPIRETIME h FIELDS 1 b", "*1;:1700000000006"),
        (1, "HEXPIREAT h 1700000020 FIELDS 1 b", "*1;:1"),
        (1, "HPEXPIREAT h 1700000020001 FIELDS 1 b", "*1;:1"),
        (1, "HPTTL h FIELDS 1 b", "*1;:20000"),
        (1, "HPERSIST h FIELDS 3 a a none", "*3;:1;:-1;:-2"),
        (1, "HPERSIST h FIELDS 1 b", "*1;:1"),
        (1, "OBJECT ENCODING h", "$8;listpack"),
        (1, "HTTL none FIELDS 2 a b", "*2;:-2;:-2"),
        (1, "HEXPIRE none 10 FIELDS 2 a b", "*2;:-2;:-2"),
        (1, "HPERSIST none FIELDS 1 a", "*1;:-2"),
        (1, "EXISTS none", ":0"),
    ];
    check(&mut ours, &lines);
}

#[test]
fn conditions_are_about_each_field() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2", ":2"),
        (0, "HEXPIRE h 10 XX FIELDS 1 a", "*1;:0"),
        (0, "HEXPIRE h 10 gt FIELDS 1 a", "*1;:0"),
        (0, "HEXPIRE h 10 NX FIELDS 1 a", "*1;:1"),
        (0, "HEXPIRE h 20 NX FIELDS 2 a b", "*2;:0;:1"),
        (0, "HEXPIRE h 10 GT FIELDS 2 a b", "*2;:0;:0"),
        (0, "HEXPIRE h 15 GT FIELDS 2 a b", "*2;:1;:0"),
        (0, "HEXPIRE h 15 LT FIELDS 2 a b", "*2;:0;:1"),
        (0, "HEXPIRE h 30 XX FIELDS 1 b", "*1;:1"),
        (0, "HTTL h FIELDS 2 a b", "*2;:15;:30"),
        (0, "HPERSIST h FIELDS 1 a", "*1;:1"),
        (0, "HEXPIRE h 15 LT FIELDS 1 a", "*1;:1"),
    ];
    check(&mut ours, &lines);
}

#[test]
fn what_is_over_is_removed_at_once() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2", ":2"),
        (0, "HEXPIRE h 0 FIELDS 1 a", "*1;:2"),
        (0, "HKEYS h", "*1;$1;b"),
        (0, "HPEXPIREAT h 1 GT FIELDS 1 b", "*1;:0"),
        (0, "HEXPIREAT h 1 FIELDS 2 b b", "*2;:2;:-2"),
        (0, "EXISTS h", ":0"),
    ];
    let events = check(&mut ours, &lines);
    assert_eq!(events, ["new", "hset", "hdel", "hdel", "del"]);
}

#[test]
fn mistakes_are_told_in_the_order_of_redis() {
    const MISSING: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
    const MISMATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
    const NUM_FIELDS: &str = "-ERR Parameter `numFields` should be greater than 0";
    const NUMBER: &str = "-ERR Number of fields must be a positive integer";
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut ours = Harness::new();
    let lines = [
        (0, "SET s x", "+OK"),
        (0, "HSET h a 1", ":1"),
        (0, "HEXPIRE s x FIELDS 1 a", wrong_type),
        (0, "HTTL s x 1 a", wrong_type),
        (0, "HPERSIST s x 1 a", wrong_type),
        (
            0,
            "HEXPIRE h x FIELDS 1 a",
            "-ERR value is not an integer or out of range",
        ),
        (
            0,
            "HEXPIRE h -1 FIELDS 1 a",
            "-ERR invalid expire time, must be >= 0",
        ),
        (
            0,
            "HEXPIRE h 70368744178 FIELDS 1 a",
            "-ERR invalid expire time in 'hexpire' command",
        ),
        (
            0,
            "HPEXPIREAT h 70368744177664 FIELDS 1 a",
            "-ERR invalid expire time in 'hpexpireat' command",
        ),
        (0, "HPEXPIREAT h 70368744177663 FIELDS 1 a", "*1;:1"),
        (0, "HEXPIRE h 1 FIELD 1 a", MISSING),
        (0, "HEXPIRE h 1 NX XX FIELDS 1 a", MISSING),
        (0, "HEXPIRE h 1 FIELDS 0 a", NUM_FIELDS),
        (0, "HEXPIRE h 1 FIELDS x a", NUM_FIELDS),
        (0, "HEXPIRE h 1 FIELDS 2 a", MISMATCH),
        (0, "HEXPIRE h 1 FIELDS 1 a b", MISMATCH),
        (0, "HEXPIRE h 1 NX FIELDS 1", MISMATCH),
        (0, "HEXPIRE h 1 FIELDS 9223372036854775807 a", MISMATCH),
        (0, "HTTL h FIELD 1 a", MISSING),
        (0, "HTTL h FIELDS 0 a", NUMBER),
        (0, "HPERSIST h FIELDS -1 a", NUMBER),
        (0, "HTTL h FIELDS 2 a", MISMATCH),
        (
            0,
            "HTTL h FIELDS 1",
            "-ERR wrong number of arguments for 'httl' command",
        ),
    ];
    check(&mut ours, &lines);
}

#[test]
fn an_ended_field_is_gone_for_every_command() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2 c 3", ":3"),
        (0, "HPEXPIRE h 100 FIELDS 1 a", "*1;:1"),
        (0, "HPEXPIRE h 200 FIELDS 1 b", "*1;:1"),
        (99, "HLEN h", ":3"),
        (100, "HGET h a", "$-1"),
        (100, "HGETALL h", "*4;$1;b;$1;2;$1;c;$1;3"),
        (200, "HLEN h", ":1"),
        (200, "HINCRBY h b 5", ":5"),
        (200, "HTTL h FIELDS 2 a b", "*2;:-2;:-1"),
        (200, "HPEXPIRE h 100 FIELDS 2 b c", "*2;:1;:1"),
        (299, "EXISTS h", ":1"),
        (299, "KEYS *", "*1;$1;h"),
        (300, "KEYS *", "*0"),
        (300, "RANDOMKEY", "$-1"),
        (300, "SCAN 0", "*2;$1;0;*0"),
        (300, "EXISTS h", ":0"),
        (300, "TYPE h", "+none"),
    ];
    let events = check(&mut ours, &lines);
    let expected = [
        "new", "hset", "hexpire", "hexpire", "hexpired", "hexpired", "hincrby", "hexpire",
        "hexpired", "del",
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_new_value_drops_the_time_and_a_sum_keeps_it() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2 c 3 d 4", ":4"),
        (0, "HPEXPIRE h 100 FIELDS 4 a b c d", "*4;:1;:1;:1;:1"),
        (1, "HSET h a 5", ":0"),
        (1, "HINCRBY h b 1", ":3"),
        (1, "HINCRBYFLOAT h c 0.5", "$3;3.5"),
        (1, "HSETNX h d 1", ":0"),
        (1, "HPTTL h FIELDS 4 a b c d", "*4;:-1;:99;:99;:99"),
        (1, "HDEL h d", ":1"),
        (1, "HSET h d 1", ":1"),
        (1, "HPTTL h FIELDS 1 d", "*1;:-1"),
        (100, "HKEYS h", "*2;$1;a;$1;d"),
        (100, "OBJECT ENCODING h", "$8;listpack"),
    ];
    check(&mut ours, &lines);
}

#[test]
fn times_go_with_their_hash() {
    let mut ours = Harness::new();
    let lines = [
        (0, "HSET h a 1 b 2", ":2"),
        (0, "HPEXPIRE h 100 FIELDS 1 a", "*1;:1"),
        (0, "COPY h copy", ":1"),
        (0, "RENAME h new", "+OK"),
        (0, "MOVE copy 1", ":1"),
        (0, "HPTTL new FIELDS 2 a b", "*2;:100;:-1"),
        (100, "HGETALL new", "*2;$1;b;$1;2"),
    ];
    check(&mut ours, &lines);
    ours.db = 1;
    let lines = [
        (0, "HPTTL copy FIELDS 1 a", "*1;:100"),
        (100, "HLEN copy", ":1"),
    ];
    check(&mut ours, &lines);
}

#[test]
fn times_survive_their_serialization() {
    for fields in [2, 600] {
        let mut ours = Harness::new();
        for n in 0..fields {
            ours.line_at(&format!("HSET h f{n} {n}"), NOW_MS);
        }
        ours.line_at("HPEXPIRE h 100 FIELDS 1 f0", NOW_MS);
        let encoding = ours.line_at("OBJECT ENCODING h", NOW_MS);
        let dump = ours.run_at(&["DUMP", "h"], NOW_MS);
        let start = dump
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a bulk string")
            + 1;
        let dump = &dump[start..dump.len() - 2];
        let restore: [&[u8]; 4] = [b"RESTORE", b"back", b"0", dump];
        assert_eq!(ours.run_at(&restore, NOW_MS), b"+OK\r\n");
        assert_eq!(ours.line_at("OBJECT ENCODING back", NOW_MS), encoding);
        let len = format!(":{}", fields - 1);
        let lines = [
            (0, "HPTTL back FIELDS 2 f0 f1", "*2;:100;:-1"),
            (0, "HGET back f1", "$1;1"),
            (100, "HLEN back", &*len),
        ];
        check(&mut ours, &lines);
    }
}

/// What is rolled back leaves times, order and encoding as they were.
#[test]
fn a_rollback_brings_times_back() {
    let mut ours = Harness::new();
    for line in ["HSET h a 1 b 2 c 3", "HEXPIRE h 1000 FIELDS 2 a b"] {
        ours.line(line);
    }
    for line in [
        "HDEL h a",
        "HSET h a 5",
        "HPERSIST h FIELDS 2 a b",
        "HEXPIRE h 0 FIELDS 3 a b c",
        "HEXPIRE h 2000 FIELDS 3 a b c",
        "HSET h long 0123456789012345678901234567890123456789012345678901234567890123456789",
        "DEL h",
        "RENAME h i",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        ours.run_and_roll_back(&args);
    }
}
