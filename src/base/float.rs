//! Floating-point numbers as Redis reads them, and the arithmetic of `INCRBYFLOAT`.
//!
//! Redis adds in C's `long double`, which on x86-64 has a mantissa of 64 bits; that is why its 0.1 + 0.2 is 0.3. Users
//! see the sums and store them, so they must be the same here, on every processor: each number is read exactly and
//! rounded once to 64 bits (ties to even), added with one more rounding, and printed as `%.17Lf` without trailing
//! zeros.

use super::natural::Natural;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatError {
    /// One of the two is no number, or too large or too small for one.
    NotAFloat,
    NanOrInfinity,
}

/// `old + increment`, in the form in which it is stored and answered.
pub fn incr_by_float(old: &[u8], increment: &[u8]) -> Result<String, FloatError> {
    let old = Number::parse(old, &EXTENDED).ok_or(FloatError::NotAFloat)?;
    let increment = Number::parse(increment, &EXTENDED).ok_or(FloatError::NotAFloat)?;
    let (Magnitude::Finite(_), Magnitude::Finite(_)) = (old.magnitude, increment.magnitude) else {
        return Err(FloatError::NanOrInfinity);
    };
    old.add(increment)
        .to_decimal()
        .ok_or(FloatError::NanOrInfinity)
}

/// A double as C's `%.17Lf` prints it, without trailing zeros: how Redis answers with a coordinate. `None` for an infinity.
pub fn to_fixed(value: f64) -> Option<String> {
    debug_assert!(!value.is_nan(), "a number");
    Number::from(value).to_decimal()
}

/// A double as C's `strtod` reads it, but without blanks, NaN and numbers that are too large or too small: what Redis
/// accepts as a score. Infinities and hexadecimal are numbers.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    match str::from_utf8(text).ok()?.parse::<f64>() {
        Ok(value) if value.is_nan() => None,
        Ok(value) if value.is_finite() && (value != 0.0 || text == b"0") => Some(value),
        // An infinity or a zero, but perhaps only by rounding; or no number, but perhaps hexadecimal.
        _ => Number::parse(text, &DOUBLE).map(Number::to_f64),
    }
}

/// A binary floating-point format; exponents are those of the mantissa's lowest bit.
struct Format {
    mantissa_bits: u32,
    min_exponent: i32,
    max_exponent: i32,
}

const EXTENDED: Format = Format {
    mantissa_bits: 64,
    min_exponent: -16445,
    max_exponent: 16320,
};
const DOUBLE: Format = Format {
    mantissa_bits: 53,
    min_exponent: -1074,
    max_exponent: 971,
};

#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy)]
enum Magnitude {
    Finite(Binary<u64>),
    Infinite,
}

/// `mantissa * 2^exponent`. What a format holds has the format's mantissa bits, or the format's lowest exponent.
#[derive(Clone, Copy)]
struct Binary<T> {
    mantissa: T,
    exponent: i32,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        const STORED_BITS: u32 = DOUBLE.mantissa_bits - 1;
        let bits = value.to_bits();
        let (stored, field) = (
            bits & ((1 << STORED_BITS) - 1),
            (bits >> STORED_BITS & 0x7FF) as i32,
        );
        // A subnormal number lacks the bit above the stored ones, and has the exponent of the smallest others.
        let mantissa = stored | u64::from(field != 0) << STORED_BITS;
        let exponent = DOUBLE.min_exponent + (field - 1).max(0);
        Self {
            negative: value.is_sign_negative(),
            magnitude: if value.is_infinite() {
                Magnitude::Infinite
            } else {
                Magnitude::Finite(Binary { mantissa, exponent })
            },
        }
    }
}

