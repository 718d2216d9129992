//! Sorted sets against a sorted vector.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Set(u16, f64),
    Remove(u16),
    RemoveAt(prop::sample::Index),
    Shrink,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-4..4_i32).prop_map(f64::from),
        4 => -1e3..1e3_f64,
        1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, 1e300, 5e-324, 9.3e18]),
    ]
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..400_u16, score()).prop_map(|(member, score)| Step::Set(member, score)),
        2 => (0..400_u16).prop_map(Step::Remove),
        1 => any::<prop::sample::Index>().prop_map(Step::RemoveAt),
        1 => Just(Step::Shrink),
    ];
    prop::collection::vec(step, 0..most)
}

fn name(member: u16) -> Vec<u8> {
    match member % 3 {
        0 => member.to_string().into_bytes(),
        1 => format!("member {member}").into_bytes(),
        _ => format!("{member} has a name of more than sixteen bytes").into_bytes(),
    }
}

/// A set as a vector in order.
#[derive(Default)]
struct Model(Vec<(f64, Vec<u8>)>);

impl Model {
    fn find(&self, member: &[u8]) -> Option<usize> {
        self.0.iter().position(|(_, name)| name == member)
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let at = self.find(member)?;
        Some(self.0.remove(at).0)
    }

    fn set(&mut self, member: &[u8], score: f64) {
        self.remove(member);
        let at = self
            .0
            .partition_point(|(s, m)| order((*s, m), (score, member)).is_lt());
        self.0.insert(at, (score, member.to_vec()));
    }
}

