//! Changes to scripts that keep most of them scripts: words are moved, exchanged, doubled, wrapped.

use fastrand::Rng;
use std::sync::LazyLock;

/// The words of Lua and of our libraries, from the dictionary that libFuzzer reads too.
static WORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lines = include_str!("../../eval.dict").lines();
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted
        .map(|word| {
            word.replace("\\\"", "\"")
                .replace("\\\\", "\\")
                .into_bytes()
        })
        .collect()
});

/// What a piece of a script can be put into.
const WRAPPINGS: [(&[u8], &[u8]); 12] = [
    (b" pcall(function() ", b" end) "),
    (b" coroutine.wrap(function() ", b" end)() "),
    (b" for i = 1, 3 do ", b" end "),
    (b" while true do ", b" end "),
    (b" load([==[ ", b" ]==])() "),
    (b" (", b") "),
    (b" {", b"} "),
    (b" tostring(", b") "),
    (b" setmetatable({}, {__index = function(...) ", b" end}) "),
    (b" xpcall(function() ", b" end, function(e) return e end) "),
    (b" table.sort({3, 1, 2}, function(a, b) ", b" end) "),
    (b" (('abc'):gsub('.', function(c) ", b" end)) "),
];

pub fn mutate(data: &[u8], rng: &mut Rng) -> Vec<u8> {
    let (how, body) = data.split_at(data.len().min(1));
    let mut words = split(body);
    for _ in 0..rng.usize(1..4) {
        change(&mut words, rng);
    }
    let mut how = how.to_vec();
    if rng.u8(..8) == 0 {
        how = vec![rng.u8(..)];
    }
    how.extend(words.concat());
    how
}

fn change<'a>(words: &mut Vec<&'a [u8]>, rng: &mut Rng) {
    let start = rng.usize(..=words.len());
    let end = words.len().min(start + rng.usize(1..8));
    let word: &[u8] = &WORDS[rng.usize(..WORDS.len())];
    match rng.u8(..7) {
        0 => drop(words.drain(start..end)),
        1 => {
            let piece = words[start..end].to_vec();
            let to = rng.usize(..=words.len());
            words.splice(to..to, piece);
        }
        2 if end > start => {
            let other = rng.usize(..words.len());
            words.swap(start, other);
        }
        3 if end > start => words[start] = word,
        4 => {
            let (head, tail) = WRAPPINGS[rng.usize(..WRAPPINGS.len())];
            words.insert(end, tail);
            words.insert(start, head);
        }
        5 => words.insert(start, b" "),
        _ => words.insert(start, word),
    }
}

/// Names and numbers, blanks, strings, and single bytes of the rest.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let run = |is_part: &dyn Fn(&u8) -> bool| {
            rest.iter()
                .position(|byte| !is_part(byte))
                .unwrap_or(rest.len())
        };
        let len = match first {
            b' ' | b'\n' => run(&|byte| byte.is_ascii_whitespace()),
            b'\'' | b'"' => rest[1..]
                .iter()
                .position(|byte| *byte == first)
                .map_or(1, |at| at + 2),
            _ if is_name(&first) => run(&is_name),
            _ => 1,
        };
        let (word, behind) = rest.split_at(len);
        words.push(word);
        rest = behind;
    }
    words
}
