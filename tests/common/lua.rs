//! Random Lua values as source text, and random data in the formats that script libraries read, right and damaged.

use super::rng::Rng;
use std::fmt::Write;

/// A string as Lua source, whatever its bytes are.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for byte in bytes {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(*byte));
        } else {
            write!(text, "\\{byte:03}").expect("a string grows");
        }
    }
    text.push('\'');
    text
}

/// Up to `max` bytes, among them more of those that have a meaning somewhere.
pub fn bytes(random: &mut Rng, max: usize) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\x01\x1f\x7f\x80\xff\"\\/\n\t\r\x08\x0c \xc3\xa9abc%'[{";
    (0..random.below(max + 1))
        .map(|_| match random.below(3) {
            0 => random.next() as u8,
            1 => random.between(0x20, 0x7f) as u8,
            _ => TELLING[random.below(TELLING.len())],
        })
        .collect()
}

/// A number that reads as the same double in every version of Lua. Not -0: Lua 5.1 takes it for the 0 of the same script.
pub fn number(random: &mut Rng) -> String {
    const EDGES: [&str; 33] = [
        "0",
        "1",
        "-1",
        "127",
        "128",
        "255",
        "256",
        "-32",
        "-33",
        "-128",
        "-129",
        "32767",
        "-32769",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "4294967295",
        "4294967296",
        "9007199254740992",
        "9007199254740993",
        "99999999999999",
        "1e14",
        "1e15",
        "-1e15",
        "9223372036854775808.0",
        "-9223372036854775808.0",
        "1e100",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
    ];
    match random.below(6) {
        0 => random.between(-10, 300).to_string(),
        1 => (random.next() as i64 >> random.below(60)).to_string(),
        2 => format!("{:?}", random.between(-100_000, 100_000) as f64 / 64.0),
        3 => {
            let value = f64::from_bits(random.next());
            if value.is_finite() {
                format!("{value:e}")
            } else {
                "0.5".into()
            }
        }
        _ => random.pick(&EDGES).to_string(),
    }
}

/// What keys the tables may have. Lua has no order of keys that two versions of it share.
#[derive(Clone, Copy, PartialEq)]
pub enum Keys {
    /// No table has more than one key besides those of a list; values may be such that no format has them.
    One,
    /// Strings, any number of them; every value can be written.
    Many,
}

/// A value of up to so many levels.
pub fn value(random: &mut Rng, keys: Keys, depth: usize) -> String {
    if depth == 0 || random.one_in(3) {
        return scalar(random, keys);
    }
    let items = random.below(5);
    let mut text = String::from("{");
    match random.below(3) {
        0 => {
            for _ in 0..items {
                let item = if keys == Keys::One && random.one_in(8) {
                    "nil".into()
                } else {
                    value(random, keys, depth - 1)
                };
                write!(text, "{item},").expect("a string grows");
            }
        }
        1 if keys == Keys::Many => {
            for _ in 0..items {
                let key = quote(&bytes(random, 4));
                write!(text, "[{key}]={},", value(random, keys, depth - 1))
                    .expect("a string grows");
            }
        }
        _ => {
            let key = match (keys, random.below(10)) {
                (Keys::One, 0) => "true".into(),
                (Keys::One, 1) => "-3".into(),
                (Keys::One, 2) => "1e10".into(),
                (Keys::One, 3) => "2.5".into(),
                (Keys::One, 4) => random.between(1, 30).to_string(),
                (Keys::One, 5) => "1/0".into(),
                _ => quote(&bytes(random, 6)),
            };
            write!(text, "[{key}]={},", value(random, keys, depth - 1)).expect("a string grows");
        }
    }
    text.push('}');
    text
}

fn scalar(random: &mut Rng, keys: Keys) -> String {
    match random.below(12) {
        0 => "true".into(),
        1 => "false".into(),
        2 => "cjson.null".into(),
        3 if keys == Keys::One => random.pick(&["1/0", "-1/0", "0/0", "tostring"]).to_string(),
        4..8 => number(random),
        8 => quote(&vec![b'x'; random.below(400)]),
        _ => quote(&bytes(random, 12)),
    }
}

/// JSON, of which every other one is damaged.
pub fn json(random: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    json_value(random, 4, &mut text);
    if random.one_in(2) {
        const PIECES: [&str; 31] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u",
            "\\ud83d",
            "\\ude00",
            "\\u00e9",
            "nul",
            "true",
            "-",
            "+1",
            "0x1F",
            "-0x1p3",
            "inf",
            "-Infinity",
            "nan",
            "NaN",
            "01",
            "1.",
            ".5",
            "1e",
            "1e5",
            "\0",
            " ",
            "\\x",
            "/",
        ];
        for _ in 0..=random.below(2) {
            let piece = random.pick(&PIECES).as_bytes();
            damage(random, &mut text, piece);
        }
    }
    text
}

