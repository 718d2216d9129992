//! The simulation on real threads, with real primitives.

use std::sync::Arc;

use super::simulation::{Plan, World};

#[test]
fn one_shard_keeps_the_rules() {
    run(Plan {
        shards: 1,
        tasks_per_shard: 60,
        rounds: 150,
        keys: 6,
        stripes: 2,
        longest_footprint: 4,
        serial_in_64: 2,
    });
}

#[test]
fn four_shards_keep_the_rules() {
    run(Plan {
        shards: 4,
        tasks_per_shard: 40,
        rounds: 150,
        keys: 8,
        stripes: 3,
        longest_footprint: 5,
        serial_in_64: 1,
    });
}

#[test]
fn four_shards_fight_for_the_gate() {
    run(Plan {
        shards: 4,
        tasks_per_shard: 12,
        rounds: 300,
        keys: 4,
        stripes: 4,
        longest_footprint: 2,
        serial_in_64: 24,
    });
}

#[test]
fn four_shards_without_the_gate() {
    run(Plan {
        shards: 4,
        tasks_per_shard: 100,
        rounds: 100,
        keys: 20,
        stripes: 8,
        longest_footprint: 8,
        serial_in_64: 0,
    });
}

/// Set to repeat the run that a failed test printed.
const SEED_VARIABLE: &str = "AIKV_TEST_SEED";

fn run(plan: Plan) {
    let seed = std::env::var(SEED_VARIABLE)
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("{SEED_VARIABLE}={seed} {plan:?}");
    let world = Arc::new(World::new(plan));
    let shards: Vec<_> = (0..plan.shards)
        .map(|shard| {
            let world = Arc::clone(&world);
            let seed = seed.wrapping_add(u64::from(shard));
            std::thread::spawn(move || world.run_shard(shard, seed))
        })
        .collect();
    let stale = shards
        .into_iter()
        .map(|shard| shard.join().unwrap())
        .collect();
    world.check_clean(stale);
}
