//! The classes of keyspace events, as `notify-keyspace-events` names them.

/// Publish `__keyspace@<db>__:<key>`.
pub const KEYSPACE: i64 = 1 << 0;
/// Publish `__keyevent@<db>__:<event>`.
pub const KEYEVENT: i64 = 1 << 1;
pub const GENERIC: i64 = 1 << 2;
pub const STRING: i64 = 1 << 3;
pub const LIST: i64 = 1 << 4;
pub const SET: i64 = 1 << 5;
pub const HASH: i64 = 1 << 6;
pub const ZSET: i64 = 1 << 7;
pub const EXPIRED: i64 = 1 << 8;
pub const EVICTED: i64 = 1 << 9;
pub const STREAM: i64 = 1 << 10;
pub const MODULE: i64 = 1 << 11;
pub const KEY_MISS: i64 = 1 << 12;
pub const NEW: i64 = 1 << 13;
/// What `A` stands for. Misses and new keys are too frequent to come along unasked.
pub const ALL: i64 =
    GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;

const ERROR: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

/// Letters of single classes, in the order in which Redis prints them; those that `A` covers come first.
const LETTERS: [(char, i64); 11] = [
    ('g', GENERIC),
    ('$', STRING),
    ('l', LIST),
    ('s', SET),
    ('h', HASH),
    ('z', ZSET),
    ('x', EXPIRED),
    ('e', EVICTED),
    ('t', STREAM),
    ('d', MODULE),
    ('n', NEW),
];
const TARGETS: [(char, i64); 3] = [('K', KEYSPACE), ('E', KEYEVENT), ('m', KEY_MISS)];

pub(super) fn parse(raw: &str) -> Result<i64, String> {
    raw.chars().try_fold(0, |flags, letter| {
        if letter == 'A' {
            return Ok(flags | ALL);
        }
        let known = LETTERS
            .iter()
            .chain(&TARGETS)
            .find(|(known, _)| *known == letter);
        known
            .map(|(_, flag)| flags | flag)
            .ok_or_else(|| ERROR.to_owned())
    })
}

pub(super) fn format(flags: i64) -> String {
    let mut text = String::new();
    let all = flags & ALL == ALL;
    if all {
        text.push('A');
    }
    for (letter, flag) in LETTERS {
        if flags & flag != 0 && !(all && ALL & flag != 0) {
            text.push(letter);
        }
    }
    text.extend(
        TARGETS
            .iter()
            .filter(|(_, flag)| flags & flag != 0)
            .map(|(letter, _)| letter),
    );
    text
}