impl Number {
    fn parse(text: &[u8], format: &Format) -> Option<Self> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let (negative, text) = split_sign(text);
        let is_infinity = ["inf", "infinity"]
            .iter()
            .any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
        let magnitude = if is_infinity {
            Magnitude::Infinite
        } else {
            let exact = match text {
                [b'0', b'x' | b'X', digits @ ..] => {
                    Literal::parse(digits, &HEXADECIMAL)?.hexadecimal()?
                }
                digits => Literal::parse(digits, &DECIMAL)?.decimal()?,
            };
            let rounded = exact.round(format);
            let lost = rounded.mantissa == 0 && exact.mantissa != 0;
            if lost || rounded.exponent > format.max_exponent {
                return None;
            }
            Magnitude::Finite(rounded)
        };
        Some(Self {
            negative,
            magnitude,
        })
    }

    /// In extended precision.
    fn add(self, other: Self) -> Self {
        let (Magnitude::Finite(left), Magnitude::Finite(right)) = (self.magnitude, other.magnitude)
        else {
            return Self {
                magnitude: Magnitude::Infinite,
                ..self
            };
        };
        let ((high, high_negative), (low, low_negative)) = if left.exponent >= right.exponent {
            ((left, self.negative), (right, other.negative))
        } else {
            ((right, other.negative), (left, self.negative))
        };
        let distance = high.exponent.abs_diff(low.exponent);
        let high_mantissa = u128::from(high.mantissa) << GUARD_BITS;
        let low_mantissa = shift_right_sticky(u128::from(low.mantissa) << GUARD_BITS, distance);
        let (mantissa, negative) = if high_negative == low_negative {
            (high_mantissa + low_mantissa, high_negative)
        } else if high_mantissa >= low_mantissa {
            (high_mantissa - low_mantissa, high_negative)
        } else {
            (low_mantissa - high_mantissa, low_negative)
        };
        let sum = Binary {
            mantissa,
            exponent: high.exponent - GUARD_BITS as i32,
        }
        .round(&EXTENDED);
        let magnitude = if sum.exponent > EXTENDED.max_exponent {
            Magnitude::Infinite
        } else {
            Magnitude::Finite(sum)
        };
        Self {
            negative,
            magnitude,
        }
    }

    /// `%.17Lf` without trailing zeros; `None` for an infinity.
    fn to_decimal(self) -> Option<String> {
        let Magnitude::Finite(Binary { mantissa, exponent }) = self.magnitude else {
            return None;
        };
        let magnitude = if exponent >= 0 {
            let mut integer = Natural::from(mantissa);
            integer.shift_left(exponent as usize);
            integer.into_decimal()
        } else {
            // Less than 2^121, so that no bit is lost before the rounding.
            let scaled = u128::from(mantissa) * u128::from(TEN_TO_PRINTED);
            let rounded = shift_right_to_even(scaled, exponent.unsigned_abs());
            let ten = u128::from(TEN_TO_PRINTED);
            let text = format!(
                "{}.{:0width$}",
                rounded / ten,
                rounded % ten,
                width = PRINTED_DECIMALS as usize
            );
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        Some(if self.negative && magnitude != "0" {
            format!("-{magnitude}")
        } else {
            magnitude
        })
    }

    /// Of a number that was parsed as a double.
    fn to_f64(self) -> f64 {
        let magnitude = match self.magnitude {
            Magnitude::Infinite => f64::INFINITY,
            // The bit above the stored 52 adds one to the exponent field, as it should, unless it is not set: then
            // the number is subnormal and its field is 0, as it should.
            Magnitude::Finite(Binary { mantissa, exponent }) => {
                let field = u64::from(exponent.abs_diff(DOUBLE.min_exponent));
                f64::from_bits((field << (DOUBLE.mantissa_bits - 1)) + mantissa)
            }
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

impl Binary<u128> {
    /// The nearest number of the format, which may be 0, and whose exponent may be too large. If the mantissa's lowest
    /// bit stands for lost ones, it must have more bits than the format.
    fn round(self, format: &Format) -> Binary<u64> {
        if self.mantissa == 0 {
            return Binary {
                mantissa: 0,
                exponent: format.min_exponent,
            };
        }
        let bits = (u128::BITS - self.mantissa.leading_zeros()) as i32;
        let exponent =
            (self.exponent + bits - format.mantissa_bits as i32).max(format.min_exponent);
        let shift = exponent - self.exponent;
        let mantissa = if shift > 0 {
            shift_right_to_even(self.mantissa, shift as u32)
        } else {
            self.mantissa << -shift
        };
        if mantissa >> format.mantissa_bits == 0 {
            Binary {
                mantissa: mantissa as u64,
                exponent,
            }
        } else {
            // Rounded up to the next power of two.
            Binary {
                mantissa: (mantissa >> 1) as u64,
                exponent: exponent + 1,
            }
        }
    }
}

fn shift_right_sticky(value: u128, bits: u32) -> u128 {
    match value.checked_shr(bits) {
        Some(shifted) => shifted | u128::from(shifted << bits != value),
        None => u128::from(value != 0),
    }
}

fn shift_right_to_even(value: u128, bits: u32) -> u128 {
    // Two bits below the result say where between its neighbours the value lies.
    let quarters = if bits >= 2 {
        shift_right_sticky(value, bits - 2)
    } else {
        value << (2 - bits)
    };
    let (whole, rest) = (quarters >> 2, quarters & 3);
    whole + u128::from(rest == 3 || (rest == 2 && whole % 2 == 1))
}

/// The digits of a literal without their point, and the power of the base by which they are too small.
struct Literal {
    digits: Natural,
    exponent: i64,
}

struct Notation {
    base: u32,
    /// So many digits fit in 64 bits.
    group_len: u32,
    exponent_mark: u8,
    /// What the point's moving by one digit means for the exponent.
    exponent_per_digit: i64,
}

const DECIMAL: Notation = Notation {
    base: 10,
    group_len: 19,
    exponent_mark: b'e',
    exponent_per_digit: 1,
};
const HEXADECIMAL: Notation = Notation {
    base: 16,
    group_len: 15,
    exponent_mark: b'p',
    exponent_per_digit: 4,
};

/// Redis copies what it parses into a buffer of 5 KiB.
const MAX_TEXT_LEN: usize = 5 * 1024 - 1;
/// Bits below a mantissa that keep the rounding of a sum exact; the one bit above it takes the carry.
const GUARD_BITS: u32 = 63;
const PRINTED_DECIMALS: u32 = 17;
const TEN_TO_PRINTED: u64 = 10_u64.pow(PRINTED_DECIMALS);
/// Beyond 10^±5000 no format holds a number.
const MAX_DECIMAL_EXPONENT: i64 = 5000;
/// Beyond these lies what no number of digits in a text brings back.
const MAX_EXPONENT: i64 = 1_000_000;

impl Literal {
    fn parse(text: &[u8], notation: &Notation) -> Option<Self> {
        let is_mark = |byte: &u8| byte.eq_ignore_ascii_case(&notation.exponent_mark);
        let (mantissa, exponent) = match text.iter().position(is_mark) {
            Some(mark) => (&text[..mark], parse_exponent(&text[mark + 1..])?),
            None => (text, 0),
        };
        let mut parts = mantissa.splitn(2, |&byte| byte == b'.');
        let (whole, fraction) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = Natural::from(0);
        let (mut group, mut group_scale) = (0, 1);
        for &byte in whole.iter().chain(fraction) {
            let digit = char::from(byte).to_digit(notation.base)?;
            group = group * u64::from(notation.base) + u64::from(digit);
            group_scale *= u64::from(notation.base);
            if group_scale == u64::from(notation.base).pow(notation.group_len) {
                digits.multiply_add(group_scale, group);
                (group, group_scale) = (0, 1);
            }
        }
        digits.multiply_add(group_scale, group);
        let exponent = exponent - fraction.len() as i64 * notation.exponent_per_digit;
        Some(Self { digits, exponent })
    }

    fn hexadecimal(self) -> Option<Binary<u128>> {
        let (mantissa, dropped_bits) = self.digits.top_bits();
        let exponent = i32::try_from(self.exponent).ok()?;
        Some(Binary {
            mantissa,
            exponent: exponent + dropped_bits as i32,
        })
    }

    /// `None` if no format holds the number.
    fn decimal(mut self) -> Option<Binary<u128>> {
        const BITS_PER_DIGIT_MIN: i64 = 3;
        if self.digits.is_zero() {
            return Some(Binary {
                mantissa: 0,
                exponent: 0,
            });
        }
        let digits_max = self.digits.bit_len() as i64 / BITS_PER_DIGIT_MIN + 1;
        if self.exponent > MAX_DECIMAL_EXPONENT
            || self.exponent + digits_max < -MAX_DECIMAL_EXPONENT
        {
            return None;
        }
        if self.exponent >= 0 {
            self.digits.multiply_by_power_of_ten(self.exponent as usize);
            let (mantissa, exponent) = self.digits.top_bits();
            return Some(Binary {
                mantissa,
                exponent: exponent as i32,
            });
        }
        let mut divisor = Natural::from(1);
        divisor.multiply_by_power_of_ten(self.exponent.unsigned_abs() as usize);
        let (mantissa, exponent) = self.digits.divide(divisor);
        Some(Binary { mantissa, exponent })
    }
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0_i64;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        exponent = (exponent * 10 + digit).min(MAX_EXPONENT);
    }
    Some(if negative { -exponent } else { exponent })
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_are_those_of_extended_precision() {
        let largest = format!("1{}", "0".repeat(4932));
        for (old, increment, expected) in [
            ("0.1", "0.2", Ok("0.3")),
            ("10.5", "0.1", Ok("10.6")),
            ("5.0e3", "2.0e2", Ok("5200")),
            ("3", "-3", Ok("0")),
            ("-0", "-0", Ok("0")),
            ("-1e-30", "0", Ok("0")),
            (".5", "+5.", Ok("5.5")),
            ("0x1.8p1", "0XA", Ok("13")),
            ("1", "1e-400", Ok("1")),
            ("0e99999999999", "1", Ok("1")),
            ("1e17", "0.01", Ok("100000000000000000.0078125")),
            ("", "1", Err(FloatError::NotAFloat)),
            (" 1", "1", Err(FloatError::NotAFloat)),
            ("1 ", "1", Err(FloatError::NotAFloat)),
            ("1e", "1", Err(FloatError::NotAFloat)),
            ("0x", "1", Err(FloatError::NotAFloat)),
            ("0xp1", "1", Err(FloatError::NotAFloat)),
            (".", "1", Err(FloatError::NotAFloat)),
            ("1.2.3", "1", Err(FloatError::NotAFloat)),
            ("nan", "1", Err(FloatError::NotAFloat)),
            ("1e-5000", "1", Err(FloatError::NotAFloat)),
            ("1e4933", "1", Err(FloatError::NotAFloat)),
            ("inf", "1", Err(FloatError::NanOrInfinity)),
            ("inf", "-Infinity", Err(FloatError::NanOrInfinity)),
            ("inf", "x", Err(FloatError::NotAFloat)),
            (&largest, &largest, Err(FloatError::NanOrInfinity)),
        ] {
            let sum = incr_by_float(old.as_bytes(), increment.as_bytes());
            assert_eq!(sum.as_deref(), expected.as_deref(), "{old} + {increment}");
        }
    }

    #[test]
    fn a_double_has_17_decimals() {
        for (value, expected) in [
            (13.361_389_338_970_184, "13.36138933897018433"),
            (-85.051_128_78, "-85.0511287799999991"),
            (180.0, "180"),
            (-0.0, "0"),
            (1e-5, "0.00001"),
            (-1e-20, "0"),
            (5e-324, "0"),
            (0.000_003_814_697_265_625, "0.00000381469726562"),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(to_fixed(value).as_deref(), Some(expected), "{value}");
        }
        assert_eq!(to_fixed(f64::INFINITY), None);
    }

    #[test]
    fn scores() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("-0", Some(-0.0)),
            ("+.5e1", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("-INFINITY", Some(f64::NEG_INFINITY)),
            ("0x1.8p1", Some(3.0)),
            ("-0x.1p-1070", Some(-5e-324)),
            ("0x1.fffffffffffff8p1023", None),
            ("0x1.fffffffffffff7p1023", Some(f64::MAX)),
            ("0e-999", Some(0.0)),
            ("1e-400", None),
            ("1e400", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1,5", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        /// The general way reads as Rust's library does.
        #[test]
        fn decimals_round_to_the_nearest_double(digits in "[0-9]{1,40}", point in 0_usize..40, exponent in -360_i32..360) {
            let (whole, fraction) = digits.split_at(point.min(digits.len()));
            let text = format!("{whole}.{fraction}e{exponent}");
            let expected: f64 = text.parse().unwrap();
            let number = Number::parse(text.as_bytes(), &DOUBLE).map(Number::to_f64);
            let is_zero = digits.bytes().all(|digit| digit == b'0');
            let in_range = expected.is_finite() && (expected != 0.0 || is_zero);
            prop_assert_eq!(number, in_range.then_some(expected));
        }

        #[test]
        fn fixed_is_what_rust_prints(value in prop_oneof![-200.0..200.0, -1e-4..1e-4, -1e30..1e30_f64]) {
            let printed = format!("{value:.17}");
            let printed = printed.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(to_fixed(value).unwrap(), if printed == "-0" { "0" } else { printed });
        }

        #[test]
        fn garbage_is_refused_or_read(text in "[-+0-9.eEpPxXa-f]{0,12}") {
            if let Some(value) = parse_f64(text.as_bytes()) {
                prop_assert!(!value.is_nan());
            }
            let _ = incr_by_float(text.as_bytes(), b"1");
        }
    }
}
