//! Values in both directions, in both dialects; what errors say.

use super::*;

const BOTH: [Dialect; 2] = [Dialect::Aikv, Dialect::Redis];

#[test]
fn the_first_script_of_the_specification() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let body = "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])";
        for value in ["one", "two"] {
            let reply = bench.run_with(body, &[b"k"], &[value.as_bytes()]);
            assert_eq!(reply, Ok(bulk(value)));
        }
        assert_eq!(
            bench.run_with("return ARGV[1] * 2", &[], &[b"21"]),
            Ok(int(42))
        );
        assert_eq!(
            bench.run_with("return {#KEYS, #ARGV}", &[b"k"], &[]),
            Ok(array([int(1), int(0)]))
        );
    }
}

fn plain_values() -> Vec<(&'static str, Value)> {
    vec![
        ("return 42", int(42)),
        ("return -3", int(-3)),
        ("return 3.0", int(3)),
        ("return 'text'", bulk("text")),
        ("return nil", Value::Null),
        ("return", Value::Null),
        ("return true", int(1)),
        ("return function() end", Value::Null),
        ("return {1,2,nil,4}", array([int(1), int(2)])),
        ("return {}", array([])),
        (
            "return {1,{2,'x'},{}}",
            array([int(1), array([int(2), bulk("x")]), array([])]),
        ),
    ]
}

/// Tables with a field that gives them a meaning, and the calls that make such tables.
fn tagged_values() -> Vec<(&'static str, Value)> {
    vec![
        ("return {ok='fine'}", Value::simple("fine")),
        ("return {err='BAD thing'}", Value::error("BAD thing")),
        ("return {err=1}", array([])),
        ("return {1,err='BAD'}", Value::error("BAD")),
        ("return redis.status_reply('x')", Value::simple("x")),
        ("return redis.error_reply('My Err')", Value::error("My Err")),
        (
            "return redis.error_reply('-My Err')",
            Value::error("My Err"),
        ),
        ("return redis.error_reply('oops')", Value::error("ERR oops")),
        ("return redis.error_reply('')", Value::error("ERR ")),
        (
            "return redis.error_reply(1)",
            Value::error("ERR wrong number or type of arguments"),
        ),
        (
            "return redis.status_reply()",
            Value::error("ERR wrong number or type of arguments"),
        ),
        ("return {double=3.5}", Value::Double(3.5)),
        ("return {double='x',7}", array([int(7)])),
        ("return {map={a=1}}", Value::Map(vec![bulk("a"), int(1)])),
        ("return {set={a=true}}", Value::Set(vec![bulk("a")])),
        (
            "return {big_number='12\\n3'}",
            Value::BigNumber("12 3".into()),
        ),
        (
            "return {verbatim_string={format='txt',string='abc'}}",
            Value::Verbatim {
                format: "txt".into(),
                bytes: b"abc".to_vec(),
            },
        ),
        ("return {verbatim_string={string='abc'},5}", array([int(5)])),
        (
            "redis.setresp(3) return {true,false}",
            array([Value::Boolean(true), Value::Boolean(false)]),
        ),
        (
            "return setmetatable({}, {__index=function() return 'z' end})",
            array([]),
        ),
        (
            "return redis.sha1hex('')",
            bulk("da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ),
        (
            "return redis.sha1hex(12)",
            bulk("7b52009b64fd0a2a49e6d8a939753077792b0554"),
        ),
        ("return redis.REDIS_VERSION", bulk("7.2.0")),
        ("return redis.REDIS_VERSION_NUM", int(0x70200)),
    ]
}

#[test]
fn lua_values_become_replies() {
    let same = [plain_values(), tagged_values()].concat();
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        for (body, value) in &same {
            assert_eq!(bench.value(body), *value, "{dialect:?}: {body}");
        }
    }
}

#[test]
fn the_dialects_differ_where_the_design_says() {
    let mut aikv = Bench::new(Dialect::Aikv);
    let mut redis = Bench::new(Dialect::Redis);
    let cases = [
        ("return false", int(0), Value::Null),
        ("return 3.5", bulk("3.5"), int(3)),
        ("return -3.99", bulk("-3.99"), int(-3)),
        ("return 0.1", bulk("0.1"), int(0)),
        ("return 1e300", bulk("1e300"), int(i64::MIN)),
        ("return 1/0", bulk("inf"), int(i64::MIN)),
        ("return 0/0", bulk("nan"), int(i64::MIN)),
        (
            "return type(redis.call('SET','k','v'))",
            bulk("string"),
            bulk("table"),
        ),
        (
            "return redis.call('SET','k','v')",
            bulk("OK"),
            Value::simple("OK"),
        ),
        (
            "return type(redis.pcall('WRONG'))",
            bulk("string"),
            bulk("table"),
        ),
        (
            "return redis.pcall('WRONG')",
            bulk("WRONGTYPE Operation against a key holding the wrong kind of value"),
            Value::error("WRONGTYPE Operation against a key holding the wrong kind of value"),
        ),
    ];
    for (body, ours, theirs) in cases {
        assert_eq!(aikv.value(body), ours, "aikv: {body}");
        assert_eq!(redis.value(body), theirs, "redis: {body}");
    }
    for body in [
        "return unpack({1})",
        "return loadstring('return 1')()",
        "return table.getn({7})",
        "return math.pow(1, 2)",
    ] {
        assert_eq!(redis.value(body), int(1), "{body}");
        aikv.error(body);
    }
    let chosen = "#!lua dialect=redis\nreturn false";
    let script = Script::new(chosen.as_bytes()).unwrap();
    assert_eq!(script.header.dialect, Some(Dialect::Redis));
    assert_eq!(redis.value(chosen), Value::Null);
}

#[test]
fn replies_become_lua_values() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let cases = [
            ("return redis.call('GET','no') == false", int(1)),
            ("return redis.call('NULLARRAY') == false", int(1)),
            ("return redis.call('INT','5') + 1", int(6)),
            ("return math.type(redis.call('INT','5'))", bulk("integer")),
            (
                "return redis.call('MAP')[1] .. redis.call('MAP')[2]",
                bulk("a1"),
            ),
            ("return redis.call('SETOF')[1]", bulk("a")),
            ("return redis.call('DOUBLE')", bulk("3.5")),
            ("return redis.call('BOOL')", int(1)),
            ("return redis.call('BIG')", bulk("123")),
            ("return redis.call('VERB')", bulk("abc")),
            (
                "return redis.call('ECHO','a',1,2.5,3.0,1e20,0.1)",
                array(["a", "1", "2.5", "3", "1e+20", "0.10000000000000001"].map(bulk)),
            ),
            (
                "redis.setresp(3) return type(redis.call('GET','no'))",
                bulk("nil"),
            ),
            ("redis.setresp(3) return redis.call('MAP').map.a", int(1)),
            (
                "redis.setresp(3) return redis.call('SETOF').set.a",
                Value::Boolean(true),
            ),
            (
                "redis.setresp(3) return redis.call('DOUBLE').double == 3.5",
                Value::Boolean(true),
            ),
            (
                "redis.setresp(3) return redis.call('BOOL')",
                Value::Boolean(true),
            ),
            (
                "redis.setresp(3) return redis.call('BIG').big_number",
                bulk("123"),
            ),
            (
                "redis.setresp(3) return redis.call('VERB').verbatim_string.format",
                bulk("txt"),
            ),
            ("return redis.call('MAP')[1]", bulk("a")),
        ];
        for (body, value) in cases {
            assert_eq!(bench.value(body), value, "{dialect:?}: {body}");
        }
    }
}

