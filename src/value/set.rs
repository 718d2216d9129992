//! The set: an [`IntSet`] while it is small and has integers only, a table otherwise.

use super::Limits;
use super::dense::{Dense, KeyHash};
use super::intset::{IntSet, Width};
use super::member::Member;
use crate::base::number::parse_i64;

/// A set. A table stays one whatever is removed from it.
#[derive(Clone, Debug)]
pub enum Set {
    Ints(IntSet),
    Table(Box<Dense<Member>>),
}

/// The longest text of an `i64`.
const INT_TEXT_LEN_MAX: usize = 20;
/// Whatever the option says, no more integers than this are kept sorted.
const INTS_MAX: usize = 1 << 30;

/// A member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetMember<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> SetMember<'a> {
    /// The bytes; an integer's text is written into `text`.
    #[inline]
    pub fn bytes(self, text: &'a mut itoa::Buffer) -> &'a [u8] {
        match self {
            SetMember::Int(value) => text.format(value).as_bytes(),
            SetMember::Bytes(bytes) => bytes,
        }
    }
}

/// A member that is looked for in several sets: parsed and hashed once.
#[derive(Clone, Debug)]
pub struct Probe {
    form: ProbeForm,
    hash: Option<KeyHash>,
}

#[derive(Clone, Debug)]
enum ProbeForm {
    Int(i64),
    Bytes(Member),
}

/// What takes a change to a set back.
#[derive(Debug)]
pub enum SetChange {
    /// This integer was added to integers of this width.
    AddedInt(i64, Width),
    RemovedInt(i64),
    /// The last member of the table was added.
    Added,
    /// This member was taken from this position of the table.
    Removed(usize, Member),
    /// A member was added that made a table of these integers.
    Converted(IntSet),
}

impl Default for Set {
    fn default() -> Self {
        Set::Ints(IntSet::default())
    }
}

