//! Waiting, slices, kills, memory.

use std::thread;
use std::time::Instant;

use super::*;
use crate::script::extensions::processor_time;

#[test]
fn a_call_that_waits_is_made_again() {
    for body in [
        "return redis.call('WAIT')",
        "return redis.pcall('WAIT')",
        "return select(2, pcall(redis.call, 'WAIT'))",
        "local v; for x in function(_, seen) if not seen then return redis.call('WAIT') end end do v = x end return v",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        bench.host.waits = 3;
        let mut run = bench.start(body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp2);
        for _ in 0..3 {
            assert_eq!(run.resume(&mut bench.host, &mut out), Step::WaitForLock);
        }
        assert_eq!(run.resume(&mut bench.host, &mut out), Step::Done);
        assert_eq!(out.into_value(), int(7));
        assert_eq!(bench.host.calls.len(), 4);
        assert!(bench.host.calls.iter().all(|call| call == &[b"WAIT"]));
    }
}

#[test]
fn a_wait_where_lua_cannot_suspend_restarts() {
    for body in [
        "return table.unpack(setmetatable({}, {__index = function() redis.pcall('WAIT') return 'x' end}), 1, 2)",
        "for i, v in ipairs(setmetatable({}, {__index = function() while true do pcall(redis.call, 'WAIT') end end})) do end",
        "table.sort(setmetatable({}, {__len = function() pcall(redis.call, 'WAIT') return 2 end}))",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        bench.host.waits = 1;
        let step = bench.run(body);
        assert_eq!(step, Err(Step::Restart), "{body}");
        assert_eq!(bench.host.calls.len(), 1, "nothing is called afterwards");
    }
}

#[test]
fn callbacks_of_the_library_can_wait() {
    for (body, result) in [
        (
            "return (('abc'):gsub('.', function(c) return c .. redis.call('WAIT') end))",
            "a7b7c7",
        ),
        (
            "return (('abc'):gsub('b', function(c) return (('xy'):gsub('y', function() return redis.call('WAIT') end)) end))",
            "ax7c",
        ),
        (
            "local t = {3, 1, 2} table.sort(t, function(a, b) redis.call('WAIT') return a < b end) return table.concat(t)",
            "123",
        ),
        (
            "return select(2, xpcall(error, function(e) return e .. redis.call('WAIT') end, 'x'))",
            "x7",
        ),
        (
            "return tostring(setmetatable({}, {__tostring = function() return 'x' .. redis.call('WAIT') end}))",
            "x7",
        ),
        (
            "local t = setmetatable({}, {__tostring = function() return 'x' .. redis.call('WAIT') end})
            return ('%s %d %-4s|%%%s'):format('a', 1, t, t)",
            "a 1 x7  |%x7",
        ),
        (
            "return (('abc'):gsub('.', setmetatable({a = 'A'}, {__index = function(_, c) return c .. redis.call('WAIT') end})))",
            "Ab7c7",
        ),
        (
            "return table.concat(setmetatable({'a'}, {__index = function(_, i) return i .. ':' .. redis.call('WAIT') end}), ' ', 1, 3)",
            "a 2:7 3:7",
        ),
        (
            "local m = {__lt = function(a, b) redis.call('WAIT') return a.n < b.n end}
            local t = {} for i, n in ipairs({3, 1, 2}) do t[i] = setmetatable({n = n}, m) end
            table.sort(t) return t[1].n .. t[2].n .. t[3].n",
            "123",
        ),
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        bench.host.waits = 1;
        let mut run = bench.start(body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp2);
        assert_eq!(
            run.resume(&mut bench.host, &mut out),
            Step::WaitForLock,
            "{body}"
        );
        assert_eq!(run.resume(&mut bench.host, &mut out), Step::Done, "{body}");
        assert_eq!(out.into_value(), bulk(result), "{body}");
    }
    let mut bench = Bench::new(Dialect::Redis);
    bench.host.waits = 2;
    let body =
        "local s = '' table.foreach({1}, function(k, v) s = s .. v .. redis.call('WAIT') end)
        table.foreachi({1, 2}, function(k, v) s = s .. v .. redis.call('WAIT') end) return s";
    assert_eq!(bench.value(body), bulk("171727"));
}