/// A script and its error, the same in both dialects.
const ERRORS: &[(&str, &str)] = &[
    (
        "redis.call('WRONG')",
        "WRONGTYPE Operation against a key holding the wrong kind of value [@user_script:1.]",
    ),
    (
        "redis.call()",
        "ERR Please specify at least one argument for this redis lib call [@user_script:1.]",
    ),
    (
        "redis.call({})",
        "ERR Lua redis lib command arguments must be strings or integers [@user_script:1.]",
    ),
    (
        "redis.call('GET', nil)",
        "ERR Lua redis lib command arguments must be strings or integers [@user_script:1.]",
    ),
    ("error('foo')", "ERR user_script:1: foo [@user_script:1.]"),
    ("\n\n error('foo', 0)", "ERR foo [@user_script:3.]"),
    ("error({err='BAR baz'})", "BAR baz [@user_script:1.]"),
    ("error()", "ERR nil [@user_script:1.]"),
    ("error(true)", "ERR true [@user_script:1.]"),
    (
        "return x",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'x' [@user_script:1.]",
    ),
    (
        "x=1",
        "ERR user_script:1: Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "string.foo=1",
        "ERR user_script:1: Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "rawset(_G,'a',1)",
        "ERR Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "setmetatable(_G,{})",
        "ERR Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "table.insert(string, 1)",
        "ERR Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "getmetatable('').__index=1",
        "ERR user_script:1: Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "KEYS=1",
        "ERR user_script:1: Attempt to modify a readonly table [@user_script:1.]",
    ),
    (
        "redis.sha1hex()",
        "ERR wrong number of arguments [@user_script:1.]",
    ),
    (
        "redis.log(1)",
        "ERR redis.log() requires two arguments or more. [@user_script:1.]",
    ),
    (
        "redis.log('a','b')",
        "ERR First argument must be a number (log level). [@user_script:1.]",
    ),
    (
        "redis.log(9,'b')",
        "ERR Invalid debug level. [@user_script:1.]",
    ),
    (
        "redis.setresp(4)",
        "ERR RESP version must be 2 or 3. [@user_script:1.]",
    ),
    (
        "redis.setresp()",
        "ERR redis.setresp() requires one argument. [@user_script:1.]",
    ),
    (
        "#!lua flags=no-writes\nerror('x')",
        "ERR user_script:2: x [@user_script:2.]",
    ),
    (
        "local ok, e = pcall(redis.call, 'WRONG') error(e)",
        "ERR user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value [@user_script:1.]",
    ),
];

