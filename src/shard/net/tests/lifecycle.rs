//! Connections come and go in every way, and each event reaches the connection it belongs to.
//!
//! Unsafe: two tests run in processes of their own, with the signal and the limit of descriptors that they need.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{env, fs, thread};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    Counters, Echo, EchoServer, ListenerSocket, Mailbox, Net, NetConfig, NetHandler, Order,
    PATIENCE, exchange, pattern,
};
use crate::shard::net::ListenerId;

#[test]
fn churn_leaves_nothing_behind() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 300;
    let server = EchoServer::start(NetConfig::default());
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..ROUNDS {
                    match random.u8(0..4) {
                        0 => drop(server.tcp()),
                        1 => server.tcp().write_all(b"and gone").unwrap(),
                        2 => exchange(&mut server.tcp(), b"hello", &mut random),
                        _ => exchange(&mut server.unix(), b"hello", &mut random),
                    }
                }
            });
        }
    });
    server.counters.wait_until_all_closed(THREADS * ROUNDS);
    server.stop();
}

/// With the default action restored, a send without `MSG_NOSIGNAL` would end the process.
#[test]
fn resets_in_the_middle_of_a_reply_harm_nobody() {
    const CLIENTS: u64 = 40;
    // SAFETY: restores a default; takes no pointers into our memory.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let server = EchoServer::start(NetConfig::default());
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.tcp()).collect();
    let mut bystander = server.unix();
    exchange(&mut bystander, b"here", &mut fastrand::Rng::with_seed(1));
    server.counters.wait_until("all clients accepted", |it| {
        it.accepted.load(Ordering::SeqCst) == CLIENTS + 1
    });
    server.order(Order::Shout(pattern(6_000_000, 1)));
    let mut start = [0; 100];
    bystander.read_exact(&mut start).unwrap();
    for client in clients {
        // A close with a zero linger time resets.
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    server.counters.wait_until("all resets noticed", |it| {
        it.closed.load(Ordering::SeqCst) == CLIENTS
    });
    assert!(
        server.counters.failed.load(Ordering::SeqCst) > 0,
        "no connection failed"
    );
    bystander
        .read_exact(&mut vec![0; 6_000_000 - start.len()])
        .unwrap();
    exchange(
        &mut bystander,
        b"still here",
        &mut fastrand::Rng::with_seed(1),
    );
    server.stop();
}

#[test]
fn closing_does_not_wait_for_a_reader_that_never_reads() {
    let server = EchoServer::start(NetConfig::default());
    let mut clients: Vec<TcpStream> = (0..20).map(|_| server.tcp()).collect();
    server.counters.wait_until("all clients accepted", |it| {
        it.accepted.load(Ordering::SeqCst) == 20
    });
    server.order(Order::Shout(pattern(8_000_000, 1)));
    thread::sleep(Duration::from_millis(50));
    server.order(Order::CloseAll);
    server.counters.wait_until_all_closed(20);
    assert_eq!(server.counters.failed.load(Ordering::SeqCst), 0);
    for client in &mut clients {
        let mut cut = Vec::new();
        let _ = client.read_to_end(&mut cut);
        assert!(cut.len() < 8_000_000, "the reply cannot have been whole");
    }
    server.stop();
}

#[test]
fn a_shard_that_ends_with_requests_in_flight_cancels_them() {
    let server = EchoServer::start(NetConfig::default());
    let mut clients: Vec<TcpStream> = (0..20).map(|_| server.tcp()).collect();
    server.counters.wait_until("all clients accepted", |it| {
        it.accepted.load(Ordering::SeqCst) == 20
    });
    server.order(Order::Shout(pattern(8_000_000, 1)));
    thread::sleep(Duration::from_millis(50));
    server.stop();
    for client in &mut clients {
        let mut cut = Vec::new();
        let _ = client.read_to_end(&mut cut);
        assert!(cut.len() < 8_000_000, "the reply cannot have been whole");
    }
}

