//! A client that carries out plans and records what it asked and what it was told.

use super::plan::{Part, Plan, Planner, Script, is_outer_error, seen_by_error};
use crate::common::isolation::{Op, Outcome, Txn};
use crate::common::resp::{Client, Reply};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How a client treats what it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Sends a script's commands one by one and says that they were one transaction: a server without locks.
    InPieces,
}

/// What the players of a round have in common.
pub struct Stage {
    pub port: u16,
    pub round: usize,
    pub began: Instant,
    pub manner: Manner,
    /// An answer that has not come after that long does not come.
    pub patience: Duration,
    /// Answers that did not come, though the connection lasted.
    pub unanswered: AtomicUsize,
    sessions: AtomicUsize,
}

impl Stage {
    pub fn new(port: u16, round: usize, manner: Manner) -> Self {
        Self {
            port,
            round,
            began: Instant::now(),
            manner,
            patience: Duration::from_secs(20),
            unanswered: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
        }
    }

    /// The server has come back at another port.
    pub fn moved(&mut self, port: u16) {
        self.port = port;
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// `None`: the connection has ended, or no answer comes.
    fn receive(&self, client: &mut Client) -> Option<Reply> {
        match client.try_receive() {
            Ok(answer) => Some(answer?.reply),
            Err(error) => {
                let waited = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                self.unanswered
                    .fetch_add(usize::from(waited), Ordering::Relaxed);
                None
            }
        }
    }
}

/// A client with its connection, or without one once the server is gone.
pub struct Player<'a> {
    stage: &'a Stage,
    planner: Planner,
    session: usize,
    client: Option<Client>,
    pub history: Vec<Txn>,
}

impl<'a> Player<'a> {
    pub fn new(stage: &'a Stage, planner: Planner) -> Self {
        Self {
            stage,
            planner,
            session: 0,
            client: None,
            history: Vec::new(),
        }
    }

    /// Carries out so many plans, or fewer if the server is gone.
    pub fn play(&mut self, plans: usize) {
        for _ in 0..plans {
            let stuck = self.stage.unanswered.load(Ordering::Relaxed) > 0;
            if stuck || (self.client.is_none() && !self.connect()) {
                return;
            }
            match self.planner.plan() {
                Plan::Single(parts) => match parts.as_slice() {
                    [Part::Script(script)] if self.stage.manner == Manner::InPieces => {
                        self.in_pieces(script);
                    }
                    parts => self.single(parts),
                },
                Plan::Exec(parts) => self.exec(&[], &parts),
                Plan::Watch(seen, parts) => self.exec(&seen, &parts),
            }
        }
    }

    /// Reads everything, to know how it ended.
    pub fn see_all(&mut self) {
        assert!(self.connect(), "the server is there");
        self.single(&Planner::see_all());
    }

    fn connect(&mut self) -> bool {
        let Ok(client) = Client::connect(self.stage.port) else {
            return false;
        };
        client.set_read_timeout(self.stage.patience);
        self.session = self.stage.sessions.fetch_add(1, Ordering::Relaxed);
        self.client = Some(client);
        true
    }

    fn single(&mut self, parts: &[Part]) {
        let (began, round) = (self.stage.now(), self.stage.round);
        let requests: Vec<_> = parts.iter().map(|part| part.request(round)).collect();
        let replies = self.ask(&requests);
        for ((part, request), reply) in parts.iter().zip(requests).zip(replies) {
            let told = reply.as_ref().and_then(|(reply, _)| part.ops(reply));
            self.record(
                began,
                reply.as_ref(),
                told,
                part.writes(),
                request.join(" "),
            );
        }
    }