fn check(set: &ZSet, model: &Model) {
    if let ZSet::Large(large) = set {
        large.check();
    }
    let shown = |(member, score): (Item<'_>, f64)| (score, member.to_vec());
    let all: Vec<_> = set.range(0..set.len()).map(shown).collect();
    assert_eq!(all, model.0);
    let mut back: Vec<_> = set.range_back(0..set.len()).map(shown).collect();
    back.reverse();
    assert_eq!(back, model.0);
}

fn run(limits: &Limits, steps: &[Step]) {
    let (mut set, mut model) = (ZSet::default(), Model::default());
    let mut undo = Vec::new();
    for step in steps {
        let before = set.clone();
        let change = match step {
            Step::Set(member, score) => {
                let member = name(*member);
                let had = model.find(&member).map(|at| model.0[at].0);
                let change = set.set(&member, *score, limits);
                assert_eq!(change.is_none(), had == Some(*score));
                if change.is_some() {
                    model.set(&member, *score);
                }
                change
            }
            Step::Remove(member) => {
                let member = name(*member);
                let change = set.remove(&member);
                assert_eq!(change.is_some(), model.remove(&member).is_some());
                change.map(ZSetChange::Removed)
            }
            Step::RemoveAt(at) if !set.is_empty() => {
                let rank = at.index(set.len());
                let (score, member) = model.0.remove(rank);
                let removed = set.remove_at(rank);
                assert_eq!((removed.score, removed.member.to_vec()), (score, member));
                Some(ZSetChange::Removed(removed))
            }
            Step::RemoveAt(_) => None,
            Step::Shrink => set.shrink(),
        };
        assert_eq!(set.len(), model.0.len());
        undo.extend(change.map(|change| (change, before)));
    }
    check(&set, &model);
    for (rank, (score, member)) in model.0.iter().enumerate() {
        assert_eq!(set.rank(member), Some((rank, *score)));
        let below = set.count_before(|other, _| other < *score);
        assert_eq!(below, model.0.partition_point(|(other, _)| other < score));
    }
    for middle in [0, 1, set.len() / 2] {
        let some: Vec<_> = set
            .range(middle..set.len())
            .map(|(m, _)| m.to_vec())
            .collect();
        let wanted: Vec<_> = model
            .0
            .iter()
            .skip(middle)
            .map(|(_, m)| m.clone())
            .collect();
        assert_eq!(some, wanted);
    }
    while let Some((change, before)) = undo.pop() {
        set.undo(change);
        assert_eq!(set.encoding(), before.encoding());
        assert!(set == before);
        assert_eq!(
            set.as_listpack().map(Listpack::bytes),
            before.as_listpack().map(Listpack::bytes)
        );
    }
}

proptest! {
    #[test]
    fn a_small_set_is_what_it_should_be(steps in steps(60)) {
        run(&Limits::default(), &steps);
    }

    #[test]
    fn a_large_set_is_what_it_should_be(steps in steps(900)) {
        let limits = Limits { zset_max_listpack_entries: 3, ..Limits::default() };
        run(&limits, &steps);
    }

    /// What is there from start to end is met, whatever comes and goes meanwhile.
    #[test]
    fn a_scan_finds_what_stays(
        stays in prop::collection::btree_set(0..200_u16, 0..60),
        passing in prop::collection::vec((200..400_u16, any::<bool>()), 0..600),
        count in 1..20_usize,
    ) {
        let limits = Limits { zset_max_listpack_entries: 0, ..Limits::default() };
        let mut set = ZSet::default();
        for member in (200..400).chain(stays.iter().copied()) {
            set.set(&name(member), f64::from(member), &limits);
        }
        let (mut cursor, mut found, mut passing) = (0, BTreeSet::new(), passing.into_iter());
        loop {
            cursor = set.scan(cursor, count, |member, _| {
                found.insert(member.to_vec());
            });
            if cursor == 0 {
                break;
            }
            for (member, comes) in passing.by_ref().take(30) {
                if comes {
                    set.set(&name(member), 1.0, &limits);
                } else {
                    set.remove(&name(member));
                    while set.shrink().is_some() {}
                }
            }
        }
        for member in stays {
            prop_assert!(found.contains(&name(member)), "{member}");
        }
    }
}

/// Each member with the cursor at which a scan meets it.
fn places(set: &ZSet) -> Vec<(u64, Vec<u8>)> {
    let (mut cursor, mut places) = (0, Vec::new());
    loop {
        let mut met = Vec::new();
        cursor = set.scan(cursor, 1, |member, _| met.push(member.to_vec()));
        places.extend(met.into_iter().map(|member| (cursor, member)));
        if cursor == 0 {
            return places;
        }
    }
}

proptest! {
    /// Otherwise a scan that goes on over a rollback would miss members.
    #[test]
    fn a_large_set_that_gets_its_changes_back_has_its_members_where_they_were(
        before in 100..400_u16,
        steps in prop::collection::vec(prop_oneof![
            (0..500_u16).prop_map(|member| Step::Set(member, 1.0)),
            (0..400_u16).prop_map(Step::Remove),
            any::<prop::sample::Index>().prop_map(Step::RemoveAt),
        ], 0..700),
        spared in 0..10_usize,
    ) {
        let limits = Limits { zset_max_listpack_entries: 0, ..Limits::default() };
        let mut set = ZSet::default();
        for member in 0..before {
            set.set(&name(member), f64::from(member), &limits);
        }
        for round in 0..3 {
            let (was, mut changes) = (places(&set), Vec::new());
            // First most members go, so that slots are given up.
            while round < 2 && set.len() > spared {
                changes.push(ZSetChange::Removed(set.remove_at(set.len() / 2)));
                changes.extend(set.shrink());
                changes.extend(set.shrink());
            }
            for step in &steps {
                changes.extend(match step {
                    Step::Set(member, score) => set.set(&name(*member), *score, &limits),
                    Step::Remove(member) => set.remove(&name(*member)).map(ZSetChange::Removed),
                    Step::RemoveAt(at) if !set.is_empty() => {
                        Some(ZSetChange::Removed(set.remove_at(at.index(set.len()))))
                    }
                    _ => None,
                });
                changes.extend(set.shrink());
            }
            while let Some(change) = changes.pop() {
                set.undo(change);
            }
            let ZSet::Large(large) = &set else {
                panic!("it is large");
            };
            large.check();
            prop_assert_eq!(&places(&set), &was);
        }
    }
}

#[test]
fn many_members_in_order_fill_their_nodes() {
    let limits = Limits::default();
    let mut set = ZSet::default();
    for n in 0..20_000_u32 {
        set.set(format!("{n:08}").as_bytes(), f64::from(n), &limits);
    }
    let ZSet::Large(large) = &set else {
        panic!("it is large");
    };
    large.check();
    assert!(set.heap_bytes() < 20_000 * 80, "{}", set.heap_bytes());
    for n in (0..20_000).rev().step_by(7) {
        assert_eq!(
            set.rank(format!("{n:08}").as_bytes()).map(|(rank, _)| rank),
            Some(n)
        );
    }
    while !set.is_empty() {
        set.remove_at(set.len() / 2);
        while set.shrink().is_some() {}
    }
}