/// Suspended in the middle of one call, again and again, it comes to the right end.
#[test]
fn a_long_library_call_is_suspended_and_ends_right() {
    for (body, result) in [
        ("return tostring((('a'):rep(60)):find(('a-'):rep(4) .. 'b'))", "nil"),
        ("return tostring((('a'):rep(60)):match('^' .. ('a-'):rep(5) .. 'b'))", "nil"),
        ("for m in (('a'):rep(60)):gmatch(('a-'):rep(4) .. 'b') do end return 'none'", "none"),
        ("return (('x' .. ('a'):rep(60)):gsub(('a-'):rep(4) .. 'b', ''):gsub('a+', 'y'))", "xy"),
        ("return (''):rep(1 << 50) .. (('a'):rep(300000):gsub('a', function(c) return 'b' end):gsub('b+', 'c'))", "c"),
        ("return #('a'):rep(3000000):gsub('a', 'bb') .. ''", "6000000"),
        ("local t = {} for i = 1, 300000 do t[i] = i end return #table.concat(t) .. ''", "1688895"),
        ("local t = {} for i = 1, 100000 do t[i] = (i * 7919) % 100003 end table.sort(t, function(a, b) return a < b end)
            for i = 2, #t do if t[i - 1] > t[i] then return 'wrong' end end return 'right'", "right"),
        ("local t = {} for i = 1, 150000 do t[i] = (i * 7919) % 150001 end table.sort(t)
            for i = 2, #t do if t[i - 1] > t[i] then return 'wrong' end end return 'right'", "right"),
        ("local t = table.move({1}, 1, 3000000, 2) return #t .. ''", "2"),
        ("local t = {} for i = 1, 300000 do t[i] = i end for i = 1, 5 do table.insert(t, 1, 0) table.remove(t, 2) end return #t .. ''",
            "300000"),
    ] {
        let (value, slices) = Bench::new(Dialect::Aikv).value_in_slices(body);
        assert_eq!(value, bulk(result), "{body}");
        assert!(slices >= 2, "{body}: {slices} slices");
    }
}

/// Metamethods that library functions call are suspended in the middle, and the function goes on where it was.
#[test]
fn a_long_metamethod_is_suspended_and_ends_right() {
    const SLOW: &str =
        "local function slow() local n = 0 for i = 1, 5e6 do n = n + 1 end return '' end ";
    for (body, result) in [
        (
            "return tostring(setmetatable({}, {__tostring = function() return slow() .. 'x' end}))",
            "x",
        ),
        (
            "return ('%s-%s'):format(setmetatable({}, {__tostring = function() return slow() .. 'x' end}), 1)",
            "x-1",
        ),
        (
            "return (('abc'):gsub('%w', setmetatable({}, {__index = function(_, c) return slow() .. c:upper() end})))",
            "ABC",
        ),
        (
            "return table.concat(setmetatable({}, {__index = function(_, i) return slow() .. ('<x>'):gsub('x', i) end}), ',', 1, 3)",
            "<1>,<2>,<3>",
        ),
        (
            "local m = {__lt = function(a, b) slow() return a.n > b.n end} local t = {}
            for i = 1, 5 do t[i] = setmetatable({n = i}, m) end table.sort(t)
            return t[1].n .. t[2].n .. t[3].n .. t[4].n .. t[5].n",
            "54321",
        ),
    ] {
        for dialect in [Dialect::Aikv, Dialect::Redis] {
            if dialect == Dialect::Redis && body.contains("format") {
                continue;
            }
            let (value, slices) = Bench::new(dialect).value_in_slices(&format!("{SLOW}{body}"));
            assert_eq!(value, bulk(result), "{body}");
            assert!(slices >= 2, "{body}: {slices} slices");
        }
    }
}

/// What is compiled, at once, is bounded: scripts, libraries, and what `load` is given.
#[test]
fn sources_are_bounded() {
    let mut bench = Bench::new(Dialect::Aikv);
    let limit = 256 << 10;
    let long = format!("return 1 --{}", "x".repeat(limit));
    let script = Arc::new(Script::new(long.as_bytes()).unwrap());
    let vm = bench.pool.take(bench.dialect).unwrap();
    let refused = ScriptRun::start(vm, script, &[], &[], 1);
    let text = refused.err().expect("it is too long").message;
    let says = b"ERR Error compiling script (new function): it is longer than script-source-limit (262144 bytes)";
    assert_eq!(text, says);
    assert_eq!(bench.value(&long[..limit]), int(1), "as long as it may be");
    for body in [
        "local f, e = load('return 1 --' .. ('x'):rep(262144)) return tostring(f) .. e",
        "local n = 0 local f, e = load(function() n = n + 1 return '-- a line of text\\n' end) return tostring(f) .. e",
        "local f, e = load(('x'):rep(1e6):gmatch('.')) return tostring(f) .. e",
    ] {
        let says = "nilthe chunk is longer than script-source-limit (262144 bytes)";
        let reply = bench.value(body);
        assert_eq!(reply, bulk(says), "{body}");
    }
}

#[test]
fn load_takes_what_it_always_took() {
    let mut bench = Bench::new(Dialect::Aikv);
    for (body, result) in [
        ("return load('return 1 .. 2')()", "12"),
        (
            "return load('return x', 'name', 't', {x = 'there'})()",
            "there",
        ),
        (
            "return tostring(pcall(load('return x', 'name', 't', nil)))",
            "false",
        ),
        (
            "local parts = {'return ', \"'a'\", ' .. 1', ''} local n = 0
            return load(function() n = n + 1 return parts[n] end)()",
            "a1",
        ),
        (
            "local parts = {'return ', 'x'} local n = 0
            return load(function() n = n + 1 return parts[n] end, 'name', 'bt', {x = 'there'})()",
            "there",
        ),
        (
            "return select(2, load('return return', '=mine'))",
            "mine:1: unexpected symbol near 'return'",
        ),
        (
            "return select(2, load('return return'))",
            "[string \"return return\"]:1: unexpected symbol near 'return'",
        ),
        (
            "return select(2, load(function() error('no more', 0) end))",
            "no more",
        ),
        (
            "return select(2, load(function() return {} end))",
            "user_script:1: reader function must return a string",
        ),
        (
            "return select(2, load('\\27Lua', 'b', 'b'))",
            "attempt to load a binary chunk (mode is 't')",
        ),
        ("return tostring((load(function() end)()))", "nil"),
    ] {
        assert_eq!(bench.value(body), bulk(result), "{body}");
    }
    let text = bench.error("load({})");
    assert!(
        text.contains("bad argument #1 to 'load' (function expected, got table)"),
        "{text}"
    );
}

#[test]
fn handlers_of_errors_are_called_as_lua_calls_them() {
    for (body, both) in [
        (
            "return {xpcall(function() return 1, 2 end, error)}",
            "true 1 2",
        ),
        (
            "return {xpcall(error, function() return 1, 2 end)}",
            "false 1",
        ),
        ("return {xpcall(error, function() end)}", "false"),
        (
            "return {xpcall(error, function(e) error('again') end)}",
            "false error in error handling",
        ),
        (
            "local n = 0 return {select(2, xpcall(error, function() n = n + 1 error('x', 0) end)), n}",
            "error in error handling 221",
        ),
        (
            "local n = 0 return {xpcall(error, function(e) n = n + 1 if n < 3 then error(n, 0) end return e .. '!' end)}",
            "false 2!",
        ),
        (
            "return {pcall(xpcall, error)}",
            "false bad argument #2 to '",
        ),
        (
            "local function f() return xpcall(error, f) end return {f()}",
            "false",
        ),
        (
            "return {xpcall(function() return pcall(error, 'x') end, error)}",
            "true false x",
        ),
    ] {
        for dialect in [Dialect::Aikv, Dialect::Redis] {
            let mut bench = Bench::new(dialect);
            let shown = format!(
                "local t = (function() {body} end)() for i = 1, 4 do t[i] = t[i] ~= nil and tostring(t[i]) or nil end return table.concat(t, ' ')"
            );
            let Value::Bulk(text) = bench.value(&shown) else {
                panic!("{body} gives no text");
            };
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.starts_with(both), "{body}: {text}");
        }
    }
    let mut aikv = Bench::new(Dialect::Aikv);
    let arguments =
        "return select(2, xpcall(function(...) return select('#', ...) end, error, 1, nil, 3))";
    assert_eq!(aikv.value(arguments), int(3));
    let mut redis = Bench::new(Dialect::Redis);
    assert_eq!(redis.value(arguments), int(0), "Lua 5.1 passes none");
}

#[test]
fn metamethods_that_answer_wrongly_are_errors() {
    let mut bench = Bench::new(Dialect::Aikv);
    for (body, says) in [
        (
            "return tostring(setmetatable({}, {__tostring = function() return {} end}))",
            "'__tostring' must return a string",
        ),
        (
            "return ('%s'):format(setmetatable({}, {__tostring = function() end}))",
            "'__tostring' must return a string",
        ),
        (
            "return ('%d'):format(setmetatable({}, {__tostring = function() return '1' end}))",
            "number expected, got table",
        ),
        (
            "return ('%s%s'):format(1)",
            "bad argument #2 to 'format' (no value)",
        ),
        (
            "return tostring()",
            "bad argument #1 to 'tostring' (value expected)",
        ),
        (
            "return ('abc'):gsub('.', setmetatable({}, {__index = function() return {} end}))",
            "invalid replacement value (a table)",
        ),
        (
            "return table.concat(setmetatable({}, {__index = function() return {} end}), '', 1, 2)",
            "invalid value (table) at index 1",
        ),
        (
            "local m = {__lt = function() error('no order') end} table.sort({setmetatable({}, m), setmetatable({}, m)})",
            "no order",
        ),
        (
            "table.sort({{}, {}})",
            "attempt to compare two table values",
        ),
        ("table.sort({1, 'a'})", "attempt to compare"),
    ] {
        let text = bench.error(body);
        assert!(text.contains(says), "{body}: {text}");
    }
    let chain = "local t = setmetatable({}, {__index = setmetatable({}, {__index = function(_, k) return k .. '!' end})})
        return table.concat(t, ' ', 1, 2) .. ('ab'):gsub('.', t)";
    assert_eq!(bench.value(chain), bulk("1! 2!a!b!"));
}

/// Many short matches are as much work as a long one: no slice may be most of the whole.
#[test]
fn a_search_with_many_matches_gives_way() {
    for body in [
        "return #(ARGV[1]:gsub('a', 'bb'))",
        "return #(ARGV[1]:gsub('', ''))",
        "local n = 0 return #(ARGV[1]:gsub('%w', {a = 'b'}))",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        let argument = vec![b'a'; 3_000_000];
        let mut run = bench.start(body, &[], &[&argument]);
        let mut out = Recorder::new(Protocol::Resp2);
        let (mut longest, began) = (Duration::ZERO, processor_time());
        loop {
            let slice = processor_time();
            let step = run.resume(&mut bench.host, &mut out);
            longest = longest.max(processor_time().saturating_sub(slice));
            if step != Step::Preempted {
                assert_eq!(step, Step::Done, "{body}");
                break;
            }
        }
        let total = processor_time().saturating_sub(began);
        assert!(longest < total / 4, "{body}: {longest:?} of {total:?}");
    }
}

#[test]
fn the_host_ends_what_lua_cannot_suspend() {
    for body in [
        "return table.unpack(setmetatable({}, {__index = function() while true do end end}), 1, 2)",
        "return table.unpack(setmetatable({}, {__index = function() while true do pcall(error) end end}), 1, 2)",
        "return table.unpack(setmetatable({}, {__index = function() return (('a'):rep(300)):find(('a-'):rep(9) .. 'b') end}), 1, 2)",
        "return table.unpack(setmetatable({}, {__index = function() return table.move({}, 1, 1 << 60, 2) end}), 1, 2)",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        bench.host.patience = 3;
        let mut run = bench.start(body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp2);
        let step = run.resume(&mut bench.host, &mut out);
        let overdue = AbortReason::Host("ERR overdue".into());
        assert_eq!(step, Step::Aborted(overdue), "{body}");
        assert!(
            run.place().ends_with("on @user_script:1."),
            "{}",
            run.place()
        );
    }
}

#[test]
fn the_host_can_end_a_run_and_pcall_cannot_stop_it() {
    let cases = [
        ("RESTART", Step::Restart),
        ("ABORT", Step::Aborted(AbortReason::Host("ERR gone".into()))),
        ("PANIC", Step::Aborted(AbortReason::Panicked)),
    ];
    for (command, step) in cases {
        for wrap in [
            "redis.call(C)",
            "redis.pcall(C)",
            "while true do pcall(redis.call, C) end",
            "table.sort({1, 2, 3}, function() while true do pcall(redis.call, C) end end)",
            "local t <close> = setmetatable({}, {__close = function() redis.call('SET', 'k', 'v') end}) redis.call(C)",
            "xpcall(redis.call, function() while true do end end, C)",
        ] {
            let mut bench = Bench::new(Dialect::Aikv);
            let body = wrap.replace('C', &format!("'{command}'"));
            assert_eq!(bench.run(&body), Err(step.clone()), "{body}");
            assert_eq!(bench.host.calls.len(), 1, "{body}");
            assert_eq!(bench.value("return 5"), int(5));
        }
    }
}

#[test]
fn a_long_script_is_suspended_and_ends_right() {
    let body = "local sum = 0 for i = 1, 3e7 do sum = sum + i end return sum";
    let (value, slices) = Bench::new(Dialect::Aikv).value_in_slices(body);
    assert_eq!(value, int(450_000_015_000_000));
    assert!(slices >= 2, "{slices} slices");
}

#[test]
fn any_endless_script_can_be_killed() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return pcall(f) end while true do f() end",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "table.sort({1, 2, 3}, function() while true do pcall(function() while true do end end) end end)",
        "setmetatable({}, {__index = function() while true do end end}).x = nil; return setmetatable({}, {__index = function() while true do end end}).x",
        "while true do redis.call('INT', '1') end",
        "while true do local t = setmetatable({}, {__gc = 1}) end",
        "local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "xpcall(function() while true do end end, function() while true do end end)",
        "xpcall(error, function() while true do end end)",
        "local function h(e) return h(e) end xpcall(error, h)",
        "while true do xpcall(error, function() while true do pcall(error) end end) end",
        "xpcall(error, function(e) xpcall(error, function() while true do end end) end)",
        "tostring(setmetatable({}, {__tostring = function() xpcall(error, function() while true do end end) end}))",
        "table.unpack(setmetatable({}, {__index = function() xpcall(error, function() while true do end end) end}), 1, 2)",
        "('x'):rep(10):gsub('.', function() while true do pcall(error) end end)",
        "while true do load('local x = 1')() end",
        "return (('a'):rep(300)):find(('a-'):rep(20) .. 'b')",
        "return (('a'):rep(300)):match(('a*'):rep(20) .. 'b')",
        "for m in (('a'):rep(300)):gmatch(('a?'):rep(100) .. 'b') do end",
        "while true do pcall(string.gsub, ('a'):rep(300), ('a-'):rep(20) .. 'b', '') end",
        "return (('('):rep(1e5) .. ('a'):rep(1e6)):find('%b()')",
        "table.move({}, 1, math.maxinteger - 1, 2)",
        "table.insert(setmetatable({}, {__len = function() return 1 << 50 end}), 1, 'x')",
        "table.remove(setmetatable({}, {__len = function() return 1 << 50 end}), 1)",
        "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 50)",
        "table.sort({1, 2, 3, 4}, function() return (('a'):rep(300)):find(('a-'):rep(20) .. 'b') end)",
        "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        "return table.unpack(setmetatable({}, {__index = function() while true do end end}), 1, 2)",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        let mut run = bench.start(body, &[], &[]);
        let handle = run.kill_handle();
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            handle.kill();
        });
        let begin = Instant::now();
        let mut out = Recorder::new(Protocol::Resp2);
        let step = loop {
            match run.resume(&mut bench.host, &mut out) {
                Step::Preempted => {}
                step => break step,
            }
        };
        assert_eq!(step, Step::Aborted(AbortReason::Killed), "{body}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{body}");
        killer.join().unwrap();
        drop(run);
        assert_eq!(bench.value("return 5"), int(5), "the next run lives");
    }
}

