//! The `redis` crate as its users use it.

use super::harness::Server;
use redis::{Client, Commands, Connection, Script, Value};
use std::time::Duration;

#[test]
fn the_redis_crate_works_with_its_defaults() {
    speak("");
}

#[test]
fn the_redis_crate_works_in_resp3() {
    speak("?protocol=resp3");
}

fn speak(parameters: &str) {
    let server = Server::start(&[]);
    let url = format!("redis://127.0.0.1:{}/{parameters}", server.port);
    let client = Client::open(url).expect("a valid URL");
    let mut connection = client.get_connection().expect("the server accepts");
    connection
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    pipelines(&mut connection);
    scripts(&mut connection);
    errors(&mut connection);
    databases(&mut connection);
}

fn pipelines(connection: &mut Connection) {
    let _: () = connection.set("key", "value").expect("SET");
    let value: String = connection.get("key").expect("GET");
    assert_eq!(value, "value");
    let absent: Option<String> = connection.get("absent").expect("GET");
    assert_eq!(absent, None);
    let (count, both): (i64, Vec<Option<i64>>) = redis::pipe()
        .set("n", 41)
        .ignore()
        .incr("n", 1)
        .mget(&["n", "absent"])
        .query(connection)
        .expect("a pipeline");
    assert_eq!((count, both), (42, vec![Some(42), None]));
    let (first, second): (i64, i64) = redis::pipe()
        .atomic()
        .incr("n", 1)
        .incr("n", 1)
        .query(connection)
        .expect("a transaction");
    assert_eq!((first, second), (43, 44));
    let many: Vec<i64> = (0..1_000)
        .fold(&mut redis::pipe(), |pipe, _| pipe.incr("many", 1))
        .query(connection)
        .expect("a long pipeline");
    assert_eq!(many, (1..=1_000).collect::<Vec<_>>());
}

fn scripts(connection: &mut Connection) {
    let script = Script::new("redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1] * 2");
    // The first call meets NOSCRIPT, loads the script and calls again.
    for number in [21, 22] {
        let twice: i64 = script
            .key("scripted")
            .arg(number)
            .invoke(connection)
            .expect("a script");
        assert_eq!(twice, number * 2);
    }
    let stored: i64 = connection.get("scripted").expect("GET");
    assert_eq!(stored, 22);
    let loaded = Script::new("return {KEYS[1], redis.call('GET', KEYS[1])}");
    loaded
        .prepare_invoke()
        .load(connection)
        .expect("SCRIPT LOAD");
    let (key, value): (String, i64) = loaded.key("scripted").invoke(connection).expect("a script");
    assert_eq!((key.as_str(), value), ("scripted", 22));
}

fn errors(connection: &mut Connection) {
    let _: () = connection.set("text", "abc").expect("SET");
    let failed = connection
        .incr::<_, _, i64>("text", 1)
        .expect_err("not a number");
    assert!(failed.to_string().contains("not an integer"), "{failed}");
    let script = Script::new("redis.call('SET', KEYS[1], 'x') error('rolled back')");
    script
        .key("text")
        .invoke::<Value>(connection)
        .expect_err("the script fails");
    let text: String = connection.get("text").expect("GET");
    assert_eq!(text, "abc");
}

fn databases(connection: &mut Connection) {
    redis::cmd("SELECT")
        .arg(1)
        .exec(connection)
        .expect("SELECT");
    let exists: bool = connection.exists("text").expect("EXISTS");
    assert!(!exists, "another database");
    let _: () = connection.set_ex("text", "here", 100).expect("SETEX");
    let left: i64 = connection.ttl("text").expect("TTL");
    assert!((90..=100).contains(&left), "{left}");
    redis::cmd("SELECT")
        .arg(0)
        .exec(connection)
        .expect("SELECT");
    let text: String = connection.get("text").expect("GET");
    assert_eq!(text, "abc");
}
