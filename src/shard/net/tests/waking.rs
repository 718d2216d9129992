//! A shard wakes up for its mailbox and its sockets, asleep or busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{EchoServer, NetConfig, Order, PATIENCE, exchange};

/// Gaps between messages hit a shard that is awake, about to sleep, and asleep.
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
