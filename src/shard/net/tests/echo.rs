//! Bytes arrive whole and in order, whatever the pieces, the pace and the sizes of the pools.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::{EchoServer, NetConfig, Order, exchange, pattern};

const CLIENT_THREADS: u64 = 8;
const CLIENTS_PER_THREAD: u64 = 25;

fn echo_with_many_clients(config: NetConfig) {
    let server = EchoServer::start(config);
    thread::scope(|scope| {
        for thread in 0..CLIENT_THREADS {
            let server = &server;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut tcp: Vec<_> = (0..CLIENTS_PER_THREAD).map(|_| server.tcp()).collect();
                let mut unix: Vec<_> = (0..CLIENTS_PER_THREAD).map(|_| server.unix()).collect();
                for round in 0..4 {
                    for stream in &mut tcp {
                        exchange(
                            stream,
                            &pattern(random.usize(1..60_000), round),
                            &mut random,
                        );
                    }
                    for stream in &mut unix {
                        exchange(
                            stream,
                            &pattern(random.usize(1..60_000), round),
                            &mut random,
                        );
                    }
                }
            });
        }
    });
    server
        .counters
        .wait_until_all_closed(2 * CLIENT_THREADS * CLIENTS_PER_THREAD);
    server.stop();
}

#[test]
fn many_clients_get_their_own_bytes_back() {
    echo_with_many_clients(NetConfig::default());
}

#[test]
fn exhausted_receive_buffers_lose_nothing() {
    echo_with_many_clients(NetConfig {
        receive_buffers: 2,
        receive_buffer_bytes: 512,
        ..NetConfig::default()
    });
}

#[test]
fn buffers_that_are_lent_later_lose_nothing() {
    echo_with_many_clients(NetConfig {
        receive_buffers: 128,
        receive_buffer_bytes: 64,
        ..NetConfig::default()
    });
}

#[test]
fn overflowing_queues_lose_nothing() {
    echo_with_many_clients(NetConfig {
        entries: 2,
        ..NetConfig::default()
    });
}

#[test]
fn a_peer_that_finished_writing_still_gets_its_answer() {
    let server = EchoServer::start(NetConfig::default());
    let data = pattern(3_000_000, 1);
    let mut stream = server.tcp();
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let data = &data;
        scope.spawn(move || {
            writer.write_all(data).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(
            back == *data,
            "{} of {} bytes came back",
            back.len(),
            data.len()
        );
    });
    server.counters.wait_until_all_closed(1);
    server.stop();
}

/// Both ways a long reply takes: tried at once and cut short, and patient from the start.
#[test]
fn slow_readers_get_long_replies_whole() {
    let server = EchoServer::start(NetConfig::default());
    for (len, pause) in [(3_000_000, 2), (12_000_000, 1)] {
        let text = pattern(len, len as u64);
        let mut tcp = server.tcp();
        let mut unix = server.unix();
        // A first exchange, so that the shard knows the clients when it shouts.
        exchange(&mut tcp, b"here", &mut fastrand::Rng::with_seed(1));
        exchange(&mut unix, b"here", &mut fastrand::Rng::with_seed(1));
        server.order(Order::Shout(text.clone()));
        for stream in [&mut tcp as &mut dyn Read, &mut unix] {
            let mut back = vec![0; len];
            for chunk in back.chunks_mut(200_000) {
                thread::sleep(Duration::from_millis(pause));
                stream.read_exact(chunk).unwrap();
            }
            assert!(back == text, "a reply of {len} bytes differs");
        }
    }
    server.stop();
}

#[test]
fn a_paused_client_fills_its_own_socket_and_not_our_memory() {
    const BYTES: usize = 30_000_000;
    let server = EchoServer::start(NetConfig::default());
    let mut stream = server.tcp();
    exchange(&mut stream, b"here", &mut fastrand::Rng::with_seed(1));
    server.order(Order::PauseAll);
    let data = pattern(BYTES, 3);
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let data = &data;
        scope.spawn(move || writer.write_all(data).unwrap());
        thread::sleep(Duration::from_millis(200));
        let received = server.counters.received_bytes.load(Ordering::SeqCst) as usize;
        assert!(
            received < BYTES / 2,
            "{received} bytes received while paused"
        );
        server.order(Order::ResumeAll);
        let mut back = vec![0; BYTES];
        stream.read_exact(&mut back).unwrap();
        assert!(back == *data, "the echo differs");
    });
    server.stop();
}