fn json_value(random: &mut Rng, depth: usize, text: &mut Vec<u8>) {
    const SPACE: [&str; 6] = ["", "", "", " ", "\n\t", "\r "];
    text.extend_from_slice(random.pick(&SPACE).as_bytes());
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => text.extend_from_slice(random.pick(&["true", "false", "null"]).as_bytes()),
        1 | 2 => {
            let number = if random.one_in(10) {
                "-0".into()
            } else {
                number(random)
            };
            text.extend_from_slice(number.as_bytes());
        }
        3 | 4 => json_string(random, text),
        kind => {
            let (open, close) = if kind == 5 {
                (b'{', b'}')
            } else {
                (b'[', b']')
            };
            text.push(open);
            for index in 0..random.below(4) {
                if index > 0 {
                    text.push(b',');
                }
                if kind == 5 {
                    json_string(random, text);
                    text.push(b':');
                }
                json_value(random, depth - 1, text);
            }
            text.push(close);
        }
    }
    text.extend_from_slice(random.pick(&SPACE).as_bytes());
}

fn json_string(random: &mut Rng, text: &mut Vec<u8>) {
    const ESCAPES: [&str; 13] = [
        "\\n",
        "\\t",
        "\\\"",
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\r",
        "\\u0000",
        "\\u00E9",
        "\\u20ac",
        "\\ud83d\\ude00",
        "\\uffff",
    ];
    text.push(b'"');
    for byte in bytes(random, 8) {
        match byte {
            b'"' | b'\\' | 0 => text.extend_from_slice(random.pick(&ESCAPES).as_bytes()),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

/// Changes one place: a piece more, some bytes less, or another byte.
fn damage(random: &mut Rng, data: &mut Vec<u8>, piece: &[u8]) {
    let at = random.below(data.len() + 1);
    match random.below(4) {
        0 => data.truncate(at),
        1 => drop(data.splice(at..at, piece.iter().copied())),
        2 if at < data.len() => drop(data.remove(at)),
        _ if at < data.len() => data[at] = random.next() as u8,
        _ => data.extend_from_slice(piece),
    }
}

/// `MessagePack`, of which every other one is damaged.
pub fn message_pack(random: &mut Rng) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..random.below(4) {
        message_pack_value(random, 3, &mut data);
    }
    if random.one_in(2) {
        const PIECES: [&[u8]; 9] = [
            b"\xc1",
            b"\xc4",
            b"\xd4",
            b"\xdb\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\x81\xc0",
            b"\x81\xcb\x7f\xf8\0\0\0\0\0\0",
            b"\xc7",
        ];
        let piece = PIECES[random.below(PIECES.len())];
        damage(random, &mut data, piece);
    }
    data
}

fn message_pack_value(random: &mut Rng, depth: usize, data: &mut Vec<u8>) {
    // A marker, and how many bytes of any kind are behind it.
    const FIXED: [(u8, usize); 15] = [
        (0xc0, 0),
        (0xc2, 0),
        (0xc3, 0),
        (0xca, 4),
        (0xcb, 8),
        (0xcc, 1),
        (0xcd, 2),
        (0xce, 4),
        (0xcf, 8),
        (0xd0, 1),
        (0xd1, 2),
        (0xd2, 4),
        (0xd3, 8),
        (0x7f, 0),
        (0xe0, 0),
    ];
    match random.below(if depth == 0 { 2 } else { 4 }) {
        0 => {
            let (marker, len) = FIXED[random.below(FIXED.len())];
            data.push(marker);
            data.extend((0..len).map(|_| random.next() as u8));
        }
        1 => {
            let text = bytes(random, 40);
            let len = text.len() as u8;
            match random.below(4) {
                0 if len < 32 => data.push(0xa0 | len),
                1 => data.extend([0xda, 0, len]),
                2 => data.extend([0xdb, 0, 0, 0, len]),
                _ => data.extend([0xd9, len]),
            }
            data.extend(text);
        }
        kind => {
            let len = random.below(4) as u8;
            let (fix, in_16, in_32) = if kind == 2 {
                (0x90, 0xdc, 0xdd)
            } else {
                (0x80, 0xde, 0xdf)
            };
            match random.below(3) {
                0 => data.push(fix | len),
                1 => data.extend([in_16, 0, len]),
                _ => data.extend([in_32, 0, 0, 0, len]),
            }
            for _ in 0..len {
                if kind == 3 {
                    // A key that Lua takes, mostly.
                    data.push(if random.one_in(10) {
                        0xc0
                    } else {
                        random.below(0x7f) as u8
                    });
                }
                message_pack_value(random, depth - 1, data);
            }
        }
    }
}

/// A format of `struct`, sometimes with what is none.
pub fn format(random: &mut Rng) -> String {
    const ODD: [&str; 12] = [
        "z",
        "?",
        "i33",
        "i99999999999",
        "!3",
        "!0",
        "c0",
        "5",
        "c9999",
        "x x",
        "!",
        "\0b",
    ];
    let mut format = String::new();
    for _ in 0..random.below(6) {
        let option = match random.below(9) {
            0 => random
                .pick(&[">", "<", "!1", "!2", "!4", "!8", "!16", " "])
                .to_string(),
            1 => format!("{}{}", random.pick(&["i", "I"]), random.below(33)),
            2 => format!("c{}", random.between(1, 6)),
            3 if random.one_in(3) => random.pick(&ODD).to_string(),
            4 => "s".into(),
            5 => "bc0".into(),
            _ => random
                .pick(&[
                    "b", "B", "h", "H", "l", "L", "i", "I", "T", "f", "d", "x", "c",
                ])
                .to_string(),
        };
        format.push_str(&option);
    }
    format
}
