//! Functions: against redis-server, and what only this server promises of them.

#[allow(
    clippy::duplicate_mod,
    reason = "each module that compares with redis-server has its own copy of the helpers"
)]
#[path = "../../tests/common/mod.rs"]
mod common;

use super::client::Client;
use super::testing::Server;
use super::worker::Flow;
use crate::resp::Args;
use common::redis::RedisServer;
use common::resp::{Answer, Client as RedisClient, Reply};
use common::rng::Rng;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// A server and redis-server, which are asked the same.
struct Pair {
    ours: Ours,
    _redis: RedisServer,
    theirs: RedisClient,
}

struct Ours {
    server: Server,
    client: Client,
}

impl Ours {
    fn start(options: &[(&str, &str)]) -> Self {
        let mut server = Server::start(1, options);
        let client = server.connect(0);
        Self { server, client }
    }

    fn call(&mut self, request: &[&[u8]]) -> Answer {
        let worker = &mut self.server.workers[0];
        let mut out = Vec::new();
        worker.begin_pass();
        let mut flow = worker.command(&mut self.client, Args::from_slices(request), &mut out);
        worker.end_pass().expect("a healthy journal");
        while flow == Flow::Parked {
            worker.begin_pass();
            for token in worker.take_runnable() {
                flow = worker.resume(token, &mut self.client, &mut out);
            }
            worker.end_pass().expect("a healthy journal");
        }
        Answer::from_bytes(out)
    }

    fn text(&mut self, request: &[&str]) -> String {
        let request: Vec<&[u8]> = request.iter().map(|word| word.as_bytes()).collect();
        self.call(&request).to_string()
    }

    fn load(&mut self, code: &str) {
        let answer = self.text(&["FUNCTION", "LOAD", code]);
        assert!(answer.starts_with('$'), "{answer}");
    }
}

impl Pair {
    fn start(protocol: &str) -> Self {
        let redis = RedisServer::start();
        let mut pair = Self {
            ours: Ours::start(&[("lua-dialect", "redis")]),
            theirs: redis.client(),
            _redis: redis,
        };
        let hello: [&[u8]; 2] = [b"HELLO", protocol.as_bytes()];
        pair.ours.call(&hello);
        pair.theirs.call(&hello);
        pair
    }

    fn ask(&mut self, request: &[&[u8]]) -> (Answer, Answer) {
        (self.ours.call(request), self.theirs.call(request))
    }

    /// Fails where the answers differ in more than the order of libraries and functions.
    fn compare(&mut self, request: &[&[u8]]) {
        let (own, theirs) = self.ask(request);
        let is_list = request.get(1).is_some_and(|sub| *sub == b"LIST");
        let equal = if is_list {
            in_order(own.reply.clone()) == in_order(theirs.reply.clone())
        } else {
            own.raw == theirs.raw || is_some_function_taken(&own) && is_some_function_taken(&theirs)
        };
        let request: Vec<String> = request
            .iter()
            .map(|w| w.escape_ascii().to_string())
            .collect();
        assert!(equal, "{request:?}\n  redis {theirs}\n  ours  {own}");
    }

    fn compare_words(&mut self, words: &[&str]) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.compare(&words);
    }
}

/// Which of several functions Redis finds to be there is a matter of chance, too.
fn is_some_function_taken(answer: &Answer) -> bool {
    matches!(&answer.reply, Reply::Error(text) if text.starts_with("ERR Function f") && text.ends_with(" already exists"))
}

/// A reply with its arrays sorted: Redis has libraries and functions in an order of chance.
fn in_order(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut items: Vec<Reply> = items.into_iter().map(in_order).collect();
            items.sort_by_key(|item| format!("{item:?}"));
            Reply::Array(items)
        }
        Reply::Map(items) => Reply::Map(items.into_iter().map(in_order).collect()),
        other => other,
    }
}

