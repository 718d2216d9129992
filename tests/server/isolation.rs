//! The proof of isolation: many clients run scripts, transactions and plain commands over few keys of a server with several
//! shards, among errors, kills, timeouts, lost connections and a crash, and what all of them saw is checked for an order of
//! one transaction after the other that agrees with real time ([`crate::common::isolation`]).
//!
//! `AIKV_ISOLATION_SEED` repeats the plans of a run (not the times at which they meet), `AIKV_ISOLATION_SECONDS` makes it
//! longer.

mod checker;
mod plan;
mod player;

use super::harness::{Server, eventually, ok};
use crate::common::isolation::{Outcome, Txn, check};
use crate::common::redis::RedisServer;
use crate::common::resp::Reply;
use crate::common::rng::Rng;
use plan::Planner;
use player::{Manner, Player, Stage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 10;
/// Plans of a client in a round. A round has its own keys, so that what is read of them stays short.
const PLANS: usize = 60;
/// One round of so many has a crash in its middle.
const ROUNDS_PER_CRASH: usize = 6;
const OPTIONS: &[&str] = &[
    "--lua-dialect",
    "redis",
    // Scripts give way often, so that they meet.
    "--script-slice-us",
    "50",
    "--script-timeout",
    "150",
    "--script-memory-limit",
    "8mb",
    "--busy-reply-threshold",
    "60",
];

fn seconds() -> Duration {
    const USUAL: u64 = 15;
    let told = std::env::var("AIKV_ISOLATION_SECONDS");
    Duration::from_secs(told.map_or(USUAL, |text| text.parse().expect("a number of seconds")))
}

fn seed() -> u64 {
    Rng::seed_from_env("AIKV_ISOLATION_SEED")
}

/// Lets clients play together; what all of them recorded.
fn play(stage: &Stage, seed: u64, ends_endless: bool) -> Vec<Txn> {
    let players: Vec<Vec<Txn>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    // Each half of a round has clients of its own.
                    let client_seed = seed.wrapping_add(client as u64 * 7919);
                    let number = client + CLIENTS * (seed % 1000) as usize;
                    let planner = Planner::new(client_seed, stage.round, number, ends_endless);
                    let mut player = Player::new(stage, planner);
                    player.play(PLANS);
                    player.history
                })
            })
            .collect();
        let histories = threads.into_iter().map(|t| t.join().expect("a player"));
        histories.collect()
    });
    players.into_iter().flatten().collect()
}

fn see_all(stage: &Stage) -> Vec<Txn> {
    let mut player = Player::new(stage, Planner::new(0, stage.round, 0, true));
    player.see_all();
    player.history
}

/// Ends scripts and connections that it has no reason to end, until it is told to stop.
fn disturb(server: &Server, mut rng: Rng, over: &AtomicBool) {
    let mut client = server.client();
    let Reply::Integer(own_id) = client.call(&["CLIENT", "ID"]).reply else {
        panic!("a number");
    };
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(rng.next() % 40));
        if rng.one_in(4) {
            let near = rng.between(-(CLIENTS as i64), 3 * CLIENTS as i64);
            let victim = (own_id + near).to_string();
            client.call(&["CLIENT", "KILL", "ID", &victim, "SKIPME", "yes"]);
        } else {
            client.call(&["SCRIPT", "KILL"]);
        }
    }
}

/// A round without a crash.
fn quiet_round(server: &Server, round: usize, seed: u64) -> Vec<Txn> {
    let stage = Stage::new(server.port, round, Manner::Honest);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(server, Rng::new(seed), &over));
        let mut history = play(&stage, seed, true);
        over.store(true, Ordering::Relaxed);
        history.extend(see_all(&stage));
        assert_eq!(stage.unanswered.load(Ordering::Relaxed), 0, "no answer");
        history
    })
}

