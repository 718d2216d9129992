//! The hash: fields with values, and with times at which they end.
//!
//! Invariants:
//! - A small hash is a listpack of fields and values by turns, in the order in which fields were added; a large one a table
//!   ([`Dense`]) of pairs. It grows from one to the other by the options `hash-max-listpack-*`, and never shrinks back.
//! - A hash none of whose fields has an expiry carries nothing for it. The expiries of one that has them stand beside the
//!   fields, so that a field's value and place are the same with and without.
//! - What changes a hash returns what undoes it: [`Place`]s are good for the undoing, in reverse.

mod iter;
mod pair;
#[cfg(test)]
mod tests;
mod times;

use super::dense::{Dense, KeyHash};
use super::listpack::{Item, Listpack, Pos};
use super::{Limits, StrBuf};

pub use iter::Iter;
pub use pair::Pair;
pub use times::Times;

/// A hash.
#[derive(Clone, Debug)]
pub struct Hash(Form);

#[derive(Clone, Debug)]
enum Form {
    Plain(Fields),
    Timed(Box<Timed>),
}

/// Fields, some of which end.
#[derive(Clone, Debug)]
struct Timed {
    fields: Fields,
    times: Times,
}

#[derive(Clone, Debug)]
enum Fields {
    Compact(Listpack),
    Large(Box<Dense<Pair>>),
}

const _: () = assert!(size_of::<Hash>() == 24, "a key's entry stays small");

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Compact(Pos),
    /// After all others of a small hash.
    CompactEnd,
    Large(u32),
}

/// What setting a field did.
#[derive(Debug)]
pub enum HashSet {
    /// The field stands after all others.
    Added,
    Replaced {
        place: Place,
        old: StrBuf,
    },
}

/// A field that was removed.
#[derive(Debug)]
pub struct Removed {
    place: Place,
    pair: Pair,
    at_ms: Option<i64>,
}

impl Removed {
    pub fn had_expiry(&self) -> bool {
        self.at_ms.is_some()
    }
}