impl Set {
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => as_int(member).is_some_and(|value| ints.contains(value)),
            Set::Table(table) => table.find(KeyHash::of(member), member).is_some(),
        }
    }

    /// The position of a member.
    pub fn find(&self, probe: &Probe) -> Option<usize> {
        match (self, &probe.form) {
            (Set::Ints(ints), ProbeForm::Int(value)) => ints.find(*value).ok(),
            (Set::Ints(ints), ProbeForm::Bytes(member)) => {
                ints.find(as_int(member.as_slice())?).ok()
            }
            (Set::Table(table), ProbeForm::Int(value)) => {
                let mut text = itoa::Buffer::new();
                let bytes = text.format(*value).as_bytes();
                table.find(KeyHash::of(bytes), bytes)
            }
            (Set::Table(table), ProbeForm::Bytes(member)) => {
                let hash = probe.hash.unwrap_or_else(|| KeyHash::of(member.as_slice()));
                table.find(hash, member.as_slice())
            }
        }
    }

    /// The member at a position below `len`; an integer set's are ascending.
    #[inline]
    pub fn at(&self, position: usize) -> SetMember<'_> {
        match self {
            Set::Ints(ints) => SetMember::Int(ints.at(position)),
            Set::Table(table) => SetMember::Bytes(table.at(position).as_slice()),
        }
    }

    /// The member at a position below `len`, to look for in other sets.
    pub fn probe_at(&self, position: usize) -> Probe {
        match self {
            Set::Ints(ints) => Probe {
                form: ProbeForm::Int(ints.at(position)),
                hash: None,
            },
            Set::Table(table) => Probe {
                form: ProbeForm::Bytes(table.at(position).clone()),
                hash: Some(table.hash_at(position)),
            },
        }
    }

    /// Tells of each member by position.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(SetMember<'_>)) {
        match self {
            Set::Ints(ints) => ints.iter().for_each(|value| visit(SetMember::Int(value))),
            Set::Table(table) => table
                .iter()
                .for_each(|member| visit(SetMember::Bytes(member.as_slice()))),
        }
    }

    /// The members by position.
    pub fn iter(&self) -> impl Iterator<Item = SetMember<'_>> {
        (0..self.len()).map(|position| self.at(position))
    }

    /// Visits about `count` members from a cursor on and returns the next cursor; 0 is the start and the end. Integers are
    /// visited all at once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(SetMember<'_>)) -> u64 {
        match self {
            Set::Ints(ints) => {
                ints.iter().for_each(|value| visit(SetMember::Int(value)));
                0
            }
            Set::Table(table) => {
                table.scan(cursor, count, |m| visit(SetMember::Bytes(m.as_slice())))
            }
        }
    }

    /// Adds a member. `None`: it is there.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> Option<SetChange> {
        let table = match self {
            Set::Table(table) => table,
            Set::Ints(ints) => match as_int(member) {
                Some(value) => {
                    let position = ints.find(value).err()?;
                    let max = limits.set_max_intset_entries.min(INTS_MAX);
                    if ints.len() < max {
                        let width = ints.width();
                        ints.insert(position, value);
                        return Some(SetChange::AddedInt(value, width));
                    }
                    return Some(self.convert_and_push(member));
                }
                None => return Some(self.convert_and_push(member)),
            },
        };
        let hash = KeyHash::of(member);
        if table.find(hash, member).is_some() {
            return None;
        }
        table.push(hash, Member::from_slice(member));
        Some(SetChange::Added)
    }

    /// Removes a member. `None`: it is not there.
    pub fn remove(&mut self, member: &[u8]) -> Option<SetChange> {
        let position = match self {
            Set::Ints(ints) => ints.find(as_int(member)?).ok()?,
            Set::Table(table) => table.find(KeyHash::of(member), member)?,
        };
        Some(self.take(position))
    }

    /// Removes the member at a position below `len`.
    pub fn take(&mut self, position: usize) -> SetChange {
        match self {
            Set::Ints(ints) => SetChange::RemovedInt(ints.remove(position)),
            Set::Table(table) => SetChange::Removed(position, table.take(position)),
        }
    }

    /// Takes a change back; later ones have been taken back.
    pub fn undo(&mut self, change: SetChange) {
        match (change, &mut *self) {
            (SetChange::Converted(before), _) => *self = Set::Ints(before),
            (SetChange::AddedInt(value, width), Set::Ints(ints)) => ints.take_back(value, width),
            (SetChange::RemovedInt(value), Set::Ints(ints)) => {
                if let Err(position) = ints.find(value) {
                    ints.insert(position, value);
                }
            }
            (SetChange::Added, Set::Table(table)) => {
                table.take(table.len() - 1);
            }
            (SetChange::Removed(position, member), Set::Table(table)) => {
                table.put_back(position, member);
            }
            _ => unreachable!("later changes were taken back first"),
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Table(_) => "hashtable",
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.heap_bytes(),
            Set::Table(table) => size_of::<Dense<Member>>() + table.heap_bytes(),
        }
    }

    /// Makes a table of integers and adds a member that is not there.
    fn convert_and_push(&mut self, member: &[u8]) -> SetChange {
        let Set::Ints(ints) = std::mem::take(self) else {
            unreachable!("the caller saw integers");
        };
        let mut table = Dense::with_capacity(ints.len() + 1);
        let mut push = |bytes: &[u8]| table.push(KeyHash::of(bytes), Member::from_slice(bytes));
        let mut text = itoa::Buffer::new();
        ints.iter().for_each(|i| push(text.format(i).as_bytes()));
        push(member);
        *self = Set::Table(Box::new(table));
        SetChange::Converted(ints)
    }
}

impl PartialEq for Set {
    /// By content: neither order nor form matters.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|member| other.contains(member.bytes(&mut itoa::Buffer::new())))
    }
}

impl Probe {
    /// The member's bytes; an integer's text is written into `text`.
    pub fn bytes<'a>(&'a self, text: &'a mut itoa::Buffer) -> &'a [u8] {
        match &self.form {
            ProbeForm::Int(value) => text.format(*value).as_bytes(),
            ProbeForm::Bytes(member) => member.as_slice(),
        }
    }

    pub fn of(member: SetMember<'_>) -> Self {
        match member {
            SetMember::Int(value) => Self {
                form: ProbeForm::Int(value),
                hash: None,
            },
            SetMember::Bytes(bytes) => Self {
                form: ProbeForm::Bytes(Member::from_slice(bytes)),
                hash: Some(KeyHash::of(bytes)),
            },
        }
    }
}

