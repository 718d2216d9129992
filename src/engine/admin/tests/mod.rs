//! The commands of this folder against a server without sockets.
//!
//! - `session`, `operator`: what a client and what an operator see, reply by reply
//! - `oracle`: the same requests to redis-server; differences are listed with their reasons
//! - `docs`: what COMMAND DOCS tells, against redis-server too
//! - `keys`: which arguments COMMAND GETKEYS takes for keys, in requests made of what COMMAND DOCS tells

mod docs;
mod keys;
mod operator;
mod oracle;
mod session;
