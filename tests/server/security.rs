//! Who is let in, seen from outside.

use super::harness::{Server, ok};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// An address of this machine that is not loopback, where it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only looks for the way there, and for the address on that way.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// What a client reads that sends PING, up to the end of the connection or of the first line.
fn ping(address: IpAddr, port: u16) -> String {
    let mut stream = TcpStream::connect((address, port)).expect("the server accepts");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a socket");
    // Whom the server sends away may find the connection closed already.
    let _ = stream.write_all(b"PING\r\n");
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    while !heard.ends_with(b"\r\n") {
        match stream.read(&mut chunk) {
            Ok(len @ 1..) => heard.extend_from_slice(&chunk[..len]),
            _ => break,
        }
    }
    String::from_utf8(heard).expect("text")
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let server = Server::start(&["--bind", "0.0.0.0"]);
    let mut inside = server.client();
    assert_eq!(ping([127, 0, 0, 1].into(), server.port), "+PONG\r\n");
    let Some(outside) = outer_address() else {
        eprintln!("this machine has no address but loopback: nothing comes from outside");
        return;
    };
    let denied = ping(outside, server.port);
    assert!(
        denied.starts_with("-DENIED Redis is running in protected mode because"),
        "{denied}"
    );
    let heard_with = |client: &mut crate::common::resp::Client, option: [&str; 2]| {
        let set = client.call(&["CONFIG", "SET", option[0], option[1]]);
        assert_eq!(set.reply, ok(), "{option:?}");
        ping(outside, server.port)
    };
    assert_eq!(
        heard_with(&mut inside, ["protected-mode", "no"]),
        "+PONG\r\n"
    );
    assert_eq!(heard_with(&mut inside, ["protected-mode", "yes"]), denied);
    let asked = heard_with(&mut inside, ["requirepass", "secret"]);
    assert_eq!(asked, "-NOAUTH Authentication required.\r\n");
}
