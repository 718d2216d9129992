//! Scripts leave nothing behind: after many that are all different the server is as large as after the first of them.

use super::harness::{Server, eventually};
use crate::common::resp::{Client, Reply, encode};
use std::time::Duration;

/// Scripts that are sent before the replies are read.
const PIPELINE: usize = 200;
/// What the server may have grown by: caches of the allocator, the journal's buffers.
const GROWTH_MAX: u64 = 8 << 20;

#[test]
fn scripts_leave_no_memory_behind() {
    leave_no_memory(4_000, 16_000);
}

/// `cargo test --release --test server a_million_scripts -- --ignored --nocapture`: some minutes.
#[test]
#[ignore = "takes minutes, and means something in a release build only"]
fn a_million_scripts_leave_no_memory_behind() {
    leave_no_memory(100_000, 1_000_000);
}

/// Compares the server's size after so many scripts with that after more.
fn leave_no_memory(first: usize, last: usize) {
    let server = Server::start(&["--durability", "no", "--shards", "1"]);
    let mut client = server.client();
    run(&mut client, 0..first);
    let before = resident_bytes(&server);
    run(&mut client, first..last);
    let mut after = resident_bytes(&server);
    // What is free goes back to the system after some seconds.
    eventually("memory goes back", || {
        after = after.min(resident_bytes(&server));
        after <= before + GROWTH_MAX
    });
    println!("{first} scripts: {before} bytes, {last} scripts: {after} bytes");
}

fn run(client: &mut Client, numbers: std::ops::Range<usize>) {
    let (mut failed, mut count) = (0, 0);
    let numbers: Vec<usize> = numbers.collect();
    for piece in numbers.chunks(PIPELINE) {
        let requests: Vec<u8> = piece.iter().flat_map(|number| request(*number)).collect();
        client.send_bytes(&requests);
        for _ in piece {
            failed += usize::from(matches!(client.receive().reply, Reply::Error(_)));
            count += 1;
        }
    }
    // Three of ten kinds, and one of a thousand calls, end with an error.
    assert!(
        failed * 4 > count && failed * 3 < count,
        "{failed} of {count}"
    );
}

/// A script that was never run before: what goes well, what fails, what is ended, what is left suspended.
fn request(number: usize) -> Vec<u8> {
    const LOADED: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    let dialect = if number.is_multiple_of(2) {
        "aikv"
    } else {
        "redis"
    };
    let key = format!("key:{}", number % 50);
    if number.is_multiple_of(1000) {
        let endless = format!(
            "#!lua timeout=1 dialect={dialect}\nredis.call('SET', KEYS[1], {number}) while true do end"
        );
        return encode(&["EVAL", &endless, "1", &key]);
    }
    let code = match number / 2 % 10 {
        0 => "return {KEYS[1], ARGV[1], N}",
        1 => "redis.call('SET', KEYS[1], N) error('on purpose ' .. N)",
        2 => "redis.call('SET', KEYS[1], 'N') return redis.call('LPUSH', KEYS[1], N)",
        3 => "local co = coroutine.create(function(a) local b = coroutine.yield(a + N) return b end)
            return {select(2, coroutine.resume(co, 1)), coroutine.status(co)}",
        4 => "local t = {} for i = 1, 100 do t[i] = tostring(i + N) end
            return #(table.concat(t, ','):gsub('%d', function(d) return d .. d end))",
        5 => "return cjson.encode(cjson.decode('{\"a\": [N, {\"b\": null}]}')) .. #cmsgpack.pack({N, {a = 'N'}})",
        6 => "return redis.call('EVAL', 'N'",
        7 => "redis.call('SET', KEYS[1], N) local s = redis.savepoint() redis.call('DEL', KEYS[1])
            redis.rollback_to(s) return redis.rollback(redis.call('GET', KEYS[1]))",
        8 => "local function f(n) return setmetatable({n, f}, {__index = function() return N end}) end
            local ok, text = pcall(error, {f(N)}) return {tostring(ok), load('return N')()}",
        _ => return encode(&["EVAL", LOADED, "1", &format!("count:{}", number % 50), "1"]),
    };
    let body = format!(
        "#!lua dialect={dialect}\n{}",
        code.replace('N', &number.to_string())
    );
    encode(&["EVAL", &body, "1", &key, &number.to_string()])
}

/// What the process has in memory.
fn resident_bytes(server: &Server) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    std::thread::sleep(Duration::from_millis(200));
    let path = format!("/proc/{}/statm", server.pid());
    let text = std::fs::read_to_string(path).expect("the process is there");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * PAGE_BYTES
}
