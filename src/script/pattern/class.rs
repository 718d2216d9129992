//! Single items of a pattern: where one ends, and which bytes it matches.

use super::machine::Fault;

/// The index behind the item that begins at `item`, which is inside of the pattern.
#[inline]
pub fn end(pattern: &[u8], item: usize) -> Result<usize, Fault> {
    match pattern[item] {
        b'%' if item + 1 >= pattern.len() => Err(Fault::EndsWithEscape),
        b'%' => Ok(item + 2),
        b'[' => set_end(pattern, item + 1),
        _ => Ok(item + 1),
    }
}

/// The index behind the set whose first byte after the bracket is at `at`. That byte cannot close it.
fn set_end(pattern: &[u8], mut at: usize) -> Result<usize, Fault> {
    if pattern.get(at) == Some(&b'^') {
        at += 1;
    }
    loop {
        let Some(&byte) = pattern.get(at) else {
            return Err(Fault::OpenSet);
        };
        at += 1;
        if byte == b'%' && at < pattern.len() {
            at += 1;
        }
        if pattern.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
    }
}

/// Whether `byte` is matched by the item that begins at `item` and ends before `after`.
#[inline]
pub fn matches(pattern: &[u8], item: usize, after: usize, byte: u8) -> bool {
    match pattern[item] {
        b'.' => true,
        b'%' => in_class(byte, pattern[item + 1]),
        b'[' => in_set(&pattern[item + 1..after - 1], byte),
        literal => literal == byte,
    }
}

/// How many bytes at the beginning of `text` the item matches.
#[inline]
pub fn run_len(pattern: &[u8], item: usize, after: usize, text: &[u8]) -> usize {
    let rest = text.iter();
    let mismatch = match pattern[item] {
        b'.' => None,
        b'%' => {
            let class = pattern[item + 1];
            rest.copied().position(|byte| !in_class(byte, class))
        }
        b'[' => {
            let set = &pattern[item + 1..after - 1];
            rest.copied().position(|byte| !in_set(set, byte))
        }
        literal => rest.copied().position(|byte| byte != literal),
    };
    mismatch.unwrap_or(text.len())
}

/// Whether a set, given without its brackets, has `byte` in it.
pub fn in_set(set: &[u8], byte: u8) -> bool {
    let (mut set, found) = match set {
        [b'^', rest @ ..] => (rest, false),
        _ => (set, true),
    };
    loop {
        set = match set {
            [] => return !found,
            [b'%', class, rest @ ..] => {
                if in_class(byte, *class) {
                    return found;
                }
                rest
            }
            [first, b'-', last, rest @ ..] => {
                if (*first..=*last).contains(&byte) {
                    return found;
                }
                rest
            }
            [literal, rest @ ..] => {
                if *literal == byte {
                    return found;
                }
                rest
            }
        };
    }
}

/// Whether `byte` is in the class of a letter; what is no class stands for itself.
#[inline]
pub fn in_class(byte: u8, letter: u8) -> bool {
    let mask = CLASS_OF_LETTER[usize::from(letter)];
    if mask == 0 {
        return letter == byte;
    }
    (CLASSES_OF_BYTE[usize::from(byte)] & mask != 0) ^ letter.is_ascii_uppercase()
}

const LETTERS: [u8; 11] = *b"acdglpsuwxz";

/// The bit of a class letter's class, in either case; 0: the byte names no class.
static CLASS_OF_LETTER: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < LETTERS.len() {
        table[LETTERS[index] as usize] = 1 << index;
        table[LETTERS[index].to_ascii_uppercase() as usize] = 1 << index;
        index += 1;
    }
    table
};

/// The classes that a byte is in, as C's `isalpha` and so on have it in the locale "C".
static CLASSES_OF_BYTE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let c = byte as u8;
        // The order is that of LETTERS.
        let classes = [
            c.is_ascii_alphabetic(),
            c.is_ascii_control(),
            c.is_ascii_digit(),
            c.is_ascii_graphic(),
            c.is_ascii_lowercase(),
            c.is_ascii_punctuation(),
            matches!(c, b' ' | 9..=13),
            c.is_ascii_uppercase(),
            c.is_ascii_alphanumeric(),
            c.is_ascii_hexdigit(),
            c == 0,
        ];
        let mut index = 0;
        while index < classes.len() {
            table[byte] |= (classes[index] as u16) << index;
            index += 1;
        }
        byte += 1;
    }
    table
};
