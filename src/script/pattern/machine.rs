//! The matcher: one item of the pattern after the other, with a stack of the choices that can be taken back.

use super::class;

/// How deep Lua's matcher recurses before it calls a pattern too complex: one level for each open choice.
const DEPTH_MAX: usize = 200;
/// Captures that a pattern may have.
const CAPTURES_MAX: usize = 32;

const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Whether a pattern has to be matched; otherwise it is looked for as it stands.
pub fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| SPECIALS.contains(byte))
}

/// What is wrong with a pattern, or with what a replacement wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    EndsWithEscape,
    OpenSet,
    NoBalanceArguments,
    NoFrontierSet,
    TooManyCaptures,
    NothingToClose,
    UnfinishedCapture,
    /// The number as it is written after the `%`.
    NoSuchCapture(i32),
    TooComplex,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Found {
        start: usize,
        end: usize,
    },
    Missed,
    /// The budget is used up; call again.
    Pending,
}

/// What to look for, and where: the same at each call for one search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    pub text: &'a [u8],
    /// Without its anchor.
    pub pattern: &'a [u8],
    /// The match has to begin where the search does.
    pub is_anchored: bool,
    /// A match that ends here does not count.
    pub shunned_end: Option<usize>,
}

/// A capture of the last match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    Text {
        start: usize,
        end: usize,
    },
    /// Counted from 0.
    Position(usize),
}

/// A search under way, or its result. Used for one search after the other.
#[derive(Debug)]
pub struct Machine {
    /// Where the present attempt began.
    start: usize,
    /// The next byte of the text and the next item of the pattern.
    at: usize,
    item: usize,
    state: State,
    captures: [Capture; CAPTURES_MAX],
    captures_len: usize,
    choices: Vec<Choice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first attempt at `start`.
    Fresh,
    /// In the middle of an attempt.
    Matching,
    /// In the middle of counting how often an item matches; the topmost choice says how far.
    Counting,
}

#[derive(Clone, Copy, Debug, Default)]
struct Capture {
    start: usize,
    len: CaptureLen,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CaptureLen {
    #[default]
    Unfinished,
    Position,
    Text(usize),
}

/// What to undo or to try next when the match fails.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Opened,
    Closed(usize),
    /// The item matched at `at`; go on there as if it had not.
    Optional {
        at: usize,
        after: usize,
    },
    /// The item matches `count` times from `at` on: try one time less.
    Longest {
        at: usize,
        count: usize,
        item: usize,
        after: usize,
    },
    /// Try one time more.
    Shortest {
        at: usize,
        item: usize,
        after: usize,
    },
}

/// Where the match goes on: a place in the text and one in the pattern.
type Next = Option<(usize, usize)>;

/// What one call may still spend.
struct Budget<'a>(&'a mut u32);

impl Budget<'_> {
    #[inline]
    fn spend(&mut self, steps: usize) {
        *self.0 = self
            .0
            .saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
    }

    #[inline]
    fn is_spent(&self) -> bool {
        *self.0 == 0
    }
}

/// Bytes that a simple loop looks at in the time of one step.
const BYTES_PER_STEP: usize = 8;

impl Default for Machine {
    fn default() -> Self {
        Self {
            start: 0,
            at: 0,
            item: 0,
            state: State::Fresh,
            captures: [Capture::default(); CAPTURES_MAX],
            captures_len: 0,
            choices: Vec::with_capacity(DEPTH_MAX),
        }
    }
}

impl Machine {
    /// Begins a search at an index of the text, which may be its end.
    #[inline]
    pub fn begin(&mut self, start: usize) {
        self.start = start;
        self.state = State::Fresh;
    }

