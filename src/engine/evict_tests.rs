//! What memory beyond `maxmemory` does to commands, transactions and scripts, and what eviction does to keys.

use super::client::Client;
use super::testing::Server;
use crate::keyspace::Notify;
use crate::observe::allocator;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
/// A value that needs an allocation of its own.
const VALUE_BYTES: usize = 10_000;

/// A server with one client.
struct Session {
    server: Server,
    client: Client,
}

impl Session {
    fn start(options: &[(&str, &str)]) -> Self {
        let mut server = Server::start(1, options);
        let client = server.connect(0);
        Self { server, client }
    }

    fn ask(&mut self, line: &str) -> String {
        self.server.reply(&mut self.client, line)
    }

    fn eval(&mut self, script: &str, keys: &[&str]) -> String {
        let count = keys.len().to_string();
        let mut request: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), count.as_bytes()];
        request.extend(keys.iter().map(|key| key.as_bytes()));
        self.server.run_to_end(&mut self.client, &request)
    }

    fn set_large(&mut self, key: &str) -> String {
        let value = vec![b'x'; VALUE_BYTES];
        let request: [&[u8]; 3] = [b"SET", key.as_bytes(), &value];
        self.server.run(&mut self.client, &request).1
    }

    /// Lets so many bytes more be used than are now.
    fn allow_more(&mut self, bytes: usize) {
        let used = allocator::stats().allocated as usize;
        let set = self.ask(&format!("CONFIG SET maxmemory {}", used + bytes));
        assert_eq!(set, "+OK\r\n");
    }

    fn fill_up(&mut self) {
        assert_eq!(self.ask("CONFIG SET maxmemory 1"), "+OK\r\n");
    }

    fn empty_again(&mut self) {
        assert_eq!(self.ask("CONFIG SET maxmemory 0"), "+OK\r\n");
    }

    fn keys(&mut self) -> usize {
        let size = self.ask("DBSIZE");
        size.trim_matches([':', '\r', '\n'])
            .parse()
            .expect("a number")
    }

    fn info(&mut self, field: &str) -> u64 {
        let info = self.ask("INFO everything");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.expect("a field of INFO").parse().expect("a number")
    }
}

fn oom() -> String {
    format!("{OOM}\r\n")
}

#[test]
fn without_a_policy_commands_that_need_memory_are_refused() {
    let mut session = Session::start(&[]);
    session.ask("SET k v");
    session.fill_up();
    assert_eq!(session.ask("SET k w"), oom());
    assert_eq!(session.ask("LPUSH l a"), oom());
    assert_eq!(session.ask("GET k"), "$1\r\nv\r\n");
    assert_eq!(session.ask("EXPIRE k 100"), ":1\r\n");
    assert_eq!(session.ask("DEL k"), ":1\r\n");
    assert!(session.info("current_eviction_exceeded_time") < 60_000);
    session.empty_again();
    assert_eq!(session.ask("SET k w"), "+OK\r\n");
    let cases = session.ask("INFO commandstats");
    let set = cases.lines().find(|line| line.starts_with("cmdstat_set:"));
    assert!(
        set.is_some_and(|line| line.contains("rejected_calls=1")),
        "{cases}"
    );
}

#[test]
fn a_transaction_is_refused_as_a_whole() {
    let mut session = Session::start(&[]);
    session.ask("MULTI");
    assert_eq!(session.ask("SET k v"), "+QUEUED\r\n");
    let mut other = session.server.connect(0);
    session.server.reply(&mut other, "CONFIG SET maxmemory 1");
    let aborted = format!(
        "-EXECABORT Transaction discarded because of: {}\r\n",
        &OOM[1..]
    );
    assert_eq!(session.ask("EXEC"), aborted);
    assert_eq!(session.ask("EXEC"), "-ERR EXEC without MULTI\r\n");
    assert_eq!(session.ask("GET k"), "$-1\r\n");
    // What may not need memory may be queued before, and what was may run.
    session.server.reply(&mut other, "CONFIG SET maxmemory 0");
    session.ask("MULTI");
    session.ask("GET k");
    session.server.reply(&mut other, "CONFIG SET maxmemory 1");
    assert_eq!(session.ask("EXEC"), "*1\r\n$-1\r\n");
    // Queuing itself needs memory.
    assert_eq!(session.ask("MULTI"), "+OK\r\n");
    assert_eq!(session.ask("GET k"), oom());
    assert_eq!(session.ask("DISCARD"), "+OK\r\n");
    assert_eq!(session.ask("MULTI"), "+OK\r\n");
    assert_eq!(session.ask("PING"), oom());
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    assert_eq!(session.ask("EXEC"), aborted);
}

