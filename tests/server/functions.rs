//! Functions as clients meet them: on every shard, after a restart and after a kill, and on the way to redis-server and back.

use super::harness::{Server, bulk, error_text, ok, run_to_end};
use crate::common::redis::RedisServer;
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;
use std::thread;
use std::time::Duration;

/// A library with a function that says which version of it this is.
fn version(number: u64) -> String {
    format!(
        "#!lua name=lib
         redis.register_function{{function_name='version', flags={{'no-writes'}}, callback=function() return {number} end}}
         redis.register_function('v{number}', function(keys) return redis.call('INCR', keys[1]) end)"
    )
}

fn load(client: &mut Client, number: u64) -> Option<Reply> {
    let code = version(number);
    let answer = client.try_call(&["FUNCTION", "LOAD", "REPLACE", &code])?;
    Some(answer.reply)
}

fn call(client: &mut Client, function: &str) -> Reply {
    client.call(&["FCALL", function, "1", "key"]).reply
}

#[test]
fn every_shard_has_a_library_when_its_load_is_answered() {
    let server = Server::start(&["--shards", "2"]);
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for number in 1..50 {
        let loader = number as usize % clients.len();
        assert_eq!(load(&mut clients[loader], number), Some(bulk("lib")));
        for client in &mut clients {
            assert_eq!(call(client, "version"), Reply::Integer(number as i64));
        }
    }
    assert_eq!(clients[0].call(&["FUNCTION", "DELETE", "lib"]).reply, ok());
    for client in &mut clients {
        assert_eq!(
            error_text(call(client, "version")),
            "ERR Function not found"
        );
    }
}

#[test]
fn libraries_are_there_after_a_restart() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    for name in ["one", "two", "three"] {
        let code = format!(
            "#!lua name={name} dialect=redis\nredis.register_function{{function_name='of_{name}', description='a function', flags={{'allow-oom','no-writes'}}, callback=function(keys) return keys[1] .. '{name}' end}}"
        );
        assert_eq!(client.call(&["FUNCTION", "LOAD", &code]).reply, bulk(name));
    }
    assert_eq!(client.call(&["FUNCTION", "DELETE", "two"]).reply, ok());
    assert_eq!(client.call(&["FLUSHALL"]).reply, ok());
    let list: [&str; 3] = ["FUNCTION", "LIST", "WITHCODE"];
    let before = client.call(&list).raw;
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let mut client = server.client();
    assert_eq!(client.call(&list).raw, before);
    assert_eq!(call(&mut client, "OF_THREE"), bulk("keythree"));
    assert_eq!(
        error_text(call(&mut client, "of_two")),
        "ERR Function not found"
    );

    assert_eq!(client.call(&["FUNCTION", "FLUSH"]).reply, ok());
    server.kill9();
    server.restart();
    let mut client = server.client();
    assert_eq!(client.call(&list).reply, Reply::Array(Vec::new()));
}

const ROUNDS: usize = 12;

/// Killed at any moment, the server has the version that it answered for, or the one whose answer was under way, whole.
#[test]
fn an_answered_load_survives_a_kill() {
    let mut server = Server::start(&[]);
    let mut rng = Rng::new(Rng::seed_from_env("AIKV_TEST_SEED"));
    let mut answered = 0;
    for _ in 0..ROUNDS {
        let mut client = server.client();
        let first = answered + 1;
        let loader = thread::spawn(move || {
            let mut last = first - 1;
            while load(&mut client, last + 1).is_some() {
                last += 1;
            }
            last
        });
        thread::sleep(Duration::from_millis(rng.below(60) as u64));
        server.kill9();
        answered = loader.join().expect("the loader ends with the server");
        server.restart();
        let mut client = server.client();
        let found = match call(&mut client, "version") {
            Reply::Integer(found) => found as u64,
            Reply::Error(_) => 0,
            other => panic!("{other:?}"),
        };
        assert!(
            found == answered || found == answered + 1,
            "version {found} after version {answered} was answered"
        );
        if found > 0 {
            let counted = call(&mut client, &format!("v{found}"));
            assert!(matches!(counted, Reply::Integer(1..)), "{counted:?}");
        }
        answered = found;
    }
    println!("versions loaded: {answered}");
    assert!(answered > 0, "nothing was loaded before any of the kills");
}

#[test]
fn a_dump_moves_to_redis_and_back() {
    let (server, redis) = (Server::start(&[]), RedisServer::start());
    let (mut ours, mut theirs) = (server.client(), redis.client());
    let padding = "-- a line that can be packed\n".repeat(100);
    let code = format!("{}\n{padding}", version(7));
    assert_eq!(theirs.call(&["FUNCTION", "LOAD", &code]).reply, bulk("lib"));
    let Reply::Bulk(dump) = theirs.call(&["FUNCTION", "DUMP"]).reply else {
        panic!("a dump is a string");
    };
    let restore: [&[u8]; 3] = [b"FUNCTION", b"RESTORE", &dump];
    assert_eq!(ours.call(&restore).reply, ok());
    assert_eq!(call(&mut ours, "version"), Reply::Integer(7));
    assert_eq!(theirs.call(&["FUNCTION", "FLUSH"]).reply, ok());
    let Reply::Bulk(dump) = ours.call(&["FUNCTION", "DUMP"]).reply else {
        panic!("a dump is a string");
    };
    let restore: [&[u8]; 3] = [b"FUNCTION", b"RESTORE", &dump];
    assert_eq!(theirs.call(&restore).reply, ok());
    assert_eq!(call(&mut theirs, "version"), Reply::Integer(7));
    assert_eq!(call(&mut theirs, "v7"), call(&mut ours, "v7"));
    let list: [&str; 3] = ["FUNCTION", "LIST", "WITHCODE"];
    let taken = error_text(ours.call(&restore).reply);
    assert_eq!(taken, "ERR Library lib already exists");
    assert!(matches!(ours.call(&list).reply, Reply::Array(all) if all.len() == 1));
}

#[test]
fn a_file_of_redis_brings_its_libraries_and_takes_them_back() {
    let redis = RedisServer::start();
    let mut theirs = redis.client();
    assert_eq!(load(&mut theirs, 3), Some(bulk("lib")));
    let dump = redis.save();
    let dump = dump.to_str().expect("text");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let back = folder.path().join("back.rdb");

    let mut server = Server::start(&[]);
    let mut ours = server.client();
    let only_here =
        "#!lua name=here dialect=aikv\nredis.register_function('here', function() return 1 end)";
    assert_eq!(
        ours.call(&["FUNCTION", "LOAD", only_here]).reply,
        bulk("here")
    );
    assert_eq!(server.terminate(), Some(0));
    let dir = server.dir().to_str().expect("text").to_owned();
    let import = ["import", dump, "--dir", &dir];
    let ended = run_to_end(&import);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("1 libraries of functions imported"),
        "{}",
        ended.stdout
    );
    let again = run_to_end(&[&import[..], &["--replace"]].concat());
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    server.restart();
    let mut ours = server.client();
    assert_eq!(call(&mut ours, "version"), Reply::Integer(3));
    assert_eq!(call(&mut ours, "here"), Reply::Integer(1));

    assert_eq!(server.terminate(), Some(0));
    let export = [
        "export",
        "--rdb",
        back.to_str().expect("text"),
        "--dir",
        &dir,
    ];
    let ended = run_to_end(&export);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("1 left out"), "{}", ended.stdout);
    let loaded = RedisServer::start_from(&back);
    assert_eq!(call(&mut loaded.client(), "version"), Reply::Integer(3));
}
