//! Who is let in: a look at a client before it can send anything.

use crate::config::Opt;
use crate::engine::{Peer, Shared};
use socket2::SockRef;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

const TOO_MANY: &str = "ERR max number of clients reached";

const PROTECTED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
    default user. In this mode connections are only accepted from the loopback interface. If you want to connect from \
    external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the \
    command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server \
    is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make \
    this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration \
    file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server \
    manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password for \
    the default user. NOTE: You only need to do one of the above things in order for the server to start accepting \
    connections from the outside.";

/// Why a client is sent away at once, if it is.
pub fn refusal(shared: &Shared, peer: &Peer) -> Option<&'static str> {
    let settings = shared.config.settings();
    if shared.clients.len() >= settings.size(Opt::Maxclients) {
        return Some(TOO_MANY);
    }
    let is_refused =
        !peer.local && settings.flag(Opt::ProtectedMode) && shared.acl.asks_no_password();
    is_refused.then_some(PROTECTED)
}

/// Where a client came from, as CLIENT LIST shows it.
pub fn peer_of(socket: &OwnedFd) -> Peer {
    let socket_ref = SockRef::from(socket);
    let tcp = |address: io::Result<socket2::SockAddr>| address.ok()?.as_socket();
    let address = tcp(socket_ref.peer_addr());
    let local_address = tcp(socket_ref.local_addr());
    let fd = socket.as_raw_fd();
    if let (Some(address), Some(local_address)) = (address, local_address) {
        return Peer {
            address: address.to_string(),
            local_address: local_address.to_string(),
            fd,
            unix: false,
            local: address.ip().is_loopback(),
        };
    }
    let local_address = socket_ref.local_addr().ok();
    let path = local_address.as_ref().and_then(|a| a.as_pathname());
    let unix = local_address
        .as_ref()
        .is_some_and(socket2::SockAddr::is_unix);
    let name = format!("{}:0", path.unwrap_or(Path::new("")).display());
    Peer {
        address: name.clone(),
        local_address: name,
        fd,
        unix: true,
        // A client that has left already has no address any more, and nothing to read either.
        local: unix,
    }
}
