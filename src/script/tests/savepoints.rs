//! `redis.rollback`, `redis.savepoint`, `redis.rollback_to`, as far as they are Lua's affair.

use super::*;

#[test]
fn a_rollback_ends_the_script_with_a_reply() {
    let mut bench = Bench::new(Dialect::Aikv);
    for (body, reply) in [
        ("redis.rollback(7) redis.call('GET', 'no')", int(7)),
        (
            "redis.rollback({1, 'a'}) redis.call('GET', 'no')",
            array([int(1), bulk("a")]),
        ),
        ("redis.rollback() redis.call('GET', 'no')", Value::Null),
        (
            "pcall(redis.rollback, 'out') redis.call('GET', 'no')",
            bulk("out"),
        ),
        (
            "while true do pcall(function() pcall(redis.rollback, 'deep') redis.call('GET', 'no') end) end",
            bulk("deep"),
        ),
        (
            "('x'):gsub('x', function() redis.rollback('in a callback') end) redis.call('GET', 'no')",
            bulk("in a callback"),
        ),
        (
            "pcall(tostring, setmetatable({}, {__tostring = function() redis.rollback('x') end})) redis.call('GET', 'no')",
            bulk("x"),
        ),
    ] {
        let mut run = bench.start(body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp3);
        let step = run.resume(&mut bench.host, &mut out);
        assert_eq!(step, Step::RolledBack, "{body}");
        assert_eq!(out.into_value(), reply, "{body}");
        assert!(bench.host.calls.is_empty(), "{body}");
    }
    let error = Value::Error("ERR of my own".into());
    assert_eq!(
        bench.value("redis.rollback(redis.error_reply('ERR of my own'))"),
        error
    );
    let deep = "local t = {} for _ = 1, 200 do t = {t} end redis.rollback(t)";
    assert!(matches!(bench.run(deep), Err(Step::Failed(_))));
}

#[test]
fn a_script_goes_back_to_its_savepoints() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "
        local set, get = function(v) redis.call('SET', 'k', v) end, function() return redis.call('GET', 'k') end
        set('a') local a = redis.savepoint()
        set('b') local b = redis.savepoint()
        set('c') redis.rollback_to(b)
        local seen = {get()}
        set('d') redis.rollback_to(b) seen[2] = get()
        redis.rollback_to(a) seen[3] = get()
        local ok, text = pcall(redis.rollback_to, b)
        seen[4] = text
        set('e') redis.rollback_to(a) seen[5] = get()
        return seen";
    let gone = "ERR This savepoint is gone: the script has rolled back to an earlier one.";
    let seen = [bulk("b"), bulk("b"), bulk("a"), bulk(gone), bulk("a")];
    assert_eq!(bench.value(body), array(seen));
}

#[test]
fn only_savepoints_are_gone_back_to() {
    let mut bench = Bench::new(Dialect::Aikv);
    for call in ["()", "(1)", "({})", "('0')", "(redis.savepoint(), 1)"] {
        let error = bench.error(&format!("redis.rollback_to{call}"));
        assert!(
            error.starts_with("ERR redis.rollback_to() requires a savepoint."),
            "{error}"
        );
    }
    let protected = "local s = redis.savepoint()
        return {type(s), getmetatable(s), (tostring(s):match('^savepoint')), pcall(setmetatable, s, {})}";
    let Value::Array(seen) = bench.value(protected) else {
        panic!("an array");
    };
    assert_eq!(
        seen[..4],
        [bulk("userdata"), int(0), bulk("savepoint"), int(0)]
    );
    let many = "for _ = 1, 100 do redis.savepoint() end";
    assert!(
        bench
            .error(many)
            .starts_with("ERR redis.savepoint() was called too often")
    );
    bench.host.saved.clear();
    let panics = bench.run("redis.call('SET', 'panic', '') pcall(redis.savepoint) return 1");
    assert_eq!(panics, Err(Step::Aborted(AbortReason::Panicked)));
}