    /// MULTI to EXEC, perhaps with keys that are watched and read before.
    fn exec(&mut self, seen: &[Part], parts: &[Part]) {
        let (began, round) = (self.stage.now(), self.stage.round);
        let Some(mut ops) = self.watch(seen) else {
            self.ask(&[vec!["UNWATCH".to_owned()]]);
            return;
        };
        let mut requests = vec![vec!["MULTI".to_owned()]];
        requests.extend(parts.iter().map(|part| part.request(round)));
        requests.push(vec!["EXEC".to_owned()]);
        let label: Vec<String> = requests.iter().map(|words| words.join(" ")).collect();
        let mut label = label.join("; ");
        let reply = self.ask(&requests).pop().flatten();
        let Some((Reply::Array(replies), ended)) = &reply else {
            let told = match &reply {
                Some((Reply::Error(text), _)) if !is_outer_error(text) => Some(seen_by_error()),
                _ => None,
            };
            // What nobody was told of is not one transaction with what can only have been taken back.
            let (doomed, others): (Vec<&Part>, Vec<&Part>) =
                parts.iter().partition(|part| part.is_doomed());
            let writes = |parts: Vec<&Part>| parts.into_iter().flat_map(Part::writes).collect();
            self.push(
                began,
                u64::MAX,
                Outcome::Aborted,
                writes(doomed),
                label.clone(),
            );
            self.record(began, reply.as_ref(), told, writes(others), label);
            return;
        };
        assert_eq!(replies.len(), parts.len(), "one reply for each command");
        for (part, result) in parts.iter().zip(replies) {
            if let Some(told) = part.ops(result) {
                ops.extend(told);
                if let Reply::Error(text) = result {
                    label = format!("{text} in {label}");
                }
            } else {
                let label = format!("{result:?} in {label}");
                self.push(began, *ended, Outcome::Aborted, part.writes(), label);
            }
        }
        self.push(began, *ended, Outcome::Committed, ops, label);
    }

    /// Watches keys and reads them; what was seen, if all of it was.
    fn watch(&mut self, seen: &[Part]) -> Option<Vec<Op>> {
        if seen.is_empty() {
            return Some(Vec::new());
        }
        let round = self.stage.round;
        let reads: Vec<Vec<String>> = seen.iter().map(|part| part.request(round)).collect();
        let keys = reads.iter().map(|words| words[1].clone());
        let watch = std::iter::once("WATCH".to_owned()).chain(keys).collect();
        let requests: Vec<Vec<String>> = std::iter::once(watch).chain(reads).collect();
        let replies = self.ask(&requests);
        let mut ops = Vec::new();
        for (part, reply) in seen.iter().zip(&replies[1..]) {
            let (reply, _) = reply.as_ref()?;
            ops.extend(part.ops(reply)?);
        }
        Some(ops)
    }

    /// A transaction that is none.
    fn in_pieces(&mut self, script: &Script) {
        let (began, round) = (self.stage.now(), self.stage.round);
        let mut ops = Vec::new();
        for part in script.commands() {
            let Some((reply, _)) = self.ask(&[part.request(round)]).pop().flatten() else {
                return;
            };
            ops.extend(part.ops(&reply).unwrap_or_default());
        }
        let (ended, label) = (self.stage.now(), "in pieces".into());
        self.push(began, ended, Outcome::Committed, ops, label);
    }

    /// Sends requests at once and reads their replies, each with the time at which it was there. Sometimes leaves before
    /// that; what is not read may have been done or not.
    fn ask(&mut self, requests: &[Vec<String>]) -> Vec<Option<(Reply, u64)>> {
        let leaves = self.stage.manner == Manner::Honest && self.planner.rng.one_in(80);
        let Some(client) = &mut self.client else {
            return vec![None; requests.len()];
        };
        let sent = requests.iter().try_for_each(|words| client.try_send(words));
        let mut replies = Vec::new();
        for _ in requests {
            let reply = match (&sent, leaves) {
                (Ok(()), false) => self.stage.receive(client),
                _ => None,
            };
            let Some(reply) = reply else {
                break;
            };
            replies.push(Some((reply, self.stage.now())));
        }
        if replies.len() < requests.len() {
            self.client = None;
            replies.resize(requests.len(), None);
        }
        replies
    }

    /// `told`: what was done and seen; `writes`: what may have been done where that was not told.
    fn record(
        &mut self,
        began: u64,
        reply: Option<&(Reply, u64)>,
        told: Option<Vec<Op>>,
        writes: Vec<Op>,
        label: String,
    ) {
        match (reply, told) {
            (Some((reply, ended)), Some(ops)) => {
                let label = match reply {
                    Reply::Error(text) => format!("{text} to {label}"),
                    _ => label,
                };
                self.push(began, *ended, Outcome::Committed, ops, label);
            }
            (Some((reply, ended)), None) => {
                let label = format!("{reply:?} to {label}");
                self.push(began, *ended, Outcome::Aborted, writes, label);
            }
            (None, _) => self.push(began, u64::MAX, Outcome::Unknown, writes, label),
        }
    }

    fn push(&mut self, began: u64, ended: u64, outcome: Outcome, ops: Vec<Op>, label: String) {
        let session = self.session;
        self.history.push(Txn {
            session,
            began,
            ended,
            outcome,
            ops,
            label,
        });
    }
}
