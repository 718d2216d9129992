//! The comparison of two servers, request by request.

use super::generator::{Compare, READ_KEY, READS, Request};
use super::resp::{Answer, Reply};
use std::collections::VecDeque;
use std::fmt;

/// The one whose answers are right, and the one that is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Redis,
    Ours,
}

/// The last requests, to show what led to a difference.
#[derive(Default)]
pub struct Recent(VecDeque<String>);

impl Recent {
    pub fn push(&mut self, request: &Request) {
        const KEPT: usize = 60;
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(request.to_string());
    }
}

impl fmt::Display for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Whether two answers to a request agree; `ask` has a server run more, for what has to be looked at more closely.
pub fn agree(
    request: &Request,
    theirs: &Answer,
    ours: &Answer,
    ask: impl FnMut(Side, &[&[u8]]) -> Answer,
) -> bool {
    match (request.compare, &theirs.reply, &ours.reply) {
        (Compare::Dump, Reply::Bulk(theirs), Reply::Bulk(ours)) => {
            theirs == ours || same_value(theirs, ours, ask)
        }
        _ => request.compare.agree(theirs, ours),
    }
}

/// Whether each server makes the same value of the other's serialization as of its own.
fn same_value(theirs: &[u8], ours: &[u8], mut ask: impl FnMut(Side, &[&[u8]]) -> Answer) -> bool {
    let key = READ_KEY.as_bytes();
    let mut values = Vec::new();
    for dump in [theirs, ours] {
        for side in [Side::Redis, Side::Ours] {
            let restored = ask(side, &[b"RESTORE", key, b"0", dump, b"REPLACE"]);
            let mut value = vec![(Compare::Exact, restored)];
            for (compare, words) in READS {
                let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
                value.push((*compare, ask(side, &args)));
            }
            ask(side, &[b"DEL", key]);
            values.push(value);
        }
    }
    let agree = |value: &Vec<(Compare, Answer)>| {
        let mut pairs = values[0].iter().zip(value);
        pairs.all(|((compare, a), (_, b))| compare.agree(a, b))
    };
    values.iter().all(agree)
}