    /// Goes on with the search until it is over or `budget`, in steps, is used up.
    #[inline]
    pub fn search(&mut self, search: &Search<'_>, budget: &mut u32) -> Result<Progress, Fault> {
        let mut budget = Budget(budget);
        loop {
            if self.state == State::Fresh {
                if budget.is_spent() {
                    return Ok(Progress::Pending);
                }
                budget.spend(1);
                if !self.skip_to_candidate(search, &mut budget) {
                    return Ok(Progress::Missed);
                }
                self.at = self.start;
                self.item = 0;
                self.captures_len = 0;
                self.choices.clear();
                self.state = State::Matching;
            }
            let Some(end) = self.attempt(search.text, search.pattern, &mut budget)? else {
                if self.state != State::Fresh {
                    return Ok(Progress::Pending);
                }
                if search.is_anchored || self.start >= search.text.len() {
                    return Ok(Progress::Missed);
                }
                self.start += 1;
                continue;
            };
            self.state = State::Fresh;
            if search.shunned_end == Some(end) {
                if search.is_anchored || self.start >= search.text.len() {
                    return Ok(Progress::Missed);
                }
                self.start += 1;
                continue;
            }
            let start = self.start;
            return Ok(Progress::Found { start, end });
        }
    }

    /// The number of values that a match gives: its captures, or else the whole.
    #[inline]
    pub fn captures_len(&self) -> usize {
        self.captures_len
    }

    /// A capture of the match that was found last; number 0 stands for the whole where the pattern has no captures.
    pub fn capture(&self, number: usize, whole: (usize, usize)) -> Result<Captured, Fault> {
        if number >= self.captures_len {
            if number != 0 {
                return Err(Fault::NoSuchCapture(number as i32 + 1));
            }
            let (start, end) = whole;
            return Ok(Captured::Text { start, end });
        }
        let Capture { start, len } = self.captures[number];
        match len {
            CaptureLen::Unfinished => Err(Fault::UnfinishedCapture),
            CaptureLen::Position => Ok(Captured::Position(start)),
            CaptureLen::Text(len) => Ok(Captured::Text {
                start,
                end: start + len,
            }),
        }
    }

    /// Where the pattern begins with a byte that has to be there, passes over the places where it is not. `false`: it
    /// is nowhere.
    #[inline]
    fn skip_to_candidate(&mut self, search: &Search<'_>, budget: &mut Budget<'_>) -> bool {
        let Search { text, pattern, .. } = search;
        let is_plain = |byte: &&u8| **byte != b')' && !SPECIALS.contains(byte);
        let Some(first) = pattern.first().filter(is_plain) else {
            return true;
        };
        if search.is_anchored || matches!(pattern.get(1), Some(b'*' | b'?' | b'-')) {
            return true;
        }
        let rest = &text[self.start..];
        let found = memchr::memchr(*first, rest);
        budget.spend(found.unwrap_or(rest.len()) / BYTES_PER_STEP);
        self.start += found.unwrap_or(rest.len());
        found.is_some()
    }

    /// Matches from where the machine stands. `None`: no match, and the state is fresh, or the budget is used up, and it
    /// is not.
    #[inline]
    fn attempt(
        &mut self,
        text: &[u8],
        pattern: &[u8],
        budget: &mut Budget<'_>,
    ) -> Result<Option<usize>, Fault> {
        let (mut at, mut item) = (self.at, self.item);
        if self.state == State::Counting {
            match self.count_on(text, pattern, budget) {
                Some(next) => (at, item) = next,
                None => return Ok(None),
            }
        }
        loop {
            if budget.is_spent() {
                (self.at, self.item) = (at, item);
                return Ok(None);
            }
            budget.spend(1);
            let Some(&head) = pattern.get(item) else {
                return Ok(Some(at));
            };
            let next = match head {
                b'(' => Some(self.open(at, item, pattern)?),
                b')' => Some(self.close(at, item)?),
                b'$' if item + 1 == pattern.len() => {
                    if at == text.len() {
                        return Ok(Some(at));
                    }
                    None
                }
                b'%' => match pattern.get(item + 1) {
                    Some(b'b') => {
                        let end = balanced(text, at, pattern, item + 2, budget)?;
                        end.map(|end| (end, item + 4))
                    }
                    Some(b'f') => frontier(text, at, pattern, item + 2)?,
                    Some(digit @ b'0'..=b'9') => {
                        let end = self.repeated(text, at, *digit, budget)?;
                        end.map(|end| (end, item + 2))
                    }
                    _ => self.single(text, at, pattern, item, budget)?,
                },
                _ => self.single(text, at, pattern, item, budget)?,
            };
            if self.state == State::Counting {
                return Ok(None);
            }
            let Some(next) = next.or_else(|| self.backtrack(text, pattern, budget)) else {
                self.state = State::Fresh;
                return Ok(None);
            };
            (at, item) = next;
        }
    }

