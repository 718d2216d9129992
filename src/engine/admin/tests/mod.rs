//! The commands of this folder against a server without sockets.

mod session;
