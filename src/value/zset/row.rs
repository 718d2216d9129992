//! A short sorted run of elements: the leaf of a tree, and the first elements of an inner node's children.

/// A member's place in the order: its score, and the number under which it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    pub score: f64,
    pub slot: u32,
}

/// Elements of a row. With this many, a row fills a size of the allocator (768 bytes) to 8 bytes.
pub const ROW_LEN: usize = 63;

/// Scores and slots lie apart: a search reads scores alone until two of them are equal.
#[derive(Clone, Debug)]
pub struct Row {
    scores: [f64; ROW_LEN],
    slots: [u32; ROW_LEN],
    len: u8,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            scores: [0.0; ROW_LEN],
            slots: [0; ROW_LEN],
            len: 0,
        }
    }
}

impl Row {
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn is_full(&self) -> bool {
        self.len() == ROW_LEN
    }

    #[inline]
    pub fn get(&self, at: usize) -> Element {
        debug_assert!(at < self.len(), "an element of the row");
        Element {
            score: self.scores[at],
            slot: self.slots[at],
        }
    }

    pub fn set(&mut self, at: usize, element: Element) {
        debug_assert!(at < self.len(), "an element of the row");
        self.scores[at] = element.score;
        self.slots[at] = element.slot;
    }

    /// How many elements are `before` some point. Those that are come first.
    #[inline]
    pub fn count_before(&self, before: &impl Fn(Element) -> bool) -> usize {
        self.halve(0, self.len(), before)
    }

    /// The same for a point at a score: only among elements of this score is `before` asked.
    #[inline]
    pub fn count_before_point(&self, score: f64, before: &impl Fn(Element) -> bool) -> usize {
        let start = self.count_below(score);
        let equal = |at: &usize| self.scores[*at] == score;
        if start == self.len() || !equal(&start) {
            return start;
        }
        let end = start + (start..self.len()).take_while(equal).count();
        self.halve(start, end, before)
    }

    /// The first of the elements from `low` on that is not `before`; `high` if all are.
    #[inline]
    fn halve(&self, mut low: usize, mut high: usize, before: &impl Fn(Element) -> bool) -> usize {
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How many scores are below one. Of each line of the cache one score is looked at, none of which waits for another,
    /// then those of one line: halving would wait for a line several times.
    #[inline]
    fn count_below(&self, score: f64) -> usize {
        const LINE: usize = 64 / size_of::<f64>();
        let scores = &self.scores[..self.len()];
        let below = |score_there: &&f64| **score_there < score;
        let lines = scores.iter().step_by(LINE).filter(below).count();
        let start = lines.saturating_sub(1) * LINE;
        start + scores[start..].iter().take(LINE).filter(below).count()
    }

    /// The row is not full.
    pub fn insert(&mut self, at: usize, element: Element) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.slots.copy_within(at..len, at + 1);
        self.len += 1;
        self.set(at, element);
    }

    pub fn remove(&mut self, at: usize) -> Element {
        let (removed, len) = (self.get(at), self.len());
        self.scores.copy_within(at + 1..len, at);
        self.slots.copy_within(at + 1..len, at);
        self.len -= 1;
        removed
    }

    /// Moves the elements from `at` on to a row of their own.
    pub fn split_off(&mut self, at: usize) -> Self {
        let mut rest = Self::default();
        let moved = at..self.len();
        rest.scores[..moved.len()].copy_from_slice(&self.scores[moved.clone()]);
        rest.slots[..moved.len()].copy_from_slice(&self.slots[moved.clone()]);
        rest.len = moved.len() as u8;
        self.len = at as u8;
        rest
    }

    /// Appends another row, for which there is room.
    pub fn append(&mut self, other: &Self) {
        let (len, more) = (self.len(), other.len());
        self.scores[len..len + more].copy_from_slice(&other.scores[..more]);
        self.slots[len..len + more].copy_from_slice(&other.slots[..more]);
        self.len += other.len;
    }
}
