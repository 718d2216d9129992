//! Glob patterns over the names of options, which are short and without escapes.

/// Whether `name` matches `pattern`: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], _) => name.is_empty(),
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        ([b'?', rest @ ..], [_, tail @ ..]) => matches(rest, tail),
        ([b'[', class @ ..], [first, tail @ ..]) => {
            let end = class
                .iter()
                .position(|byte| *byte == b']')
                .unwrap_or(class.len());
            let rest = class.get(end + 1..).unwrap_or_default();
            in_class(&class[..end], *first) && matches(rest, tail)
        }
        ([literal, rest @ ..], [first, tail @ ..]) => literal == first && matches(rest, tail),
        (_, []) => false,
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        match class {
            [low, b'-', high, rest @ ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                class = rest;
            }
            [single, rest @ ..] => {
                found |= *single == byte;
                class = rest;
            }
            [] => return found != negated,
        }
    }
}
