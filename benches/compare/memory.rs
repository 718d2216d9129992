//! How much memory the same data takes.

use std::path::Path;

use crate::server::Server;
use crate::{Result, SERVER_CORE};

/// A set of data: `%n` in its command counts up.
pub struct Data {
    pub name: &'static str,
    times: u64,
    command: &'static [&'static str],
}

/// 64 bytes.
const VALUE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub const ALL: [Data; 5] = [
    Data {
        name: "memory: 1,000,000 strings (16 B keys, 64 B values)",
        times: 1_000_000,
        command: &["SET", "key:%n", VALUE],
    },
    Data {
        name: "memory: 100,000 hashes of 10 small fields",
        times: 100_000,
        command: &[
            "HSET", "hash:%n", "field0", "value0", "field1", "value1", "field2", "value2",
            "field3", "value3", "field4", "value4", "field5", "value5", "field6", "value6",
            "field7", "value7", "field8", "value8", "field9", "%n",
        ],
    },
    Data {
        name: "memory: a sorted set of 1,000,000 members",
        times: 1_000_000,
        command: &["ZADD", "zset", "%n", "member:%n"],
    },
    Data {
        name: "memory: a list of 1,000,000 elements",
        times: 1_000_000,
        command: &["RPUSH", "list", "element:%n"],
    },
    Data {
        name: "memory: a set of 1,000,000 members",
        times: 1_000_000,
        command: &["SADD", "set", "member:%n"],
    },
];

/// Resident bytes that the data adds to a server, once it does not rewrite its journal any more: what that takes meanwhile
/// is not there in redis-server's figure, whose child does it.
pub fn measure(binary: &Path, data: &Data) -> Result<u64> {
    let server = Server::start(binary, SERVER_CORE, 1)?;
    let before = server.resident_bytes()?;
    server.fill(data.times, data.command)?;
    server.wait_until_no_rewrite()?;
    let after = server.resident_bytes()?;
    server.stop()?;
    Ok(after.saturating_sub(before))
}