    fn open(&mut self, at: usize, item: usize, pattern: &[u8]) -> Result<(usize, usize), Fault> {
        let (len, next) = match pattern.get(item + 1) {
            Some(b')') => (CaptureLen::Position, item + 2),
            _ => (CaptureLen::Unfinished, item + 1),
        };
        let Some(capture) = self.captures.get_mut(self.captures_len) else {
            return Err(Fault::TooManyCaptures);
        };
        *capture = Capture { start: at, len };
        self.captures_len += 1;
        self.choose(Choice::Opened)?;
        Ok((at, next))
    }

    fn close(&mut self, at: usize, item: usize) -> Result<(usize, usize), Fault> {
        let open = self.captures[..self.captures_len]
            .iter()
            .rposition(|capture| capture.len == CaptureLen::Unfinished);
        let index = open.ok_or(Fault::NothingToClose)?;
        let capture = &mut self.captures[index];
        capture.len = CaptureLen::Text(at - capture.start);
        self.choose(Choice::Closed(index))?;
        Ok((at, item + 1))
    }

    /// A back reference: the end of the text that repeats a capture.
    fn repeated(
        &self,
        text: &[u8],
        at: usize,
        digit: u8,
        budget: &mut Budget<'_>,
    ) -> Result<Option<usize>, Fault> {
        let number = i32::from(digit) - i32::from(b'0');
        let capture = usize::try_from(number - 1)
            .ok()
            .and_then(|index| self.captures[..self.captures_len].get(index))
            .filter(|capture| capture.len != CaptureLen::Unfinished);
        let Capture { start, len } = capture.ok_or(Fault::NoSuchCapture(number))?;
        let CaptureLen::Text(len) = *len else {
            return Ok(None);
        };
        budget.spend(len / BYTES_PER_STEP);
        let repeats = text[at..].starts_with(&text[*start..start + len]);
        Ok(repeats.then_some(at + len))
    }

    /// A class, a set or a byte, with what follows it.
    #[inline]
    fn single(
        &mut self,
        text: &[u8],
        at: usize,
        pattern: &[u8],
        item: usize,
        budget: &mut Budget<'_>,
    ) -> Result<Next, Fault> {
        let after = class::end(pattern, item)?;
        budget.spend((after - item) / BYTES_PER_STEP);
        let suffix = pattern.get(after).copied();
        let is_match = text
            .get(at)
            .is_some_and(|byte| class::matches(pattern, item, after, *byte));
        if !is_match {
            let may_be_absent = matches!(suffix, Some(b'*' | b'?' | b'-'));
            return Ok(may_be_absent.then_some((at, after + 1)));
        }
        match suffix {
            Some(b'?') => {
                self.choose(Choice::Optional { at, after })?;
                Ok(Some((at + 1, after + 1)))
            }
            Some(b'+' | b'*') => {
                // One match is known, and with `+` it is not given back.
                let given = usize::from(suffix == Some(b'+'));
                self.choose(Choice::Longest {
                    at: at + given,
                    count: 1 - given,
                    item,
                    after,
                })?;
                self.state = State::Counting;
                Ok(self.count_on(text, pattern, budget))
            }
            Some(b'-') => {
                self.choose(Choice::Shortest { at, item, after })?;
                Ok(Some((at, after + 1)))
            }
            _ => Ok(Some((at + 1, after))),
        }
    }