#[test]
fn a_script_may_not_begin_to_write_where_memory_is_short() {
    let mut session = Session::start(&[("lua-dialect", "redis")]);
    session.ask("SET old v");
    session.fill_up();
    let write = "return redis.call('SET', KEYS[1], 'w')";
    assert!(session.eval(write, &["k"]).starts_with(OOM));
    let protected = "return redis.pcall('SET', KEYS[1], 'w')";
    assert_eq!(session.eval(protected, &["k"]), oom());
    assert_eq!(
        session.eval("return redis.call('GET', KEYS[1])", &["old"]),
        "$1\r\nv\r\n"
    );
    for first_line in ["#!lua", "#!lua flags="] {
        let script = format!("{first_line}\nreturn 1");
        assert_eq!(session.eval(&script, &[]), oom());
    }
    for flags in ["allow-oom", "no-writes"] {
        let script = format!("#!lua flags={flags}\nreturn redis.call('GET', KEYS[1])");
        assert_eq!(session.eval(&script, &["old"]), "$1\r\nv\r\n");
    }
    let allowed = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 'w')";
    assert!(session.eval(allowed, &["k"]).contains("OK"));
    // What has begun to write goes on.
    let goes_on = "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[2], 'x')";
    assert!(session.eval(goes_on, &["old", "k"]).contains("OK"));
    assert_eq!(session.ask("GET k"), "$1\r\nx\r\n");
}

#[test]
fn a_script_that_is_refused_in_the_middle_leaves_nothing() {
    let mut session = Session::start(&[("maxmemory-policy", "noeviction")]);
    session.ask("SET k v");
    session.fill_up();
    let before = session.ask("DUMP k");
    // Reading is no beginning of a change, and an error that is caught does not make the next call a first one.
    let script = "redis.call('GET', KEYS[1]) redis.pcall('APPEND', KEYS[1], 'x') redis.call('SET', KEYS[1], 'w')";
    assert!(session.eval(script, &["k"]).starts_with(OOM));
    assert_eq!(session.ask("DUMP k"), before);
    // A script that wrote and fails later is taken back, memory or not.
    let script = "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'w') error('the end')";
    assert!(session.eval(script, &["k"]).contains("the end"));
    assert_eq!(session.ask("DUMP k"), before);
}

#[test]
fn scripts_in_a_transaction_go_by_the_memory_at_its_start() {
    let mut session = Session::start(&[]);
    session.ask("MULTI");
    session.ask("CONFIG SET maxmemory 1");
    let script = "return redis.call('SET', KEYS[1], 'w')";
    let request: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"1", b"k"];
    session.server.run(&mut session.client, &request);
    let reply = session.ask("EXEC");
    assert!(!reply.contains("OOM"), "{reply}");
    assert_eq!(session.ask("GET k"), "$1\r\nw\r\n");
}

#[test]
fn old_keys_make_room_for_new_ones() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let mut session = Session::start(&[("maxmemory-policy", policy)]);
        session.ask("SET warm v");
        session.allow_more(100 * VALUE_BYTES);
        for number in 0..500 {
            assert_eq!(session.set_large(&format!("k{number}")), "+OK\r\n");
        }
        let (keys, evicted) = (session.keys(), session.info("evicted_keys") as usize);
        assert!((50..=110).contains(&keys), "{policy}: {keys} keys");
        assert_eq!(keys + evicted, 501, "{policy}");
        assert!(session.info("used_memory") <= session.info("maxmemory") + 200_000);
        assert_eq!(session.info("current_eviction_exceeded_time"), 0);
    }
}

#[test]
fn keys_without_a_time_to_live_stay_where_the_policy_says_so() {
    let mut session = Session::start(&[("maxmemory-policy", "volatile-lru")]);
    session.set_large("stays");
    for number in 0..20 {
        session.set_large(&format!("k{number}"));
        session.ask(&format!("EXPIRE k{number} 1000"));
    }
    session.fill_up();
    assert_eq!(session.ask("SET new v"), oom());
    assert_eq!((session.keys(), session.info("evicted_keys")), (1, 20));
    assert_eq!(session.ask("EXISTS stays"), ":1\r\n");
}

