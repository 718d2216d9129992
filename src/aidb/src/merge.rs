//! Several tables read as one: of each name the newest record, without what newer tables take away.

use std::cmp::Ordering;
use std::ops::Range;

use crate::order::{Covers, Order, RANK_END, Rank, name};
use crate::table::{Cursor, Table};
use crate::{Op, Result};

pub(crate) struct Merge<'a> {
    /// The oldest table first; a table's place is its age.
    cursors: Vec<Cursor<'a>>,
    covers: Covers,
    /// What stands under the tables that deletions in them might take away.
    beneath: Beneath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beneath {
    Nothing,
    Something,
}

impl<'a> Merge<'a> {
    /// Reads the records whose ranks are in a range, of tables of which the oldest comes first.
    pub(crate) fn open(
        tables: &'a [Table],
        order: Order,
        ranks: &Range<Rank>,
        beneath: Beneath,
    ) -> Result<Merge<'a>> {
        let mut covers = Covers::default();
        for (age, table) in tables.iter().enumerate() {
            table.for_each_wide(order, &mut |prefix| {
                covers.wide.note(prefix, age as u64);
            })?;
        }
        let cursors = tables
            .iter()
            .map(|table| Cursor::open(table, order, ranks.clone()))
            .collect::<Result<Vec<_>>>()?;
        Ok(Merge {
            cursors,
            covers,
            beneath,
        })
    }

    /// Hands over the records in their order.
    pub(crate) fn run(self, visit: &mut dyn FnMut(Rank, Op<'_>) -> Result<()>) -> Result<()> {
        let Merge {
            mut cursors,
            mut covers,
            beneath,
        } = self;
        let mut same = Vec::with_capacity(cursors.len());
        while let Some(newest) = find_first(&cursors, &mut same) {
            let cursor = &cursors[newest];
            let (rank, op) = (cursor.rank(), cursor.op().expect("it is not at its end"));
            if keep(&mut covers, beneath, rank, newest as u64, op) {
                visit(rank, op)?;
            }
            for &index in &same {
                cursors[index].advance()?;
            }
        }
        Ok(())
    }
}

/// Fills `same` with the cursors that stand at the first name of all, and returns the newest of them.
fn find_first(cursors: &[Cursor<'_>], same: &mut Vec<usize>) -> Option<usize> {
    same.clear();
    let rank = cursors.iter().map(Cursor::rank).min()?;
    if rank == RANK_END {
        return None;
    }
    let mut first = None;
    for (index, cursor) in cursors.iter().enumerate() {
        let Some(op) = cursor.op().filter(|_| cursor.rank() == rank) else {
            continue;
        };
        match first.map_or(Ordering::Less, |first| name(op).cmp(&first)) {
            Ordering::Less => {
                first = Some(name(op));
                same.clear();
                same.push(index);
            }
            Ordering::Equal => same.push(index),
            Ordering::Greater => {}
        }
    }
    same.last().copied()
}

/// Whether a record is to be handed over; what it takes away from those that follow is noted.
fn keep(covers: &mut Covers, beneath: Beneath, rank: Rank, age: u64, op: Op<'_>) -> bool {
    if covers.take_away(name(op).0, age) {
        return false;
    }
    if let Op::DeletePrefix { prefix } = op
        && rank > 0
    {
        covers.push(prefix, age);
    }
    matches!(op, Op::Put { .. }) || beneath == Beneath::Something
}
