//! Every example of the specification of scripts, by a client, and what of it a crash leaves.

use super::harness::{Server, bulk, error_text, eval, get, ok, script_args};
use crate::common::resp::{Client, Reply};

const COMMIT: &str = "
  redis.call('SET', 'key1', 'value1')
  redis.call('SET', 'key2', 'value2')
  return 'OK'
";
const ROLLBACK: &str = "
  redis.call('SET', 'key1', 'value1')
  redis.call('SET', 'key2', 'value2')
  error('something went wrong')
";
const OWN_WRITES: &str = "
  redis.call('SET', 'mykey', 'first')
  local v1 = redis.call('GET', 'mykey')  -- Returns 'first'
  redis.call('SET', 'mykey', 'second')
  local v2 = redis.call('GET', 'mykey')  -- Returns 'second'
  return {v1, v2}
";
const COMPLEX: &str = "
local count = redis.call('EXISTS', KEYS[1])
if count == 1 then
    return redis.call('GET', KEYS[1])
else
    redis.call('SET', KEYS[1], 'default')
    return 'default'
end
";
const HELLO: &str = "return 'hello'";
const HELLO_SHA: &str = "1b936e3fe509bcbc9cd0664897bbe8fd0cac101b";

#[test]
fn a_finished_script_is_committed_also_beyond_a_crash() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    assert_eq!(eval(&mut client, COMMIT, &[], &[]), bulk("OK"));
    for crashed in [false, true] {
        if crashed {
            server.kill9();
            server.restart();
            client = server.client();
        }
        assert_eq!(get(&mut client, "key1"), bulk("value1"));
        assert_eq!(get(&mut client, "key2"), bulk("value2"));
    }
}

#[test]
fn a_failed_script_leaves_nothing_behind() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let error = error_text(eval(&mut client, ROLLBACK, &[], &[]));
    assert!(error.contains("something went wrong"), "{error}");
    let unsupported = "redis.call('SET', 'key1', 'x') redis.call('NOSUCHCOMMAND')";
    error_text(eval(&mut client, unsupported, &[], &[]));
    for crashed in [false, true] {
        if crashed {
            server.kill9();
            server.restart();
            client = server.client();
        }
        let exists = client.call(&["EXISTS", "key1", "key2"]);
        assert_eq!(exists.reply, Reply::Integer(0));
    }
}

#[test]
fn a_rollback_brings_back_what_was_there() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    client.call(&["SET", "key1", "before", "EX", "1000"]);
    client.call(&["SET", "key2", "there"]);
    let script = "redis.call('SET', 'key1', 'x') redis.call('DEL', 'key2') error('no')";
    error_text(eval(&mut client, script, &[], &[]));
    for crashed in [false, true] {
        if crashed {
            server.kill9();
            server.restart();
            client = server.client();
        }
        assert_eq!(get(&mut client, "key1"), bulk("before"));
        assert_eq!(get(&mut client, "key2"), bulk("there"));
        let left = client.call(&["TTL", "key1"]).reply;
        assert!(matches!(left, Reply::Integer(900..=1000)), "{left:?}");
    }
}

#[test]
fn a_script_reads_its_own_writes() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let both = Reply::Array(vec![bulk("first"), bulk("second")]);
    assert_eq!(eval(&mut client, OWN_WRITES, &[], &[]), both);
    assert_eq!(get(&mut client, "mykey"), bulk("second"));
    let deleted = "redis.call('DEL', 'mykey')
      return {redis.call('GET', 'mykey'), redis.call('EXISTS', 'mykey')}";
    // GET gives false, which the tables of the specification make 0.
    let nothing = Reply::Array(vec![Reply::Integer(0), Reply::Integer(0)]);
    assert_eq!(eval(&mut client, deleted, &[], &[]), nothing);
    eval(&mut client, OWN_WRITES, &[], &[]);
    server.kill9();
    server.restart();
    assert_eq!(get(&mut server.client(), "mykey"), bulk("second"));
}

#[test]
fn scripts_get_keys_and_arguments() {
    let server = Server::start(&[]);
    let mut client = server.client();
    assert_eq!(eval(&mut client, "return 42", &[], &[]), Reply::Integer(42));
    assert_eq!(
        eval(&mut client, "return KEYS[1]", &["mykey"], &[]),
        bulk("mykey")
    );
    assert_eq!(
        eval(&mut client, "return ARGV[1] * 2", &[], &["21"]),
        Reply::Integer(42)
    );
    let counts = eval(
        &mut client,
        "return {#KEYS, #ARGV}",
        &["a", "b"],
        &["1", "2", "3"],
    );
    assert_eq!(
        counts,
        Reply::Array(vec![Reply::Integer(2), Reply::Integer(3)])
    );
}

#[test]
fn scripts_call_commands() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let script = "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])";
    assert_eq!(
        eval(&mut client, script, &["mykey"], &["myvalue"]),
        bulk("myvalue")
    );
    let script = "redis.call('SET', KEYS[1], ARGV[1])\nlocal value = redis.call('GET', KEYS[1])\nreturn value";
    assert_eq!(
        eval(&mut client, script, &["mykey"], &["other"]),
        bulk("other")
    );
    for _ in 0..2 {
        assert_eq!(
            eval(&mut client, COMPLEX, &["absent"], &[]),
            bulk("default")
        );
        assert_eq!(eval(&mut client, COMPLEX, &["mykey"], &[]), bulk("other"));
    }
    server.kill9();
    server.restart();
    let mut client = server.client();
    assert_eq!(get(&mut client, "mykey"), bulk("other"));
    assert_eq!(get(&mut client, "absent"), bulk("default"));
}