/// Bodies of libraries behind the line that names them, good and bad.
const BODIES: &[&str] = &[
    "return 1",
    "redis.register_function()",
    "redis.register_function('a')",
    "redis.register_function(nil)",
    "redis.register_function('a','b')",
    "redis.register_function('a',nil)",
    "redis.register_function('f',function() end,'g')",
    "redis.register_function(1,function() end)",
    "redis.register_function({},function() end)",
    "redis.register_function('a-b',function() end)",
    "redis.register_function('',function() end)",
    "redis.register_function('a\\0b',function() end)",
    "redis.register_function('a_B9',function() end)",
    "redis.register_function('f',function() end)\nredis.register_function('f',function() end)",
    "redis.register_function('log',redis.log)",
    "redis.register_function{}",
    "redis.register_function{function_name='f'}",
    "redis.register_function{callback=function() end}",
    "redis.register_function{function_name=1,callback=function() end}",
    "redis.register_function{function_name={},callback=function() end}",
    "redis.register_function{function_name='f',callback=1}",
    "redis.register_function{function_name='f',callback=function() end,foo=1}",
    "redis.register_function{function_name='f',callback=function() end,[1]=1}",
    "redis.register_function{function_name='f',callback=function() end,[true]=1}",
    "redis.register_function{function_name='f',callback=function() end,flags=1}",
    "redis.register_function{function_name='f',callback=function() end,flags={'foo'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={1}}",
    "redis.register_function{function_name='f',callback=function() end,flags={'no-writes',nil,'foo'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={x='foo'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={'ALLOW-OOM','no-writes'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={'allow-stale','no-cluster','allow-cross-slot-keys'}}",
    "redis.register_function{function_name='f',callback=function() end,description={}}",
    "redis.register_function{function_name='f',callback=function() end,description=12}",
    "redis.register_function{Function_Name='f',CALLBACK=function() end,Description='d\\0e'}",
    "redis.register_function{'f',function() end}",
    "local x = redis.call",
    "redis.pcall('get','x')",
    "return redis.foo",
    "redis.setresp(3)",
    "redis.sha1hex('')",
    "redis.log(1)",
    "redis.log('x','y')",
    "redis.log(9,'y')",
    "redis.log(redis.LOG_WARNING,'y')\nlocal n = redis.REDIS_VERSION_NUM + #redis.REDIS_VERSION",
    "foo = 1",
    "redis.foo = 1",
    "local x = foo",
    "local x = string.format",
    "local x = pcall",
    "local x = error",
    "local x = KEYS",
    "local x = _G",
    "local x = math.random()",
    "local x = ('x'):rep(3) .. nil",
    "local f = function() redis.register_function('f',nil) end\nf()",
    "while true do end",
];

#[test]
fn libraries_are_loaded_and_refused_as_in_redis() {
    let mut pair = Pair::start("3");
    for body in BODIES {
        let code = format!("#!lua name=lib\n{body}");
        pair.compare_words(&["FUNCTION", "LOAD", &code]);
        pair.compare_words(&["FUNCTION", "LIST", "WITHCODE"]);
        pair.compare_words(&["FUNCTION", "FLUSH"]);
    }
    for line in [
        "",
        "#!lua",
        "#!lua name=x",
        "#!foo name=x\n",
        "#!lua\n",
        "#!lua name=a-b\n",
        "#! lua name=x\n",
        "#!lua name=a name=b\n",
        "#!LUA Name=a\n",
        "#!lua name=\n",
        "#!lua 'name=a'\n",
        "#!lua name=\"a\"\n",
        "#!lua name=\"a\"b\n",
        "#!lua name=a\0\n",
        "#!lua flags=no-writes name=a\n",
        "#!lua name=a \t\r\n",
        "#!x y\n",
    ] {
        let code = format!("{line}redis.register_function('f',function() end)");
        pair.compare_words(&["FUNCTION", "LOAD", &code]);
        pair.compare_words(&["FUNCTION", "LIST"]);
        pair.compare_words(&["FUNCTION", "FLUSH"]);
    }
}

