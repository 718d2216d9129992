//! Scripts inside of coroutines of their own: they wait, give way, run out and are ended like any other.

use super::*;

const BOTH: [Dialect; 2] = [Dialect::Aikv, Dialect::Redis];

/// Runs what stands in `inside` in a coroutine in a coroutine.
fn nested(inside: &str) -> String {
    format!(
        "local inner = coroutine.wrap(function() {inside} end)
         local outer = coroutine.create(function() return inner() end)
         local ok, value = coroutine.resume(outer)
         if not ok then error(value, 0) end
         return {{value, coroutine.status(outer)}}"
    )
}

fn dead(value: Value) -> Value {
    array([value, bulk("dead")])
}

#[test]
fn commands_inside_answer_and_wait_for_locks() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        bench.host.waits = 3;
        assert_eq!(
            bench.value(&nested("return redis.call('WAIT')")),
            dead(int(7))
        );
        assert_eq!(bench.host.calls.len(), 4, "asked again after each wait");
        bench.host.waits = 2;
        let guarded = nested("local ok, x = pcall(redis.pcall, 'WAIT') return x");
        assert_eq!(bench.value(&guarded), dead(int(7)));
    }
}

#[test]
fn a_slow_coroutine_gives_way_and_goes_on() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let body = nested("local n = 0 for i = 1, 20000000 do n = n + 1 end return n");
        let mut run = bench.start(&body, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp3);
        let mut slices = 0;
        loop {
            match run.resume(&mut bench.host, &mut out) {
                Step::Preempted => slices += 1,
                Step::Done => break,
                step => panic!("{step:?}"),
            }
        }
        assert!(slices > 1, "{slices} slices");
        assert_eq!(out.into_value(), dead(int(20_000_000)));
    }
}

#[test]
fn a_killed_coroutine_wakes_nobody() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let stubborn = "
            local co = coroutine.create(function() while true do end end)
            while true do
              pcall(coroutine.resume, co)
              redis.call('SET', 'k', 'woken')
            end";
        let mut run = bench.start(stubborn, &[], &[]);
        let mut out = Recorder::new(Protocol::Resp3);
        assert_eq!(run.resume(&mut bench.host, &mut out), Step::Preempted);
        run.kill_handle().kill();
        let step = run.resume(&mut bench.host, &mut out);
        assert_eq!(step, Step::Aborted(AbortReason::Killed));
        drop(run);
        assert!(bench.host.strings.is_empty());
        assert_eq!(bench.value("return 1"), int(1));
    }
}

#[test]
fn ends_from_inside_end_the_script() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let caught = |command: &str| {
            format!(
                "local co = coroutine.create(function() pcall(redis.call, '{command}') end)
                 pcall(coroutine.resume, co) redis.call('SET', 'k', 'woken')"
            )
        };
        assert_eq!(bench.run(&caught("RESTART")), Err(Step::Restart));
        let gone = Step::Aborted(AbortReason::Host("ERR gone".into()));
        assert_eq!(bench.run(&caught("ABORT")), Err(gone));
        let panicked = Step::Aborted(AbortReason::Panicked);
        assert_eq!(bench.run(&caught("PANIC")), Err(panicked));
        assert!(bench.host.strings.is_empty());
    }
}

/// In a metamethod that a library function calls, Lua cannot suspend the code that resumes.
#[test]
fn where_the_resuming_code_cannot_be_suspended_the_script_is_started_again() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        bench.host.waits = 1;
        let body = |inside: &str| {
            format!(
                "local t = setmetatable({{}}, {{__index = function()
                   return coroutine.wrap(function() {inside} end)()
                 end}})
                 return table.unpack(t, 1, 1)"
            )
        };
        let waiting = body("return tostring(redis.call('WAIT'))");
        assert_eq!(bench.run(&waiting), Err(Step::Restart));
        assert_eq!(bench.value(&waiting), bulk("7"));
        let slow = body("local n = 0 for i = 1, 5000000 do n = n + 1 end return 'slow'");
        assert_eq!(bench.value(&slow), bulk("slow"));
        bench.host.patience = 2;
        let overdue = Step::Aborted(AbortReason::Host("ERR overdue".into()));
        assert_eq!(bench.run(&body("while true do end")), Err(overdue));
    }
}

#[test]
fn memory_is_limited_inside_too() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let greedy = nested("local t = {} while true do t[#t + 1] = string.rep('x', 1000) end");
        let error = bench.error(&greedy);
        assert!(error.contains("not enough memory"), "{error}");
        let many = "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end";
        let error = bench.error(many);
        assert!(error.contains("not enough memory"), "{error}");
        let deep = "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end
                    return f(0)";
        let error = bench.error(deep);
        assert!(error.contains("C stack overflow"), "{error}");
        assert_eq!(bench.value("return 1"), int(1));
    }
}

/// Functions of ours keep what they need on their own stacks while a callback has yielded.
#[test]
fn callbacks_may_yield_while_others_use_the_same_functions() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let body = "
          local function sorted(list)
            return coroutine.wrap(function()
              table.sort(list, function(a, b) coroutine.yield('busy') return a < b end)
              return table.concat(list, ',')
            end)
          end
          local function replaced(text)
            return coroutine.wrap(function()
              return (text:gsub('%a', function(c) coroutine.yield('busy') return c:upper() end))
            end)
          end
          local work = {sorted({3, 1, 2}), sorted({'c', 'b', 'a'}), replaced('xyz'), replaced('abc')}
          local results, left = {}, #work
          while left > 0 do
            for i, step in pairs(work) do
              local value = step()
              if value ~= 'busy' then results[i] = value work[i] = nil left = left - 1 end
              ('other'):gsub('%a', 'x')
              table.sort({2, 1})
            end
          end
          return results";
        let expected = ["1,2,3", "a,b,c", "XYZ", "ABC"].map(bulk);
        assert_eq!(bench.value(body), array(expected));
    }
}

#[test]
fn nothing_of_a_coroutine_outlives_its_run() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        bench.value("local co = coroutine.wrap(function() coroutine.yield(1) end) return co()");
        for name in ["coroutine.close", "coroutine.nosuch"] {
            assert_eq!(bench.value(&format!("return {name}")), Value::Null);
        }
        let error = bench.error("coroutine.yield(1)");
        assert!(error.contains("attempt to yield"), "{error}");
        let outermost = bench.value("return tostring((coroutine.running()))");
        assert_eq!(outermost == bulk("nil"), dialect == Dialect::Redis);
    }
}

#[test]
fn instructions_are_counted_inside_too() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = |count: u32| {
        format!(
            "#!lua max-instructions=20000\n
             for i = 1, {count} do coroutine.wrap(function() for j = 1, 100 do end end)() end return 1"
        )
    };
    assert_eq!(bench.value(&body(20)), int(1));
    let spent = Step::Aborted(AbortReason::OutOfInstructions(20_000));
    assert_eq!(bench.run(&body(1000)), Err(spent));
}