#[test]
fn errors_say_what_redis_says() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        for (body, text) in ERRORS {
            assert_eq!(bench.error(body), *text, "{dialect:?}: {body}");
        }
        // redis-server 7.0.15 crashes.
        bench.error("error({})");
    }
    let mut redis = Bench::new(Dialect::Redis);
    assert_eq!(
        redis.error("assert(false,'boo')"),
        "ERR user_script:1: boo [@user_script:1.]"
    );
    assert_eq!(
        redis.error("assert(false)"),
        "ERR user_script:1: assertion failed! [@user_script:1.]"
    );
}

#[test]
fn the_suffix_names_the_script() {
    let mut bench = Bench::new(Dialect::Redis);
    let Err(Step::Failed(error)) = bench.run("error('foo')") else {
        panic!("it fails");
    };
    let text = "ERR user_script:1: foo script: 3636b3c71d6a755d5b3f0a4d22850f935598f38d, on @user_script:1.";
    assert_eq!(error.message, text.as_bytes());
    assert_eq!(error.line, Some(1));
}

#[test]
fn a_script_that_does_not_compile_says_why() {
    let bench = Bench::new(Dialect::Redis);
    let script = Arc::new(Script::new(b"foo bar").unwrap());
    let mut vm = bench.pool.take(Dialect::Redis).unwrap();
    let text = b"ERR Error compiling script (new function): user_script:1: ";
    assert!(vm.check(&script).unwrap_err().message.starts_with(text));
    let error = ScriptRun::start(vm, script, &[], &[], 0).err().unwrap();
    assert!(error.message.starts_with(text));
}

#[test]
fn errors_reach_pcall_as_text() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(
            bench.value("local ok, e = pcall(redis.call, 'WRONG') return e"),
            bulk(wrong)
        );
        assert_eq!(
            bench.value("local ok, e = pcall(function() error('a') end) return e"),
            bulk("user_script:1: a")
        );
        assert_eq!(
            bench.value("return {pcall(function(...) return ... end, 1, 2)}"),
            array([int(1), int(1), int(2)])
        );
        assert_eq!(
            bench.value("local ok, e = pcall(error, {code=5}) return e.code"),
            int(5)
        );
    }
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let mut bench = Bench::new(Dialect::Aikv);
    assert_eq!(
        bench.error("local t = {} t[1] = t return t"),
        "ERR Script reply is nested deeper than 128 tables"
    );
    assert_eq!(
        bench.error("local t = {} for i = 1, 100 do t = {t, t} end return t"),
        "ERR Script reply has more than 4194304 elements"
    );
    bench.value("local t = {} for i = 1, 127 do t = {t} end return t");
    bench.error("local t = {} for i = 1, 128 do t = {t} end return t");
    assert_eq!(bench.value("return 1"), int(1));
}

#[test]
fn logs_reach_the_host() {
    let mut bench = Bench::new(Dialect::Aikv);
    bench.value("redis.log(redis.LOG_WARNING, 'a', 1, 'b')");
    assert_eq!(bench.host.logged, [(LogLevel::Warning, b"a 1 b".to_vec())]);
}

/// Looking for the fields that give a table a meaning takes room on the stack, at each level.
#[test]
fn deep_tables_with_fields_find_room() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let body = "local t = {1} for i = 1, 100 do t = {t, x = 1} end return t";
        let expected = (0..100).fold(array([int(1)]), |inner, _| array([inner]));
        assert_eq!(bench.value(body), expected);
    }
}