const LIBRARY: &str = "#!lua name=lib
local function both(keys, args) return {keys, args} end
redis.register_function('both', both)
redis.register_function{function_name='reads', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}
redis.register_function('writes', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='lies', callback=function() return redis.call('SET', 'k', 'v') end, flags={'no-writes'}}
redis.register_function('fails', function() error('on purpose') end)
redis.register_function('fails_with', function() error({err='MY own'}) end)
redis.register_function('late', function() return redis.register_function('zz', function() end) end)
local register = redis.register_function
redis.register_function('kept', function() return register('zz', function() end) end)
redis.register_function('globals', function() return KEYS end)
redis.register_function('writes_global', function() x = 1 end)
redis.register_function('nested', function() return redis.call('FCALL', 'both', 0) end)
local early = redis
redis.register_function('early', function() return early.call('GET', 'k') end)
redis.register_function('status', function() return redis.status_reply('FINE') end)
redis.register_function('resp', function() redis.setresp(3) return redis.call('CONFIG', 'GET', 'maxmemory') end)
redis.register_function('many', function() return 1, 2, 3 end)
redis.register_function('none', function() end)
redis.register_function('log', redis.log)";

/// One request a line, words parted by blanks.
const REQUESTS: &str = "\
FCALL both 2 a b c d
FCALL both 0
FCALL BOTH 0
FCALL nosuch 0
FCALL nosuch x
FCALL both x
FCALL both -1
FCALL both 3 a b
FCALL both
FCALL
FCALL_RO both 0
FCALL_RO nosuch 0
FCALL_RO reads 1 k
FCALL reads 1 k
FCALL writes 1 k v
FCALL reads 1 k
FCALL_RO writes 1 k v
FCALL lies 0
FCALL_RO lies 0
FCALL fails 0
FCALL fails_with 0
FCALL kept 0
FCALL globals 0
FCALL writes_global 0
FCALL nested 0
FCALL early 0
FCALL status 0
FCALL many 0
FCALL none 0
FCALL log 0
FUNCTION LIST FOO
FUNCTION LIST LIBRARYNAME
FUNCTION LIST LIBRARYNAME LI?
FUNCTION LIST LIBRARYNAME x* WITHCODE
FUNCTION LIST WITHCODE WITHCODE
FUNCTION LIST WITHCODE LIBRARYNAME lib
FUNCTION LIST LIBRARYNAME x LIBRARYNAME y
FUNCTION STATS
FUNCTION STATS x
FUNCTION KILL
SCRIPT KILL
FUNCTION HELP
FUNCTION
FUNCTION FOO
FUNCTION FLUSH x
FUNCTION FLUSH SYNC ASYNC
FUNCTION LOAD
FUNCTION LOAD x
FUNCTION LOAD REPLACE
FUNCTION LOAD foo x
FUNCTION LOAD REPLACE replace x
FUNCTION DELETE nosuch
FUNCTION DELETE LIB
FUNCTION DELETE
FUNCTION RESTORE x
FUNCTION RESTORE x foo
FUNCTION RESTORE x flush append
FUNCTION DUMP x
EVAL_RO return(1) 0
FLUSHALL
FUNCTION STATS
COMMAND GETKEYS FCALL f 2 a b c
COMMAND GETKEYS FCALL_RO f 1 a b
MULTI
FCALL writes 1 k v
FCALL fails 0
FUNCTION DELETE lib
FCALL both 0
FUNCTION STATS
EXEC
FUNCTION FLUSH async
FUNCTION FLUSH SYNC";

#[test]
fn calls_answer_as_in_redis() {
    for protocol in ["2", "3"] {
        let mut pair = Pair::start(protocol);
        pair.compare_words(&["FUNCTION", "LOAD", LIBRARY]);
        for request in REQUESTS.lines() {
            pair.compare_words(&request.split(' ').collect::<Vec<_>>());
        }
        for request in [
            ["EVAL", "return redis.call('fcall','both',0)", "0"],
            ["EVAL", "return redis.call('function','list')", "0"],
            ["EVAL_RO", "#!lua\nreturn 1", "0"],
            ["EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0"],
        ] {
            pair.compare_words(&request);
        }
    }
}

