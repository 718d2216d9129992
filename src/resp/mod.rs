//! The wire protocol: RESP2 and RESP3, requests in, replies out.
//!
//! - [`decode`] finds requests in the bytes a connection has received. It never copies them, never looks at a byte
//!   twice however they were split, and allocates only in proportion to what has arrived, never to what was promised.
//! - [`peek`] guesses the keys of requests that wait, so that memory can be asked for ahead; it decides nothing.
//! - [`args`] is the one form in which a command gets its arguments, whoever calls it: a socket, `MULTI`, a script.
//! - [`reply`] is the one way in which a command answers; [`encode`] turns that into bytes, [`value`] keeps it.
//!   A handler therefore never knows whether a client or a Lua script reads its answer.
//!
//! Invariants: whatever bytes come in, decoding ends in a request, in a wish for more bytes or in a
//! [`ProtocolError`], and which of them does not depend on how the bytes were split; whatever a handler puts into an
//! error or a status, what goes out is one line.
//!
//! Depends on `base` only.

pub mod args;
pub mod decode;
pub mod encode;
mod inline;
pub mod peek;
pub mod protocol_error;
pub mod reply;
pub mod value;

#[cfg(test)]
mod tests;

pub use args::{Args, OwnedArgs, Span};
pub use decode::{Decoder, Limits, Step};
pub use encode::{RespWriter, trim_line_ends};
pub use inline::split_words;
pub use peek::Peek;
pub use protocol_error::ProtocolError;
pub use reply::{Protocol, Reply};
pub use value::{Recorder, Value};
