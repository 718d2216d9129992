//! A node: up to a few thousand bytes of entries in one listpack, laid out as Redis does.
//!
//! ```text
//! node   = live deleted fields field* 0 entry*           (the master: the fields of the node's first entry)
//! entry  = flags ms seq value* back                      (flags 2: it has the master's fields)
//!        | flags ms seq fields (field value)* back
//! ```
//!
//! Each of these is an item of the listpack. `ms` and `seq` are what the entry's id has beyond the node's first id, and
//! `back` is the number of the entry's items before it. An entry with the flag 1 is deleted: it stays where it is until the
//! whole node goes, so that deleting moves nothing.

use super::StreamId;
use crate::value::listpack::{Item, Iter, Pos};
use crate::value::{Limits, Listpack};

const FLAG_DELETED: i64 = 1;
const FLAG_SAME_FIELDS: i64 = 2;

/// Items of the master that are not fields: three counts before, a zero after.
const MASTER_ITEMS: usize = 4;
/// Flags and id.
const ENTRY_HEAD_ITEMS: usize = 3;

#[derive(Clone, Debug)]
pub struct Node {
    /// The id that the entries' are counted from: that of the first entry which the node ever had.
    first: StreamId,
    pack: Listpack,
}

/// An entry as it stands in its node.
#[derive(Clone)]
pub struct Entry<'a> {
    pub id: StreamId,
    pub fields: Fields<'a>,
    flags: i64,
    /// Where its flags are.
    pos: Pos,
}

impl Entry<'_> {
    #[inline]
    pub fn is_live(&self) -> bool {
        self.flags & FLAG_DELETED == 0
    }
}

/// The fields of an entry with their values.
#[derive(Clone)]
pub struct Fields<'a> {
    /// The names, where they are the master's.
    names: Option<Iter<'a>>,
    items: Iter<'a>,
    left: usize,
}

impl Fields<'_> {
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an entry has a field")]
    pub fn len(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => names.next(),
            None => self.items.next(),
        };
        Some((name?, self.items.next()?))
    }
}