/// Requests of one random run; the environment variable seeds it.
const RANDOM_REQUESTS: usize = 3000;

#[test]
fn random_changes_are_those_of_redis() {
    let seed = Rng::seed_from_env("AIKV_TEST_SEED");
    println!("AIKV_TEST_SEED={seed}");
    let mut rng = Rng::new(seed);
    let mut pair = Pair::start("3");
    for _ in 0..RANDOM_REQUESTS {
        let name = rng.pick(&["one", "two", "three", "ONE"]);
        match rng.below(12) {
            0..=3 => {
                let code = library(&mut rng, name);
                let replace: &[&str] = &["FUNCTION", "LOAD", "REPLACE", &code];
                let load: &[&str] = &["FUNCTION", "LOAD", &code];
                pair.compare_words(if rng.one_in(2) { replace } else { load });
            }
            4 => pair.compare_words(&["FUNCTION", "DELETE", name]),
            5 if rng.one_in(4) => pair.compare_words(&["FUNCTION", "FLUSH"]),
            5 | 6 => pair.compare_words(&["FUNCTION", "LIST", "WITHCODE"]),
            7 => pair.compare_words(&["FUNCTION", "STATS"]),
            8 => {
                // Each restores what the other has dumped, later on.
                let (own, theirs) = pair.ask(&[b"FUNCTION", b"DUMP"]);
                let (Reply::Bulk(own), Reply::Bulk(theirs)) = (own.reply, theirs.reply) else {
                    panic!("a dump is a string");
                };
                let code = library(&mut rng, name);
                pair.compare_words(&["FUNCTION", "LOAD", &code]);
                let policy = rng.pick(&["APPEND", "REPLACE", "FLUSH", "append"]);
                let restored =
                    pair.ours
                        .call(&[b"FUNCTION", b"RESTORE", &theirs, policy.as_bytes()]);
                let request: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &own, policy.as_bytes()];
                let answer = pair.theirs.call(&request);
                // Which of several libraries is found to be there depends on the order.
                let is_error = |answer: &Answer| matches!(answer.reply, Reply::Error(_));
                assert_eq!(
                    is_error(&restored),
                    is_error(&answer),
                    "{restored}\n{answer}"
                );
            }
            _ => {
                let function = rng.pick(&["f1", "f2", "F1", "f3", "g"]);
                let call = rng.pick(&["FCALL", "FCALL_RO"]);
                pair.compare_words(&[call, function, "1", "key", "arg"]);
            }
        }
    }
}

fn library(rng: &mut Rng, name: &str) -> String {
    let mut code = format!("#!lua name={name}\n");
    for function in ["f1", "f2", "f3"] {
        if rng.one_in(3) {
            let value = rng.below(10);
            let flags = rng.pick(&["'no-writes'", "'allow-oom'", ""]);
            let _ = writeln!(
                code,
                "redis.register_function{{function_name='{function}', flags={{{flags}}}, callback=function(k, a) return {{k[1], a[1], {value}}} end}}"
            );
        }
    }
    code
}

