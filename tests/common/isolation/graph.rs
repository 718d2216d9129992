//! The graph of who must stand before whom, and the cycles in it.

use super::history::{Key, Outcome, Txn};
use super::{Anomaly, Violation};
use Why::{Earlier, Overwrote, OverwroteRead, ReadFrom};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// ww
    Overwrote,
    /// wr
    ReadFrom,
    /// rw
    OverwroteRead,
    /// Its session had asked before, or had its answer before the other asked.
    Earlier,
}

#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    pub before: usize,
    pub after: usize,
    pub why: Why,
    pub key: Key,
}

/// Looks for a cycle, for the worst kind first.
pub fn check(history: &[Txn], dependencies: &[Dependency]) -> Result<(), Violation> {
    let graph = Graph::new(history, dependencies);
    let suspects = graph.in_cycles();
    if suspects.iter().all(|suspect| !suspect) {
        return Ok(());
    }
    let searches: [(Anomaly, &[Why], usize); 5] = [
        (Anomaly::DirtyWrite, &[Overwrote], 0),
        (Anomaly::CircularInformation, &[Overwrote, ReadFrom], 0),
        (
            Anomaly::SingleAntiDependency,
            &[Overwrote, ReadFrom, OverwroteRead],
            1,
        ),
        (
            Anomaly::AntiDependency,
            &[Overwrote, ReadFrom, OverwroteRead],
            usize::MAX,
        ),
        (
            Anomaly::RealTime,
            &[Overwrote, ReadFrom, OverwroteRead, Earlier],
            usize::MAX,
        ),
    ];
    for (anomaly, allowed, overwritten_max) in searches {
        if let Some(cycle) = graph.shortest_cycle(&suspects, allowed, overwritten_max) {
            let text = graph.describe(history, &cycle);
            return Err(Violation { anomaly, text });
        }
    }
    unreachable!("what is left over has a cycle");
}

#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    why: Why,
    key: Option<Key>,
}

/// Transactions, then for each end of one a moment, so that real time needs few edges.
struct Graph {
    transactions: usize,
    edges: Vec<Vec<Edge>>,
}

impl Graph {
    fn new(history: &[Txn], dependencies: &[Dependency]) -> Self {
        let mut graph = Self {
            transactions: history.len(),
            edges: vec![Vec::new(); history.len()],
        };
        for dependency in dependencies {
            graph.edges[dependency.before].push(Edge {
                to: dependency.after,
                why: dependency.why,
                key: Some(dependency.key),
            });
        }
        graph.add_real_time(history);
        graph.add_sessions(history);
        graph
    }

    /// A moment comes after the transaction that ended then and after the moment before; who began later comes after it.
    fn add_real_time(&mut self, history: &[Txn]) {
        let mut ended: Vec<usize> = (0..history.len())
            .filter(|at| history[*at].outcome == Outcome::Committed)
            .collect();
        ended.sort_by_key(|at| history[*at].ended);
        let first_moment = self.edges.len();
        for (index, txn) in ended.iter().enumerate() {
            let moment = first_moment + index;
            self.edges.push(Vec::new());
            self.earlier(*txn, moment);
            if index > 0 {
                self.earlier(moment - 1, moment);
            }
        }
        for (at, txn) in history.iter().enumerate() {
            let before = ended.partition_point(|other| history[*other].ended < txn.began);
            if let Some(moment) = before.checked_sub(1) {
                self.earlier(first_moment + moment, at);
            }
        }
    }

    /// A connection's requests are done in their order, also where it did not wait for the replies.
    fn add_sessions(&mut self, history: &[Txn]) {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (at, txn) in history.iter().enumerate() {
            if txn.outcome == Outcome::Committed
                && let Some(before) = last.insert(txn.session, at)
            {
                self.earlier(before, at);
            }
        }
    }

    fn earlier(&mut self, before: usize, after: usize) {
        self.edges[before].push(Edge {
            to: after,
            why: Why::Earlier,
            key: None,
        });
    }

    /// Takes away, again and again, what nothing points to. What remains leads out of a cycle or is in one.
    fn in_cycles(&self) -> Vec<bool> {
        let mut incoming = vec![0_usize; self.edges.len()];
        for edge in self.edges.iter().flatten() {
            incoming[edge.to] += 1;
        }
        let mut free: Vec<usize> = (0..incoming.len()).filter(|n| incoming[*n] == 0).collect();
        let mut remains = vec![true; incoming.len()];
        while let Some(node) = free.pop() {
            remains[node] = false;
            for edge in &self.edges[node] {
                incoming[edge.to] -= 1;
                if incoming[edge.to] == 0 {
                    free.push(edge.to);
                }
            }
        }
        remains
    }

    /// The shortest cycle of allowed edges, with at most so many of the kind "overwrote what it read".
    fn shortest_cycle(
        &self,
        suspects: &[bool],
        allowed: &[Why],
        overwritten_max: usize,
    ) -> Option<Vec<(usize, Edge)>> {
        let starts = (0..self.transactions).filter(|node| suspects[*node]);
        let cycles =
            starts.filter_map(|start| self.cycle_from(start, suspects, allowed, overwritten_max));
        cycles.min_by_key(Vec::len)
    }

    /// A walk in breadth. Where the kind "overwrote what it read" is counted, a node is passed once for each count.
    fn cycle_from(
        &self,
        start: usize,
        suspects: &[bool],
        allowed: &[Why],
        overwritten_max: usize,
    ) -> Option<Vec<(usize, Edge)>> {
        let counts = overwritten_max == 1;
        let mut came_by: HashMap<(usize, usize), ((usize, usize), Edge)> = HashMap::new();
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some(place) = queue.pop_front() {
            let (node, overwritten) = place;
            for edge in &self.edges[node] {
                if !suspects[edge.to] || !allowed.contains(&edge.why) {
                    continue;
                }
                let one_more = usize::from(edge.why == Why::OverwroteRead);
                if overwritten_max - overwritten < one_more {
                    continue;
                }
                let next = (edge.to, if counts { overwritten + one_more } else { 0 });
                if edge.to == start {
                    return Some(walk_back(&came_by, (start, 0), place, *edge));
                }
                if let Entry::Vacant(vacant) = came_by.entry(next) {
                    vacant.insert((place, *edge));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn describe(&self, history: &[Txn], cycle: &[(usize, Edge)]) -> String {
        let mut text = String::new();
        for (node, edge) in cycle {
            if *node < self.transactions {
                let _ = write!(text, "\n  {}", history[*node]);
            }
            let why = match edge.why {
                Why::Overwrote => "was overwritten by",
                Why::ReadFrom => "was read by",
                Why::OverwroteRead => "read what was overwritten by",
                Why::Earlier if edge.to >= self.transactions => continue,
                Why::Earlier => "was over before",
            };
            let _ = match edge.key {
                Some(key) => write!(text, "\n    {why}, in {key}:"),
                None => write!(text, "\n    {why}:"),
            };
        }
        text.push_str("\n  the first one.");
        text
    }
}

type Place = (usize, usize);

fn walk_back(
    came_by: &HashMap<Place, (Place, Edge)>,
    start: Place,
    last: Place,
    closing: Edge,
) -> Vec<(usize, Edge)> {
    let mut cycle = vec![(last.0, closing)];
    let mut place = last;
    while place != start {
        let (before, edge) = came_by[&place];
        cycle.push((before.0, edge));
        place = before;
    }
    cycle.reverse();
    cycle
}