#[test]
fn a_late_kill_hits_nobody() {
    let mut bench = Bench::new(Dialect::Aikv);
    let mut run = bench.start("return 1", &[], &[]);
    let late = run.kill_handle();
    let mut out = Recorder::new(Protocol::Resp2);
    assert_eq!(run.resume(&mut bench.host, &mut out), Step::Done);
    drop(run);
    late.kill();
    assert_eq!(bench.value("return 2"), int(2));
    let mut run = bench.start("return 1", &[], &[]);
    run.kill_handle().kill();
    let step = run.resume(&mut bench.host, &mut out);
    assert_eq!(step, Step::Aborted(AbortReason::Killed));
}

#[test]
fn memory_is_limited() {
    let mut bench = Bench::new(Dialect::Aikv);
    for body in [
        "return ('x'):rep(1e9)",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t = {t, t} end",
        "local t = {} while true do t[#t + 1] = redis.call('ECHO', ('x'):rep(1e5)) end",
        "return ('x'):rep(1e5):gsub('x', ('y'):rep(1e4))",
        "return ('x'):rep(1e5):gsub('x', function() return ('y'):rep(1e4) end)",
        "local t = {} for i = 1, 1e4 do t[i] = ('y'):rep(1e4) .. '' end return table.concat(t, ('z'):rep(1e5))",
        "table.sort(setmetatable({}, {__len = function() return 1 << 30 end, __index = function() return 1 end}))",
    ] {
        let text = bench.error(body);
        assert!(text.contains("not enough memory"), "{body}: {text}");
        assert!(
            text.contains("Nothing it did was applied."),
            "{body}: {text}"
        );
        assert_eq!(bench.value("return 5"), int(5), "{body}");
    }
    let garbage = "for i = 1, 1e6 do local t = {i} end return 1";
    assert_eq!(bench.value(garbage), int(1), "garbage does not count");
    assert!(bench.pool.memory() < 1 << 20, "{}", bench.pool.memory());
}

