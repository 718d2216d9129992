//! Listening sockets: how they are made, and how a shard keeps accepting from them.
//!
//! Unsafe: descriptors that the kernel reports in completions become owned here, and accept requests name descriptors.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use io_uring::types::{Fd, Timespec};
use io_uring::{opcode, squeue};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::ring::Ring;
use super::token::{ListenerId, Token};

/// A listener that cannot accept (the process is out of descriptors, the kernel out of memory) rests this long;
/// clients wait in its backlog meanwhile.
static ACCEPT_PAUSE: Timespec = Timespec::new().nsec(50_000_000);

/// How often an idle peer that stopped answering is asked again before it counts as gone.
const KEEPALIVE_PROBES: u32 = 3;

/// A bound, listening socket. Clone it for each shard that shall accept from it.
#[derive(Debug)]
pub struct ListenerSocket(pub(super) Socket);

impl ListenerSocket {
    /// `count` sockets listening on one address, among which the kernel spreads the clients (`SO_REUSEPORT`): one for
    /// each shard. Fails if anyone else listens there, also someone who set `SO_REUSEPORT`.
    pub fn tcp(address: SocketAddr, backlog: i32, count: usize) -> io::Result<Vec<ListenerSocket>> {
        let mut address = address;
        if address.port() != 0 {
            tcp_socket(address, false)?;
        }
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = tcp_socket(address, true)?;
            address = socket.local_addr()?.as_socket().unwrap_or(address);
            sockets.push(ListenerSocket(socket));
        }
        // All are bound before the first one listens, or else it would get every early client.
        for ListenerSocket(socket) in &sockets {
            socket.listen(backlog)?;
        }
        Ok(sockets)
    }

    /// A Unix socket at `path`, in place of what a former process left there.
    pub fn unix(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<ListenerSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        socket.listen(backlog)?;
        Ok(ListenerSocket(socket))
    }

    /// A second descriptor of the same socket, with one common backlog.
    pub fn try_clone(&self) -> io::Result<ListenerSocket> {
        self.0.try_clone().map(ListenerSocket)
    }

    /// The address of a TCP listener, with the port that the kernel chose.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()?.as_socket()
    }

    /// Has accepted TCP clients probed after `idle` of silence; zero turns that off. Linux hands this option and
    /// `TCP_NODELAY` from the listener down to each client, so that none of them costs a call of its own.
    pub fn set_keepalive(&self, idle: Duration) -> io::Result<()> {
        if idle.is_zero() {
            return self.0.set_keepalive(false);
        }
        let interval = (idle / KEEPALIVE_PROBES).max(Duration::from_secs(1));
        let probes = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval)
            .with_retries(KEEPALIVE_PROBES);
        self.0.set_tcp_keepalive(&probes)
    }
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listener as one shard's ring sees it.
pub(super) struct Listener {
    id: ListenerId,
    socket: ListenerSocket,
}

/// What one completion of an accept request means.
pub(super) enum Accepted {
    Client(OwnedFd),
    Nothing,
    /// No client can be accepted for now.
    Failed(io::Error),
}

impl Listener {
    pub fn new(id: ListenerId, socket: ListenerSocket) -> Listener {
        Listener { id, socket }
    }

    pub fn socket(&self) -> &ListenerSocket {
        &self.socket
    }

    /// Starts accepting until the kernel ends the request.
    pub fn arm(&self, ring: &mut Ring) {
        let entry = opcode::AcceptMulti::new(Fd(self.socket.0.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(Token::Accept(self.id).pack());
        // SAFETY: listeners live as long as their ring.
        unsafe { ring.push(&entry) };
    }

    /// Takes the result of an accept request and sees to it that accepting goes on.
    pub fn completed(&self, ring: &mut Ring, result: i32, more: bool) -> Accepted {
        if result >= 0 {
            if !more {
                self.arm(ring);
            }
            // SAFETY: the kernel made this descriptor for us; each completion is taken once.
            return Accepted::Client(unsafe { OwnedFd::from_raw_fd(result) });
        }
        let error = io::Error::from_raw_os_error(-result);
        let client_gave_up = matches!(-result, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN);
        match (client_gave_up, more) {
            (true, true) => Accepted::Nothing,
            (true, false) => {
                self.arm(ring);
                Accepted::Nothing
            }
            (false, more) => {
                if !more {
                    self.pause(ring);
                }
                Accepted::Failed(error)
            }
        }
    }

    fn pause(&self, ring: &mut Ring) {
        let entry: squeue::Entry = opcode::Timeout::new(&raw const ACCEPT_PAUSE)
            .build()
            .user_data(Token::AcceptAgain(self.id).pack());
        // SAFETY: the time is a static.
        unsafe { ring.push(&entry) };
    }
}