impl Node {
    /// A node with one entry.
    pub fn new<'f>(
        id: StreamId,
        fields: impl Iterator<Item = (Item<'f>, Item<'f>)> + Clone,
    ) -> Self {
        let count = fields.clone().count();
        let mut pack = Listpack::new();
        let master = [1, 0, count as i64].map(Item::Int);
        let names = fields.clone().map(|(name, _)| name);
        let head = [0, FLAG_SAME_FIELDS, 0, 0].map(Item::Int);
        let values = fields.map(|(_, value)| value);
        let back = Item::Int((ENTRY_HEAD_ITEMS + count) as i64);
        pack.extend(
            master
                .into_iter()
                .chain(names)
                .chain(head)
                .chain(values)
                .chain([back]),
        );
        Self { first: id, pack }
    }

    /// Takes a node that a stranger serialized. `None`: it is not laid out as it should be.
    pub fn from_pack(first: StreamId, pack: Listpack) -> Option<Self> {
        let node = Self { first, pack };
        node.check()?;
        Some(node)
    }

    /// Reads all of it as far as it can be wrong.
    fn check(&self) -> Option<()> {
        let mut items = self.pack.iter();
        let mut count = || usize::try_from(items.next().and_then(int)?).ok();
        let (live, deleted, names) = (count()?, count()?, count()?);
        if live.checked_add(deleted)? == 0 {
            return None;
        }
        skip(&mut items, names)?;
        (items.next().and_then(int)? == 0).then_some(())?;
        let (mut found, mut marked, mut last) = (0, 0, None);
        while let Some(flags) = items.next() {
            let flags = int(flags)?;
            let (ms, seq) = (int(items.next()?)?, int(items.next()?)?);
            let id = self.id(ms, seq);
            let is_live = flags & FLAG_DELETED == 0;
            // The id of a deleted entry may have come again.
            if id < self.first || (is_live && last.is_some_and(|last| id <= last)) {
                return None;
            }
            last = last.max(Some(id).filter(|_| is_live));
            let payload = if flags & FLAG_SAME_FIELDS != 0 {
                skip(&mut items, names)?;
                names
            } else {
                let fields = usize::try_from(int(items.next()?)?).ok()?;
                let both = fields.checked_mul(2)?;
                skip(&mut items, both)?;
                both + 1
            };
            let back = usize::try_from(int(items.next()?)?).ok()?;
            (back == ENTRY_HEAD_ITEMS + payload).then_some(())?;
            if is_live {
                found += 1;
            } else {
                marked += 1;
            }
        }
        (found == live && marked == deleted).then_some(())
    }

    /// Whether another entry, whose fields and values have so many bytes, belongs into a node of its own.
    pub fn is_full(&self, more: usize, limits: &Limits) -> bool {
        let bytes_max = match limits.stream_node_max_bytes {
            0 => Listpack::BYTES_MAX,
            bytes => bytes.min(Listpack::BYTES_MAX),
        };
        let entries_max = limits.stream_node_max_entries;
        self.pack.bytes().len() + more >= bytes_max
            || (entries_max > 0 && self.live() + self.deleted() >= entries_max)
    }

    /// Appends an entry; its id is above all that the node has.
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (Item<'f>, Item<'f>)> + Clone,
    ) {
        let ms = id.ms.wrapping_sub(self.first.ms) as i64;
        let seq = id.seq.wrapping_sub(self.first.seq) as i64;
        self.add_counts(1, 0);
        let mut names = self.names();
        let count = names.len();
        let all_same = fields.clone().all(|(name, _)| names.next() == Some(name));
        if all_same && names.len() == 0 {
            let head = [FLAG_SAME_FIELDS, ms, seq].map(Item::Int);
            let values = fields.map(|(_, value)| value);
            let back = Item::Int((ENTRY_HEAD_ITEMS + count) as i64);
            self.pack
                .extend(head.into_iter().chain(values).chain([back]));
        } else {
            let count = fields.clone().count();
            let head = [0, ms, seq, count as i64].map(Item::Int);
            let both = fields.flat_map(|(name, value)| [name, value]);
            let back = Item::Int((ENTRY_HEAD_ITEMS + 1 + 2 * count) as i64);
            self.pack.extend(head.into_iter().chain(both).chain([back]));
        }
    }

    /// Takes the last entry away again, which is live and not the only one.
    pub fn pop(&mut self) {
        let Some(last) = self.entries_back().next() else {
            unreachable!("a node has an entry");
        };
        let pos = last.pos;
        debug_assert!(last.is_live(), "it was pushed a moment ago");
        self.pack.remove_at(pos, usize::MAX);
        self.add_counts(-1, 0);
    }

    #[inline]
    pub fn first(&self) -> StreamId {
        self.first
    }

    /// The id of the last entry, also of one that is deleted.
    pub fn last(&self) -> StreamId {
        self.entries_back()
            .next()
            .map_or(self.first, |entry| entry.id)
    }

    /// The highest id of an entry that is not deleted.
    pub fn last_live(&self) -> Option<StreamId> {
        let live = self.entries_back().find(Entry::is_live);
        live.map(|entry| entry.id)
    }

    /// Entries that are not deleted.
    #[inline]
    pub fn live(&self) -> usize {
        self.count(0)
    }

    pub fn deleted(&self) -> usize {
        self.count(1)
    }

    /// Marks an entry as deleted, or as live again. `None`: there is none such with this id.
    pub fn mark(&mut self, id: StreamId, deleted: bool) -> Option<()> {
        let is_it = |entry: &Entry<'_>| entry.id == id && entry.is_live() == deleted;
        // Of several deleted ones with this id, which XSETID can lead to, the last was deleted last.
        let entry = if deleted {
            self.entries().find(is_it)?
        } else {
            self.entries_back().find(is_it)?
        };
        let (pos, flags) = (entry.pos, entry.flags ^ FLAG_DELETED);
        self.pack.replace_at(pos, flags);
        let sign = if deleted { 1 } else { -1 };
        self.add_counts(-sign, sign);
        Some(())
    }

    /// All entries, also those that are deleted.
    #[inline]
    pub fn entries(&self) -> Entries<'_> {
        let mut items = self.pack.iter();
        let names = self.names();
        let count = names.len();
        skip(&mut items, MASTER_ITEMS + count);
        Entries {
            node: self,
            items,
            names: names.items,
            count,
        }
    }

    /// The same from the last one on.
    pub fn entries_back(&self) -> EntriesBack<'_> {
        EntriesBack {
            forward: self.entries(),
            next: self.pack.last_pos(),
        }
    }

    pub fn pack(&self) -> &Listpack {
        &self.pack
    }

    pub fn heap_bytes(&self) -> usize {
        self.pack.heap_bytes()
    }

    #[inline]
    fn id(&self, ms: i64, seq: i64) -> StreamId {
        StreamId {
            ms: self.first.ms.wrapping_add(ms as u64),
            seq: self.first.seq.wrapping_add(seq as u64),
        }
    }

    #[inline]
    fn names(&self) -> Names<'_> {
        let mut items = self.pack.iter();
        items.nth(1);
        let left = number(items.next()) as usize;
        Names { items, left }
    }

    #[inline]
    fn count(&self, index: usize) -> usize {
        number(self.pack.iter().nth(index)) as usize
    }

    fn add_counts(&mut self, live: i64, deleted: i64) {
        let mut pos = self.pack.first_pos();
        for more in [live, deleted] {
            let Some(at) = pos else {
                unreachable!("a node has its counts");
            };
            if more != 0 {
                let count = number(Some(self.pack.at(at)));
                self.pack.replace_at(at, count + more);
            }
            pos = self.pack.next(at);
        }
    }
}