#[test]
fn memory_stays_bounded_over_many_runs() {
    let mut bench = Bench::new(Dialect::Aikv);
    let mut highest = 0;
    for number in 0..3000 {
        let arg = format!("{number}").repeat(50);
        let body = format!("return #ARGV[1] + {}", number % 1500);
        bench.run_with(&body, &[], &[arg.as_bytes()]).unwrap();
        highest = highest.max(bench.pool.memory());
    }
    assert!(highest < 4 << 20, "{highest}");
}

#[test]
fn vms_are_bounded_and_come_back() {
    let bench = Bench::new(Dialect::Aikv);
    let taken: Vec<_> = (0..4)
        .map(|_| bench.pool.take(Dialect::Aikv).unwrap())
        .collect();
    assert!(bench.pool.take(Dialect::Redis).is_none());
    drop(taken);
    assert_eq!(bench.pool.in_use(), 0);
    assert!(bench.pool.take(Dialect::Redis).is_some());
}

/// Many short runs on several threads beside a watchdog that is always awake: no signal may reach a wrong run.
#[test]
fn signals_find_their_run() {
    let threads: Vec<_> = (0..3)
        .map(|number| {
            thread::spawn(move || {
                let mut bench = Bench::new(Dialect::Aikv);
                let begin = Instant::now();
                let mut runs = 0_u64;
                while begin.elapsed() < Duration::from_millis(700) {
                    let rounds = (runs * 7919 + number) % 300 * 1000;
                    let body = "local n = 0 for i = 1, ARGV[1] do n = n + 1 end return n";
                    let reply = bench.run_with(body, &[], &[rounds.to_string().as_bytes()]);
                    assert_eq!(reply, Ok(int(rounds as i64)));
                    runs += 1;
                }
                assert!(runs > 10);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