/// Closes connections that have data and sends under way and takes new ones into their slots at once. `Echo` panics if
/// an event comes for a connection that it has seen closed; the successor must get its own bytes.
#[test]
fn late_completions_never_reach_a_successor() {
    let mailbox = Mailbox::<()>::new().unwrap();
    let mut net = Net::new(NetConfig::default(), &mailbox).unwrap();
    let counters = Arc::new(Counters::default());
    let mut echo = Echo::new(Arc::clone(&counters));
    let mut random = fastrand::Rng::with_seed(1);
    let mut slots_reused = 0;
    for round in 0..500u64 {
        let (mut old_peer, old) = UnixStream::pair().unwrap();
        echo.accepted(&mut net, ListenerId(0), OwnedFd::from(old));
        let old = *echo.sessions.keys().next().unwrap();
        net.submit().unwrap();
        old_peer.write_all(b"for the old one").unwrap();
        net.send(old, pattern(random.usize(1..400_000), round));
        for _ in 0..random.u8(0..3) {
            net.poll(&mut echo).unwrap();
            net.submit().unwrap();
        }
        net.close(old);
        while echo.sessions.contains_key(&old) {
            net.sleep(&mailbox, PATIENCE).unwrap();
            net.poll(&mut echo).unwrap();
        }
        let (mut new_peer, new) = UnixStream::pair().unwrap();
        let new = net.adopt(OwnedFd::from(new));
        echo.sessions.insert(new, super::Session::default());
        slots_reused += u32::from(old.index() == new.index());
        assert_ne!(old, new);
        // The old key is no handle on the new connection.
        net.close(old);
        net.send(old, b"wrong".to_vec());
        assert!(net.fd(old).is_none());
        new_peer.write_all(b"for the new one").unwrap();
        while echo.sessions[&new].out.len() < 15 {
            net.sleep(&mailbox, PATIENCE).unwrap();
            net.poll(&mut echo).unwrap();
        }
        assert_eq!(echo.sessions[&new].out, b"for the new one");
        net.close(new);
        while !net.is_empty() {
            net.sleep(&mailbox, PATIENCE).unwrap();
            net.poll(&mut echo).unwrap();
        }
    }
    assert!(slots_reused > 100, "only {slots_reused} slots were reused");
}

#[test]
fn a_port_in_use_is_an_error_and_shards_share_one() {
    let shards = ListenerSocket::tcp(([127, 0, 0, 1], 0).into(), 511, 3).unwrap();
    let address = shards[0].local_addr().unwrap();
    assert!(
        shards
            .iter()
            .all(|shard| shard.local_addr() == Some(address))
    );
    assert!(ListenerSocket::tcp(address, 511, 3).is_err());
    drop(shards);
    assert!(ListenerSocket::tcp(address, 511, 3).is_ok());
}

#[test]
fn clients_inherit_the_listeners_options() {
    let listener = ListenerSocket::tcp(([127, 0, 0, 1], 0).into(), 511, 1)
        .unwrap()
        .pop()
        .unwrap();
    listener.set_keepalive(Duration::from_mins(5)).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.0.accept().unwrap();
    assert!(accepted.tcp_nodelay().unwrap());
    assert!(accepted.keepalive().unwrap());
    assert_eq!(
        accepted.tcp_keepalive_time().unwrap(),
        Duration::from_mins(5)
    );
}

const CHILD: &str = "AIKV_TEST_FEW_DESCRIPTORS";

/// The limit is the whole process's, so the test runs in one of its own.
#[test]
fn without_descriptors_accepting_rests_and_comes_back() {
    if env::var_os(CHILD).is_some() {
        return run_out_of_descriptors();
    }
    let name = "shard::net::tests::lifecycle::without_descriptors_accepting_rests_and_comes_back";
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    assert!(
        String::from_utf8_lossy(&child.stdout).contains("1 passed"),
        "the child ran no test"
    );
}

fn run_out_of_descriptors() {
    // More clients than descriptors; enough of those for the shard itself. The limit comes first, for the kernel notes
    // it when accepting is armed.
    let mut clients: Vec<Socket> = (0..100)
        .map(|_| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap())
        .collect();
    let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = libc::rlimit {
        rlim_cur: open + 60,
        rlim_max: open + 60,
    };
    // SAFETY: `limit` is a valid argument.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(limited, 0);
    let server = EchoServer::start(NetConfig::default());
    for client in &clients {
        client.connect(&server.address.into()).unwrap();
    }
    let counters = &server.counters;
    counters.wait_until("accepting fails", |it| {
        it.accept_failed.load(Ordering::SeqCst) > 0
    });
    let before = counters.accept_failed.load(Ordering::SeqCst);
    thread::sleep(Duration::from_millis(500));
    let failures = counters.accept_failed.load(Ordering::SeqCst) - before;
    // Two listeners that rest 50 ms each time; the kernel wants a descriptor before it looks for a client.
    assert!(
        (1..=24).contains(&failures),
        "{failures} failures in half a second"
    );
    clients.truncate(2);
    exchange(&mut server.tcp(), b"back", &mut fastrand::Rng::with_seed(1));
    server.stop();
}
