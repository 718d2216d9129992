//! Numbers as Redis reads and prints them.

use std::io::Write;

/// A 64-bit integer in its one canonical form: no leading zeros, no `+`, no blanks, no `-0`.
///
/// Strict because a value that reads as an integer may be stored as one, and must print as it was written.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= MAX_I64_DIGITS => {}
        _ => return None,
    }
    let mut magnitude = 0_u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits always fit.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

const MAX_I64_DIGITS: usize = 19;

/// A double as C's `%.17g` prints it, which is how Redis 7.0 answers with one.
pub struct DoubleText {
    buffer: [u8; DOUBLE_TEXT_LEN],
    len: usize,
}

/// `-1.2345678901234567e-308`.
const DOUBLE_TEXT_LEN: usize = 24;
const DOUBLE_DIGITS: i32 = 17;
/// Below it every integral double prints as that integer.
const INTEGRAL_BELOW: f64 = 1e17;

impl DoubleText {
    pub fn new(value: f64) -> Self {
        let mut text = Self {
            buffer: [0; DOUBLE_TEXT_LEN],
            len: 0,
        };
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() {
                b"-0"
            } else {
                b"0"
            });
        } else if value.abs() < INTEGRAL_BELOW && value.fract() == 0.0 {
            text.push(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            text.push_general(value);
        }
        text
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Takes the 17 digits from Rust's exact scientific form and lays them out as `%g` does.
    fn push_general(&mut self, value: f64) {
        let mut scientific = [0_u8; 32];
        let mut cursor = std::io::Cursor::new(&mut scientific[..]);
        write!(cursor, "{:.*e}", DOUBLE_DIGITS as usize - 1, value.abs())
            .expect("32 bytes hold 17 digits");
        let len = cursor.position() as usize;
        let split = scientific[..len]
            .iter()
            .position(|&byte| byte == b'e')
            .expect("scientific form");
        let exponent = std::str::from_utf8(&scientific[split + 1..len])
            .ok()
            .and_then(|text| text.parse::<i32>().ok())
            .expect("scientific form");

        let mut digits = [0_u8; DOUBLE_DIGITS as usize];
        digits[0] = scientific[0];
        digits[1..].copy_from_slice(&scientific[2..split]);
        let significant = digits
            .iter()
            .rposition(|&digit| digit != b'0')
            .map_or(1, |last| last + 1);
        let digits = &digits[..significant];
        if value < 0.0 {
            self.push(b"-");
        }
        match exponent {
            -4..0 => {
                self.push(b"0.");
                self.push(&b"000"[..(-exponent - 1) as usize]);
                self.push(digits);
            }
            0..DOUBLE_DIGITS => self.push_positional(digits, exponent as usize + 1),
            _ => {
                self.push_positional(digits, 1);
                self.push(if exponent < 0 { b"e-" } else { b"e+" });
                if exponent.abs() < 10 {
                    self.push(b"0");
                }
                self.push(itoa::Buffer::new().format(exponent.abs()).as_bytes());
            }
        }
    }

    /// `integral` digits, padded with zeros, then a point and the rest if there is one.
    fn push_positional(&mut self, digits: &[u8], integral: usize) {
        let (whole, fraction) = digits.split_at(integral.min(digits.len()));
        self.push(whole);
        for _ in whole.len()..integral {
            self.push(b"0");
        }
        if !fraction.is_empty() {
            self.push(b".");
            self.push(fraction);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_have_one_form() {
        for text in [
            "",
            "-",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "9223372036854775808",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        for text in [
            "-9223372036854775809",
            "99999999999999999999",
            "18446744073709551617",
            "1\0",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_print_as_c_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (0.1, "0.10000000000000001"),
            (3.15, "3.1499999999999999"),
            (-2.5, "-2.5"),
            (0.0001, "0.0001"),
            (0.000_012_34, "1.234e-05"),
            (99_999_999_999_999_984.0, "99999999999999984"),
            (1e17, "1e+17"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (1e300, "1.0000000000000001e+300"),
            (-5e-324, "-4.9406564584124654e-324"),
            (f64::MIN, "-1.7976931348623157e+308"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(DoubleText::new(value).as_bytes()),
                expected
            );
        }
    }

    proptest! {
        #[test]
        fn every_integer_reads_as_it_prints(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn whatever_reads_as_an_integer_prints_the_same(text in "-?[0-9]{1,20}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text);
            }
        }

        #[test]
        fn every_double_reads_as_it_prints(value in any::<f64>().prop_filter("a number", |value| !value.is_nan())) {
            let text = DoubleText::new(value);
            let read: f64 = str::from_utf8(text.as_bytes()).unwrap().parse().unwrap();
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}
