//! The order of SORT's results.

use crate::base::float::parse_f64;
use crate::value::StrBuf;
use std::cmp::Ordering;
use std::ops::Range;

/// How elements are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    pub is_alpha: bool,
    pub is_descending: bool,
    /// Texts are compared to their ends; otherwise, as C does, up to a zero.
    pub is_exact: bool,
}

/// What an element is compared by.
#[derive(Clone, Debug)]
pub enum Weight {
    Number(f64),
    /// Nothing comes before any text.
    Text(Option<StrBuf>),
    /// The element's bytes, as a text.
    Itself,
}

struct Weighed {
    weight: Weight,
    element: StrBuf,
    /// The place that it had.
    place: u32,
}

impl Order {
    /// Sorts elements by their weights and returns those in the window. What is the same by number is in the order of its
    /// bytes; what is the same by text stays in the order that it had.
    pub fn sort(
        self,
        elements: Vec<StrBuf>,
        weights: Vec<Weight>,
        window: Range<usize>,
    ) -> Vec<StrBuf> {
        if window.is_empty() {
            return Vec::new();
        }
        let weighed = (0..).zip(weights.into_iter().zip(elements));
        let mut all: Vec<Weighed> = weighed
            .map(|(place, (weight, element))| Weighed {
                weight,
                element,
                place,
            })
            .collect();
        if window.end < all.len() {
            all.select_nth_unstable_by(window.end, |a, b| self.compare(a, b));
            all.truncate(window.end);
        }
        all.sort_unstable_by(|a, b| self.compare(a, b));
        all.drain(window).map(|weighed| weighed.element).collect()
    }

    fn compare(self, a: &Weighed, b: &Weighed) -> Ordering {
        let ascending = match (&a.weight, &b.weight) {
            // No number is NaN, and both zeros are the same.
            (Weight::Number(x), Weight::Number(y)) => {
                let by_number = x.partial_cmp(y).unwrap_or(Ordering::Equal);
                by_number.then_with(|| a.element.cmp(&b.element))
            }
            (Weight::Text(x), Weight::Text(y)) => {
                let [x, y] = [x, y].map(|text| text.as_deref().map(|text| self.text(text)));
                x.cmp(&y)
            }
            _ => self.text(&a.element).cmp(self.text(&b.element)),
        };
        let wanted = if self.is_descending {
            ascending.reverse()
        } else {
            ascending
        };
        wanted.then(a.place.cmp(&b.place))
    }

    fn text(self, bytes: &[u8]) -> &[u8] {
        if self.is_exact {
            return bytes;
        }
        let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
        &bytes[..end]
    }
}

/// A number as C's `strtod` reads it: blanks before it, and a zero after it, are left out; nothing is 0.
pub fn number(bytes: &[u8]) -> Option<f64> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let text = &bytes[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let start = text.iter().position(|byte| !is_blank(byte))?;
    parse_f64(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in [
            (&b""[..], Some(0.0)),
            (b" \t\n\x0b\x0c\r1.5", Some(1.5)),
            (b"+2", Some(2.0)),
            (b"0x10", Some(16.0)),
            (b"-inf", Some(f64::NEG_INFINITY)),
            (b"7\0text", Some(7.0)),
            (b"\0", Some(0.0)),
            (b" ", None),
            (b"1 ", None),
            (b"nan", None),
            (b"1e999", None),
            (b"text", None),
        ] {
            assert_eq!(number(text), value, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_window_is_a_part_of_the_whole(
            elements in prop::collection::vec("[a-d]{0,3}", 0..40),
            numbers in prop::collection::vec(-3..3_i8, 40),
            is_alpha: bool,
            is_descending: bool,
            is_exact: bool,
            from in 0..50_usize,
            len in 0..50_usize,
        ) {
            let order = Order { is_alpha, is_descending, is_exact };
            let elements: Vec<StrBuf> =
                elements.iter().map(|text| StrBuf::from_slice(text.as_bytes())).collect();
            let weights: Vec<Weight> = elements
                .iter()
                .zip(&numbers)
                .map(|(_, number)| match (is_alpha, number) {
                    (false, number) => Weight::Number(f64::from(*number)),
                    (true, -3) => Weight::Text(None),
                    (true, number) => Weight::Text(Some(StrBuf::from_slice(&[number.unsigned_abs()]))),
                })
                .collect();
            let mut whole: Vec<Weighed> = (0..)
                .zip(weights.iter().cloned().zip(elements.iter().cloned()))
                .map(|(place, (weight, element))| Weighed { weight, element, place })
                .collect();
            whole.sort_by(|a, b| order.compare(a, b));
            let start = from.min(elements.len());
            let window = start..(start + len).min(elements.len());
            let expected: Vec<StrBuf> =
                whole[window.clone()].iter().map(|weighed| weighed.element.clone()).collect();
            prop_assert_eq!(order.sort(elements, weights, window), expected);
        }
    }
}
