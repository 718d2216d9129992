//! The savepoints of one run of a script, by the names that the script has for them.

use crate::keyspace::Savepoint;

/// The savepoints that a script can go back to, oldest first.
#[derive(Debug, Default)]
pub struct Savepoints {
    points: Vec<(u64, Savepoint)>,
    /// Names are not given twice in a run.
    next_name: u64,
}

/// Savepoints that one run may have at a time.
const POINTS_MAX: usize = 1 << 16;

impl Savepoints {
    /// Adds a savepoint; its name, or `None` if there are too many.
    pub fn add(&mut self, point: Savepoint) -> Option<u64> {
        if self.points.len() == POINTS_MAX {
            return None;
        }
        let name = self.next_name;
        self.next_name += 1;
        self.points.push((name, point));
        Some(name)
    }

    /// The savepoint of this name, which stays; those after it are gone. `None`: it is gone itself.
    pub fn go_back_to(&mut self, name: u64) -> Option<Savepoint> {
        let at = self
            .points
            .binary_search_by_key(&name, |(name, _)| *name)
            .ok()?;
        self.points.truncate(at + 1);
        Some(self.points[at].1)
    }
}