/// The integer that a member is kept as among integers: the one whose text it is.
#[inline]
fn as_int(member: &[u8]) -> Option<i64> {
    if member.len() > INT_TEXT_LEN_MAX {
        return None;
    }
    parse_i64(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LIMITS: fn(usize) -> Limits = |set_max_intset_entries| Limits {
        set_max_intset_entries,
        ..Limits::default()
    };

    /// The members in their order, and what else can be seen.
    fn layout(set: &Set) -> (Vec<Vec<u8>>, &'static str, Vec<u8>) {
        let text = |member: SetMember<'_>| member.bytes(&mut itoa::Buffer::new()).to_vec();
        let bytes = match set {
            Set::Ints(ints) if ints.len() > 0 => ints.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        (set.iter().map(text).collect(), set.encoding(), bytes)
    }

    fn member() -> impl Strategy<Value = Vec<u8>> {
        let int = prop_oneof![9 => -20..20_i64, 1 => any::<i64>()];
        let text = prop::collection::vec(b'a'..b'c', 0..30);
        prop_oneof![
            40 => int.prop_map(|int| int.to_string().into_bytes()),
            1 => text,
            1 => Just(b"007".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_set_and_changes_are_undone(
            steps in prop::collection::vec((any::<bool>(), member()), 0..120),
            max in 0..30_usize,
        ) {
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            let mut undo = Vec::new();
            for (adds, member) in steps {
                let before = layout(&set);
                let change = if adds {
                    let change = set.insert(&member, &LIMITS(max));
                    prop_assert_eq!(change.is_some(), model.insert(member.clone()));
                    change
                } else {
                    let change = set.remove(&member);
                    prop_assert_eq!(change.is_some(), model.remove(&member));
                    change
                };
                undo.extend(change.map(|change| (before, change)));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(&member), model.contains(&member));
                let probe = Probe::of(SetMember::Bytes(&member));
                prop_assert_eq!(set.find(&probe).is_some(), model.contains(&member));
            }
            let mut members = layout(&set).0;
            members.sort();
            prop_assert!(members.iter().eq(model.iter()));
            for position in 0..set.len() {
                prop_assert_eq!(set.find(&set.probe_at(position)), Some(position));
            }
            for (before, change) in undo.into_iter().rev() {
                set.undo(change);
                prop_assert_eq!(layout(&set), before);
            }
        }

        #[test]
        fn forms_do_not_matter_to_equality(members in prop::collection::vec(member(), 0..30)) {
            let fill = |max: usize, members: &mut dyn Iterator<Item = &Vec<u8>>| {
                let mut set = Set::default();
                members.for_each(|member| drop(set.insert(member, &LIMITS(max))));
                set
            };
            let ints = fill(512, &mut members.iter());
            let mut table = fill(0, &mut members.iter().rev());
            prop_assert_eq!(&ints, &table);
            if table.remove(members.first().map_or(b"", Vec::as_slice)).is_some() {
                prop_assert_ne!(&ints, &table);
            }
        }
    }

    #[test]
    fn forms_follow_redis() {
        let mut set = Set::default();
        for n in 0..512 {
            set.insert(n.to_string().as_bytes(), &Limits::default());
        }
        assert_eq!(set.encoding(), "intset");
        set.insert(b"512", &Limits::default());
        assert_eq!(set.encoding(), "hashtable");
        for n in 1..513 {
            set.remove(n.to_string().as_bytes());
        }
        assert_eq!((set.encoding(), set.len()), ("hashtable", 1));
    }

    #[test]
    fn memory_is_below_that_of_redis() {
        /// What MEMORY USAGE of redis-server 7.0.15 says of a million members `member:0000000` and so on.
        const REDIS_BYTES: usize = 48_388_712;
        let mut set = Set::default();
        for n in 0..1_000_000 {
            set.insert(format!("member:{n:07}").as_bytes(), &Limits::default());
        }
        assert!(set.heap_bytes() < REDIS_BYTES, "{}", set.heap_bytes());
    }
}
