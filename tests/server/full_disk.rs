//! When no file may grow any more, writes are refused, and nothing that was acknowledged is lost.

use super::harness::{Server, bulk, error_text, eval, get, ok};
use crate::common::resp::Client;
use std::process::Command;

/// More than the journal reserves at the start, less than the test writes.
const FILE_BYTES_MAX: &str = "12000000";
const VALUE_BYTES: usize = 50_000;

#[test]
fn a_full_disk_is_survived() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    assert_eq!(client.call(&["SET", "stays", "before"]).reply, ok());
    limit_files(&server, FILE_BYTES_MAX);

    let written = fill(&mut client);
    assert!(written > 0, "some of it fitted");
    let big = "y".repeat(2 * VALUE_BYTES);
    let script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])";
    let error = error_text(eval(&mut client, script, &["stays", "new"], &[&big]));
    assert!(error.starts_with("MISCONF "), "{error}");
    assert_eq!(get(&mut client, "stays"), bulk("before"));
    assert_eq!(client.call(&["EXISTS", "new"]).raw, b":0\r\n");

    limit_files(&server, "unlimited");
    assert_eq!(client.call(&["SET", "stays", "after"]).reply, ok());
    server.kill9();
    server.restart();
    let mut client = server.client();
    assert_eq!(get(&mut client, "stays"), bulk("after"));
    for n in 0..written {
        assert_eq!(get(&mut client, &format!("filler:{n}")), bulk(value(n)));
    }
    assert_eq!(
        client.call(&["DBSIZE"]).raw,
        format!(":{}\r\n", written + 1).as_bytes()
    );
}

fn value(n: usize) -> String {
    format!("{n:0>VALUE_BYTES$}")
}

/// Writes until a write is refused; how many were not.
fn fill(client: &mut Client) -> usize {
    for n in 0..1000 {
        let reply = client
            .call(&["SET", &format!("filler:{n}"), &value(n)])
            .reply;
        if reply != ok() {
            let error = error_text(reply);
            assert_eq!(
                error,
                "MISCONF Errors writing to the AOF file: No space left on device"
            );
            return n;
        }
    }
    panic!("files have a limit");
}

fn limit_files(server: &Server, bytes: &str) {
    let status = Command::new("prlimit")
        .args([
            "--pid",
            &server.pid().to_string(),
            &format!("--fsize={bytes}:unlimited"),
        ])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "prlimit of util-linux"
    );
}
