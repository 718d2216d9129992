//! Records in the order in which they were written become what they say last, in the order of a table.
//!
//! The records stay where they are; what is sorted are numbers of eight bytes, a record's rank and its place, so that
//! most of the work happens in the cache. Only records of the same rank are compared by their names.

use std::hint::black_box;

use crate::batch::{MalformedRecord, Records};
use crate::order::{Covers, Order, Rank, name};
use crate::{Op, Result};

/// Records whose waits for memory overlap.
const TOGETHER: usize = 32;
/// Up to so many records of one rank are compared by name; more are first sorted by a part of it.
const FEW: usize = 16;

pub(crate) struct Chunk {
    order: Order,
    bytes: Vec<u8>,
    /// A rank less one in the upper half, a place in `bytes` in the lower.
    places: Vec<u64>,
    /// Their ages are places.
    covers: Covers,
}

/// A record among those of its rank.
#[derive(Clone, Copy)]
struct Item {
    /// See [`part`]; when all are sorted, [`SUPERSEDED`] where a newer record has the same name.
    part: u64,
    at: u32,
}

/// No part of a name.
const SUPERSEDED: u64 = u64::MAX;

impl Chunk {
    /// One with room for so many bytes of records.
    pub(crate) fn new(order: Order, bytes: usize) -> Chunk {
        Chunk {
            order,
            bytes: Vec::with_capacity(bytes),
            places: Vec::new(),
            covers: Covers::default(),
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the records of a frame.
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), MalformedRecord> {
        let start = self.bytes.len();
        assert!(
            u32::try_from(start + payload.len()).is_ok(),
            "a chunk is smaller than its places can say"
        );
        self.bytes.extend_from_slice(payload);
        let mut records = Records::new(payload);
        loop {
            let at = (start + payload.len() - records.rest_len()) as u64;
            let Some(op) = records.next() else {
                return Ok(());
            };
            let op = op?;
            match (self.order.rank(op), op) {
                (0, Op::DeletePrefix { prefix }) => self.covers.wide.note(prefix, at),
                (rank, _) => self.places.push((rank - 1) << 32 | at),
            }
        }
    }

    /// Hands over what the records say last, in the order of a table.
    pub(crate) fn finish(
        &mut self,
        visit: &mut dyn FnMut(Rank, Op<'_>) -> Result<()>,
    ) -> Result<()> {
        for prefix in self.covers.wide.sorted() {
            visit(0, Op::DeletePrefix { prefix })?;
        }
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable();
        let mut covers = std::mem::take(&mut self.covers);
        let (mut items, mut warmed) = (Vec::new(), 0);
        let mut rest = places.as_slice();
        while let Some(&first) = rest.first() {
            let done = places.len() - rest.len();
            if done >= warmed {
                warmed = done + TOGETHER;
                self.warm(rest.iter().take(TOGETHER).map(|place| *place as u32));
            }
            let hash = first >> 32;
            let len = rest
                .iter()
                .take_while(|place| **place >> 32 == hash)
                .count();
            let (same, after) = rest.split_at(len);
            rest = after;
            if let [only] = same {
                self.visit(hash + 1, *only as u32, &mut covers, visit)?;
                continue;
            }
            items.clear();
            items.extend(same.iter().map(|place| Item {
                part: 0,
                at: *place as u32,
            }));
            self.sort(&mut items, 0);
            items.retain(|item| item.part != SUPERSEDED);
            for together in items.chunks(TOGETHER) {
                if together.len() > 1 {
                    self.warm(together.iter().map(|item| item.at));
                }
                for item in together {
                    self.visit(hash + 1, item.at, &mut covers, visit)?;
                }
            }
        }
        Ok(())
    }

    /// Hands over the last record of a name, unless a newer one takes it away.
    fn visit(
        &self,
        rank: Rank,
        at: u32,
        covers: &mut Covers,
        visit: &mut dyn FnMut(Rank, Op<'_>) -> Result<()>,
    ) -> Result<()> {
        let (op, age) = (self.op(at), u64::from(at));
        if covers.take_away(name(op).0, age) {
            return Ok(());
        }
        if let Op::DeletePrefix { prefix } = op {
            covers.push(prefix, age);
        }
        visit(rank, op)
    }

    /// Sorts by name and class, and marks those after which another of the same name and class was written. They come in
    /// the order in which they were written, and the first `depth` bytes of all names are the same.
    fn sort(&self, items: &mut [Item], depth: usize) {
        let Some((first, others)) = items.split_first() else {
            return;
        };
        let (first_name, first_class) = name(self.op(first.at));
        let (mut shared, mut same) = (first_name.len(), true);
        for item in others {
            let (other, class) = name(self.op(item.at));
            shared = depth + common_len(&first_name[depth..shared], &other[depth..]);
            same &= shared == first_name.len()
                && other.len() == first_name.len()
                && class == first_class;
        }
        if same {
            return supersede(items);
        }
        if items.len() <= FEW {
            items.sort_by(|a, b| name(self.op(a.at)).cmp(&name(self.op(b.at))));
            for equal in items.chunk_by_mut(|a, b| name(self.op(a.at)) == name(self.op(b.at))) {
                supersede(equal);
            }
            return;
        }
        for item in &mut *items {
            item.part = part(name(self.op(item.at)), shared);
        }
        items.sort_unstable_by_key(|item| (item.part, item.at));
        for equal in items.chunk_by_mut(|a, b| a.part == b.part) {
            if is_whole(equal[0].part) {
                supersede(equal);
            } else {
                self.sort(equal, shared);
            }
        }
    }

    fn op(&self, at: u32) -> Op<'_> {
        let mut records = Records::new(&self.bytes[at as usize..]);
        let op = records.next().and_then(Result::ok);
        op.expect("it was decoded when it was pushed")
    }

    /// Reads what will be needed, without waiting for one before the next is asked for.
    fn warm(&self, places: impl Iterator<Item = u32>) {
        black_box(places.fold(0, |seen, at| seen ^ self.bytes[at as usize]));
    }
}

/// Marks all but the last.
fn supersede(items: &mut [Item]) {
    if let Some((last, others)) = items.split_last_mut() {
        last.part = 0;
        for item in others {
            item.part = SUPERSEDED;
        }
    }
}

/// Seven bytes of a name, those after the first `depth`, then how many there are and the class: it sorts as the names do, as far
/// as it goes.
fn part((name, class): (&[u8], u8), depth: usize) -> u64 {
    let rest = &name[depth..];
    let mut bytes = [0; 8];
    let len = rest.len().min(PART_BYTES);
    bytes[..len].copy_from_slice(&rest[..len]);
    bytes[PART_BYTES] = if rest.len() > PART_BYTES {
        MORE
    } else {
        2 * len as u8 + class
    };
    u64::from_be_bytes(bytes)
}

const PART_BYTES: usize = 7;
/// The last byte of a part after which the name goes on.
const MORE: u8 = 2 * PART_BYTES as u8 + 2;

/// Whether equal parts mean equal names and classes.
fn is_whole(part: u64) -> bool {
    part as u8 != MORE
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