/// A round in whose middle the server is killed and started again.
fn crash_round(server: &mut Server, round: usize, seed: u64) -> Vec<Txn> {
    let mut stage = Stage::new(server.port, round, Manner::Honest);
    let mut rng = Rng::new(seed);
    let mut history = std::thread::scope(|scope| {
        let players = scope.spawn(|| play(&stage, seed, true));
        std::thread::sleep(Duration::from_millis(20 + rng.next() % 200));
        server.kill9();
        players.join().expect("players")
    });
    server.restart();
    stage.moved(server.port);
    history.extend(see_all(&stage));
    history.extend(play(&stage, seed + 1, true));
    history.extend(see_all(&stage));
    assert_eq!(stage.unanswered.into_inner(), 0, "no answer");
    history
}

/// What the rounds of a run had to offer.
#[derive(Debug, Default)]
struct Tally {
    committed: usize,
    aborted: usize,
    unknown: usize,
    dependencies: usize,
}

impl Tally {
    fn judge(&mut self, history: &[Txn], seed: u64) {
        match check(history) {
            Ok(proof) => self.dependencies += proof.dependencies,
            Err(violation) => panic!("round seed {seed}: {violation}"),
        }
        for txn in history {
            match txn.outcome {
                Outcome::Committed => self.committed += 1,
                Outcome::Aborted => self.aborted += 1,
                Outcome::Unknown => self.unknown += 1,
            }
        }
    }
}

fn prove(shards: &str, seed: u64) {
    let options = [OPTIONS, &["--shards", shards]].concat();
    let mut server = Server::start(&options);
    let (began, mut tally) = (Instant::now(), Tally::default());
    for round in 0.. {
        if began.elapsed() > seconds() / 2 {
            break;
        }
        let seed = seed.wrapping_add(round as u64 * 1_000_003);
        let history = if round % ROUNDS_PER_CRASH == ROUNDS_PER_CRASH / 2 {
            crash_round(&mut server, round, seed)
        } else {
            quiet_round(&server, round, seed)
        };
        tally.judge(&history, seed);
        assert_alive(&server);
    }
    println!("{shards} shards: {tally:?} in {:?}", began.elapsed());
    assert!(tally.committed > 1000, "{tally:?}");
    assert!(tally.aborted > 20 && tally.unknown > 5, "{tally:?}");
}

/// Nothing is left over of the round: no lock, no script.
fn assert_alive(server: &Server) {
    let mut client = server.client();
    eventually("scripts end", || {
        let reply = client.call(&["SCRIPT", "KILL"]).raw;
        reply.starts_with(b"-NOTBUSY")
    });
    assert_eq!(client.call(&["FLUSHALL"]).reply, ok());
}

#[test]
fn transactions_happen_one_after_the_other() {
    let seed = seed();
    prove("2", seed);
    prove("4", seed.wrapping_add(1));
}

/// Plays against a server until the checker complains, or an answer does not come; panics if neither happens.
fn find(port: u16, manner: Manner, ends_endless: bool) {
    const ROUNDS: usize = 20;
    let seed = seed();
    for round in 0..ROUNDS {
        let mut stage = Stage::new(port, round, manner);
        stage.patience = Duration::from_secs(2);
        let history = play(&stage, seed + round as u64, ends_endless);
        if let Err(violation) = check(&history) {
            println!("{violation}");
            return;
        }
        if stage.unanswered.into_inner() > 0 {
            println!("there was no answer");
            return;
        }
    }
    panic!("nothing was found in {ROUNDS} rounds");
}

#[test]
fn scripts_in_pieces_would_be_found_out() {
    let server = Server::start(OPTIONS);
    find(server.port, Manner::InPieces, true);
}

#[test]
fn broken_locks_would_be_found_out() {
    let options = [OPTIONS, &["--shards", "4"]].concat();
    let server = Server::start_in(&[("AIKV_TEST_BROKEN_LOCKS", "1")], &options);
    find(server.port, Manner::Honest, true);
}

/// A server that does not take back what a script did before it failed.
#[test]
fn remains_of_failed_scripts_would_be_found_out() {
    let redis = RedisServer::start();
    find(redis.port, Manner::Honest, false);
}
