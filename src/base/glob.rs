//! Patterns of `KEYS`, `SCAN`, `PSUBSCRIBE`, `CONFIG GET`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    /// ASCII letters only.
    Ignored,
}

/// Whether all of `text` matches `pattern`, where `*` is any bytes, `?` one, `[a-z]` and `[^a-z]` one of or none of
/// them, and a backslash takes the next byte as it is.
///
/// A class that is not closed ends with the pattern. Time is at most the product of both lengths: only the last star
/// is ever tried again, since whatever an earlier one could gain, the last one can gain too.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last star, and the text that it has been tried on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = Some((rest, text));
            continue;
        }
        let Some((&byte, text_rest)) = text.split_first() else {
            // More text for the star would leave still less for the rest of the pattern.
            return pattern.is_empty();
        };
        if let Some(pattern_rest) = match_one(pattern, byte, case) {
            (pattern, text) = (pattern_rest, text_rest);
            continue;
        }
        let Some((after_star, [_, tried_rest @ ..])) = retry else {
            return false;
        };
        (pattern, text) = (after_star, tried_rest);
        retry = Some((after_star, tried_rest));
    }
}

/// The rest of a pattern whose first element, not a star, matches `byte`.
fn match_one(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    let (matched, rest) = match *pattern {
        [] => return None,
        [b'?', ref rest @ ..] => (true, rest),
        [b'[', ref class @ ..] => match_class(class, byte, case),
        [b'\\', literal, ref rest @ ..] | [literal, ref rest @ ..] => {
            (same(literal, byte, case), rest)
        }
    };
    matched.then_some(rest)
}

fn match_class(class: &[u8], byte: u8, case: Case) -> (bool, &[u8]) {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let rest = loop {
        let (hit, rest) = match *class {
            [] => break class,
            // An escaped byte is exact even where case is ignored: so Redis does it.
            [b'\\', literal, ref rest @ ..] => (literal == byte, rest),
            [b']', ref rest @ ..] => break rest,
            [start, b'-', end, ref rest @ ..] => (in_range(start, end, byte, case), rest),
            [literal, ref rest @ ..] => (same(literal, byte, case), rest),
        };
        found |= hit;
        class = rest;
    };
    (found != negated, rest)
}

fn same(left: u8, right: u8, case: Case) -> bool {
    left == right || (case == Case::Ignored && left.eq_ignore_ascii_case(&right))
}

/// The ends come in either order.
fn in_range(start: u8, end: u8, byte: u8, case: Case) -> bool {
    let fold = |byte: u8| {
        if case == Case::Ignored {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    let (low, high) = (start.min(end), start.max(end));
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, case, expected| {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), case),
                expected,
                "{pattern} on {text}, {case:?}"
            );
        };
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "abc"], &[]),
            ("a*", &["a", "abc"], &["", "ba"]),
            ("a**c", &["ac", "abcbc"], &["a", "acb"]),
            ("?", &["a"], &["", "ab"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]),
            ("h[^e]llo", &["hallo"], &["hello", "hllo"]),
            ("[a-c]", &["a", "b", "c"], &["d", "-"]),
            ("[c-a]", &["b"], &["d"]),
            ("[\\]-]", &["]", "-"], &["\\"]),
            ("[a-]", &["a", "]", "^"], &["-"]),
            ("[a", &["a"], &["", "[", "[a"]),
            ("[", &[], &["[", "a"]),
            ("[^", &["a"], &[""]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("a\\", &["a\\"], &["a"]),
            ("*a*b", &["ab", "aab", "abab"], &["ba", "aba"]),
        ] {
            for text in yes {
                check(pattern, text, Case::Sensitive, true);
            }
            for text in no {
                check(pattern, text, Case::Sensitive, false);
            }
        }
        check("HeL[K-M]o", "hello", Case::Ignored, true);
        check("HeL[K-M]o", "hello", Case::Sensitive, false);
        check("[\\A]", "a", Case::Ignored, false);
    }

    #[test]
    fn stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = "a*".repeat(2_000) + "b";
        let start = std::time::Instant::now();
        assert!(!matches(
            pattern.as_bytes(),
            "a".repeat(20_000).as_bytes(),
            Case::Sensitive
        ));
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