/// The names of the master's fields.
struct Names<'a> {
    items: Iter<'a>,
    left: usize,
}

impl Names<'_> {
    fn len(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.items.next()
    }
}

/// The entries of a node in the order of their ids.
#[derive(Clone)]
pub struct Entries<'a> {
    node: &'a Node,
    items: Iter<'a>,
    /// From the master's first field on.
    names: Iter<'a>,
    /// The number of the master's fields.
    count: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let pos = self.items.pos();
        let flags = number(Some(self.items.next()?));
        let (ms, seq) = (number(self.items.next()), number(self.items.next()));
        let is_same = flags & FLAG_SAME_FIELDS != 0;
        let (left, payload) = if is_same {
            (self.count, self.count)
        } else {
            let left = number(self.items.next()) as usize;
            (left, 2 * left)
        };
        let fields = Fields {
            names: is_same.then(|| self.names.clone()),
            items: self.items.clone(),
            left,
        };
        skip(&mut self.items, payload + 1);
        Some(Entry {
            id: self.node.id(ms, seq),
            fields,
            flags,
            pos,
        })
    }
}

/// The entries of a node from the last one on.
pub struct EntriesBack<'a> {
    /// Stands before the first entry, whatever has been read.
    forward: Entries<'a>,
    /// The last item of the next entry to read.
    next: Option<Pos>,
}

impl<'a> Iterator for EntriesBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let pack = &self.forward.node.pack;
        let mut pos = self.next.filter(|pos| *pos > self.forward.items.pos())?;
        for _ in 0..number(Some(pack.at(pos))) {
            pos = pack.previous(pos)?;
        }
        self.next = pack.previous(pos);
        let mut here = self.forward.clone();
        here.items = pack.iter_from(pos);
        here.next()
    }
}

/// An item that is a number, because the node was made here or has been checked.
#[inline]
fn number(item: Option<Item<'_>>) -> i64 {
    match item.and_then(int) {
        Some(number) => number,
        None => unreachable!("a node's numbers are where its layout says"),
    }
}

#[inline]
fn int(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(number) => Some(number),
        Item::Bytes(_) => None,
    }
}

/// Skips so many items. `None`: there are not so many.
#[inline]
fn skip(items: &mut Iter<'_>, count: usize) -> Option<()> {
    match count {
        0 => Some(()),
        _ => items.nth(count - 1).map(|_| ()),
    }
}