#[test]
fn an_eviction_is_a_change_like_any_other() {
    let mut session = Session::start(&[("maxmemory-policy", "allkeys-lru")]);
    session.ask("SET k v");
    let mut watcher = session.server.connect(0);
    session.server.reply(&mut watcher, "WATCH k");
    session.server.reply(&mut watcher, "MULTI");
    session.server.reply(&mut watcher, "PING");
    let appended = session.server.shared.journal.appended();
    session.fill_up();
    session.ask("DBSIZE");
    assert_eq!(session.keys(), 0);
    assert!(
        session.server.shared.journal.appended() > appended,
        "the journal knows"
    );
    session.empty_again();
    assert_eq!(session.server.reply(&mut watcher, "EXEC"), "*-1\r\n");
}

#[test]
fn a_key_that_a_transaction_holds_is_passed_over() {
    let mut session = Session::start(&[("maxmemory-policy", "allkeys-lru")]);
    session.ask("MSET held v free v");
    let script = "redis.call('SET', KEYS[1], 'w') local n = 0 while n < 3000000 do n = n + 1 end return redis.call('GET', KEYS[1])";
    let mut slow = session.server.connect(0);
    let request: [&[u8]; 4] = [b"EVAL", script.as_bytes(), b"1", b"held"];
    let (flow, _) = session.server.run(&mut slow, &request);
    assert_eq!(flow, super::Flow::Parked, "it has used up its slice");
    session.fill_up();
    for _ in 0..3 {
        // There is something to evict, only not now: nobody is refused.
        assert_eq!(session.ask("SET other v"), "+OK\r\n");
    }
    assert_eq!(session.ask("EXISTS free"), ":0\r\n");
    let mut reply = String::new();
    while slow.parked.is_some() {
        let worker = &mut session.server.workers[0];
        let mut out = Vec::new();
        worker.begin_pass();
        for token in worker.take_runnable() {
            worker.resume(token, &mut slow, &mut out);
        }
        worker.end_pass().expect("a healthy journal");
        reply.push_str(&String::from_utf8_lossy(&out));
    }
    assert_eq!(reply, "$1\r\nw\r\n");
    session.ask("PING");
    assert_eq!(session.keys(), 0, "now it may go");
}

#[test]
fn evicted_keys_are_told_of() {
    let mut session = Session::start(&[
        ("maxmemory-policy", "allkeys-lru"),
        ("notify-keyspace-events", "Ee"),
    ]);
    session.ask("SET k v");
    let classes = session.server.workers[0].buffers.effects().notify_classes();
    assert!(classes.contains(Notify::EVICTED));
    let mut listener = session.server.connect(0);
    session
        .server
        .reply(&mut listener, "SUBSCRIBE __keyevent@0__:evicted");
    session.fill_up();
    session.ask("PING");
    assert!(session.server.workers[0].is_telling());
}

#[test]
fn frequencies_are_counted_where_the_policy_asks_for_them() {
    let mut session = Session::start(&[]);
    session.ask("SET k v");
    assert!(
        session
            .ask("OBJECT FREQ k")
            .starts_with("-ERR An LFU maxmemory policy is not selected")
    );
    session.ask("CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0");
    assert!(
        session
            .ask("OBJECT IDLETIME k")
            .starts_with("-ERR An LFU maxmemory policy is selected")
    );
    assert_eq!(session.ask("OBJECT FREQ k"), ":5\r\n");
    session.ask("GET k");
    session.ask("SET k w");
    assert_eq!(session.ask("OBJECT FREQ k"), ":7\r\n");
    session.ask("CLIENT NO-TOUCH ON");
    session.ask("GET k");
    assert_eq!(session.ask("OBJECT FREQ k"), ":7\r\n");
    session.ask("TOUCH k");
    assert_eq!(session.ask("OBJECT FREQ k"), ":8\r\n");
    session.ask("CONFIG SET maxmemory-policy allkeys-lru");
    assert_eq!(session.ask("OBJECT IDLETIME k"), ":0\r\n");
}
