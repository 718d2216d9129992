//! The checker finds what is wrong in histories made by hand, and nothing in those that are right.

use crate::common::isolation::{Anomaly, Key, Kind, Op, Outcome, Txn, Value, check};

const LIST: Key = key(Kind::List, 0);
const OTHER: Key = key(Kind::List, 1);
const REGISTER: Key = key(Kind::Register, 0);
const COUNTER: Key = key(Kind::Counter, 0);
const SET: Key = key(Kind::Set, 0);

const fn key(kind: Kind, number: usize) -> Key {
    Key { kind, number }
}

fn wrote(key: Key, value: Value) -> Op {
    Op::Write(key, value)
}

fn saw(key: Key, values: &[Value]) -> Op {
    Op::SawAll(key, values.to_vec())
}

/// `(began, ended, ops)` of committed transactions, each of a session of its own.
fn history(txns: &[(u64, u64, &[Op])]) -> Vec<Txn> {
    let txns = txns.iter().enumerate();
    let made = txns.map(|(session, (began, ended, ops))| Txn {
        session,
        began: *began,
        ended: *ended,
        outcome: Outcome::Committed,
        ops: ops.to_vec(),
        label: String::new(),
    });
    made.collect()
}

/// All of them at the same time, so that real time says nothing.
fn together(txns: &[&[Op]]) -> Vec<Txn> {
    let timed: Vec<(u64, u64, &[Op])> = txns.iter().map(|ops| (0, 100, *ops)).collect();
    history(&timed)
}

#[track_caller]
fn assert_fine(history: &[Txn]) {
    if let Err(violation) = check(history) {
        panic!("{violation}");
    }
}

#[track_caller]
fn assert_wrong(history: &[Txn], anomaly: Anomaly) {
    let violation = check(history).expect_err("something is wrong with it");
    assert_eq!(violation.anomaly, anomaly, "{violation}");
}

#[test]
fn a_right_history_is_proved() {
    let history = together(&[
        &[wrote(LIST, 1), wrote(OTHER, 2)],
        &[saw(LIST, &[1]), wrote(LIST, 3), Op::SawLength(LIST, 2)],
        &[saw(OTHER, &[2]), saw(LIST, &[1, 3])],
        &[
            Op::Saw(REGISTER, 0),
            wrote(REGISTER, 4),
            Op::Saw(REGISTER, 4),
        ],
        &[Op::Saw(REGISTER, 4), wrote(REGISTER, 5), wrote(REGISTER, 6)],
        &[Op::Saw(REGISTER, 6), saw(SET, &[7, 8])],
        &[wrote(SET, 7), saw(SET, &[7])],
        &[wrote(SET, 8)],
        &[Op::Saw(COUNTER, 0), wrote(COUNTER, 1)],
        &[Op::Saw(COUNTER, 1), wrote(COUNTER, 2)],
        &[saw(SET, &[]), saw(LIST, &[]), Op::Saw(COUNTER, 0)],
    ]);
    assert_fine(&history);
    let proof = check(&history).expect("a proof");
    assert_eq!(proof.transactions, 11);
    assert!(proof.dependencies >= 15, "{proof:?}");
}

#[test]
fn dirty_writes_are_found() {
    // G0: each is before the other in one of the lists.
    let history = together(&[
        &[wrote(LIST, 1), wrote(OTHER, 2)],
        &[wrote(LIST, 3), wrote(OTHER, 4)],
        &[saw(LIST, &[1, 3])],
        &[saw(OTHER, &[4, 2])],
    ]);
    assert_wrong(&history, Anomaly::DirtyWrite);
}

#[test]
fn reads_of_what_was_taken_back_are_found() {
    // G1a.
    for (write, read) in [
        (wrote(LIST, 1), saw(LIST, &[1])),
        (wrote(REGISTER, 1), Op::Saw(REGISTER, 1)),
        (wrote(SET, 1), saw(SET, &[1])),
    ] {
        let mut history = together(&[&[write], &[read]]);
        assert_fine(&history);
        history[0].outcome = Outcome::Aborted;
        assert_wrong(&history, Anomaly::AbortedRead);
    }
}

#[test]
fn reads_of_what_was_replaced_are_found() {
    // G1b.
    let list = together(&[&[wrote(LIST, 1), wrote(LIST, 2)], &[saw(LIST, &[1])]]);
    assert_wrong(&list, Anomaly::IntermediateRead);
    let register = together(&[
        &[Op::Saw(REGISTER, 0), wrote(REGISTER, 1), wrote(REGISTER, 2)],
        &[Op::Saw(REGISTER, 1)],
    ]);
    assert_wrong(&register, Anomaly::IntermediateRead);
    // Half of a transaction in a set is a torn snapshot.
    let set = together(&[&[wrote(SET, 1), wrote(SET, 2)], &[saw(SET, &[1])]]);
    assert_wrong(&set, Anomaly::SingleAntiDependency);
}

#[test]
fn circular_information_is_found() {
    // G1c: each has read from the other.
    let history = together(&[
        &[wrote(LIST, 1), saw(OTHER, &[2])],
        &[wrote(OTHER, 2), saw(LIST, &[1])],
    ]);
    assert_wrong(&history, Anomaly::CircularInformation);
}

#[test]
fn torn_snapshots_are_found() {
    // G-single: one list from before the transaction, the other from behind it.
    let history = together(&[
        &[wrote(LIST, 1), wrote(OTHER, 2)],
        &[saw(LIST, &[]), saw(OTHER, &[2])],
        &[saw(LIST, &[1])],
    ]);
    assert_wrong(&history, Anomaly::SingleAntiDependency);
    // A read that cannot be repeated.
    let history = together(&[&[wrote(SET, 1)], &[saw(SET, &[]), saw(SET, &[1])]]);
    assert_wrong(&history, Anomaly::SingleAntiDependency);
}