impl Hash {
    #[inline]
    pub fn len(&self) -> usize {
        match self.fields() {
            Fields::Compact(pack) => pack.len() / 2,
            Fields::Large(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self.fields() {
            Fields::Compact(pack) => pack.is_empty(),
            Fields::Large(table) => table.is_empty(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Item<'_>> {
        match self.fields() {
            Fields::Compact(pack) => {
                let pos = pack.next(pack.find(field, 2)?)?;
                Some(pack.at(pos))
            }
            Fields::Large(table) => table.get(field).map(|pair| Item::Bytes(pair.value())),
        }
    }

    /// The field at an index below `len`, with its value: for choosing at random.
    pub fn at(&self, index: usize) -> (Item<'_>, Item<'_>) {
        match self.fields() {
            Fields::Compact(pack) => {
                let pair = pack.pos(2 * index).map(|pos| pack.iter_from(pos));
                let Some((Some(field), Some(value))) = pair.map(|mut i| (i.next(), i.next()))
                else {
                    unreachable!("the caller named an index below the length");
                };
                (field, value)
            }
            Fields::Large(table) => {
                let pair = table.at(index);
                (Item::Bytes(pair.field()), Item::Bytes(pair.value()))
            }
        }
    }

    pub fn iter(&self) -> Iter<'_> {
        match self.fields() {
            Fields::Compact(pack) => Iter::compact(pack.len() / 2, pack.iter()),
            Fields::Large(table) => Iter::large(table),
        }
    }

    /// Visits about `count` fields from the cursor on (of a small hash all) and returns the next cursor; 0 is the start
    /// and the end.
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Item<'_>, Item<'_>),
    ) -> u64 {
        match self.fields() {
            Fields::Compact(_) => {
                self.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            Fields::Large(table) => table.scan(cursor, count, |pair| {
                visit(Item::Bytes(pair.field()), Item::Bytes(pair.value()));
            }),
        }
    }

    /// Whether reaching a field means walking to it.
    pub fn is_small(&self) -> bool {
        self.listpack().is_some()
    }

    /// The bytes of a small hash, of which DUMP is a copy.
    pub fn listpack(&self) -> Option<&Listpack> {
        match self.fields() {
            Fields::Compact(pack) => Some(pack),
            Fields::Large(_) => None,
        }
    }

    /// Takes a listpack of fields and values by turns; the caller knows that no field is in it twice.
    pub fn from_listpack(pack: Listpack, limits: &Limits) -> Self {
        let mut hash = Self(Form::Plain(Fields::Compact(pack)));
        if hash.len() > limits.hash_max_listpack_entries {
            hash.grow();
        }
        hash
    }

    /// Makes the hash large where the field and its value, or one more field, are too much for a small one. Returns the
    /// small one.
    #[inline]
    #[must_use]
    pub fn make_room(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> Option<Listpack> {
        let Fields::Compact(pack) = self.fields() else {
            return None;
        };
        let longest = limits.hash_max_listpack_value;
        let most = limits.hash_max_listpack_entries;
        let fits = field.len() <= longest && value.len() <= longest;
        let fits = fits && pack.has_room(field.len() + value.len());
        let len = pack.len() / 2;
        if fits && (len < most || len == most && pack.find(field, 2).is_some()) {
            return None;
        }
        self.grow()
    }

    /// Sets a field, whose expiry stays. The caller has made room.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> HashSet {
        match self.fields_mut() {
            Fields::Compact(pack) => {
                let found = pack.find(field, 2).and_then(|pos| pack.next(pos));
                let Some(pos) = found else {
                    pack.extend([field, value]);
                    return HashSet::Added;
                };
                let old = text_of(pack.at(pos));
                pack.replace_at(pos, value);
                let place = Place::Compact(pos);
                HashSet::Replaced { place, old }
            }
            Fields::Large(table) => {
                let hash = KeyHash::of(field);
                let Some(position) = table.find(hash, field) else {
                    table.push(hash, Pair::new(field, value));
                    return HashSet::Added;
                };
                let pair = table.at_mut(position);
                let old = StrBuf::from_slice(pair.value());
                pair.set_value(value);
                let place = Place::Large(position as u32);
                HashSet::Replaced { place, old }
            }
        }
    }

    /// Removes a field with its expiry.
    pub fn remove(&mut self, field: &[u8]) -> Option<Removed> {
        let removed = match self.fields_mut() {
            Fields::Compact(pack) => {
                let pos = pack.find(field, 2)?;
                let value = pack.next(pos).map(|pos| text_of(pack.at(pos)))?;
                pack.remove_at(pos, 2);
                Removed {
                    place: if pos_is_end(pack, pos) {
                        Place::CompactEnd
                    } else {
                        Place::Compact(pos)
                    },
                    pair: Pair::new(field, &value),
                    at_ms: None,
                }
            }
            Fields::Large(table) => {
                let position = table.find(KeyHash::of(field), field)?;
                Removed {
                    place: Place::Large(position as u32),
                    pair: table.take(position),
                    at_ms: None,
                }
            }
        };
        Some(Removed {
            at_ms: self.set_expiry(field, None),
            ..removed
        })
    }

    /// Undoes the adding of a field.
    pub fn undo_added(&mut self) {
        match self.fields_mut() {
            Fields::Compact(pack) => {
                let len = pack.len();
                pack.remove(len - 2, 2);
            }
            Fields::Large(table) => {
                let last = table.len() - 1;
                table.take(last);
            }
        }
    }

    /// Undoes the replacing of a value.
    pub fn undo_replaced(&mut self, place: Place, old: &[u8]) {
        match (self.fields_mut(), place) {
            (Fields::Compact(pack), Place::Compact(pos)) => pack.replace_at(pos, old),
            (Fields::Large(table), Place::Large(position)) => {
                table.at_mut(position as usize).set_value(old);
            }
            _ => unreachable!("growing is undone in its turn"),
        }
    }

    /// Undoes the removal of a field.
    pub fn undo_removed(&mut self, removed: Removed) {
        let Removed { place, pair, at_ms } = removed;
        if at_ms.is_some() {
            self.set_expiry(pair.field(), at_ms);
        }
        match (self.fields_mut(), place) {
            (Fields::Compact(pack), Place::CompactEnd) => {
                pack.extend([pair.field(), pair.value()]);
            }
            (Fields::Compact(pack), Place::Compact(pos)) => {
                pack.insert_before(pos, pair.value());
                pack.insert_before(pos, pair.field());
            }
            (Fields::Large(table), Place::Large(position)) => {
                table.put_back(position as usize, pair);
            }
            _ => unreachable!("growing is undone in its turn"),
        }
    }

    /// Undoes the growing of a small hash.
    pub fn undo_grown(&mut self, pack: Listpack) {
        *self.fields_mut() = Fields::Compact(pack);
    }

    /// The times at which fields end, where there are any.
    #[inline]
    pub fn times(&self) -> Option<&Times> {
        match &self.0 {
            Form::Plain(_) => None,
            Form::Timed(timed) => Some(&timed.times),
        }
    }

    /// When a field ends.
    pub fn expiry(&self, field: &[u8]) -> Option<i64> {
        self.times().and_then(|times| times.get(field))
    }

    /// Whether some field has ended by then.
    #[inline]
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.times()
            .and_then(Times::first)
            .is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Whether all fields have ended by then.
    pub fn is_over(&self, now_ms: i64) -> bool {
        let last = self.times().filter(|times| times.len() == self.len());
        last.and_then(Times::last)
            .is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Sets when a field that is there ends (`None`: never). Returns what was set before.
    #[inline]
    pub fn set_expiry(&mut self, field: &[u8], at_ms: Option<i64>) -> Option<i64> {
        match (&mut self.0, at_ms) {
            (Form::Plain(_), None) => None,
            (Form::Plain(fields), Some(_)) => {
                let fields = std::mem::replace(fields, Fields::Compact(Listpack::new()));
                let mut times = Times::default();
                times.set(field, at_ms);
                self.0 = Form::Timed(Box::new(Timed { fields, times }));
                None
            }
            (Form::Timed(timed), _) => {
                let before = timed.times.set(field, at_ms);
                if timed.times.is_empty() {
                    let empty = Fields::Compact(Listpack::new());
                    self.0 = Form::Plain(std::mem::replace(&mut timed.fields, empty));
                }
                before
            }
        }
    }

    pub fn encoding(&self) -> &'static str {
        match (&self.0, self.fields()) {
            (Form::Plain(_), Fields::Compact(_)) => "listpack",
            (Form::Timed(_), Fields::Compact(_)) => "listpackex",
            (_, Fields::Large(_)) => "hashtable",
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let fields = match self.fields() {
            Fields::Compact(pack) => pack.heap_bytes(),
            Fields::Large(table) => size_of::<Dense<Pair>>() + table.heap_bytes(),
        };
        let times = self.times().map(Times::heap_bytes);
        fields + times.map_or(0, |bytes| size_of::<Timed>() + bytes)
    }

    #[inline]
    fn fields(&self) -> &Fields {
        match &self.0 {
            Form::Plain(fields) => fields,
            Form::Timed(timed) => &timed.fields,
        }
    }

    #[inline]
    fn fields_mut(&mut self) -> &mut Fields {
        match &mut self.0 {
            Form::Plain(fields) => fields,
            Form::Timed(timed) => &mut timed.fields,
        }
    }

    /// Makes a small hash large and returns the small one.
    #[cold]
    fn grow(&mut self) -> Option<Listpack> {
        let len = self.len();
        let Fields::Compact(pack) = self.fields_mut() else {
            return None;
        };
        let mut table = Dense::with_capacity(len + 1);
        for (field, value) in Iter::compact(len, pack.iter()) {
            let mut texts = [itoa::Buffer::new(), itoa::Buffer::new()];
            let [field_text, value_text] = &mut texts;
            let field = field.bytes(field_text);
            let pair = Pair::new(field, value.bytes(value_text));
            table.push(KeyHash::of(field), pair);
        }
        match std::mem::replace(self.fields_mut(), Fields::Large(Box::new(table))) {
            Fields::Compact(pack) => Some(pack),
            Fields::Large(_) => unreachable!("seen above"),
        }
    }
}

/// Whether a position that was an entry's is now the end.
fn pos_is_end(pack: &Listpack, pos: Pos) -> bool {
    pack.last_pos().is_none_or(|last| last < pos)
}

fn text_of(item: Item<'_>) -> StrBuf {
    StrBuf::from_slice(item.bytes(&mut itoa::Buffer::new()))
}

impl<'a> IntoIterator for &'a Hash {
    type Item = (Item<'a>, Item<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self(Form::Plain(Fields::Compact(Listpack::new())))
    }
}

impl PartialEq for Hash {
    /// By content: neither order nor form matters.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.times() == other.times()
            && self.iter().all(|(field, value)| {
                let mut text = itoa::Buffer::new();
                other.get(field.bytes(&mut text)) == Some(value)
            })
    }
}
