//! A message on its way to subscribers.

use super::Name;
use super::channels::Receivers;
use crate::resp::{Protocol, Reply, RespWriter};
use std::ops::Range;

/// A message as it goes to the shards of its receivers.
#[derive(Debug)]
pub struct Published {
    pub sharded: bool,
    /// The patterns that fit its channel.
    pub patterns: Vec<Name>,
    /// Channel and payload as bulk strings, which look the same in both protocols.
    body: Vec<u8>,
    channel: Range<usize>,
}

impl Published {
    pub fn new(channel: &[u8], payload: &[u8], sharded: bool, receivers: &mut Receivers) -> Self {
        /// Two headers of bulk strings and their ends.
        const HEADERS_LEN: usize = 48;
        let mut body = Vec::with_capacity(channel.len() + payload.len() + HEADERS_LEN);
        let mut writer = RespWriter::new(&mut body, Protocol::Resp2);
        writer.bulk(channel);
        let end = body.len() - b"\r\n".len();
        RespWriter::new(&mut body, Protocol::Resp2).bulk(payload);
        Self {
            sharded,
            patterns: std::mem::take(&mut receivers.patterns),
            body,
            channel: end - channel.len()..end,
        }
    }

    pub fn channel(&self) -> &[u8] {
        &self.body[self.channel.clone()]
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }
}