#[test]
fn write_skew_and_lost_updates_are_found() {
    // G2.
    let skew = together(&[
        &[saw(LIST, &[]), wrote(OTHER, 1)],
        &[saw(OTHER, &[]), wrote(LIST, 2)],
        &[saw(LIST, &[2]), saw(OTHER, &[1])],
    ]);
    assert_wrong(&skew, Anomaly::AntiDependency);
    let phantoms = together(&[
        &[saw(SET, &[]), wrote(SET, 1)],
        &[saw(SET, &[]), wrote(SET, 2)],
    ]);
    assert_wrong(&phantoms, Anomaly::AntiDependency);
    for key in [REGISTER, COUNTER] {
        let lost = together(&[
            &[Op::Saw(key, 0), wrote(key, 1)],
            &[
                Op::Saw(key, 0),
                wrote(key, if key == COUNTER { 1 } else { 2 }),
            ],
        ]);
        assert_wrong(&lost, Anomaly::AntiDependency);
    }
}

#[test]
fn stale_reads_are_found_against_real_time() {
    let stale: [(u64, u64, &[Op]); 3] = [
        (0, 10, &[wrote(LIST, 1)]),
        (20, 30, &[saw(LIST, &[])]),
        (40, 50, &[saw(LIST, &[1])]),
    ];
    assert_wrong(&history(&stale), Anomaly::RealTime);
    let beside: [(u64, u64, &[Op]); 3] = [stale[0], (5, 30, stale[1].2), stale[2]];
    assert_fine(&history(&beside));
    // What nobody ever reads is lost.
    let lost: [(u64, u64, &[Op]); 2] = [(0, 10, &[wrote(LIST, 1)]), (20, 30, &[saw(LIST, &[])])];
    assert_wrong(&history(&lost), Anomaly::RealTime);
    // The requests of a connection are done in their order, whether it waits for the replies or not.
    let mut pipelined = together(&[&[wrote(LIST, 1)], &[saw(LIST, &[])], &[saw(LIST, &[1])]]);
    assert_fine(&pipelined);
    pipelined[1].session = pipelined[0].session;
    assert_wrong(&pipelined, Anomaly::RealTime);
}

#[test]
fn a_transaction_sees_what_it_wrote() {
    for ops in [
        [wrote(LIST, 1), saw(LIST, &[])],
        [wrote(LIST, 1), Op::SawLength(LIST, 0)],
        [wrote(SET, 1), saw(SET, &[])],
        [wrote(REGISTER, 1), Op::Saw(REGISTER, 0)],
    ] {
        assert_wrong(&together(&[&ops]), Anomaly::Internal);
    }
}

#[test]
fn values_from_nowhere_are_found() {
    assert_wrong(&together(&[&[saw(LIST, &[1])]]), Anomaly::Garbage);
    assert_wrong(&together(&[&[Op::Saw(REGISTER, 1)]]), Anomaly::Garbage);
    assert_wrong(&together(&[&[saw(SET, &[1])]]), Anomaly::Garbage);
    assert_wrong(&together(&[&[Op::Saw(COUNTER, 1)]]), Anomaly::Garbage);
}

#[test]
fn lists_that_grew_in_two_ways_are_found() {
    let history = together(&[
        &[wrote(LIST, 1)],
        &[wrote(LIST, 2)],
        &[saw(LIST, &[1])],
        &[saw(LIST, &[2, 1])],
    ]);
    assert_wrong(&history, Anomaly::IncompatibleOrder);
}

#[test]
fn what_got_no_answer_may_have_happened_or_not() {
    let seen = [saw(LIST, &[1, 2])];
    let mut happened = together(&[&[wrote(LIST, 1)], &[wrote(LIST, 2)], &seen]);
    happened[0].outcome = Outcome::Unknown;
    happened[0].ended = u64::MAX;
    assert_fine(&happened);
    let mut did_not = together(&[&[wrote(LIST, 1)], &[wrote(LIST, 2)], &[saw(LIST, &[2])]]);
    did_not[0].outcome = Outcome::Unknown;
    assert_fine(&did_not);
    // A script in an EXEC may have been ended, and only what came before it is there.
    let mut ended = together(&[
        &[wrote(REGISTER, 1), wrote(REGISTER, 2)],
        &[Op::Saw(REGISTER, 1)],
    ]);
    ended[0].outcome = Outcome::Unknown;
    assert_fine(&ended);
    // But not by half.
    let mut half = together(&[
        &[wrote(LIST, 1), wrote(OTHER, 2)],
        &[saw(LIST, &[1]), saw(OTHER, &[])],
    ]);
    half[0].outcome = Outcome::Unknown;
    half.extend(together(&[&[saw(OTHER, &[2])]]));
    half[2].session = 9;
    assert_wrong(&half, Anomaly::SingleAntiDependency);
    // And before it was asked for it did not.
    let mut early = history(&[(50, 60, &[wrote(LIST, 1)]), (0, 10, &[saw(LIST, &[1])])]);
    early[0].outcome = Outcome::Unknown;
    assert_wrong(&early, Anomaly::RealTime);
    let mut counted = together(&[
        &[Op::CountedOn(COUNTER)],
        &[Op::Saw(COUNTER, 1), wrote(COUNTER, 2)],
    ]);
    counted[0].outcome = Outcome::Unknown;
    assert_fine(&counted);
}
