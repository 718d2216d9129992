//! Model checking: the shipped algorithms, compiled once more over the primitives of `shuttle`,
//! which decides at each of their steps which thread runs next.
//!
//! A failure prints a schedule's seed; `SHUTTLE_RANDOM_SEED` replays it.

#![allow(clippy::duplicate_mod, reason = "that is the point")]
#![allow(dead_code, reason = "what diagnostics offer is not part of the model")]

#[path = "gate.rs"]
mod gate;
#[path = "manager.rs"]
mod manager;
#[path = "request.rs"]
mod request;
#[path = "simulation.rs"]
mod simulation;
#[path = "state.rs"]
mod state;

mod handover;
mod harness;
mod suspension;
mod sync;

use std::sync::Arc;

use super::{counters, duty, footprint, host};
use simulation::{Plan, World};

#[test]
fn two_shards_over_two_keys() {
    simulate(Plan {
        shards: 2,
        tasks_per_shard: 2,
        rounds: 2,
        keys: 2,
        stripes: 1,
        longest_footprint: 2,
        serial_in_64: 8,
    });
}

#[test]
fn three_shards_over_three_keys() {
    simulate(Plan {
        shards: 3,
        tasks_per_shard: 2,
        rounds: 2,
        keys: 3,
        stripes: 2,
        longest_footprint: 3,
        serial_in_64: 4,
    });
}

#[test]
fn mostly_the_gate() {
    simulate(Plan {
        shards: 3,
        tasks_per_shard: 2,
        rounds: 2,
        keys: 1,
        stripes: 1,
        longest_footprint: 1,
        serial_in_64: 32,
    });
}

const RANDOM_SCHEDULES: usize = 3_000;
const PCT_SCHEDULES: usize = 1_500;
/// How many untimely switches a fault may need to show under the second scheduler.
const PCT_DEPTH: usize = 4;

fn check(scenario: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(scenario, RANDOM_SCHEDULES);
    shuttle::check_pct(scenario, PCT_SCHEDULES, PCT_DEPTH);
}

fn simulate(plan: Plan) {
    check(move || run(plan));
}

fn run(plan: Plan) {
    use shuttle::rand::Rng;

    let world = Arc::new(World::new(plan));
    let shards: Vec<_> = (0..plan.shards)
        .map(|shard| {
            let world = Arc::clone(&world);
            let seed = shuttle::rand::thread_rng().r#gen();
            shuttle::thread::spawn(move || world.run_shard(shard, seed))
        })
        .collect();
    let stale = shards
        .into_iter()
        .map(|shard| shard.join().unwrap())
        .collect();
    world.check_clean(stale);
}