#[test]
fn a_protected_call_gives_the_error_to_the_script() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.call(&["SET", "text", "abc"]);
    let failed = error_text(eval(
        &mut client,
        "return redis.call('INCR', KEYS[1])",
        &["text"],
        &[],
    ));
    assert!(failed.contains("not an integer"), "{failed}");
    let script = "local e = redis.pcall('INCR', KEYS[1]) return {type(e), e}";
    let Reply::Array(parts) = eval(&mut client, script, &["text"], &[]) else {
        panic!("an array");
    };
    let text = bulk("ERR value is not an integer or out of range");
    assert_eq!(parts, vec![bulk("string"), text]);
}

#[test]
fn scripts_are_cached_until_they_are_flushed() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let missing = error_text(
        client
            .call(&script_args("EVALSHA", HELLO_SHA, &[], &[]))
            .reply,
    );
    assert!(missing.starts_with("NOSCRIPT"), "{missing}");
    assert_eq!(
        client.call(&["SCRIPT", "LOAD", HELLO]).reply,
        bulk(HELLO_SHA)
    );
    assert_eq!(exists(&mut client), [1, 0]);
    assert_eq!(
        client
            .call(&script_args("EVALSHA", HELLO_SHA, &[], &[]))
            .reply,
        bulk("hello")
    );
    let loaded = client
        .call(&["SCRIPT", "LOAD", "return redis.call('GET', KEYS[1])"])
        .reply;
    let Reply::Bulk(sha) = loaded else {
        panic!("a digest")
    };
    let sha = String::from_utf8(sha).expect("a digest is text");
    client.call(&["SET", "mykey", "value"]);
    let got = client
        .call(&script_args("EVALSHA", &sha, &["mykey"], &[]))
        .reply;
    assert_eq!(got, bulk("value"));
    for how in [
        &["SCRIPT", "FLUSH"][..],
        &["SCRIPT", "FLUSH", "ASYNC"],
        &["SCRIPT", "FLUSH", "SYNC"],
    ] {
        client.call(&["SCRIPT", "LOAD", HELLO]);
        assert_eq!(exists(&mut client), [1, 0]);
        assert_eq!(client.call(how).reply, ok());
        assert_eq!(exists(&mut client), [0, 0]);
    }
    server.kill9();
    server.restart();
    assert_eq!(exists(&mut server.client()), [0, 0]);
}

#[test]
fn nothing_runs_that_could_be_killed() {
    let server = Server::start(&[]);
    let error = error_text(server.client().call(&["SCRIPT", "KILL"]).reply);
    assert!(error.starts_with("NOTBUSY"), "{error}");
}

#[test]
fn values_go_from_lua_to_the_client_as_in_the_table() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let array = Reply::Array(vec![Reply::Integer(1), bulk("two"), bulk("3.5")]);
    for (script, expected) in [
        ("return nil", Reply::Null),
        ("return true", Reply::Integer(1)),
        ("return false", Reply::Integer(0)),
        ("return 7", Reply::Integer(7)),
        ("return -9223372036854775807 - 1", Reply::Integer(i64::MIN)),
        ("return 3.5", bulk("3.5")),
        ("return 'text'", bulk("text")),
        ("return {1, 'two', 3.5}", array),
        ("return {}", Reply::Array(vec![])),
    ] {
        assert_eq!(eval(&mut client, script, &[], &[]), expected, "{script}");
    }
}

#[test]
fn replies_go_to_lua_as_in_the_table() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.call(&["SET", "number", "5"]);
    for (script, expected) in [
        ("return tostring(redis.call('GET', 'absent'))", "false"),
        (
            "local r = redis.call('SET', 'a', 'b') return type(r) .. r",
            "stringOK",
        ),
        ("local r = redis.pcall('SET', 'a') return type(r)", "string"),
        ("return math.type(redis.call('INCR', 'number'))", "integer"),
        (
            "local r = redis.call('GET', 'number') return type(r) .. r",
            "string6",
        ),
        (
            "local r = redis.call('MGET', 'number', 'absent') return type(r) .. r[1] .. tostring(r[2])",
            "table6false",
        ),
    ] {
        assert_eq!(
            eval(&mut client, script, &[], &[]),
            bulk(expected),
            "{script}"
        );
    }
}

/// Whether the cache has the example, and a script that never was.
fn exists(client: &mut Client) -> [i64; 2] {
    let reply = client
        .call(&["SCRIPT", "EXISTS", HELLO_SHA, &"0".repeat(40)])
        .reply;
    match reply {
        Reply::Array(flags) => match flags[..] {
            [Reply::Integer(first), Reply::Integer(second)] => [first, second],
            _ => panic!("{flags:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn loaded_scripts_are_there_after_a_crash_and_flushed_ones_are_not() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    for flushed in [false, true] {
        if flushed {
            assert_eq!(client.call(&["SCRIPT", "FLUSH"]).reply, ok());
        } else {
            client.call(&["SCRIPT", "LOAD", HELLO]);
            client.call(&["FLUSHALL"]);
        }
        server.kill9();
        server.restart();
        client = server.client();
        let found = client.call(&["SCRIPT", "EXISTS", HELLO_SHA]).reply;
        assert_eq!(
            found,
            Reply::Array(vec![Reply::Integer(i64::from(!flushed))])
        );
    }
}