    /// Counts how often the item of the topmost choice matches. `None`: the budget is used up, and the count stays where
    /// it is.
    #[inline]
    fn count_on(&mut self, text: &[u8], pattern: &[u8], budget: &mut Budget<'_>) -> Next {
        let Some(Choice::Longest {
            at,
            count,
            item,
            after,
        }) = self.choices.last_mut()
        else {
            unreachable!("a count is under way");
        };
        // An item as short as a class takes a fraction of a step for each byte, a long set takes many.
        let bytes_max = match after.saturating_sub(*item) {
            0..=2 => usize::MAX,
            set_len => (*budget.0 as usize * BYTES_PER_STEP / set_len).max(1),
        };
        let rest = &text[*at + *count..];
        let chunk = &rest[..rest.len().min(bytes_max)];
        let len = class::run_len(pattern, *item, *after, chunk);
        *count += len;
        let is_over = len < chunk.len() || chunk.len() == rest.len();
        let next = (*at + *count, *after + 1);
        if chunk.len() == rest.len() {
            budget.spend(len / BYTES_PER_STEP);
        } else {
            budget.spend(len * (*after - *item) / BYTES_PER_STEP + 1);
        }
        if !is_over {
            budget.spend(usize::MAX);
            return None;
        }
        self.state = State::Matching;
        Some(next)
    }

    /// Goes back to the last choice that has something left to try.
    #[inline]
    fn backtrack(&mut self, text: &[u8], pattern: &[u8], budget: &mut Budget<'_>) -> Next {
        while let Some(choice) = self.choices.last_mut() {
            match choice {
                Choice::Opened => self.captures_len -= 1,
                Choice::Closed(index) => {
                    let index = *index;
                    self.captures[index].len = CaptureLen::Unfinished;
                }
                Choice::Optional { at, after } => {
                    let next = (*at, *after + 1);
                    self.choices.pop();
                    return Some(next);
                }
                Choice::Longest {
                    at, count, after, ..
                } => {
                    if *count > 0 {
                        *count -= 1;
                        return Some((*at + *count, *after + 1));
                    }
                }
                Choice::Shortest { at, item, after } => {
                    budget.spend((*after - *item) / BYTES_PER_STEP);
                    let byte = text.get(*at);
                    if byte.is_some_and(|byte| class::matches(pattern, *item, *after, *byte)) {
                        *at += 1;
                        return Some((*at, *after + 1));
                    }
                }
            }
            self.choices.pop();
        }
        None
    }

    #[inline]
    fn choose(&mut self, choice: Choice) -> Result<(), Fault> {
        if self.choices.len() >= DEPTH_MAX - 1 {
            return Err(Fault::TooComplex);
        }
        self.choices.push(choice);
        Ok(())
    }
}

/// `%bxy`: the end of the text from `x` to the `y` that balances it; the two are at `arguments`.
fn balanced(
    text: &[u8],
    at: usize,
    pattern: &[u8],
    arguments: usize,
    budget: &mut Budget<'_>,
) -> Result<Option<usize>, Fault> {
    let [open, close, ..] = pattern[arguments..] else {
        return Err(Fault::NoBalanceArguments);
    };
    let Some((&first, rest)) = text[at..].split_first() else {
        return Ok(None);
    };
    if first != open {
        return Ok(None);
    }
    let mut depth = 1_usize;
    for (index, &byte) in rest.iter().enumerate() {
        if byte == close {
            depth -= 1;
            if depth == 0 {
                budget.spend(index / BYTES_PER_STEP);
                return Ok(Some(at + index + 2));
            }
        } else if byte == open {
            depth += 1;
        }
    }
    budget.spend(rest.len() / BYTES_PER_STEP);
    Ok(None)
}

/// `%f[set]`: the place between a byte outside of the set and one inside; the ends of the text count as zero bytes.
fn frontier(text: &[u8], at: usize, pattern: &[u8], set: usize) -> Result<Next, Fault> {
    if pattern.get(set) != Some(&b'[') {
        return Err(Fault::NoFrontierSet);
    }
    let after = class::end(pattern, set)?;
    let set = &pattern[set + 1..after - 1];
    let byte_at = |index: Option<usize>| index.and_then(|index| text.get(index)).copied();
    let before = byte_at(at.checked_sub(1)).unwrap_or(0);
    let here = byte_at(Some(at)).unwrap_or(0);
    let is_frontier = !class::in_set(set, before) && class::in_set(set, here);
    Ok(is_frontier.then_some((at, after)))
}