const COUNTER: &str = "#!lua name=counter
local count = 0
local seen = {}
redis.register_function('count', function(keys, args)
  count = count + 1
  seen[#seen + 1] = args[1]
  return {count, #seen}
end)";

#[test]
fn nothing_one_call_does_is_seen_by_another() {
    let mut ours = Ours::start(&[]);
    ours.load(COUNTER);
    for _ in 0..3 {
        let answer = ours.text(&["FCALL", "count", "0", "x"]);
        assert_eq!(answer, "*2\\r\\n:1\\r\\n:1\\r\\n");
    }
    // Nor by a script, whose globals are there again.
    assert_eq!(ours.text(&["EVAL", "return #KEYS", "1", "k"]), ":1\\r\\n");
    let error = ours.text(&["EVAL", "return count", "0"]);
    assert!(error.contains("nonexistent global variable"), "{error}");
}

#[test]
fn what_is_there_is_told_by_info() {
    let mut ours = Ours::start(&[]);
    ours.load(LIBRARY);
    let info = ours.call(&[b"INFO", b"memory"]).raw;
    let info = String::from_utf8_lossy(&info);
    let Reply::Array(functions) = ours.call(&[b"FUNCTION", b"LIST"]).reply else {
        panic!("a list");
    };
    assert_eq!(functions.len(), 1);
    let count = LIBRARY
        .lines()
        .filter(|line| line.starts_with("redis.register_function"))
        .count();
    for field in [
        format!("number_of_functions:{count}"),
        "number_of_libraries:1".to_owned(),
    ] {
        assert!(info.contains(&field), "{field}: {info}");
    }
}

/// A call that was ended leaves the function that it was to call behind in its VM.
#[test]
fn a_call_that_was_ended_leaves_nothing_to_the_next() {
    let mut ours = Ours::start(&[("script-timeout", "20")]);
    ours.load("#!lua name=one\nredis.register_function('a', function() return 'a' end)\nif redis.LOG_DEBUG == 0 then redis.register_function('b', function() while true do end end) end");
    assert!(ours.text(&["FCALL", "b", "0"]).contains("script-timeout"));
    assert_eq!(ours.text(&["FCALL", "a", "0"]), "$1\\r\\na\\r\\n");
}

#[test]
fn a_failed_function_is_rolled_back() {
    let mut ours = Ours::start(&[]);
    ours.load("#!lua name=lib\nredis.register_function('f', function(keys) redis.call('SET', keys[1], 1) redis.call('SET', 'other', 1) error('no') end)");
    let error = ours.text(&["FCALL", "f", "1", "k"]);
    assert_eq!(
        error,
        "-ERR user_function:2: no script: f, on @user_function:2.\\r\\n"
    );
    assert_eq!(ours.text(&["EXISTS", "k", "other"]), ":0\\r\\n");
}

#[test]
fn a_library_chooses_its_dialect_and_its_limits() {
    let mut ours = Ours::start(&[]);
    ours.load("#!lua name=r dialect=redis\nredis.register_function('redis_way', function() return 3.7 end)");
    ours.load(
        "#!lua name=a dialect=aikv\nredis.register_function('aikv_way', function() return 3.7 end)",
    );
    ours.load("#!lua name=b max-instructions=5000\nredis.register_function('endless', function() while true do end end)");
    assert_eq!(ours.text(&["FCALL", "redis_way", "0"]), ":3\\r\\n");
    assert_eq!(ours.text(&["FCALL", "aikv_way", "0"]), "$3\\r\\n3.7\\r\\n");
    let error = ours.text(&["FCALL", "endless", "0"]);
    assert!(error.contains("max-instructions (5000)"), "{error}");
}

#[test]
fn loading_is_bounded_in_time_and_memory() {
    let mut ours = Ours::start(&[("script-memory-limit", "8mb")]);
    let begin = Instant::now();
    let error = ours.text(&["FUNCTION", "LOAD", "#!lua name=a\nwhile true do end"]);
    assert_eq!(
        error,
        "-ERR Error registering functions: ERR FUNCTION LOAD timeout\\r\\n"
    );
    assert!(begin.elapsed() >= Duration::from_millis(500));
    for body in [
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) end",
        "local d = ('x'):rep(1e6) for i = 1, 1e9 do redis.register_function{function_name='f' .. i, callback=redis.log, description=d} end",
    ] {
        let error = ours.text(&["FUNCTION", "LOAD", &format!("#!lua name=a\n{body}")]);
        assert!(error.contains("not enough memory"), "{error}");
    }
    assert_eq!(ours.text(&["FUNCTION", "LIST"]), "*0\\r\\n");
    ours.load("#!lua name=a\nredis.register_function('f', function() return 'x' end)");
    assert_eq!(ours.text(&["FCALL", "f", "0"]), "$1\\r\\nx\\r\\n");
}

#[test]
fn names_in_two_cases_are_one_function() {
    let mut ours = Ours::start(&[]);
    let code = "#!lua name=a\nredis.register_function('f', redis.log)\nredis.register_function('F', redis.log)";
    let error = ours.text(&["FUNCTION", "LOAD", code]);
    assert!(
        error.contains("Function already exists in the library"),
        "{error}"
    );
}

#[test]
fn each_kill_ends_its_own_kind() {
    let mut server = Server::start(1, &[]);
    let mut clients = [0, 0, 0].map(|shard| server.connect(shard));
    let [function, script, other] = &mut clients;
    let code = "#!lua name=a\nredis.register_function('endless', function(keys) redis.call('SET', keys[1], 1) while true do end end)";
    server.run(other, &[b"FUNCTION", b"LOAD", code.as_bytes()]);

    let (flow, _) = server.run(function, &[b"FCALL", b"endless", b"1", b"k", b"arg"]);
    assert_eq!(flow, Flow::Parked);
    let refused = server.reply(other, "SCRIPT KILL");
    assert!(refused.contains("only call FUNCTION KILL"), "{refused}");
    let stats = server.reply(other, "FUNCTION STATS");
    let running = "*6\r\n$4\r\nname\r\n$7\r\nendless\r\n$7\r\ncommand\r\n*5\r\n$5\r\nFCALL\r\n$7\r\nendless\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\narg\r\n$11\r\nduration_ms\r\n:";
    assert!(stats.contains(running), "{stats}");

    let (flow, _) = server.run(script, &[b"EVAL", b"while true do end", b"1", b"s"]);
    assert_eq!(flow, Flow::Parked);
    assert_eq!(server.reply(other, "FUNCTION KILL"), "+OK\r\n");
    let ended = end(&mut server, function);
    assert!(
        ended.starts_with("-ERR Script killed by user with SCRIPT KILL."),
        "{ended}"
    );
    assert!(
        ended.ends_with(" script: endless, on @user_function:2.\r\n"),
        "{ended}"
    );
    let refused = server.reply(other, "FUNCTION KILL");
    assert!(refused.contains("only call SCRIPT KILL"), "{refused}");
    assert_eq!(server.reply(other, "SCRIPT KILL"), "+OK\r\n");
    end(&mut server, script);
    assert_eq!(server.reply(other, "EXISTS k"), ":0\r\n");
    assert!(server.reply(other, "FUNCTION KILL").starts_with("-NOTBUSY"));
}

/// Drives the shard until this client is answered.
fn end(server: &mut Server, client: &mut Client) -> String {
    let begin = Instant::now();
    let mut out = Vec::new();
    while client.parked.is_some() {
        assert!(begin.elapsed() < Duration::from_mins(1), "it never ends");
        let worker = &mut server.workers[0];
        worker.begin_pass();
        for token in worker.take_runnable() {
            if client.parked == Some(token) {
                worker.resume(token, client, &mut out);
            } else {
                worker.runnable.push(token);
            }
        }
        worker.end_pass().expect("a healthy journal");
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn memory_is_asked_for_as_flags_say() {
    let mut ours = Ours::start(&[]);
    ours.load("#!lua name=a\nlocal function f() return 1 end\nredis.register_function('plain', f)\nredis.register_function{function_name='oom', callback=f, flags={'allow-oom'}}\nredis.register_function{function_name='reads', callback=f, flags={'no-writes'}}");
    assert_eq!(ours.text(&["CONFIG", "SET", "maxmemory", "1"]), "+OK\\r\\n");
    for refused in [
        &["FCALL", "plain", "0"],
        &["FCALL_RO", "plain", "0"],
        &["FUNCTION", "LOAD", "x"],
    ] {
        let error = ours.text(refused);
        assert!(
            error.starts_with("-OOM command not allowed"),
            "{refused:?}: {error}"
        );
    }
    for runs in [
        &["FCALL", "oom", "0"],
        &["FCALL", "reads", "0"],
        &["FCALL_RO", "reads", "0"],
    ] {
        assert_eq!(ours.text(runs), ":1\\r\\n");
    }
}
