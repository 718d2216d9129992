//! BGSAVE beside a server that writes, `aikv backup`, and what `aikv restore` makes of them.

use super::harness::{Server, bulk, error_text, get, ok, run_to_end, text};
use crate::common::resp::{Client, Reply};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn info(client: &mut Client, field: &str) -> String {
    let text = String::from_utf8(client.call(&["INFO", "persistence"]).raw).expect("INFO is text");
    let line = text.lines().find(|line| line.starts_with(field));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.to_owned())
}

/// Has a backup made and waits for it.
fn bgsave(client: &mut Client) {
    let started = client.call(&["BGSAVE"]).reply;
    assert_eq!(started, Reply::Simple("Background saving started".into()));
    let start = Instant::now();
    while info(client, "rdb_bgsave_in_progress") != "0" {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn backups(server: &Server) -> Vec<PathBuf> {
    let home = server.dir().join("backups");
    let entries = std::fs::read_dir(home).expect("the directory of the backups");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn bgsave_is_a_moment_of_a_server_that_goes_on() {
    const SCRIPT: &str = "for _, key in ipairs(KEYS) do redis.call('INCR', key) end return 1";
    let server = Server::start(&["--shards", "2", "--backup-keep", "2"]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.client();
                let keys = [format!("left:{worker}"), format!("right:{worker}")];
                while !done.load(Ordering::Relaxed) {
                    let reply = client
                        .call(&["EVAL", SCRIPT, "2", &keys[0], &keys[1]])
                        .reply;
                    assert_eq!(reply, Reply::Integer(1));
                }
            });
        }
        let mut client = server.client();
        for _ in 0..5 {
            bgsave(&mut client);
            assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        }
        done.store(true, Ordering::Relaxed);
    });
    let paths = backups(&server);
    assert_eq!(paths.len(), 2, "{paths:?}");
    for path in paths {
        let restored = server.dir().join("restored");
        let ended = run_to_end(&["restore", text(&path), text(&restored)]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mut other = Server::start(&[]);
        assert_eq!(other.terminate(), Some(0));
        other.restart_with(&["--dir", text(&restored)]);
        let mut client = other.client();
        for worker in 0..2 {
            let left = get(&mut client, &format!("left:{worker}"));
            assert_eq!(left, get(&mut client, &format!("right:{worker}")));
            assert!(matches!(left, Reply::Bulk(_)));
        }
        drop(other);
        std::fs::remove_dir_all(&restored).unwrap();
    }
}

#[test]
fn lastsave_tells_when_a_backup_is_there() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let Reply::Integer(started) = client.call(&["LASTSAVE"]).reply else {
        panic!("LASTSAVE answers a number");
    };
    assert_eq!(client.call(&["SET", "k", "v"]).reply, ok());
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(client.call(&["LASTSAVE"]).reply, Reply::Integer(started));
    bgsave(&mut client);
    let Reply::Integer(saved) = client.call(&["LASTSAVE"]).reply else {
        panic!("LASTSAVE answers a number");
    };
    assert!(saved > started);
    let wrong = client.call(&["BGSAVE", "NOW"]).reply;
    assert_eq!(error_text(wrong), "ERR syntax error");
}

#[test]
fn a_backup_that_cannot_be_made_is_told_of() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.call(&["CONFIG", "SET", "backup-dir", "/dev/null/nowhere"]);
    bgsave(&mut client);
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "err");
    assert!(info(&mut client, "backup_failure").contains("/dev/null/nowhere"));
    assert_eq!(client.call(&["SET", "k", "v"]).reply, ok());
    client.call(&["CONFIG", "SET", "backup-dir", "elsewhere"]);
    bgsave(&mut client);
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert!(server.dir().join("elsewhere").is_dir());
}

#[test]
fn a_directory_is_backed_up_and_restored_as_of_a_batch() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    for number in 1..=9 {
        assert_eq!(client.call(&["SET", "k", &number.to_string()]).reply, ok());
    }
    let first: u64 = info(&mut client, "journal_appended").parse().unwrap();
    let dir = server.dir().to_path_buf();
    let (copy, old) = (dir.join("copy"), dir.join("old"));
    let busy = run_to_end(&["backup", text(&dir), text(&copy)]);
    assert!(busy.stderr.contains("in use"), "{}", busy.stderr);
    assert_eq!(server.terminate(), Some(0));
    let made = run_to_end(&["backup", text(&dir), text(&copy)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let until = (first - 4).to_string();
    let restored = run_to_end(&["restore", text(&copy), text(&old), "--until", &until]);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    let beyond = run_to_end(&["restore", text(&copy), text(&old), "--until", "999"]);
    assert_eq!(beyond.code, Some(1));
    assert!(beyond.stderr.contains("out of reach"), "{}", beyond.stderr);
    let wrong = run_to_end(&["restore", text(&copy)]);
    assert_eq!(wrong.code, Some(2));
    server.restart_with(&["--dir", text(&old)]);
    assert_eq!(get(&mut server.client(), "k"), bulk("5"));
}
