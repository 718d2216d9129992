//! Waiting, slices, kills, memory.

use std::thread;
use std::time::Instant;

use super::*;

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
        "table.sort({1, 2, 3}, function() pcall(redis.call, 'WAIT') return false end)",
        "return ('abc'):gsub('.', function() while true do pcall(redis.call, 'WAIT') end end)",
    ] {
        let mut bench = Bench::new(Dialect::Aikv);
        bench.host.waits = 1;
        assert_eq!(bench.run(body), Err(Step::Restart));
        assert_eq!(bench.host.calls.len(), 1, "nothing is called afterwards");
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
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "local sum = 0 for i = 1, 3e7 do sum = sum + i end return sum";
    let mut run = bench.start(body, &[], &[]);
    let mut out = Recorder::new(Protocol::Resp2);
    let mut slices = 0;
    let step = loop {
        match run.resume(&mut bench.host, &mut out) {
            Step::Preempted => slices += 1,
            step => break step,
        }
    };
    assert_eq!(step, Step::Done);
    assert_eq!(out.into_value(), int(450_000_015_000_000));
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
        "('x'):rep(10):gsub('.', function() while true do pcall(error) end end)",
        "while true do load('local x = 1')() end",
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
    ] {
        let text = bench.error(body);
        assert!(text.contains("not enough memory"), "{body}: {text}");
        assert_eq!(bench.value("return 5"), int(5), "{body}");
    }
    let garbage = "for i = 1, 1e6 do local t = {i} end return 1";
    assert_eq!(bench.value(garbage), int(1), "garbage does not count");
    assert!(
        bench.pool.idle_memory() < 1 << 20,
        "{}",
        bench.pool.idle_memory()
    );
}

#[test]
fn memory_stays_bounded_over_many_runs() {
    let mut bench = Bench::new(Dialect::Aikv);
    let mut highest = 0;
    for number in 0..3000 {
        let arg = format!("{number}").repeat(50);
        let body = format!("return #ARGV[1] + {}", number % 1500);
        bench.run_with(&body, &[], &[arg.as_bytes()]).unwrap();
        highest = highest.max(bench.pool.idle_memory());
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
