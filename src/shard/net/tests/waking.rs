//! A shard wakes up for its mailbox and its sockets, asleep or busy, and lets glommio's timers run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{EchoServer, NetConfig, Order, PATIENCE, exchange};

/// Gaps between messages hit every depth of sleep: none, in the ring, in glommio.
const GAPS_US: [u64; 4] = [0, 20, 900, 4000];

fn expect_answers(server: &EchoServer) {
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let (asker, answers) = mpsc::channel();
                for _ in 0..1000 {
                    server.order(Order::Answer(asker.clone()));
                    answers
                        .recv_timeout(PATIENCE)
                        .expect("a message was not noticed");
                    let gap = random.choice(GAPS_US).unwrap();
                    thread::sleep(Duration::from_micros(random.u64(0..=gap)));
                }
            });
        }
    });
}

#[test]
fn mail_wakes_a_sleeping_shard() {
    let server = EchoServer::start(NetConfig::default());
    expect_answers(&server);
    server.stop();
}

/// Keeps the shard busy from two clients while `work` runs.
fn under_load(server: &EchoServer, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut stream = server.tcp();
                while !done.load(Ordering::Relaxed) {
                    exchange(&mut stream, b"some load", &mut random);
                }
            });
        }
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn mail_reaches_a_busy_shard() {
    let server = EchoServer::start(NetConfig::default());
    under_load(&server, || expect_answers(&server));
    server.stop();
}

/// A timer of 5 ms ticks 200 times a second when it is never late, and at most ten times if only glommio's default
/// preemption after 100 ms lets it.
#[test]
fn glommio_timers_tick_beside_constant_load() {
    let server = EchoServer::start(NetConfig::default());
    under_load(&server, || {
        let before = server.counters.timer_ticks.load(Ordering::SeqCst);
        let start = Instant::now();
        thread::sleep(Duration::from_secs(1));
        let ticks = server.counters.timer_ticks.load(Ordering::SeqCst) - before;
        let ticks_per_second = ticks as f64 / start.elapsed().as_secs_f64();
        assert!(ticks_per_second > 40.0, "{ticks_per_second} ticks a second");
    });
    server.stop();
}

#[test]
fn glommio_timers_tick_while_the_shard_is_idle() {
    let server = EchoServer::start(NetConfig::default());
    exchange(
        &mut server.tcp(),
        b"hello",
        &mut fastrand::Rng::with_seed(1),
    );
    let start = Instant::now();
    let ticks = server.counters.timer_ticks.load(Ordering::SeqCst);
    thread::sleep(Duration::from_millis(500));
    let ticks = server.counters.timer_ticks.load(Ordering::SeqCst) - ticks;
    assert!(
        ticks as f64 > start.elapsed().as_secs_f64() * 40.0,
        "{ticks} ticks while idle"
    );
    server.stop();
}
