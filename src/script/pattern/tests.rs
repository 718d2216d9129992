//! The machine alone: it stops and goes on without a difference, and does not outgrow its bounds. That its results are
//! those of Lua is tested where scripts are (`script/tests/library.rs`).

use proptest::prelude::*;

use super::{Captured, Fault, Machine, Progress, Search};

fn search(
    machine: &mut Machine,
    text: &[u8],
    pattern: &[u8],
    budget: u32,
) -> Result<Option<Vec<Captured>>, Fault> {
    let search = Search {
        text,
        pattern,
        is_anchored: false,
        shunned_end: None,
    };
    machine.begin(0);
    loop {
        let mut left = budget;
        match machine.search(&search, &mut left)? {
            Progress::Pending => {}
            Progress::Missed => return Ok(None),
            Progress::Found { start, end } => {
                let mut found = vec![Captured::Text { start, end }];
                for number in 0..machine.captures_len() {
                    found.push(machine.capture(number, (start, end))?);
                }
                return Ok(Some(found));
            }
        }
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        Just("a"),
        Just("b"),
        Just("."),
        Just("%a"),
        Just("[ab]"),
        Just("[^a]"),
        Just("[%w_b-d]"),
        Just("%1"),
        Just("%bab"),
        Just("%f[a]"),
        Just("("),
        Just(")"),
        Just("()"),
        Just("$"),
        Just("%d"),
        Just("x"),
    ];
    let suffix =
        prop_oneof![4 => Just(""), 1 => Just("*"), 1 => Just("+"), 1 => Just("-"), 1 => Just("?")];
    prop::collection::vec((item, suffix), 0..8)
        .prop_map(|items| items.into_iter().flat_map(|(a, b)| [a, b]).collect())
}

proptest! {
    #[test]
    fn a_search_in_small_steps_finds_the_same(text in "[abx1]{0,20}", pattern in pattern(), budget in 1_u32..5) {
        let mut machine = Machine::default();
        let whole = search(&mut machine, text.as_bytes(), pattern.as_bytes(), u32::MAX);
        let steps = search(&mut machine, text.as_bytes(), pattern.as_bytes(), budget);
        prop_assert_eq!(whole, steps);
    }
}

#[test]
fn an_endless_match_gives_back_control() {
    let text = b"a".repeat(3000);
    let pattern = b"a*".repeat(30);
    let pattern = [pattern.as_slice(), b"b"].concat();
    let mut machine = Machine::default();
    machine.begin(0);
    let search = Search {
        text: &text,
        pattern: &pattern,
        is_anchored: true,
        shunned_end: None,
    };
    for _ in 0..1000 {
        let mut budget = 100;
        assert_eq!(machine.search(&search, &mut budget), Ok(Progress::Pending));
    }
}

/// A set as long as the text is looked through for each byte.
#[test]
fn long_sets_are_counted() {
    let text = b"z".repeat(100_000);
    let pattern = [b"[".as_slice(), &b"a".repeat(100_000), b"z]*"].concat();
    let mut machine = Machine::default();
    machine.begin(0);
    let search = Search {
        text: &text,
        pattern: &pattern,
        is_anchored: true,
        shunned_end: None,
    };
    let mut budget = 1000;
    assert_eq!(machine.search(&search, &mut budget), Ok(Progress::Pending));
}

#[test]
fn depth_is_bounded_as_in_lua() {
    let mut machine = Machine::default();
    let text = b"a".repeat(300);
    let fits = search(&mut machine, &text, &b"a?".repeat(199), 1000);
    assert!(fits.is_ok_and(|found| found.is_some()));
    let deep = search(&mut machine, &text, &b"a?".repeat(200), 1000);
    assert_eq!(deep, Err(Fault::TooComplex));
}
